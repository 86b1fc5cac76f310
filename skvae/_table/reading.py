"""A DataFrame or an array becomes numbers, a mask of observed cells and levels."""

from datetime import date, time, timedelta
from decimal import Decimal
from numbers import Integral
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.utils import check_array

from .columns import LARGEST, LARGEST_WHOLE, NUMBERS, RawTable
from .frames import as_pandas, dtype_name, dtype_named

__all__ = ["read_table"]


DATES = (date, time, timedelta, np.datetime64, np.timedelta64, pd.Period)
COMPLEX = (complex, np.complexfloating)
BYTES = (bytes, bytearray, memoryview, np.void)
OF_OBJECTS = {"number": float, "integer": np.int64, "boolean": bool}
LEVELS = (str, int, float, np.generic, pd.Interval, tuple)  # which files can hold


class _Cells(NamedTuple):
    """One column as read: see `RawTable`."""

    values: np.ndarray
    kind: str
    levels: object = None
    exact: object = None


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
        header = list(frame.columns.names)
        names, series = list(frame.columns), [_without_dictionary(s) for _, s in frame.items()]
        columns = [_read_series(*pair) for pair in zip(names, series, strict=True)]
        dtypes = [_returned(c, s.dtype) for c, s in zip(columns, series, strict=True)]
        numbers = np.column_stack([c.values for c in columns])
    else:
        columns, numbers = _read_array(X)
        names, dtypes, header = list(range(len(columns))), [None] * len(columns), [None]
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
    kinds, levels, exact = ([getattr(c, part) for c in columns] for part in _Cells._fields[1:])
    return RawTable(values, names, kinds, levels, dtypes, exact, frame is not None, header)


def _check_names(names):
    """Raise for a table without columns, and for names that two columns share."""
    if len(names) == 0:
        raise ValueError("X has 0 columns. Pass one at least.")
    nameless = [not isinstance(name, tuple) and pd.isna(name) for name in names]
    if any(nameless):
        raise ValueError(
            f"The column at {nameless.index(True)} has no name. Give it one, for example by "
            "X.rename(columns=str)."
        )
    if not names.is_unique:
        name = names[names.duplicated()][0]
        places = ", ".join(map(str, np.flatnonzero(names == name)))
        raise ValueError(f"Column {name!r} occurs more than once, at {places}. Rename the others.")


def _returned(column, dtype):
    """Dtype that cells are given back in, as its name tells it."""
    if isinstance(dtype, pd.CategoricalDtype):
        return dtype
    if isinstance(dtype, np.dtype) and dtype.kind == "O" and column.kind in OF_OBJECTS:
        return np.dtype(OF_OBJECTS[column.kind])
    try:
        return dtype_named(dtype_name(dtype))
    except (TypeError, ValueError, NotImplementedError):  # Arrow's decimals
        return np.dtype(np.float64 if column.kind in NUMBERS else object)


def _read_array(X):
    """Columns of an array-like, and what scikit-learn is to check."""
    array = _as_array(X)
    if array.ndim < 2 and array.dtype.kind in "OV":
        raise TypeError(
            "X must be a table of rows and columns, such as a DataFrame or a two-dimensional "
            f"array. Got an object of type {type(X).__name__}. If its columns have names, use "
            "pandas.DataFrame(X)."
        )
    if array.ndim != 2:
        return [], X
    if array.dtype.kind in "mM":
        _refuse_dates(0, array.dtype)
    if array.dtype.kind == "c":
        _refuse_complex(int(np.argmax(array.imag.any(axis=0))))
    is_list_of_large = not hasattr(X, "dtype") and array.dtype.kind == "f" and _is_large(array)
    if array.dtype.kind in "biuf" and not is_list_of_large:
        kind = "boolean" if array.dtype.kind == "b" else "number"
        return [_Cells(None, kind, exact=_exact(column)) for column in array.T], X
    # Read again: among strings the numbers of a list have become strings too.
    cells = np.asarray(X, dtype=object)
    columns = [_read_objects(j, cells[:, j], "number") for j in range(cells.shape[1])]
    return columns, np.column_stack([c.values for c in columns])


def _as_array(X):
    try:
        return np.asarray(X)
    except ValueError as error:
        sizes = [np.size(row) if np.ndim(row) == 0 else len(row) for row in X]
        row = next((row for row, size in enumerate(sizes) if size != sizes[0]), None)
        what = "a cell holds several values"
        if row is not None:
            what = f"row 0 has {sizes[0]} cells, and row {row} has {sizes[row]}"
        raise ValueError(f"X must be a table of rows and columns, but {what}.") from error


def _without_dictionary(series):
    """Categories of pandas in the place of Arrow's."""
    if isinstance(series.dtype, pd.ArrowDtype) and str(series.dtype).startswith("dictionary"):
        return series.array.__arrow_array__().to_pandas()
    return series


