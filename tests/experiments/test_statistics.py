"""Intervals against numbers worked by hand, quantiles against the integrals they invert, and what
a design could see against integrals and repetitions."""

import itertools
import math

import numpy as np
import pytest

from minitorch_alexnet.experiments.statistics import (
    AGREES,
    OPPOSITE,
    SMALLER,
    T80,
    UNCLEAR,
    Effect,
    T,
    mean_effect,
    mean_seen,
    median_effect,
    median_seen,
)

inf = math.inf


def student_density(t, freedom):
    scale = math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2))
    return scale / math.sqrt(freedom * math.pi) * (1 + t**2 / freedom) ** (-(freedom + 1) / 2)


def share_within(bound, freedom):
    t = np.linspace(-bound, bound, 50_001)
    return np.trapezoid(student_density(t, freedom), t)


@pytest.mark.parametrize("freedom", range(1, 31))
def test_the_quantiles_invert_students_integral(freedom):
    """95 % lie within T; 80 % below T80, and so 60 % within it. Both have three decimals."""
    for quantile, share in (T[freedom - 1], 0.95), (T80[freedom - 1], 0.6):
        low, high = (share_within(quantile + off, freedom) for off in (-0.00051, 0.00051))
        assert low < share < high


def test_there_are_thirty_of_each():
    assert len(T) == len(T80) == 30


# ---- the mean ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("differences", "mean", "half"),
    [
        ((1, 2, 3), 2, 4.303 / math.sqrt(3)),  # s = 1
        ((3, 3.5, 4), 3.5, 4.303 * 0.5 / math.sqrt(3)),
        ((-3, -3.5, -4), -3.5, 4.303 * 0.5 / math.sqrt(3)),
        ((1, 3), 2, 12.706 * math.sqrt(2) / math.sqrt(2)),  # s² = (1 + 1) / 1
        ((2, 2, 2, 2), 2, 0),
    ],
)
def test_hand_worked_intervals(differences, mean, half):
    found = mean_effect(differences)
    assert found.middle == pytest.approx(mean)
    assert (found.low, found.high) == pytest.approx((mean - half, mean + half))


def test_hand_worked_effects_that_could_have_been_seen():
    assert mean_effect([1, 2, 3]).seen == pytest.approx((4.303 + 1.061) / math.sqrt(3))
    assert mean_effect([2, 2, 2]).seen == 0
    assert mean_seen(3.0, 4) == pytest.approx((3.182 + 0.978) * 3 / 2)


def test_one_seed_has_no_interval():
    for effect in mean_effect([7.0]), median_effect([7.0], [7.0]):
        assert effect == Effect(7.0, -inf, inf, inf)
        assert effect.verdict(0.1) == UNCLEAR
    assert mean_seen(1.0, 1) == inf


def test_beyond_thirty_degrees_of_freedom_the_interval_errs_on_the_wide_side():
    values = np.arange(60.0)
    half = 2.042 * values.std(ddof=1) / math.sqrt(60)  # 2.001 would be exact
    assert mean_effect(values).high - mean_effect(values).middle == pytest.approx(half)
    assert mean_seen(1.0, 60) == pytest.approx((2.042 + 0.854) / math.sqrt(60))


def told_apart(mean, pairs):
    """How often the interval of normal differences of deviation 1 lies above 0: over all spreads
    s that may be found, P(mean found > t s / √n), times the spread's own density."""
    freedom, t = pairs - 1, T[pairs - 2]
    s = np.linspace(1e-6, 6, 20_001)
    log = (1 - freedom / 2) * math.log(2) - math.lgamma(freedom / 2)
    log = log + freedom / 2 * math.log(freedom) + (freedom - 1) * np.log(s) - freedom * s**2 / 2
    x = mean * math.sqrt(pairs) - t * s
    above = np.array([0.5 * math.erfc(-each / math.sqrt(2)) for each in x])
    return np.trapezoid(np.exp(log) * above, s)


@pytest.mark.parametrize(
    ("pairs", "off"), [(2, 0.09), (3, 0.05), (4, 0.03), (6, 0.015), (12, 0.006), (31, 0.004)]
)
def test_what_is_seen_of_means_is_seen_four_times_in_five(pairs, off):
    """Less exactly so with few pairs, where the sum of two quantiles is a rule of thumb."""
    assert told_apart(mean_seen(1.0, pairs), pairs) == pytest.approx(0.8, abs=off)


# ---- the median --------------------------------------------------------------------------------


def rank_by_counting(n):
    """The largest k for which few enough of all 2ⁿ rows of tosses have fewer than k heads."""
    heads = [sum(row) for row in itertools.product((0, 1), repeat=n)]
    ranks = [k for k in range(n + 1) if 40 * sum(h < k for h in heads) <= len(heads)]
    return max(ranks)


@pytest.mark.parametrize("n", range(2, 14))
def test_the_medians_interval_against_counting_tosses(n):
    values = np.random.default_rng(n).permutation(np.arange(n) + 10.0)
    found, k = median_effect(values, values), rank_by_counting(n)
    assert found.middle == pytest.approx(10 + (n - 1) / 2)
    assert (found.low, found.high) == ((10 + k - 1, 10 + n - k) if k else (-inf, inf))


@pytest.mark.parametrize(
    ("n", "place"), [(5, None), (6, 0), (7, 0), (8, 0), (9, 1), (11, 1), (12, 2), (20, 5)]
)
def test_the_medians_interval_as_tables_have_it(n, place):
    """The smallest and largest from 6 on, the second ones from 9, the third from 12."""
    found = median_effect(np.arange(n), np.arange(n))
    if place is None:
        assert (found.low, found.high, found.seen) == (-inf, inf, inf)
    else:
        assert (found.low, found.high) == (place, n - 1 - place)


