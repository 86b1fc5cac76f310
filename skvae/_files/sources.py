"""Tables of any size as blocks of rows not yet read: lines of text, or batches of Arrow."""

import csv
import json
import re
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from .formats import DIALECT, Dialect, format_of
from .parts import keys_of, parts_of
from .read import header_of, named_as_broken, parquet_file, read_table_file, text_of

__all__ = ["Block", "about_rows", "blocks_of", "frame_of"]


BLOCK_ROWS = 65_536


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

    def read(self, parts):
        """Table of the lines of some arrays, read as a file of them would be."""
        lines = [self.header, *chain.from_iterable(parts)]
        self._check_fields(lines)
        with TemporaryDirectory() as folder:
            path = Path(folder, "rows.csv")
            with open(path, "w", encoding="utf-8", newline="") as file:
                file.writelines(line.rstrip("\r\n") + "\n" for line in lines)
            return read_table_file(str(path), "csv", (), self.dialect)

    def _check_fields(self, lines):
        """Raise for a row of more fields than the header."""
        rows = csv.reader(lines, delimiter=self.dialect.separator)
        n_names = len(next(rows))
        for row, fields in enumerate(rows):
            if len(fields) > n_names:
                raise ValueError(
                    f"there are {len(fields)} fields in row {row}, and {n_names} in the header"
                )


class JsonLines(NamedTuple):
    """Rows that are lines of JSON."""

    def read(self, parts):
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

    def read(self, parts):
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


