"""A DataFrame or an array becomes numbers, a mask of observed cells and levels."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.utils import check_array

from .columns import LARGEST, NUMBERS, RawTable

__all__ = ["as_pandas", "read_table"]


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
        Numbers, booleans, strings and categories; a pandas or polars DataFrame, or an Arrow table.
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
    """X as a pandas DataFrame, or None if it is no DataFrame; pandas, polars or Arrow."""
    if hasattr(X, "iloc") and hasattr(X, "columns"):
        return X
    if hasattr(X, "get_columns"):  # polars
        return pd.DataFrame({series.name: _polars_cells(series) for series in X.get_columns()})
    if hasattr(X, "column_names") and hasattr(X, "to_pandas"):  # Arrow
        return X.to_pandas(integer_object_nulls=True)
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
    if names.hasnans:
        raise ValueError(
            f"The column at {int(np.argmax(names.isna()))} has no name. Give it one, for example "
            "by X.rename(columns=str)."
        )
    if not names.is_unique:
        name = names[names.duplicated()][0]
        places = ", ".join(map(str, np.flatnonzero(names == name)))
        raise ValueError(f"Column {name!r} occurs more than once, at {places}. Rename the others.")


def _returned(column, dtype):
    """Dtype that levels are given back in: their categories, or what the dtype's name tells."""
    if column.kind in NUMBERS:
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
