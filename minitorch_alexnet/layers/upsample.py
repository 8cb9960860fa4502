"""Larger maps by repetition: each value becomes a square of equals.

y[row, column] = x[row // s, column // s]        dx = the sum of dy over each square
"""

from ..errors import ShapeError
from ..kernels import empty
from .base import Layer, expect_maps


class Upsample(Layer):
    """(n, C, H, W) -> (n, C, s·H, s·W), s = scale_factor: PyTorch's mode "nearest"."""

    def __init__(self, scale_factor: int):
        super().__init__()
        self.scale_factor = scale_factor
        if not isinstance(scale_factor, int) or scale_factor < 1:
            raise ShapeError(f"{self!r}: expected a whole scale_factor of at least 1")

    def output_shape(self, shape):
        expect_maps(self, shape)
        return shape[0], self.scale_factor * shape[1], self.scale_factor * shape[2]

    def forward(self, x, train=True):
        y = empty(x, self.check(x))
        self._squares(y)[...] = x[:, :, :, None, :, None]
        return y, None

    def backward(self, dy, cache, need_dx=True):
        return (self._squares(dy).sum(axis=(3, 5)) if need_dx else None), {}

    def _squares(self, y):
        """A view.  (n, C, s·H, s·W) -> (n, C, H, s, W, s)"""
        (n, c, h, w), s = y.shape, self.scale_factor
        return y.reshape(n, c, h // s, s, w // s, s)

    def __repr__(self):
        return f"Upsample({self.scale_factor})"