def of(*pairs):
    return median_effect(*np.array(pairs, float).T)


def test_late_ones_count_as_later_whichever_arm_it_is():
    known = [(v, v) for v in (1, 2, 3, 4, 5)]
    more_late, less_late, both_late = (6, inf), (-inf, 6), (-inf, inf)
    found = of(*known, more_late)
    assert (found.low, found.high, found.middle, found.bound) == (1, inf, 3.5, "")
    found = of(*known, less_late)  # it may be anything below 6
    assert (found.low, found.high, found.middle, found.bound) == (-inf, 6, 2.5, "at least")
    found = of(*known, both_late)
    assert (found.low, found.high, found.middle, found.bound) == (-inf, inf, 2.5, "at least")
    found = of(*((-b, -a) for a, b in (*known, less_late)))
    assert (found.low, found.high, found.middle, found.bound) == (-6, inf, -2.5, "at most")
    assert of(*[(2, inf)] * 6).bound == "at least"
    assert of(*[(-inf, 2)] * 6) == Effect(2, -inf, 2, inf, "at most")
    assert of(*[both_late] * 6) == Effect(0, -inf, inf, inf, "not known")
    nine = [(v, v) for v in range(1, 9)]
    assert (of(*nine, more_late).low, of(*nine, more_late).high) == (2, 8)  # one end to spare
    assert (of(*nine, less_late).low, of(*nine, less_late).high) == (1, 7)
    assert (of(*nine, both_late).low, of(*nine, both_late).high) == (1, 8)


def test_with_late_ones_nobody_knows_the_spread():
    exact = of(*((v, v) for v in (1, 2, 3, 4, 5, 6)))
    assert of(*((v, v) for v in (1, 2, 3, 4, 5)), (6, inf)).seen == inf
    assert of(*((v, v) for v in (2, 3, 4, 5, 6)), (-inf, 1)).seen == inf
    deviation = np.std([1, 2, 3, 4, 5, 6], ddof=1)
    assert exact.seen == pytest.approx(deviation * median_seen(1.0, 6))


@pytest.mark.parametrize(("pairs", "rank"), [(6, 1), (8, 1), (9, 2), (12, 3), (20, 6)])
def test_what_is_seen_of_medians_is_seen_four_times_in_five(pairs, rank):
    drawn = np.random.default_rng(pairs).standard_normal((40_000, pairs)) + median_seen(1.0, pairs)
    told = np.sort(drawn)[:, rank - 1] > 0
    assert told.mean() == pytest.approx(0.8, abs=3 * math.sqrt(0.8 * 0.2 / 40_000))


def test_too_few_pairs_see_no_median():
    assert median_seen(1.0, 5) == inf
    assert median_seen(2.0, 6) == pytest.approx(2 * median_seen(1.0, 6))


# ---- the verdict -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("low", "middle", "high", "paper", "verdict"),
    [
        (0.1, 0.5, 0.9, 0.9, AGREES),  # both borders belong to it
        (0.1, 0.5, 0.9, None, AGREES),
        (0.1, 0.5, 0.9, 0.91, SMALLER),  # the paper's is out of reach
        (0.1, 0.49, 0.9, 0.5, UNCLEAR),  # it does not count
        (0.1, 0.49, 0.9, None, UNCLEAR),
        (0.1, 0.2, 0.3, 0.5, UNCLEAR),
        (2.0, 3.0, 4.0, 1.0, AGREES),  # more than the paper's
        (0.0, 0.5, 1.0, 0.5, UNCLEAR),
        (-0.1, 0.9, 1.9, 0.5, UNCLEAR),
        (-0.9, -0.5, -0.1, 0.5, OPPOSITE),
        (-0.9, -0.5, -0.1, None, OPPOSITE),
        (-0.9, -0.49, -0.1, 0.5, UNCLEAR),  # below, but it does not count
        (-1.0, -0.5, 0.0, 0.5, UNCLEAR),
        (-inf, 3.0, inf, 0.5, UNCLEAR),
        (0.1, 0.6, inf, 7.0, AGREES),  # it may be as large as that
    ],
)
def test_the_rule_at_its_borders(low, middle, high, paper, verdict):
    assert Effect(middle, low, high).verdict(0.5, paper) == verdict


@pytest.mark.parametrize(
    ("low", "high", "paper", "said"),
    [
        (-0.1, 0.4, 0.5, ["less than the paper's", "no difference that counts"]),
        (-0.1, 0.5, 0.6, ["less than the paper's"]),  # 0.5 counts
        (-0.5, 0.1, 0.1, []),  # so does -0.5
        (-0.4, 0.4, None, ["no difference that counts"]),
        (-0.4, 0.4, 0.4, ["no difference that counts"]),
        (-inf, inf, 0.5, []),
        (0.1, 0.3, 0.4, ["above 0", "less than the paper's", "no difference that counts"]),
        (-0.6, -0.1, None, ["below 0"]),
        (0.5, 0.7, 0.8, []),  # smaller than the paper's: the verdict has said it
        (-0.7, -0.5, 0.8, []),  # the opposite: as well
    ],
)
def test_what_an_interval_leaves_out(low, high, paper, said):
    middle = (low + high) / 2 if low > -inf else 0.0
    assert Effect(middle, low, high).leaves_out(0.5, paper) == said
