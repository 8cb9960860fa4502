"""What a finished experiment has found, as numbers and verdicts."""

import json
import math
from collections import Counter
from dataclasses import dataclass

import numpy as np

from .experiment import Experiment, Measure, Training
from .plan import Plan
from .statistics import AGREES, UNCLEAR, Effect, mean_effect, mean_seen, median_effect, median_seen


@dataclass(frozen=True)
class Outcome:
    """A finished experiment.

    rows: {"arm": …, "seed": …, and numbers by name, among them each measure's}
    trials: a row a net and rate, {"net", "rate", "score", "failed", "chosen"}
    made_with: each combination that trainings were made with, and which these were
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

    @classmethod
    def of(
        cls, experiment: Experiment, plan: Plan, results: dict[str, dict], test_images: int
    ) -> "Outcome":
        """results: of all the plan's trainings, by str(Training)"""
        trainings = {t: results[str(t)] for t in experiment.trainings(plan.pairs)}
        rows = [
            {"arm": arm, "seed": training.seed, **numbers}
            for training, result in trainings.items()
            if not training.trial
            for arm, numbers in result["arms"].items()
        ]
        own = [result for result in trainings.values() if "from" not in result]
        return cls(
            experiment,
            plan,
            test_images,
            rows,
            seconds=sum(result["seconds"] for result in own),
            date=max(result["date"] for result in trainings.values()),
            trials=_rates_tried(experiment, results),
            made_with=_made_with(trainings),
            shared=len(trainings) - len(own),
        )

    def of_arm(self, arm: str) -> list[dict]:
        """Its rows, by seed."""
        return [row for row in self.rows if row["arm"] == arm]

    def values(self, measure: Measure) -> np.ndarray:
        """(2, seeds): the arm with more of it, according to the paper, and the one with less.

        A net no better than a guess takes the whole length, whenever it was least bad.
        """

        def number(row):
            whole = measure.ratio and row.get("failed", False)
            return self.plan.epochs if whole else row[measure.key]

        arms = measure.more, measure.less
        return np.array([[number(row) for row in self.of_arm(arm)] for arm in arms], float)

    def arrived(self, measure: Measure) -> np.ndarray:
        """(2, seeds): False where a duration is only known to be longer than its number; of a net
        no better than a guess, too."""

        def came(row):
            return row.get("arrived", True) and not row.get("failed", False)

        arms = measure.more, measure.less
        return np.array([[came(row) or not measure.ratio for row in self.of_arm(a)] for a in arms])

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
        return f"more with “{measure.more if found == AGREES else measure.less}”"

    def leaves_out(self, measure: Measure) -> list[str]:
        """What the interval says all the same, where the verdict is unclear."""
        return self.effect(measure).leaves_out(*_sizes(measure))


def could_see(measure: Measure, pairs: int) -> float:
    """The difference, or ratio, that so many pairs would show four times in five, if they spread
    as the measure says."""
    if measure.ratio:
        return math.exp(median_seen(measure.spread, pairs))
    return mean_seen(measure.spread, pairs)


def _rates_tried(experiment: Experiment, results: dict[str, dict]) -> list[dict]:
    """What was tried, and which rate each net was given."""
    arms = {name: result["arms"] for name, result in results.items()}
    rows = []
    for net in experiment.nets:
        chosen = experiment.rate(Training(net, 0), arms)
        for rate in sorted(experiment.rates_of(net)):
            score, failed = experiment.trials(net, rate, arms)
            row = {"net": net, "rate": rate, "score": score, "failed": failed}
            rows.append(row | {"chosen": rate == chosen})
    return rows


def _made_with(trainings: dict[Training, dict]) -> list[dict[str, str]]:
    """Of all trainings and their results."""
    made: dict[str, Counter] = {}
    for training, result in trainings.items():
        what = f"{'trials ' * training.trial}of “{training.net}”"
        made.setdefault(json.dumps(result["made_with"]), Counter())[what] += 1
    return [
        json.loads(how) | {"trainings": "; ".join(f"{n} {what}" for what, n in counts.items())}
        for how, counts in made.items()
    ]


def _sizes(measure: Measure) -> tuple[float, float | None]:
    """What counts and what the paper found, as the effect is: logarithms of ratios."""
    counts, paper = measure.counts, measure.size
    if measure.ratio:
        return math.log(counts), paper and math.log(paper)
    return counts, paper
