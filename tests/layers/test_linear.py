"""Linear against its sums, and against PyTorch."""

import pytest
from reference import assert_close, layer_results, linear, normal, torch_results, with_dtype

from minitorch_alexnet.errors import ShapeError
from minitorch_alexnet.layers import Linear

SIZES = [(1, 1, 1), (1, 5, 3), (4, 3, 7), (19, 6, 4), (3, 410, 370)]  # the last in several pieces


def make(n, ins, outs):
    layer = with_dtype(Linear(ins, outs), seed=1)
    return layer, normal(n, outs, seed=2), normal(n, ins, seed=3)


@pytest.mark.parametrize("sizes", SIZES)
def test_equals_its_formula(sizes):
    layer, dy, x = make(*sizes)
    wanted = linear(x, *(p.data for p in layer.params.values()), dy)
    for result, other in zip(layer_results(layer, dy, x), wanted, strict=True):
        assert_close(result, other)


@pytest.mark.parametrize("sizes", SIZES)
def test_equals_pytorch(sizes, torch):
    layer, dy, x = make(*sizes)
    arrays = x, *(p.data for p in layer.params.values())
    wanted = torch_results(torch, torch.nn.functional.linear, dy, *arrays)
    for result, other in zip(layer_results(layer, dy, x), wanted, strict=True):
        assert_close(result, other)


@pytest.mark.parametrize(
    ("shape", "message"),
    [((3, 4), r"expected 5 input features, got shape \(4,\)$"), ((3, 5, 1, 1), "add a Flatten")],
)
def test_wrong_features_are_named(shape, message):
    with pytest.raises(ShapeError, match=rf"^Linear\(5, 2\): .*{message}"):
        with_dtype(Linear(5, 2)).forward(normal(*shape))


@pytest.mark.parametrize("sizes", [(0, 2), (2, 0), (-1, 2)])
def test_bad_arguments(sizes):
    with pytest.raises(ShapeError, match=r"Linear\(.*at least 1"):
        Linear(*sizes)


def test_multiply_adds_of_the_paper():
    assert Linear(9216, 4096).multiply_adds((9216,)) == 37_748_736
    assert Linear(4096, 1000).multiply_adds((4096,)) == 4_096_000
