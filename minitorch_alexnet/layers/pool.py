"""Max-pooling; with stride < kernel_size the windows overlap (paper, section 3.4).

    y[row, column] = max over i, j of x[s·row + i, s·column + j]

    dx[place] = Σ of dy over the windows that this place wins

Where windows overlap one input can win several times, and then its gradients add. Who won is all
that backward has to know.
"""

from ..errors import ShapeError
from ..kernels import max_pool, max_pool_backward
from .base import Layer, as_padding, as_pair, expect_maps, short


class MaxPool2d(Layer):
    """(n, C, H, W) -> (n, C, oh, ow), oh = (H + pads - kernel) // stride + 1.

    kernel_size, stride: an int or a pair; stride defaults to kernel_size, the paper has 3 and 2
    padding: an int, a pair or ((top, bottom), (left, right)) of −∞: it never wins
    ceil_mode: round oh up, so that a last window may reach over the edge (none starts beyond it)

    Of equal values in a window the first in reading order wins. Raises ShapeError if a window
    could lie in the padding alone, or is larger than the padded image.
    """

    def __init__(self, kernel_size, stride=None, padding=0, ceil_mode=False):
        super().__init__()
        self.kernel_size = as_pair(kernel_size)
        self.stride = self.kernel_size if stride is None else as_pair(stride)
        self.padding, self.ceil_mode = as_padding(padding), ceil_mode
        if min(*self.kernel_size, *self.stride) < 1:
            raise ShapeError(f"{self!r}: kernel and stride must be at least 1")
        for k, pads in zip(self.kernel_size, self.padding, strict=True):
            if min(pads) < 0 or max(pads) >= k:
                raise ShapeError(f"{self!r}: padding must be 0 … kernel-1, got {pads} for {k}")

    def output_shape(self, shape):
        expect_maps(self, shape)
        return shape[0], *map(
            self._output_size, shape[1:], self.kernel_size, self.stride, self.padding
        )

    def _output_size(self, size, kernel, stride, pads):
        room = size + sum(pads) - kernel
        if room < 0:
            raise ShapeError(
                f"{self!r}: kernel {kernel} is larger than the padded image's {size + sum(pads)}"
            )
        if not self.ceil_mode:
            return room // stride + 1
        out = -(-room // stride) + 1
        return out - 1 if (out - 1) * stride >= size + pads[0] else out

    def forward(self, x, train=True):
        _, *size = self.check(x)
        y, winners = max_pool(x, *self._geometry, tuple(size))
        return y, (winners, x.shape)

    def backward(self, dy, cache, need_dx=True):
        winners, x_shape = cache
        return (max_pool_backward(dy, winners, x_shape, *self._geometry) if need_dx else None), {}

    @property
    def _geometry(self):
        return self.kernel_size, self.stride, self.padding

    def __repr__(self):
        text = f"MaxPool2d({short(self.kernel_size)}, stride={short(self.stride)}"
        text += f", padding={short(self.padding)}" if self.padding != ((0, 0), (0, 0)) else ""
        return text + (", ceil_mode=True)" if self.ceil_mode else ")")
