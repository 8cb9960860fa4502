"""The array loops in CUDA: their text is in the .cu files beside this one.

Arrays are C-contiguous, the pixels innermost: (n, C, H, W), and columns (C·kh·kw, n·oh·ow).
Neighbouring threads then read and write neighbouring numbers of a map.
"""

import functools
import math

import cupy
import numpy as np

from ..errors import UserError
from . import REALS, cuda_text

THREADS = 256  # a block
BAND_BYTES = 512 * 1024 * 1024  # of columns: what a GPU has to spare for working memory


def empty(x, shape, dtype=None):
    """Room for a result (len(x), *shape), of x's dtype if no other."""
    return cupy.empty((len(x), *shape), dtype or x.dtype)


def in_order(x):
    """x, or a copy of it, C-contiguous."""
    return cupy.ascontiguousarray(x)


def bands(x, y, kernel_size, stride, padding):
    """Equal blocks of images for whose columns there is room: places in x, in y, and padding."""
    n, image_bytes = len(x), x.shape[1] * math.prod((*kernel_size, *y.shape[2:])) * x.itemsize
    count = max(1, min(n, -(-n * image_bytes // BAND_BYTES)))
    for i in range(count):
        images = slice(n * i // count, n * (i + 1) // count)
        yield images, images, padding


def im2col(x, kernel_size, stride, padding):
    """Every window of x as a column, zeros outside.  (n, C, H, W) -> (C·kh·kw, n·oh·ow)"""
    n, c = x.shape[:2]
    numbers = _windows(x.shape, kernel_size, stride, padding)
    windows = n * math.prod(numbers[-2:])
    columns = cupy.empty((c * math.prod(kernel_size), windows), x.dtype)
    _launch("im2col", c * windows, (x, columns), numbers)
    return columns


def col2im(columns, x, kernel_size, stride, padding):
    """The adjoint of im2col: add to x's pixels.  (C·kh·kw, n·oh·ow), (n, C, H, W)"""
    sums = cupy.ascontiguousarray(x)
    _launch("col2im", x.size, (columns, sums), _windows(x.shape, kernel_size, stride, padding))
    if sums is not x:
        x[...] = sums


def to_columns(maps):
    """Maps in the columns' order.  (n, O, oh, ow) -> (O, n·oh·ow)"""
    return maps.transpose(1, 0, 2, 3).reshape(maps.shape[1], -1)


def from_columns(columns, shape):
    """The reverse.  (O, n·oh·ow) -> (n, O, oh, ow) = shape"""
    n, o, oh, ow = shape
    return columns.reshape(o, n, oh, ow).transpose(1, 0, 2, 3)


def lrn(x, before, after, groups, k, a, beta):
    """x · s^(-beta), and s = k + a · Σ x² over a window of channels.  (n, C, H, W) -> y, s: same"""
    y, s = cupy.empty(x.shape, x.dtype), cupy.empty(x.shape, x.dtype)
    numbers = _window(x.shape, before, after, groups)
    _launch("lrn", x.size // numbers[1], (x, y, s), numbers, (k, a, beta))
    return y, s


def lrn_backward(dy, x, s, before, after, groups, a, beta):
    """The derivative of the same by x.  dy, x, s: (n, C, H, W), same out"""
    dx = cupy.empty(x.shape, x.dtype)
    numbers = _window(x.shape, before, after, groups)
    _launch("lrn_backward", x.size // numbers[1], (dy, x, s, dx), numbers, (beta, 2 * a * beta))
    return dx


def max_pool(x, kernel_size, stride, padding, output_size):
    """Each window's maximum and its place.  (n, C, H, W) -> y, winner (int32): (n, C, oh, ow)"""
    y, winner = empty(x, (x.shape[1], *output_size)), empty(x, (x.shape[1], *output_size), "int32")
    numbers = _pool(x.shape, y.shape, kernel_size, stride, padding)
    _launch("max_pool", y.size, (x, y, winner), numbers)
    return y, winner


def max_pool_backward(dy, winner, x_shape, kernel_size, stride, padding):
    """dy to each window's winner.  dy, winner: (n, C, oh, ow)  ->  dx, (n, C, H, W) = x_shape"""
    dx = cupy.empty(x_shape, dy.dtype)
    numbers = _pool(x_shape, dy.shape, kernel_size, stride, padding)
    _launch("max_pool_backward", dx.size, (dy, winner, dx), numbers)
    return dx


def _windows(shape, kernel_size, stride, padding):
    """The numbers that im2col and col2im take."""
    (top, bottom), (left, right) = padding
    oh = (shape[2] + top + bottom - kernel_size[0]) // stride[0] + 1
    ow = (shape[3] + left + right - kernel_size[1]) // stride[1] + 1
    return *shape, *kernel_size, *stride, top, left, oh, ow


def _window(shape, before, after, groups):
    """The numbers that lrn takes: groups are images of fewer channels."""
    n, c, h, w = shape
    return n * groups, c // groups, h * w, min(before, c), min(after, c)


def _pool(x_shape, y_shape, kernel_size, stride, padding):
    """The numbers that the pooling loops take; a map is a map, of whatever image."""
    n, c, h, w = x_shape
    return n * c, h, w, *kernel_size, *stride, padding[0][0], padding[1][0], *y_shape[2:]


def _launch(name, threads, arrays, numbers, reals=()):
    """Start a kernel with at least so many threads; it counts in 64 bits only where it must."""
    if not threads:
        return
    arrays = [cupy.ascontiguousarray(array) for array in arrays]
    dtypes = {array.dtype.name for array in arrays} - {"int32"}
    if len(dtypes) > 1 or not dtypes <= set(REALS):
        got = " and ".join(sorted(dtypes))
        raise UserError(f"{name}: expected float32 or float64, got {got}")
    (dtype,) = dtypes
    wide = max(array.size for array in arrays) + THREADS >= 2**31
    kernel = _kernel(name, dtype, wide)
    integer = np.int64 if wide else np.int32
    values = *map(integer, numbers), *map(np.dtype(dtype).type, reals)
    kernel((-(-threads // THREADS),), (THREADS,), (*arrays, *values))


@functools.cache
def _kernel(name, dtype, wide):
    """Compiled by CuPy at its first call on a device, and kept in its cache on disk."""
    return cupy.RawKernel(cuda_text(name, dtype, wide), name)
