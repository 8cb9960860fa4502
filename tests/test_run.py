"""A run's folder: what is kept, read back, and refused."""

import csv
import json
import os
from dataclasses import replace

import numpy as np
import pytest
from small import RAW, a_small_net, photographs, tiny

from minitorch_alexnet.config import Config
from minitorch_alexnet.data.arrays import ArrayDataset
from minitorch_alexnet.data.transforms import View
from minitorch_alexnet.errors import CheckpointError, UserError
from minitorch_alexnet.layers import Tanh
from minitorch_alexnet.run import METRICS, load_run, read_config
from minitorch_alexnet.train import Trainer

CONFIG = Config(epochs=3, batch_size=32, augment=True, seed=5)


def test_load_run_gives_the_trained_net_and_its_preparation(garments, tmp_path):
    trainer = Trainer(garments, Config(epochs=1), tmp_path)
    trainer.fit()
    run = load_run(tmp_path)
    assert run.config == trainer.config == read_config(tmp_path)
    assert run.class_names == garments.class_names
    images = run.normalize(garments.images[:5], run.net.device)
    np.testing.assert_array_equal(images, trainer.normalize(garments.images[:5], run.net.device))
    np.testing.assert_array_equal(run.net.predict(images), trainer.net.predict(images))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "is not a run folder: there is no config.json"),
        ("{", "is not a run's config"),
        (json.dumps({"epoch": 3}), "is not a run's config"),
    ],
)
def test_read_config_refuses_what_is_not_one(tmp_path, text, message):
    if text is not None:
        (tmp_path / "config.json").write_text(text)
    with pytest.raises(CheckpointError, match=message):
        read_config(tmp_path)


def test_a_checkpoint_of_another_config_is_refused(garments, tmp_path):
    Trainer(garments, Config(epochs=1), tmp_path, net=a_small_net()).fit()
    with pytest.raises(CheckpointError, match="another config"):
        Trainer(garments, Config(epochs=1, momentum=0.8), tmp_path, net=a_small_net()).resume()


def test_a_run_of_another_net_or_on_other_images_is_refused(garments, tmp_path):
    Trainer(garments, CONFIG, tmp_path, net=a_small_net()).fit()
    other = a_small_net()
    other.nodes["relu1"].layer.__class__ = Tanh
    with pytest.raises(CheckpointError, match="this is a run of another net"):
        Trainer(garments, CONFIG, tmp_path, net=other).resume()
    others = ArrayDataset(255 - garments.images, garments.labels, garments.class_names)
    with pytest.raises(CheckpointError, match="this is a run on other images"):
        Trainer(others, CONFIG, tmp_path, net=a_small_net()).resume()
    with pytest.raises(CheckpointError, match="trained with a net of its own"):
        load_run(tmp_path)


def test_trained_on_two_devices_it_answers_alike_on_one_and_the_other_way_round(
    tiny_models, tmp_path
):
    data = photographs()
    for model, other, devices in ("tiny", "tiny-merged", "cpu"), ("tiny-merged", "tiny", "cpu,cpu"):
        Trainer(data, replace(RAW, model=model), tmp_path / model).fit()
        mine, theirs = load_run(tmp_path / model), load_run(tmp_path / model, other, devices)
        assert theirs.net.nodes.keys() != mine.net.nodes.keys()
        view = View(2, 2, 16, 16)(data.images)
        answers = [r.net.predict(r.normalize(view, r.net.device)) for r in (mine, theirs)]
        np.testing.assert_allclose(*answers, rtol=1e-4, atol=1e-5)


def test_a_run_without_a_folder_says_that_it_keeps_nothing(garments):
    trainer = Trainer(garments, CONFIG, net=a_small_net())
    with pytest.raises(UserError, match="without a folder"):
        trainer.run.write_records([])
    with pytest.raises(UserError, match="without a folder"):
        trainer.run.resume(trainer.sgd, trainer.schedule, ())


def test_metrics_csv_is_rewritten_from_the_checkpoint(garments, tmp_path):
    trainer = Trainer(garments, CONFIG, tmp_path, net=a_small_net())
    trainer.fit()
    right = (tmp_path / "metrics.csv").read_text()
    (tmp_path / "metrics.csv").write_text(right + "9,9,9,9,9,9,9\n")
    assert Trainer(garments, CONFIG, tmp_path, net=a_small_net()).resume()
    assert (tmp_path / "metrics.csv").read_text() == right
    losses = [row["validation_loss"] for row in csv.DictReader(right.splitlines())]
    assert losses == [str(row["validation_loss"]) for row in trainer.history]


def test_the_rules_of_a_recipe_start_the_weights(tiny_models):
    start = Trainer(photographs(), replace(RAW, init="paper")).net.state_dict()
    assert start["conv1.weight"].std() == pytest.approx(0.01, rel=0.15)
    assert start["fc8.weight"].std() == pytest.approx(0.01, rel=0.15)
    small = Trainer(photographs(), replace(RAW, init="small-set")).net.state_dict()
    own = tiny().state_dict()
    assert all(np.array_equal(small[name], own[name]) for name in own)


@pytest.mark.parametrize(("standardize", "conv1"), [(True, (2 / 25) ** 0.5), (False, 0.01)])
def test_the_start_fits_the_pixels(garments, standardize, conv1):
    trainer = Trainer(garments, Config(standardize=standardize))
    weight = trainer.net.state_dict()["conv1.weight"]
    assert weight.std() == pytest.approx(conv1, rel=0.15)


