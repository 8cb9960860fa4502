"""Convolution, as one matrix product a block of images (paper, section 3.5).

    y[o] = b[o] + Σ_c Σ_i Σ_j  weight[o, c, i, j] · x[c, s·row + i, s·column + j]

im2col writes every window as a column, and the three sums become W @ columns. Backward:

    dW = Σ over positions of dy · x's window = dy @ columnsᵀ        db[o] = Σ dy[o]
    dx = col2im(Wᵀ @ dy), where col2im, im2col's adjoint, adds up what each pixel gave to

With groups=g, the g-th part of the outputs sees only the g-th part of the input channels: two
groups are what a layer of the paper is whose kernels read their own GPU's maps.
"""

import math

import numpy as np

from .. import init
from ..device import array_module, blocks, for_each_block, for_each_part
from ..errors import ShapeError
from ..kernels import col2im, from_columns, im2col, to_columns
from .base import Layer, Parameter, as_padding, as_pair, expect_maps, short


class Conv2d(Layer):
    """(n, in_channels, H, W) -> (n, out_channels, oh, ow), oh = (H + pads - kh) // stride + 1.

    kernel_size, stride: an int or a (vertical, horizontal) pair
    padding: zeros around the image: an int, a pair, or ((top, bottom), (left, right))
    params: weight (out_channels, in_channels // groups, kh, kw), He; bias (out_channels,), 0

    Raises ShapeError if the channels do not divide by groups or the kernel exceeds the image.
    """

    def __init__(
        self, in_channels, out_channels, kernel_size, stride=1, padding=0, groups=1, rng=None
    ):
        super().__init__()
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size, self.stride = as_pair(kernel_size), as_pair(stride)
        self.padding = as_padding(padding)
        if min(in_channels, out_channels, groups, *self.kernel_size, *self.stride) < 1:
            raise ShapeError(f"{self!r}: channels, groups, kernel and stride must be at least 1")
        if min(map(min, self.padding)) < 0:
            raise ShapeError(f"{self!r}: padding must not be negative")
        if in_channels % groups or out_channels % groups:
            raise ShapeError(f"{self!r}: {groups} groups must divide both channel counts")
        shape = (out_channels, in_channels // groups, *self.kernel_size)
        self.params = {
            "weight": Parameter(init.he(rng or np.random.default_rng(0), shape)),
            "bias": Parameter(np.zeros(out_channels, np.float32), decay=0),
        }

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
        xp, y_shape = array_module(x), self.check(x)
        y = xp.empty((len(x), *y_shape), x.dtype)
        weight = self.params["weight"].data.reshape(self.out_channels, -1)
        bias = self.params["bias"].data[:, None, None]

        def some(images):
            for ins, outs in self._groups():
                columns = im2col(x[images, ins], *self._geometry)
                maps = weight[outs] @ columns  # (O/g, C/g·kh·kw) @ (C/g·kh·kw, windows)
                # the bias on the way back to NCHW: one pass
                xp.add(from_columns(maps, y_shape[1:]), bias[outs], out=y[images, outs])

        for_each_block(some, x, self._columns_bytes(y))
        if train:
            self.cache = (x,)
        return y

    def backward(self, dy, need_dx=True):
        (x,) = self.take_cache()
        xp, weights, bias = array_module(x), self.params["weight"], self.params["bias"]
        weight = weights.data.reshape(self.out_channels, -1)
        dx = xp.empty(x.shape, x.dtype) if need_dx else None
        row_bytes, geometry = self._columns_bytes(dy), self._geometry

        def some(part):
            dw = xp.zeros(weight.shape[::-1], x.dtype)  # (C/g·kh·kw, O): BLAS is faster that way
            db = xp.zeros(len(weight), x.dtype)
            for ins, outs in self._groups():
                for images in blocks(x, part, row_bytes):
                    maps = to_columns(dy[images, outs])
                    db[outs] += maps.sum(axis=1)
                    if not weights.frozen:
                        columns = im2col(x[images, ins], *geometry)
                        dw[:, outs] += columns @ maps.T  # (C/g·kh·kw, windows) @ (windows, O/g)
                    if need_dx:
                        columns = weight[outs].T @ maps  # (C/g·kh·kw, O/g) @ (O/g, windows)
                        dx[images, ins] = col2im(columns, x[images, ins].shape, *geometry)
            return dw, db

        parts = for_each_part(some, x, row_bytes)
        weights.set_grad(sum(dw for dw, _ in parts).T.reshape(weights.data.shape))
        bias.set_grad(sum(db for _, db in parts))
        return dx

    @property
    def _geometry(self):
        return self.kernel_size, self.stride, self.padding

    def _groups(self):
        """The input channels and the output channels that belong together."""
        ins, outs = self.in_channels // self.groups, self.out_channels // self.groups
        for g in range(self.groups):
            yield slice(g * ins, (g + 1) * ins), slice(g * outs, (g + 1) * outs)

    def _columns_bytes(self, y):
        """What the columns of one group take for one image."""
        return self.params["weight"].data[0].size * math.prod(y.shape[2:]) * y.itemsize

    def __repr__(self):
        text = f"Conv2d({self.in_channels}, {self.out_channels}, {short(self.kernel_size)}"
        text += f", stride={short(self.stride)}" if self.stride != (1, 1) else ""
        text += f", padding={short(self.padding)}" if self.padding != ((0, 0), (0, 0)) else ""
        return text + (f", groups={self.groups}" if self.groups > 1 else "") + ")"
