"""Which data set one gets for a name, and when silhouettes stand in for Fashion-MNIST."""

import numpy as np
import pytest

from minitorch_alexnet import data
from minitorch_alexnet.data import fashion_mnist, image_folder, silhouettes
from minitorch_alexnet.data.arrays import ArrayDataset
from minitorch_alexnet.errors import DataError


@pytest.fixture
def asked(monkeypatch):
    """Small data sets instead of the real ones; the list of what was asked of them."""
    asked = []
    draw = silhouettes.load

    def drawn(split):
        asked.append(("silhouettes", split))
        return draw(split, count={"train": 20, "test": 10}[split])

    def real(split, data_dir=None):
        asked.append(("fashion-mnist", split, data_dir))
        images = np.full(({"train": 6, "test": 4}[split], 28, 28), 9, np.uint8)
        return ArrayDataset(images, np.zeros(len(images), int), fashion_mnist.CLASS_NAMES)

    monkeypatch.setattr(silhouettes, "load", drawn)
    monkeypatch.setattr(fashion_mnist, "load", real)
    return asked


@pytest.fixture
def unavailable(asked, monkeypatch):
    def load(split, data_dir=None):
        raise DataError("planted: not to be had")

    monkeypatch.setattr(fashion_mnist, "load", load)


@pytest.mark.parametrize("data_dir", [None, "some/folder"])
@pytest.mark.parametrize("name", ["auto", "fashion-mnist"])
def test_fashion_mnist_where_it_is_to_be_had(name, data_dir, asked):
    loaded = data.load(name, data_dir)
    assert (loaded.name, loaded.note) == ("fashion-mnist", "")
    assert (len(loaded.train), len(loaded.test)) == (6, 4)
    assert loaded.validation is None  # it brings none of its own
    assert asked == [("fashion-mnist", split, data_dir) for split in ("train", "test")]


def test_auto_is_the_default(asked):
    assert data.load().name == "fashion-mnist"


def test_auto_falls_back_and_says_so(asked, unavailable):
    loaded = data.load("auto")
    assert (loaded.name, loaded.validation) == ("silhouettes", None)
    assert (len(loaded.train), len(loaded.test)) == (20, 10)
    assert loaded.note.startswith("drawn silhouettes take the place of Fashion-MNIST")
    assert "planted: not to be had" in loaded.note


def test_silhouettes_when_asked_for_need_no_note(asked, monkeypatch):
    monkeypatch.delattr(fashion_mnist, "load")  # not even tried
    loaded = data.load("silhouettes")
    assert (loaded.name, loaded.note) == ("silhouettes", "")
    assert asked == [("silhouettes", "train"), ("silhouettes", "test")]


@pytest.mark.parametrize(
    ("name", "data_dir"),
    [("fashion-mnist", None), ("fashion-mnist", "some/folder"), ("auto", "some/folder")],
)
def test_what_was_asked_for_by_name_or_folder_is_not_replaced(name, data_dir, asked, unavailable):
    with pytest.raises(DataError, match="planted: not to be had"):
        data.load(name, data_dir)
    assert asked == []


def test_a_folder_without_the_files_is_named(tmp_path):
    with pytest.raises(DataError, match="--data-dir needs a folder with") as error:
        data.load("auto", str(tmp_path))
    assert str(tmp_path) in str(error.value)


@pytest.mark.parametrize("name", ["mnist", "", "Fashion-MNIST"])
def test_unknown_name(name, asked):
    with pytest.raises(DataError) as error:
        data.load(name)
    assert f"unknown data set {name!r}" in str(error.value)
    assert "auto, fashion-mnist, silhouettes, cifar-10, or a folder of images" in str(error.value)


def test_a_prepared_folders_val_is_what_a_training_is_watched_and_tested_with(
    tmp_path, monkeypatch
):
    (tmp_path / "birds").mkdir()
    train, val = object(), object()
    read = {"birds": (train, val)}
    monkeypatch.setattr(image_folder, "load", lambda folder: read[str(folder)])
    monkeypatch.chdir(tmp_path)
    loaded = data.load("birds")
    assert (loaded.train, loaded.validation, loaded.test) == (train, val, val)
    assert (loaded.name, loaded.note) == (str(tmp_path.resolve() / "birds"), "")


def test_a_folder_that_is_not_prepared_is_refused(tmp_path):
    with pytest.raises(DataError, match="is not a prepared folder") as error:
        data.load(str(tmp_path))
    assert str(tmp_path) in str(error.value)


def test_a_file_is_no_data_set(tmp_path):
    path = tmp_path / "images.npz"
    path.touch()
    with pytest.raises(DataError, match=r"images.npz is no folder"):
        data.load(str(path))


def test_images_that_have_moved(tmp_path):
    """A run keeps the whole path of its images."""
    with pytest.raises(DataError, match=r"there is no folder .*gone; .*--data says where it is"):
        data.load(str(tmp_path / "gone"))
