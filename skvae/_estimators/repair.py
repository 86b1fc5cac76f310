"""The nearest normal row: which cells to change, and to what, until a row is not flagged."""

import numpy as np
import pandas as pd

from .._table import EncodedTable
from .checks import integer
from .queries import row_labels
from .settings import listed

__all__ = ["repaired"]

_GUESSES = 4  # of a cell, each but the first from a row that has the guess before


def repaired(detector, X, fixed, max_cells):
    """Change as few cells of flagged rows as make them normal, one at a time.

    Each step changes, in every row that is still flagged, the cell whose guess from the other
    cells raises the row's bound the most. Then cells are given back that need not have changed.
    Guesses are made several times, each from the row with those before.

    Parameters
    ----------
    detector : VAEAnomalyDetector
    X, fixed, max_cells
        As in `VAEAnomalyDetector.repair`.

    Returns
    -------
    table, cells
        As there.

    References
    ----------
    Rezende, Mohamed and Wierstra, "Stochastic Backpropagation and Approximate Inference in Deep
    Generative Models", 2014, arXiv:1401.4082, for the latter.
    """
    flagged = np.flatnonzero(detector.decision_function(X) < 0)
    if max_cells is not None:
        integer(1).check("max_cells", max_cells, detector)
    free, raw, table = _free_columns(detector, fixed), detector._read(X), detector.table_
    encoded, cells = table.encode(raw).values, np.zeros(raw.values.shape, dtype=bool)
    if len(flagged) > 0:
        search = _Search(detector, raw.take(flagged), free)
        mended = search.run(max_cells or len(free))
        search.take_back(mended)
        encoded[flagged], cells[flagged] = search.values, search.changed
    rows = table.fill(raw, encoded, row_labels(X), changed=cells)
    if raw.is_frame:
        cells = pd.DataFrame(cells, index=row_labels(X), columns=raw.labels)
    return rows, cells


def _free_columns(detector, fixed):
    """Which columns may change; bool ndarray of shape (n_columns,)."""
    names = [column.name for column in detector.table_.columns_]
    for name in fixed:
        if name not in names:
            raise ValueError(
                f"The argument 'fixed' names the column {name!r}, which was not fitted. Columns "
                f"are {listed(names)}."
            )
    free = np.array([name not in fixed for name in names])
    free[[*detector.table_.context_, *detector.table_.unknown_]] = False
    return free


class _Search:
    """Greedy search for the cells to change in some rows.

    Parameters
    ----------
    detector : VAEAnomalyDetector
    raw : RawTable
        Flagged rows.
    free : bool ndarray of shape (n_columns,)
        Columns that may change.

    Attributes
    ----------
    changed : bool ndarray of shape (n, n_columns)
    values : ndarray of shape (n, n_columns)
        Encoded cells in the model's order, those changed among them.
    """

    def __init__(self, detector, raw, free):
        self._detector, self._table, self._raw = detector, detector.table_, raw
        self._density = detector._density()
        self._bound = detector._bound(self._density)
        self._rows = self._table.encode(raw)
        self._places = np.argsort(self._table.order_)
        self._may_change = ~np.isnan(raw.values) & free
        self.changed, self.values = np.zeros(raw.values.shape, bool), self._rows.values.copy()

    def run(self, most):
        """Change at most so many cells of each row; return the positions of those made normal."""
        flagged = np.arange(len(self.values))
        for _ in range(most):
            able = self._left(flagged).any(axis=1)
            if not able.any():
                break
            self._change_one(flagged[able])
            flagged = flagged[
                ~self._are_normal(flagged, self.values[flagged], self.changed[flagged])
            ]
        return np.setdiff1d(np.arange(len(self.values)), flagged)

    def take_back(self, mended):
        """Give cells of normal rows back that need not have changed, column by column."""
        for j in range(self.changed.shape[1]):
            several = self.changed[mended].sum(axis=1) > 1
            own = mended[several & self.changed[mended, j]]
            if len(own) == 0:
                continue
            fewer = self.changed[own]
            fewer[:, j] = False
            values = self._filled(own, fewer)
            kept = self._are_normal(own, values, fewer)
            self.changed[own[kept]], self.values[own[kept]] = fewer[kept], values[kept]

    def _are_normal(self, chosen, values, changed):
        # As the rows are given back: whole numbers are rounded, say.
        rows = self._table.fill(self._raw.take(chosen), values, changed=changed)
        return self._detector.decision_function(rows) >= 0

    def _left(self, rows):
        return self._may_change[rows] & ~self.changed[rows]

    def _change_one(self, chosen):
        """Change the one more cell of each chosen row that raises its bound the most."""
        highest, best = np.full(len(chosen), -np.inf), np.zeros(len(chosen), dtype=int)
        left, values = self._left(chosen), self.values[chosen]
        for j in np.flatnonzero(left.any(axis=0)):
            own = np.flatnonzero(left[:, j])
            tried = self.changed[chosen[own]]
            tried[:, j] = True
            filled = self._filled(chosen[own], tried)
            bounds = self._bound(EncodedTable(filled, self._rows.observed[chosen[own]]))
            better = bounds > highest[own]
            rises = own[better]
            highest[rises], best[rises], values[rises] = bounds[better], j, filled[better]
        self.changed[chosen, best], self.values[chosen] = True, values

    def _filled(self, chosen, hidden):
        """Put guesses in the place of hidden cells of the chosen rows."""
        rows = self._rows.take(chosen)
        at_places = np.zeros(rows.values.shape, dtype=bool)
        at_places[:, self._places] = hidden
        seen = rows.observed & ~at_places
        filled = EncodedTable(np.where(seen, rows.values, 0.0), seen)
        for _ in range(_GUESSES):
            guesses = self._density.guess(filled)
            filled = EncodedTable(np.where(at_places, guesses, rows.values), rows.observed)
        return filled.values
