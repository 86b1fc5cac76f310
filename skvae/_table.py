"""Tables: a DataFrame or an array becomes numbers, a mask of observed cells, and back.

Nothing here knows torch. Columns are encoded by domain: "real" ones are centred and
scaled, "binary" ones stay 0 and 1. The model's columns are grouped by noise model;
everything public is in the user's order.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.utils import check_array

__all__ = ["Column", "EncodedTable", "RawTable", "TableEncoder", "read_table"]

# A cell this many units from its column's centre is scored as if it were there: its
# square is still a number.
FARTHEST = 1e100
FARTHEST_IN_UNIT = 10.0  # ranges of the middle 90 % of a column, for its own unit
SMALLEST_SPREAD = 1e-12  # of the column's largest value; less is rounding error


class RawTable(NamedTuple):
    """A table as read.

    Attributes
    ----------
    values : float64 ndarray of shape (n, n_columns)
        NaN where missing.
    names : list
        Column names, or positions for arrays.
    boolean : list of bool
        Which columns hold booleans.
    is_frame : bool
        Whether it was a DataFrame.
    """

    values: np.ndarray
    names: list
    boolean: list
    is_frame: bool

    def take(self, rows):
        """Return some of the rows, given as positions or a slice."""
        return self._replace(values=self.values[rows])


class EncodedTable(NamedTuple):
    """A table as the model takes it, its columns grouped by noise model.

    Attributes
    ----------
    values : float64 ndarray of shape (n, n_columns)
        Encoded cells, 0 where not observed.
    observed : bool ndarray of shape (n, n_columns)
    """

    values: np.ndarray
    observed: np.ndarray

    def take(self, rows):
        """Return some of the rows, given as positions or a slice."""
        return EncodedTable(self.values[rows], self.observed[rows])


@dataclass(frozen=True)
class Column:
    """How one column is encoded: x = (z * scale + loc) * 2**exponent.

    Attributes
    ----------
    name : str or int
        The column's name, or its position in an array.
    likelihood : str
        Name of its noise model.
    boolean : bool
        Whether it was read as booleans.
    exponent : int
        Power of two near its largest absolute value.
    loc, scale : float
        Mean and standard deviation of its training values after division by
        ``2**exponent``, the wildest moved to ten times the range of the middle 90 % from
        it; 0 and 1 for binary columns. The scale of a column that never
        varies is its own absolute value, or 1 if that is 0.
    """

    name: object
    likelihood: str
    boolean: bool
    exponent: int
    loc: float
    scale: float


class TableEncoder:
    """Encoding of a table's columns, learned from training rows.

    Parameters
    ----------
    families : dict of str to str
        Domain ("real" or "binary") of each noise model; their order groups the columns.

    Attributes
    ----------
    columns_ : list of Column
        In the user's order.
    order_ : ndarray of shape (n_columns,)
        Position in the user's table of each of the model's columns.
    log_jacobian_ : ndarray of shape (n_columns,)
        Log of dz/dx of each of the user's columns in nats: what a density of encoded
        values gains on the way to the column's own units.

    Examples
    --------
    >>> import numpy as np
    >>> raw = read_table(np.array([[1.0, 0.0], [3.0, 1.0]]))
    >>> encoder = TableEncoder({"gaussian": "real", "bernoulli": "binary"})
    >>> encoder.fit(raw, ["gaussian", "bernoulli"]).encode(raw).values
    array([[-1.,  0.],
           [ 1.,  1.]])
    """

    def __init__(self, families):
        self.families = families

    def __repr__(self):
        columns = ", ".join(f"{c.name}: {c.likelihood}" for c in self.columns_)
        return f"TableEncoder({columns})"

    def fit(self, raw, likelihoods):
        """Learn the encoding.

        Parameters
        ----------
        raw : RawTable
        likelihoods : list of str
            Name of each column's noise model.

        Returns
        -------
        self : TableEncoder

        Raises
        ------
        ValueError
            If a column holds values outside its noise model's domain.
        """
        self._is_frame = raw.is_frame
        self._domains = [DOMAINS[self.families[name]] for name in likelihoods]
        rank = list(self.families).index
        self.order_ = np.argsort([rank(name) for name in likelihoods], kind="stable")
        self.columns_ = [
            Column(name, likelihood, boolean, *domain.unit(values))
            for name, likelihood, boolean, domain, values in zip(
                raw.names, likelihoods, raw.boolean, self._domains, raw.values.T, strict=True
            )
        ]
        self.check(raw)
        units = [(column.exponent, column.loc, column.scale) for column in self.columns_]
        exponents, self._locs, self._scales = np.array(units).T
        self._exponents = exponents.astype(np.int32)
        self.log_jacobian_ = -(np.log(self._scales) + exponents * np.log(2.0))
        return self

    def check(self, raw):
        """Raise for values that do not fit their column's noise model.

        Parameters
        ----------
        raw : RawTable
            With the columns of the training table.

        Raises
        ------
        ValueError
            If a DataFrame's columns have other names than those of a DataFrame that was
            fitted, or a column holds values outside its noise model's domain.
        """
        names = [column.name for column in self.columns_]
        if raw.is_frame and self._is_frame and raw.names != names:
            raise ValueError(
                f"The columns should be those seen in fit, in the same order: {names}. Got "
                f"{raw.names} instead."
            )
        for j, (column, domain) in enumerate(zip(self.columns_, self._domains, strict=True)):
            wrong = domain.excludes(raw.values[:, j])
            if wrong.any():
                row = int(np.argmax(wrong))
                raise ValueError(
                    f"Column {column.name!r}: the {column.likelihood!r} likelihood needs "
                    f"{domain.needs}. Got {raw.values[row, j]:g} in row {row}. "
                    f"Use likelihoods={{{column.name!r}: 'gaussian'}}."
                )

    def encode(self, raw):
        """Numbers that the model takes.

        Parameters
        ----------
        raw : RawTable
            Checked, with the columns of the training table.

        Returns
        -------
        table : EncodedTable
        """
        with np.errstate(over="ignore"):  # what overflows is clipped
            values = np.ldexp(raw.values, -self._exponents)
            values = ((values - self._locs) / self._scales).clip(-FARTHEST, FARTHEST)
        values = np.take(values, self.order_, axis=1)
        observed = ~np.isnan(values)
        return EncodedTable(np.where(observed, values, 0.0), observed)

    def decode(self, values):
        """Cells in the columns' own units, in the user's order.

        Parameters
        ----------
        values : ndarray of shape (n, n_columns)
            Encoded cells in the model's order.

        Returns
        -------
        cells : float64 ndarray of shape (n, n_columns)
        """
        values = self.in_user_order(values)
        return np.ldexp(values * self._scales + self._locs, self._exponents)

    def in_container(self, cells):
        """Cells in the user's order as the kind of table that was fitted."""
        if not self._is_frame:
            return cells
        frame = pd.DataFrame(cells, columns=[column.name for column in self.columns_])
        for j, column in enumerate(self.columns_):
            if column.boolean:
                frame.isetitem(j, cells[:, j] >= 0.5)
        return frame

    def in_user_order(self, by_column):
        """Columns from the model's order to the user's; (n, n_columns) -> the same."""
        return np.take(by_column, np.argsort(self.order_), axis=1)


