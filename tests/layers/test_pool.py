"""MaxPool2d against a loop over its windows, and against PyTorch."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference import assert_close, few, layer_results, max_pool, normal, pool_size, torch_results

from minitorch_alexnet.errors import ShapeError
from minitorch_alexnet.layers import MaxPool2d


@st.composite
def problems(draw, equal_pads=False):
    """(n, C, H, W), kernel, options."""
    kernel, stride = (tuple(draw(st.integers(1, 4)) for _ in "hw") for _ in "ks")
    most = [k // 2 if equal_pads else k - 1 for k in kernel]
    padding = tuple(tuple(draw(st.integers(0, m)) for _ in "be") for m in most)
    if equal_pads:
        padding = tuple((before, before) for before, _ in padding)
    room = [max(1, k - sum(pads)) for k, pads in zip(kernel, padding, strict=True)]
    h, w = (draw(st.integers(least, least + 5)) for least in room)
    options = {"stride": stride, "padding": padding, "ceil_mode": draw(st.booleans())}
    return (draw(st.integers(1, 3)), draw(st.integers(1, 2)), h, w), kernel, options


# what the images are made of: with few different numbers there are many ties
CONTENTS = {
    "normal": lambda shape: normal(*shape, seed=1),
    "ties": lambda shape: np.random.default_rng(2).integers(-1, 2, shape).astype(float),
    "all negative": lambda shape: np.random.default_rng(3).integers(-9, -6, shape).astype(float),
    "all equal": lambda shape: np.full(shape, -1.0),
}


def make(x_shape, kernel, options, content):
    layer = MaxPool2d(kernel, **options)
    dy = normal(x_shape[0], *layer.output_shape(x_shape[1:]), seed=4)
    return layer, dy, CONTENTS[content](x_shape)


@few
@given(problem=problems(), content=st.sampled_from([*CONTENTS]))
def test_equals_its_formula(problem, content):
    (n, c, h, w), kernel, options = problem
    layer, dy, x = make(*problem, content)
    stride, padding, ceil_mode = options.values()
    sizes = (
        pool_size(*axis, ceil_mode) for axis in zip((h, w), kernel, stride, padding, strict=True)
    )
    assert dy.shape == (n, c, *sizes)
    y, dx = layer_results(layer, dy, x)
    wanted_y, wanted_dx = max_pool(x, dy, kernel, stride, padding)
    np.testing.assert_array_equal(y, wanted_y)
    assert_close(dx, wanted_dx, 1e-14)


@few
@given(problem=problems(equal_pads=True), content=st.sampled_from([*CONTENTS]))
def test_equals_pytorch(torch, problem, content):
    layer, dy, x = make(*problem, content)
    theirs = torch.nn.MaxPool2d(
        layer.kernel_size,
        layer.stride,
        tuple(before for before, _ in layer.padding),
        ceil_mode=layer.ceil_mode,
    )
    y, dx = layer_results(layer, dy, x)
    wanted_y, wanted_dx = torch_results(torch, theirs, dy, x)
    np.testing.assert_array_equal(y, wanted_y)
    assert_close(dx, wanted_dx, 1e-14)


@pytest.mark.parametrize("content", CONTENTS)
@pytest.mark.parametrize(
    ("kernel", "options"),
    [
        (3, {"stride": 2}),  # the paper's: windows overlap
        (2, {}),
        (3, {"stride": 1, "padding": 1}),
        (3, {"stride": 2, "padding": ((0, 2), (1, 0))}),
        ((2, 3), {"stride": (3, 1), "ceil_mode": True}),
        (3, {"stride": 2, "ceil_mode": True, "padding": ((1, 1), (0, 1))}),
        (2, {"stride": 3}),  # pixels that no window holds
        ((7, 8), {}),  # the whole image
    ],
    ids=str,
)
def test_usual_settings(kernel, options, content):
    layer, dy, x = make((2, 3, 7, 8), kernel, options, content)
    wanted_y, wanted_dx = max_pool(x, dy, layer.kernel_size, layer.stride, layer.padding)
    y, dx = layer_results(layer, dy, x)
    np.testing.assert_array_equal(y, wanted_y)
    assert_close(dx, wanted_dx, 1e-14)


def test_one_winner_of_four_windows_gets_all_their_gradients():
    x = np.zeros((1, 1, 5, 5))
    x[0, 0, 2, 2] = 1
    dy = np.array([[[[1.0, 20], [300, 4000]]]])
    y, dx = layer_results(MaxPool2d(3, stride=2), dy, x)
    assert (y == 1).all()
    assert dx[0, 0, 2, 2] == 4321
    assert np.count_nonzero(dx) == 1


def test_the_first_of_equals_wins_in_reading_order():
    x = np.array([[[[0.0, 2, 1], [2, 0, 2], [2, 2, 2]]]])  # a column-wise reader finds (1, 0)
    _, dx = layer_results(MaxPool2d(3), np.ones((1, 1, 1, 1)), x)
    assert np.argwhere(dx[0, 0]).tolist() == [[0, 1]]


def test_padding_never_wins():
    y, dx = layer_results(
        MaxPool2d(2, padding=1), np.ones((1, 1, 2, 2)), np.full((1, 1, 2, 2), -5.0)
    )
    assert (y == -5).all()
    assert (dx == 1).all()


def test_stride_is_the_kernel_unless_said():
    assert MaxPool2d((3, 2)).stride == (3, 2)
    assert MaxPool2d((3, 2)).output_shape((1, 7, 7)) == (1, 2, 3)


def test_no_window_starts_beyond_the_edge():
    assert MaxPool2d(1, stride=3, ceil_mode=True).output_shape((1, 5, 4)) == (1, 2, 2)
    assert MaxPool2d(2, stride=2, ceil_mode=True).output_shape((1, 5, 4)) == (1, 3, 2)


@pytest.mark.parametrize("ceil_mode", [False, True])
def test_a_kernel_larger_than_the_padded_image_is_refused(ceil_mode):
    layer = MaxPool2d((5, 2), stride=1, padding=((1, 0), (0, 0)), ceil_mode=ceil_mode)
    assert layer.output_shape((1, 4, 2)) == (1, 1, 1)
    with pytest.raises(ShapeError, match=r"MaxPool2d\(.*kernel 5 is larger .* image's 4$"):
        layer.output_shape((1, 3, 2))  # 4 with its padding
    with pytest.raises(ShapeError, match=r"MaxPool2d\(.*kernel 2 is larger .* image's 1$"):
        layer.output_shape((1, 4, 1))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kernel_size": 0}, "at least 1"),
        ({"kernel_size": (2, 0)}, "at least 1"),
        ({"stride": 0}, "at least 1"),
        ({"stride": (1, 0)}, "at least 1"),
        ({"padding": 3}, "padding must be 0 … kernel-1"),
        ({"padding": -1}, "padding must be 0 … kernel-1"),
        ({"padding": ((0, 0), (0, 3))}, "padding must be 0 … kernel-1"),
        ({"padding": ((1, -1), (0, 0))}, "padding must be 0 … kernel-1"),
        ({"kernel_size": (3, 1), "padding": 1}, "padding must be 0 … kernel-1"),
    ],
    ids=str,
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ShapeError, match=f"^MaxPool2d.*{message}"):
        MaxPool2d(**{"kernel_size": 3, **arguments})


def test_repr():
    assert repr(MaxPool2d(3, stride=2)) == "MaxPool2d(3, stride=2)"
    full = MaxPool2d((3, 2), padding=((1, 0), (0, 0)), ceil_mode=True)
    padding = "padding=((1, 0), (0, 0)), ceil_mode=True)"
    assert repr(full) == f"MaxPool2d((3, 2), stride=(3, 2), {padding}"
