"""What a finished experiment has found, as numbers and verdicts."""

import math
from dataclasses import dataclass

import numpy as np

from .experiment import Experiment, Measure
from .plan import Plan
from .statistics import AGREES, UNCLEAR, Effect, mean_effect, mean_seen, median_effect, median_seen


@dataclass(frozen=True)
class Outcome:
    """A finished experiment.

    rows: {"arm": …, "seed": …, and numbers by name, among them each measure's}
    trials: a row a net and rate, {"net", "rate", "score", "failed", "chosen"}
    made_with: each combination that trainings were made with, once
    seconds: that its own trainings took;  shared: how many were another experiment's
    date: of the last one
    """

    experiment: Experiment
    plan: Plan
    test_images: int
    rows: list[dict]
    seconds: float
    date: str
    trials: list[dict]
    made_with: list[dict[str, str]]
    shared: int

    def of_arm(self, arm: str) -> list[dict]:
        """Its rows, by seed."""
        return [row for row in self.rows if row["arm"] == arm]

    def values(self, measure: Measure) -> np.ndarray:
        """(2, seeds): the arm with more of it, according to the paper, and the one with less."""
        arms = measure.more, measure.less
        return np.array([[row[measure.key] for row in self.of_arm(arm)] for arm in arms], float)

    def arrived(self, measure: Measure) -> np.ndarray:
        """(2, seeds): False where a duration is the training's whole length, or longer."""
        arms = measure.more, measure.less
        return np.array([[row.get("arrived", True) for row in self.of_arm(arm)] for arm in arms])

    def effect(self, measure: Measure) -> Effect:
        """The paired differences'; where the measure is a ratio, those of the logarithms."""
        more, less = self.values(measure)
        if not measure.ratio:
            return mean_effect(more - less)
        difference, (more_came, less_came) = np.log(more / less), self.arrived(measure)
        return median_effect(
            np.where(less_came, difference, -math.inf), np.where(more_came, difference, math.inf)
        )

    def verdict(self, measure: Measure) -> str:
        """One of four words; which arm has more of what the paper does not speak of."""
        found = self.effect(measure).verdict(*_sizes(measure))
        if measure.claimed or found == UNCLEAR:
            return found
        return f"more: {measure.more if found == AGREES else measure.less}"

    def leaves_out(self, measure: Measure) -> list[str]:
        """What the interval says besides."""
        return self.effect(measure).leaves_out(*_sizes(measure))


def could_see(measure: Measure, pairs: int) -> float:
    """The difference, or ratio, that so many pairs would show four times in five, if they spread
    as the measure says."""
    if measure.ratio:
        return math.exp(median_seen(measure.spread, pairs))
    return mean_seen(measure.spread, pairs)


def _sizes(measure: Measure) -> tuple[float, float | None]:
    """What counts and what the paper found, as the effect is: logarithms of ratios."""
    counts, paper = measure.counts, measure.size
    if measure.ratio:
        return math.log(counts), paper and math.log(paper)
    return counts, paper
