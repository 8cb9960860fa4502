"""Fully connected (paper, section 3.5): y = x @ Wᵀ + b.

    dW = dyᵀ @ x        db = Σ_n dy        dx = dy @ W

The weights are far larger than the batch, so it is their rows and columns that are dealt out.
"""

import numpy as np

from .. import init
from ..device import array_module, for_each_part
from ..errors import ShapeError
from .base import Layer, Parameter


class Linear(Layer):
    """(n, in_features) -> (n, out_features).

    params: weight (out_features, in_features), He; bias (out_features,), 0
    """

    def __init__(self, in_features, out_features, rng=None):
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        if min(in_features, out_features) < 1:
            raise ShapeError(f"{self!r}: both sizes must be at least 1")
        weight = init.he(rng or np.random.default_rng(0), (out_features, in_features))
        self.params = {
            "weight": Parameter(weight),
            "bias": Parameter(np.zeros(out_features, np.float32), decay=0),
        }

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
        weight, bias = self.params["weight"].data, self.params["bias"].data
        y = array_module(x).empty((len(x), self.out_features), x.dtype)

        def some(rows):
            y[:, rows] = x @ weight[rows].T  # (n, in) @ (in, rows)
            y[:, rows] += bias[rows]

        for_each_part(some, weight)
        if train:
            self.cache = (x,)
        return y

    def backward(self, dy, need_dx=True):
        (x,) = self.take_cache()
        xp, weight, bias = array_module(x), self.params["weight"], self.params["bias"]
        dw, dx = xp.empty(weight.data.shape, x.dtype), xp.empty(x.shape, x.dtype)

        def some_rows(rows):
            xp.matmul(dy[:, rows].T, x, out=dw[rows])  # (rows, n) @ (n, in)

        if not weight.frozen:
            for_each_part(some_rows, weight.data)
        weight.set_grad(dw)
        bias.set_grad(dy.sum(axis=0))
        if not need_dx:
            return None

        def some_columns(columns):
            dx[:, columns] = dy @ weight.data[:, columns]  # (n, out) @ (out, columns)

        for_each_part(some_columns, weight.data.T)
        return dx

    def __repr__(self):
        return f"Linear({self.in_features}, {self.out_features})"
