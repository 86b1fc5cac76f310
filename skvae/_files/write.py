"""Tables written to files block by block, whole or not at all."""

import csv
import sys
from contextlib import contextmanager
from pathlib import Path

from .atomic import replacing
from .formats import DIALECT, OPENERS, STREAM, parquet

__all__ = ["writing"]


FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")  # to spreadsheets


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

    writer = None

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
        writer = writer or parquet().ParquetWriter(file, table.schema)
        writer.write_table(table)

    try:
        yield write
    finally:
        if writer is not None:
            writer.close()


WRITERS = {"csv": _csv_writer, "parquet": _parquet_writer, "jsonl": _jsonl_writer}
