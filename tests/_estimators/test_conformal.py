"""p-values and thresholds against exact arithmetic, their promises by simulation."""

import math
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from scipy.stats import chisquare, false_discovery_control

from skvae._estimators.conformal import (
    below_tie,
    discoveries,
    largest_discovery,
    n_apart,
    p_values,
    threshold,
)

SIZES = [1, 2, 19, 20, 98, 99, 100, 199, 999, 12_345]
RATES = ["0.001", "0.01", "0.05", "0.07", "0.1", "0.29", "0.3", "0.57", "0.58", "0.7", "0.999"]


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("m", SIZES)
def test_it_is_the_kth_smallest_score(m, rate):
    scores = np.random.default_rng(0).normal(size=m)
    k = math.floor(Fraction(rate) * (m + 1))  # 0.29 * 100 is less than 29 in floats
    expected = sorted(scores)[k - 1] if k > 0 else None
    assert threshold(scores, float(rate)) == expected


@pytest.mark.parametrize(("m", "rate"), [(98, 0.01), (18, 0.05), (0, 0.5), (1, 0.49)])
def test_too_few_scores_give_no_threshold(m, rate):
    assert threshold(np.zeros(m), rate) is None


@pytest.mark.parametrize(("m", "rate"), [(19, 0.05), (30, 0.1), (99, 0.01), (50, 0.5)])
def test_a_fresh_row_is_flagged_with_at_most_the_promised_probability(m, rate):
    rng, n_trials = np.random.default_rng(0), 10_000
    scores = rng.standard_cauchy((n_trials, m + 1))
    flagged = np.mean([row[-1] < threshold(row[:-1], rate) for row in scores])
    error = math.sqrt(rate / n_trials)
    assert flagged <= rate + 4 * error
    # No more cautious than whole numbers of scores force it to be.
    assert flagged >= rate - 1 / (m + 1) - 4 * error


def test_ties_flag_fewer_rows_rather_than_more():
    rng = np.random.default_rng(0)
    scores = rng.integers(3, size=(10_000, 41))
    assert np.mean([row[-1] < threshold(row[:-1], 0.1) for row in scores]) <= 0.1


def test_the_order_of_the_scores_does_not_matter():
    scores = np.random.default_rng(0).normal(size=200)
    kept = scores.copy()
    assert threshold(scores, 0.05) == threshold(scores[::-1], 0.05) == threshold(list(scores), 0.05)
    assert np.array_equal(scores, kept)


# p-values.


@pytest.mark.parametrize("n_values", [3, 50, 10**9])  # with many ties, some, none
def test_a_p_value_counts_the_calibration_scores_that_are_not_above(n_values):
    rng = np.random.default_rng(0)
    calibration, scores = (rng.integers(n_values, size=n) / n_values for n in (40, 200))
    expected = [(1 + sum(c <= score for c in calibration)) / 41 for score in scores]
    np.testing.assert_array_equal(p_values(scores, np.sort(calibration)), expected)


def test_without_calibration_scores_every_p_value_is_1():
    np.testing.assert_array_equal(p_values(np.array([-9.0, 9.0]), np.empty(0)), [1, 1])


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("m", SIZES)
def test_a_score_is_below_the_threshold_where_its_p_value_is_at_most_the_rate(m, rate):
    rng = np.random.default_rng(0)
    calibration, scores = (np.sort(rng.integers(m, size=n)).astype(float) for n in (m, 1000))
    scores = np.r_[scores, -1.0, m, calibration]
    offset = threshold(calibration, float(rate))
    below = scores < (-math.inf if offset is None else offset)
    np.testing.assert_array_equal(p_values(scores, calibration) <= float(rate), below)


@pytest.mark.parametrize("m", [9, 99, 1000])
def test_p_values_of_fresh_rows_are_uniform(m):
    rng = np.random.default_rng(0)
    trials = rng.standard_cauchy((20_000, m + 1)) if m < 1000 else rng.normal(size=(2000, m + 1))
    fresh = [p_values(row[:1], np.sort(row[1:]))[0] for row in trials]
    ranks = np.round(np.array(fresh) * (m + 1)).astype(int)
    assert ranks.min() >= 1
    counts = np.histogram(ranks, bins=min(m + 1, 10), range=(0.5, m + 1.5))[0]
    assert chisquare(counts, counts.sum() * np.full(10, 0.1)).pvalue > 0.001


