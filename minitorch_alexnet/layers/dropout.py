"""Dropout (paper, section 4.2): each unit is silent with probability p while training.

    rescale="test", the paper:  train y = m · x              test y = (1-p) · x
    rescale="train", inverted:  train y = m · x / (1-p)      test y = x

with m = 0 or 1 drawn anew for every value. Both have the same expectation. Backward multiplies
by the same numbers: dx = m · dy, or m · dy / (1-p).
"""

from numbers import Real

import numpy as np

from ..device import array_module
from ..errors import UserError
from .base import Layer, exact, expect_rng


class Dropout(Layer):
    """Any shape -> the same.

    rng: the NumPy generator that draws the masks; a Graph gives one to a layer that has none
    """

    per_image = False  # one generator draws for the whole batch

    def __init__(self, p=0.5, rescale="test", rng=None):
        super().__init__()
        expect_rng(rng)
        if not isinstance(p, Real) or not 0 <= p < 1:
            raise UserError(f"Dropout: p must be in 0 ≤ p < 1, got {p!r}")
        if rescale not in ("test", "train"):
            raise UserError(f'Dropout: rescale must be "test" or "train", got {rescale!r}')
        self.p, self.rescale, self.rng = float(p), rescale, rng

    def forward(self, x, train=True):
        self.check(x)
        keep = 1 - self.p
        if not train:
            mask = keep if self.rescale == "test" else 1.0
            return x * mask, mask
        if self.rng is None:
            raise UserError(f"{self!r}: it needs a generator to draw from: give it an rng")
        kept = array_module(x).asarray(self.rng.random(x.shape, np.float32) >= self.p)
        mask = kept * x.dtype.type(1 if self.rescale == "test" else 1 / keep)
        return x * mask, mask

    def backward(self, dy, mask, need_dx=True):
        return (dy * mask if need_dx else None), {}

    def __repr__(self):
        return f"Dropout({exact(self.p)}, rescale={self.rescale!r})"
