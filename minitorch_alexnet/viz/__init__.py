"""The figures: of a run, from plain arrays, and of a net, from its graph.

Every function returns a `matplotlib.figure.Figure`: show it in a notebook, or keep it with
`figure.savefig(path)`. pyplot stays out of it, so no window and no global state is touched.
"""

from .graph import network
from .run import confusion, curves, filters, mistakes, neighbours

__all__ = ["confusion", "curves", "filters", "mistakes", "neighbours", "network"]
