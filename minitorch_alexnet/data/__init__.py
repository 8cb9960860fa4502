"""Data sets by name."""

import os
from dataclasses import dataclass
from pathlib import Path

from ..errors import DataError
from ..words import unknown
from . import cifar10, fashion_mnist, image_folder, silhouettes
from .arrays import ArrayDataset
from .image_folder import ImageFolder

DATASETS = ("auto", "fashion-mnist", "silhouettes", "cifar-10")


@dataclass(frozen=True)
class Data:
    """A data set to train on and one to test on.

    validation: to watch a training with, where the set brings one; note: why it is not the data
    hoped for, or ""
    """

    name: str
    train: ArrayDataset | ImageFolder
    test: ArrayDataset | ImageFolder
    validation: ImageFolder | None = None
    note: str = ""


def load(name: str = "auto", data_dir: str | None = None) -> Data:
    """auto is Fashion-MNIST if it can be had, and else the drawn silhouettes, with a note.

    name: one of DATASETS, or the folder that `prepare` has filled: its val is both validation and
          test
    data_dir: where Fashion-MNIST's four files are, and nothing else will do; or CIFAR-10, which
              has to be given
    Raises DataError if `name` is unknown or its data cannot be had.
    """
    if name == "arrays":
        raise DataError("the run's images were arrays in Python: go on with it there")
    if data_dir and name not in ("auto", "fashion-mnist", "cifar-10"):
        raise DataError(f"--data-dir is for Fashion-MNIST's files or CIFAR-10's, not for {name}")
    if name not in DATASETS:
        return _folder(name)
    if name == "cifar-10":
        return Data(name, *cifar10.load(data_dir))
    note = ""
    if name != "silhouettes":
        try:
            train, test = (fashion_mnist.load(split, data_dir) for split in ("train", "test"))
            return Data("fashion-mnist", train, test)
        except DataError as error:
            if name == "fashion-mnist" or data_dir:
                raise
            note = f"drawn silhouettes take the place of Fashion-MNIST: {error}"
    train, test = (silhouettes.load(split) for split in ("train", "test"))
    return Data("silhouettes", train, test, note=note)


def _folder(name: str) -> Data:
    if not name or not Path(name).is_dir():
        raise DataError(_no_folder(name))
    train, val = image_folder.load(name)
    return Data(str(Path(name).resolve()), train, val, validation=val)


def _no_folder(name: str) -> str:
    """What is wrong with it: images that have moved, a file, a name that is none."""
    if name and os.path.lexists(name):
        return f"{name} is no folder: expected one of images"
    if os.path.isabs(name):
        return f"there is no folder {name}; if the images have moved, --data says where it is now"
    return unknown("data set", name, DATASETS, ", or a folder of images that is there")
