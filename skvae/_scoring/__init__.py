"""Scores of blocks and of files, one by one or many at a time."""

from .blocks import (
    Source,
    Target,
    about,
    by_block,
    counted,
    known_columns,
    named,
    p_values_of_block,
    scores_of_block,
    select,
    text_columns,
    together,
    write_blocks,
)
from .files import score_files, score_parts
from .job import Job
from .scorer import BlockScorer

__all__ = [
    "BlockScorer",
    "Job",
    "Source",
    "Target",
    "about",
    "by_block",
    "counted",
    "known_columns",
    "named",
    "p_values_of_block",
    "score_files",
    "score_parts",
    "scores_of_block",
    "select",
    "text_columns",
    "together",
    "write_blocks",
]