def _read_series(name, series):
    dtype = series.dtype
    _refuse_kind(name, dtype)
    if isinstance(dtype, pd.CategoricalDtype):
        _refuse_kind(name, dtype.categories.dtype)
        codes = series.cat.codes.to_numpy().astype(np.float64)
        kind = "ordered" if dtype.ordered else "category"
        levels = series.cat.categories.to_numpy(dtype=object)
        _check_levels(name, levels)
        return _Cells(np.where(codes < 0, np.nan, codes), kind, levels)
    if dtype.kind in "biuf":
        kind = {"b": "boolean", "f": "number"}.get(dtype.kind, "integer")
        values = series.to_numpy(dtype=np.float64, na_value=np.nan)
        return _Cells(values, kind, exact=_exact(series) if kind == "integer" else None)
    if isinstance(dtype, pd.StringDtype) and series.isna().all():
        return _Cells(np.full(len(series), np.nan), "category", np.empty(0, dtype=object))
    return _read_objects(name, series.to_numpy(dtype=object), "integer")


def _read_objects(name, cells, kind_of_integers):
    """Numbers of Python objects, or positions of their levels if some are strings."""
    _check_objects(name, cells)
    content = pd.api.types.infer_dtype(cells, skipna=True)
    missing = pd.isna(cells)
    is_text = np.array([isinstance(cell, str) for cell in cells], dtype=bool)
    if not is_text.any():
        kind = {"boolean": "boolean", "integer": kind_of_integers}.get(content, "number")
        values = _as_numbers(name, np.where(missing, np.nan, cells))
        return _Cells(values, kind, exact=_exact_objects(values, cells, missing))
    _as_numbers(name, np.where(missing | is_text, np.nan, cells))
    codes, levels = pd.factorize(np.where(missing, None, cells))
    return _Cells(np.where(codes < 0, np.nan, codes), "category", levels)


def _is_large(values):
    return bool((values > LARGEST_WHOLE).any() or (values < -LARGEST_WHOLE).any())


def _exact(integers):
    """Integers as objects, None where missing, if float64 may round one; else None."""
    if integers.dtype.kind not in "iu" or not _is_large(integers):
        return None
    cells = np.array(integers, dtype=object)
    return np.where(pd.isna(cells), None, cells)


def _exact_objects(values, cells, missing):
    large = np.abs(values) > LARGEST_WHOLE
    if not any(isinstance(cell, Integral) for cell in cells[large]):
        return None
    return np.where(missing, None, cells)


def _check_objects(name, cells):
    """Raise for cells that numpy and pandas would take for something else, or fail at."""
    for kind in set(map(type, cells)) - {type(pd.NaT)}:
        row = next(row for row, cell in enumerate(cells) if type(cell) is kind)
        if issubclass(kind, DATES):
            _refuse_dates(name, kind.__name__, row)
        if issubclass(kind, COMPLEX):
            _refuse_complex(name, row)
        if issubclass(kind, BYTES):
            raise TypeError(
                f"Column {name!r} holds bytes: {cells[row]!r:.80} in row {row}. Make text of it, "
                "for example by .str.decode('utf-8')."
            )
        if issubclass(kind, Decimal):
            row = next((row for row, cell in enumerate(cells) if _is_signal(cell)), None)
            if row is not None:
                _refuse_cell(name, cells, row)


def _is_signal(cell):
    return isinstance(cell, Decimal) and cell.is_snan()


def _check_levels(name, levels):
    """Raise for levels that are no numbers, texts or intervals of such."""
    for level in levels:
        _check_objects(name, [level])
        if not isinstance(getattr(level, "left", level), LEVELS):
            raise TypeError(
                f"Column {name!r}: a level must be a number, a string or an interval. Got "
                f"{level!r:.80}. Use .cat.rename_categories(str)."
            )


def _as_numbers(name, cells):
    try:
        return cells.astype(np.float64)
    except (TypeError, ValueError, ArithmeticError) as error:
        row = next(row for row, cell in enumerate(cells) if not _is_number(cell))
        _refuse_cell(name, cells, row, error)


def _refuse_cell(name, cells, row, error=None):
    raise TypeError(
        f"Column {name!r}: a cell must be a number below {LARGEST:.1e} or a string. Got "
        f"{repr(cells[row])[:80]} in row {row}."
    ) from error


def _is_number(cell):
    if np.ndim(cell) > 0:
        return False
    try:
        float(cell)
    except (TypeError, ValueError, ArithmeticError):
        return False
    return True


def _refuse_kind(name, dtype):
    if dtype.kind in "mM" or isinstance(dtype, pd.PeriodDtype):
        _refuse_dates(name, dtype)
    if dtype.kind == "c":
        _refuse_complex(name)


def _refuse_complex(name, row=None):
    where = "" if row is None else f" in row {row}"
    raise ValueError(
        f"Column {name!r} holds complex numbers{where}. Complex data not supported: split it into "
        "two columns."
    )


def _refuse_dates(name, dtype, row=None):
    where = "" if row is None else f" in row {row}"
    raise ValueError(
        f"Column {name!r} holds dates or durations ({dtype}){where}. Turn it into a number, for "
        "example days since a fixed date, or leave it out."
    )
