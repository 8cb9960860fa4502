"""The interval against numbers worked by hand, its quantiles against the integral they invert."""

import math

import numpy as np
import pytest

from minitorch_alexnet.experiments.statistics import (
    AGREES,
    DISAGREES,
    UNCLEAR,
    Effect,
    T,
    effect,
)


def student_density(t, freedom):
    scale = math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2))
    return scale / math.sqrt(freedom * math.pi) * (1 + t**2 / freedom) ** (-(freedom + 1) / 2)


@pytest.mark.parametrize("freedom", range(1, 31))
def test_95_percent_of_students_distribution_lies_within_the_quantile(freedom):
    shares = []
    for bound in (T[freedom - 1] - 0.00051, T[freedom - 1] + 0.00051):  # of three decimals
        t = np.linspace(-bound, bound, 200_001)
        shares.append(np.trapezoid(student_density(t, freedom), t))
    assert shares[0] < 0.95 < shares[1]


@pytest.mark.parametrize(
    ("differences", "mean", "half", "verdict"),
    [
        ((1, 2, 3), 2, 4.303 / math.sqrt(3), UNCLEAR),  # s = 1
        ((3, 3.5, 4), 3.5, 4.303 * 0.5 / math.sqrt(3), AGREES),
        ((-3, -3.5, -4), -3.5, 4.303 * 0.5 / math.sqrt(3), DISAGREES),
        ((1, 3), 2, 12.706 * math.sqrt(2) / math.sqrt(2), UNCLEAR),  # s² = (1 + 1) / 1
        ((2, 2, 2, 2), 2, 0, AGREES),
        ((0, 0, 0), 0, 0, UNCLEAR),
    ],
)
def test_hand_worked_intervals(differences, mean, half, verdict):
    found = effect(differences)
    assert found.mean == pytest.approx(mean)
    assert (found.low, found.high) == pytest.approx((mean - half, mean + half))
    assert found.verdict == verdict


def test_one_seed_has_no_interval():
    assert effect([7.0]) == Effect(7.0, -math.inf, math.inf)
    assert effect([7.0]).verdict == UNCLEAR


def test_beyond_thirty_degrees_of_freedom_the_interval_errs_on_the_wide_side():
    values = np.arange(60.0)
    half = 2.042 * values.std(ddof=1) / math.sqrt(60)  # 2.001 would be exact
    assert effect(values).high - effect(values).mean == pytest.approx(half)


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.1, 0.3, AGREES),
        (0.0, 0.3, UNCLEAR),
        (-0.1, 0.3, UNCLEAR),
        (-0.3, 0.0, UNCLEAR),
        (-0.3, -0.1, DISAGREES),
    ],
)
def test_the_rule(low, high, verdict):
    assert Effect(0.0, low, high).verdict == verdict
