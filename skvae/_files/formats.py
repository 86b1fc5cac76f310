"""Formats of tables in files, by their names and suffixes, and the signs of CSV."""

import bz2
import gzip
import lzma
import re
from pathlib import Path
from typing import NamedTuple

__all__ = [
    "DIALECT",
    "FORMATS",
    "OPENERS",
    "STREAM",
    "Dialect",
    "dialect_of",
    "format_of",
    "parquet",
    "stem_of",
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


def stem_of(name):
    """Name of a file without the suffixes of its format and compression, if it has such.

    Examples
    --------
    >>> stem_of("part.0.csv.gz")
    'part.0'
    """
    plain = name.removesuffix(Path(name).suffix) if Path(name).suffix in OPENERS else name
    return Path(plain).stem if Path(plain).suffix.lower() in SUFFIXES else name


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


def parquet():
    """Arrow's module for Parquet."""
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise ImportError("Parquet needs pyarrow: pip install 'skvae[cli]'") from error
    return parquet
