"""What a few pairs can tell: an interval, the effect they could have seen, a verdict of four.

Everything is in the direction that the paper claims: above 0 the paper is right. Of durations and
other ratios it is their logarithms.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

# Student's t: 95 % of the distribution with 1, 2, … degrees of freedom lies within ± these …
T = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
    2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086,
    2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip
# … and 80 % below these.
T80 = (
    1.376, 1.061, 0.978, 0.941, 0.920, 0.906, 0.896, 0.889, 0.883, 0.879,
    0.876, 0.873, 0.870, 0.868, 0.866, 0.865, 0.863, 0.862, 0.861, 0.860,
    0.859, 0.858, 0.858, 0.857, 0.856, 0.856, 0.855, 0.855, 0.854, 0.854,
)  # fmt: skip
AGREES, SMALLER = "agrees", "there, but smaller than the paper's"
OPPOSITE, UNCLEAR = "the opposite", "cannot tell"
RULE = (
    "For each seed the arms share what they can: starting weights, batches, dropout's masks. Their"
    " difference is taken in the direction that the paper claims: above 0 (of ratios: above 1) the"
    " paper is right.",
    "From the differences of all seeds comes a 95 % interval: Student's, of their mean; of ratios"
    " the one by signs, of their median, in which a training that never arrived is later than any"
    " that did.",
    "An interval above 0 whose middle is at least the smallest difference that counts, which was"
    f" said before the first training, *{AGREES}*; if it does not reach the paper's number, the"
    f" effect is *{SMALLER}*. An interval below 0 whose middle counts says *{OPPOSITE}*. All else"
    f" is *{UNCLEAR}*; what such an interval says all the same stands beside it.",
    "Where the paper claims nothing, the difference is what the arm before “against” has more, and"
    " the verdict says which has more.",
    "The smallest difference that would have been noticed is the one that four of five repetitions"
    " would tell from 0, by the spread that was found; where that is not known, by the one that was"
    " expected (*assumed*). One that just counts has its middle below what counts in half of them,"
    " however many the seeds.",
    "The paper's points are of its own errors, on other images and with larger nets. *Smaller* and"
    " *less than the paper's* compare points; beside them compare the shares of the errors.",
    "The learning rates, the training images and the test images are the same for all seeds: what"
    " others would change is not in the interval.",
)


@dataclass(frozen=True)
class Effect:
    """What the differences of all pairs say.

    middle: their mean or median;  low, high: its 95 % interval, ±inf where there is none
    seen: the true difference that would be told from 0 four times in five; inf if none would
    bound: what the middle is where it is no more than that: "at least", "at most", "not known"
    """

    middle: float
    low: float
    high: float
    seen: float = math.inf
    bound: str = ""

    def verdict(self, counts: float, paper: float | None = None) -> str:
        """counts: the smallest difference that does;  paper: the paper's, if it gives one"""
        if self.low > 0 and self.middle >= counts:
            return AGREES if paper is None or self.high >= paper else SMALLER
        return OPPOSITE if self.high < 0 and self.middle <= -counts else UNCLEAR

    def leaves_out(self, counts: float, paper: float | None = None) -> list[str]:
        """What the interval says all the same, where the verdict is unclear."""
        if self.verdict(counts, paper) != UNCLEAR:
            return []
        said = []
        if self.low > 0 or self.high < 0:
            said.append("above 0" if self.low > 0 else "below 0")
        if paper is not None and self.high < paper:
            said.append("less than the paper's")
        if -counts < self.low and self.high < counts:
            said.append("no difference that counts")
        return said


def mean_effect(differences: ArrayLike) -> Effect:
    """Of one difference a seed (n,), n ≥ 1.

        mean ± t · s / √n,    s² = Σ (difference - mean)² / (n-1)

    Beyond 30 degrees of freedom t is that of 30: the interval is a little too wide, never too
    narrow.
    """
    values = np.asarray(differences, float)
    mean, n = float(values.mean()), len(values)
    if n == 1:
        return Effect(mean, -math.inf, math.inf)
    deviation = float(values.std(ddof=1))
    half = T[min(n - 1, len(T)) - 1] * deviation / math.sqrt(n)
    return Effect(mean, mean - half, mean + half, mean_seen(deviation, n))


def mean_seen(deviation: float, pairs: int) -> float:
    """The mean that `pairs` differences of that standard deviation would show, 4 times in 5."""
    if pairs < 2:
        return math.inf
    place = min(pairs - 1, len(T)) - 1
    return (T[place] + T80[place]) * deviation / math.sqrt(pairs)


def median_effect(lows: ArrayLike, highs: ArrayLike) -> Effect:
    """Of one difference a seed, each known to lie from its low to its high (n,), n ≥ 1.

    The median's interval by signs: from the k-th smallest low to the k-th largest high, with the
    largest k for which fewer than k of n tosses of a coin are heads once in forty times at most.
    Below six pairs there is none. Where a median is only known to lie between two, the middle
    is the one nearer to 0.
    """
    low, high = np.sort(np.asarray(lows, float)), np.sort(np.asarray(highs, float))
    n, k = len(low), _rank(len(low))
    middle, bound = _nearest_zero(float(np.median(low)), float(np.median(high)))
    if not k:
        return Effect(middle, -math.inf, math.inf, bound=bound)
    exact = np.array_equal(low, high)  # else nobody knows how they spread
    seen = median_seen(float(low.std(ddof=1)), n) if exact else math.inf
    return Effect(middle, float(low[k - 1]), float(high[n - k]), seen, bound)


def _nearest_zero(low: float, high: float) -> tuple[float, str]:
    """The end of an interval that claims least, and what it is to a number in there."""
    if low == high:
        return low, ""
    end = min(low, high, key=abs)
    if not math.isfinite(end):
        return 0.0, "not known"
    return end, "at least" if end == low else "at most"


def median_seen(deviation: float, pairs: int) -> float:
    """The median that so many normal differences would show above 0, 4 times in 5."""
    k = _rank(pairs)
    if not k:
        return math.inf
    low, high = 0.5, 1 - 1e-12  # the share of differences above 0
    for _ in range(50):
        share = (low + high) / 2
        told = sum(_heads(pairs, i, share) for i in range(pairs - k + 1, pairs + 1))
        low, high = (share, high) if told < 0.8 else (low, share)
    return deviation * NormalDist().inv_cdf(high)


def _rank(n: int) -> int:
    """The largest k with P(fewer than k heads of n) ≤ 1/40."""
    k, below = 0, 0.0
    while (below := below + _heads(n, k, 0.5)) <= 1 / 40:
        k += 1
    return k


def _heads(n: int, k: int, share: float) -> float:
    """P(k heads of n tosses)."""
    return math.comb(n, k) * share**k * (1 - share) ** (n - k)
