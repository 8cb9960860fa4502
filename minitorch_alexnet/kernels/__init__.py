"""The array loops that need hand-writing on each kind of device, with the same names on each."""

from .cpu import col2im, im2col, max_pool, max_pool_backward, window_sum

__all__ = ["col2im", "im2col", "max_pool", "max_pool_backward", "window_sum"]
