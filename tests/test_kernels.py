"""The five array loops: adjoints, orders, ends and ties."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference import assert_close, conv_size, few, normal

from minitorch_alexnet.kernels import (
    bands,
    col2im,
    cpu,
    empty,
    from_columns,
    im2col,
    in_order,
    max_pool,
    max_pool_backward,
    to_columns,
)
from minitorch_alexnet.kernels.cpu import window_sum

NO_PADDING = ((0, 0), (0, 0))


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


def images_innermost(x):
    return np.moveaxis(x, 0, -1).flags.c_contiguous


# ---- room and order --------------------------------------------------------------------------


def test_room_for_a_result_has_the_loops_order():
    x = normal(5, 2, 3, 4, dtype=np.float32)
    for dtype, wanted in ((None, np.float32), (np.uint16, np.uint16)):
        y = empty(x, (7, 2, 1), dtype)
        assert y.shape == (5, 7, 2, 1)
        assert y.dtype == wanted
        assert images_innermost(y)
    assert empty(x, (6,)).shape == (5, 6)


@pytest.mark.parametrize("shape", [(5, 2, 3, 4), (5, 6), (1, 3, 2, 2), (0, 2, 2, 2)])
def test_in_order_moves_numbers_only_where_it_must(shape):
    x = normal(*shape)
    y = in_order(x)
    np.testing.assert_array_equal(y, x)
    assert images_innermost(y)
    assert np.shares_memory(in_order(y), y) == bool(y.size)


def test_maps_as_columns_and_back():
    maps = np.arange(2 * 3 * 4 * 5.0).reshape(2, 3, 4, 5)
    columns = to_columns(maps)
    assert columns.shape == (3, 4 * 5 * 2)
    for image, o, row, column in product(*map(range, maps.shape)):
        assert columns[o, (row * 5 + column) * 2 + image] == maps[image, o, row, column]
    back = from_columns(columns, maps.shape)
    np.testing.assert_array_equal(back, maps)
    assert images_innermost(back)
    assert np.shares_memory(columns, back)


# ---- convolution's ---------------------------------------------------------------------------


@few
@given(problem=windows(), budget=st.sampled_from([1, 500, 5000, 10**9]))
def test_bands_are_the_whole_however_narrow(problem, budget):
    """What the columns of each band hold, side by side, is what those of the image hold."""
    shape, *how = problem
    x, dx = normal(*shape, seed=1), np.zeros(shape)
    oh, ow = sizes(*problem)
    whole = im2col(x, *how)
    maps = from_columns(whole, (shape[0], len(whole), oh, ow))
    seen, kept = np.zeros(oh, int), cpu.BAND_BYTES
    cpu.BAND_BYTES = budget
    try:
        for there, here, padding in bands(x, maps, *how):
            columns = im2col(x[there], *how[:2], padding)
            np.testing.assert_array_equal(columns, to_columns(maps[here]))
            rows = columns.shape[1] // (ow * len(x))
            assert rows == 1 or columns.nbytes <= 2 * budget
            seen[here[2]] += 1
            col2im(columns, dx[there], *how[:2], padding)
    finally:
        cpu.BAND_BYTES = kept
    assert (seen == 1).all()
    wanted = np.zeros(shape)
    col2im(whole, wanted, *how)
    assert_close(dx, wanted, 1e-13)


@few
@given(problem=windows())
def test_col2im_is_the_adjoint_of_im2col(problem):
    shape, *how = problem
    x, back = normal(*shape, seed=1), np.zeros(shape)
    columns = im2col(x, *how)
    y = normal(*columns.shape, seed=2)
    col2im(y, back, *how)
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
    for layout in (np.ascontiguousarray, in_order):
        np.testing.assert_array_equal(im2col(layout(x), *how), wanted)


@pytest.mark.parametrize("layout", [np.ascontiguousarray, in_order])
def test_col2im_adds_to_a_pixel_once_for_each_window_that_holds_it(layout):
    how = (3, 3), (2, 2), NO_PADDING
    x = layout(np.full((2, 1, 5, 5), 100.0))
    assert col2im(np.ones((9, 8)), x, *how) is None
    line = [1, 1, 2, 1, 1]
    for image in x:
        assert image[0].tolist() == (100 + np.outer(line, line)).tolist()


@pytest.mark.parametrize("n", [1, 2])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_columns_keep_dtype_and_input(n, dtype):
    x = normal(n, 2, 4, 5, seed=4, dtype=dtype)
    how = (2, 3), (1, 1), ((1, 0), (0, 2))
    before = x.tobytes()
    columns = im2col(x, *how)
    assert columns.dtype == dtype
    assert x.tobytes() == before
    before = columns.tobytes()
    col2im(columns, np.zeros_like(x), *how)
    assert columns.tobytes() == before


# ---- normalisation's -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after"), [(0, 0), (1, 1), (2, 2), (2, 1), (1, 2), (0, 3), (3, 0), (4, 9), (50, 50)]
)
@pytest.mark.parametrize(("channels", "groups"), [(1, 1), (2, 1), (5, 1), (4, 2), (6, 3)])
def test_window_sum_is_clipped_at_the_ends_of_each_group(channels, groups, before, after):
    x = normal(2, channels, 2, 3, seed=5)
    kept = x.copy()
    sums = window_sum(x, before, after, groups)
    width = channels // groups
    for c in range(channels):
        low = c // width * width
        window = range(max(low, c - before), min(low + width, c + after + 1))
        assert_close(sums[:, c], sum(x[:, j] for j in window), 1e-14)
    np.testing.assert_array_equal(x, kept)


@pytest.mark.parametrize(("before", "after"), [(2, 1), (0, 3), (2, 2)])
def test_the_adjoint_of_a_window_is_its_mirror_image(before, after):
    x, y = normal(2, 7, 2, 2, seed=6), normal(2, 7, 2, 2, seed=7)
    one = np.vdot(window_sum(x, before, after), y)
    assert one == pytest.approx(np.vdot(x, window_sum(y, after, before)), rel=1e-12)


# ---- the pool's ------------------------------------------------------------------------------


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
    y, winners = max_pool(x, *how, tuple(sizes(shape, *how)))
    dy = normal(*y.shape, seed=9)
    dx = max_pool_backward(dy, winners, shape, *how)
    assert dx.shape == x.shape
    assert_close(dx.sum(axis=(2, 3)), dy.sum(axis=(2, 3)), 1e-12)


def winning(x, *how, size):
    """y, and the pixel that each window's gradient goes to, by numbers in reading order."""
    y, winners = max_pool(x, *how, size)
    pixels = np.zeros(y.shape, int)
    for window in np.ndindex(y.shape):
        dy = np.zeros_like(y)
        dy[window] = 7
        dx = max_pool_backward(dy, winners, x.shape, *how)
        assert dx.sum() == 7
        pixels[window] = dx[window[:2]].argmax()
    return y, pixels


