"""Tables in files: read and written block by block, so that they may exceed the memory."""

import bz2
import csv
import gzip
import io
import json
import lzma
import re
import sys
import warnings
import zlib
from contextlib import contextmanager, nullcontext
from itertools import islice
from pathlib import Path

import pandas as pd

from .atomic import replacing

__all__ = ["FORMATS", "format_of", "read_blocks", "read_table_file", "writing"]


FORMATS = ("csv", "parquet", "jsonl")
SUFFIXES = {
    ".csv": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
}
OPENERS = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}  # else the builtin
STREAM = "-"  # standard input or output


def format_of(path, name=None):
    """Format of a file by its suffix.

    Parameters
    ----------
    path : str
        "-" for standard input or output, which is CSV unless named.
    name : {"csv", "parquet", "jsonl"} or None
        Overrides the suffix.

    Returns
    -------
    name : {"csv", "parquet", "jsonl"}

    Raises
    ------
    ValueError
        If the suffix is unknown.

    Examples
    --------
    >>> format_of("table.csv.gz")
    'csv'
    """
    if name is not None:
        return name
    if path == STREAM:
        return "csv"
    plain = Path(path)
    suffix = Path(plain.stem).suffix if plain.suffix in OPENERS else plain.suffix
    if suffix.lower() not in SUFFIXES:
        raise ValueError(f"unknown suffix {plain.suffix!r}: name the format, {', '.join(FORMATS)}")
    return SUFFIXES[suffix.lower()]


