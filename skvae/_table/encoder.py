"""The encoding of a table's columns, learned from training rows."""

from dataclasses import replace
from itertools import count, groupby

import numpy as np
import pandas as pd

from .columns import LARGEST, UNIT, Column, EncodedTable, at_positions, index_of
from .containers import as_frame, stacked
from .domains import DOMAINS, FARTHEST
from .misfits import check_cells

__all__ = ["TableEncoder"]


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
    unknown_ : ndarray of shape (n_unknown,)
        Columns without a single cell in training, of which nothing is known: all their cells
        count as missing.
    masked_ : ndarray of shape (n_masked,)
        Columns whose holes are modelled too: with ``missing="model"`` those that had some
        in training. Each adds a flag, 1 where the cell is missing, after the model's
        columns.

    Examples
    --------
    >>> import numpy as np
    >>> from skvae._table import TableEncoder, read_table
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

    def fit(self, raw, likelihoods, rows=slice(None), context=()):
        """Learn the encoding.

        Parameters
        ----------
        raw : RawTable
        likelihoods : list of str
            Name of each column's noise model.
        rows : positions or slice, default=all
            Those to learn from; all are checked.
        context : collection of column names
            Columns that the others are given.

        Returns
        -------
        self : TableEncoder

        Raises
        ------
        ValueError
            If a column holds values outside its noise model's domain, or no cell is observed.
        """
        self._is_frame, self.header = raw.is_frame, raw.header
        self.columns_ = [
            Column(name, likelihood, kind, dtype, is_context=name in context)
            for name, likelihood, kind, dtype in zip(
                raw.names, likelihoods, raw.kinds, raw.dtypes, strict=True
            )
        ]
        self.check(raw, is_fitting=True)
        raw = raw.take(rows)
        for j, domain in enumerate(self._domains):
            fields = domain.learn(raw, j, self.min_frequency, self.max_categories)
            self.columns_[j] = replace(self.columns_[j], **fields)
        rank = list(self.families).index
        keys = [(c.is_context, rank(c.likelihood), c.n_codes) for c in self.columns_]
        self.order_ = np.array(sorted(range(len(keys)), key=keys.__getitem__))
        holes = np.isnan(raw.values)
        self.unknown_ = np.flatnonzero(holes.all(axis=0))
        if (holes | self._are_context).all():
            raise ValueError("X has no observed cell: there is nothing to learn from it.")
        has_some = holes.any(axis=0) & ~holes.all(axis=0) & ~self._are_context
        self.masked_ = np.flatnonzero(has_some & (self.missing == "model"))
        return self._keep_units()

    @property
    def _domains(self):
        return [DOMAINS[self.families[column.likelihood]] for column in self.columns_]

    @property
    def context_(self):
        """Positions of the columns that the others are given; ndarray of shape (n_context,)."""
        return np.flatnonzero(self._are_context)

    @property
    def _are_context(self):
        return np.array([column.is_context for column in self.columns_])

    def _bent(self):
        """Position, column and domain of each column that is more than centred and scaled."""
        columns = zip(count(), self.columns_, self._domains)
        return [(j, column, domain) for j, column, domain in columns if not domain.is_linear]

    def blocks(self):
        """Columns in the model's order, grouped: by noise model, number of codes, and context.

        Returns
        -------
        blocks : list of (str, list of Column)
            Name of the noise model and its columns.
        """
        columns = [self.columns_[j] for j in self.order_]
        columns += [Column(self.columns_[j].name, "bernoulli", "boolean") for j in self.masked_]
        groups = groupby(columns, key=lambda c: (c.likelihood, c.n_codes, c.is_context))
        return [(name, list(group)) for (name, *_), group in groups]

    def have_intervals(self):
        """By block: whether what is expected of a cell has an interval; list of bool."""
        return [
            DOMAINS[self.families[name]].has_interval and not columns[0].is_context
            for name, columns in self.blocks()
        ]

    def _keep_units(self):
        units = [[getattr(column, name) for name in UNIT] for column in self.columns_]
        exponents, self._locs, self._scales, self._spreads = np.array(units, dtype=float).T
        self._exponents = exponents.astype(np.int32)
        slopes = np.log(self._scales) + exponents * np.log(2.0) + np.log(self._spreads)
        are_dense = [domain.is_continuous for domain in self._domains] & ~self._are_context
        self._log_slopes = np.where(are_dense, -slopes, 0.0)
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
        check_cells(self.columns_, self._domains, raw, is_fitting)

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
        half = self._exponents // 2  # in two steps: the power itself may overflow
        with np.errstate(over="ignore"):  # what overflows is clipped
            values = self._counted(raw) * 2.0**-half
            values *= 2.0 ** (half - self._exponents)
            values -= self._locs
            values /= self._scales
            values.clip(-FARTHEST, FARTHEST, out=values)
        for j, column, domain in self._bent():
            values[:, j] = domain.encode(values[:, j], raw, j, column)
        values[:, self.unknown_] = np.nan
        if (np.diff(self.order_) < 0).any():
            values = np.take(values, self.order_, axis=1)
        if len(self.masked_) > 0:
            values = np.column_stack([values, np.isnan(raw.values[:, self.masked_])])
        observed = ~np.isnan(values)
        np.copyto(values, 0.0, where=~observed)
        return EncodedTable(values, observed)

    def _counted(self, raw):
        """Numbers, those of columns that have an origin counted from it."""
        if all(column.origin == 0 for column in self.columns_):
            return raw.values
        return np.column_stack(
            [raw.numbers(j, each.origin) for j, each in enumerate(self.columns_)]
        )

    def are_empty(self, raw):
        """Which rows have no cell, and no hole that is modelled, that is scored; (n,)."""
        if len(self.masked_) > 0:
            return np.zeros(len(raw.values), dtype=bool)
        holes = np.isnan(raw.values)
        holes[:, self.unknown_] = True
        holes |= self._are_context
        return holes.all(axis=1)

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
        for j, column, domain in self._bent():
            if not column.is_context:
                slopes[:, j] += domain.log_slope(values[:, j], column)
        return slopes

    def decode(self, values, given=None):
        """Cells in the columns' own units, in the user's order.

        Parameters
        ----------
        values : ndarray of shape (n, n_columns)
            Encoded cells in the model's order.
        given : RawTable, default=None
            Whose context it is; None for none.

        Returns
        -------
        cells : ndarray of shape (n, n_columns)
            float64, or object where a column's levels are no numbers.
        """
        return stacked(self.columns_, self._decoded(values, given))

    def _decoded(self, values, given=None, rounded=False):
        """Cells of each column in its own unit; list of ndarray of shape (n,)."""
        values = self.in_user_order(values)
        for j, column, domain in self._bent():
            values[:, j] = domain.decode(values[:, j], column)
        with np.errstate(over="ignore"):  # what overflows becomes the largest number
            cells = np.ldexp(values * self._scales + self._locs, self._exponents)
        cells = cells.clip(-LARGEST, LARGEST)
        own = []
        for j, (column, domain) in enumerate(zip(self.columns_, self._domains, strict=True)):
            of_column = cells[:, j]
            if column.is_context:
                own.append(np.full(len(values), np.nan) if given is None else given.cells(j))
                continue
            if domain.levels_of(column) is not None:
                of_column = at_positions(column.levels, of_column)
            elif rounded and domain.is_whole(column):
                of_column = np.rint(of_column)
            own.append(_from_origin(of_column, column.origin))
        return own

    def in_container(self, cells, index=None):
        """Cells in the user's order as the kind of table that was fitted."""
        return self._contained(list(cells.T), index)

    def _contained(self, own, index, observed=None):
        """Cells of each column as the kind of table that was fitted."""
        if not self._is_frame:
            return stacked(self.columns_, own)
        header = self.header
        return as_frame(self.columns_, own, header=header, index=index, observed=observed)

    def in_user_order(self, by_column):
        """Columns from the model's order to the user's, without the flags of holes."""
        return np.take(by_column, np.argsort(self.order_), axis=1)

    def add_by_column(self, terms):
        """Terms in the user's order, each with that of the column's flag of holes."""
        by_column = self.in_user_order(terms)
        by_column[:, self.masked_] += terms[:, len(self.order_) :]
        return by_column

    def fill(self, raw, values, index=None, changed=None):
        """Put decoded cells into a table.

        Parameters
        ----------
        raw : RawTable
        values : ndarray of shape (n, n_columns)
            Encoded cells in the model's order.
        index : pandas.Index, default=None
        changed : bool ndarray of shape (n, n_columns), default=None
            Where: by default in holes.

        Returns
        -------
        table : ndarray or DataFrame of shape (n, n_columns)
            In the container that was fitted. Flags and whole numbers are rounded.
        """
        kept = ~np.isnan(raw.values) if changed is None else ~changed
        own = [
            np.where(kept[:, j], raw.cells(j), guesses)
            for j, guesses in enumerate(self._decoded(values, raw, rounded=True))
        ]
        return self._contained(own, index, kept)

    def rows(self, values, given=None):
        """Rows in the container that was fitted, of cells as the model encodes them.

        Parameters
        ----------
        values : ndarray of shape (n, n_columns)
        given : RawTable, default=None
            Whose context it is; None for none.
        """
        kept = np.tile(self._are_context, (len(values), 1))
        return self._contained(self._decoded(values, given, rounded=True), None, kept)

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
            "lower": self._decoded(lower),
            "upper": self._decoded(upper),
            "probability": self.in_user_order(probability).T,
        }
        parts, keys = [], []
        for j, (column, domain) in enumerate(zip(self.columns_, self._domains, strict=True)):
            if column.is_context:
                continue
            fields = ("lower", "upper") if domain.has_interval else ("probability",)
            parts.append(expected.iloc[:, j])
            for field_ in fields:
                values = of_all[field_][j].astype(np.float64)
                parts.append(pd.Series(values, index=expected.index))
            keys += [(column.name, field_) for field_ in ("expected", *fields)]
        frame = pd.concat(parts, axis=1)
        names, fields = zip(*keys, strict=True)
        frame.columns = pd.MultiIndex.from_arrays(
            [index_of(names), fields], names=["column", "field"]
        )
        return frame


def _from_origin(cells, origin):
    """Cells that were counted from an origin, as integers of Python."""
    if origin == 0:
        return cells
    return np.array([round(cell) + origin for cell in cells.tolist()], dtype=object)
