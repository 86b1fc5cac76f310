"""Files of models and of tables."""

from .atomic import check_output, remove_abandoned, replacing
from .fitting import drawn, fit_files, fit_sample
from .formats import FORMATS, dialect_of, format_of, stem_of
from .models import digest_of, load, save
from .parts import Part, folder_of, is_many, keys_of, parts_of
from .read import read_blocks, read_table_file
from .sample import Sample, sample_of
from .sources import blocks_of
from .write import writing

__all__ = [
    "FORMATS",
    "Part",
    "Sample",
    "blocks_of",
    "check_output",
    "dialect_of",
    "digest_of",
    "drawn",
    "fit_files",
    "fit_sample",
    "folder_of",
    "format_of",
    "is_many",
    "keys_of",
    "load",
    "parts_of",
    "read_blocks",
    "read_table_file",
    "remove_abandoned",
    "replacing",
    "sample_of",
    "save",
    "stem_of",
    "writing",
]
