"""Tables: a DataFrame or an array becomes numbers, a mask of observed cells, and back."""

from .columns import Column, EncodedTable, RawTable
from .domains import DOMAINS, FARTHEST, INVERSE_SINH, LOGARITHM
from .encoder import TableEncoder
from .frames import as_pandas, dtype_name, dtype_named
from .given import given_rows
from .joined import with_column
from .reading import read_table

__all__ = [
    "DOMAINS",
    "FARTHEST",
    "INVERSE_SINH",
    "LOGARITHM",
    "Column",
    "EncodedTable",
    "RawTable",
    "TableEncoder",
    "as_pandas",
    "dtype_name",
    "dtype_named",
    "given_rows",
    "read_table",
    "with_column",
]
