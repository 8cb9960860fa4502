"""Data sets by name."""

from dataclasses import dataclass

from ..errors import DataError
from . import fashion_mnist, silhouettes
from .arrays import ArrayDataset

DATASETS = ("auto", "fashion-mnist", "silhouettes")


@dataclass(frozen=True)
class Data:
    """A data set's two halves. note: why it is not the one hoped for, or ""."""

    name: str
    train: ArrayDataset
    test: ArrayDataset
    note: str = ""


def load(name: str = "auto", data_dir: str | None = None) -> Data:
    """auto is Fashion-MNIST if it can be had, and else the drawn silhouettes, with a note.

    data_dir: where Fashion-MNIST's four files are; given one, nothing else will do.
    Raises DataError if `name` is unknown or its data cannot be had.
    """
    if name == "arrays":
        raise DataError("the run's images were arrays in Python: go on with it there")
    if name not in DATASETS:
        raise DataError(f"unknown data set {name!r}: expected one of {', '.join(DATASETS)}")
    note = ""
    if name != "silhouettes":
        try:
            train, test = (fashion_mnist.load(split, data_dir) for split in ("train", "test"))
            return Data("fashion-mnist", train, test)
        except DataError as error:
            if name == "fashion-mnist" or data_dir:
                raise
            note = f"drawn silhouettes take the place of Fashion-MNIST: {error}"
    return Data("silhouettes", silhouettes.load("train"), silhouettes.load("test"), note)