def test_of_equals_the_first_in_reading_order_wins():
    for places in product([0.0, 1.0], repeat=6):
        x = np.array(places).reshape(1, 1, 2, 3)
        y, pixels = winning(x, (2, 3), (2, 3), NO_PADDING, size=(1, 1))
        assert (y.item(), pixels.item()) == (max(places), places.index(max(places)))


@pytest.mark.parametrize("value", [-4.0, -np.inf])
def test_outside_the_image_nothing_wins(value):
    x = np.full((1, 1, 3, 3), value)
    y, pixels = winning(x, (3, 3), (2, 2), ((1, 1), (1, 1)), size=(2, 2))
    assert (y == value).all()
    assert pixels[0, 0].tolist() == [[0, 1], [3, 4]]  # the first that lies in the image


def test_what_is_no_number_stays_seen():
    x = np.zeros((1, 1, 4, 4))
    x[0, 0, 1, 2] = np.nan
    y, _ = max_pool(x, (2, 2), (2, 2), NO_PADDING, (2, 2))
    assert np.isnan(y[0, 0]).tolist() == [[False, True], [False, False]]


@pytest.mark.parametrize("kernel", [(3, 300), (300, 3), (255, 257)])
def test_the_last_place_of_a_large_window_wins(kernel):
    x = np.zeros((1, 1, *kernel))
    x[..., -1, -1] = 1
    y, pixels = winning(x, kernel, (1, 1), NO_PADDING, size=(1, 1))
    assert (y.item(), pixels.item()) == (1, x.size - 1)


def test_pooling_keeps_its_arguments():
    how = (2, 2), (1, 1), NO_PADDING
    x = normal(2, 2, 4, 4, seed=12).round()
    before = x.tobytes()
    y, winners = max_pool(x, *how, (3, 3))
    assert x.tobytes() == before
    assert images_innermost(y)
    dy = normal(*y.shape, seed=13)
    before, first = dy.tobytes(), max_pool_backward(dy, winners, x.shape, *how)
    assert dy.tobytes() == before
    np.testing.assert_array_equal(max_pool_backward(dy, winners, x.shape, *how), first)
    assert images_innermost(first)
