"""Where the paths of a graph meet: the way to another device (paper, section 3.2), and a join."""

from itertools import pairwise

import numpy as np

from ..device import Device, array_module
from ..errors import ShapeError
from .base import Layer


class Copy(Layer):
    """A copy on another device; the only layer that crosses. Backward is the reverse copy."""

    def __init__(self, to: Device | str):
        super().__init__()
        self.to = Device(to)

    def forward(self, x, train=True):
        self.check(x)
        return self.to.copy(x), Device.of(x)

    def backward(self, dy, source, need_dx=True):
        return (source.copy(dy) if need_dx else None), {}

    def __repr__(self):
        return f"Copy(to={str(self.to)!r})"


class Concat(Layer):
    """[(n, C1, …), (n, C2, …), …] -> (n, C1 + C2 + …, …): maps or features, in that order."""

    def output_shape(self, *shapes):
        if len(shapes) < 2:
            raise ShapeError(f"{self!r}: joins two inputs or more, got {len(shapes)}")
        if any(s[1:] != shapes[0][1:] or not s for s in shapes):
            raise ShapeError(f"{self!r}: inputs must agree behind the channels, got {shapes}")
        return (sum(shape[0] for shape in shapes), *shapes[0][1:])

    def forward(self, *xs, train=True):
        self.check(*xs)
        if len({(len(x), x.dtype) for x in xs}) > 1:
            raise ShapeError(
                f"{self!r}: inputs must have one batch size and one dtype, got "
                + ", ".join(f"{len(x)} of {x.dtype}" for x in xs)
            )
        ends = np.cumsum([x.shape[1] for x in xs])
        return array_module(xs[0]).concatenate(xs, axis=1), ends

    def backward(self, dy, ends, need_dx=True):
        if not need_dx:
            return None, {}
        return tuple(dy[:, a:b] for a, b in pairwise([0, *ends])), {}
