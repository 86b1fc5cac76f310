"""Colours, axes and tables that the displays share."""

import math

import numpy as np
import pandas as pd
from sklearn.utils import check_consistent_length, column_or_1d

from .._table import as_pandas

__all__ = [
    "BLACK",
    "BLUE",
    "COLORMAP",
    "GREY",
    "SHOWN",
    "VERMILLION",
    "as_named_frame",
    "axes_or_new",
    "checked_labels",
    "decades",
    "drawn_on",
    "load_pyplot",
    "set_asinh_scale",
    "verbatim",
]


# Okabe and Ito's palette.
BLUE, VERMILLION, GREY, BLACK = "#0072B2", "#D55E00", "#999999", "#000000"
COLORMAP = "cividis"
SHOWN = (0.005, 0.995)  # quantiles of a column between which its panel extends


def as_named_frame(X):
    """Give a table as a pandas DataFrame."""
    frame = as_pandas(X)
    return pd.DataFrame(np.asarray(X)) if frame is None else frame


def checked_labels(y, scores):
    """+1 and -1, one for each score."""
    y = column_or_1d(y)
    check_consistent_length(y, scores)
    values = pd.unique(y).tolist()
    if not set(values) <= {1, -1}:
        raise ValueError(
            f"y must be +1 for normal rows and -1 for anomalies. Got the values {values[:10]}. If "
            "1 stands for an anomaly, pass np.where(y == 1, -1, 1)."
        )
    return y


def verbatim(text):
    """Text of the user's, of which matplotlib is to take no dollar sign for mathematics."""
    return str(text).replace("$", r"\$")


def set_asinh_scale(ax, values):
    """Make the x axis linear within 10 of 0 and logarithmic beyond, around the values."""
    ax.set_xscale("asinh", linear_width=10)
    low, high = np.arcsinh(np.array([values.min(), values.max()]) / 10)
    room = max(high - low, 0.2)
    ax.set_xlim(*10 * np.sinh([low - 0.05 * room, high + 0.26 * room]))
    ticks = [tick for tick in decades(values.max()) if tick == 0 or tick >= 10]
    ticks = ticks[:: math.ceil(len(ticks) / 6)]
    ax.set_xticks(ticks, [f"{tick:,.0f}" for tick in ticks])
    ax.set_xticks([], minor=True)


def decades(highest):
    """0, 1, 3, 10, 30 ... up to `highest`."""
    ticks = [0, 1, *(factor * 10.0**power for power in range(300) for factor in (3, 10))]
    return [tick for tick in ticks if tick <= highest]


def axes_or_new(ax, width=6.4, height=4.2):
    """Give some axes, or make a figure with one."""
    pyplot = load_pyplot()
    if ax is None:
        _, ax = pyplot.subplots(figsize=(width, height), layout="constrained")
    return ax


def drawn_on(display, ax):
    """Note the axes that a display is drawn on."""
    display.ax_, display.figure_ = ax, ax.figure
    return display


def load_pyplot():
    """Import pyplot, or raise naming the extra."""
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ImportError("Drawing needs matplotlib: pip install 'skvae[plot]'") from error
    return pyplot
