"""Cells in the container and in the dtypes that the user passed."""

import numpy as np
import pandas as pd

from .columns import NUMBERS, header_of, index_of

__all__ = ["as_frame", "stacked"]


def stacked(columns, own):
    """Cells as one array, of numbers where all columns hold such.

    Parameters
    ----------
    columns : list of Column
    own : list of ndarray of shape (n,)
        Cells of each.

    Returns
    -------
    cells : ndarray of shape (n, n_columns)
        float64, or object where levels are no numbers, or integers are beyond 2**53.
    """
    are_numbers = all(column.kind in NUMBERS and column.origin == 0 for column in columns)
    return np.column_stack(own) if are_numbers else _objects(own)


def _objects(own):
    cells = np.empty((len(own[0]), len(own)), dtype=object)
    for j, of_column in enumerate(own):
        cells[:, j] = of_column
    return cells


def as_frame(columns, own, *, header, index=None, observed=None):
    """Cells as a DataFrame, each column in the dtype that was fitted.

    Parameters
    ----------
    columns : list of Column
    own : list of ndarray of shape (n,)
        Cells of each.
    header : list
        As in `RawTable`.
    index : pandas.Index, default=None
    observed : bool ndarray of shape (n, n_columns), default=None
        Cells that must not change; where the dtype has no place for one, the column is
        given as it is. None: no cell.

    Returns
    -------
    frame : DataFrame of shape (n, n_columns)
    """
    if observed is None:
        observed = np.zeros((len(own[0]), len(columns)), dtype=bool)
    parts = [
        _typed(column, cells, observed[:, j])
        for j, (column, cells) in enumerate(zip(columns, own, strict=True))
    ]
    frame = pd.concat(parts, axis=1)
    frame.columns = header_of([column.name for column in columns], header)
    return frame if index is None else frame.set_axis(index)


def _typed(column, cells, observed):
    """Cells of a column in its dtype, or as they are where that would change an observed one."""
    holes = pd.isna(cells)
    filled = np.where(holes, 0, cells) if column.kind in NUMBERS else cells
    observed = observed & ~holes
    try:
        typed = pd.Series(CASTS[column.kind](filled, column.dtype)).astype(column.dtype)
        if not observed.any() or _equal(typed.to_numpy(object)[observed], cells[observed]):
            return typed.mask(holes) if holes.any() else typed
    except (TypeError, ValueError, ArithmeticError, NotImplementedError):  # there is no such cast
        pass
    return pd.Series(cells, dtype=cells.dtype)


def _equal(cells, others):
    return np.array_equal(cells, others.astype(object))


def _real(cells, dtype):
    low, high = _ends(dtype)
    return cells.astype(np.float64).clip(low, high)


def _whole(cells, dtype):
    """Integers, those beyond the dtype's ends moved there."""
    low, high = _ends(dtype)
    if cells.dtype == object:
        return np.array([min(max(round(cell), low), high) for cell in cells], dtype=object)
    high = np.nextafter(float(high), 0) if float(high) > high else high
    return np.rint(cells).clip(low, high).astype(np.int64 if low < 0 else np.uint64)


def _ends(dtype):
    """Smallest and largest number of a dtype; of integers where it tells none."""
    plain = getattr(dtype, "numpy_dtype", getattr(dtype, "subtype", dtype))
    if plain.kind == "f":
        return float(np.finfo(plain).min), float(np.finfo(plain).max)
    info = np.iinfo(plain if plain.kind in "iu" else np.int64)
    return int(info.min), int(info.max)


def _flags(cells, dtype):
    return cells.astype(np.float64) >= 0.5


def _levels(cells, dtype):
    if isinstance(dtype, pd.CategoricalDtype):
        unknown = index_of(cells).difference(dtype.categories, sort=False)
        if len(unknown) > 0:
            raise ValueError(f"{unknown[0]!r} is none of the categories")
    return pd.Series(cells, dtype=object)


# What a DataFrame's column of each kind is made of, before its dtype.
CASTS = {
    "number": _real,
    "integer": _whole,
    "boolean": _flags,
    "category": _levels,
    "ordered": _levels,
}
