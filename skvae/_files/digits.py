"""Digits of CSV that are no plain numbers: texts such as 007, and integers beyond 2**53."""

import shutil
import sys
from contextlib import contextmanager
from tempfile import NamedTemporaryFile

import pandas as pd

__all__ = ["rereadable", "restored", "whole_columns"]

PADDED = r"\s*[+-]?0\d.*"  # a number's first digit is 0 alone
LARGEST = 2**53  # float64 tells whole numbers up to here from their neighbours


def whole_columns(X):
    """Names of columns that were read as whole numbers.

    Parameters
    ----------
    X : DataFrame

    Returns
    -------
    names : list
    """
    numbers = X.select_dtypes("number")
    return [name for name, cells in numbers.items() if (cells.dropna() % 1 == 0).all()]


def restored(X, texts):
    """Table whose columns of digits are what they are.

    Parameters
    ----------
    X : DataFrame
    texts : DataFrame of str
        Some columns of it, as they stand in the file.

    Returns
    -------
    X : DataFrame
        With text where a column has cells that are padded with zeros, and integers where
        numbers were rounded.
    """
    return X.assign(**{name: _restored(X[name], cells) for name, cells in texts.items()})


def _restored(cells, texts):
    if texts.str.fullmatch(PADDED, na=False).any():
        return texts
    if cells.dtype.kind == "f" and cells.abs().max() > LARGEST:
        integers = pd.to_numeric(texts, errors="coerce", dtype_backend="numpy_nullable")
        return integers if integers.dtype.kind in "iu" else cells
    return cells


@contextmanager
def rereadable(path):
    """Give a path that can be read twice: of standard input, "-", that of a copy."""
    if path != "-":
        yield path
        return
    with NamedTemporaryFile(suffix=".csv") as copy:
        shutil.copyfileobj(sys.stdin.buffer, copy)
        copy.flush()
        yield copy.name
