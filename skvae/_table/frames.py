"""DataFrames of pandas, polars and Arrow as one kind."""

import pandas as pd

__all__ = ["as_pandas", "dtype_name", "dtype_named"]

# Dtypes with a place for a hole, by the name that Arrow has for the type.
NULLABLE = {
    f"{sign}int{size}": f"{sign.upper()}Int{size}" for sign in ("", "u") for size in (8, 16, 32, 64)
}
NULLABLE |= {"bool": "boolean"}
ARROW_TEXT = "arrow_string"  # pandas calls two dtypes of text string[pyarrow]


def as_pandas(X):
    """X as a pandas DataFrame, or None if it is no DataFrame; pandas, polars or Arrow."""
    if hasattr(X, "iloc") and hasattr(X, "columns"):
        return X
    if hasattr(X, "get_columns"):  # polars
        return pd.DataFrame({series.name: _polars_cells(series) for series in X.get_columns()})
    if hasattr(X, "column_names") and hasattr(X, "to_pandas"):  # Arrow
        return X.to_pandas(types_mapper=_nullable)
    if hasattr(X, "collect_schema"):
        raise TypeError("X is a polars LazyFrame: pass X.collect().")
    return None


def dtype_name(dtype):
    """Name of a dtype that `dtype_named` knows."""
    is_text = isinstance(dtype, pd.ArrowDtype) and str(dtype) == "string[pyarrow]"
    return ARROW_TEXT if is_text else str(dtype)


def dtype_named(name):
    """Dtype of a name that `dtype_name` gave."""
    if name != ARROW_TEXT:
        return pd.api.types.pandas_dtype(name)
    import pyarrow

    return pd.ArrowDtype(pyarrow.string())


def _nullable(arrow):
    name = NULLABLE.get(str(arrow))
    return name and pd.api.types.pandas_dtype(name)


def _polars_cells(series):
    """Cells of a polars column, in the dtype of pandas that is the most like its own."""
    dtype = series.dtype
    if str(dtype).startswith(("Struct", "Array", "List")):
        raise TypeError(
            f"Column {series.name!r} holds {dtype}, not one value a row. Split it, for example by "
            "X.unnest, or leave it out."
        )
    if str(dtype).startswith("Enum"):
        return pd.Categorical(series.to_list(), dtype.categories.to_list(), ordered=True)
    if str(dtype).startswith("Categorical"):
        return pd.Categorical(series.to_list())
    if dtype.is_decimal() or str(dtype).endswith("Int128"):
        return pd.Series(series.to_list(), dtype=object)
    is_flag = str(dtype) == "Boolean"
    if (dtype.is_integer() or is_flag) and series.has_nulls():
        whole = series.fill_null(False if is_flag else 0).to_numpy()
        cells = pd.array(whole, "boolean" if is_flag else str(dtype))
        cells[series.is_null().to_numpy()] = pd.NA
        return cells
    return series.to_numpy()
