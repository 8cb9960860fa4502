"""How good is a net? Losses, accuracies and confusions from its outputs."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from .data.loader import Loader
from .data.transforms import Normalize, centre, ten_crops
from .device import Device
from .errors import UserError
from .graph import Graph, expect_graph
from .layers.loss import log_softmax
from .timing import room_for
from .words import printable

SHOWN = 20  # pictures of a prediction, where it is printed
NO_BATCHES = "evaluate takes batches of images and labels: evaluate(net, *trainer.views(dataset))"


class Evaluation:
    """A net's answers to a data set.

    logits: (N, classes);  labels: (N,) the right answers
    views: of each image, over which the answers are averaged
    """

    def __init__(self, logits: np.ndarray, labels: np.ndarray, views: int = 1):
        self.logits, self.labels, self.views = logits, labels, views

    @property
    def probabilities(self) -> np.ndarray:
        """Softmax of the logits, (N, classes)."""
        return np.exp(log_softmax(self.logits))

    @property
    def loss(self) -> float:
        """Mean cross-entropy in nats."""
        picked = log_softmax(self.logits)[np.arange(len(self.labels)), self.labels]
        return float(-picked.mean(dtype=np.float64))

    @property
    def accuracy(self) -> float:
        """The share whose largest logit is the right one: top-1, 0 … 1."""
        return float((self.logits.argmax(axis=1) == self.labels).mean())

    def top(self, k: int) -> float:
        """The share whose right class is among the k largest logits, 0 … 1."""
        best = np.argsort(-self.logits, axis=1, kind="stable")[:, :k]
        return float((best == self.labels[:, None]).any(axis=1).mean())

    @property
    def top5(self) -> float | None:
        """top(5); None where there are ten classes or fewer, of which five are half or more."""
        return self.top(5) if self.logits.shape[1] > 10 else None

    def confusion(self) -> np.ndarray:
        """Counts (classes, classes): row the true class, column the answer."""
        counts = np.zeros((self.logits.shape[1],) * 2, np.int64)
        np.add.at(counts, (self.labels, self.logits.argmax(axis=1)), 1)
        return counts

    def by_class(self) -> tuple[np.ndarray, np.ndarray]:
        """Each class's accuracy, 0 … 1, and its number of images; 0 of 0 is 0."""
        matrix = self.confusion()
        counts = matrix.sum(axis=1)
        return matrix.diagonal() / counts.clip(1), counts


@dataclass(frozen=True, eq=False, repr=False)
class Prediction:
    """What a net says of pictures.

    probabilities: (n, classes) float32;  class_names: of the classes
    """

    probabilities: np.ndarray
    class_names: tuple[str, ...]

    @property
    def labels(self) -> np.ndarray:
        """The number of each picture's likeliest class, (n,)."""
        return self.probabilities.argmax(axis=1)

    @property
    def names(self) -> list[str]:
        """The same by name."""
        return [self.class_names[label] for label in self.labels]

    def best(self, count: int = 3) -> list[list[tuple[str, float]]]:
        """Of each picture the likeliest classes, by name, with their probabilities."""
        order = np.argsort(-self.probabilities, axis=1, kind="stable")[:, :count]
        rows = zip(self.probabilities, order, strict=True)
        return [[(self.class_names[k], float(row[k])) for k in best] for row, best in rows]

    def __repr__(self) -> str:
        """A line a picture, of the first."""
        lines = [
            f"{i}: " + ", ".join(f"{printable(name)} {share:.2%}" for name, share in best)
            for i, best in enumerate(self.best()[:SHOWN])
        ]
        more = len(self.probabilities) - len(lines)
        return "\n".join(lines + [f"… and {more} more"] * bool(more))


def views(
    dataset, net: Graph, normalize: Normalize, batch_size: int = 128, crops: int = 1
) -> list[Loader]:
    """Loaders that show the net the centre of each image, or ten parts of it (section 4.1).

    crops: 1 or 10. Raises UserError on another number.
    """
    if crops not in (1, 10):
        raise UserError(f"crops must be 1, the centre, or 10, got {crops}")
    shape, part = dataset.images.shape, net.input_shape
    parts = ten_crops(shape, part) if crops == 10 else [centre(shape, part)]
    parts = list(dict.fromkeys(parts))  # without pixels to spare, five are the same
    return [Loader(dataset, batch_size, normalize, net.device, crop=part) for part in parts]


def evaluate(net: Graph, *views: Iterable[tuple]) -> Evaluation:
    """Run the net, as in testing, over batches of (images, labels): a Loader, say.

    Several views of the same images in the same order have their softmax averaged: its logarithm
    then takes the place of the logits.
    """
    expect_graph(net, "evaluate")
    total, labels = _answers(net, views[0] if views else None)
    if len(views) == 1:
        return Evaluation(total, labels)
    total = log_softmax(total)
    for view in views[1:]:
        np.logaddexp(total, log_softmax(_answers(net, view)[0]), out=total)
    return Evaluation(total - math.log(len(views)), labels, len(views))


def _answers(net, batches):
    host, answers = Device("cpu"), []
    with room_for(net, getattr(batches, "batch_size", 1)):
        for batch in batches if isinstance(batches, Iterable) else ():
            if not isinstance(batch, tuple | list) or len(batch) != 2:
                raise UserError(NO_BATCHES)
            x, labels = batch
            answers.append((host.array(net.forward(x, train=False)), labels))
    if not answers:
        raise UserError(NO_BATCHES)
    logits, labels = zip(*answers, strict=True)
    return np.concatenate(logits), np.concatenate(labels)


def first_not_finite(net: Graph, images) -> str:
    """The first node whose output, as in training, holds nan or inf; "the loss" if none does."""
    _, outputs = net.forward(images, keep=tuple(net.nodes))
    values = {name: Device("cpu").array(y) for name, y in outputs.items()}
    return next((name for name, y in values.items() if not np.isfinite(y).all()), "the loss")


def features(net: Graph, images) -> np.ndarray:
    """What the last layer reads of images (n, C, H, W): AlexNet's fc7, (n, 4096), on the host."""
    *_, last = net.nodes.values()
    _, kept = net.forward(images, train=False, keep=last.sources)
    return Device("cpu").array(kept[last.sources[0]]).reshape(len(images), -1)


def nearest(
    net: Graph, queries: np.ndarray, batches: Iterable[tuple], count: int = 6
) -> tuple[np.ndarray, np.ndarray]:
    """The images whose features lie closest to those of the queries (Figure 4, right).

    queries: (q, F), from features();  batches: of (images, labels), the images to look among
    Returns Euclidean distances (q, count), rising, and the images' numbers (q, count).
    """
    distances = np.empty((len(queries), 0))
    numbers = np.empty((len(queries), 0), int)
    seen = 0
    for images, _ in batches:  # only the closest are kept, however many there are
        found = features(net, images)
        gaps = np.stack([np.linalg.norm(found - query, axis=1) for query in queries])
        distances = np.hstack([distances, gaps])
        numbers = np.hstack([numbers, np.tile(seen + np.arange(len(found)), (len(queries), 1))])
        best = np.argsort(distances, axis=1, kind="stable")[:, :count]
        distances = np.take_along_axis(distances, best, axis=1)
        numbers = np.take_along_axis(numbers, best, axis=1)
        seen += len(found)
    return distances, numbers
