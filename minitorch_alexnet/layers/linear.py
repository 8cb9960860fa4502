"""Fully connected (paper, section 3.5): y = x @ Wᵀ + b.

    dW = dyᵀ @ x        db = Σ_n dy        dx = dy @ W

The weights are far larger than the images, so it is not the batch that is dealt out to the cores:
`product` deals out the weights.
"""

from ..errors import ShapeError
from ..workers import product
from .base import Layer, affine, expect_whole


class Linear(Layer):
    """(n, in_features) -> (n, out_features).

    params: weight (out_features, in_features), bias (out_features,)
    rng: draws the weight as He; without one, a Graph does when the layer is added to it
    """

    per_image = False

    def __init__(self, in_features, out_features, rng=None):
        super().__init__()
        expect_whole(self, in_features=in_features, out_features=out_features)
        self.in_features, self.out_features = in_features, out_features
        if min(in_features, out_features) < 1:
            raise ShapeError(f"{self!r}: both sizes must be at least 1")
        self.params = affine((out_features, in_features), rng)

    def output_shape(self, shape):
        if shape != (self.in_features,):
            raise ShapeError(
                f"{self!r}: expected {self.in_features} input features, got shape {shape}"
                + ("; add a Flatten before it" if len(shape) > 1 else "")
            )
        return (self.out_features,)

    def multiply_adds(self, shape):
        return self.in_features * self.out_features

    def forward(self, x, train=True):
        self.check(x)
        y = product(x, self.params["weight"].data.T)  # (n, in) @ (in, out)
        y += self.params["bias"].data
        return y, x

    def backward(self, dy, x, need_dx=True):
        dw = product(dy.T, x)  # (out, n) @ (n, in)
        dx = product(dy, self.params["weight"].data) if need_dx else None  # (n, out) @ (out, in)
        return dx, {"weight": dw, "bias": dy.sum(axis=0)}

    def __repr__(self):
        return f"Linear({self.in_features}, {self.out_features})"
