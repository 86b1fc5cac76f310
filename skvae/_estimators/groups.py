"""Groups of rows that calibrate by themselves: Mondrian conformal prediction."""

import warnings

import numpy as np

from .calibration import CalibrationWarning
from .conformal import below_tie, threshold
from .settings import listed

__all__ = ["Groups"]

_KINDS = ("boolean", "category", "ordered")
_UNSEEN = ("unseen",)  # no level is a tuple


class Groups:
    """Levels of some columns, by which rows are parted.

    Parameters
    ----------
    names : sequence of column names
    table : TableEncoder

    Raises
    ------
    ValueError
        If there is no such column, or one of numbers.
    """

    def __init__(self, names, table):
        known = [column.name for column in table.columns_]
        for name in names:
            if name not in known:
                raise ValueError(
                    f"The 'calibration_groups' parameter names the column {name!r}, which X does "
                    f"not have. Its columns are {listed(known)}."
                )
        places = [known.index(name) for name in names]
        self._columns = [table.columns_[j] for j in places]
        for column in self._columns:
            if column.kind not in _KINDS and not column.levels:
                raise ValueError(
                    f"The 'calibration_groups' parameter names the column {column.name!r}, which "
                    "holds numbers: groups are levels. Make text of it by astype(str), or bins by "
                    "pandas.cut."
                )
        self._places = np.argsort(table.order_)[places]

    def codes(self, rows):
        """Codes of the levels of encoded rows, -1 for holes; int ndarray of shape (n, n_names)."""
        return np.where(rows.observed, rows.values, -1)[:, self._places].astype(np.int64)

    def part(self, codes):
        """Yield each group, a tuple of levels with None for holes, and which rows are its own."""
        distinct, numbers = np.unique(codes, axis=0, return_inverse=True)
        for number, row in enumerate(distinct):
            yield tuple(map(_level, self._columns, row)), numbers.ravel() == number

    def calibration(self, codes, scores, rate, warns):
        """Scores and threshold of each group that has rows enough for a rate.

        Parameters
        ----------
        codes : int ndarray of shape (m, n_names)
            Of the rows that calibrate.
        scores : ndarray of shape (m,)
            Theirs, higher for more normal rows.
        rate : float
        warns : bool
            Whether to name the groups that have too few.

        Returns
        -------
        group_scores : dict of tuple to ndarray
            In ascending order.
        group_offsets : dict of tuple to float

        References
        ----------
        Vovk, "Conditional validity of inductive conformal predictors", 2012, arXiv:1209.2673.
        """
        own = {group: np.sort(scores[rows]) for group, rows in self.part(codes)}
        offsets = {group: threshold(of_group, rate) for group, of_group in own.items()}
        few = [group for group, offset in offsets.items() if offset is None]
        if few and warns:
            n_needed = int(np.ceil(round(1 / rate, 9))) - 1
            warnings.warn(
                f"{len(few)} of {len(own)} groups have fewer than the {n_needed} calibration rows "
                f"that false_alarm_rate={rate} needs: {listed(few)}. The threshold of all rows "
                "serves them. Fit more rows or with cv=5, or raise false_alarm_rate.",
                CalibrationWarning,
                stacklevel=2,
            )
        enough = [group for group in own if group not in few]
        return (
            {group: own[group] for group in enough},
            {group: below_tie(offsets[group], own[group]) for group in enough},
        )


def _level(column, code):
    if code < 0:
        return None
    if not column.levels:
        return bool(code)
    return column.levels[code] if code < len(column.levels) else _UNSEEN