class Domain(NamedTuple):
    """How the columns of some noise models are written as numbers.

    Attributes
    ----------
    unit : callable, (n,) -> (exponent, loc, scale)
    excludes : callable, (n,) -> bool ndarray
        Which values do not belong to the domain.
    needs : str
        What does, for the error message.
    """

    unit: object
    excludes: object
    needs: str


def _real_unit(values):
    """Exponent, mean and standard deviation, without overflow or underflow."""
    values = values[~np.isnan(values)]
    largest = np.abs(values).max(initial=0.0)
    if largest == 0.0:
        return 0, 0.0, 1.0
    exponent = int(np.frexp(largest)[1]) - 1
    values = np.ldexp(values, -exponent)  # within [-2, 2], without any rounding
    if values.min() == values.max():
        return exponent, float(values[0]), float(abs(values[0]))
    low, high = np.quantile(values, [0.05, 0.95])
    if low < high:  # a few wild cells must not make all others look alike
        farthest = FARTHEST_IN_UNIT * (high - low)
        values = values.clip(low - farthest, high + farthest)
    loc = float(values.mean())
    scale = float(np.sqrt(np.square(values - loc).mean()))
    return exponent, loc, max(scale, SMALLEST_SPREAD)


def _binary_unit(values):
    return 0, 0.0, 1.0


def _no_number(values):
    return np.zeros(0, dtype=bool)


