"""Your own arrays as a data set."""

import math
from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from ..errors import DataError
from ..words import data_set
from .brought import as_array, as_class_names, as_images, as_labels
from .span import Span


class Picked(NDArrayOperatorsMixin):
    """The images at some rows of an array, without a copy of them.

    Where one is asked for, by integers or a slice, it is of those alone; whatever else an array
    can do, a copy of them all does.
    """

    def __init__(self, array: np.ndarray, rows: np.ndarray):
        self._array, self._rows = array, rows
        self.shape, self.dtype, self.ndim = (len(rows), *array.shape[1:]), array.dtype, array.ndim

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index) -> np.ndarray:
        if isinstance(index, tuple):
            return np.asarray(self)[index]
        return self._array[self._rows[index]]

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self._array[row] for row in self._rows)

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return self._array[self._rows].astype(dtype or self.dtype, copy=False)

    def __array_ufunc__(self, ufunc, method, *inputs, **options):
        arrays = [np.asarray(x) if isinstance(x, Picked) else x for x in inputs]
        return getattr(ufunc, method)(*arrays, **options)

    def __getattr__(self, name: str):
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(np.asarray(self), name)

    def subset(self, index) -> "Picked":
        return Picked(self._array, self._rows[index])


class ArrayDataset:
    """Images and labels in memory, or on disk as np.load(file, mmap_mode="r") has them.

    images: (N, C, H, W), uint8 (0-255) or floating point; (N, H, W) gains one channel
    labels: (N,) integers in 0 … num_classes-1
    class_names: one name a class, in order; some may have no image. Default "0", "1", …, of
                 which each has

    span: of the images' values, Span(0, 255) of any uint8
    mean, deviation, covariance: of the pixels, worked out when first asked for

    Raises DataError on shapes, dtypes, labels or names that do not fit together.
    """

    images: np.ndarray | Picked

    def __init__(
        self, images: np.ndarray, labels: np.ndarray, class_names: Sequence[str] | None = None
    ):
        labels = as_array("labels", labels)
        self.images = as_images(images, labels)
        self.labels = as_labels(labels, len(self.images))
        self.class_names = as_class_names(class_names, self.labels)
        self.span = Span.of(self.images)

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    @cached_property
    def mean(self) -> np.ndarray:
        """(C, H, W): each pixel's mean over the images."""
        total = np.zeros(self.images.shape[1:])
        for image in self.images:
            total += image
        return total / len(self)

    @cached_property
    def deviation(self) -> float:
        """The standard deviation of all pixels, each about its own mean; 1 if they never vary."""
        squares = sum(np.square(image - self.mean).sum() for image in self.images)
        return float(np.sqrt(squares / math.prod(self.images.shape))) or 1.0

    @cached_property
    def covariance(self) -> np.ndarray:
        """(C, C): of the channels' values over all pixels of all images."""
        centre = self.mean.mean(axis=(1, 2))[:, None]
        total = np.zeros((len(centre), len(centre)))
        for image in self.images:
            colours = image.reshape(len(centre), -1) - centre
            total += colours @ colours.T  # (C, H·W) @ (H·W, C)
        return total / (len(self) * math.prod(self.images.shape[2:]))

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        return data_set(self)

    def subset(self, index) -> "ArrayDataset":
        """What `index` (a slice or integers) picks, with the same classes; no image is copied.

        Raises DataError if it picks nothing.
        """
        part = ArrayDataset.__new__(ArrayDataset)
        part.class_names, part.span, part.labels = self.class_names, self.span, self.labels[index]
        if part.labels.ndim != 1 or not len(part.labels):
            raise DataError("a data set needs at least one image, got none")
        part.images = _picked(self.images, index)
        return part


def _picked(images: np.ndarray | Picked, index) -> np.ndarray | Picked:
    if isinstance(images, Picked):
        return images.subset(index)
    if isinstance(index, slice):
        return images[index]
    return Picked(images, np.arange(len(images))[index])
