"""What makes one row odd."""

from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from .._estimators import integer
from .._table import as_pandas
from .axes import (
    BLACK,
    BLUE,
    GREY,
    VERMILLION,
    as_named_frame,
    axes_or_new,
    drawn_on,
    set_asinh_scale,
    verbatim,
)
from .numbers import short_nats, written

__all__ = ["ExplanationDisplay"]


class ExplanationDisplay:
    """Waterfall of one row's anomaly score: what each column adds to what is normal.

    Create it with `from_estimator` or `from_predictions`.

    Parameters
    ----------
    parts : Series
        Nats by column: a row of ``explain``.
    cells : Series or None
        The row itself.
    rest : Series or None
        Its ``kl`` and ``baseline``, of ``explain(X, return_rest=True)``.
    threshold : float or None
        Anomaly score above which rows are anomalies.
    repaired : Series or None
        The nearest normal row, as ``repair`` gives it: where it differs, its value is written, too.

    Attributes
    ----------
    bars_ : matplotlib BarContainer
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    See Also
    --------
    ExplanationHeatmapDisplay : The same for many rows.

    Notes
    -----
    ``kl`` is what the row's latent code adds: how unusual the row is as a whole.
    """

    def __init__(
        self,
        *,
        parts: Any,
        cells: Any = None,
        rest: Any = None,
        threshold: float | None = None,
        repaired: Any = None,
    ) -> None:
        self.parts = parts
        self.cells = cells
        self.rest = rest
        self.threshold = threshold
        self.repaired = repaired

    @classmethod
    def from_estimator(cls, estimator: Any, X: ArrayLike, *, row: int = 0, ax: Any = None) -> Self:
        """Draw the explanation of one row of a table.

        Parameters
        ----------
        estimator : VAEAnomalyDetector or VAETransformer
            Fitted.
        X : array-like or DataFrame of shape (n_samples, n_features)
        row : int, default=0
            Its position.
        ax : matplotlib Axes, default=None
            By default those of a new figure.

        Returns
        -------
        display : ExplanationDisplay
        """
        frame = as_pandas(X)
        table = np.asarray(X) if frame is None else frame
        if not -len(table) <= row < len(table):
            raise IndexError(f"row must be one of the {len(table)} rows of X. Got {row}.")
        one = table[[row]] if frame is None else frame.iloc[[row]]
        parts, rest = map(as_named_frame, estimator.explain(one, return_rest=True))
        cells = as_named_frame(one)
        # `explain` is about the ELBO, and so is the threshold only where the score is.
        offset = getattr(estimator, "offset_", None) if estimator.bound == "elbo" else None
        threshold = None if offset is None else -offset
        repaired = None
        if threshold is not None and estimator.predict(one)[0] == -1:
            repaired = as_named_frame(estimator.repair(one)).set_axis(cells.columns, axis=1)
        return cls.from_predictions(
            *(parts.iloc[0], cells.iloc[0]),
            rest=rest.iloc[0],
            threshold=threshold,
            repaired=None if repaired is None else repaired.iloc[0],
            ax=ax,
        )

    @classmethod
    def from_predictions(
        cls,
        parts: Any,
        cells: Any = None,
        *,
        rest: Any = None,
        threshold: float | None = None,
        repaired: Any = None,
        ax: Any = None,
    ) -> Self:
        """Draw the explanation of a row.

        Parameters
        ----------
        parts : Series or array-like
            A row of ``explain``: nats by column.
        cells : Series or array-like, default=None
            The row itself, whose values are then written beside the names.
        rest : Series or array-like, default=None
            The row's ``kl`` and ``baseline``, of ``explain(X, return_rest=True)``; without it
            the waterfall ends at the sum of the columns' parts.
        threshold : float, default=None
            Anomaly score above which rows are anomalies: ``-offset_``.
        repaired : Series or array-like, default=None
            The nearest normal row, as ``repair`` gives it.
        ax : matplotlib Axes, default=None

        Returns
        -------
        display : ExplanationDisplay
        """
        parts, cells, rest, repaired = map(_as_series, (parts, cells, rest, repaired))
        display = cls(parts=parts, cells=cells, rest=rest, threshold=threshold, repaired=repaired)
        return display.plot(ax=ax)

    def plot(self, ax: Any = None, *, max_columns: int = 9) -> Self:
        """Draw the waterfall upwards, the largest part last, to the row's score.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
        max_columns : int, default=9
            The columns with the largest parts have bars of their own; all others share
            one.

        Returns
        -------
        display : ExplanationDisplay
        """
        integer(1).check("max_columns", max_columns, self)
        baseline = 0.0 if self.rest is None else self.rest.iloc[1]
        shown = self._shown(max_columns)
        ends = np.cumsum(shown.to_numpy())
        starts, places = ends - shown.to_numpy(), range(len(shown))
        ax = axes_or_new(ax, height=1.4 + 0.34 * len(shown))
        colors = [VERMILLION if part > 0 else BLUE for part in shown]
        self.bars_ = ax.barh(places, shown, left=starts, color=colors, height=0.7)
        for place, start, end, part in zip(places, starts, ends, shown, strict=True):
            ax.annotate(
                f"{'+' if part > 0 else ''}{short_nats(part)}",
                (max(start, end), place),
                xytext=(4, 0),
                textcoords="offset points",
                va="center",
                fontsize="small",
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8, "alpha": 0.8},
            )
        ax.vlines(ends[:-1], places[:-1], places[1:], color=GREY, lw=0.8)
        lines = {
            "a normal row": (baseline, GREY, "-"),
            "this row": (ends[-1] + baseline, BLACK, "-"),
        }
        if self.threshold is not None:
            lines["threshold"] = (self.threshold, BLACK, "--")
        for label, (score, color, style) in lines.items():
            label = f"{label}: {short_nats(score)}"
            ax.axvline(score - baseline, color=color, ls=style, lw=1, label=label, zorder=0)
        set_asinh_scale(
            ax, np.array([0.0, *ends, *(score - baseline for score, *_ in lines.values())])
        )
        ax.set_yticks(list(places), [*map(verbatim, shown.index)])
        ax.set_xlabel("nats above a normal row (linear up to 10)")
        ax.legend(title="score (nats)", loc="lower right")
        return drawn_on(self, ax)

    def _shown(self, max_columns):
        """Sum of the small parts, and those with bars of their own, the largest last."""
        labels = [*map(self._label, self.parts.index)]
        parts = pd.Series(self.parts.to_numpy(dtype=float), index=labels)
        if self.rest is not None:
            parts = pd.concat([parts, pd.Series({"latent code (kl)": self.rest.iloc[0]})])
        parts = parts.sort_values(key=np.abs, kind="stable")
        rest, parts = parts.iloc[:-max_columns], parts.iloc[-max_columns:]
        if len(rest):
            parts = pd.concat([pd.Series({f"{len(rest)} others": rest.sum()}), parts])
        return parts

    def _label(self, name):
        if self.cells is None or name not in self.cells.index:
            return str(name)
        value = written(self.cells[name])
        normal = value if self.repaired is None else written(self.repaired[name])
        return f"{name} = {value}" if normal == value else f"{name} = {value} (normal: {normal})"


def _as_series(values):
    """Give values as a Series; None stays."""
    return values if values is None or hasattr(values, "iloc") else pd.Series(np.asarray(values))
