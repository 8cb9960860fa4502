"""Local response normalisation (paper, section 3.3).

    y_i = x_i · s_i^(-β)        s_i = k + α · Σ_j x_j²

over the `size` channels j centred on i, clipped at the ends: a map that answers strongly damps
its neighbours at the same place.
"""

from numbers import Real

import numpy as np

from ..device import array_module, fuse
from ..errors import ShapeError, UserError
from ..kernels import window_sum
from .base import Layer, exact, expect_maps, expect_whole


class LocalResponseNorm(Layer):
    """(n, C, H, W) -> the same shape.

    size: n of the paper, the channels in a window. An even window reaches one further down, as
          PyTorch's: i - size/2 … i + size/2 - 1
    alpha_over_size: False is the paper's formula, True takes α / size for α
    groups: normalise this many equal parts of the channels each on its own, as two GPUs do

    PyTorch's LocalResponseNorm divides α by size and starts at k=1: it computes the paper's
    formula when called with alpha=5e-4 and k=2. Raises ShapeError if groups do not divide C.
    """

    def __init__(self, size=5, alpha=1e-4, beta=0.75, k=2.0, alpha_over_size=False, groups=1):
        super().__init__()
        expect_whole(self, size=size, groups=groups)
        if not all(isinstance(number, Real) for number in (alpha, beta, k)):
            raise UserError(f"LocalResponseNorm: alpha, beta, k must be numbers: {alpha, beta, k}")
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k
        self.alpha_over_size, self.groups = alpha_over_size, groups
        if size < 1 or groups < 1:
            raise ShapeError(f"{self!r}: size and groups must be at least 1")

    def output_shape(self, shape):
        expect_maps(self, shape)
        if shape[0] % self.groups:
            raise ShapeError(f"{self!r}: {self.groups} groups must divide {shape[0]} channels")
        return shape

    def forward(self, x, train=True):
        self.check(x)
        s = window_sum(x * x, *self._reach(), self.groups)
        y = _normalise(x, s, *map(x.dtype.type, (self._a(), self.k, self.beta)))
        return y, (x, s)

    def backward(self, dy, cache, need_dx=True):
        # dx_j = dy_j · s_j^(-β) - 2aβ · x_j · Σ_i dy_i · y_i / s_i, over the i whose window holds
        # j: the window's mirror image
        if not need_dx:
            return None, {}
        x, s = cache
        damped, crossing = _damp(dy, x, s, x.dtype.type(self.beta))
        crossed = window_sum(crossing, *reversed(self._reach()), self.groups)
        return _combine(damped, x, crossed, x.dtype.type(2 * self._a() * self.beta)), {}

    def _a(self):
        return self.alpha / self.size if self.alpha_over_size else self.alpha

    def _reach(self):
        """How many channels a window holds before and after its own."""
        return self.size // 2, (self.size - 1) // 2

    def __repr__(self):
        return (
            f"LocalResponseNorm({self.size}, alpha={exact(self.alpha)}, beta={exact(self.beta)},"
            f" k={exact(self.k)}, alpha_over_size={self.alpha_over_size}"
            + (f", groups={self.groups})" if self.groups > 1 else ")")
        )


# On a GPU each of these is one pass over its arrays, beside x² and the two window sums.


@fuse
def _normalise(x, s, a, k, beta):
    """x · s^(-β), where s, the sums of squares, becomes k + a · s."""
    s *= a
    s += k
    return x / _power(s, beta)


@fuse
def _damp(dy, x, s, beta):
    """dy · s^(-β), and dy · y / s."""
    damped = dy / _power(s, beta)
    return damped, damped * x / s


@fuse
def _combine(damped, x, crossed, factor):
    return damped - crossed * x * factor


def _power(s, beta):
    """s^β; on the CPU, where powers are slow, the paper's β = 3/4 as √s · √√s."""
    if array_module(s) is not np or beta != 0.75:
        return s**beta
    root = np.sqrt(s)
    root *= np.sqrt(root)
    return root
