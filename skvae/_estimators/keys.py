"""Columns that say little of what is normal as they stand: keys, and text that is no level."""

import re
import warnings
from collections.abc import Mapping
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np

from .settings import listed

__all__ = ["texts_are_levels", "warn_of_keys"]

FEWEST = 20  # cells by which a key can be told from chance
LEVELS_READ = 1000  # of a column of text
COMMAS = re.compile(r"\s*[+-]?\d*(,\d+)+(\.\d*)?\s*")
DATE = re.compile(
    r"""\s*( \d{4} ([-/.]) \d{1,2} \2 \d{1,2}  # 2024-05-01
        | \d{1,2} ([-/.]) \d{1,2} \3 \d{4}      # 5/1/2024
        | \d{2} ([-/.]) \d{2} \4 \d{2}          # 01.05.24
        ) ([T\s].*)?""",
    re.VERBOSE | re.DOTALL,
)


class _Kind(NamedTuple):
    """What text may be in the place of levels."""

    name: str
    texts: re.Pattern
    way_out: str


OTHERS = [
    _Kind("dates", DATE, "Make numbers of their parts by pandas.to_datetime and .dt"),
    _Kind(
        "numbers with commas",
        COMMAS,
        "Read them with decimal=',' (on the command line: --decimal ,), or with thousands=',' if "
        "it parts thousands",
    ),
]


class TextAsLevels(UserWarning):
    """Warns of text that looks like something else than levels."""


def warn_of_keys(raw, likelihoods):
    """Warn of keys, and of dates and numbers as text, in the table that is fitted.

    Parameters
    ----------
    raw : RawTable
    likelihoods : str or dict
        The parameter. Columns whose noise model it names are taken for what it says.
    """
    named = likelihoods if isinstance(likelihoods, Mapping) else {}
    columns = [j for j, name in enumerate(raw.names) if named.get(name, "auto") == "auto"]
    levels = {j: raw.levels[j] for j in columns if raw.kinds[j] == "category"}
    others = {j: kind for j in levels for kind in OTHERS if _are_written_as(kind.texts, levels[j])}
    keys = [j for j in columns if j not in others and raw.kinds[j] in KEYS and _is_key(raw, j)]
    for kind in OTHERS:
        names = [raw.names[j] for j in others if others[j] is kind]
        if names:
            example = raw.levels[raw.names.index(names[0])][0]
            warnings.warn(
                f"Text in {listed(names)} looks like {kind.name}, such as {example!r}: as levels, "
                f"none is near another. {kind.way_out}, or {_way_out(names)}; if they are levels, "
                "name the column's noise model in likelihoods.",
                TextAsLevels,
                stacklevel=2,
            )
    if keys:
        names = [raw.names[j] for j in keys]
        warnings.warn(
            f"Nearly every row has a value of its own in {listed(names)}, as in a key: it says "
            f"nothing of what is normal. If it is one, {_way_out(names)}; if not, name its noise "
            "model in likelihoods.",
            stacklevel=2,
        )


@contextmanager
def texts_are_levels():
    """Refuse text that is something else: a file of text says what is what in no other way."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", TextAsLevels)
            yield
    except TextAsLevels as warning:
        raise ValueError(str(warning)) from warning


def _way_out(names):
    return f"leave it out (on the command line: --exclude {','.join(map(str, names[:10]))})"


def _are_written_as(pattern, levels):
    """Whether nine in ten levels are written so."""
    texts = [isinstance(level, str) and pattern.fullmatch(level) for level in levels[:LEVELS_READ]]
    return len(texts) > 0 and np.mean([bool(text) for text in texts]) >= 0.9


def _is_key(raw, j):
    cells = raw.values[:, j]
    cells = cells[~np.isnan(cells)]
    return len(cells) >= FEWEST and bool(KEYS[raw.kinds[j]](cells))


def _differ(cells):
    """Whether there are nine tenths as many levels, given as positions, as rows."""
    return len(np.unique(cells)) >= 0.9 * len(cells)


def _number(cells):
    """Whether integers number the rows: all differ, and they are in order or leave few gaps.

    Amounts may all differ, too, but then they are drawn from many more than there are rows.
    """
    n_possible = np.ptp(cells) + 1
    steps = np.diff(cells)
    are_in_order = (steps >= 0).all() or (steps <= 0).all()
    if n_possible < 0.99 * len(cells) or not (are_in_order or n_possible <= 1.5 * len(cells)):
        return False
    return len(np.unique(cells)) >= 0.99 * len(cells)


KEYS = {"category": _differ, "integer": _number}
