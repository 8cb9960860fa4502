"""Nonlinearities, element by element (paper, section 3.1).

ReLU: y = max(0, x),  dy/dx = 1 where x > 0, else 0
tanh: y = tanh x,     dy/dx = 1 - y²
"""

from ..device import array_module, for_each_part
from .base import Layer


class ReLU(Layer):
    """Any shape -> the same. Its derivative does not fade, so it learns several times faster."""

    def forward(self, x, train=True):
        self.check(x)
        xp = array_module(x)
        y = xp.empty_like(x)
        for_each_part(lambda part: xp.maximum(x[part], 0, out=y[part]), x)
        if train:
            self.cache = (y,)
        return y

    def backward(self, dy, need_dx=True):
        (y,) = self.take_cache()
        if not need_dx:
            return None
        xp = array_module(y)
        dx = xp.empty_like(y)
        for_each_part(lambda part: xp.multiply(dy[part], y[part] > 0, out=dx[part]), y)
        return dx


class Tanh(Layer):
    """Any shape -> the same: the nonlinearity that ReLU outruns in the paper's Figure 1."""

    def forward(self, x, train=True):
        self.check(x)
        xp = array_module(x)
        y = xp.empty_like(x)
        for_each_part(lambda part: xp.tanh(x[part], out=y[part]), x)
        if train:
            self.cache = (y,)
        return y

    def backward(self, dy, need_dx=True):
        (y,) = self.take_cache()
        if not need_dx:
            return None
        xp = array_module(y)
        dx = xp.empty_like(y)
        for_each_part(lambda part: xp.multiply(dy[part], 1 - y[part] ** 2, out=dx[part]), y)
        return dx
