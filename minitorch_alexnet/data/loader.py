"""Batches in a shuffled order that depends on (seed, epoch) alone, made ready in the background."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from ..device import Device
from ..errors import UserError
from ..streams import stream
from .arrays import ArrayDataset
from .transforms import Normalize

AHEAD = 3  # batches made ready while the net works on one


class Loader:
    """Iterate over an epoch's batches: images (n, C, H, W) float32 on the device, labels (n,).

    normalize: turns the data set's images into what the net reads
    seed: shuffles each epoch in its own way; None keeps the data set's order
    augment: called as augment(images, epoch, index, total) on the host, or None

    The last batch of an epoch is smaller where the batch size does not divide the data set.
    """

    def __init__(
        self,
        dataset: ArrayDataset,
        batch_size: int,
        normalize: Normalize,
        device: Device | str = "cpu",
        seed: int | None = None,
        augment: Callable | None = None,
    ):
        if batch_size < 1:
            raise UserError(f"the batch size must be at least 1, got {batch_size}")
        self.dataset, self.batch_size, self.normalize = dataset, batch_size, normalize
        self.device, self.seed, self.augment = Device(device), seed, augment

    def __len__(self) -> int:
        """Batches an epoch."""
        return -(-len(self.dataset) // self.batch_size)

    def __iter__(self) -> Iterator[tuple]:
        return self.epoch(0)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[tuple]:
        """The batches of an epoch, from batch `start` on."""
        order = np.arange(len(self.dataset))
        if self.seed is not None:
            order = stream(self.seed, "shuffle", epoch).permutation(len(order))
        waiting: deque = deque()
        with ThreadPoolExecutor(1, thread_name_prefix="loader") as background:
            for i in range(start, len(self)):
                index = order[i * self.batch_size : (i + 1) * self.batch_size]
                waiting.append(background.submit(self._pick, epoch, index))
                if len(waiting) > AHEAD:
                    yield self._ready(*waiting.popleft().result())
            while waiting:
                yield self._ready(*waiting.popleft().result())

    def _pick(self, epoch, index):
        images, labels = self.dataset.images[index], self.dataset.labels[index]
        if self.augment:
            images = self.augment(images, epoch, index, len(self.dataset))
        return images, labels

    def _ready(self, images, labels):
        return self.normalize(images, self.device), labels
