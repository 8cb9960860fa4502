"""A prepared folder of photographs (see prepare.py) as a data set that stays on disk."""

import contextlib
import errno
import functools
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np

from ..errors import DataError
from .span import BYTES

FORMAT = 1
SPLITS = ("train", "val")
OPEN_FILES = 64  # at once; systems allow some 256 or 1024


class Shard:
    """An array in a file, open only while it is among the last that were read."""

    def __init__(self, path: Path):
        self._file = path, path.stat().st_mtime_ns  # made anew it is another file
        array = _mapped(*self._file)
        self.shape, self.dtype = array.shape, array.dtype

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index) -> np.ndarray:
        return _mapped(*self._file)[index]


@functools.lru_cache(OPEN_FILES)
def _mapped(path: Path, changed: int) -> np.ndarray:
    return np.asarray(np.load(path, mmap_mode="r"))


class Shards:
    """The images of a split, (N, 3, S, S) uint8, read from disk when asked for, by any thread.

    arrays: (n, 3, S, S) uint8, one a shard
    index: (N,) integers that pick among the images of all arrays; default all, in order
    """

    dtype, ndim = np.dtype(np.uint8), 4

    def __init__(self, arrays: Sequence[np.ndarray | Shard], index: np.ndarray | None = None):
        self._arrays = arrays
        self._ends = np.cumsum([len(array) for array in arrays])
        self._index = np.arange(self._ends[-1]) if index is None else index

    def __len__(self) -> int:
        return len(self._index)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return (len(self), *self._arrays[0].shape[1:])

    def __getitem__(self, index) -> np.ndarray:
        """A new array: (3, S, S) for an integer, (n, 3, S, S) for a slice or integers."""
        chosen = np.asarray(self._index[index])
        shard = np.searchsorted(self._ends, chosen, side="right")
        images = np.empty((*chosen.shape, *self.shape[1:]), self.dtype)
        for k in np.unique(shard):
            here = shard == k
            images[here] = self._arrays[k][chosen[here] - self._ends[k]]  # counted from its end
        return images

    def subset(self, index) -> "Shards":
        """What `index` (a slice or integers) picks; nothing is read yet."""
        return Shards(self._arrays, self._index[index])


@dataclass(frozen=True, eq=False)
class ImageFolder:
    """One split, and what its training set's pixels are like.

    images (N, 3, S, S) uint8; labels (N,) int64 in 0 … num_classes-1
    mean: (3, S, S) float32, of each pixel over the training images
    deviation: the standard one of all pixels, each about its own mean; 1 if they never vary
    covariance: (3, 3) float64, of the RGB values over all training pixels
    """

    images: Shards
    labels: np.ndarray
    class_names: tuple[str, ...]
    mean: np.ndarray
    deviation: float
    covariance: np.ndarray
    span: ClassVar = BYTES

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    def __len__(self) -> int:
        return len(self.labels)

    def subset(self, index) -> "ImageFolder":
        """What `index` (a slice or integers) picks, all else the same."""
        return replace(self, images=self.images.subset(index), labels=self.labels[index])


def is_prepared(folder: str | Path) -> bool:
    return os.path.isfile(Path(folder, "prepared.json"))


def load(folder: str | Path) -> tuple[ImageFolder, ImageFolder]:
    """The training and the validation split; no image is read yet.

    Raises DataError, naming the file, if one is missing, damaged or of another preparation.
    """
    folder = Path(folder)
    if not is_prepared(folder):
        raise DataError(f"{folder} is not a prepared folder, or not wholly: prepare it first")
    with reading(folder / "prepared.json") as path:
        facts = json.loads(path.read_text(encoding="utf-8"))
        expect("format", facts["format"], FORMAT)
        size, names = facts["size"], tuple(facts["class_names"])
        parts = [_load_split(folder, split, size, **facts[split]) for split in SPLITS]
    with reading_arrays(folder / "statistics.npz") as arrays:
        mean, covariance = arrays["mean"], arrays["covariance"]
        deviation = float(arrays["deviation"]) or 1.0
        expect("mean's shape", mean.shape, (3, size, size))
    train, val = (ImageFolder(*part, names, mean, deviation, covariance) for part in parts)
    return train, val


def shard_file(folder: Path, split: str, number: int, suffix: str) -> Path:
    return folder / f"{split}-{number:04}.{suffix}"


@contextlib.contextmanager
def reading(path: Path) -> Iterator[Path]:
    """Whatever goes wrong meanwhile becomes a DataError about the file."""
    try:
        yield path
    except DataError:
        raise
    except Exception as error:  # damaged bytes make the readers raise all sorts of things
        reason = "it is missing" if isinstance(error, FileNotFoundError) else error
        if isinstance(error, OSError) and error.errno not in (None, errno.ENOENT, errno.EINVAL):
            raise DataError(f"cannot read {path}: {error.strerror}") from error
        raise DataError(
            f"{path} is not whole: {reason}; delete the folder {path.parent} and prepare it again"
        ) from error


@contextlib.contextmanager
def reading_arrays(path: Path) -> Iterator[Mapping[str, np.ndarray]]:
    """The arrays in an .npz file by name, with `reading`'s errors."""
    with reading(path), open(path, "rb") as file, np.load(file) as arrays:
        yield arrays


def expect(what: str, found, wanted) -> None:
    if found != wanted:
        raise ValueError(f"expected {what} {wanted}, got {found}")


def _load_split(
    folder: Path, split: str, size: int, images: int, shards: int
) -> tuple[Shards, np.ndarray]:
    pixels, labels = [], []
    for number in range(shards):
        with reading_arrays(shard_file(folder, split, number, "npz")) as arrays:
            labels.append(arrays["labels"])
        with reading(shard_file(folder, split, number, "npy")) as path:
            array = Shard(path)
            expect("shape", array.shape, (len(labels[-1]), 3, size, size))
            expect("dtype", array.dtype, Shards.dtype)
            pixels.append(array)
    expect(f"{split} images", sum(map(len, labels)), images)
    return Shards(pixels), np.concatenate(labels)