def blocks_of(source, format_name=None, dialect=DIALECT):
    """Yield the rows of a source, in the order of its parts.

    Parameters
    ----------
    source : str, path-like, sequence of these, or object
        A file, a folder or a pattern, as `parts_of` takes them; or what gives batches of Arrow: a
        pyarrow.dataset.Dataset, a polars.LazyFrame, or anything with ``__arrow_c_stream__``, such
        as a relation of DuckDB.
    format_name : {"csv", "parquet", "jsonl"} or None
        Of files; by default that of their suffixes.
    dialect : Dialect
        Of CSV.

    Yields
    ------
    block : Block

    Raises
    ------
    OSError, TypeError, ValueError
        If it is no source; if a file cannot be read, or has other columns than the first one.
    """
    if isinstance(source, str) or hasattr(source, "__fspath__"):
        source = [source]
    if not isinstance(source, (list, tuple)):
        yield from _blocks("", Batches(), _streamed(source), {})
        return
    first = None
    for part in chain.from_iterable(parts_of(each, format_name) for each in source):
        with about_rows([part.path]), named_as_broken():
            opened = OPENED[format_of(part.path, format_name)](part.path, dialect)
            layout, kinds = next(opened)
            if kinds:
                first = first or (part.path, kinds)
                _check_columns(kinds, *first)
            yield from _blocks(part.path, layout, opened, keys_of(part.name))


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
        If a row cannot be read, whose file and number the message gives.
    """
    ends = np.cumsum([0, *(len(block.places) for block in blocks)])
    frames = []
    for layout in dict.fromkeys(block.layout for block in blocks):
        own = [place for place, block in enumerate(blocks) if block.layout == layout]
        members = [blocks[place] for place in own]
        with about_rows(*origins(members)):
            frame = layout.read([block.rows for block in members])
        sizes = [len(block.places) for block in members]
        for key in members[0].keys:
            frame[key] = np.repeat(np.array([b.keys.get(key) for b in members], object), sizes)
            frame[key] = frame[key].infer_objects()
        index = np.concatenate([np.arange(ends[place], ends[place + 1]) for place in own])
        frames.append(frame.set_axis(index))
    # Not joined where there is but one: a copy less of all rows.
    return frames[0] if len(frames) == 1 else pd.concat(frames).sort_index()


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
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        message, found = str(error), set(paths)
        named = re.search(r"\bin row (\d+)", message)
        if named and places is not None and int(named[1]) < len(places):
            row = int(named[1])
            of_row = f"in row {places[row]} (counted from 0)"
            message, found = message.replace(named[0], of_row, 1), {paths[row]}
        if len(found) == 1 and found != {""}:
            message = f"{found.pop()}: {message}"
        raise ValueError(message) from error


def _check_columns(kinds, path, first):
    """Raise for a file whose columns are not those of the first one, or of another kind."""
    missing = [name for name in first if name not in kinds]
    if missing:
        raise ValueError(f"there is no column {missing[0]!r}, which {path} has")
    for name, kind in kinds.items():
        if name not in first:
            raise ValueError(f"there is a column {name!r}, which {path} has not")
        if None not in (kind, first[name]) and kind != first[name]:
            raise ValueError(f"column {name!r} holds {kind} here, and {first[name]} in {path}")


def _blocks(path, layout, parts, keys):
    """Yield blocks of the rows in some arrays or tables of a file."""
    n_before = 0
    for rows in parts:
        yield Block(path, np.arange(n_before, n_before + len(rows)), layout, rows, keys)
        n_before += len(rows)


# Each of the following yields a layout with the columns' kinds, where they are known beforehand,
# and then arrays of rows.


def _opened_csv(path, dialect):
    with text_of(path) as file:
        header = next((line for line in records(file, dialect.separator)), "")
        names = header_of(csv.reader([header], delimiter=dialect.separator), dialect.separator)
        yield Csv(header, dialect), dict.fromkeys(names)
        yield from _arrays(records(file, dialect.separator))


def _opened_jsonl(path, dialect):
    with text_of(path) as file:
        yield JsonLines(), {}
        yield from _arrays(line for line in file if line.strip())


def _opened_parquet(path, dialect):
    with parquet_file(path) as file:
        yield Batches(), {field.name: _kind(field.type) for field in file.schema_arrow}
        yield from map(_as_table, file.iter_batches(BLOCK_ROWS))


OPENED = {"csv": _opened_csv, "jsonl": _opened_jsonl, "parquet": _opened_parquet}


def records(file, separator):
    """Yield the lines of each row of CSV: a quoted field may go over several; no blank ones."""
    for line in file:
        if '"' in line:
            lines = [line]
            further = (lines.append(more) or more for more in file)
            next(csv.reader(chain([line], further), delimiter=separator))
            line = "".join(lines)
        if line.strip():
            yield line


def _arrays(lines):
    while batch := list(islice(lines, BLOCK_ROWS)):
        rows = np.empty(len(batch), dtype=object)
        rows[:] = batch
        yield rows


def _streamed(source):
    """Yield tables of Arrow of an object that gives batches."""
    import pyarrow

    if hasattr(source, "collect_batches"):  # polars.LazyFrame
        yield from (part.to_arrow() for part in source.collect_batches(maintain_order=True))
    elif hasattr(source, "__arrow_c_stream__"):
        yield from map(_as_table, pyarrow.RecordBatchReader.from_stream(source))
    elif hasattr(source, "to_batches"):  # pyarrow.dataset.Dataset
        options = {"batch_size": BLOCK_ROWS, "batch_readahead": 1, "fragment_readahead": 1}
        yield from map(_as_table, source.to_batches(**options))
    else:
        raise TypeError(
            "source must be a path, a list of paths, or what gives batches of Arrow: a "
            "pyarrow.dataset.Dataset, a polars.LazyFrame or a relation of DuckDB. Got an object of "
            f"type {type(source).__name__}."
        )


def _as_table(batch):
    import pyarrow

    return pyarrow.Table.from_batches([batch])


def _kind(dtype):
    """Kind of a column of Parquet, of which there is one in all files; None where it is empty."""
    from pyarrow import types

    if types.is_dictionary(dtype):
        return _kind(dtype.value_type)
    kinds = {
        "numbers": (types.is_integer, types.is_floating, types.is_decimal),
        "text": (types.is_string, types.is_large_string, types.is_string_view),
    }
    found = [kind for kind, tests in kinds.items() if any(test(dtype) for test in tests)]
    return None if types.is_null(dtype) else (*found, str(dtype))[0]
