"""Dropout (paper, section 4.2): each unit is silent with probability p while training.

    rescale="test", the paper:  train y = m · x              test y = (1-p) · x
    rescale="train", inverted:  train y = m · x / (1-p)      test y = x

with m = 0 or 1 drawn anew for every value. Both have the same expectation. Backward multiplies
by the same numbers: dx = m · dy, or m · dy / (1-p).
"""

import numpy as np

from ..device import array_module
from ..errors import UserError
from .base import Layer


class Dropout(Layer):
    """Any shape -> the same.

    rng: the NumPy generator that draws the masks; default: default_rng(0). Give each Dropout of a
    net one of its own, else those of equal width drop the same units.
    """

    def __init__(self, p=0.5, rescale="test", rng=None):
        super().__init__()
        if not 0 <= p < 1:
            raise UserError(f"Dropout: p must be in 0 ≤ p < 1, got {p}")
        if rescale not in ("test", "train"):
            raise UserError(f'Dropout: rescale must be "test" or "train", got {rescale!r}')
        self.p, self.rescale = float(p), rescale
        self.rng = rng or np.random.default_rng(0)

    def forward(self, x, train=True):
        self.check(x)
        keep = 1 - self.p
        if not train:
            return x * keep if self.rescale == "test" else x
        kept = array_module(x).asarray(self.rng.random(x.shape, np.float32) >= self.p)
        scale = 1 if self.rescale == "test" else 1 / keep
        self.cache = (kept * x.dtype.type(scale),)
        return x * self.cache[0]

    def backward(self, dy, need_dx=True):
        (mask,) = self.take_cache()
        return dy * mask if need_dx else None

    def __repr__(self):
        return f"Dropout({self.p:g}, rescale={self.rescale!r})"
