"""Tables: a DataFrame or an array becomes numbers, a mask of observed cells, and back.

Nothing here knows torch. Columns are encoded by domain: `DOMAINS` says how each is
written as numbers. The model's columns are grouped by noise model; everything public is in
the user's order.
"""

from dataclasses import dataclass, field, replace
from itertools import groupby
from numbers import Integral
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.utils import check_array

__all__ = ["Column", "EncodedTable", "RawTable", "TableEncoder", "as_pandas", "read_table"]

# A cell this many units from its column's centre is scored as if it were there: its
# square is still a number.
FARTHEST = 1e100
FARTHEST_IN_UNIT = 10.0  # ranges of the middle 90 % of a column, for its own unit
LARGEST = np.finfo(np.float64).max
LARGEST_COUNT_EXPONENT = 53  # float64 tells whole numbers up to here from their neighbours
SMALLEST_SPREAD = 1e-12  # of the column's largest value; less is rounding error


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
    is_frame : bool
        Whether it was a DataFrame.
    """

    values: np.ndarray
    names: list
    kinds: list
    levels: list
    dtypes: list
    is_frame: bool

    def take(self, rows):
        """Return some of the rows, given as positions or a slice."""
        return self._replace(values=self.values[rows])

    def factorize(self, j):
        """Positions of a column's cells among its levels, -1 where missing; and the levels."""
        if self.levels[j] is None:
            codes, levels = pd.factorize(self.values[:, j], sort=True)
            return codes, levels.astype(object)
        return np.nan_to_num(self.values[:, j], nan=-1).astype(np.int64), self.levels[j]


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
    """How one column is encoded: x = (curve(z * spread) * scale + loc) * 2**exponent.

    Attributes
    ----------
    name : str or int
        The column's name, or its position in an array.
    likelihood : str
        Name of its noise model.
    kind : {"number", "integer", "boolean", "category", "ordered"}
        What it was read as.
    dtype : dtype or None
        That of a DataFrame's column of levels.
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
    n_observed : int
        Cells with a level in training.
    """

    name: object
    likelihood: str
    kind: str = "number"
    dtype: object = field(default=None, repr=False)
    exponent: int = 0
    loc: float = 0.0
    scale: float = 1.0
    spread: float = 1.0
    levels: tuple = field(default=(), repr=False)
    n_codes: int = 1
    n_observed: int = 0


UNIT = ("exponent", "loc", "scale", "spread")


