"""Files of models and of tables."""

from .atomic import check_output, replacing
from .formats import dialect_of, format_of
from .models import load, save
from .read import read_blocks, read_table_file
from .write import writing

__all__ = [
    "check_output",
    "dialect_of",
    "format_of",
    "load",
    "read_blocks",
    "read_table_file",
    "replacing",
    "save",
    "writing",
]
