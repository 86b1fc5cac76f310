"""Warnings of columns and rows in which nothing is observed, or nothing is missing."""

import warnings

import numpy as np

from .settings import listed

__all__ = ["warn_of_columns", "warn_of_empty_rows"]


def warn_of_columns(table):
    """Warn of columns without a cell, and of those whose holes cannot be modelled.

    Parameters
    ----------
    table : TableEncoder
        Fitted.
    """
    if len(table.unknown_) > 0:
        warnings.warn(
            f"No cell of {listed(_names(table, table.unknown_))} is observed among the rows that "
            "are fitted: nothing is known of such a column, and its cells add 0 nats to later "
            "scores, too. Leave it out.",
            stacklevel=2,
        )
    scored = np.setdiff1d(np.arange(len(table.columns_)), table.context_)
    known = np.setdiff1d(scored, table.unknown_)
    whole = np.setdiff1d(known, table.masked_)
    if table.missing == "model" and len(whole) > 0:
        warnings.warn(
            f"No hole of {listed(_names(table, whole))} is among the rows that are fitted: how "
            "likely one is cannot be learned, and with missing='model', too, a hole there will add "
            "0 nats to a score. Fit rows that have some.",
            stacklevel=2,
        )


def warn_of_empty_rows(table, raw):
    """Warn of rows of which not one cell is observed.

    Parameters
    ----------
    table : TableEncoder
        Fitted.
    raw : RawTable
    """
    are_empty = table.are_empty(raw)
    if are_empty.any():
        warnings.warn(
            f"No cell is observed in {are_empty.sum()} of {len(are_empty)} rows, the first of them "
            f"row {int(np.argmax(are_empty))}: nothing is known of such a row, its score is the "
            "bound of no cells, and it counts as normal. Leave it out, or judge it by itself.",
            stacklevel=3,
        )


def _names(table, places):
    return [table.columns_[j].name for j in places]
