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
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from .atomic import replacing
from .digits import rereadable, restored, whole_columns

__all__ = [
    "FORMATS",
    "Dialect",
    "dialect_of",
    "format_of",
    "read_blocks",
    "read_table_file",
    "writing",
]


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
SEPARATORS = {"tab": "\t", r"\t": "\t"}  # else the character itself
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")  # to spreadsheets


def format_of(path, name=None, option="--input-format"):
    """Format of a file by its suffix.

    Parameters
    ----------
    path : str
        "-" for standard input or output, which is CSV unless named.
    name : {"csv", "parquet", "jsonl"} or None
        Overrides the suffix.
    option : str, default="--input-format"
        What names the format, for the error message.

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
        raise ValueError(
            f"unknown suffix {plain.suffix!r}: name the format by {option} {'|'.join(FORMATS)}"
        )
    return SUFFIXES[suffix.lower()]


class Dialect(NamedTuple):
    """How CSV is written: the sign between fields, and that before the decimals of numbers."""

    separator: str = ","
    decimal: str = "."


DIALECT = Dialect()  # of most files


def dialect_of(separator, decimal):
    r"""Signs of CSV as the command line names them.

    Parameters
    ----------
    separator : str
        "tab" or the two characters of "\t" for a tab, or the sign itself.
    decimal : {".", ","}

    Returns
    -------
    dialect : Dialect

    Raises
    ------
    ValueError
        If the separator is no single character of ASCII, or one that fields are made of.

    Examples
    --------
    >>> dialect_of("tab", ",")
    Dialect(separator='\t', decimal=',')
    """
    sign = SEPARATORS.get(separator, separator)
    if len(sign) != 1 or not sign.isascii() or re.match(r'[\w"\r\n]', sign):
        raise ValueError(f"--separator {separator}: write ';', '|' or another single sign, or tab.")
    if sign == decimal:
        raise ValueError(f"--decimal {decimal} separates fields, too: name another --separator.")
    return Dialect(sign, decimal)


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
        raise ValueError(
            f"is no text in UTF-8: {error}. Convert it to UTF-8, or name its format by "
            "--input-format."
        ) from error
    except pd.errors.EmptyDataError as error:
        raise ValueError("is empty: its first line must name the columns") from error
    except pd.errors.ParserWarning as warning:
        raise ValueError("some rows have more fields than the header") from warning
    except pd.errors.ParserError as error:
        raise ValueError(str(error).removeprefix("Error tokenizing data. C error: ")) from error


@_named_as_broken()
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
    with _text(path) as file:
        reader = csv.reader(file, delimiter=dialect.separator)
        options |= {"names": _header(reader, dialect.separator), "header": None}
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


def _header(reader, separator):
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
        raise ValueError(f"line {line} is no JSON: {error}.{_other_format(line)}") from error
    if not isinstance(record, dict):
        raise ValueError(f"line {line} is no JSON object.{_other_format(line)}")
    return record


def _other_format(line):
    """Way out where not a single line is as it should be."""
    return " Is it another format? Name it by --input-format." if line == 1 else ""


def _parquet_blocks(path, n_rows, texts, dialect):
    parquet = _parquet()
    # Its index of parts is at the file's end: a stream is read whole.
    source = io.BytesIO(sys.stdin.buffer.read()) if path == STREAM else path
    try:
        file = parquet.ParquetFile(source)
    except ValueError as error:  # those of Arrow are such
        raise ValueError(f"is no Parquet: {error}. Name its format by --input-format.") from error
    with file:
        for batch in file.iter_batches(n_rows):
            yield batch.to_pandas(integer_object_nulls=True)  # or a hole would round others


READERS = {"csv": _csv_blocks, "parquet": _parquet_blocks, "jsonl": _jsonl_blocks}


@contextmanager
def writing(path, name, dialect=DIALECT, escape_formulas=False):
    """Give a function that adds a block of rows to a file, complete or not there at all.

    Parameters
    ----------
    path : str
        "-" for standard output.
    name : {"csv", "parquet", "jsonl"}
    dialect : Dialect
        Of CSV.
    escape_formulas : bool, default=False
        Whether to put an apostrophe before each text of CSV that a spreadsheet would compute.

    Yields
    ------
    write : callable, DataFrame -> None

    Raises
    ------
    ValueError
        If formulas are to be escaped in another format than CSV.
    """
    if escape_formulas and name != "csv":
        raise ValueError(f"--escape-formulas is for CSV, and {path} is {name}: leave it out.")
    if path == STREAM:
        with WRITERS[name](sys.stdout.buffer, dialect, escape_formulas) as write:
            yield write
        sys.stdout.buffer.flush()
        return
    opened = OPENERS.get(Path(path).suffix, open)
    with (
        replacing(path) as temporary,
        opened(temporary, "wb") as file,
        WRITERS[name](file, dialect, escape_formulas) as write,
    ):
        yield write


@contextmanager
def _csv_writer(file, dialect, escape_formulas):
    n_blocks, signs = 0, {"sep": dialect.separator, "decimal": dialect.decimal}

    def write(block):
        nonlocal n_blocks
        block = _with_escapes(block) if escape_formulas else block
        # The writer of Python quotes no carriage return alone, which ends a row to most readers.
        quoting = csv.QUOTE_NONNUMERIC if _has_returns(block) else csv.QUOTE_MINIMAL
        is_first = n_blocks == 0
        block.to_csv(file, index=False, header=is_first, quoting=quoting, **signs)
        n_blocks += 1

    yield write


def _has_returns(block):
    texts = [block.columns, *(block.iloc[:, j] for j in _text_columns(block))]
    return any("\r" in cell for cells in texts for cell in cells if isinstance(cell, str))


def _text_columns(block):
    return [j for j, dtype in enumerate(block.dtypes) if dtype.kind == "O"]


def _with_escapes(block):
    """Put an apostrophe before texts, names of columns too, that would be formulas."""
    escaped = block.set_axis(map(_escaped, block.columns), axis=1)
    for j in _text_columns(block):
        escaped.isetitem(j, block.iloc[:, j].astype(object).map(_escaped))
    return escaped


def _escaped(cell):
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA_STARTS) else cell


@contextmanager
def _jsonl_writer(file, dialect, escape_formulas):
    # 15 digits are the most that pandas writes.
    yield lambda block: block.to_json(file, orient="records", lines=True, double_precision=15)


@contextmanager
def _parquet_writer(file, dialect, escape_formulas):
    import pyarrow

    parquet, writer = _parquet(), None

    def write(block):
        nonlocal writer
        schema = writer.schema if writer else None
        try:
            table = pyarrow.Table.from_pandas(block, schema, preserve_index=False)
        except pyarrow.ArrowException as error:
            raise ValueError(
                f"a column has another type in rows {block.index[0]} to {block.index[-1]} "
                f"(counted from 0) than before: {error}. Write CSV, or more rows at a time by "
                "--block-rows."
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
        # Not sys.stdin, whose encoding is that of the terminal.
        return open(sys.stdin.fileno(), encoding="utf-8-sig", newline="", closefd=False)
    return OPENERS.get(Path(path).suffix, open)(path, "rt", encoding="utf-8-sig", newline="")


def _parquet():
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise ImportError("Parquet needs pyarrow: pip install 'skvae[cli]'") from error
    return parquet
