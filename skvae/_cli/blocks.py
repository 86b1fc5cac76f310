"""Files scored block by block, and errors that name the file and its row."""

import re
import sys
from contextlib import contextmanager

import numpy as np
import pandas as pd
from tqdm import tqdm

from .._files import format_of, read_blocks, writing

__all__ = [
    "about",
    "by_block",
    "known_columns",
    "oddest",
    "parts_of_block",
    "scores_of_block",
    "select",
    "text_columns",
    "write_blocks",
]


def by_block(function, detector, keep, table, input_format, block_rows):
    """Yield what a function makes of each block of a file; errors name the file and its row."""
    with tqdm(unit=" rows", unit_scale=True, disable=not sys.stderr.isatty()) as bar:
        with about(table):
            name = format_of(table, input_format)
            blocks = read_blocks(table, name, block_rows, text_columns(detector))
        while True:
            with about(table):
                block = next(blocks, None)
            if block is None:
                return
            with about(table, block.index[0]):
                result = function(detector, keep, block)
            yield result
            bar.update(len(block))


def scores_of_block(detector, keep, block):
    """Score the rows of a block, and say which are flagged."""
    scores = -detector.score_samples(known_columns(detector, keep, block))
    result = pd.DataFrame({"anomaly_score": scores}, index=block.index)
    if hasattr(detector, "offset_"):
        result["flagged"] = scores > -detector.offset_
    return _together(block[list(keep)], result)


def parts_of_block(detector, keep, block):
    """Say what each column adds to the scores of a block."""
    parts, rest = detector.explain(known_columns(detector, keep, block), return_rest=True)
    scores = parts.sum(axis=1) + rest.sum(axis=1)
    first = pd.DataFrame({"row": block.index, "anomaly_score": scores}, block.index)
    return _together(first, block[list(keep)], parts.add_prefix("nats_"), rest)


def _together(*tables):
    """Tables side by side, whose columns have names of their own."""
    result = pd.concat(tables, axis=1)
    if not result.columns.is_unique:
        name = result.columns[result.columns.duplicated()][0]
        raise ValueError(f"--keep {name}: the output has a column of that name. Rename it.")
    return result


def oddest(results, n):
    """Yield one table of the n rows with the highest scores."""
    oddest = []
    for result in results:
        oddest = [pd.concat([*oddest, result]).nlargest(n, "anomaly_score")]
    yield from oddest


def write_blocks(results, output, output_format):
    """Write tables one after the other to a file or standard output."""
    with about(output):
        name = format_of(output, output_format)
    with writing(output, name) as write:
        for result in results:
            with about(output):
                write(result)


def known_columns(detector, keep, block):
    """Columns of a block that the detector was fitted to."""
    names = getattr(detector, "feature_names_in_", [c for c in block.columns if c not in keep])
    X = select(block, names, keep)
    numeric = [column.kind in ("number", "integer") for column in detector.table_.columns_]
    _check_numbers(X.loc[:, numeric] if len(numeric) == X.shape[1] else X)
    return X


def text_columns(detector):
    """Columns whose levels are strings, even where those of a block look like numbers."""
    levels = {column.name: column.levels for column in detector.table_.columns_}
    return [name for name, known in levels.items() if any(isinstance(x, str) for x in known)]


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
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        message = re.sub(r"\brow (\d+)", lambda m: f"row {int(m[1]) + first_row}", str(error))
        raise ValueError(f"{'standard input' if path == '-' else path}: {message}") from error
