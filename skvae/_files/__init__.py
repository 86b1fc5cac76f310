"""Files of models and of tables."""

from .atomic import check_output, replacing
from .models import load, save
from .tables import format_of, read_blocks, read_table_file, separator_of, writing

__all__ = [
    "check_output",
    "format_of",
    "load",
    "read_blocks",
    "read_table_file",
    "replacing",
    "save",
    "separator_of",
    "writing",
]