class TableEncoder:
    """Encoding of a table's columns, learned from training rows.

    Parameters
    ----------
    families : dict of str to str
        Domain, a key of `DOMAINS`, of each noise model; their order groups the columns.
    min_frequency : int, float or None, default=None
        Count, or share of the observed cells, below which a level is infrequent.
    max_categories : int or None, default=None
        Upper limit to the probabilities of a column's levels; all infrequent levels
        together have one.
    missing : {"ignore", "model"}, default="ignore"
        Whether the model is to learn where cells are missing.

    Attributes
    ----------
    columns_ : list of Column
        In the user's order.
    order_ : ndarray of shape (n_columns,)
        Position in the user's table of each of the model's columns.
    masked_ : ndarray of shape (n_masked,)
        Columns whose holes are modelled too: with ``missing="model"`` those that had some
        in training. Each adds a flag, 1 where the cell is missing, after the model's
        columns.

    Examples
    --------
    >>> import numpy as np
    >>> raw = read_table(np.array([[1.0, 0.0], [3.0, 1.0]]))
    >>> encoder = TableEncoder({"gaussian": "real", "bernoulli": "binary"})
    >>> encoder.fit(raw, ["gaussian", "bernoulli"]).encode(raw).values
    array([[-1.,  0.],
           [ 1.,  1.]])
    """

    def __init__(self, families, *, min_frequency=None, max_categories=None, missing="ignore"):
        self.families = families
        self.min_frequency = min_frequency
        self.max_categories = max_categories
        self.missing = missing

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
        self.columns_ = [
            Column(name, likelihood, kind, dtype)
            for name, likelihood, kind, dtype in zip(
                raw.names, likelihoods, raw.kinds, raw.dtypes, strict=True
            )
        ]
        self.check(raw, is_fitting=True)
        for j, domain in enumerate(self._domains):
            if domain.order_levels is None:
                self._note(j, zip(UNIT, domain.unit(raw.values[:, j]), strict=True))
            else:
                self._note(j, self._levels(*raw.factorize(j), domain))
        rank = list(self.families).index
        keys = [(rank(column.likelihood), column.n_codes) for column in self.columns_]
        self.order_ = np.array(sorted(range(len(keys)), key=keys.__getitem__))
        has_holes = np.isnan(raw.values).any(axis=0)
        self.masked_ = np.flatnonzero(has_holes & (self.missing == "model"))
        return self._note_units()

    @property
    def _domains(self):
        return [DOMAINS[self.families[column.likelihood]] for column in self.columns_]

    def blocks(self):
        """Columns in the model's order, grouped: by noise model and number of codes.

        Returns
        -------
        blocks : list of (str, list of Column)
            Name of the noise model and its columns.
        """
        columns = [self.columns_[j] for j in self.order_]
        columns += [Column(self.columns_[j].name, "bernoulli", "boolean") for j in self.masked_]
        groups = groupby(columns, key=lambda column: (column.likelihood, column.n_codes))
        return [(name, list(group)) for (name, _), group in groups]

    def have_intervals(self):
        """By block: whether what is expected of a cell has an interval; list of bool."""
        return [DOMAINS[self.families[name]].has_interval for name, _ in self.blocks()]

    def _note(self, j, fields):
        self.columns_[j] = replace(self.columns_[j], **dict(fields))

    def _levels(self, codes, levels, domain):
        """Levels of a column in order, and how many have a probability of their own."""
        counts = np.bincount(codes[codes >= 0], minlength=len(levels))
        order = domain.order_levels(counts)
        order = order[counts[order] > 0]
        n_codes = len(order)
        if domain.may_share:
            least = self.min_frequency or 0
            least = least if isinstance(least, Integral) else least * counts.sum()
            frequent = int((counts[order] >= least).sum())
            n_codes = min(n_codes, frequent + 1, self.max_categories or n_codes)
        return {
            "levels": tuple(levels[order].tolist()),
            "n_codes": max(1, n_codes),
            "n_observed": int(counts.sum()),
        }

    def _note_units(self):
        units = [[getattr(column, name) for name in UNIT] for column in self.columns_]
        exponents, self._locs, self._scales, self._spreads = np.array(units, dtype=float).T
        self._exponents = exponents.astype(np.int32)
        slopes = np.log(self._scales) + exponents * np.log(2.0) + np.log(self._spreads)
        self._log_slopes = np.where([d.is_continuous for d in self._domains], -slopes, 0.0)
        return self

    def check(self, raw, is_fitting=False):
        """Raise for values that do not fit their column's noise model.

        Parameters
        ----------
        raw : RawTable
            With the columns of the training table.
        is_fitting : bool, default=False
            Whether the noise model can still be another one.

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
            fits = raw.kinds[j] in domain.kinds or column.levels  # any level may be unseen
            values = raw.values[:, j]
            wrong = domain.excludes(values) if fits else ~np.isnan(values)
            if wrong.any():
                row = int(np.argmax(wrong))
                cell = f"{values[row]:g}" if fits else repr(raw.levels[j][int(values[row])])
                raise ValueError(
                    f"Column {column.name!r}: the {column.likelihood!r} likelihood needs "
                    f"{domain.needs}. Got {cell} in row {row}. "
                    + (_other_model(column.name, fits) if is_fitting else _other_cells(fits))
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
        for j, domain in enumerate(self._domains):
            if domain.order_levels is not None:
                values[:, j] = self._positions(raw, j)
            elif domain.curve is not LINE:
                values[:, j] = domain.curve.straighten(values[:, j]) / self._spreads[j]
        holes = np.isnan(raw.values[:, self.masked_])
        values = np.column_stack([np.take(values, self.order_, axis=1), holes])
        observed = ~np.isnan(values)
        return EncodedTable(np.where(observed, values, 0.0), observed)

    def _positions(self, raw, j):
        """Position of each cell's level among the column's; NaN where missing."""
        codes, levels = raw.factorize(j)
        known = _index(self.columns_[j].levels)
        positions = known.get_indexer(_index(levels)).astype(float)
        positions[positions < 0] = len(known)
        return np.append(positions, np.nan)[codes]

    def log_jacobian(self, values):
        """Log of dz/dx of each cell in nats, 0 for columns whose scores are masses.

        It is what a density of encoded values gains on the way to the column's own units.
        A new unit of a column adds the same to all rows.

        Parameters
        ----------
        values : ndarray of shape (n, n_columns)
            Encoded cells in the model's order, 0 where not observed.

        Returns
        -------
        log_jacobian : float64 ndarray of shape (n, n_columns)
            In the user's order.
        """
        values = self.in_user_order(values)
        slopes = np.tile(self._log_slopes, (len(values), 1))
        for j, domain in enumerate(self._domains):
            if domain.curve is not LINE:
                slopes[:, j] += domain.curve.log_slope(values[:, j] * self._spreads[j])
        return slopes

    def decode(self, values):
        """Cells in the columns' own units, in the user's order.

        Parameters
        ----------
        values : ndarray of shape (n, n_columns)
            Encoded cells in the model's order.

        Returns
        -------
        cells : ndarray of shape (n, n_columns)
            float64, or object where a column's levels are no numbers.
        """
        values = self.in_user_order(values)
        for j, domain in enumerate(self._domains):
            if domain.curve is not LINE:
                values[:, j] = domain.curve.bend(values[:, j] * self._spreads[j])
        with np.errstate(over="ignore"):  # what overflows becomes the largest number
            cells = np.ldexp(values * self._scales + self._locs, self._exponents)
        cells = cells.clip(-LARGEST, LARGEST)
        levels = [
            None if domain.order_levels is None else column.levels
            for column, domain in zip(self.columns_, self._domains, strict=True)
        ]
        cells = _with_levels(cells, levels)
        are_numbers = all(column.kind in _NUMBERS for column in self.columns_)
        return cells.astype(np.float64, copy=False) if are_numbers else cells

    def in_container(self, cells, index=None):
        """Cells in the user's order as the kind of table that was fitted."""
        if not self._is_frame:
            return cells
        frame = pd.DataFrame(cells, columns=[column.name for column in self.columns_], index=index)
        for j, column in enumerate(self.columns_):
            frame.isetitem(j, _CASTS[column.kind](frame.iloc[:, j], column.dtype))
        return frame

    def in_user_order(self, by_column):
        """Columns from the model's order to the user's, without the flags of holes."""
        return np.take(by_column, np.argsort(self.order_), axis=1)

    def add_by_column(self, terms):
        """Terms in the user's order, each with that of the column's flag of holes."""
        by_column = self.in_user_order(terms)
        by_column[:, self.masked_] += terms[:, len(self.order_) :]
        return by_column

    def fill(self, raw, values, index=None):
        """Put decoded cells into the holes of a table.

        Parameters
        ----------
        raw : RawTable
        values : ndarray of shape (n, n_columns)
            Encoded cells in the model's order.
        index : pandas.Index, default=None

        Returns
        -------
        table : ndarray or DataFrame of shape (n, n_columns)
            In the container that was fitted. Flags and whole numbers are rounded.
        """
        guesses = self._rounded(self.decode(values))
        cells = _with_levels(raw.values, raw.levels)
        return self.in_container(np.where(np.isnan(raw.values), guesses, cells), index)

    def rows(self, values):
        """Rows in the container that was fitted, of cells as the model encodes them."""
        return self.in_container(self._rounded(self.decode(values)))

    def _rounded(self, cells):
        for j, (column, domain) in enumerate(zip(self.columns_, self._domains, strict=True)):
            is_whole = not domain.is_continuous or column.kind == "integer"
            if is_whole and domain.order_levels is None:
                cells[:, j] = np.rint(cells[:, j].astype(np.float64))
        return cells

    def expected(self, raw, cells, index=None):
        """Lay out what is expected of each cell beside how sure that is.

        Parameters
        ----------
        raw : RawTable
        cells : ndarray of shape (n, n_columns, 4)
            Encoded cells in the model's order: best guesses, the ends of intervals, and
            probabilities of what is observed.
        index : pandas.Index, default=None

        Returns
        -------
        frame : DataFrame
            Of each column "expected", as it is filled in, then "lower" and "upper", or
            "probability".
        """
        guesses, lower, upper, probability = np.moveaxis(cells, -1, 0)
        emptied = raw._replace(values=np.full_like(raw.values, np.nan))
        expected = self.fill(emptied, guesses, index)
        if not self._is_frame:
            expected = pd.DataFrame(expected, index=index).infer_objects()
        of_all = {
            "lower": self.decode(lower),
            "upper": self.decode(upper),
            "probability": self.in_user_order(probability),
        }
        parts, keys = [], []
        for j, (column, domain) in enumerate(zip(self.columns_, self._domains, strict=True)):
            fields = ("lower", "upper") if domain.has_interval else ("probability",)
            parts.append(expected.iloc[:, j])
            for field_ in fields:
                values = of_all[field_][:, j].astype(np.float64)
                parts.append(pd.Series(values, index=expected.index))
            keys += [(column.name, field_) for field_ in ("expected", *fields)]
        frame = pd.concat(parts, axis=1)
        names, fields = zip(*keys, strict=True)
        frame.columns = pd.MultiIndex.from_arrays(
            [_index(names), fields], names=["column", "field"]
        )
        return frame


