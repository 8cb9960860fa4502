"""What a training leaves for whoever starts it from Python."""

import csv
import json
import os

import numpy as np
import pytest
from command import FILES
from small import a_small_net

from minitorch_alexnet.config import Config
from minitorch_alexnet.data.arrays import ArrayDataset
from minitorch_alexnet.errors import UserError
from minitorch_alexnet.results import keep_results
from minitorch_alexnet.train import Trainer

CONFIG = Config(epochs=1, batch_size=32, lr=0.02)


def test_all_that_the_command_line_leaves(garments, tmp_path):
    trainer = Trainer(garments, CONFIG, tmp_path)
    trainer.fit()
    test = keep_results(trainer, garments)
    assert set(os.listdir(tmp_path)) == FILES
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
    assert set(os.listdir(tmp_path / "odd")) == FILES - {"filters.png", "mistakes.png"}


def test_a_net_that_begins_with_no_kernels_tested_on_what_it_was_watched_with(garments, tmp_path):
    trainer = Trainer(garments, CONFIG, tmp_path, net=a_small_net(), validation=garments)
    trainer.fit()
    keep_results(trainer, garments)
    assert set(os.listdir(tmp_path)) == FILES - {"filters.png"}
    assert json.loads((tmp_path / "result.json").read_text())["tested_on"] == "validation"


def test_nothing_to_keep(garments, tmp_path):
    with pytest.raises(UserError, match="without a folder keeps no results"):
        keep_results(Trainer(garments, CONFIG, net=a_small_net()), garments)
    with pytest.raises(UserError, match="no rows"):
        keep_results(Trainer(garments, CONFIG, tmp_path, net=a_small_net()), garments)
    assert os.listdir(tmp_path) == []
