"""Convolution, as one matrix product a band of the image (paper, section 3.5).

    y[o] = b[o] + Σ_c Σ_i Σ_j  weight[o, c, i, j] · x[c, s·row + i, s·column + j]

im2col writes every window as a column, and the three sums become W @ columns. Backward:

    dW = Σ over positions of dy · x's window = dy @ columnsᵀ        db[o] = Σ dy[o]
    dx = col2im(Wᵀ @ dy), where col2im, im2col's adjoint, adds up what each pixel gave to

With groups=g, the g-th part of the outputs sees only the g-th part of the input channels: two
groups are what a layer of the paper is whose kernels read their own GPU's maps.
"""

import math

from ..device import array_module
from ..errors import ShapeError
from ..kernels import bands, col2im, empty, from_columns, im2col, to_columns
from .base import Layer, affine, as_padding, as_pair, expect_maps, expect_whole, short


class Conv2d(Layer):
    """(n, in_channels, H, W) -> (n, out_channels, oh, ow), oh = (H + pads - kh) // stride + 1.

    kernel_size, stride: an int or a (vertical, horizontal) pair
    padding: zeros around the image: an int, a pair, or ((top, bottom), (left, right))
    params: weight (out_channels, in_channels // groups, kh, kw), bias (out_channels,)
    rng: draws the weight as He; without one, a Graph does when the layer is added to it

    Raises ShapeError if the channels do not divide by groups or the kernel exceeds the image.
    """

    def __init__(
        self, in_channels, out_channels, kernel_size, stride=1, padding=0, groups=1, rng=None
    ):
        super().__init__()
        expect_whole(self, in_channels=in_channels, out_channels=out_channels, groups=groups)
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size, self.stride = as_pair(kernel_size), as_pair(stride)
        self.padding = as_padding(padding)
        if min(in_channels, out_channels, groups, *self.kernel_size, *self.stride) < 1:
            raise ShapeError(f"{self!r}: channels, groups, kernel and stride must be at least 1")
        if min(map(min, self.padding)) < 0:
            raise ShapeError(f"{self!r}: padding must not be negative")
        if in_channels % groups or out_channels % groups:
            raise ShapeError(f"{self!r}: {groups} groups must divide both channel counts")
        self.params = affine((out_channels, in_channels // groups, *self.kernel_size), rng)

    def output_shape(self, shape):
        expect_maps(self, shape, self.in_channels)
        padded = [size + sum(pads) for size, pads in zip(shape[1:], self.padding, strict=True)]
        if padded[0] < self.kernel_size[0] or padded[1] < self.kernel_size[1]:
            raise ShapeError(
                f"{self!r}: kernel {self.kernel_size} is larger than the padded image,"
                f" {padded[0]}×{padded[1]}"
            )
        return self.out_channels, *(
            (size - k) // s + 1
            for size, k, s in zip(padded, self.kernel_size, self.stride, strict=True)
        )

    def multiply_adds(self, shape):
        return self.params["weight"].data[0].size * math.prod(self.output_shape(shape))

    def forward(self, x, train=True):
        y = empty(x, self.check(x))
        weight, bias = self._matrix(), self.params["bias"].data[:, None, None]
        for there, here, padding in bands(x, y, self.kernel_size, self.stride, self.padding):
            columns = im2col(x[there], self.kernel_size, self.stride, padding)
            for rows, outs in self._groups():
                maps = weight[outs] @ columns[rows]  # (O/g, C/g·kh·kw) @ (C/g·kh·kw, windows)
                part = y[here][:, outs]
                array_module(x).add(from_columns(maps, part.shape), bias[outs], out=part)
        return y, x

    def backward(self, dy, x, need_dx=True):
        xp, weight = array_module(x), self._matrix()
        dx = xp.zeros_like(x) if need_dx else None
        dw = xp.zeros(weight.shape[::-1], x.dtype)  # (C/g·kh·kw, O): BLAS is faster that way
        for there, here, padding in bands(x, dy, self.kernel_size, self.stride, self.padding):
            columns = im2col(x[there], self.kernel_size, self.stride, padding)
            maps = to_columns(dy[here])
            for rows, outs in self._groups():
                dw[:, outs] += columns[rows] @ maps[outs].T  # (C/g·kh·kw, windows) @ (windows, O/g)
                if need_dx:  # (C/g·kh·kw, O/g) @ (O/g, windows), in place of what was read
                    xp.matmul(weight[outs].T, maps[outs], out=columns[rows])
            if need_dx:
                col2im(columns, dx[there], self.kernel_size, self.stride, padding)
        dw = dw.T.reshape(self.params["weight"].data.shape)
        return dx, {"weight": dw, "bias": dy.sum(axis=(0, 2, 3))}

    def _matrix(self):
        """The weight as (O, C/g·kh·kw)."""
        return self.params["weight"].data.reshape(self.out_channels, -1)

    def _groups(self):
        """The rows of columns and the output channels that belong together."""
        rows, outs = self._matrix().shape[1], self.out_channels // self.groups
        for g in range(self.groups):
            yield slice(g * rows, (g + 1) * rows), slice(g * outs, (g + 1) * outs)

    def __repr__(self):
        text = f"Conv2d({self.in_channels}, {self.out_channels}, {short(self.kernel_size)}"
        text += f", stride={short(self.stride)}" if self.stride != (1, 1) else ""
        text += f", padding={short(self.padding)}" if self.padding != ((0, 0), (0, 0)) else ""
        return text + (f", groups={self.groups}" if self.groups > 1 else "") + ")"
