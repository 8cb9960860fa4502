"""The five array loops: adjoints, orders, ends and ties."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference import assert_close, conv_size, few, normal

from minitorch_alexnet.kernels import col2im, im2col, max_pool, max_pool_backward, window_sum


@st.composite
def windows(draw):
    """(n, C, H, W), kernel, stride, padding."""
    kernel, stride = (tuple(draw(st.integers(1, 4)) for _ in "hw") for _ in "ks")
    padding = tuple(tuple(draw(st.integers(0, 2)) for _ in "be") for _ in "hw")
    room = [max(1, k - sum(pads)) for k, pads in zip(kernel, padding, strict=True)]
    h, w = (draw(st.integers(least, least + 4)) for least in room)
    return (draw(st.integers(1, 3)), draw(st.integers(1, 3)), h, w), kernel, stride, padding


def sizes(shape, kernel, stride, padding):
    return [conv_size(*axis) for axis in zip(shape[2:], kernel, stride, padding, strict=True)]


@few
@given(problem=windows())
def test_col2im_is_the_adjoint_of_im2col(problem):
    shape, *how = problem
    x = normal(*shape, seed=1)
    columns = im2col(x, *how)
    y = normal(*columns.shape, seed=2)
    back = col2im(y, shape, *how)
    assert back.shape == shape
    assert np.vdot(columns, y) == pytest.approx(np.vdot(x, back), rel=1e-12, abs=1e-12)


@few
@given(problem=windows())
def test_columns_have_kernel_places_down_and_images_innermost(problem):
    shape, *how = problem
    kernel, (sh, sw), ((top, _), (left, _)) = how
    (n, c, h, w), (oh, ow) = shape, sizes(*problem)
    x = normal(*shape, seed=3)
    wanted = np.zeros((c * kernel[0] * kernel[1], oh * ow * n))
    for at, (channel, i, j) in enumerate(product(*map(range, (c, *kernel)))):
        for to, (row, column, image) in enumerate(product(*map(range, (oh, ow, n)))):
            r, q = sh * row + i - top, sw * column + j - left
            if 0 <= r < h and 0 <= q < w:
                wanted[at, to] = x[image, channel, r, q]
    np.testing.assert_array_equal(im2col(x, *how), wanted)


def test_col2im_counts_how_many_windows_hold_a_pixel():
    how = (3, 3), (2, 2), ((0, 0), (0, 0))
    counts = col2im(np.ones((9, 4)), (1, 1, 5, 5), *how)[0, 0]
    line = [1, 1, 2, 1, 1]
    assert counts.tolist() == np.outer(line, line).tolist()


@pytest.mark.parametrize("n", [1, 2])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_columns_keep_dtype_and_input(n, dtype):
    x = normal(n, 2, 4, 5, seed=4, dtype=dtype)
    how = (2, 3), (1, 1), ((1, 0), (0, 2))
    before = x.tobytes()
    columns = im2col(x, *how)
    assert columns.dtype == col2im(columns, x.shape, *how).dtype == dtype
    assert x.tobytes() == before


@pytest.mark.parametrize(
    ("before", "after"), [(0, 0), (1, 1), (2, 2), (2, 1), (1, 2), (0, 3), (3, 0), (4, 9), (50, 50)]
)
@pytest.mark.parametrize("channels", [1, 2, 5])
def test_window_sum_is_clipped_at_the_ends(before, after, channels):
    x = normal(2, channels, 2, 3, seed=5)
    kept = x.copy()
    sums = window_sum(x, before, after)
    for c in range(channels):
        window = range(max(0, c - before), min(channels, c + after + 1))
        assert_close(sums[:, c], sum(x[:, j] for j in window), 1e-14)
    np.testing.assert_array_equal(x, kept)


@pytest.mark.parametrize(("before", "after"), [(2, 1), (0, 3), (2, 2)])
def test_the_adjoint_of_a_window_is_its_mirror_image(before, after):
    x, y = normal(2, 7, 2, 2, seed=6), normal(2, 7, 2, 2, seed=7)
    one = np.vdot(window_sum(x, before, after), y)
    assert one == pytest.approx(np.vdot(x, window_sum(y, after, before)), rel=1e-12)


NO_PADDING = ((0, 0), (0, 0))


@few
@given(problem=windows(), ties=st.booleans())
def test_max_pool_backward_loses_nothing(problem, ties):
    shape, kernel, stride, padding = problem
    padding = tuple(
        tuple(min(p, k - 1) for p in pads) for pads, k in zip(padding, kernel, strict=True)
    )
    how = kernel, stride, padding
    shape = (*shape[:2], *(max(s, k) for s, k in zip(shape[2:], kernel, strict=True)))
    x = normal(*shape, seed=8)
    x = x.round() if ties else x
    y = max_pool(x, *how, tuple(sizes(shape, *how)))
    dy = normal(*y.shape, seed=9)
    dx = max_pool_backward(x, y, dy, *how)
    assert dx.shape == x.shape
    assert_close(dx.sum(axis=(2, 3)), dy.sum(axis=(2, 3)), 1e-12)


def test_of_equals_the_first_in_reading_order_wins():
    how = (2, 3), (2, 3), NO_PADDING
    for places in product([0.0, 1.0], repeat=6):
        x = np.array(places).reshape(1, 1, 2, 3)
        y = max_pool(x, *how, (1, 1))
        assert y.item() == max(places)
        dx = max_pool_backward(x, y, np.full((1, 1, 1, 1), 7.0), *how)
        wanted = [0.0] * 6
        wanted[places.index(max(places))] = 7
        assert dx.ravel().tolist() == wanted


def test_outside_the_image_nothing_wins():
    how = (3, 3), (2, 2), ((1, 1), (1, 1))
    x = np.full((1, 1, 3, 3), -4.0)
    y = max_pool(x, *how, (2, 2))
    assert (y == -4).all()
    dx = max_pool_backward(x, y, np.ones_like(y), *how)[0, 0]
    assert dx.tolist() == [[1, 1, 0], [1, 1, 0], [0, 0, 0]]


def test_pooling_keeps_its_arguments():
    how = (2, 2), (1, 1), NO_PADDING
    x = normal(2, 2, 4, 4, seed=10).round()
    y = max_pool(x, *how, (3, 3))
    dy = normal(*y.shape, seed=11)
    before = [a.tobytes() for a in (x, y, dy)]
    max_pool_backward(x, y, dy, *how)
    assert [a.tobytes() for a in (x, y, dy)] == before
