"""Blocks of rows scored, read from files and written to others; errors name file and row."""

import re
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import pandas as pd

from .._estimators import offsets_of, p_values_of
from .._files import dialect_of, format_of, read_blocks, writing

__all__ = [
    "Source",
    "Target",
    "about",
    "by_block",
    "counted",
    "known_columns",
    "named",
    "p_values_of_block",
    "scores_of_block",
    "select",
    "text_columns",
    "together",
    "write_blocks",
]


class Source(NamedTuple):
    """A table to read, as the command line names it.

    Attributes
    ----------
    path : str
        "-" for standard input.
    format : {"csv", "parquet", "jsonl"} or None
        None for that of the suffix.
    separator, decimal : str
        Signs of CSV, as `dialect_of` takes them.
    """

    path: str
    format: str | None
    separator: str
    decimal: str


class Target(NamedTuple):
    """A table to write: as `Source`, and whether texts must not be formulas."""

    path: str
    format: str | None
    separator: str
    decimal: str
    escape_formulas: bool


def by_block(function, detector, keep, source, block_rows):
    """Yield what a function makes of each block of a file; errors name the file and its row."""
    path, dialect = source.path, dialect_of(source.separator, source.decimal)
    with about(path):
        name = format_of(path, source.format)
        blocks = read_blocks(path, name, block_rows, text_columns(detector, keep), dialect)
    while True:
        with about(path):
            block = next(blocks, None)
        if block is None:
            return
        with about(path, block.index[0]):
            result = function(detector, named(keep, block.columns), block)
        yield result


def scores_of_block(detector, keep, block):
    """Score the rows of a block, and say which are flagged, or of which class they are."""
    X = known_columns(detector, keep, block)
    scores = -detector.score_samples(X)
    result = pd.DataFrame({"anomaly_score": scores}, index=block.index)
    if hasattr(detector, "offset_"):
        result["flagged"] = scores > -offsets_of(detector, X)
    if hasattr(detector, "classes_"):
        proba = detector.predict_proba(X)
        result["class"] = detector.classes_[proba.argmax(axis=1)]
        result["probability"] = proba.max(axis=1)
    return together(block[list(keep)], result)


def p_values_of_block(detector, keep, block):
    """Score the rows of a block, and give their p-values."""
    result = scores_of_block(detector, keep, block)
    X = known_columns(detector, keep, block)
    p_values = p_values_of(detector, X, -result["anomaly_score"].to_numpy())
    return together(result, pd.DataFrame({"p_value": p_values}, index=block.index))


def together(*tables):
    """Tables side by side, whose columns have names of their own."""
    result = pd.concat(tables, axis=1)
    if not result.columns.is_unique:
        name = result.columns[result.columns.duplicated()][0]
        raise ValueError(f"--keep {name}: the output has a column of that name. Rename it.")
    return result


def counted(results, counts):
    """Yield tables of scores, and count their rows and those flagged in a Counter."""
    for result in results:
        yield result
        counts["rows"] += len(result)
        if "flagged" in result:
            counts["flagged"] += int(result["flagged"].sum())


def write_blocks(results, target):
    """Write tables one after the other to a file or standard output."""
    path, dialect = target.path, dialect_of(target.separator, target.decimal)
    with about(path):
        name = format_of(path, target.format, "--output-format")
    with writing(path, name, dialect, target.escape_formulas) as write:
        for result in results:
            with about(path):
                write(result)


def known_columns(detector, keep, block):
    """Columns of a block that the detector was fitted to."""
    names = getattr(detector, "feature_names_in_", [c for c in block.columns if c not in keep])
    X = select(block, names, keep)
    numeric = [column.kind in ("number", "integer") for column in _columns(detector)]
    _check_numbers(X.loc[:, numeric] if len(numeric) == X.shape[1] else X)
    return X


def text_columns(detector, keep):
    """Columns to read as text: those of such levels, and what is kept and not the detector's."""
    levels = {column.name: column.levels for column in _columns(detector)}
    texts = [name for name, known in levels.items() if any(isinstance(x, str) for x in known)]
    return [*texts, *({*keep, *named(keep, ())} - set(levels))]


def _columns(detector):
    """Columns of its rows: the table of a classifier has its class as well."""
    return detector.table_.columns_[: detector.n_features_in_]


def _check_numbers(X):
    """Raise for a cell that turned a column of numbers into one of strings."""
    for name in X.select_dtypes(exclude=["number", "bool"]):
        is_text = X[name].map(lambda cell: isinstance(cell, str)).astype(bool)
        wrong = is_text & pd.to_numeric(X[name].where(is_text), errors="coerce").isna()
        if wrong.any() and not wrong.all():
            row = int(np.argmax(wrong))
            raise ValueError(
                f"Column {name!r} holds {X[name].iloc[row]!r} in row {row}: no number."
            )


def named(names, columns):
    """Split names at their commas, but for those that are a column's as they are."""
    parts = ([name] if name in columns else name.split(",") for name in names)
    return list(dict.fromkeys(part for split in parts for part in split))


def select(block, names, others):
    """Take some columns of a block, all of which it must have."""
    missing = [name for name in [*names, *others] if name not in block.columns]
    if missing:
        raise ValueError(f"there is no column {missing[0]!r}")
    return block[list(names)]


@contextmanager
def about(path, first_row=0):
    """Name the file in errors, and count the rows that they name from the file's first."""
    try:
        yield
    except OSError as error:  # which knows no name where it came from an open file
        if error.errno is None:
            raise ValueError(f"{_shown(path)}: {error}") from error
        if error.filename is None:
            raise type(error)(error.errno, error.strerror, _shown(path)) from error
        raise
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        message = re.sub(
            r"\bin row (\d+)",
            lambda match: f"in row {int(match[1]) + first_row} (counted from 0)",
            str(error),
        )
        raise ValueError(f"{_shown(path)}: {message}") from error


def _shown(path):
    return "standard input" if path == "-" else path
