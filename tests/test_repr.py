"""What a notebook shows at the end of a cell: a line that says what the thing is."""

import numpy as np
import pytest
from small import RAW, photographs

from minitorch_alexnet.config import Config
from minitorch_alexnet.data.arrays import ArrayDataset
from minitorch_alexnet.data.image_folder import ImageFolder, Shards
from minitorch_alexnet.run import load_run
from minitorch_alexnet.train import Trainer


def test_a_data_set():
    pictures, labels = np.zeros((1200, 8, 9), np.uint8), np.arange(1200) % 5
    told = "(1,200 images (1, 8, 9) uint8, 5 classes: 0, 1, 2, …)"
    assert repr(ArrayDataset(pictures, labels)) == "ArrayDataset" + told
    one = ArrayDataset(pictures[:2] / 255, labels[:2] * 0, ["\x1b[31mcat"])
    assert repr(one) == r"ArrayDataset(2 images (1, 8, 9) float64, 1 class: \x1b[31mcat)"
    folder = ImageFolder(
        Shards([np.zeros((2, 3, 8, 8), np.uint8)]), labels[:2], ("a", "b"), pictures, 1.0, pictures
    )
    assert repr(folder) == "ImageFolder(2 images (3, 8, 8) uint8, 2 classes: a, b)"


@pytest.mark.parametrize(
    "config",
    [
        Config(),
        Config(epochs=7, augment=True),
        Config("small-set", batch_size=8),
        Config("paper", devices=("cpu:0", "cpu:1")),
    ],
    ids=repr,
)
def test_a_config_is_what_makes_it(config):
    assert eval(repr(config)) == config
    assert len(repr(config)) < 80


def test_a_training_and_what_it_is_made_of(tiny_models, tmp_path):
    trainer = Trainer(photographs(), RAW, tmp_path / "run")
    trainer.fit()
    net = "Graph((3, 16, 16), nodes: 12, parameters: 1,475, on cpu:0, cpu:1)"
    data = "ArrayDataset(44 images (3, 20, 20) uint8, 3 classes: 0, 1, 2)"
    assert repr(trainer.net) == net
    assert repr(trainer) == f"Trainer(2 of 2 epochs done, {net}, {data})"
    assert repr(trainer.train_loader) == f"Loader({data}, batch_size=16, 3 batches)"
    mean = trainer.normalize.mean.mean()
    assert repr(trainer.normalize) == (
        f"Normalize(mean of (3, 20, 20), on average {mean:.4g}; scale 1)"
    )
    run = load_run(tmp_path / "run")
    assert repr(run) == f"Run({tmp_path / 'run'}, 3 classes, tiny: {net})"
