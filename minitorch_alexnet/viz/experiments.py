"""The figures of an experiment: its arms, seed by seed."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullLocator, ScalarFormatter

from ..experiments.experiment import Measure
from ..experiments.outcome import Outcome
from ..experiments.report import difference
from .figure import COLOURS, DPI, Figure
from .run import filters
from .text import fit, plain

ARMS = tuple(COLOURS.values())


def experiment(outcome: Outcome) -> Figure:
    """A panel a measure: each seed's two values joined by a line, and the arms' means, as bars.

    If the rows have curves, the training error by epoch stands before them (Figure 1).
    """
    measures = outcome.experiment.measures
    raced = all("curve" in row for row in outcome.rows)
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


def kernels(outcome: Outcome) -> Figure | None:
    """The kernels of the first layer, half of them a tower's, if the outcome has any (Figure 3)."""
    found = [row["kernels"] for row in outcome.rows if "kernels" in row]
    return filters(np.array(found[0]), ("tower a", "tower b")) if found else None


def _draw_pairs(axes: Axes, outcome: Outcome, measure: Measure) -> None:
    """To the left the arm with less of it, according to the paper. An open mark did not arrive."""
    values, arrived = outcome.values(measure)[::-1], outcome.arrived(measure)[::-1]
    arms = measure.less, measure.more
    axes.plot((0, 1), values, color="0.75", lw=1, zorder=1)  # a line a seed
    for place, (arm, row, came) in enumerate(zip(arms, values, arrived, strict=True)):
        colour = _colour(outcome, arm)
        inside = [colour if there else "white" for there in came]
        mark = "os"[place]
        axes.scatter([place] * len(row), row, 28, inside, marker=mark, edgecolors=colour, zorder=3)
        middle = np.median(row) if measure.ratio else row.mean()
        axes.plot([place - 0.22, place + 0.22], [middle, middle], color=colour, lw=2.5, zorder=2)
    axes.set(xlim=(-0.5, 1.5), ylabel=f"{measure.name} {measure.unit and f'({measure.unit})'}")
    axes.set_xticks((0, 1), [arm.replace(", ", ",\n") for arm in arms])
    beside = outcome.leaves_out(measure)
    verdict = outcome.verdict(measure) + "; the interval says:" * bool(beside)
    axes.set_title("\n".join([difference(outcome, measure), verdict, *beside]), fontsize=9)
    if measure.ratio:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(10, subs=(1, 1.5, 2, 3, 5, 7)))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(ScalarFormatter())
    _plain(axes)


def _draw_curves(axes: Axes, outcome: Outcome) -> None:
    for number, arm in enumerate(outcome.experiment.arms):
        for row in outcome.of_arm(arm):
            label = arm if row["seed"] == 0 else None
            style = ("-", "--")[number % 2]
            axes.plot(
                *np.transpose(row["curve"]), style, color=_colour(outcome, arm), lw=1, label=label
            )
    axes.set(xlabel="epoch", ylabel="training error (%)", ylim=(0, None))
    axes.legend(frameon=False)
    _plain(axes)


def _colour(outcome: Outcome, arm: str) -> str:
    return ARMS[outcome.experiment.arms.index(arm)]


def _plain(axes: Axes) -> None:
    axes.grid(axis="y", color="0.9")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
