"""CIFAR-10 in its binary edition: six files of records, in a folder or in the archive.

50,000 training and 10,000 test pictures, RGB, 32 × 32, in ten classes of equal size.
Source: https://www.cs.toronto.edu/~kriz/cifar.html (A. Krizhevsky, Learning Multiple Layers of
Features from Tiny Images, 2009). The Python edition needs pickle, which can run whatever a file
says; the binary one is bytes and no more.
"""

import gzip
import tarfile
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from ..errors import DataError
from ..files import open_file
from .arrays import ArrayDataset

CLASS_NAMES = (
    "airplane", "automobile", "bird", "cat", "deer",
    "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
TRAIN = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
TEST = ("test_batch.bin",)
FOLDER, ARCHIVE = "cifar-10-batches-bin", "cifar-10-binary.tar.gz"
URL = f"https://www.cs.toronto.edu/~kriz/{ARCHIVE}"
RECORDS = 10_000  # a file
SHAPE = (3, 32, 32)  # red, green and blue, each row by row
MOST_BYTES = 2**28  # in the archive: the six files have 184 million
RECORD = 1 + 3 * 32 * 32  # bytes: the label, then the pixels


def load(place: str | Path | None) -> tuple[ArrayDataset, ArrayDataset]:
    """The training and the test split: images uint8 (N, 3, 32, 32), labels int64 (N,).

    place: the folder with the six .bin files, the one that holds it or the archive, or the archive

    Raises DataError if there is none, or on a file that is missing, damaged or of another length.
    """
    if place is None:
        raise DataError(
            f"CIFAR-10 is not downloaded for you: fetch {URL} (170 MB) and pass it, or the folder"
            " unpacked from it, with --data-dir"
        )
    files = _read(Path(place))
    return _joined(files, TRAIN, place), _joined(files, TEST, place)


def _read(place: Path) -> dict[str, bytes]:
    """The files' bytes by name, those that are there; of a file that is too long, one too many."""
    if (place / ARCHIVE).exists() and not (place / FOLDER).is_dir():
        place = place / ARCHIVE
    try:
        if place.exists() and not place.is_dir():
            return _unpacked(place)
        folder = place / FOLDER if (place / FOLDER).is_dir() else place
        return {
            path.name: _some(open_file(path))
            for path in map(folder.joinpath, TRAIN + TEST)
            if path.exists()
        }
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, ValueError) as error:
        raise DataError(f"{place}: expected {ARCHIVE}, whole, got one damaged: {error}") from error
    except OSError as error:
        raise DataError(f"{place}: cannot be read: {error.strerror or error}") from error


def _some(file) -> bytes:
    with file:
        return file.read(RECORDS * RECORD + 1)


def _unpacked(archive: Path) -> dict[str, bytes]:
    _expect_whole(archive)
    files: dict[str, bytes] = {}
    with tarfile.open(archive, "r:gz") as tar:
        for member in tar:  # read where they lie: nothing is written
            name = Path(member.name).name
            if name in TRAIN + TEST and member.isfile():
                if name in files:
                    raise ValueError(f"it has two {name}")
                files[name] = _some(tar.extractfile(member))
    return files


def _expect_whole(archive: Path) -> None:
    """Read to the end, where gzip's check sum is due: tarfile stops before it."""
    size = 0
    with open_file(archive) as file, gzip.open(file) as content:
        while some := content.read(2**20):
            if (size := size + len(some)) > MOST_BYTES:
                raise ValueError(f"there are more than {MOST_BYTES:,} bytes in it")


def _joined(files: dict[str, bytes], names: Iterable[str], place) -> ArrayDataset:
    """The records of the files, one after the other."""
    labels, images = [], []
    for name in names:
        if name not in files:
            raise DataError(
                f"{place} has no {name}: expected {FOLDER} or {ARCHIVE}, CIFAR-10's binary edition"
                f" from {URL}"
            )
        records = _records(files[name], f"{place}: {name}")
        labels.append(records[:, 0])
        images.append(records[:, 1:].reshape(-1, *SHAPE))
    return ArrayDataset(np.concatenate(images), np.concatenate(labels), CLASS_NAMES)


def _records(content: bytes, name: str) -> np.ndarray:
    """(RECORDS, RECORD) uint8."""
    if len(content) != (wanted := RECORDS * RECORD):
        got = "more" if len(content) > wanted else f"{len(content):,}"
        raise DataError(f"{name}: expected {wanted:,} bytes, got {got}: fetch {URL} anew")
    records = np.frombuffer(content, np.uint8).reshape(RECORDS, RECORD)
    if (highest := np.max(records[:, 0])) >= len(CLASS_NAMES):
        raise DataError(f"{name}: expected labels 0…9, got {highest}: this is not CIFAR-10")
    return records
