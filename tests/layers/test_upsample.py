"""Upsample: against Kronecker's product and PyTorch, and its backward as its adjoint."""

import numpy as np
import pytest
from reference import assert_close, layer_results, normal, torch_results

from minitorch_alexnet.errors import ShapeError
from minitorch_alexnet.gradcheck import check_layer
from minitorch_alexnet.layers import Upsample

# Heights and widths differ, so that no axis can be taken for the other.
CASES = [((2, 3, 4, 5), 3), ((1, 1, 28, 28), 8), ((3, 2, 1, 4), 2), ((2, 3, 4, 5), 1)]


def make(shape, scale):
    n, c, h, w = shape
    return Upsample(scale), normal(n, c, scale * h, scale * w, seed=1), normal(*shape, seed=2)


@pytest.mark.parametrize(("shape", "scale"), CASES, ids=str)
def test_each_value_becomes_a_square(shape, scale):
    layer, dy, x = make(shape, scale)
    y, dx = layer_results(layer, dy, x)
    np.testing.assert_array_equal(y, np.kron(x, np.ones((scale, scale))))
    wanted = np.zeros(shape)
    for row in range(dy.shape[2]):
        for column in range(dy.shape[3]):
            wanted[:, :, row // scale, column // scale] += dy[:, :, row, column]
    assert_close(dx, wanted, 1e-14)
    assert layer.output_shape(shape[1:]) == y.shape[1:] == dy.shape[1:]


@pytest.mark.parametrize(("shape", "scale"), CASES, ids=str)
def test_equals_pytorch(torch, shape, scale):
    layer, dy, x = make(shape, scale)
    theirs = torch_results(torch, torch.nn.Upsample(scale_factor=scale, mode="nearest"), dy, x)
    for result, wanted in zip(layer_results(layer, dy, x), theirs, strict=True):
        assert_close(result, wanted, 1e-14)


@pytest.mark.parametrize(("shape", "scale"), CASES, ids=str)
def test_backward_is_the_adjoint(shape, scale):
    layer, dy, x = make(shape, scale)
    y, dx = layer_results(layer, dy, x)
    assert (y * dy).sum() == pytest.approx((x * dx).sum(), rel=1e-12)


def test_gradients_match_finite_differences():
    report = check_layer(Upsample(3), normal(2, 2, 2, 3), rng=np.random.default_rng(5))
    assert report.passed, report
    assert report.error < 1e-8


def test_at_scale_1_nothing_is_shared():
    layer, dy, x = make((2, 3, 4, 5), 1)
    y, dx = layer_results(layer, dy, x)
    assert not np.shares_memory(y, x)
    assert not np.shares_memory(dx, dy)


@pytest.mark.parametrize("scale", [0, -2, 1.5])
def test_a_scale_that_is_no_whole_number_from_1_is_refused(scale):
    with pytest.raises(ShapeError, match=rf"^Upsample\({scale}\): .*whole scale_factor .* 1$"):
        Upsample(scale)


def test_what_is_no_map_is_refused():
    with pytest.raises(ShapeError, match=r"^Upsample\(2\): expected images \(C, H, W\).*\(7,\)"):
        Upsample(2).output_shape((7,))
    with pytest.raises(ShapeError, match=r"^Upsample\(2\): expected images \(C, H, W\)"):
        Upsample(2).forward(np.zeros((3, 4, 5)))


def test_repr():
    assert repr(Upsample(8)) == "Upsample(8)"
