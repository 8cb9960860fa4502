"""The five array loops, in NumPy.

Shapes are (n, C, H, W), but the memory is in the order (C, H, W, n), images innermost, as in the
authors' cuda-convnet: copies and sums then run over long rows, a product's result is the next
layer's input, and the channels of a group lie together. Arrays in any order are taken; what is
returned is in this one.

Strided windows would read every other column. `_spread` deals an image's columns out by their
number modulo the stride, so that what a place in the window reads lies in rows again.
"""

import math
from collections.abc import Iterator
from itertools import product

import numpy as np

Pair = tuple[int, int]
Padding = tuple[Pair, Pair]  # ((top, bottom), (left, right))

BAND_BYTES = 4 * 1024 * 1024  # of columns, which a core's cache holds
MAPS_BYTES = 512 * 1024  # of maps to pool at once, likewise


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
    for i, j, place in _places(kernel_size, stride, size):
        columns[:, i, j] = spread[place]
    return columns.reshape(-1, math.prod(size) * len(x))


def col2im(columns, x, kernel_size: Pair, stride: Pair, padding: Padding) -> None:
    """The adjoint of im2col: add to each pixel of x what all of its copies have.

    columns: (C·kh·kw, oh·ow·n);  x: (n, C, H, W)
    """
    size = _windows(x, kernel_size, stride, padding)
    columns = columns.reshape(x.shape[1], *kernel_size, *size, len(x))
    sums = _room(x, kernel_size, stride, size)
    for i, j, place in _places(kernel_size, stride, size):
        sums[place] += columns[:, i, j]
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


# ---- the pool's ----------------------------------------------------------------------------------


def max_pool(x, kernel_size: Pair, stride: Pair, padding: Padding, output_size: Pair):
    """The maximum of each window, and its place i·kw + j there: the first one in reading order.

    What lies outside the image cannot win.
    x: (n, C, H, W)  ->  y, and winner (uint16), both (n, C, oh, ow)
    """
    y = empty(x, (x.shape[1], *output_size))
    winner = empty(x, y.shape[1:], np.uint16)
    for maps in _some(x):
        spread = _spread(x[:, maps], kernel_size, stride, padding, output_size, -np.inf)
        best, which = _images_last(y[:, maps]), _images_last(winner[:, maps])
        best[...] = -np.inf
        which[...] = _first_inside(kernel_size, stride, padding, output_size)
        for i, j, place in _places(kernel_size, stride, output_size):
            number = np.uint16(i * kernel_size[1] + j)  # larger than those before, as it has to be
            np.maximum(which, number * (spread[place] > best), out=which)
            np.maximum(best, spread[place], out=best)
    return y, winner


def max_pool_backward(dy, winner, x_shape, kernel_size: Pair, stride: Pair, padding: Padding):
    """Send each window's gradient to its winner; those that meet add up in reading order.

    dy, winner: (n, C, oh, ow)  ->  dx, (n, C, H, W) = x_shape
    """
    dx = empty(dy, x_shape[1:])
    for maps in _some(dx):
        sums = _room(dx[:, maps], kernel_size, stride, dy.shape[2:])
        given, which = _images_last(dy[:, maps]), _images_last(winner[:, maps])
        for i, j, place in _places(kernel_size, stride, dy.shape[2:]):
            sums[place] += given * (which == i * kernel_size[1] + j)
        dx[:, maps] = 0  # where no window looks
        for there, here in _pixels(dx[:, maps], sums, stride, padding):
            _images_last(dx[:, maps])[there] = sums[here]
    return dx


def _some(x) -> Iterator[slice]:
    """x's maps, by so many as a cache holds."""
    step = max(1, MAPS_BYTES // (x[:, :1].nbytes or 1))
    for start in range(0, x.shape[1], step):
        yield slice(start, start + step)


def _first_inside(kernel_size, stride, padding, output_size):
    """Each window's first place that lies in the image.  (oh, ow, 1)"""
    down, along = (
        np.maximum(0, pads[0] - s * np.arange(count))
        for s, pads, count in zip(stride, padding, output_size, strict=True)
    )
    return (down[:, None] * kernel_size[1] + along)[..., None]


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


def _places(kernel_size, stride, size) -> Iterator[tuple]:
    """(i, j) of each place in a window, in reading order, and what it reads for all windows."""
    (sh, sw), (oh, ow) = stride, size
    for i, j in product(*map(range, kernel_size)):
        q, p = divmod(j, sw)
        yield i, j, (slice(None), slice(i, i + sh * oh, sh), p, slice(q, q + ow))


def _pixels(x, spread, stride, padding) -> Iterator[tuple]:
    """Where the same pixels are in x, (C, H, W, n), and in what _room has made."""
    (top, _), (left, _), step = *padding, stride[1]
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
