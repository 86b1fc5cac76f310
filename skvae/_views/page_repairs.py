"""What the report says of a flagged row: what to change in it so that it is normal."""

import numpy as np
import pandas as pd

from .numbers import written

__all__ = ["repairs"]

MOST_CELLS = 10_000  # of rows that are repaired: each is tried


def repairs(estimator, X, listed, flagged):
    """Tell of the oddest flagged rows the fewest cells to change.

    Parameters
    ----------
    estimator : VAEAnomalyDetector or VAETransformer
    X : DataFrame of shape (n, n_columns)
    listed : ndarray of shape (n_listed,)
        Positions of rows, those flagged first.
    flagged : bool ndarray of shape (n,), or None

    Returns
    -------
    sentences : list of (str or None)
        Of the rows listed, None where nothing is told.
    """
    sentences = [None] * len(listed)
    if flagged is None or not flagged.any():
        return sentences
    n = max(1, MOST_CELLS // X.shape[1])
    rows = X.iloc[listed[flagged[listed]][:n]]
    repaired, changed = estimator.repair(rows, return_cells=True)
    repaired, changed = pd.DataFrame(repaired), np.asarray(changed)
    are_normal = estimator.predict(repaired.set_axis(rows.columns, axis=1)) == 1
    for i, is_normal in enumerate(are_normal):
        if is_normal:
            sentences[i] = _sentence(rows.iloc[i], repaired.iloc[i], changed[i])
    return sentences


def _sentence(before, after, changed):
    changes = [
        f"{_name(before.index[j])} from {written(before.iloc[j])} to {written(after.iloc[j])}"
        for j in np.flatnonzero(changed)
    ]
    *first, last = changes
    listed = f"{', '.join(first)} and {last}" if first else last
    return f"Change {listed}, and this row is normal."


def _name(name):
    return name if isinstance(name, str) else f"column {name}"
