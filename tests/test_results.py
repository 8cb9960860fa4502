"""What a training leaves for whoever starts it from Python."""

import csv
import json
import os

import numpy as np
import pytest
from command import FILES, listed, picture
from small import a_small_net

from minitorch_alexnet import viz
from minitorch_alexnet.config import Config
from minitorch_alexnet.data.arrays import ArrayDataset
from minitorch_alexnet.errors import UserError
from minitorch_alexnet.finetune import freeze
from minitorch_alexnet.graph import Graph
from minitorch_alexnet.layers import Conv2d, Flatten, Layer, Linear, Parameter
from minitorch_alexnet.results import keep_results
from minitorch_alexnet.train import Trainer

CONFIG = Config(epochs=1, batch_size=32, lr=0.02)


def test_all_that_the_command_line_leaves(garments, tmp_path):
    trainer = Trainer(garments, CONFIG, tmp_path)
    trainer.fit()
    test = keep_results(trainer, garments)
    assert listed(tmp_path) == FILES
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["test_accuracy"] == test.accuracy
    assert (result["dataset"], result["tested_on"]) == ("arrays", "test")
    with (tmp_path / "classes.csv").open() as file:
        rows = list(csv.DictReader(file))
    right = test.logits.argmax(axis=1) == test.labels
    assert [row["class"] for row in rows] == list(garments.class_names)
    for label, row in enumerate(rows):
        assert int(row["images"]) == (test.labels == label).sum()
        assert float(row["accuracy"]) == pytest.approx(right[test.labels == label].mean(), abs=1e-4)


def test_there_is_no_picture_of_what_is_none(tmp_path):
    rng = np.random.default_rng(0)
    odd = ArrayDataset(rng.random((40, 2, 28, 28)), rng.integers(0, 3, 40))
    trainer = Trainer(odd, CONFIG, tmp_path / "odd")
    trainer.fit()
    keep_results(trainer, odd)
    assert listed(tmp_path / "odd") == FILES - {"filters.png", "mistakes.png"}


def test_a_net_that_begins_with_no_kernels_tested_on_what_it_was_watched_with(garments, tmp_path):
    trainer = Trainer(garments, CONFIG, tmp_path, net=a_small_net(), validation=garments)
    trainer.fit()
    keep_results(trainer, garments)
    assert listed(tmp_path) == FILES - {"filters.png"}
    assert json.loads((tmp_path / "result.json").read_text())["tested_on"] == "validation"


class Scale(Layer):
    """A layer whose only parameter is no weight."""

    def __init__(self):
        super().__init__()
        self.params = {"factor": Parameter(np.ones(1, np.float32))}

    def forward(self, x, train=True):
        return x * self.params["factor"].data, x

    def backward(self, dy, x, need_dx=True):
        return dy * self.params["factor"].data, {"factor": np.array([(dy * x).sum()])}


def test_a_net_whose_first_parameter_is_no_weight(garments, tmp_path):
    layers = [Scale(), Conv2d(1, 4, 5, stride=4), Flatten(), Linear(144, 10)]
    net = Graph.of((1, 28, 28), layers)
    trainer = Trainer(garments, CONFIG, tmp_path, net=net, validation=garments)
    trainer.fit()
    keep_results(trainer, garments)
    assert listed(tmp_path) == FILES
    freeze(net, "scale1", ["scale1.factor"])
    assert net["scale1"].params["factor"].frozen


@pytest.mark.parametrize("scale", [1, 255])
def test_pictures_of_floats_are_drawn_as_they_look(garments, tmp_path, scale):
    images = (garments.images / 255 * scale).astype(np.float32)
    told = []
    for data in garments, ArrayDataset(images, garments.labels, garments.class_names):
        trainer = Trainer(data, CONFIG, tmp_path / str(len(told)), net=fresh(), validation=data)
        trainer.fit()
        keep_results(trainer, data)
        told.append(picture(trainer.folder / "mistakes.png"))
    np.testing.assert_allclose(*told, atol=1)


def test_mistakes_are_on_the_scale_of_the_whole_set(garments, tmp_path, monkeypatch):
    data = ArrayDataset(garments.images / 20.0 - 3, garments.labels)
    mistakes, given = viz.mistakes, []
    monkeypatch.setattr(
        viz, "mistakes", lambda *a, ends=None: given.append(ends) or mistakes(*a, ends=ends)
    )
    trainer = Trainer(data, CONFIG, tmp_path, net=fresh())
    trainer.fit()
    keep_results(trainer, data)
    assert given == [data.span.scale]


def fresh():
    return Graph.of((1, 28, 28), [Flatten(), Linear(784, 10)], seed=3)


@pytest.mark.parametrize("change", ["classes", "scale", "size"])
def test_another_test_set_is_refused_and_nothing_kept(garments, tmp_path, change):
    trainer = Trainer(garments, CONFIG, tmp_path, net=a_small_net())
    trainer.fit()
    before = set(os.listdir(tmp_path))
    other = {
        "classes": ArrayDataset(garments.images, garments.labels % 3),
        "scale": ArrayDataset(garments.images / 255, garments.labels, garments.class_names),
        "size": ArrayDataset(garments.images[:, :, 1:], garments.labels, garments.class_names),
    }
    with pytest.raises(UserError, match=r"other classes|\* 255|1×27×28"):
        keep_results(trainer, other[change])
    assert set(os.listdir(tmp_path)) == before


def test_crops_and_the_five_best_as_they_were(tmp_path):
    """Ten crops of images without pixels to spare are two, and of three classes there is no 5."""
    for classes, top5 in (3, None), (11, 1.0):
        rng = np.random.default_rng(0)
        images = rng.integers(0, 256, (44, 28, 28), np.uint8)
        data = ArrayDataset(images, np.arange(44) % classes)
        net = Graph.of((1, 28, 28), [Flatten(), Linear(784, classes)])
        net["linear1"].params["bias"].data[5:] -= 1e6
        config = Config(epochs=1, crops=10, lr=0.0, weight_decay=0.0)
        trainer = Trainer(data, config, tmp_path / str(classes), net=net)
        trainer.fit()
        test = keep_results(trainer, data.subset(data.labels < 5))
        result = json.loads((trainer.folder / "result.json").read_text())
        assert result["test_top5"] == test.top5 == top5
        assert result["test_crops"] == test.views == 2


def test_nothing_to_keep(garments, tmp_path):
    with pytest.raises(UserError, match="without a folder keeps no results"):
        keep_results(Trainer(garments, CONFIG, net=a_small_net()), garments)
    trainer = Trainer(garments, CONFIG, tmp_path, net=a_small_net())
    trainer.net.forward = None  # it is refused before the test
    with pytest.raises(UserError, match="no rows"):
        keep_results(trainer, garments)
    assert os.listdir(tmp_path) == []
