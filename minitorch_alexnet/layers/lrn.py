"""Local response normalisation (paper, section 3.3).

    y_i = x_i · s_i^(-β)        s_i = k + α · Σ_j x_j²

over the `size` channels j centred on i, clipped at the ends: a map that answers strongly damps
its neighbours at the same place.
"""

import numpy as np

from ..device import array_module, for_each_block, fuse
from ..errors import ShapeError
from ..kernels import window_sum
from .base import Layer, expect_maps


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
        xp = array_module(x)
        y, s = xp.empty(x.shape, x.dtype), xp.empty(x.shape, x.dtype)
        a, k, beta = map(x.dtype.type, (self._a(), self.k, self.beta))

        def some(images):
            block = self._grouped(x[images])
            total = window_sum(block * block, *self._reach())
            _normalise(block, total, a, k, beta, *map(self._grouped, (s[images], y[images])))

        for_each_block(some, x, 4 * x[:1].nbytes)
        if train:
            self.cache = x, s
        return y

    def backward(self, dy, need_dx=True):
        x, s = self.take_cache()
        if not need_dx:
            return None
        dx = array_module(x).empty(x.shape, x.dtype)
        factor, beta = map(x.dtype.type, (2 * self._a() * self.beta, self.beta))
        before, after = self._reach()

        def some(images):
            block, scale, g, out = (self._grouped(z[images]) for z in (x, s, dy, dx))
            # dx_j = g_j · s_j^(-β) - 2aβ · x_j · Σ_i g_i · y_i / s_i, over the i whose window
            # holds j: the window's mirror image
            crossed = window_sum(_damp(block, scale, g, beta, out), after, before)
            _combine(block, crossed, factor, out)

        for_each_block(some, x, 4 * x[:1].nbytes)
        return dx

    def _a(self):
        return self.alpha / self.size if self.alpha_over_size else self.alpha

    def _reach(self):
        """How many channels a window holds before and after its own."""
        return self.size // 2, (self.size - 1) // 2

    def _grouped(self, x):
        """Groups as if they were images: (n, C, H, W) -> (n·groups, C/groups, H, W)."""
        n, c, h, w = x.shape
        return x.reshape(n * self.groups, c // self.groups, h, w)

    def __repr__(self):
        return (
            f"LocalResponseNorm({self.size}, alpha={self.alpha:g}, beta={self.beta:g},"
            f" k={self.k:g}, alpha_over_size={self.alpha_over_size}"
            + (f", groups={self.groups})" if self.groups > 1 else ")")
        )


# On a GPU each of these is one pass over its arrays, beside x² and the two window sums.


@fuse
def _normalise(x, total, a, k, beta, s, y):
    array_module(x).multiply(total, a, out=s)
    s += k
    array_module(x).divide(x, _power(s, beta), out=y)


@fuse
def _damp(x, s, g, beta, damped):
    """g · s^(-β) into `damped`; returns g · y / s."""
    array_module(x).divide(g, _power(s, beta), out=damped)
    return damped * x / s


@fuse
def _combine(x, crossed, factor, dx):
    dx -= crossed * x * factor


def _power(s, beta):
    """s^β; on the CPU, where powers are slow, the paper's β = 3/4 as √s · √√s."""
    if array_module(s) is not np or beta != 0.75:
        return s**beta
    root = np.sqrt(s)
    root *= np.sqrt(root)
    return root
