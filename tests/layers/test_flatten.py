"""Flatten: each image in C, H, W order, and back."""

from itertools import product

import numpy as np
import pytest
from reference import layer_results, normal, torch_results

from minitorch_alexnet.layers import Flatten


def test_channels_then_rows_then_columns():
    x, dy = normal(2, 3, 4, 5, seed=1), normal(2, 60, seed=2)
    y, dx = layer_results(Flatten(), dy, x)
    assert y.shape == (2, 60)
    for at, (c, row, column) in enumerate(product(range(3), range(4), range(5))):
        np.testing.assert_array_equal(y[:, at], x[:, c, row, column])
        np.testing.assert_array_equal(dx[:, c, row, column], dy[:, at])


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (1, 6), (19, 2, 1, 3)])
def test_equals_pytorch(shape, torch):
    x, dy = normal(*shape, seed=3), normal(shape[0], int(np.prod(shape[1:])), seed=4)
    wanted = torch_results(torch, torch.nn.Flatten(), dy, x)
    for result, other in zip(layer_results(Flatten(), dy, x), wanted, strict=True):
        np.testing.assert_array_equal(result, other)


def test_shape_and_repr():
    assert Flatten().output_shape((256, 6, 6)) == (9216,)
    assert repr(Flatten()) == "Flatten()"
