"""The five array loops in CUDA: their text is in the .cu files beside this one.

Columns have the pixels innermost, (C·kh·kw, n·oh·ow): neighbouring threads then read and write
neighbouring numbers of a map.
"""

import functools
import math

import cupy
import numpy as np

from ..errors import UserError
from . import REALS, cuda_text

THREADS = 256  # a block


def im2col(x, kernel_size, stride, padding):
    """Every window of x as a column, zeros outside.  (n, C, H, W) -> (C·kh·kw, n·oh·ow)"""
    n, c = x.shape[:2]
    numbers = _windows(x.shape, kernel_size, stride, padding)
    windows = n * math.prod(numbers[-2:])
    columns = cupy.empty((c * math.prod(kernel_size), windows), x.dtype)
    _launch("im2col", c * windows, (x, columns), numbers)
    return columns


def col2im(columns, shape, kernel_size, stride, padding):
    """The adjoint of im2col.  (C·kh·kw, n·oh·ow) -> (n, C, H, W) = shape"""
    x = cupy.empty(shape, columns.dtype)
    _launch("col2im", x.size, (columns, x), _windows(shape, kernel_size, stride, padding))
    return x


def to_columns(maps):
    """Maps in the columns' order.  (n, O, oh, ow) -> (O, n·oh·ow)"""
    return maps.transpose(1, 0, 2, 3).reshape(maps.shape[1], -1)


def from_columns(columns, size):
    """The reverse.  (O, n·oh·ow) -> (n, O, oh, ow), size = (oh, ow)"""
    return columns.reshape(len(columns), -1, *size).transpose(1, 0, 2, 3)


def window_sum(x, before, after):
    """Sum over the channels c-before … c+after.  x: (n, C, H, W), same out"""
    n, c, h, w = x.shape
    y = cupy.empty(x.shape, x.dtype)
    _launch("window_sum", x.size, (x, y), (n, c, h * w, before, after))
    return y


def max_pool(x, kernel_size, stride, padding, output_size):
    """The maximum of each window.  (n, C, H, W) -> (n, C, oh, ow)"""
    y = cupy.empty((*x.shape[:2], *output_size), x.dtype)
    _launch("max_pool", y.size, (x, y), _pool(x, y, kernel_size, stride, padding))
    return y


def max_pool_backward(x, y, dy, kernel_size, stride, padding):
    """dy to each window's first maximum.  x: (n, C, H, W);  y, dy: (n, C, oh, ow)  ->  dx like x"""
    dx = cupy.empty(x.shape, x.dtype)
    numbers = _pool(x, y, kernel_size, stride, padding)
    _launch("max_pool_backward", dx.size, (x, y, dy, dx), numbers)
    return dx


def _windows(shape, kernel_size, stride, padding):
    """The numbers that im2col and col2im take."""
    (top, bottom), (left, right) = padding
    oh = (shape[2] + top + bottom - kernel_size[0]) // stride[0] + 1
    ow = (shape[3] + left + right - kernel_size[1]) // stride[1] + 1
    return *shape, *kernel_size, *stride, top, left, oh, ow


def _pool(x, y, kernel_size, stride, padding):
    """The numbers that the pooling loops take; a map is a map, of whatever image."""
    n, c, h, w = x.shape
    return n * c, h, w, *kernel_size, *stride, padding[0][0], padding[1][0], *y.shape[2:]


def _launch(name, threads, arrays, numbers):
    """Start a kernel with at least so many threads; it counts in 64 bits only where it must."""
    if not threads:
        return
    arrays = [cupy.ascontiguousarray(array) for array in arrays]
    dtypes = {array.dtype.name for array in arrays}
    if len(dtypes) > 1 or not dtypes <= set(REALS):
        got = " and ".join(sorted(dtypes))
        raise UserError(f"{name}: expected float32 or float64, got {got}")
    wide = max(array.size for array in arrays) + THREADS >= 2**31
    kernel = _kernel(name, arrays[0].dtype.name, wide)
    integer = np.int64 if wide else np.int32
    kernel((-(-threads // THREADS),), (THREADS,), (*arrays, *map(integer, numbers)))


@functools.cache
def _kernel(name, dtype, wide):
    """Compiled by CuPy at its first call on a device, and kept in its cache on disk."""
    return cupy.RawKernel(cuda_text(name, dtype, wide), name)
