"""ReLU and tanh, number by number, and against PyTorch."""

import math

import numpy as np
import pytest
from reference import assert_close, layer_results, normal, torch_results

from minitorch_alexnet.gradcheck import check_layer
from minitorch_alexnet.layers import ReLU, Tanh

SHAPES = [(2, 3, 4, 5), (7, 3), (1, 1)]
FORMULAS = {
    ReLU: (lambda x: max(0.0, x), lambda x: 1.0 if x > 0 else 0.0),
    Tanh: (math.tanh, lambda x: 1 / math.cosh(x) ** 2),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("layer", FORMULAS)
def test_equals_its_formula(layer, shape):
    x, dy = 2 * normal(*shape, seed=1), normal(*shape, seed=2)
    f, derivative = FORMULAS[layer]
    y, dx = layer_results(layer(), dy, x)
    assert_close(y.ravel(), [f(v) for v in x.flat], 1e-15)
    slopes = [derivative(v) * d for v, d in zip(x.flat, dy.flat, strict=True)]
    assert_close(dx.ravel(), slopes, 1e-14)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("layer", FORMULAS)
def test_equals_pytorch(layer, shape, torch):
    x, dy = 2 * normal(*shape, seed=3), normal(*shape, seed=4)
    x.flat[0] = 0
    wanted = torch_results(torch, getattr(torch, layer.__name__.lower()), dy, x)
    for result, other in zip(layer_results(layer(), dy, x), wanted, strict=True):
        assert_close(result, other, 1e-14)


def test_relu_at_zero_is_flat():
    x = np.array([[-0.0, 0.0, 1e-300, -1e-300]])
    y, dx = layer_results(ReLU(), np.ones_like(x), x)
    assert y.tolist() == [[0, 0, 1e-300, 0]]
    assert dx.tolist() == [[0, 0, 1, 0]]


def test_tanh_far_out_is_flat_and_finite():
    x = np.array([[-1e4, -30.0, 0.0, 30.0, 1e4]])
    y, dx = layer_results(Tanh(), np.ones_like(x), x)
    assert y.tolist() == [[-1, -1, 0, 1, 1]]
    assert dx.tolist() == [[0, 0, 1, 0, 0]]


@pytest.mark.parametrize("layer", FORMULAS)
def test_gradients_are_the_finite_differences(layer):
    report = check_layer(layer(), normal(3, 4, 2, seed=5), tolerance=1e-9)
    assert report.passed, str(report)