def _other_model(name, are_numbers):
    """Way out for a column of training rows."""
    if are_numbers:
        return f"Use likelihoods={{{name!r}: 'gaussian'}}."
    return f"Use pandas.to_numeric if it is a number, else likelihoods={{{name!r}: 'categorical'}}."


def _other_cells(are_numbers):
    """Way out for a column of rows to score."""
    remedy = "Make the cell missing" if are_numbers else "Use pandas.to_numeric"
    return f"{remedy}, or fit anew with rows of this kind."


def _with_levels(cells, levels):
    """Put levels in place of their positions; `levels` holds None for other columns."""
    if all(own is None for own in levels):
        return cells
    with_levels = cells.astype(object)
    for j, own in enumerate(levels):
        if own is not None:
            known = np.append(_index(own).to_numpy(), [np.nan])  # the last one for holes
            with_levels[:, j] = known[np.nan_to_num(cells[:, j], nan=-1).astype(np.int64)]
    return with_levels


def _index(levels):
    return pd.Index(levels, dtype=object, tupleize_cols=False)


def _as_levels(cells, dtype):
    """Levels as the column's dtype, or as objects if one is unknown to it."""
    typed = cells.astype(dtype)
    return cells.astype(object) if (typed.isna() & ~cells.isna()).any() else typed


