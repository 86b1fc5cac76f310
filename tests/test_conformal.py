"""The threshold against exact arithmetic, and its promise by simulation."""

import math
from fractions import Fraction

import numpy as np
import pytest

from skvae._conformal import threshold

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
