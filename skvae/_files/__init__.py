"""Files of models and of tables."""

from .atomic import check_folder, replacing
from .models import load, save
from .tables import format_of, read_blocks, read_table_file, writing

__all__ = [
    "check_folder",
    "format_of",
    "load",
    "read_blocks",
    "read_table_file",
    "replacing",
    "save",
    "writing",
]
