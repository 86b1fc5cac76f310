"""Cells in the container that the user passed."""

import numpy as np

from .columns import index_of

__all__ = ["CASTS", "with_levels"]


def with_levels(cells, levels):
    """Put levels in place of their positions; `levels` holds None for other columns."""
    if all(own is None for own in levels):
        return cells
    with_levels = cells.astype(object)
    for j, own in enumerate(levels):
        if own is not None:
            known = np.append(index_of(own).to_numpy(), [np.nan])  # the last one for holes
            with_levels[:, j] = known[np.nan_to_num(cells[:, j], nan=-1).astype(np.int64)]
    return with_levels


def _as_levels(cells, dtype):
    """Levels as the column's dtype, or as objects if one is unknown to it."""
    typed = cells.astype(dtype)
    return cells.astype(object) if (typed.isna() & ~cells.isna()).any() else typed


# How a DataFrame's column of each kind is given back.
CASTS = {
    "number": lambda cells, dtype: cells.astype(np.float64),
    "integer": lambda cells, dtype: cells.astype(np.float64),
    "boolean": lambda cells, dtype: cells.astype(np.float64) >= 0.5,
    "category": _as_levels,
    "ordered": _as_levels,
}