def test_a_net_for_other_images_is_refused():
    def images(*shape):
        return ArrayDataset(np.zeros((20, *shape), np.uint8), np.arange(20) % 2)

    for shape in (1, 9, 9), (1, 27, 30), (2, 28, 28), (1, 56, 56):
        with pytest.raises(
            UserError, match="takes images of 1×28×28.*these have " + "×".join(map(str, shape))
        ):
            Trainer(images(*shape), net=a_small_net())
    assert Trainer(images(1, 55, 28), net=a_small_net()).train_loader.crop == View(13, 0, 28, 28)


@pytest.mark.parametrize("changed", ["labels", "names", "pixels"])
def test_a_run_does_not_go_on_with_other_data(tiny_models, tmp_path, changed):
    data = photographs()
    Trainer(data, RAW, tmp_path).fit(on_step=lambda trainer: trainer.stop())
    images, labels, names = data.images.copy(), data.labels.copy(), ["0", "1", "2"]
    if changed == "labels":
        labels = (labels + 1) % 3
    elif changed == "names":
        names[1] = "dog"
    else:
        images[0, 0, 0, 0] += 1
    with pytest.raises(CheckpointError, match="other images, or with other classes"):
        Trainer(ArrayDataset(images, labels, names), RAW, tmp_path).resume()
    assert Trainer(photographs(), replace(RAW, data="elsewhere"), tmp_path).resume()  # it moved


# ---- a stranger's -----------------------------------------------------------------------------


@pytest.fixture
def half_way(garments, tmp_path):
    """A run's folder that stopped in epoch 2; and a function that changes its meta and arrays."""
    config = replace(CONFIG, epochs=2, schedule="plateau", augment=False)
    trainer = Trainer(garments, config, tmp_path)
    trainer.fit(lambda trainer: trainer.steps == 6 and trainer.stop())

    def change(arrays=None, **meta):
        with np.load(tmp_path / "checkpoint.npz") as file:
            found = {**file, **(arrays or {})}
        found["meta"] = np.array(json.dumps({**json.loads(str(found["meta"])), **meta}))
        np.savez(tmp_path / "checkpoint.npz", **found)

    def resumed():
        trainer = Trainer(garments, config, tmp_path)
        trainer.resume()
        return trainer

    change()
    assert (resumed().epoch, resumed().batch) == (1, 1)
    return tmp_path, change, resumed


@pytest.mark.parametrize(
    "meta",
    [
        {"scale": 0},
        {"scale": float("nan")},
        {"scale": "1"},
        {"class_names": "T-shirt"},
        {"class_names": [1] * 10},
        {"class_names": None},
        {"config": None},
        {"config": {"epochs": 1.5}},
        {"config": {"surprise": 1}},
        {"layers": 3},
        {"images": ["x"]},
    ],
    ids=str,
)
def test_what_no_run_says(half_way, meta):
    folder, change, resumed = half_way
    change(**meta)
    for read in (resumed, lambda: load_run(folder)):
        with pytest.raises(CheckpointError, match=r"checkpoint\.npz"):
            read()


ROW = dict.fromkeys(METRICS, 1)


@pytest.mark.parametrize(
    "meta",
    [
        {"epoch": 0},
        {"epoch": 3, "history": [ROW] * 3},  # of two
        {"epoch": 10**400},
        {"batch": -1},
        {"batch": 10**6},
        {"batch": 2},
        {"batch": 1.0},
        {"seen": 10**6},
        {"correct": 33},
        {"loss_sum": float("nan")},
        {"seconds": "long"},
        {"finished": "no"},
        {"history": [{**ROW, "seconds": None}]},
        {"history": [{**ROW, "more": 1}]},
        {"history": [[1] * len(METRICS)]},
        {"schedule": {"rate": 1}},
        {"schedule": {"best": "low", "waited": 0, "dropped": 0}},
        {"schedule": {"best": 0.1, "waited": 0, "dropped": 0, "epoch_done": 1}},
        {"generators": {}},
        {"generators": {"drop6": 1, "drop7": 2}},
    ],
    ids=str,
)
def test_what_no_training_says(half_way, meta):
    folder, change, resumed = half_way
    change(**meta)
    with pytest.raises(CheckpointError, match=r"checkpoint\.npz"):
        resumed()
    assert load_run(folder).config.epochs == 2  # it needs none of that


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_no_numbers(half_way, value):
    folder, change, resumed = half_way
    weight = load_run(folder).net.state_dict()["fc8.weight"]
    weight[1, 2] = value
    change({"weights/fc8.weight": weight})
    for read in (resumed, lambda: load_run(folder)):
        with pytest.raises(CheckpointError, match=r"weights/fc8.weight has values"):
            read()


@pytest.mark.parametrize("mean", [np.zeros(()), np.zeros((1, 28)), np.zeros((1, 28, 28), int)])
def test_a_mean_that_is_no_image(half_way, mean):
    folder, change, _ = half_way
    change({"normalize/mean": mean})
    with pytest.raises(CheckpointError, match="normalize/mean"):
        load_run(folder)


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"epochs": ' + "9" * 5000 + "}", '{"lr": NaN}', '{"lr": 1e999}', "[]"]
)
def test_a_config_that_nobody_wrote(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(CheckpointError, match="is not a run's config"):
        read_config(tmp_path)


def test_a_pipe_for_a_config(tmp_path):
    os.mkfifo(tmp_path / "config.json")
    with pytest.raises(CheckpointError, match="a pipe or a device"):
        read_config(tmp_path)
