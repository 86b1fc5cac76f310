"""Scores of rows that the weights were not fitted to become p-values, thresholds, selections."""

import numpy as np

__all__ = ["below_tie", "discoveries", "largest_discovery", "n_apart", "p_values", "threshold"]

MOST_APART = 0.1  # share of the scores
FEWEST = 100  # of which some can be told to lie apart
ROUNDING = 1e-5  # of a score, at least 10: `score_samples` rounds to float32


def p_values(scores, calibration_scores):
    """Conformal p-value of each score: how rarely a normal row scores as low.

    The (1 + count) / (1 + m) of a score has in its count the calibration scores that are
    not above it by more than rounding. A fresh score that is exchangeable with them has a
    p-value of at most a with probability at most a, for every a: exactly
    floor(a * (m + 1)) / (m + 1) where no two scores are equal.

    Parameters
    ----------
    scores : ndarray of shape (n,)
        Higher is more normal.
    calibration_scores : ndarray of shape (m,)
        In ascending order.

    Returns
    -------
    p_values : ndarray of shape (n,)
        In [1 / (m + 1), 1].

    References
    ----------
    Bates, Candes, Lei, Romano and Sesia, "Testing for outliers with conformal p-values",
    2023, arXiv:2104.08279.

    Examples
    --------
    >>> import numpy as np
    >>> p_values(np.array([-1.0, 0.0, 4.5]), np.arange(9.0))
    array([0.1, 0.2, 0.6])
    """
    n_not_above = np.searchsorted(calibration_scores, scores + _margin(scores), side="right")
    return (1 + n_not_above) / (1 + len(calibration_scores))


def threshold(calibration_scores, false_alarm_rate):
    """Score below which a fresh normal row falls with a bounded probability.

    With m calibration scores and k = floor(false_alarm_rate * (m + 1)) it is the k-th
    smallest: a score is below it just where its p-value is at most `false_alarm_rate`.

    Parameters
    ----------
    calibration_scores : array-like of shape (m,)
        Higher is more normal.
    false_alarm_rate : float in (0, 1)

    Returns
    -------
    offset : float or None
        None if there are too few scores for this rate, k = 0.

    References
    ----------
    Vovk, Gammerman and Shafer, "Algorithmic Learning in a Random World", 2005,
    doi:10.1007/b106715.

    Examples
    --------
    >>> threshold(range(99), 0.05)
    4.0
    """
    scores = np.sort(np.asarray(calibration_scores, dtype=np.float64))
    # Rounded first, for 0.29 * 100 is 28.999999999999996.
    k = int(np.floor(np.round(false_alarm_rate * (len(scores) + 1), 9)))
    k = min(k, len(scores))
    return float(scores[k - 1]) if k > 0 else None


def below_tie(offset, scores):
    """Threshold, a margin of rounding lower where several scores are tied at it.

    Parameters
    ----------
    offset : float
    scores : ndarray of shape (m,)
        Those that it is a quantile of.

    Returns
    -------
    offset : float
    """
    is_tie = np.sum(np.abs(scores - offset) <= 1e-3 * _margin(offset)) > 1
    return float(offset - _margin(offset)) if is_tie else offset


def _margin(scores):
    return ROUNDING * np.maximum(10.0, np.abs(scores))


def n_apart(scores):
    """How many of the lowest scores lie farther from the rest than the rest from each other.

    Such rows are of another kind: kept among the calibration rows, they would be the
    threshold that they ought to be below. Of normal rows hardly one is apart, for a score is
    a log density, whose distribution falls off at least exponentially.

    Parameters
    ----------
    scores : ndarray of shape (m,)
        In ascending order; higher is more normal.

    Returns
    -------
    n_apart : int
        At most a tenth of them, and none of fewer than 100.

    Examples
    --------
    >>> import numpy as np
    >>> n_apart(np.array([-900.0, -300.0, *range(120)]))
    2
    """
    most = int(MOST_APART * len(scores)) if len(scores) >= FEWEST else 0
    gaps = scores[1 : most + 1] - scores[:most]
    ranges = scores[-1:] - scores[1 : most + 1]
    return int(max(np.flatnonzero(gaps > ranges) + 1, default=0))


def discoveries(p_values, fdr):
    """Select rows by Benjamini and Hochberg: which ones are anomalies.

    Conformal p-values that share their calibration scores depend on each other in the
    positive way for which the procedure holds (Bates et al., 2023).

    Parameters
    ----------
    p_values : ndarray of shape (n,)
    fdr : float in (0, 1)
        Bound on the false discovery rate, the expected share of normal rows among those
        selected.

    Returns
    -------
    selected : bool ndarray of shape (n,)

    References
    ----------
    As `VAEAnomalyDetector.detect`.

    Examples
    --------
    >>> import numpy as np
    >>> discoveries(np.array([0.01, 0.02, 0.2, 0.9]), 0.05)
    array([ True,  True, False, False])
    """
    values, counts = np.unique(p_values, return_counts=True)
    return p_values <= largest_discovery(values, counts, fdr)


def largest_discovery(values, counts, fdr):
    """Largest p-value that `discoveries` selects, of p-values that are counted.

    Rows need not be kept to be selected: of m calibration scores come m + 1 values at most.

    Parameters
    ----------
    values : ndarray of shape (k,)
        Different p-values, in ascending order.
    counts : int ndarray of shape (k,)
        How many rows have each.
    fdr : float in (0, 1)

    Returns
    -------
    largest : float
        0 if none is selected.

    Examples
    --------
    >>> import numpy as np
    >>> largest_discovery(np.array([0.01, 0.02, 0.9]), np.array([1, 3, 4]), 0.05)
    0.02
    """
    # Rounded, for p-values are whole multiples of a fraction and often meet the bound.
    shares = np.round(values * counts.sum() / np.cumsum(counts), 9)
    return float(values[shares <= fdr].max(initial=0.0))
