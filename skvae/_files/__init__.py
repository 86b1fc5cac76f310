"""Files of models and of tables."""

from .atomic import check_output, replacing
from .fitting import fit_files, fit_sample
from .formats import dialect_of, format_of
from .models import digest_of, load, save
from .parts import is_many, parts_of
from .read import read_blocks, read_table_file
from .sample import Sample, sample_of, shown
from .sources import blocks_of
from .write import writing

__all__ = [
    "Sample",
    "blocks_of",
    "check_output",
    "dialect_of",
    "digest_of",
    "fit_files",
    "fit_sample",
    "format_of",
    "is_many",
    "load",
    "parts_of",
    "read_blocks",
    "read_table_file",
    "replacing",
    "sample_of",
    "save",
    "shown",
    "writing",
]