def _neither_0_nor_1(values):
    return (values != 0) & (values != 1) & ~np.isnan(values)


DOMAINS = {
    "real": Domain(_real_unit, _no_number, "numbers"),
    "binary": Domain(_binary_unit, _neither_0_nor_1, "values 0 and 1"),
}


def read_table(X, *, min_rows=1):
    """Numbers of a DataFrame or array-like, NaN where missing.

    Parameters
    ----------
    X : array-like or DataFrame of shape (n, n_columns)
        Numbers and booleans.
    min_rows : int, default=1

    Returns
    -------
    raw : RawTable

    Raises
    ------
    ValueError
        If X is not two-dimensional, has too few rows, holds an infinite value, or a
        column that is neither numeric nor boolean.
    TypeError
        If X is sparse, or a cell is no number.
    """
    if sparse.issparse(X):
        raise TypeError(
            "Sparse input is not supported: skvae needs a dense table. If it fits in memory, "
            "use X.toarray()."
        )
    is_frame = hasattr(X, "iloc") and hasattr(X, "columns")
    numbers = _frame_numbers(X) if is_frame else _array_numbers(X)
    values = check_array(
        numbers, dtype=np.float64, ensure_all_finite=False, ensure_min_samples=min_rows
    )
    n_columns = values.shape[1]
    names = list(X.columns) if is_frame else list(range(n_columns))
    dtypes = list(X.dtypes) if is_frame else [getattr(X, "dtype", None)] * n_columns
    extremes = np.fmin.reduce(values, axis=None), np.fmax.reduce(values, axis=None)
    if np.isinf(extremes).any():
        row, j = np.argwhere(np.isinf(values))[0]
        raise ValueError(
            f"Column {names[j]!r} contains infinity: {values[row, j]} in row {row}. Replace it "
            "by NaN if the value is missing."
        )
    boolean = [getattr(dtype, "kind", "") == "b" for dtype in dtypes]
    for j in np.flatnonzero([is_frame and dtype.kind == "O" for dtype in dtypes]):
        boolean[j] = pd.api.types.infer_dtype(X.iloc[:, j], skipna=True) == "boolean"
    return RawTable(values, names, boolean, is_frame)


def _frame_numbers(X):
    X = X.copy(deep=False)
    for j, (name, dtype) in enumerate(zip(X.columns, X.dtypes, strict=True)):
        if dtype.kind in "biuf":
            continue
        _refuse_kind(name, dtype)
        cells = X.iloc[:, j].to_numpy(dtype=object)
        X.isetitem(j, _object_numbers(cells[:, None], [name]).ravel())
    return X.to_numpy(dtype=np.float64, na_value=np.nan)


def _array_numbers(X):
    array = np.asarray(X)
    if array.ndim != 2 or array.dtype.kind in "biufc":
        return X
    _refuse_kind(0, array.dtype)
    # Read again: among strings the numbers of a list have become strings too.
    return _object_numbers(np.asarray(X, dtype=object), range(array.shape[1]))


def _refuse_kind(name, dtype):
    if dtype.kind in "mM":
        raise ValueError(
            f"Column {name!r} holds dates or durations ({dtype}). Turn it into a number, for "
            "example days since a fixed date, or leave it out."
        )
    if dtype.kind == "c":
        raise ValueError(f"Column {name!r} holds complex numbers. Split it into two real ones.")
    if str(dtype) == "category":
        raise ValueError(
            f"Column {name!r} is categorical. Encode it, for example by OneHotEncoder, or leave "
            "it out."
        )


def _object_numbers(cells, names):
    """Numbers of Python objects; strings raise, for float("1") would read them."""
    for j, name in enumerate(names):
        for row, cell in enumerate(cells[:, j]):
            if isinstance(cell, (str, bytes)):
                raise ValueError(
                    f"Column {name!r} holds strings: {cell!r} in row {row}. Turn them into "
                    "numbers or booleans, or leave the column out."
                )
    cells = np.where(pd.isna(cells), np.nan, cells)
    try:
        return cells.astype(np.float64)
    except TypeError as error:
        wrong = [at for at, cell in np.ndenumerate(cells) if not hasattr(cell, "__float__")]
        where = "".join(f"Column {names[j]!r} in row {row}: " for row, j in wrong[:1])
        raise TypeError(f"{where}{error}") from error
