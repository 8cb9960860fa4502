"""Larger maps by repetition: each value becomes a square of equals.

y[row, column] = x[row // s, column // s]        dx = the sum of dy over each square
"""

from ..errors import ShapeError
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
        self.check(x)
        return x.repeat(self.scale_factor, axis=2).repeat(self.scale_factor, axis=3), None

    def backward(self, dy, cache, need_dx=True):
        (n, c, h, _), s = dy.shape, self.scale_factor
        return (dy.reshape(n, c, h // s, s, -1, s).sum(axis=(3, 5)) if need_dx else None), {}

    def __repr__(self):
        return f"Upsample({self.scale_factor})"
