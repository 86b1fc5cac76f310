"""Scores of blocks of rows, and of files by blocks."""

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
from .scorer import BlockScorer

__all__ = [
    "BlockScorer",
    "Source",
    "Target",
    "about",
    "by_block",
    "counted",
    "known_columns",
    "named",
    "p_values_of_block",
    "scores_of_block",
    "select",
    "text_columns",
    "together",
    "write_blocks",
]
