"""Local response normalisation (paper, section 3.3).

    y_i = x_i · s_i^(-β)        s_i = k + α · Σ_j x_j²

over the `size` channels j centred on i, clipped at the ends: a map that answers strongly damps
its neighbours at the same place. Backward, what x_j did to y_j itself and, as a part of s_i, to
every y_i whose window holds it:

    dx_j = dy_j · s_j^(-β) - 2αβ · x_j · Σ_i dy_i · y_i / s_i
"""

from numbers import Real

from ..errors import ShapeError, UserError
from ..kernels import lrn, lrn_backward
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
        y, s = lrn(x, *self._window, float(self.k), self._a, float(self.beta))
        return y, (x, s)

    def backward(self, dy, cache, need_dx=True):
        if not need_dx:
            return None, {}
        return lrn_backward(dy, *cache, *self._window, self._a, float(self.beta)), {}

    @property
    def _window(self):
        """How many channels it holds before and after its own, and the groups it stays within."""
        return self.size // 2, (self.size - 1) // 2, self.groups

    @property
    def _a(self):
        return float(self.alpha / self.size if self.alpha_over_size else self.alpha)

    def __repr__(self):
        return (
            f"LocalResponseNorm({self.size}, alpha={exact(self.alpha)}, beta={exact(self.beta)},"
            f" k={exact(self.k)}, alpha_over_size={self.alpha_over_size}"
            + (f", groups={self.groups})" if self.groups > 1 else ")")
        )
