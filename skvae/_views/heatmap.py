"""What makes many rows odd."""

from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from .._estimators import integer
from .axes import (
    BLACK,
    COLORMAP,
    as_named_frame,
    axes_or_new,
    decades,
    drawn_on,
    verbatim,
)
from .numbers import written

__all__ = ["ExplanationHeatmapDisplay"]


class ExplanationHeatmapDisplay:
    """The oddest rows of a table by column: where they are odd, in nats.

    Create it with `from_estimator` or `from_predictions`.

    Parameters
    ----------
    parts : DataFrame of shape (n_samples, n_features)
        What ``explain`` returns.
    cells : DataFrame of shape (n_samples, n_features) or None
        The rows themselves.
    rest : DataFrame of shape (n_samples, 2) or None
        Their ``kl`` and ``baseline``, of ``explain(X, return_rest=True)``.

    Attributes
    ----------
    image_ : matplotlib AxesImage
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    See Also
    --------
    ExplanationDisplay : One row in detail.
    """

    def __init__(self, *, parts: Any, cells: Any = None, rest: Any = None) -> None:
        self.parts = parts
        self.cells = cells
        self.rest = rest

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: ArrayLike, *, n_rows: int = 12, ax: Any = None
    ) -> Self:
        """Draw the oddest rows of a table.

        Parameters
        ----------
        estimator : VAEAnomalyDetector or VAETransformer
            Fitted.
        X : array-like or DataFrame of shape (n_samples, n_features)
        n_rows : int, default=12
            Rows with the highest negative ELBO that are drawn.
        ax : matplotlib Axes, default=None
            By default those of a new figure.

        Returns
        -------
        display : ExplanationHeatmapDisplay
        """
        parts, rest = estimator.explain(X, return_rest=True)
        return cls.from_predictions(parts, X, rest=rest, n_rows=n_rows, ax=ax)

    @classmethod
    def from_predictions(
        cls, parts: Any, cells: Any = None, *, rest: Any = None, n_rows: int = 12, ax: Any = None
    ) -> Self:
        """Draw the oddest rows from their explanations.

        Parameters
        ----------
        parts : array-like or DataFrame of shape (n_samples, n_features)
            What ``explain`` returns.
        cells : array-like or DataFrame of shape (n_samples, n_features), default=None
            The rows, whose values are then written into the odd cells.
        rest : array-like or DataFrame of shape (n_samples, 2), default=None
            Their ``kl`` and ``baseline``, of ``explain(X, return_rest=True)``: then rows rank
            by their scores, and the latent code is a column of its own.
        n_rows : int, default=12
        ax : matplotlib Axes, default=None

        Returns
        -------
        display : ExplanationHeatmapDisplay
        """
        integer(1).check("n_rows", n_rows, cls(parts=parts))
        frames = [None if each is None else as_named_frame(each) for each in (parts, cells, rest)]
        scores = sum(each.sum(axis=1).to_numpy() for each in frames[::2] if each is not None)
        oddest = np.argsort(-scores, kind="stable")[:n_rows]
        parts, cells, rest = (None if each is None else each.iloc[oddest] for each in frames)
        return cls(parts=parts, cells=cells, rest=rest).plot(ax=ax)

    def plot(self, ax: Any = None, *, max_columns: int = 12) -> Self:
        """Draw rows against columns, the colour on a scale that is linear below 1 nat.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
        max_columns : int, default=12
            Columns drawn: those with the largest parts in any of the rows, in their order.

        Returns
        -------
        display : ExplanationHeatmapDisplay
        """
        from matplotlib.colors import AsinhNorm

        integer(1).check("max_columns", max_columns, self)
        n_columns, parts = self.parts.shape[1], self.parts
        if self.rest is not None:
            code = self.rest.iloc[:, :1].set_axis(["latent code (kl)"], axis=1)
            parts = pd.concat([parts, code.set_axis(parts.index)], axis=1)
        largest = np.sort(np.argsort(-parts.max().to_numpy(), kind="stable")[:max_columns])
        has_cells = largest < n_columns  # all but the latent code
        parts = parts.iloc[:, largest]
        size = (1.8 + 0.72 * parts.shape[1], 1.6 + 0.34 * len(parts))
        ax = axes_or_new(ax, width=max(6.4, size[0]), height=max(3.2, size[1]))
        nats = parts.to_numpy().clip(0)
        norm = AsinhNorm(1, vmin=0, vmax=max(2.0, nats.max()))
        self.image_ = ax.imshow(nats, norm=norm, cmap=COLORMAP, aspect="auto")
        self._write_cells(ax, parts.loc[:, has_cells], norm)
        names = [*map(verbatim, parts.columns)]
        ax.set_xticks(range(parts.shape[1]), names, rotation=40, ha="right")
        ax.set_xticks(np.arange(parts.shape[1]) + 0.5, minor=True)
        ax.set_yticks(range(len(parts)), [*map(verbatim, parts.index)])
        ax.tick_params(which="minor", length=0)
        ax.set_ylabel("row")
        ticks = decades(norm.vmax)
        colorbar = ax.figure.colorbar(self.image_, ax=ax, ticks=ticks, format="{x:,.0f}")
        colorbar.ax.minorticks_off()
        colorbar.set_label("nats above normal")
        return drawn_on(self, ax)

    def _write_cells(self, ax, parts, norm):
        """Write the values of the cells that are at least one nat above normal."""
        if self.cells is None:
            return
        for row, column in np.argwhere(parts.to_numpy() >= 1):
            name = parts.columns[column]
            if name in self.cells.columns:
                color = BLACK if norm(parts.iloc[row, column]) > 0.55 else "white"
                text = verbatim(written(self.cells[name].iloc[row]))
                ax.text(column, row, text, ha="center", va="center", color=color, fontsize=8)
