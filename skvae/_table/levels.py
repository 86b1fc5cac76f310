"""Levels that are the same, however the file was read that they come from."""

import warnings
from collections import defaultdict
from numbers import Number

import numpy as np

from .columns import index_of

__all__ = ["merged", "positions_of"]


FLAGS = {"true": True, "false": False}


def positions_of(levels, known, name):
    """Position of each level among known ones, -1 for others.

    Equal ones are the same. Beyond that a text is the number, flag or interval that it reads
    as: a reader of files makes numbers of the texts of a block where all can be read so.

    Parameters
    ----------
    levels, known : sequence
    name : object
        Of the column, for the error message.

    Returns
    -------
    positions : int ndarray of shape (len(levels),)

    Raises
    ------
    ValueError
        If a level may be one of several.
    """
    positions = index_of(known).get_indexer(index_of(levels))
    if all(isinstance(level, str) for level in [*levels, *known]):
        return positions
    by_reading = defaultdict(list)
    for position, level in enumerate(known):
        by_reading[isinstance(level, str), _reading(level)].append(position)
    for i in np.flatnonzero(positions < 0):
        level = levels[i]
        same = by_reading.get((not isinstance(level, str), _reading(level)), [-1])
        if len(same) > 1:
            texts = " and ".join(repr(known[position]) for position in same[:2])
            raise ValueError(
                f"Column {name!r}: {level!r} may stand for {texts}, which differ as text. Read the "
                "column as text, for example by pandas.read_csv(..., dtype=str)."
            )
        positions[i] = same[0]
    return positions


def merged(codes, levels, name):
    """Positions of cells among levels in which none is the text of another.

    Parameters
    ----------
    codes : int ndarray of shape (n,)
        -1 where missing.
    levels : object ndarray of shape (k,)
    name : object
        Of the column, for the warning.

    Returns
    -------
    codes : int ndarray of shape (n,)
        Cells whose level is another's text have that one's position.
    """
    are_text = np.array([isinstance(level, str) for level in levels], dtype=bool)
    texts, others = np.flatnonzero(are_text), np.flatnonzero(~are_text)
    same = positions_of(levels[others], levels[texts], name)
    if not (same >= 0).any():
        return codes
    first = int(np.argmax(same >= 0))
    warnings.warn(
        f"Column {name!r} holds both {levels[others[first]]!r} and {levels[texts[same[first]]]!r}: "
        "such levels, the same as text, count as one. Turn the column into text by astype(str).",
        stacklevel=2,
    )
    place = np.append(np.arange(len(levels)), -1)  # the last one for holes
    place[others[same >= 0]] = texts[same[same >= 0]]
    return place[codes]


def _reading(level):
    """Give what a reader of files makes of a level's text; numbers as they are."""
    if isinstance(level, Number):
        return level
    text = str(level).strip()
    for reader in (int, float):
        try:
            return reader(text)
        except ValueError:
            continue
    return FLAGS.get(text.lower(), text)
