"""A prepared folder of photographs (see prepare.py) as a data set that stays on disk."""

import contextlib
import errno
import json
import math
import os
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np

from ..errors import DataError
from ..files import open_file
from ..words import data_set, printable
from .deep import LEVELS
from .span import BYTES

FORMAT = 1
SPLITS = ("train", "val")


class Shard:
    """The images (n, 3, S, S) uint8 of an .npy file, which is open only while it is read.

    checksums: their CRC-32, held against each image whenever it is read (some milliseconds for a
        batch; to check a large set at once, when it is loaded, would take minutes), or
        None in folders of versions up to 0.2
    Reading raises DataError, naming the file, if it is gone, cut or other than it was made.
    """

    dtype = np.dtype(np.uint8)

    def __init__(self, path: Path, checksums: np.ndarray | None = None):
        self.path, self.checksums = path, checksums
        with open_file(path) as file:
            version = np.lib.format.read_magic(file)
            expect("version", version, (1, 0))
            self.shape, in_columns, dtype = np.lib.format.read_array_header_1_0(file)
            expect("dtype", dtype, self.dtype)
            expect("order by columns", in_columns, False)
            self._start, self._each = file.tell(), math.prod(self.shape[1:])
            expect("bytes", os.fstat(file.fileno()).st_size, self._start + math.prod(self.shape))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: np.ndarray) -> np.ndarray:
        """index: (k,) integers, as an array takes them"""
        images = np.empty((len(index), *self.shape[1:]), self.dtype)
        with reading(self.path), open(self.path, "rb", buffering=0) as file:
            for number, image in zip((index % len(self)).tolist(), images, strict=True):
                file.seek(self._start + number * self._each)
                if file.readinto(image) != self._each:
                    raise ValueError("it has become shorter")
                if self.checksums is not None and zlib.crc32(image) != self.checksums[number]:
                    raise ValueError(f"image {number} is not the one that was made")
        return images


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
    whites: which level counts as white in files of more than 8 bits, by kind (see deep.py)
    """

    images: Shards
    labels: np.ndarray
    class_names: tuple[str, ...]
    mean: np.ndarray
    deviation: float
    covariance: np.ndarray
    span: ClassVar = BYTES
    whites: Mapping[str, float] = field(default_factory=dict)

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        return data_set(self)

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
    facts = read_facts(folder)
    parts = [_load_split(folder, split, facts) for split in SPLITS]
    with reading_arrays(folder / "statistics.npz") as arrays:
        mean, deviation, covariance = _checked_statistics(arrays, facts.size)
    train, val = (
        ImageFolder(*part, facts.class_names, mean, deviation, covariance, facts.whites)
        for part in parts
    )
    return train, val


class Facts(NamedTuple):
    """What prepared.json says. images, shards: how many, by split."""

    size: int
    class_names: tuple[str, ...]
    images: dict[str, int]
    shards: dict[str, int]
    whites: Mapping[str, float]


def read_facts(folder: Path) -> Facts:
    """Raises DataError if the folder is not prepared, or its prepared.json not what we write."""
    if not is_prepared(folder):
        raise DataError(f"{folder} is not a prepared folder, or not wholly: prepare it first")
    with reading(folder / "prepared.json") as path:
        facts = json.loads(path.read_text(encoding="utf-8"))
        expect("format", facts["format"], FORMAT)
        names = facts["class_names"]
        if not names or not isinstance(names, list) or not all(isinstance(n, str) for n in names):
            raise ValueError("expected class_names to be a list of texts")
        if len(set(names)) < len(names):
            raise ValueError("two classes have the same name")
        images, shards = (
            {split: _count(f"{split} {what}", facts[split][what]) for split in SPLITS}
            for what in ("images", "shards")
        )
        whites = check_whites(facts.get("whites", {}))  # up to version 0.2 there were none
        size = _count("size", facts["size"])
        return Facts(size, tuple(map(printable, names)), images, shards, whites)


def check_whites(whites) -> Mapping[str, float]:
    """ValueError if they are not levels by kind."""
    levels = whites.values() if isinstance(whites, dict) and whites.keys() <= LEVELS.keys() else [0]
    if not all(type(level) in (int, float) and 0 < level < math.inf for level in levels):
        raise ValueError(f"expected levels of white, got {whites}")
    return whites


def shard_file(folder: Path, split: str, number: int, suffix: str) -> Path:
    return folder / f"{split}-{number:04}.{suffix}"


@contextlib.contextmanager
def reading(path: Path) -> Iterator[Path]:
    """Whatever goes wrong meanwhile becomes a DataError about the file."""
    try:
        yield path
    except DataError:
        raise
    except MemoryError as error:
        raise DataError(f"{path} takes more memory than there is, or is damaged") from error
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
    with reading(path), open_file(path) as file, np.load(file) as arrays:
        yield arrays


def expect(what: str, found, wanted) -> None:
    if found != wanted:
        raise ValueError(f"expected {what} {wanted}, got {found}")


def _count(what: str, value) -> int:
    if type(value) is not int or value < 1:
        raise ValueError(f"expected {what} to be a number of at least 1, got {value!r:.40}")
    return value


def _load_split(folder: Path, split: str, facts: Facts) -> tuple[Shards, np.ndarray]:
    pixels, labels = [], []
    for number in range(facts.shards[split]):
        with reading_arrays(shard_file(folder, split, number, "npz")) as arrays:
            labels.append(_checked_labels(arrays["labels"], len(facts.class_names)))
            checksums = arrays.get("checksums")
            if checksums is not None:
                expect("checksums", checksums.shape, labels[-1].shape)
        with reading(shard_file(folder, split, number, "npy")) as path:
            shard = Shard(path, checksums)
            expect("shape", shard.shape, (len(labels[-1]), 3, facts.size, facts.size))
            pixels.append(shard)
    with reading(folder / "prepared.json"):
        expect(f"{split} images", sum(map(len, labels)), facts.images[split])
    return Shards(pixels), np.concatenate(labels)


def _checked_labels(labels: np.ndarray, classes: int) -> np.ndarray:
    expect("labels' type and dimensions", (labels.dtype, labels.ndim), (np.dtype(np.int64), 1))
    if len(labels) and not 0 <= labels.min() <= labels.max() < classes:
        raise ValueError(f"expected labels from 0 to {classes - 1}")
    return labels


def _checked_statistics(arrays: Mapping, size: int) -> tuple[np.ndarray, float, np.ndarray]:
    """The mean, the deviation and the covariance."""
    mean, deviation, covariance = (arrays[n] for n in ("mean", "deviation", "covariance"))
    expect("mean's shape", mean.shape, (3, size, size))
    expect("covariance's shape", covariance.shape, (3, 3))
    possible = {  # of pixels from 0 to 255; a number that is none is not
        "mean": 0 <= mean.min() <= mean.max() <= 255,
        "deviation": 0 <= deviation <= 127.5,
        "covariance": np.isfinite(covariance).all()
        and np.array_equal(covariance, covariance.T)
        and np.linalg.eigvalsh(covariance).min() >= -1e-6 * max(1, np.trace(covariance)),
    }
    if wrong := [name for name, holds in possible.items() if not holds]:
        raise ValueError(f"its {wrong[0]} cannot be that of any images")
    return mean.astype(np.float32, copy=False), float(deviation) or 1.0, covariance
