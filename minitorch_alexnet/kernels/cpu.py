"""The array loops, in NumPy.

Shapes are (n, C, H, W), but the memory is in the order (C, H, W, n), images innermost, as in the
authors' cuda-convnet: copies and sums then run over long rows, a product's result is the next
layer's input, and the channels of a group lie together. Arrays in any order are taken; what is
returned is in this one.

Strided windows would read every other column. `_spread` deals an image's columns out by their
number modulo the stride, so that what a place in the window reads lies in rows again.
"""

import math
from collections.abc import Iterator

import numpy as np
from numpy.lib.stride_tricks import as_strided

Pair = tuple[int, int]
Padding = tuple[Pair, Pair]  # ((top, bottom), (left, right))

BAND_BYTES = 4 * 1024 * 1024  # of columns, to stay near a core


def empty(x, shape: tuple, dtype=None):
    """Room for a result (len(x), *shape), of x's dtype if no other, in the loops' order."""
    return _images_first(np.empty((*shape, len(x)), dtype or x.dtype))


def in_order(x):
    """x, or a copy of it, in the loops' order of memory."""
    return _images_first(np.ascontiguousarray(_images_last(x)))


def _images_last(x):
    """A view.  (n, …) -> (…, n)"""
    return x.transpose(*range(1, x.ndim), 0)


def _images_first(x):
    """The reverse.  (…, n) -> (n, …)"""
    return x.transpose(x.ndim - 1, *range(x.ndim - 1))


# ---- convolution's -------------------------------------------------------------------------------


