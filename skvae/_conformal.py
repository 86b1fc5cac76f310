"""Thresholds from held-out scores: numpy only."""

import numpy as np

__all__ = ["threshold"]


def threshold(held_out_scores, false_alarm_rate):
    """Score below which a fresh normal row falls with a bounded probability.

    With m held-out scores and k = floor(false_alarm_rate * (m + 1)) it is the k-th
    smallest: a fresh score that is exchangeable with them is below it with probability
    at most k / (m + 1).

    Parameters
    ----------
    held_out_scores : array-like of shape (m,)
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
    scores = np.sort(np.asarray(held_out_scores, dtype=np.float64))
    # Rounded first, for 0.29 * 100 is 28.999999999999996.
    k = int(np.floor(np.round(false_alarm_rate * (len(scores) + 1), 9)))
    k = min(k, len(scores))
    return float(scores[k - 1]) if k > 0 else None
