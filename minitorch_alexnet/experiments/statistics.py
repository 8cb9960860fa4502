"""Is a difference between two arms more than chance? Student's interval, and the verdict's rule."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# Student's t: 95 % of the distribution with 1, 2, … degrees of freedom lies within ± these.
T = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
    2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086,
    2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip
AGREES, DISAGREES, UNCLEAR = "agrees", "disagrees", "too small to tell"
RULE = (
    "For each seed the two arms share what they can: starting weights, batches and dropout's masks,"
    " or the whole net. Their difference is taken in the direction that the paper claims, so that"
    " above 0 (of ratios: above 1) the paper is right. From the differences of all seeds comes"
    " Student's 95 % interval of their mean."
    f" Wholly above: {AGREES}. Wholly below: {DISAGREES}. Otherwise: {UNCLEAR}, as with a single"
    " seed, which has no interval."
)


@dataclass(frozen=True)
class Effect:
    """The mean of paired differences and its 95 % interval, ±inf where one seed gives none."""

    mean: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        if self.low > 0:
            return AGREES
        return DISAGREES if self.high < 0 else UNCLEAR


def effect(differences: Sequence[float]) -> Effect:
    """Of one difference a seed (n,), n ≥ 1, positive where the paper is right.

        mean ± t · s / √n,    s² = Σ (difference - mean)² / (n-1)

    Beyond 30 degrees of freedom t is that of 30: the interval is a little too wide, never too
    narrow.
    """
    values = np.asarray(differences, float)
    mean, n = float(values.mean()), len(values)
    if n == 1:
        return Effect(mean, -math.inf, math.inf)
    half = T[min(n - 1, len(T)) - 1] * float(values.std(ddof=1)) / math.sqrt(n)
    return Effect(mean, mean - half, mean + half)
