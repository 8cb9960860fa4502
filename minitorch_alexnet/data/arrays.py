"""Your own arrays as a data set."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from ..errors import DataError


class ArrayDataset:
    """Images and labels in memory.

    images: (N, C, H, W), uint8 (0-255) or floating point; (N, H, W) gains one channel
    labels: (N,) integers in 0 … num_classes-1
    class_names: one name a class; default "0", "1", …  Their number sets num_classes.

    mean, deviation, covariance: of the pixels, worked out when first asked for

    Raises DataError on shapes, dtypes or labels that do not fit together.
    """

    def __init__(self, images: np.ndarray, labels: np.ndarray, class_names: Sequence[str] = ()):
        images, labels = np.asarray(images), np.asarray(labels)
        if images.ndim == 3:
            images = images[:, None]
        if images.ndim != 4:
            raise DataError(f"images must be (N, C, H, W) or (N, H, W), got shape {images.shape}")
        if images.dtype != np.uint8 and not np.issubdtype(images.dtype, np.floating):
            raise DataError(f"images must be uint8 or floating point, got {images.dtype}")
        if images.dtype != np.uint8 and not np.isfinite(images).all():
            raise DataError("images hold nan or inf")
        if labels.shape != (len(images),):
            raise DataError(
                f"labels must be one integer an image, ({len(images)},), got shape {labels.shape}"
            )
        if not np.issubdtype(labels.dtype, np.integer):
            raise DataError(f"labels must be integers, got {labels.dtype}")
        if len(labels) == 0:
            raise DataError("a data set needs at least one image, got none")
        names = tuple(class_names) or tuple(str(i) for i in range(int(labels.max()) + 1))
        if labels.min() < 0 or labels.max() >= len(names):
            bad = labels.min() if labels.min() < 0 else labels.max()
            raise DataError(f"label {bad} is outside 0…{len(names) - 1} ({len(names)} classes)")
        self.images, self.labels, self.class_names = images, labels.astype(np.int64), names

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    @cached_property
    def mean(self) -> np.ndarray:
        """(C, H, W): each pixel's mean over the images."""
        return self.images.mean(axis=0, dtype=np.float64)

    @cached_property
    def deviation(self) -> float:
        """The standard deviation of all pixels, each about its own mean; 1 if they never vary."""
        squares = sum(np.square(image - self.mean).sum() for image in self.images)
        return float(np.sqrt(squares / self.images.size)) or 1.0

    @cached_property
    def covariance(self) -> np.ndarray:
        """(C, C): of the channels' values over all pixels of all images."""
        centre = self.mean.mean(axis=(1, 2))[:, None]
        total = np.zeros((len(centre), len(centre)))
        for image in self.images:
            colours = image.reshape(len(centre), -1) - centre
            total += colours @ colours.T  # (C, H·W) @ (H·W, C)
        return total / (self.images.size / len(centre))

    def __len__(self) -> int:
        return len(self.images)

    def subset(self, index) -> "ArrayDataset":
        """What `index` (a slice or integers) picks, with the same classes; DataError if nothing."""
        return ArrayDataset(self.images[index], self.labels[index], self.class_names)
