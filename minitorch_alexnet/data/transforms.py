"""What happens to images on their way to the net.

Crops and flips pick pixels on the host; the cast, the mean and the colour shift are array maths on
the device. What befalls an image depends on (seed, epoch, its index) alone, so a resumed run sees
what the uninterrupted one would have seen, however far a loader reads ahead.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

from ..errors import ShapeError, UserError
from ..streams import stream
from .span import Span


class Normalize:
    """Images (n, C, h, w) on any device -> (x - mean + shift) / scale, float32.

    mean: (C, H, W), the training set's per-pixel mean (paper, section 2). From smaller images,
          wherever they were cut out, its centre is subtracted, as in the authors' own code.
    scale: 1 leaves the paper's range of 0-255; or (C,), a number a channel
    span: of the training set's values; None, as of older runs, is not known
    """

    def __init__(self, mean: np.ndarray, scale: ArrayLike = 1.0, span: Span | None = None):
        self.mean, self.scale, self.span = mean.astype(np.float32), np.asarray(scale), span

    def expect(self, other: Span) -> None:
        """UserError unless images of the other span can be on the training set's scale."""
        if self.span and not self.span.takes(other):
            raise UserError(
                f"the values of these images are {other}, those of the training images"
                f" {self.span}: {self.span.way_from(other)}"
            )

    def __repr__(self) -> str:
        mean = f"mean of {self.mean.shape}, on average {self.mean.mean():.4g}"
        scale = ", ".join(f"{number:.4g}" for number in self.scale.flat)
        return f"Normalize({mean}; scale {scale})"

    def __call__(self, images, device, shift: np.ndarray | None = None):
        """shift: (n, C, 1, 1), what ColourNoise adds to each image."""
        with device.current():
            x = device.array(images).astype(np.float32)
            x -= device.array(centre(self.mean.shape, x.shape)(self.mean))
            if shift is not None:
                x += device.array(shift)
            x /= device.array(self.scale.astype(np.float32).reshape(-1, 1, 1))
            return x


@dataclass(frozen=True)
class View:
    """One part of an image: height × width pixels from (top, left) on, reflected or not."""

    top: int
    left: int
    height: int
    width: int
    flip: bool = False

    def __call__(self, images: np.ndarray, *when) -> np.ndarray:
        """That part of images (…, H, W), without a copy; the same in every epoch.

        Raises ShapeError if it does not lie in the images.
        """
        bottom, right = self.top + self.height, self.left + self.width
        if min(self.top, self.left) < 0 or bottom > images.shape[-2] or right > images.shape[-1]:
            raise ShapeError(f"{self} does not lie in images of shape {images.shape}")
        part = images[..., self.top : bottom, self.left : right]
        return part[..., ::-1] if self.flip else part


def centre(shape: tuple, part: tuple) -> View:
    """The middle of images (…, H, W) that is as high and wide as `part`, (…, h, w)."""
    (height, width), (h, w) = shape[-2:], part[-2:]
    return View((height - h) // 2, (width - w) // 2, h, w)


def ten_crops(shape: tuple, part: tuple) -> list[View]:
    """The four corners and the centre, and their reflections (section 4.1, testing)."""
    (height, width), (h, w) = shape[-2:], part[-2:]
    bottom, right = height - h, width - w
    corners = [(0, 0), (0, right), (bottom, 0), (bottom, right), (bottom // 2, right // 2)]
    return [View(*corner, h, w, flip) for flip in (False, True) for corner in corners]


class CropAndFlip:
    """A part of each image at random, reflected every other time (section 4.1).

    size: (h, w) of the part. 256 - 224 = 32 leaves 33² places, with reflections 2178 parts (the
          paper counts 2048).
    padding: zeros to put around the images first, where they have no pixels to spare
    """

    def __init__(self, seed: int, size: tuple[int, int], padding: int = 0):
        self.seed, self.size, self.padding = seed, tuple(size), padding
        self._drawn = lru_cache(2)(self._draw)  # a loader asks batch by batch

    def __call__(self, images: np.ndarray, epoch: int, index: np.ndarray, total: int):
        """Parts (n, C, h, w) of images (n, C, H, W), which are those at `index` of `total`."""
        p, (h, w) = self.padding, self.size
        if p:
            images = np.pad(images, ((0, 0), (0, 0), (p, p), (p, p)))
        flips, down, right = self._drawn(epoch, total)[:, index]
        tops = (down * (images.shape[2] - h + 1)).astype(int)
        lefts = (right * (images.shape[3] - w + 1)).astype(int)
        parts = np.empty((*images.shape[:2], h, w), images.dtype)
        for i, image in enumerate(images):
            parts[i] = View(tops[i], lefts[i], h, w, flips[i] < 0.5)(image)
        return parts

    def _draw(self, epoch, total):
        """For each image: flip or not, how far down and how far right, as shares 0 … 1."""
        return stream(self.seed, "augment", epoch).random((3, total))


class ColourNoise:
    """A shift of each image along the principal components of RGB (section 4.1).

        [p1 p2 p3] · [α1·√λ1, α2·√λ2, α3·√λ3]ᵀ        α ~ N(0, std²), anew at each presentation

    p and λ: eigenvectors and eigenvalues of the RGB values' covariance. The paper writes λ for
    √λ; its released code has the root, which is what makes sense at 0-255: the shifts then have
    the covariance std² · C.

    covariance: (C, C), of the training set's pixels
    """

    def __init__(self, seed: int, covariance: np.ndarray, std: float = 0.1):
        self.seed, self.std = seed, std
        variances, components = np.linalg.eigh(covariance)
        self.axes = components * np.sqrt(variances.clip(0))  # column i is p_i · √λ_i
        self._drawn = lru_cache(2)(self._draw)  # a loader asks batch by batch

    def __call__(self, epoch: int, index: np.ndarray, total: int) -> np.ndarray:
        """Shifts (n, C, 1, 1), float32, for the images at `index` of `total`."""
        shifts = self._drawn(epoch, total)[index] @ self.axes.T  # (n, C) @ (C, C)
        return shifts.astype(np.float32)[:, :, None, None]

    def _draw(self, epoch, total):
        return stream(self.seed, "colour", epoch).normal(0, self.std, (total, len(self.axes)))
