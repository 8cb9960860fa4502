"""What happens to images on their way to the net.

Crops and flips pick pixels, in uint8, on the host; the cast and the mean are array maths on the
device. What befalls an image depends on (seed, epoch, its index) alone, so a resumed run sees
what the uninterrupted one would have seen, however far a loader reads ahead.
"""

import numpy as np

from ..streams import stream


class Normalize:
    """uint8 (n, C, H, W) on any device -> (x - mean) / scale, float32.

    mean: (C, H, W), the training set's per-pixel mean (paper, section 2)
    scale: 1 leaves the paper's range of 0-255
    """

    def __init__(self, mean: np.ndarray, scale: float = 1.0):
        self.mean, self.scale = mean.astype(np.float32), float(scale)

    @classmethod
    def of(cls, images: np.ndarray) -> "Normalize":
        """For a training set (N, C, H, W): its mean image, and the deviation of all its pixels."""
        mean = images.mean(axis=0, dtype=np.float64)
        squares = sum(np.square(image - mean).sum() for image in images)
        return cls(mean, np.sqrt(squares / images.size) or 1.0)

    def __call__(self, images, device):
        x = device.array(images).astype(np.float32)
        x -= device.array(self.mean)
        x /= self.scale
        return x


class FlipAndShift:
    """A horizontal reflection every other time, and a shift by up to `reach` pixels.

    The 28×28 counterpart of the paper's reflections and random crops (section 4.1): cropping
    the image padded by `reach` zeros on each side.
    """

    def __init__(self, seed: int, reach: int = 1):
        self.seed, self.reach = seed, reach

    def __call__(self, images: np.ndarray, epoch: int, index: np.ndarray, total: int):
        """A new array like images (n, C, H, W), which are those at `index` of `total` images."""
        rng = stream(self.seed, "augment", epoch)
        flips = rng.integers(0, 2, total)[index]
        tops, lefts = rng.integers(0, 2 * self.reach + 1, (2, total))[:, index]
        n, c, h, w = images.shape
        r = self.reach
        padded = np.zeros((n, c, h + 2 * r, w + 2 * r), images.dtype)
        padded[:, :, r : r + h, r : r + w] = images
        rows = tops[:, None] + np.arange(h)
        columns = lefts[:, None] + np.where(flips[:, None], np.arange(w)[::-1], np.arange(w))
        return padded[
            np.arange(n)[:, None, None, None],
            np.arange(c)[:, None, None],
            rows[:, None, :, None],
            columns[:, None, None, :],
        ]
