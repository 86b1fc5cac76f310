"""Tables of any size as blocks of rows not yet read: lines of text, or batches of Arrow."""

import csv
import os
from itertools import chain, islice

import numpy as np

from .formats import DIALECT, format_of
from .layouts import Batches, Block, Csv, JsonLines, about_rows, fields_of_any_size
from .parts import keys_of, parts_of
from .read import header_of, named_as_broken, parquet_file, text_of

__all__ = ["blocks_of"]


BLOCK_ROWS = 65_536


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
    parts = [part for each in source for part in parts_of(each, format_name)]
    _check_once(parts)
    first = None
    for part, keys in zip(parts, _keys(parts), strict=True):
        with about_rows([part.path]), named_as_broken():
            opened = OPENED[format_of(part.path, format_name)](part.path, dialect)
            layout, kinds = next(opened)
            if kinds:
                first = first or (part.path, kinds)
                _check_columns(kinds, *first)
            both = [name for name in keys if name in kinds]
            if both:
                raise ValueError(f"column {both[0]!r} is in the name of its folder, too")
            yield from _blocks(part.path, layout, opened, keys)


def _check_once(parts):
    """Raise for a file that is there more than once: its rows would count as often."""
    seen = set()
    for part in parts:
        real = os.path.realpath(part.path)
        if real in seen:
            raise ValueError(f"{part.path} is there more than once. Leave it out the second time.")
        seen.add(real)


def _keys(parts):
    """Cells that the names of folders give to the rows of each part; text where one is text."""
    keys = [keys_of(part.name) for part in parts]
    for part, own in zip(parts, keys, strict=True):
        for name in {*keys[0]} ^ {*own}:
            raise ValueError(
                f"{part.path}: {name!r} is in the names of the folders of some files, not of all"
            )
    texts = {name for own in keys for name, cell in own.items() if isinstance(cell, str)}
    return [
        {n: str(cell) if n in texts and cell is not None else cell for n, cell in own.items()}
        for own in keys
    ]


def _check_columns(kinds, path, first):
    """Raise for a file whose columns are not those of the first one, or of another kind."""
    missing = [name for name in first if name not in kinds]
    if missing:
        raise ValueError(f"there is no column {missing[0]!r}, which {path} has")
    for name, kind in kinds.items():
        if name not in first:
            raise ValueError(f"there is a column {name!r}, which {path} has not")
        if first[name] is None:
            first[name] = kind
        if kind not in (None, first[name]):
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
        yield from (_plain(_as_table(batch)) for batch in file.iter_batches(BLOCK_ROWS))


OPENED = {"csv": _opened_csv, "jsonl": _opened_jsonl, "parquet": _opened_parquet}


def records(file, separator):
    """Yield the lines of each row of CSV: a quoted field may go over several; no blank ones."""
    blank = " \t\r\n".replace(separator, "")
    for line in file:
        row = _whole(line, file, separator) if '"' in line else line
        if row.strip(blank):
            yield row


def _whole(line, file, separator):
    """Join a line and those that its quoted fields go over."""
    lines = [line]

    def further():
        for more in file:
            lines.append(more)
            yield more
        raise ValueError("a quoted field of its last row does not end")

    with fields_of_any_size():
        next(csv.reader(chain([line], further()), delimiter=separator))
    return "".join(lines)


def _arrays(lines):
    while batch := list(islice(lines, BLOCK_ROWS)):
        rows = np.empty(len(batch), dtype=object)
        rows[:] = batch
        yield rows


def _streamed(source):
    """Yield tables of Arrow of an object that gives batches."""
    import pyarrow

    if hasattr(source, "collect_batches"):  # polars.LazyFrame
        tables = (part.to_arrow() for part in source.collect_batches(maintain_order=True))
    elif hasattr(source, "__arrow_c_stream__"):
        tables = map(_as_table, pyarrow.RecordBatchReader.from_stream(source))
    elif hasattr(source, "to_batches"):  # pyarrow.dataset.Dataset
        options = {"batch_size": BLOCK_ROWS, "batch_readahead": 1, "fragment_readahead": 1}
        tables = map(_as_table, source.to_batches(**options))
    else:
        raise TypeError(
            "source must be a path, a list of paths, or what gives batches of Arrow: a "
            "pyarrow.dataset.Dataset, a polars.LazyFrame (from polars 1.34 on) or a relation of "
            f"DuckDB. Got an object of type {type(source).__name__}."
        )
    yield from map(_plain, tables)


def _as_table(batch):
    import pyarrow

    return pyarrow.Table.from_batches([batch])


def _plain(table):
    """Table without dictionaries, which differ from part to part, and without decimals."""
    import pyarrow
    from pyarrow import types

    for place, field in enumerate(table.schema):
        dtype = field.type
        if types.is_dictionary(dtype) and not dtype.ordered:
            dtype = dtype.value_type
        if types.is_decimal(dtype):
            dtype = pyarrow.float64()
        if dtype != field.type:
            table = table.set_column(place, field.name, table.column(place).cast(dtype))
    return table


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