@contextmanager
def _named_as_broken():
    """Say in the user's words what libraries raise or warn of for broken files."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            yield
    except (EOFError, gzip.BadGzipFile, lzma.LZMAError, zlib.error) as error:
        raise ValueError(f"cannot be decompressed: {error}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"is no text in UTF-8: {error}. Convert it to UTF-8.") from error
    except pd.errors.EmptyDataError as error:
        raise ValueError("is empty: its first line must name the columns") from error
    except pd.errors.ParserWarning as warning:
        raise ValueError("some rows have more fields than the header") from warning
    except pd.errors.ParserError as error:
        raise ValueError(str(error).removeprefix("Error tokenizing data. C error: ")) from error


@_named_as_broken()
def _next(blocks):
    return next(blocks, None)


def read_blocks(path, name, n_rows, texts=()):
    """Blocks of rows of a table in a file.

    Parameters
    ----------
    path : str
        "-" for standard input.
    name : {"csv", "parquet", "jsonl"}
    n_rows : int
        Most rows of a block.
    texts : sequence of str, default=()
        Columns of text. CSV does not say so, and a block of it may hold numbers alone.

    Yields
    ------
    block : DataFrame
        Its index counts the rows of the file from 0.
    """
    start, empty = 0, None
    blocks = READERS[name](path, n_rows, texts)
    while (block := _next(blocks)) is not None:
        block = block.set_axis(range(start, start + len(block)))
        start += len(block)
        if len(block) == 0:
            empty = block
            continue
        yield block
    if start == 0:
        raise ValueError(f"no rows{'' if empty is None else ' below the header'}")


def read_table_file(path, name, texts=()):
    """Whole table of a file, as a DataFrame; parameters as those of `read_blocks`."""
    return pd.concat(list(read_blocks(path, name, 1_000_000, texts)))


def _csv_blocks(path, n_rows, texts):
    options = {"chunksize": n_rows, "low_memory": False, "dtype": dict.fromkeys(texts, str)}
    with _text(path) as file:
        reader = csv.reader(file)
        options |= {"names": _header(reader), "header": None}
        try:
            # index_col: or fields that are more than the header's would move all columns by one.
            with pd.read_csv(file, index_col=False, **options) as blocks:
                yield from blocks
        except pd.errors.ParserError as error:  # which counts lines from the header on
            raise pd.errors.ParserError(
                re.sub(r"line (\d+)", lambda m: f"line {int(m[1]) + reader.line_num}", str(error))
            ) from error


def _header(reader):
    """Names in the first line of a CSV file; pandas would give a repeated one another name."""
    names = next(filter(None, reader), [])
    _check_separator(names)
    for name in names:
        if name and names.count(name) > 1:
            raise ValueError(f"its header has the name {name!r} more than once. Rename the others.")
    return [name or f"Unnamed: {place}" for place, name in enumerate(names)]


def _check_separator(names):
    if len(names) == 1 and any(separator in str(names[0]) for separator in ";\t"):
        raise ValueError(f"its header {names[0]!r} is one field: fields are separated by commas")


def _jsonl_blocks(path, n_rows, texts):
    # Not by pandas, which takes numbers for dates where a column's name suggests it.
    keys = {}  # met so far: a block may lack one that is optional
    with _text(path) as file:
        lines = ((line, text) for line, text in enumerate(file, start=1) if text.strip())
        while batch := list(islice(lines, n_rows)):
            records = [_record(line, text) for line, text in batch]
            keys |= dict.fromkeys(key for record in records for key in record)
            yield pd.DataFrame(records, columns=list(keys))


def _record(line, text):
    try:
        record = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"line {line} is no JSON: {error}") from error
    if not isinstance(record, dict):
        raise ValueError(f"line {line} is no JSON object")
    return record


def _parquet_blocks(path, n_rows, texts):
    parquet = _parquet()
    # Its index of parts is at the file's end: a stream is read whole.
    source = io.BytesIO(sys.stdin.buffer.read()) if path == STREAM else path
    with parquet.ParquetFile(source) as file:
        for batch in file.iter_batches(n_rows):
            yield batch.to_pandas()


READERS = {"csv": _csv_blocks, "parquet": _parquet_blocks, "jsonl": _jsonl_blocks}


@contextmanager
def writing(path, name):
    """Give a function that adds a block of rows to a file, complete or not there at all.

    Parameters
    ----------
    path : str
        "-" for standard output.
    name : {"csv", "parquet", "jsonl"}

    Yields
    ------
    write : callable, DataFrame -> None
    """
    if path == STREAM:
        with WRITERS[name](sys.stdout.buffer) as write:
            yield write
        sys.stdout.buffer.flush()
        return
    opened = OPENERS.get(Path(path).suffix, open)
    with (
        replacing(path) as temporary,
        opened(temporary, "wb") as file,
        WRITERS[name](file) as write,
    ):
        yield write


@contextmanager
def _csv_writer(file):
    n_blocks = 0

    def write(block):
        nonlocal n_blocks
        block.to_csv(file, index=False, header=n_blocks == 0)
        n_blocks += 1

    yield write


@contextmanager
def _jsonl_writer(file):
    # 15 digits are the most that pandas writes.
    yield lambda block: block.to_json(file, orient="records", lines=True, double_precision=15)


@contextmanager
def _parquet_writer(file):
    import pyarrow

    parquet, writer = _parquet(), None

    def write(block):
        nonlocal writer
        schema = writer.schema if writer else None
        try:
            table = pyarrow.Table.from_pandas(block, schema, preserve_index=False)
        except pyarrow.ArrowException as error:
            raise ValueError(
                f"a column has another type in rows {block.index[0]} to {block.index[-1]} than "
                f"before: {error}. Write CSV, or more rows at a time by --block-rows."
            ) from error
        writer = writer or parquet.ParquetWriter(file, table.schema)
        writer.write_table(table)

    try:
        yield write
    finally:
        if writer is not None:
            writer.close()


WRITERS = {"csv": _csv_writer, "parquet": _parquet_writer, "jsonl": _jsonl_writer}


def _text(path):
    if path == STREAM:
        return nullcontext(sys.stdin)
    return OPENERS.get(Path(path).suffix, open)(path, "rt", encoding="utf-8-sig", newline="")


def _parquet():
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise ImportError("Parquet needs pyarrow: pip install 'skvae[cli]'") from error
    return parquet
