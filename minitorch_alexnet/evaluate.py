"""How good is a net? Losses, accuracies and confusions from its outputs."""

from collections.abc import Iterable

import numpy as np

from .device import Device
from .graph import Graph
from .layers.loss import log_softmax


class Evaluation:
    """A net's answers to a data set.

    logits: (N, classes);  labels: (N,) the right answers
    """

    def __init__(self, logits: np.ndarray, labels: np.ndarray):
        self.logits, self.labels = logits, labels

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

    def confusion(self) -> np.ndarray:
        """Counts (classes, classes): row the true class, column the answer."""
        counts = np.zeros((self.logits.shape[1],) * 2, np.int64)
        np.add.at(counts, (self.labels, self.logits.argmax(axis=1)), 1)
        return counts


def evaluate(net: Graph, batches: Iterable[tuple]) -> Evaluation:
    """Run the net, as in testing, over batches of (images, labels): a Loader, say."""
    host = Device("cpu")
    answers = [(host.array(net.forward(x, train=False)), labels) for x, labels in batches]
    logits, labels = zip(*answers, strict=True)
    return Evaluation(np.concatenate(logits), np.concatenate(labels))