# Selections.


@pytest.mark.parametrize("fdr", [0.01, 0.1, 0.5])
def test_discoveries_are_those_of_benjamini_and_hochberg(fdr):
    for seed in range(20):
        p = np.random.default_rng(seed).beta(0.3, 1, size=50).round(3).clip(0.001)
        ordered = np.sort(p)
        met = np.flatnonzero(ordered <= fdr * np.arange(1, 51) / 50 + 1e-12)
        bound = ordered[met[-1]] if len(met) else 0.0
        np.testing.assert_array_equal(discoveries(p, fdr), p <= bound)


@pytest.mark.parametrize("fdr", [0.003, 0.05, 0.3])
def test_discoveries_are_those_of_scipy_and_of_counts_alone(fdr):
    for seed in range(50):
        rng = np.random.default_rng(seed)
        p = p_values(rng.normal(rng.choice([0, -3], size=300)), np.sort(rng.normal(size=400)))
        expected = np.round(false_discovery_control(p, method="bh"), 9) <= fdr
        np.testing.assert_array_equal(discoveries(p, fdr), expected)
        largest = largest_discovery(*np.unique(p, return_counts=True), fdr)
        assert largest == (p[expected].max() if expected.any() else 0.0)


@pytest.mark.parametrize("m", [99, 199, 999])
def test_p_values_on_the_bound_itself_are_selected(m):
    for n, rank in product(range(1, 40), range(1, 20)):
        fdr = Fraction(rank * n, m + 1)
        if fdr < 1:  # the least p-value, rank / (m + 1), is fdr / n
            p = np.r_[rank / (m + 1), np.ones(n - 1)]
            assert discoveries(p, float(fdr))[0]


def test_the_share_of_false_discoveries_keeps_to_its_bound():
    rng, shares = np.random.default_rng(0), []
    for _ in range(1000):
        calibration = np.sort(rng.normal(size=500))
        scores = np.r_[rng.normal(size=90), rng.normal(-4, size=10)]
        selected = discoveries(p_values(scores, calibration), 0.1)
        shares.append(selected[:90].sum() / max(1, selected.sum()))
    error = np.std(shares) / math.sqrt(len(shares))
    assert 0.05 < np.mean(shares) <= 0.1 * 0.9 + 4 * error


# Rows of another kind.


@pytest.mark.parametrize(
    ("lowest", "expected"),
    [([], 0), ([-6.0], 0), ([-99.0], 1), ([-1e5, -60.0], 2), ([-60.0] * 10, 10), ([-60.0] * 12, 0)],
)
def test_scores_far_below_all_others_lie_apart(lowest, expected):
    others = np.sort(np.random.default_rng(0).normal(size=100))
    assert n_apart(np.sort(np.r_[lowest, others])) == expected


@pytest.mark.parametrize("m", [0, 1, 2, 9, 150])
def test_equal_scores_do_not_lie_apart(m):
    assert n_apart(np.zeros(m)) == 0


@pytest.mark.parametrize("m", [100, 150, 1000])
@pytest.mark.parametrize("tail", ["exponential", "normal", "chisquare"])
def test_normal_rows_are_hardly_ever_apart(tail, m):
    """So a threshold's false alarms stay where they are promised."""
    rng = np.random.default_rng(m)
    draws = {"exponential": rng.exponential, "normal": rng.normal}
    draw = draws.get(tail, lambda size: rng.chisquare(5, size=size))
    dropped = [n_apart(np.sort(-draw(size=m))) for _ in range(2000)]
    assert np.mean(dropped) / m < 5e-4


def test_a_threshold_at_a_tie_leaves_room_for_rounding():
    tied, apart = np.array([-3.0, 1.0, 1.0, 1.0]), np.arange(4.0)
    assert 0.999 < below_tie(1.0, tied) < 1
    assert below_tie(1.0, apart) == 1.0
    assert p_values(np.array([1.0, 1 - 1e-7, 0.9]), tied).tolist() == [1.0, 1.0, 0.4]
