"""Maps to features: (n, C, H, W) -> (n, C·H·W), and back again with the gradient."""

import math

from .base import Layer


class Flatten(Layer):
    """(n, …) -> (n, product of the rest), each image in C, H, W order."""

    def output_shape(self, shape):
        return (math.prod(shape),)

    def forward(self, x, train=True):
        shape = self.check(x)
        return x.reshape(len(x), *shape), x.shape

    def backward(self, dy, shape, need_dx=True):
        return (dy.reshape(shape) if need_dx else None), {}
