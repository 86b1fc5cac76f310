"""A table and one more column."""

import pandas as pd

from .frames import as_pandas
from .reading import read_table

__all__ = ["with_column"]


def with_column(X, name, cells):
    """Table with a further column, as a DataFrame whose columns are named by strings.

    Parameters
    ----------
    X : array-like or DataFrame of shape (n, n_columns)
    name : str
        Underscores follow where X has a column of that name.
    cells : array-like of shape (n,)

    Returns
    -------
    table : DataFrame of shape (n, n_columns + 1)
        Cells are read as those of X. Columns whose names are no strings are "x0", "x1", ...
    """
    frame = as_pandas(X)
    if frame is None:
        raw = read_table(X)
        frame = pd.DataFrame({j: raw.cells(j) for j in range(len(raw.names))})
    if not all(isinstance(label, str) for label in frame):
        frame = frame.set_axis([f"x{j}" for j in range(frame.shape[1])], axis=1)
    while name in frame:
        name += "_"
    return frame.assign(**{name: cells})
