"""Tables as read and as encoded, and how one column is."""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pandas as pd

__all__ = [
    "LARGEST",
    "LARGEST_WHOLE",
    "NUMBERS",
    "UNIT",
    "Column",
    "EncodedTable",
    "RawTable",
    "at_positions",
    "header_of",
    "index_of",
]


LARGEST = np.finfo(np.float64).max
LARGEST_WHOLE = 2**53  # float64 tells whole numbers up to here from their neighbours


class RawTable(NamedTuple):
    """A table as read.

    Attributes
    ----------
    values : float64 ndarray of shape (n, n_columns)
        NaN where missing; for categories positions in `levels`.
    names : list
        Column names, or positions for arrays.
    kinds : list of {"number", "integer", "boolean", "category", "ordered"}
        What each column holds.
    levels : list of (object ndarray or None)
        Of each column of categories; in their order where that is "ordered".
    dtypes : list
        Of a DataFrame's columns; None for arrays.
    exact : list of (object ndarray of shape (n,) or None)
        Cells of each column of numbers that holds integers beyond 2**53, None where missing.
    is_frame : bool
        Whether it was a DataFrame.
    header : list
        Names of the levels of a DataFrame's column labels, mostly one that is None.
    """

    values: np.ndarray
    names: list
    kinds: list
    levels: list
    dtypes: list
    exact: list
    is_frame: bool
    header: list

    @property
    def labels(self):
        """Index of the names, as that of the DataFrame."""
        return header_of(self.names, self.header)

    def take(self, rows):
        """Return some of the rows, given as positions or a slice."""
        exact = [None if cells is None else cells[rows] for cells in self.exact]
        return self._replace(values=self.values[rows], exact=exact)

    def factorize(self, j):
        """Positions of a column's cells among its levels, -1 where missing; and the levels."""
        if self.levels[j] is None:
            cells = self.values[:, j] if self.exact[j] is None else self.exact[j]
            codes, levels = pd.factorize(cells, sort=True)
            return codes, levels.astype(object)
        return np.nan_to_num(self.values[:, j], nan=-1).astype(np.int64), self.levels[j]

    def largest_share(self, j):
        """Share of a column's observed cells that hold the most frequent value; 1 of none."""
        codes, _ = self.factorize(j)
        counts = np.bincount(codes[codes >= 0])
        return counts.max() / counts.sum() if len(counts) > 0 else 1.0

    def numbers(self, j, origin=0):
        """Cells of a column less an origin, without rounding before; (n,)."""
        cells = self.values[:, j] if self.exact[j] is None else self.exact[j]
        if origin == 0:
            return self.values[:, j]
        return np.array([np.nan if cell is None else cell - origin for cell in cells], dtype=float)

    def cells(self, j):
        """Cells of a column as they were read; (n,)."""
        if self.levels[j] is not None:
            return at_positions(self.levels[j], self.values[:, j])
        return self.values[:, j] if self.exact[j] is None else self.exact[j]


class EncodedTable(NamedTuple):
    """A table as the model takes it, its columns grouped by noise model.

    Attributes
    ----------
    values : float64 ndarray of shape (n, n_columns + n_masked)
        Encoded cells, 0 where not observed; then the flags of modelled holes.
    observed : bool ndarray of shape (n, n_columns + n_masked)
    """

    values: np.ndarray
    observed: np.ndarray

    def take(self, rows):
        """Return some of the rows, given as positions or a slice."""
        return EncodedTable(self.values[rows], self.observed[rows])


@dataclass(frozen=True)
class Column:
    """How one column is encoded: x = (curve(z * spread) * scale + loc) * 2**exponent + origin.

    Attributes
    ----------
    name : str or int
        The column's name, or its position in an array.
    likelihood : str
        Name of its noise model.
    kind : {"number", "integer", "boolean", "category", "ordered"}
        What it was read as.
    dtype : dtype or None
        That of a DataFrame's column, in which it is given back.
    origin : int
        A cell in the middle of a column of integers beyond 2**53, from which the others are
        counted; else 0.
    exponent : int
        Power of two near its largest absolute value; of counts, near their mean.
    loc, scale : float
        Of real columns the mean and standard deviation of the training values after
        division by ``2**exponent``, the wildest moved to ten times the range of the middle
        90 % from it. The scale of a column that never varies is its own
        absolute value, or 1 if that is 0. Of positive columns 0 and the geometric mean, of
        spiked ones the value that repeats and the median distance of all others from it;
        else 0 and 1.
    spread : float
        Root mean square of the curved values: of the logarithms of positive columns, of
        the inverse hyperbolic sines of spiked ones without the spike; else 1.
    levels : tuple
        Of categories, the most frequent first, or in their order: the cell is encoded as
        the position in it, an unseen level as its length.
    n_codes : int
        How many probabilities its levels have: the levels from the last code on share one.
    n_observed, n_missing : int
        Cells with a level in training, and without one.
    is_context : bool
        Whether the others are given it, and it is not scored itself.
    """

    name: object
    likelihood: str
    kind: str = "number"
    dtype: object = field(default=None, repr=False)
    origin: int = 0
    exponent: int = 0
    loc: float = 0.0
    scale: float = 1.0
    spread: float = 1.0
    levels: tuple = field(default=(), repr=False)
    n_codes: int = 1
    n_observed: int = 0
    n_missing: int = 0
    is_context: bool = False


UNIT = ("exponent", "loc", "scale", "spread")
NUMBERS = ("number", "integer", "boolean")


def index_of(levels):
    """Give levels as an index that tells apart what pandas would not."""
    return pd.Index(levels, dtype=object, tupleize_cols=False)


def header_of(names, header):
    """Column labels of some names, given the names of their levels."""
    if len(header) > 1:
        return pd.MultiIndex.from_tuples(names, names=header)
    return pd.Index(names, tupleize_cols=False, name=header[0])


def at_positions(levels, positions):
    """Levels in place of their positions, NaN in place of NaN; object (n,)."""
    known = np.append(index_of(levels).to_numpy(), [np.nan])  # the last one for holes
    return known[np.nan_to_num(positions, nan=-1).astype(np.int64)]