# How a DataFrame's column of each kind is given back.
_CASTS = {
    "number": lambda cells, dtype: cells.astype(np.float64),
    "integer": lambda cells, dtype: cells.astype(np.float64),
    "boolean": lambda cells, dtype: cells.astype(np.float64) >= 0.5,
    "category": _as_levels,
    "ordered": _as_levels,
}


class Curve(NamedTuple):
    """A strictly rising function that columns are bent by, after centring and scaling.

    Attributes
    ----------
    straighten, bend : callable, (n,) -> (n,)
        The function, and its inverse.
    log_slope : callable, (n,) -> (n,)
        Log of the derivative of `straighten` where it has these values.
    """

    straighten: object
    bend: object
    log_slope: object


LARGEST_EXPONENT = 700.0  # of e, in a float64

LINE = Curve(np.positive, np.positive, np.zeros_like)
LOGARITHM = Curve(
    lambda u: np.log(u.clip(1 / FARTHEST)),
    lambda w: np.exp(w.clip(-LARGEST_EXPONENT, LARGEST_EXPONENT)),
    np.negative,
)
INVERSE_SINH = Curve(
    np.arcsinh,
    lambda w: np.sinh(w.clip(-LARGEST_EXPONENT, LARGEST_EXPONENT)),
    lambda w: np.log(2.0) - np.logaddexp(w, -w),
)


