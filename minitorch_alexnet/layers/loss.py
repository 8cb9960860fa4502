"""Softmax cross-entropy (paper, section 3.5).

    p = exp(z) / Σ exp(z)        loss = -log p[label], mean over the batch of n
    dz = (p - onehot(label)) / n

Subtracting each row's maximum first changes nothing but keeps exp from overflowing, and
log p = z - max - log Σ exp(z - max) never takes the logarithm of a vanished p.
"""

import numpy as np

from ..device import Device, array_module
from ..errors import ShapeError, UserError
from .base import expect_array


class SoftmaxCrossEntropy:
    """forward(logits, labels) -> mean loss; backward() -> dlogits.

    logits: (n, classes), floating point;  labels: (n,) integers in 0 … classes-1, on the host
    """

    def __init__(self):
        self.cache = None

    def forward(self, logits, labels):
        """The mean loss in nats, a scalar of the logits' dtype.

        Raises ShapeError where the two do not fit, UserError on a wrong dtype or label.
        """
        labels = _checked(logits, labels)
        xp = array_module(logits)
        with Device.of(logits).current():
            log_p = log_softmax(logits)
            self.cache = log_p, labels
            return -log_p[xp.arange(len(labels)), xp.asarray(labels)].mean()

    def backward(self):
        """The loss's derivative by the logits: (n, classes), their dtype."""
        if self.cache is None:
            raise RuntimeError("SoftmaxCrossEntropy: backward needs a forward before it")
        (log_p, labels), self.cache = self.cache, None
        xp = array_module(log_p)
        with Device.of(log_p).current():
            dz = xp.exp(log_p)
            dz[xp.arange(len(dz)), xp.asarray(labels)] -= 1
            dz /= len(dz)
            return dz


def log_softmax(logits):
    """log p, (n, classes) like the logits."""
    xp = array_module(logits)
    z = logits - logits.max(axis=1, keepdims=True)
    return z - xp.log(xp.exp(z).sum(axis=1, keepdims=True))


def _checked(logits, labels) -> np.ndarray:
    """The labels as an array, if the two are such as forward takes."""
    expect_array(logits, "SoftmaxCrossEntropy's logits")
    try:
        labels = np.asarray(labels)
    except ValueError as error:  # lists of two lengths
        raise ShapeError(f"SoftmaxCrossEntropy: labels must be (n,), but: {error}") from None
    if logits.ndim != 2 or labels.shape != logits.shape[:1]:
        raise ShapeError(
            "SoftmaxCrossEntropy: expected logits (n, classes) and labels (n,),"
            f" got {logits.shape} and {labels.shape}" + _remedy(logits.shape, labels.shape)
        )
    if not np.issubdtype(logits.dtype, np.floating):
        raise UserError(f"SoftmaxCrossEntropy: logits must be floating point, got {logits.dtype}")
    n, classes = logits.shape
    if not n:
        raise ShapeError("SoftmaxCrossEntropy: expected at least one image, got none")
    if not np.issubdtype(labels.dtype, np.integer):
        raise UserError(f"SoftmaxCrossEntropy: labels must be integers, got {labels.dtype}")
    if not 0 <= labels.min() <= labels.max() < classes:
        raise UserError(
            f"SoftmaxCrossEntropy: labels must be in 0…{classes - 1},"
            f" got {labels.min()}…{labels.max()}"
        )
    return labels


def _remedy(logits: tuple, labels: tuple) -> str:
    """For labels that are whole columns, or one-hot."""
    if labels == (*logits[:1], 1):
        return "; give it labels.ravel()"
    return "; of one-hot labels give it labels.argmax(axis=1)" if labels == logits else ""
