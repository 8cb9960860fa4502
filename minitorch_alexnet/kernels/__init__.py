"""The array loops that need hand-writing on each kind of device, with the same names on each.

cpu.py has them in NumPy, cuda.py in CUDA: im2col and col2im, lrn and max_pool, each with its
backward.
Which axis is innermost in memory, images on a CPU and pixels on a GPU, is known here alone; the
others are what layers need in order not to know: room for a result (`empty`), an array brought
`in_order`, maps as columns and back, and the `bands` that a convolution is done in.
"""

from importlib import resources

import numpy as np

from ..device import array_module
from . import cpu

REALS = {"float32": "float", "float64": "double"}


def _twin(name: str):
    """The loop of that name for the kind of array it is called with."""

    def call(x, *arguments, **options):
        return getattr(_module(x), name)(x, *arguments, **options)

    call.__doc__ = getattr(cpu, name).__doc__
    return call


def _module(x):
    if array_module(x) is np:
        return cpu
    from . import cuda  # which imports CuPy

    return cuda


def cuda_text(name: str, dtype: str, wide: bool) -> str:
    """A kernel's CUDA text, for one of REALS' dtypes and integers of 32 bits, or of 64."""
    types = f"typedef {REALS[dtype]} real;\ntypedef {'long long' if wide else 'int'} integer;\n"
    return types + (resources.files(__package__) / f"{name}.cu").read_text(encoding="utf-8")


bands = _twin("bands")
col2im = _twin("col2im")
empty = _twin("empty")
from_columns = _twin("from_columns")
im2col = _twin("im2col")
in_order = _twin("in_order")
lrn = _twin("lrn")
lrn_backward = _twin("lrn_backward")
max_pool = _twin("max_pool")
max_pool_backward = _twin("max_pool_backward")
to_columns = _twin("to_columns")

__all__ = [
    "bands",
    "col2im",
    "empty",
    "from_columns",
    "im2col",
    "in_order",
    "lrn",
    "lrn_backward",
    "max_pool",
    "max_pool_backward",
    "to_columns",
]
