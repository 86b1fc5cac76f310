"""Rows of files not yet read: lines of text or batches of Arrow, and the table of some of them."""

import csv
import json
import re
import sys
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from .formats import Dialect
from .read import read_table_file

__all__ = [
    "Batches",
    "Block",
    "Csv",
    "JsonLines",
    "about_rows",
    "fields_of_any_size",
    "frame_of",
    "origins",
    "release_memory",
]


class Csv(NamedTuple):
    """Rows that are lines of CSV.

    Attributes
    ----------
    header : str
        First line of the file.
    dialect : Dialect
    """

    header: str
    dialect: Dialect

    def read(self, parts, texts):
        """Table of the lines of some arrays, read as a file of them would be; some as text."""
        lines = [self.header, *chain.from_iterable(parts)]
        self._check_fields(lines)
        with TemporaryDirectory() as folder:
            path = Path(folder, "rows.csv")
            with open(path, "w", encoding="utf-8", newline="") as file:
                file.writelines(line.rstrip("\r\n") + "\n" for line in lines)
            return read_table_file(str(path), "csv", texts, self.dialect)

    def _check_fields(self, lines):
        """Raise for a row of more fields than the header."""
        rows = csv.reader(lines, delimiter=self.dialect.separator)
        with fields_of_any_size():
            n_names = len(next(rows))
            for row, fields in enumerate(rows):
                if len(fields) > n_names:
                    raise ValueError(
                        f"there are {len(fields)} fields in row {row}, and {n_names} in the header"
                    )


class JsonLines(NamedTuple):
    """Rows that are lines of JSON."""

    def read(self, parts, texts):
        """Table of the lines of some arrays."""
        lines = enumerate(chain.from_iterable(parts))
        return pd.DataFrame([_json_object(row, line) for row, line in lines])


def _json_object(row, line):
    try:
        found = json.loads(line)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"there is no JSON in row {row}: {error}") from error
    if not isinstance(found, dict):
        raise ValueError(f"there is no JSON object in row {row}")
    return found


class Batches(NamedTuple):
    """Rows that Arrow has read."""

    def read(self, parts, texts):
        """Table of the rows of some tables of Arrow."""
        import pyarrow

        table = pyarrow.concat_tables(parts, promote_options="permissive")
        return table.to_pandas(integer_object_nulls=True)  # or a hole would round others


class Block(NamedTuple):
    """Rows of a source, beside each other.

    Attributes
    ----------
    path : str
        File that they are of, "" where the source is no file.
    places : int ndarray of shape (n,)
        Number of each row in the file, from 0.
    layout : Csv, JsonLines or Batches
        What they are read by: equal for rows that are read together.
    rows : ndarray of str, or pyarrow.Table
    keys : dict
        Cells that the names of folders give to every row.
    """

    path: str
    places: np.ndarray
    layout: Any
    rows: Any
    keys: dict[str, Any]

    def take(self, chosen):
        """Give the block of some of its rows, by their positions."""
        return self._replace(places=self.places[chosen], rows=self.rows.take(chosen))


def frame_of(blocks):
    """Read the rows of some blocks as one table, in their order.

    Parameters
    ----------
    blocks : list of Block

    Returns
    -------
    X : DataFrame

    Raises
    ------
    ValueError
        If a row cannot be read, whose file and number the message gives, or if a column holds
        text in files of one kind and numbers in those of another.
    """
    frames = _frames(blocks, [])
    texts = _mixed(frames)
    if texts:  # digits in files of which all others hold text
        frames = _frames(blocks, texts)
    if _mixed(frames):
        raise ValueError(f"column {texts[0]!r} holds text in some files, and numbers in others")
    # Not joined where there is but one: a copy less of all rows.
    return frames[0] if len(frames) == 1 else pd.concat(frames).sort_index()


def _frames(blocks, texts):
    """Tables of the blocks of each layout, whose index is the place among all rows."""
    ends = np.cumsum([0, *(len(block.places) for block in blocks)])
    frames = []
    for layout in dict.fromkeys(block.layout for block in blocks):
        own = [place for place, block in enumerate(blocks) if block.layout == layout]
        members = [blocks[place] for place in own]
        with about_rows(*origins(members)):
            frame = layout.read([block.rows for block in members], texts)
        sizes = [len(block.places) for block in members]
        for key in members[0].keys:
            cells = np.repeat(np.array([block.keys[key] for block in members], object), sizes)
            frame[key] = pd.Series(cells, index=frame.index).infer_objects()
        index = np.concatenate([np.arange(ends[place], ends[place + 1]) for place in own])
        frames.append(frame.set_axis(index))
    return frames


def _mixed(frames):
    """Names of columns that hold text in some tables, and numbers in others."""
    kinds = {}
    for frame in frames:
        for name, cells in frame.items():
            if cells.notna().any():
                kinds.setdefault(name, set()).add(cells.dtype.kind in "biuf")
    return [name for name, found in kinds.items() if len(found) > 1]


def release_memory():
    """Give back what Arrow keeps of tables that are gone, where it has been used."""
    if "pyarrow" in sys.modules:
        sys.modules["pyarrow"].default_memory_pool().release_unused()


def origins(blocks):
    """File and number of each row of some blocks; list of str, int ndarray."""
    paths = [block.path for block in blocks for _ in block.places]
    return paths, np.concatenate([block.places for block in blocks])


@contextmanager
def about_rows(paths, places=None):
    """Name the file and the row in it, counted from 0, of an error about a row of a table.

    Parameters
    ----------
    paths : list of str
        File of each row; where it is but one, it is named in every error.
    places : int ndarray, default=None
        Number of each row in its file.
    """
    try:
        yield
    except (ValueError, TypeError, KeyError, OverflowError, OSError) as error:
        if getattr(error, "errno", None) is not None:  # the system's own, which names its file
            raise
        message, found = str(error), set(paths)
        named = re.search(r"\bin row (\d+)", message)
        if named and places is not None and int(named[1]) < len(places):
            row = int(named[1])
            of_row = f"in row {places[row]} (counted from 0)"
            message, found = message.replace(named[0], of_row, 1), {paths[row]}
        if len(found) == 1 and found != {""}:
            message = f"{found.pop()}: {message}"
        raise ValueError(message) from error


@contextmanager
def fields_of_any_size():
    """Let fields of CSV be as long as they are; the limit is one of the whole process."""
    before = csv.field_size_limit(2**31 - 1)
    try:
        yield
    finally:
        csv.field_size_limit(before)