class Domain(NamedTuple):
    """How the columns of some noise models are written as numbers.

    Attributes
    ----------
    needs : str
        What belongs to the domain, for the error message.
    kinds : tuple of str
        Kinds of columns that may.
    excludes : callable, (n,) -> bool ndarray
        Which values of such columns do not.
    unit : callable, (n,) -> (exponent, loc, scale, spread)
    curve : Curve
    is_continuous : bool
        Whether the noise models have densities; else they have masses.
    order_levels : callable, counts -> positions, or None
        Order in which the levels of categories are numbered.
    may_share : bool
        Whether infrequent levels may share one probability.
    has_interval : bool
        Whether what is expected of a cell has an interval; else a probability.
    """

    needs: str
    kinds: tuple
    excludes: object
    unit: object
    curve: Curve = LINE
    is_continuous: bool = True
    order_levels: object = None
    may_share: bool = False
    has_interval: bool = True


def _real_unit(values):
    """Exponent, mean and standard deviation, without overflow or underflow."""
    exponent, values = _near_1(values)
    if len(values) == 0:
        return 0, 0.0, 1.0, 1.0
    if values.min() == values.max():
        return exponent, float(values[0]), float(abs(values[0])) or 1.0, 1.0
    low, high = np.quantile(values, [0.05, 0.95])
    if low < high:  # a few wild cells must not make all others look alike
        farthest = FARTHEST_IN_UNIT * (high - low)
        smaller, values = _near_1(values.clip(low - farthest, high + farthest))
        exponent += smaller
    loc = float(values.mean())
    scale = float(np.sqrt(np.square(values - loc).mean()))
    return exponent, loc, max(scale, SMALLEST_SPREAD), 1.0


def _positive_unit(values):
    """Geometric mean, and the standard deviation of the logarithms."""
    logs = np.log2(values[values > 0])
    if len(logs) == 0:
        return 0, 0.0, 1.0, 1.0
    exponent = round(float(logs.mean()))
    scale = 2.0 ** float((logs - exponent).mean())
    spread = float(logs.std()) * np.log(2.0)
    return exponent, 0.0, scale, spread if spread > SMALLEST_SPREAD else 1.0


def _spiked_unit(values):
    """Most frequent value, median distance from it, and the spread of the others."""
    exponent, values = _near_1(values)
    if len(values) == 0:
        return 0, 0.0, 1.0, 1.0
    distinct, counts = np.unique(values, return_counts=True)
    spike = float(distinct[counts.argmax()])
    distances = values[values != spike] - spike
    if len(distances) == 0:
        return exponent, spike, abs(spike) or 1.0, 1.0
    scale = float(np.median(np.abs(distances)))
    spread = float(np.sqrt(np.square(np.arcsinh(distances / scale)).mean()))
    return exponent, spike, scale, spread


def _count_unit(values):
    """Power of two near the mean: the counts stay whole numbers of it, without rounding."""
    mean = np.nanmean(values) if not np.isnan(values).all() else 0.0
    return min(max(0, int(np.frexp(mean)[1]) - 1), LARGEST_COUNT_EXPONENT), 0.0, 1.0, 1.0


def _no_unit(values):
    return 0, 0.0, 1.0, 1.0


def _near_1(values):
    """Exponent of the largest value, and the values that are there divided by that power."""
    values = values[~np.isnan(values)]
    largest = np.abs(values).max(initial=0.0)
    exponent = int(np.frexp(largest)[1]) - 1 if largest > 0 else 0
    return exponent, np.ldexp(values, -exponent)  # within [-2, 2], without any rounding


def _nothing(values):
    return np.zeros(len(values), dtype=bool)


def _by_frequency(counts):
    return np.argsort(-counts, kind="stable")


def _as_they_come(counts):
    return np.arange(len(counts))


