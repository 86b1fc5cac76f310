"""Columns that tell rows apart and say nothing of what is normal: keys, and dates as text."""

import re
import warnings
from collections.abc import Mapping

import numpy as np

from .settings import listed

__all__ = ["warn_of_keys"]

FEWEST = 20  # cells by which a key can be told from chance
LEVELS_READ = 1000  # of a column of text
DATE = re.compile(
    r"""\s*( \d{4} ([-/.]) \d{1,2} \2 \d{1,2}  # 2024-05-01
        | \d{1,2} ([-/.]) \d{1,2} \3 \d{4}      # 5/1/2024
        | \d{2} ([-/.]) \d{2} \4 \d{2}          # 01.05.24
        ) ([T\s].*)?""",
    re.VERBOSE | re.DOTALL,
)


def warn_of_keys(raw, likelihoods):
    """Warn of keys and of dates as text in the table that is fitted.

    Parameters
    ----------
    raw : RawTable
    likelihoods : str or dict
        The parameter. Columns whose noise model it names are taken for what it says.
    """
    named = likelihoods if isinstance(likelihoods, Mapping) else {}
    columns = [j for j, name in enumerate(raw.names) if named.get(name, "auto") == "auto"]
    dates = [j for j in columns if raw.kinds[j] == "category" and _are_dates(raw.levels[j])]
    keys = [j for j in columns if j not in dates and raw.kinds[j] in KEYS and _is_key(raw, j)]
    if dates:
        names = [raw.names[j] for j in dates]
        warnings.warn(
            f"Text in {listed(names)} looks like dates, such as {raw.levels[dates[0]][0]!r}: as "
            "levels, no date is near another. Make numbers of its parts by pandas.to_datetime "
            f"and .dt, or {_way_out(names)}.",
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


def _way_out(names):
    return f"leave it out (on the command line: --exclude {','.join(map(str, names[:10]))})"


def _are_dates(levels):
    """Whether nine in ten levels are written as dates are."""
    texts = [isinstance(level, str) and DATE.fullmatch(level) for level in levels[:LEVELS_READ]]
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
