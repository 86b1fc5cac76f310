"""Rows of which the context alone is known."""

import numpy as np

from .columns import RawTable
from .reading import read_table

__all__ = ["given_rows"]


def given_rows(table, context, n):
    """Table in which the cells of the context are observed, and no others.

    Parameters
    ----------
    table : TableEncoder
    context : array-like or DataFrame of shape (m, n_context or more), or None
        A DataFrame is read by its names, an array in the order of the table.
    n : int or None
        Rows; None for as many as the context has, or 1 where nothing is context.

    Returns
    -------
    raw : RawTable

    Raises
    ------
    ValueError
        If the context is missing, or is not that which was fitted, or has neither 1 row nor n.
    """
    columns = [table.columns_[j] for j in table.context_]
    names = [column.name for column in columns]
    if (context is None) != (len(names) == 0):
        raise ValueError(
            f"Rows are given {names}: pass context=, with a cell of each in every row."
            if names
            else "No column was fitted as context: leave context= out, or fit with context=[...]."
        )
    given, places = None, []
    if names:
        given = read_table(context)
        places = _places(given, names)
        n = len(given.values) if n is None else n
        if len(given.values) not in (1, n):
            raise ValueError(
                f"The context has {len(given.values)} rows where {n} are to be made. Pass 1 or {n}."
            )
    return _rows(table, given, places, 1 if n is None else n)


def _places(given, names):
    """Positions of the context's columns in a table."""
    if given.is_frame:
        for name in names:
            if name not in given.names:
                raise ValueError(
                    f"The context has no column {name!r}. It was fitted as {names}, and has "
                    f"{given.names}."
                )
        return [given.names.index(name) for name in names]
    if len(given.names) != len(names):
        raise ValueError(
            f"The context has {len(given.names)} columns where {len(names)} were fitted: {names}."
        )
    return list(range(len(names)))


def _rows(table, given, places, n):
    n_columns = len(table.columns_)
    values, exact = np.full((n, n_columns), np.nan), [None] * n_columns
    kinds = [column.kind for column in table.columns_]
    levels = [np.empty(0, dtype=object) if c.levels else None for c in table.columns_]
    for j, place in zip(table.context_, places, strict=True):
        values[:, j] = given.values[:, place]
        kinds[j], levels[j] = given.kinds[place], given.levels[place]
        if given.exact[place] is not None:
            exact[j] = np.broadcast_to(given.exact[place], n)
    names, header = [column.name for column in table.columns_], table.header
    raw = RawTable(values, names, kinds, levels, [None] * n_columns, exact, True, header)
    table.check(raw)
    return raw
