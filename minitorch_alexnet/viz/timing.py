"""Where a step's time goes, as bars."""

import numpy as np

from ..timing import Timing
from .figure import COLOURS, DPI, Figure
from .text import fit, plain

FORWARD, BACKWARD = COLOURS["blue"], COLOURS["orange"]


def layer_bars(timing: Timing, title: str = "") -> Figure:
    """A bar a layer: milliseconds forward, then backward; medians over the rounds."""
    times = {name: 1000 * np.median(ms, axis=0) for name, ms in timing.layers.items()}
    forward, backward = np.array(list(times.values())).T
    rows = np.arange(len(times))
    figure = Figure((8, 1.4 + 0.24 * len(times)), DPI, layout="constrained")
    axes = figure.subplots()
    axes.barh(rows, forward, color=FORWARD, label="forward")
    axes.barh(rows, backward, left=forward, color=BACKWARD, label="backward")
    axes.set_yticks(rows, times)
    axes.set(xlabel=f"milliseconds a batch of {timing.batch}", ylim=(len(rows) - 0.4, -0.6))
    axes.grid(axis="x", color="0.9")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="lower right", frameon=False)
    axes.set_title(
        f"{plain(fit(title, 7, 10))}\n{timing.share:.0%} of the machine's"
        f" {np.median(timing.limit) / 1e9:,.0f} GFLOP/s in large matrix products",
        size=10,
        loc="left",
    )
    return figure