_NUMBERS = ("number", "integer", "boolean")
DOMAINS = {
    "real": Domain("numbers", _NUMBERS, _nothing, _real_unit),
    "positive": Domain(
        "numbers above 0", _NUMBERS, lambda values: values <= 0, _positive_unit, LOGARITHM
    ),
    "spiked": Domain("numbers", _NUMBERS, _nothing, _spiked_unit, INVERSE_SINH),
    "binary": Domain(
        "values 0 and 1",
        _NUMBERS,
        lambda values: (values != 0) & (values != 1) & ~np.isnan(values),
        _no_unit,
        is_continuous=False,
        has_interval=False,
    ),
    "count": Domain(
        "whole numbers from 0 on",
        _NUMBERS,
        lambda values: (values < 0) | (values % 1 > 0),
        _count_unit,
        is_continuous=False,
    ),
    "category": Domain(
        "levels",
        (*_NUMBERS, "category", "ordered"),
        _nothing,
        _no_unit,
        is_continuous=False,
        order_levels=_by_frequency,
        may_share=True,
        has_interval=False,
    ),
    "ordered": Domain(
        "numbers or an ordered pandas.Categorical",
        (*_NUMBERS, "ordered"),
        _nothing,
        _no_unit,
        is_continuous=False,
        order_levels=_as_they_come,
        has_interval=False,
    ),
}


class _Cells(NamedTuple):
    """One column as read: see `RawTable`."""

    values: np.ndarray
    kind: str
    levels: object = None


def read_table(X, *, min_rows=1):
    """Numbers of a DataFrame or array-like, NaN where missing.

    Parameters
    ----------
    X : array-like or DataFrame of shape (n, n_columns)
        Numbers, booleans, strings and categories; a pandas or polars DataFrame.
    min_rows : int, default=1

    Returns
    -------
    raw : RawTable

    Raises
    ------
    ValueError
        If X is not two-dimensional, has too few rows, holds an infinite value, or a
        column of dates or complex numbers.
    TypeError
        If X is sparse, masked or no table, or a cell is neither number nor string.
    """
    if sparse.issparse(X):
        raise TypeError(
            "Sparse input is not supported: skvae needs a dense table. If it fits in memory, "
            "use X.toarray()."
        )
    if isinstance(X, np.ma.MaskedArray):
        raise TypeError(
            "Masked arrays are not supported: skvae takes NaN for a missing cell. Use "
            "X.astype(float).filled(np.nan)."
        )
    frame = as_pandas(X)
    if frame is not None:
        _check_names(frame.columns)
        columns = [_read_series(name, series) for name, series in frame.items()]
        names = list(frame.columns)
        dtypes = [_returned(*pair) for pair in zip(columns, frame.dtypes, strict=True)]
        numbers = np.column_stack([c.values for c in columns])
    else:
        columns, numbers = _read_array(X)
        names, dtypes = list(range(len(columns))), [None] * len(columns)
    values = check_array(
        numbers, dtype=np.float64, ensure_all_finite=False, ensure_min_samples=min_rows
    )
    extremes = np.fmin.reduce(values, axis=None), np.fmax.reduce(values, axis=None)
    if np.isinf(extremes).any():
        row, j = np.argwhere(np.isinf(values))[0]
        raise ValueError(
            f"Column {names[j]!r} contains infinity: {values[row, j]} in row {row}. Replace it "
            "by NaN if the value is missing."
        )
    kinds, levels = [c.kind for c in columns], [c.levels for c in columns]
    return RawTable(values, names, kinds, levels, dtypes, frame is not None)


def as_pandas(X):
    """X as a pandas DataFrame, or None if it is no DataFrame; pandas or polars."""
    if hasattr(X, "iloc") and hasattr(X, "columns"):
        return X
    if hasattr(X, "get_columns"):  # polars
        return pd.DataFrame({series.name: _polars_cells(series) for series in X.get_columns()})
    if hasattr(X, "collect_schema"):
        raise TypeError("X is a polars LazyFrame: pass X.collect().")
    return None


def _polars_cells(series):
    cells = series.to_numpy()
    if cells.ndim > 1:
        raise TypeError(
            f"Column {series.name!r} holds {series.dtype}, not one value a row. Split it, for "
            "example by X.unnest, or leave it out."
        )
    if series.dtype.is_integer() and cells.dtype.kind == "f":  # it has holes
        return pd.array(cells, "UInt64" if series.dtype.is_unsigned_integer() else "Int64")
    return cells


def _check_names(names):
    """Raise for a table without columns, and for names that two columns share."""
    if len(names) == 0:
        raise ValueError("X has 0 columns. Pass one at least.")
    if not names.is_unique:
        name = names[names.duplicated()][0]
        places = ", ".join(map(str, np.flatnonzero(names == name)))
        raise ValueError(f"Column {name!r} occurs more than once, at {places}. Rename the others.")


