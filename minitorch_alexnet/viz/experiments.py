"""The figure of an experiment: its two arms, seed by seed."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullLocator, ScalarFormatter

from ..experiments.experiment import Measure
from ..experiments.report import difference
from ..experiments.reproduction import Outcome
from .figure import COLOURS, DPI, Figure
from .text import fit, plain

ARMS = tuple(COLOURS.values())


def experiment(outcome: Outcome) -> Figure:
    """A panel a measure: each seed's two values joined by a line, and the arms' means, as bars.

    If the rows have curves, the training error by epoch stands before them (Figure 1).
    """
    measures, raced = outcome.experiment.measures, "curve" in outcome.rows[0]
    widths = [1.8] * raced + [1.0] * len(measures)
    figure = Figure((max(4.4, 3.5 * sum(widths)), 4.2), DPI, layout="constrained")
    figure.suptitle(
        f"{outcome.experiment.title}: {plain(fit(outcome.plan.data, 3, 10))}", fontsize=10
    )
    first, *others = figure.subplots(1, len(widths), squeeze=False, width_ratios=widths)[0]
    if raced:
        _draw_curves(first, outcome)
    for axes, measure in zip(others if raced else (first, *others), measures, strict=True):
        _draw_pairs(axes, outcome, measure)
    return figure


def _draw_pairs(axes: Axes, outcome: Outcome, measure: Measure) -> None:
    values = outcome.values(measure)
    axes.plot((0, 1), values, color="0.75", lw=1, zorder=1)  # a line a seed
    for place, (row, colour) in enumerate(zip(values, ARMS, strict=True)):
        axes.scatter([place] * len(row), row, s=28, color=colour, marker="os"[place], zorder=3)
        mean = np.exp(np.log(row).mean()) if measure.ratio else row.mean()
        axes.plot([place - 0.22, place + 0.22], [mean, mean], color=colour, lw=2.5, zorder=2)
    axes.set(xlim=(-0.5, 1.5), ylabel=f"{measure.name} {measure.unit and f'({measure.unit})'}")
    axes.set_xticks((0, 1), outcome.experiment.arms)
    axes.set_title(f"{difference(outcome, measure)}\n{outcome.effect(measure).verdict}", fontsize=9)
    if measure.ratio:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(10, subs=(1, 1.5, 2, 3, 5, 7)))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(ScalarFormatter())
    _plain(axes)


def _draw_curves(axes: Axes, outcome: Outcome) -> None:
    for arm, colour, style in zip(outcome.experiment.arms, ARMS, ("-", "--"), strict=True):
        for row in outcome.of_arm(arm):
            label = arm if row["seed"] == 0 else None
            axes.plot(*np.transpose(row["curve"]), style, color=colour, lw=1.2, label=label)
    axes.set(xlabel="epoch", ylabel="training error (%)", ylim=(0, None))
    axes.legend(frameon=False)
    _plain(axes)


def _plain(axes: Axes) -> None:
    axes.grid(axis="y", color="0.9")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
