"""Nonlinearities, element by element (paper, section 3.1).

ReLU: y = max(0, x),  dy/dx = 1 where x > 0, else 0
tanh: y = tanh x,     dy/dx = 1 - y²
"""

from ..device import array_module, fuse
from .base import Layer


class ReLU(Layer):
    """Any shape -> the same. However large a sum, its slope is 1: it does not saturate."""

    def forward(self, x, train=True):
        self.check(x)
        y = array_module(x).maximum(x, 0)
        return y, y

    def backward(self, dy, y, need_dx=True):
        return (_where_positive(dy, y) if need_dx else None), {}


class Tanh(Layer):
    """Any shape -> the same: what the paper's Figure 1 holds ReLU against."""

    def forward(self, x, train=True):
        self.check(x)
        y = array_module(x).tanh(x)
        return y, y

    def backward(self, dy, y, need_dx=True):
        return (dy * (1 - y**2) if need_dx else None), {}


@fuse
def _where_positive(dy, y):
    return dy * (y > 0)