def _returned(column, dtype):
    """Dtype that levels are given back in: their categories, or what the dtype's name tells."""
    if column.kind in _NUMBERS:
        return None
    if isinstance(dtype, pd.CategoricalDtype):
        return dtype
    try:
        return pd.api.types.pandas_dtype(str(dtype))
    except (TypeError, ValueError, NotImplementedError):  # an Arrow dictionary
        return np.dtype(object)


def _read_array(X):
    """Columns of an array-like, and what scikit-learn is to check."""
    array = np.asarray(X)
    if array.ndim < 2 and array.dtype.kind in "OV":
        raise TypeError(
            "X must be a table of rows and columns, such as a DataFrame or a two-dimensional "
            f"array. Got an object of type {type(X).__name__}. If its columns have names, use "
            "pandas.DataFrame(X)."
        )
    if array.ndim != 2:
        return [], X
    if array.dtype.kind in "biufc":
        kind = "boolean" if array.dtype.kind == "b" else "number"
        return [_Cells(None, kind)] * array.shape[1], X
    _refuse_kind(0, array.dtype)
    # Read again: among strings the numbers of a list have become strings too.
    cells = np.asarray(X, dtype=object)
    columns = [_read_objects(j, cells[:, j], "number") for j in range(cells.shape[1])]
    return columns, np.column_stack([c.values for c in columns])


def _read_series(name, series):
    dtype = series.dtype
    _refuse_kind(name, dtype)
    if isinstance(dtype, pd.CategoricalDtype):
        _refuse_kind(name, dtype.categories.dtype)
        codes = series.cat.codes.to_numpy().astype(np.float64)
        kind = "ordered" if dtype.ordered else "category"
        levels = series.cat.categories.to_numpy(dtype=object)
        return _Cells(np.where(codes < 0, np.nan, codes), kind, levels)
    if dtype.kind in "biuf":
        kind = {"b": "boolean", "f": "number"}.get(dtype.kind, "integer")
        return _Cells(series.to_numpy(dtype=np.float64, na_value=np.nan), kind)
    if isinstance(dtype, pd.StringDtype) and series.isna().all():
        return _Cells(np.full(len(series), np.nan), "category", np.empty(0, dtype=object))
    return _read_objects(name, series.to_numpy(dtype=object), "integer")


def _read_objects(name, cells, kind_of_integers):
    """Numbers of Python objects, or positions of their levels if some are strings."""
    content = pd.api.types.infer_dtype(cells, skipna=True)
    if content.startswith(("date", "time", "period")):
        _refuse_dates(name, content)
    missing = pd.isna(cells)
    is_text = np.array([isinstance(cell, (str, bytes)) for cell in cells], dtype=bool)
    if not is_text.any():
        kind = {"boolean": "boolean", "integer": kind_of_integers}.get(content, "number")
        return _Cells(_as_numbers(name, np.where(missing, np.nan, cells)), kind)
    _as_numbers(name, np.where(missing | is_text, np.nan, cells))
    codes, levels = pd.factorize(np.where(missing, None, cells))
    return _Cells(np.where(codes < 0, np.nan, codes), "category", levels)


def _as_numbers(name, cells):
    try:
        return cells.astype(np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        row = next(row for row, cell in enumerate(cells) if not _is_number(cell))
        raise TypeError(
            f"Column {name!r}: a cell must be a number below {LARGEST:.1e} or a string. Got "
            f"{repr(cells[row])[:80]} in row {row}."
        ) from error


def _is_number(cell):
    if np.ndim(cell) > 0:
        return False
    try:
        float(cell)
    except (TypeError, ValueError, OverflowError):
        return False
    return True


def _refuse_kind(name, dtype):
    if dtype.kind in "mM" or isinstance(dtype, pd.PeriodDtype):
        _refuse_dates(name, dtype)
    if dtype.kind == "c":
        raise ValueError(f"Column {name!r} holds complex numbers. Split it into two real ones.")


def _refuse_dates(name, dtype):
    raise ValueError(
        f"Column {name!r} holds dates or durations ({dtype}). Turn it into a number, for "
        "example days since a fixed date, or leave it out."
    )
