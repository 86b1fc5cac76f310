"""Files of models and of tables."""

from .atomic import check_output, replacing
from .models import load, save
from .tables import dialect_of, format_of, read_blocks, read_table_file, writing

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
