"""Tables read from files block by block, so that they may exceed the memory."""

import csv
import gzip
import io
import json
import lzma
import re
import sys
import warnings
import zlib
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import pandas as pd

from .digits import rereadable, restored, whole_columns
from .formats import DIALECT, OPENERS, STREAM, parquet

__all__ = [
    "header_of",
    "named_as_broken",
    "parquet_file",
    "read_blocks",
    "read_table_file",
    "text_of",
]

# Numbers of CSV as they were written: before 3 pandas misses the last bit of some.
EXACT = {"float_precision": "round_trip"} if pd.__version__ < "3" else {}


@contextmanager
def named_as_broken():
    """Say in the user's words what libraries raise or warn of for broken files."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            yield
    except (EOFError, gzip.BadGzipFile, lzma.LZMAError, zlib.error) as error:
        raise ValueError(f"cannot be decompressed: {error}") from error
    except UnicodeDecodeError as error:
        raise ValueError(
            f"is no text in UTF-8: {error}. Convert it to UTF-8, or name its format by "
            "--input-format."
        ) from error
    except csv.Error as error:
        raise ValueError(f"is no CSV: {error}") from error
    except pd.errors.EmptyDataError as error:
        raise ValueError("is empty: its first line must name the columns") from error
    except pd.errors.ParserWarning as warning:
        raise ValueError("some rows have more fields than the header") from warning
    except pd.errors.ParserError as error:
        raise ValueError(str(error).removeprefix("Error tokenizing data. C error: ")) from error


@named_as_broken()
def _next(blocks):
    return next(blocks, None)


def read_blocks(path, name, n_rows, texts=(), dialect=DIALECT):
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
    dialect : Dialect
        Of CSV.

    Yields
    ------
    block : DataFrame
        Its index counts the rows of the file from 0.
    """
    start, empty = 0, None
    blocks = READERS[name](path, n_rows, texts, dialect)
    while (block := _next(blocks)) is not None:
        block = block.set_axis(range(start, start + len(block)))
        start += len(block)
        if len(block) == 0:
            empty = block
            continue
        yield block
    if start == 0:
        raise ValueError(f"no rows{'' if empty is None else ' below the header'}")


def read_table_file(path, name, texts=(), dialect=DIALECT):
    """Whole table of a file, as a DataFrame; parameters as those of `read_blocks`.

    Columns of CSV with digits such as 007 are text: as numbers they would be others.
    """
    if name != "csv":
        return _whole_table(path, name, texts, dialect)
    with rereadable(path) as source:
        X = _whole_table(source, name, texts, dialect)
        whole = whole_columns(X)
        return restored(X, _whole_table(source, name, whole, dialect)[whole]) if whole else X


def _whole_table(*source):
    path, name, *others = source
    return pd.concat(list(read_blocks(path, name, 1_000_000, *others)))


def _csv_blocks(path, n_rows, texts, dialect):
    options = {"chunksize": n_rows, "low_memory": False, "dtype": dict.fromkeys(texts, str)}
    options |= EXACT
    with text_of(path) as file:
        reader = csv.reader(file, delimiter=dialect.separator)
        options |= {"names": header_of(reader, dialect.separator), "header": None}
        options |= {"sep": dialect.separator, "decimal": dialect.decimal}
        try:
            # index_col: or fields that are more than the header's would move all columns by one.
            with pd.read_csv(file, index_col=False, **options) as blocks:
                yield from blocks
        except pd.errors.ParserError as error:  # which counts from below the header
            raise pd.errors.ParserError(_by_lines(str(error), reader.line_num)) from error


def _by_lines(message, n_lines):
    """Count the file's lines where pandas counts lines from 1, or rows from 0, below so many."""
    message = re.sub(r"\bline (\d+)", lambda m: f"line {int(m[1]) + n_lines}", message)
    return re.sub(r"\bat row (\d+)", lambda m: f"in line {int(m[1]) + 1 + n_lines}", message)


def header_of(reader, separator):
    """Names in the first line of a CSV file; pandas would give a repeated one another name."""
    names = next(filter(None, reader), [])
    _check_separator(names, separator)
    for name in names:
        if name and names.count(name) > 1:
            raise ValueError(f"its header has the name {name!r} more than once. Rename the others.")
    return [name or f"Unnamed: {place}" for place, name in enumerate(names)]


def _check_separator(names, separator):
    """Raise for a first line that looks as if the file were written another way."""
    if names and names[0].startswith("{"):
        raise ValueError("its first line is no header but JSON: use --input-format jsonl")
    others = [sign for sign in ",;\t|" if len(names) == 1 and sign in names[0]]
    if others:
        sign = "tab" if others[0] == "\t" else f"{others[0]!r}"
        raise ValueError(
            f"its header {names[0]!r} is one field, separated by {separator!r}: use --separator "
            f"{sign}"
        )


def _jsonl_blocks(path, n_rows, texts, dialect):
    # Not by pandas, which takes numbers for dates where a column's name suggests it.
    keys = {}  # met so far: a block may lack one that is optional
    with text_of(path) as file:
        lines = ((line, text) for line, text in enumerate(file, start=1) if text.strip())
        while batch := list(islice(lines, n_rows)):
            records = [_record(line, text) for line, text in batch]
            keys |= dict.fromkeys(key for record in records for key in record)
            yield pd.DataFrame(records, columns=list(keys))


def _record(line, text):
    try:
        record = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"line {line} is no JSON: {error}.{_other_format(line)}") from error
    if not isinstance(record, dict):
        raise ValueError(f"line {line} is no JSON object.{_other_format(line)}")
    return record


def _other_format(line):
    """Way out where not a single line is as it should be."""
    return " Is it another format? Name it by --input-format." if line == 1 else ""


def _parquet_blocks(path, n_rows, texts, dialect):
    with parquet_file(path) as file:
        for batch in file.iter_batches(n_rows):
            yield batch.to_pandas(integer_object_nulls=True)  # or a hole would round others


def parquet_file(path):
    """Arrow's reader of a file of Parquet."""
    # Its index of parts is at the file's end: a stream is read whole.
    source = io.BytesIO(sys.stdin.buffer.read()) if path == STREAM else path
    try:
        return parquet().ParquetFile(source)
    except (ValueError, OSError) as error:  # those of Arrow are such
        if getattr(error, "errno", None) is not None:  # the system's own
            raise
        raise ValueError(_broken_parquet(source, error)) from error


def _broken_parquet(source, error):
    """Say what is wrong, by the mark that Parquet begins with."""
    with open(source, "rb") if isinstance(source, str) else source as file:
        file.seek(0)
        is_parquet = file.read(4) == b"PAR1"
    if is_parquet:
        return f"is Parquet that is cut short or damaged: {error}"
    return f"is no Parquet: {error}. Name its format by --input-format."


READERS = {"csv": _csv_blocks, "parquet": _parquet_blocks, "jsonl": _jsonl_blocks}


def text_of(path):
    if path == STREAM:
        # Not sys.stdin, whose encoding is that of the terminal.
        return open(sys.stdin.fileno(), encoding="utf-8-sig", newline="", closefd=False)
    return OPENERS.get(Path(path).suffix, open)(path, "rt", encoding="utf-8-sig", newline="")
