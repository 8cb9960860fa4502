"""Where the paths of a graph meet: the way to another device (paper, section 3.2), and a join."""

from ..device import Device, array_module
from ..errors import ShapeError
from .base import Layer


class Copy(Layer):
    """A copy on another device; the only layer that crosses. Backward is the reverse copy.

    bytes_forward, bytes_backward: what has crossed so far
    """

    def __init__(self, to: Device | str):
        super().__init__()
        self.to = Device(to)
        self.bytes_forward = self.bytes_backward = 0

    def forward(self, x, train=True):
        self.check(x)
        self.bytes_forward += x.nbytes
        if train:
            self.cache = (Device.of(x),)
        return self.to.copy(x)

    def backward(self, dy, need_dx=True):
        (source,) = self.take_cache()
        if not need_dx:
            return None
        self.bytes_backward += dy.nbytes
        return source.copy(dy)

    def __repr__(self):
        return f"Copy(to={str(self.to)!r})"


class Concat(Layer):
    """[(n, C1, …), (n, C2, …), …] -> (n, C1 + C2 + …, …): maps or features, in that order."""

    def output_shape(self, *shapes):
        if not shapes or any(s[1:] != shapes[0][1:] or not s for s in shapes):
            raise ShapeError(f"{self!r}: inputs must agree behind the channels, got {shapes}")
        return (sum(shape[0] for shape in shapes), *shapes[0][1:])

    def forward(self, *xs, train=True):
        self.check(*xs)
        if len({(len(x), x.dtype) for x in xs}) > 1:
            raise ShapeError(
                f"{self!r}: inputs must have one batch size and one dtype, got "
                + ", ".join(f"{len(x)} of {x.dtype}" for x in xs)
            )
        if train:
            self.cache = tuple(x.shape[1] for x in xs)
        return array_module(xs[0]).concatenate(xs, axis=1)

    def backward(self, dy, need_dx=True):
        widths = self.take_cache()
        if not need_dx:
            return None
        pieces, start = [], 0
        for width in widths:
            pieces.append(dy[:, start : start + width])
            start += width
        return tuple(pieces) if len(pieces) > 1 else pieces[0]