def bands(x, y, kernel_size: Pair, stride: Pair, padding: Padding) -> Iterator[tuple]:
    """Bands of a convolution's output rows, so narrow that a cache holds their columns.

    x: (n, C, H, W);  y: (n, O, oh, ow)
    Gives of each band its place in x, its place in y, and the padding that it has of its own.
    """
    (n, c, h, _), (oh, ow), (top, _) = x.shape, y.shape[2:], padding[0]
    row_bytes = math.prod(kernel_size) * c * ow * n * x.itemsize
    count = min(oh, -(-oh * row_bytes // BAND_BYTES))
    for i in range(count):
        first, last = oh * i // count, oh * (i + 1) // count
        start = stride[0] * first - top
        stop = stride[0] * (last - 1) - top + kernel_size[0]
        a, b = min(max(start, 0), h), min(max(stop, 0), h)  # what is left of it within x
        yield np.s_[:, :, a:b], np.s_[:, :, first:last], ((a - start, stop - b), padding[1])


def im2col(x, kernel_size: Pair, stride: Pair, padding: Padding):
    """Every window of x as a column, zeros outside the image.

    x: (n, C, H, W)  ->  (C·kh·kw, oh·ow·n)
    """
    size = _windows(x, kernel_size, stride, padding)
    spread = _spread(x, kernel_size, stride, padding, size)
    columns = np.empty((x.shape[1], *kernel_size, *size, len(x)), x.dtype)
    for p in range(min(stride[1], kernel_size[1])):
        of_phase = columns[:, :, p :: stride[1]]  # (C, kh, some of kw, oh, ow, n), in one copy
        channel, row, _, column, image = spread.strides
        strides = channel, row, column, stride[0] * row, column, image
        of_phase[...] = as_strided(spread[:, :, p], of_phase.shape, strides, writeable=False)
    return columns.reshape(-1, math.prod(size) * len(x))


def col2im(columns, x, kernel_size: Pair, stride: Pair, padding: Padding) -> None:
    """The adjoint of im2col: add to each pixel of x what all of its copies have.

    columns: (C·kh·kw, oh·ow·n);  x: (n, C, H, W)
    """
    size = _windows(x, kernel_size, stride, padding)
    columns = columns.reshape(x.shape[1], *kernel_size, *size, len(x))
    sums = _room(x, kernel_size, stride, size)
    for j, along in enumerate(_along(sums, kernel_size[1], stride[1], size[1])):
        for i, place in enumerate(_down(along, kernel_size[0], stride[0], size[0])):
            place += columns[:, i, j]
    for there, here in _pixels(x, sums, stride, padding):
        _images_last(x)[there] += sums[here]


def to_columns(maps):
    """Maps in the columns' order.  (n, O, oh, ow) -> (O, oh·ow·n)"""
    return _images_last(maps).reshape(maps.shape[1], -1)


def from_columns(columns, shape: tuple):
    """The reverse.  (O, oh·ow·n) -> (n, O, oh, ow) = shape"""
    return _images_first(columns.reshape(*shape[1:], shape[0]))


def _windows(x, kernel_size, stride, padding) -> Pair:
    """How many windows there are, down and along."""
    return tuple(
        (length + sum(pads) - k) // s + 1
        for length, pads, k, s in zip(x.shape[2:], padding, kernel_size, stride, strict=True)
    )


# ---- local response normalisation's --------------------------------------------------------------


def lrn(x, before: int, after: int, groups: int, k: float, a: float, beta: float):
    """x · s^(-β), and s = k + a · Σ x² over the channels c-before … c+after of a group.

    x: (n, C, H, W), of so many equal groups of channels  ->  y and s, of the same shape
    """
    s = window_sum(x * x, before, after, groups)
    s *= a
    s += k
    return x / _power(s, beta), s


def lrn_backward(dy, x, s, before: int, after: int, groups: int, a: float, beta: float):
    """The same backward: dy · s^(-β) - 2aβ · x · Σ dy · y / s over the windows that hold x.

    dy, x, s: (n, C, H, W)  ->  dx, of the same shape
    """
    damped = dy / _power(s, beta)
    crossed = window_sum(damped * x / s, after, before, groups)  # the window's mirror image
    return damped - crossed * x * (2 * a * beta)


def window_sum(x, before: int, after: int, groups: int = 1):
    """Sum over the channels c-before … c+after of each group, clipped at its ends.

    x: (n, C, H, W), of so many equal groups of channels  ->  the same shape
    """
    grouped = _images_last(x).reshape(groups, x.shape[1] // groups, -1)
    y = grouped.copy()
    for shift in range(1, min(before, y.shape[1] - 1) + 1):
        y[:, shift:] += grouped[:, :-shift]
    for shift in range(1, min(after, y.shape[1] - 1) + 1):
        y[:, :-shift] += grouped[:, shift:]
    return _images_first(y.reshape(*x.shape[1:], len(x)))


def _power(s, beta: float):
    """s^β; powers are slow, so the paper's β = 3/4 is √s · √√s."""
    if beta != 0.75:
        return s**beta
    root = np.sqrt(s)
    root *= np.sqrt(root)
    return root


# ---- the pool's ----------------------------------------------------------------------------------
# A 2-D maximum is a maximum along each row, then one of those down the columns.


def max_pool(x, kernel_size: Pair, stride: Pair, padding: Padding, output_size: Pair):
    """The maximum of each window, and what max_pool_backward has to know: where it is.

    What lies outside the image cannot win; of equal values the first in reading order does.
    x: (n, C, H, W)  ->  y, (n, C, oh, ow), and winners
    """
    spread = _spread(x, kernel_size, stride, padding, output_size, -np.inf)
    first_down, first_along = (
        np.maximum(0, pads[0] - s * np.arange(count))  # the window's first place in the image
        for s, pads, count in zip(stride, padding, output_size, strict=True)
    )
    along = _along(spread, kernel_size[1], stride[1], output_size[1])
    rows, at_column = _maximum(along, first_along[:, None])
    down = _down(rows, kernel_size[0], stride[0], output_size[0])
    y, at_row = _maximum(down, first_down[:, None, None])
    return _images_first(y), (at_row, at_column)


def max_pool_backward(dy, winners, x_shape, kernel_size: Pair, stride: Pair, padding: Padding):
    """Send each window's gradient to its winner; what meets there adds up.

    dy: (n, C, oh, ow);  winners: max_pool's  ->  dx, (n, C, H, W) = x_shape
    """
    at_row, at_column = winners
    dx, size, dy = empty(dy, x_shape[1:]), dy.shape[2:], _images_last(dy)
    d_rows = np.zeros(at_column.shape, dy.dtype)
    for i, place in enumerate(_down(d_rows, kernel_size[0], stride[0], size[0])):
        place += dy * (at_row == i)
    sums = _room(dx, kernel_size, stride, size)
    for j, place in enumerate(_along(sums, kernel_size[1], stride[1], size[1])):
        place += d_rows * (at_column == j)
    dx[...] = 0  # where no window looks
    for there, here in _pixels(dx, sums, stride, padding):
        _images_last(dx)[there] = sums[here]
    return dx


def _maximum(arrays: list, first):
    """The elementwise maximum of arrays, and the number of the first that has it, at least `first`.

    first: integers that fit the arrays' shape
    """
    y, which = arrays[0].copy(), np.empty(arrays[0].shape, np.min_scalar_type(len(arrays)))
    which[...] = first
    for k, array in enumerate(arrays[1:], 1):  # a later one that is larger has a larger number
        np.maximum(which, which.dtype.type(k) * (array > y), out=which)
        np.maximum(y, array, out=y)
    return y, which


def _along(spread, kernel: int, stride: int, size: int) -> list:
    """For each place in a window's row: what `size` windows have there, (C, rows, size, n)."""
    starts = (divmod(j, stride) for j in range(kernel))
    return [spread[:, :, p, q : q + size] for q, p in starts]


def _down(rows, kernel: int, stride: int, size: int) -> list:
    """For each place in a window's column: (C, rows, ow, n) -> (C, size, ow, n)."""
    return [rows[:, i : i + stride * size : stride] for i in range(kernel)]


# ---- what windows read ---------------------------------------------------------------------------


def _spread(x, kernel_size, stride, padding, size, outside=0):
    """What `size` windows read of x, and find outside of it, in the order of _room."""
    spread = _room(x, kernel_size, stride, size, outside)
    for there, here in _pixels(x, spread, stride, padding):
        spread[here] = _images_last(x)[there]
    return spread


def _room(x, kernel_size, stride, size, fill=0):
    """Filled (C, rows, sw, columns, n): the padded image's column sw·q + p is [..., p, q, :]."""
    rows = stride[0] * (size[0] - 1) + kernel_size[0]
    columns = size[1] - 1 - (-kernel_size[1] // stride[1])
    shape = (x.shape[1], rows, stride[1], columns, len(x))
    return np.full(shape, fill, x.dtype) if fill else np.zeros(shape, x.dtype)


def _pixels(x, spread, stride, padding) -> Iterator[tuple]:
    """Where the same pixels are in x, (C, H, W, n), and in what _room has made."""
    ((top, _), (left, _)), step = padding, stride[1]
    rows = min(x.shape[2], spread.shape[1] - top)
    for p in range(step):
        first = (p - left) % step
        q = (first + left) // step
        count = min(len(range(first, x.shape[3], step)), spread.shape[3] - q)
        if min(rows, count) > 0:
            yield (
                (slice(None), slice(rows), slice(first, first + step * count, step)),
                (slice(None), slice(top, top + rows), p, slice(q, q + count)),
            )
