"""The figures: of a run, a net, its timing, an experiment.

Every function returns a `matplotlib.figure.Figure`: show it in a notebook, or keep it with
`figure.savefig(path)`. pyplot stays out of it, so no window and no global state is touched.
"""

from .experiments import experiment, kernels
from .graph import network
from .run import confusion, curves, filters, mistakes, neighbours
from .timing import layer_bars

__all__ = [
    "confusion",
    "curves",
    "experiment",
    "filters",
    "kernels",
    "layer_bars",
    "mistakes",
    "neighbours",
    "network",
]
