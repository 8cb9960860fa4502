"""The five array loops, in NumPy.

Inside a block the images are the innermost axis: copies and GEMMs then run over long
contiguous rows even where the maps are small.
"""

from itertools import product

import numpy as np

Pair = tuple[int, int]
Padding = tuple[Pair, Pair]  # ((top, bottom), (left, right))


def im2col(x, kernel_size: Pair, stride: Pair, padding: Padding):
    """Every window of x as a column, zeros outside the image.

    x: (n, C, H, W)  ->  (C·kh·kw, oh·ow·n)
    """
    n, c, h, w = x.shape
    (kh, kw), (sh, sw), ((top, bottom), (left, right)) = kernel_size, stride, padding
    x = x.transpose(1, 2, 3, 0)
    if n > 1 or any((top, bottom, left, right)):
        padded = np.zeros((c, h + top + bottom, w + left + right, n), x.dtype)
        padded[:, top : top + h, left : left + w] = x
        x = padded
    windows = np.lib.stride_tricks.sliding_window_view(x, (kh, kw), axis=(1, 2))[:, ::sh, ::sw]
    oh, ow = windows.shape[1:3]
    return windows.transpose(0, 4, 5, 1, 2, 3).reshape(c * kh * kw, oh * ow * n)


def col2im(columns, shape, kernel_size: Pair, stride: Pair, padding: Padding):
    """The adjoint of im2col: each pixel gets the sum of its copies.

    columns: (C·kh·kw, oh·ow·n)  ->  (n, C, H, W) = shape
    """
    n, c, h, w = shape
    (kh, kw), (sh, sw), ((top, bottom), (left, right)) = kernel_size, stride, padding
    oh, ow = (h + top + bottom - kh) // sh + 1, (w + left + right - kw) // sw + 1
    columns = columns.reshape(c, kh, kw, oh, ow, n)
    x = np.zeros((c, h + top + bottom, w + left + right, n), columns.dtype)
    for i, j in product(range(kh), range(kw)):
        x[:, i : i + sh * oh : sh, j : j + sw * ow : sw] += columns[:, i, j]
    return x[:, top : top + h, left : left + w].transpose(3, 0, 1, 2)


def to_columns(maps):
    """Maps in the columns' order.  (n, O, oh, ow) -> (O, oh·ow·n)"""
    return maps.transpose(1, 2, 3, 0).reshape(maps.shape[1], -1)


def from_columns(columns, size: Pair):
    """The reverse.  (O, oh·ow·n) -> (n, O, oh, ow), size = (oh, ow)"""
    return columns.reshape(len(columns), *size, -1).transpose(3, 0, 1, 2)


def window_sum(x, before: int, after: int):
    """Sum over the channels c-before … c+after, clipped at the ends.  x: (n, C, H, W), same out"""
    channels = x.shape[1]
    y = x.copy()
    for shift in range(1, min(before, channels - 1) + 1):
        y[:, shift:] += x[:, :-shift]
    for shift in range(1, min(after, channels - 1) + 1):
        y[:, :-shift] += x[:, shift:]
    return y


# A 2-D maximum is a maximum along the rows, then one down the columns. Inside, the maps are the
# innermost axis, (H, W, n·C), so that every pass runs over long contiguous rows.


def max_pool(x, kernel_size: Pair, stride: Pair, padding: Padding, output_size: Pair):
    """The maximum of each window; what lies outside the image counts as −∞.

    x: (n, C, H, W)  ->  (n, C, oh, ow)
    """
    y = _maps_last(x)
    for axis in (1, 0):
        y = _max_along(y, axis, kernel_size, stride, padding, output_size)
    return _maps_first(y, x.shape[:2])


def max_pool_backward(x, y, dy, kernel_size: Pair, stride: Pair, padding: Padding):
    """Send each window's gradient to its winner: the first maximum in reading order.

    x: (n, C, H, W);  y, dy: (n, C, oh, ow)  ->  dx like x
    """
    size, maps = y.shape[2:], x.shape[:2]
    x, y, dy = map(_maps_last, (x, y, dy))
    rows = _max_along(x, 1, kernel_size, stride, padding, size)
    d_rows = _to_winners(rows, y, dy, 0, kernel_size, stride, padding)
    return _maps_first(_to_winners(x, rows, d_rows, 1, kernel_size, stride, padding), maps)


def _maps_last(x):
    """(n, C, H, W) -> (H, W, n·C), a copy."""
    return x.reshape(-1, *x.shape[2:]).transpose(1, 2, 0).copy()


def _maps_first(x, maps: Pair):
    """The reverse.  (H, W, n·C) -> (n, C, H, W), maps = (n, C)"""
    return x.transpose(2, 0, 1).reshape(*maps, *x.shape[:2])


def _max_along(x, axis, kernel_size, stride, padding, output_size):
    """Maximum over the windows along one axis: 0, down the columns, or 1, along the rows."""
    size = output_size[axis]
    y = np.full((*x.shape[:axis], size, *x.shape[axis + 1 :]), -np.inf, x.dtype)
    for inputs, outputs in _taps(x.shape, size, axis, kernel_size, stride, padding):
        np.maximum(y[outputs], x[inputs], out=y[outputs])
    return y


def _to_winners(x, y, dy, axis, kernel_size, stride, padding):
    """Backward of _max_along: dy goes to the first x that equals its window's y. Uses dy up."""
    dx = np.zeros_like(x)
    for inputs, outputs in _taps(x.shape, y.shape[axis], axis, kernel_size, stride, padding):
        won = dy[outputs] * (x[inputs] == y[outputs])
        dx[inputs] += won
        dy[outputs] -= won
    return dx


def _taps(shape, size, axis, kernel_size, stride, padding):
    """For each place k in a window: which inputs are k-th in a window, and of which outputs."""
    step, before = stride[axis], padding[axis][0]
    for k in range(kernel_size[axis]):
        first = max(0, -((k - before) // step))  # the first window whose place k is in the image
        last = min(size - 1, (shape[axis] - 1 + before - k) // step)
        if first <= last:
            start = first * step + k - before
            lead = (slice(None),) * axis
            yield (
                (*lead, slice(start, start + (last - first) * step + 1, step)),
                (*lead, slice(first, last + 1)),
            )
