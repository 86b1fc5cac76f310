"""How values and nats are written."""

import math

import numpy as np
import pandas as pd

__all__ = ["count", "exact", "hundredths", "in_nats", "percent", "rounded", "short_nats", "written"]


def written(value):
    """Write a cell in four digits."""
    is_number = isinstance(value, (float, np.floating))
    if pd.isna(value):
        return "missing"
    return f"{value:.4g}" if is_number else str(value)


def short_nats(value):
    """Write nats in three digits."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def exact(value):
    """Write a cell in all its digits."""
    return f"{value:.15g}" if isinstance(value, (float, np.floating)) else str(value)


def rounded(values, digits):
    """Numbers with so many digits, those before the point all of them, and None for NaN."""
    values = np.asarray(values, dtype=np.float64).tolist()
    return [None if math.isnan(x) else _shortest(_round(x, digits)) for x in values]


def _round(x, digits):
    return float(round(x) if abs(x) >= 10**digits else f"{x:.{digits}g}")


def hundredths(values):
    """Numbers with two digits after the point."""
    return [_shortest(x) for x in np.round(values, 2).tolist()]


def _shortest(value):
    return int(value) if value.is_integer() and abs(value) < 1e15 else value


def percent(share):
    """Write a share; the space before the sign does not break."""
    percent = f"{100 * share:.0f}" if share >= 0.1 else f"{100 * share:.2g}"
    return f"{percent}\N{NO-BREAK SPACE}%"


def count(n):
    """Write a number of rows, which may be an expected one."""
    return f"{n:,.0f}" if n >= 10 else f"{n:.1f}"


def in_nats(value):
    """Write a score or a part of one; report.js writes them alike."""
    if abs(value) >= 1e7:
        return f"{value:.3g}"
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:z,.{digits}f}".replace("-", "\N{MINUS SIGN}")
