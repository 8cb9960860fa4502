"""Batches in a shuffled order that depends on (seed, epoch) alone, made ready in the background."""

import itertools
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from ..device import Device
from ..errors import UserError
from ..processes import ALONE, Processes
from ..streams import stream
from .transforms import ColourNoise, CropAndFlip, Normalize, View

AHEAD = 2  # batches made ready beside the one that the net works on


class Loader:
    """Iterate over an epoch's batches: images (n, C, h, w) float32 on the device, labels (n,).

    Each time it is iterated over is the next epoch.

    normalize: turns pixels into what the net reads
    seed: shuffles each epoch in its own way; None keeps the data set's order
    crop: picks the pixels, on the host: a View, a CropAndFlip, or None for all of them
    colour: shifts the colours, or None
    processes: each loads its own images of a batch
    waited: the seconds that whoever iterates has waited for batches so far

    The last batch of an epoch is smaller where the batch size does not divide the data set.
    """

    def __init__(
        self,
        dataset,
        batch_size: int,
        normalize: Normalize,
        device: Device | str = "cpu",
        seed: int | None = None,
        crop: View | CropAndFlip | None = None,
        colour: ColourNoise | None = None,
        processes: Processes = ALONE,
    ):
        if not isinstance(batch_size, int | np.integer) or batch_size < 1:
            raise UserError(f"the batch size must be a whole number from 1, got {batch_size!r}")
        self.dataset, self.batch_size, self.normalize = dataset, batch_size, normalize
        self.device, self.seed, self.crop, self.colour = Device(device), seed, crop, colour
        self.processes = processes
        self.waited, self._epochs = 0.0, itertools.count()

    def __len__(self) -> int:
        """Batches an epoch."""
        return -(-len(self.dataset) // self.batch_size)

    def __repr__(self) -> str:
        return f"Loader({self.dataset!r}, batch_size={self.batch_size}, {len(self)} batches)"

    def __iter__(self) -> Iterator[tuple]:
        return self.epoch(next(self._epochs))

    def epoch(self, epoch: int, start: int = 0) -> Iterator[tuple]:
        """The batches of an epoch, from batch `start` on."""
        queue, order = self.device.queue(), np.arange(len(self.dataset))
        if self.seed is not None:
            order = stream(self.seed, "shuffle", epoch).permutation(len(order))
        waiting: deque[Future] = deque()
        with ThreadPoolExecutor(1, thread_name_prefix="loader") as background:
            for i in range(start, len(self)):
                index = order[i * self.batch_size : (i + 1) * self.batch_size]
                index = index[self.processes.images(len(index))]
                waiting.append(background.submit(self._send, epoch, index, queue))
                if len(waiting) > AHEAD:
                    yield self._ready(waiting.popleft())
            while waiting:
                yield self._ready(waiting.popleft())

    def _send(self, epoch, index, queue):
        """In the background: pick a batch's images, and start them on their way to the device."""
        images, labels, shift = self.dataset.images[index], self.dataset.labels[index], None
        if self.crop:
            images = self.crop(images, epoch, index, len(self.dataset))
        if self.colour:
            shift = self.colour(epoch, index, len(self.dataset))
        return self.device.upload(images, queue), labels, shift

    def _ready(self, batch: Future):
        clock = time.perf_counter()
        arrive, labels, shift = batch.result()
        self.waited += time.perf_counter() - clock
        with self.device.current():
            return self.normalize(arrive(), self.device, shift), labels
