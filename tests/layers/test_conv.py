"""Conv2d against the sums of its formula, and against PyTorch."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference import (
    assert_close,
    conv2d,
    conv_size,
    few,
    layer_results,
    normal,
    output,
    torch_results,
    with_dtype,
)

from minitorch_alexnet.errors import ShapeError
from minitorch_alexnet.kernels import cpu
from minitorch_alexnet.layers import Conv2d

# (n, C, H, W), outputs, kernel, and how
PROBLEMS = [
    ((2, 3, 6, 6), 4, 3, {}),
    ((2, 3, 7, 9), 4, (3, 2), {"stride": (2, 3)}),
    ((3, 4, 5, 6), 6, (2, 3), {"padding": (1, 2), "groups": 2}),
    ((1, 6, 7, 5), 3, 3, {"stride": 2, "padding": ((0, 3), (2, 1)), "groups": 3}),
    ((2, 4, 4, 4), 4, 1, {"groups": 4}),
    ((2, 2, 3, 4), 5, (3, 4), {}),
    ((1, 2, 4, 3), 3, 1, {}),
    ((2, 2, 8, 8), 3, 2, {"stride": 3}),
    ((1, 3, 14, 14), 2, 11, {"stride": 4, "padding": ((0, 1), (0, 1))}),  # conv1 in small
]


def make(x_shape, outputs, kernel, options):
    """A layer with random weights and biases, a dy and an x."""
    layer = with_dtype(Conv2d(x_shape[1], outputs, kernel, **options), seed=1)
    shape = layer.output_shape(x_shape[1:])
    return layer, normal(x_shape[0], *shape, seed=2), normal(*x_shape, seed=3)


def by_the_formula(layer, dy, x):
    weight, bias = (p.data for p in layer.params.values())
    return conv2d(x, weight, bias, dy, layer.stride, layer.padding, layer.groups)


def assert_all_close(results, wanted, tolerance=1e-12):
    for result, other in zip(results, wanted, strict=True):
        assert_close(result, other, tolerance)


@pytest.mark.parametrize("problem", PROBLEMS, ids=str)
def test_equals_its_formula(problem):
    layer, dy, x = make(*problem)
    assert_all_close(layer_results(layer, dy, x), by_the_formula(layer, dy, x))


@st.composite
def problems(draw):
    groups = draw(st.integers(1, 3))
    ins, outs = (groups * draw(st.integers(1, 2)) for _ in "io")
    kernel, stride = (tuple(draw(st.integers(1, 3)) for _ in "hw") for _ in "ks")
    padding = tuple(tuple(draw(st.integers(0, 2)) for _ in "be") for _ in "hw")
    room = [max(1, k - sum(pads)) for k, pads in zip(kernel, padding, strict=True)]
    h, w = (draw(st.integers(least, least + 4)) for least in room)
    options = {"stride": stride, "padding": padding, "groups": groups}
    return (draw(st.integers(1, 3)), ins, h, w), outs, kernel, options


@few
@given(problem=problems())
def test_equals_its_formula_for_odd_shapes(problem):
    (n, _, h, w), outputs, kernel, options = problem
    layer, dy, x = make(*problem)
    sizes = map(conv_size, (h, w), kernel, options["stride"], options["padding"])
    assert dy.shape == (n, outputs, *sizes)
    assert_all_close(layer_results(layer, dy, x), by_the_formula(layer, dy, x))


@pytest.mark.parametrize("problem", PROBLEMS, ids=str)
def test_equals_its_formula_band_by_band(problem, monkeypatch):
    monkeypatch.setattr(cpu, "BAND_BYTES", 1)
    layer, dy, x = make(*problem)
    assert_all_close(layer_results(layer, dy, x), by_the_formula(layer, dy, x))


@pytest.mark.parametrize("problem", PROBLEMS, ids=str)
def test_equals_pytorch(problem, torch):
    layer, dy, x = make(*problem)
    (top, bottom), (left, right) = layer.padding

    def convolve(x, weight, bias):
        x = torch.nn.functional.pad(x, (left, right, top, bottom))
        return torch.nn.functional.conv2d(x, weight, bias, layer.stride, groups=layer.groups)

    weight, bias = (p.data for p in layer.params.values())
    wanted = torch_results(torch, convolve, dy, x, weight, bias)
    assert_all_close(layer_results(layer, dy, x), wanted)


def test_a_window_by_hand():
    layer = with_dtype(Conv2d(1, 1, 2, padding=((0, 1), (1, 0))))
    layer.params["weight"].data[:] = [[1, 10], [100, 1000]]
    layer.params["bias"].data[:] = 0.5
    x = np.array([[[[1.0, 2], [3, 4]]]])
    y, dx, dw, db = layer_results(layer, np.array([[[[1.0, 0], [0, 2]]]]), x)
    assert y.tolist() == [[[[3010.5, 4321.5], [30.5, 43.5]]]]
    assert dx.tolist() == [[[[10, 0], [1002, 20]]]]
    assert dw.tolist() == [[[[6, 9], [0, 3]]]]
    assert db.tolist() == [3]


def test_a_group_sees_its_own_channels_alone():
    layer, _, x = make((2, 4, 5, 5), 6, 3, {"groups": 2})
    y, changed = output(layer, x), x.copy()
    changed[:, 2:] += 1
    difference = np.abs(output(layer, changed) - y).max(axis=(0, 2, 3))
    assert not difference[:3].any()
    assert (difference[3:] > 0).all()


@pytest.mark.parametrize(
    ("shape", "layer", "wanted"),
    [  # the paper's, grouped
        ((3, 224, 224), Conv2d(3, 96, 11, stride=4, padding=((0, 3), (0, 3))), 105_415_200),
        ((96, 27, 27), Conv2d(96, 256, 5, padding=2, groups=2), 223_948_800),
        ((256, 13, 13), Conv2d(256, 384, 3, padding=1), 149_520_384),
        ((384, 13, 13), Conv2d(384, 384, 3, padding=1, groups=2), 112_140_288),
        ((384, 13, 13), Conv2d(384, 256, 3, padding=1, groups=2), 74_760_192),
    ],
)
def test_multiply_adds_of_the_paper(shape, layer, wanted):
    assert layer.multiply_adds(shape) == wanted


def test_three_zeros_at_the_bottom_and_right_give_the_papers_55():
    assert Conv2d(3, 96, 11, stride=4).output_shape((3, 224, 224)) == (96, 54, 54)
    padded = Conv2d(3, 96, 11, stride=4, padding=((0, 3), (0, 3)))
    assert padded.output_shape((3, 224, 224)) == (96, 55, 55)


@few
@given(
    kernel=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    size=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    pad=st.integers(0, 1),
)
def test_a_kernel_larger_than_the_padded_image_is_refused(kernel, size, pad):
    layer = with_dtype(Conv2d(2, 3, kernel, padding=((pad, 0), (0, pad))))
    padded = size[0] + pad, size[1] + pad
    if kernel[0] <= padded[0] and kernel[1] <= padded[1]:
        assert output(layer, normal(1, 2, *size)).shape == (
            (1, 3, padded[0] - kernel[0] + 1, padded[1] - kernel[1] + 1)
        )
        return
    with pytest.raises(ShapeError) as caught:
        layer.forward(normal(1, 2, *size))
    for part in ("Conv2d(2, 3", f"kernel {kernel}", f"{padded[0]}×{padded[1]}"):
        assert part in str(caught.value)


def test_wrong_channels_are_named():
    with pytest.raises(ShapeError, match=r"Conv2d\(4, .*expected 4 input channels, got 3"):
        with_dtype(Conv2d(4, 2, 3)).forward(normal(1, 3, 5, 5))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"in_channels": 0}, "at least 1"),
        ({"out_channels": 0}, "at least 1"),
        ({"kernel_size": 0}, "at least 1"),
        ({"kernel_size": (3, 0)}, "at least 1"),
        ({"stride": 0}, "at least 1"),
        ({"stride": (1, -1)}, "at least 1"),
        ({"groups": 0}, "at least 1"),
        ({"groups": 3}, "3 groups must divide"),
        ({"groups": 4}, "4 groups must divide"),  # the inputs alone
        ({"in_channels": 6, "groups": 3}, "3 groups must divide"),  # likewise
        ({"padding": -1}, "negative"),
        ({"padding": (0, -1)}, "negative"),
        ({"padding": ((0, -1), (0, 0))}, "negative"),
        ({"padding": ((0, 0), (-1, 0))}, "negative"),
        ({"padding": ((0, 0), (1, -1))}, "negative"),
    ],
    ids=str,
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ShapeError, match=f"^Conv2d.*{message}"):
        Conv2d(**{"in_channels": 4, "out_channels": 2, "kernel_size": 3, **arguments})


def test_repr_leaves_out_the_defaults():
    assert repr(Conv2d(3, 4, 5)) == "Conv2d(3, 4, 5)"
    full = Conv2d(4, 6, (3, 2), stride=(2, 1), padding=((0, 3), (1, 1)), groups=2)
    assert repr(eval(repr(full))) == repr(full)
    assert repr(Conv2d(4, 6, 3, padding=2)) == "Conv2d(4, 6, 3, padding=2)"
    assert repr(full) == "Conv2d(4, 6, (3, 2), stride=(2, 1), padding=((0, 3), (1, 1)), groups=2)"
