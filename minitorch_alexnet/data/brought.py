"""Arrays that users bring, in all the shapes they come in: taken, or refused with the way out."""

from collections import Counter
from collections.abc import Iterable, Mapping, Set
from typing import Any

import numpy as np

from ..errors import DataError
from ..words import kind_of

BY_VALUE = (
    "names, labels = np.unique(labels, return_inverse=True), and class_names=names.astype(str)"
)


def as_images(images: Any, labels: np.ndarray) -> np.ndarray:
    """Images (N, C, H, W), uint8 or floating point, not copied; (N, H, W) gains one channel.

    labels: as_array's, which tell the axis of the images
    """
    x = as_array("images", images)
    one, rows = "images[None] if they are one", "images.reshape(-1, C, H, W) if they are rows"
    if x.ndim not in (3, 4):
        raise DataError(
            f"images must be (N, C, H, W) or (N, H, W), got shape {x.shape}: {one}, {rows}"
        )
    if labels.shape[:1] == x.shape[-1:] != x.shape[:1]:
        axes = "3, 2, 0, 1" if x.ndim == 4 else "2, 0, 1"
        raise DataError(
            f"images must be (N, C, H, W) or (N, H, W), got shape {x.shape} for {len(labels)}"
            f" labels: images.transpose({axes})"
        )
    if channels_last(x):
        axes = "(0, 3, 1, 2)" if x.ndim == 4 else "(2, 0, 1)[None]"
        raise DataError(
            f"images must be (N, C, H, W), channels before rows and columns, got shape {x.shape}:"
            f" images.transpose{axes}"
        )
    x = x if x.ndim == 4 else x[:, None]
    if x.dtype != np.uint8 and not np.issubdtype(x.dtype, np.floating):
        raise DataError(f"images must be uint8 or floating point, got {x.dtype}{_as_pixels(x)}")
    if len(x) and not x.size:
        raise DataError(f"images must have pixels, got shape {x.shape}")
    return x


def channels_last(x: np.ndarray) -> bool:
    """Is it (N, H, W, C), or one image (H, W, C)?"""
    return x.ndim in (3, 4) and x.shape[-1] <= 4 < x.shape[1]


def _as_pixels(x: np.ndarray) -> str:
    """The way out for another dtype."""
    if x.dtype.kind not in "iub" or not x.size:
        return ""
    bytes_fit = x.dtype.kind != "b" and x.min() >= 0 and x.max() <= 255
    return ": images.astype(np.uint8)" if bytes_fit else ": images.astype(np.float32)"


def as_labels(y: np.ndarray, count: int) -> np.ndarray:
    """Labels (N,), int64, of `count` images."""
    if y.shape != (count,):
        way = ""
        if y.size == 1:
            way = ": images[None] if they are one"
        elif y.size == count:
            way = ": np.ravel(labels)"
        elif y.ndim == 2 and len(y) == count:
            way = ": np.argmax(labels, axis=1) if a row is one class's 1 among 0s"
        raise DataError(
            f"labels must be one integer an image, ({count},), got shape {y.shape}{way}"
        )
    if not count:
        raise DataError("a data set needs at least one image, got none")
    if y.dtype.kind not in "iu":
        way = "labels.astype(int)" if _whole(y) else BY_VALUE
        if y.dtype.kind == "f" and np.isnan(y).any():
            way = "leave out the images whose label is nan"
        raise DataError(f"labels must be integers, got {y.dtype}: {way}")
    return y.astype(np.int64)


def _whole(y: np.ndarray) -> bool:
    """Would integers say the same?"""
    if y.dtype.kind == "f":
        return bool(((y == np.floor(y)) & (np.abs(y) < 2**53)).all())
    return y.dtype.kind == "b"


def as_class_names(given: Iterable | None, labels: np.ndarray) -> tuple[str, ...]:
    """A name a class: those given, or the numbers of the labels, which then leave none out."""
    names = _numbers(labels) if given is None else _names(given)
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= len(names):
        way = "leave those images out, or name all classes"
        if (low, high) == (1, len(names)):
            way = "these count from 1: labels - 1"
        raise DataError(
            f"label {low if low < 0 else high} is outside 0…{len(names) - 1} ({len(names)}"
            f" classes): {way}"
        )
    return names


def _numbers(labels: np.ndarray) -> tuple[str, ...]:
    found = np.unique(labels)
    low, high, count = int(found[0]), int(found[-1]), len(found)
    if low < 0 or count <= high:
        way = BY_VALUE
        if (low, high) == (1, count):
            way = "labels - 1"
        for end in (low, high) if count > 1 else ():
            if np.array_equal(found[found != end], np.arange(count - 1)):
                way = f"leave out those images, by labels != {end}, if it means none of the classes"
        raise DataError(
            f"labels must be 0…{count - 1}, each with an image; got {count} different ones in"
            f" {low}…{high}: {way}; or name all classes, those without an image too, in class_names"
        )
    return tuple(map(str, range(high + 1)))


def _names(given: Iterable) -> tuple[str, ...]:
    if isinstance(given, str | bytes | Mapping | Set) or not isinstance(given, Iterable):
        raise DataError(
            "class_names must be a list of names, in the order of the classes' numbers, got"
            f" {given!r:.80}"
        )
    names = []
    for name in given:
        if isinstance(name, bool) or not isinstance(name, str | int | np.integer):
            raise DataError(f"class_names must be text, a name a class, got {name!r:.80}")
        names.append(str(name))
    if not names:
        raise DataError("class_names must name each class, got none")
    name, times = Counter(names).most_common(1)[0]
    if times > 1:
        raise DataError(f"class_names must differ, got {name!r} {times} times")
    return tuple(names)


def as_array(what: str, values: Any) -> np.ndarray:
    """NumPy's, of whatever it can make one of."""
    try:
        x = np.asarray(values)
    except ValueError:  # lists in lists, of several lengths
        x = np.empty(0, object)
    except Exception as error:  # other libraries' arrays, which say what to do
        raise DataError(f"{what} cannot be made a NumPy array: {error}") from error
    if x.ndim == 0 and x.dtype.kind in "OSU":
        raise DataError(f"{what} must be an array, got {kind_of(values)}")
    if np.ma.is_masked(values):
        raise DataError(f"{what} are masked in part: leave those images out")
    if x.dtype == object and what == "images":
        raise DataError("images must be one array: cut or scale them to one size, then np.stack")
    return x
