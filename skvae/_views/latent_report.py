"""What latent dimensions move."""

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from .axes import BLACK, axes_or_new, drawn_on, verbatim
from .numbers import short_nats, written

__all__ = ["LatentReportDisplay"]

_DARK = 1.2  # standard deviations from which on text is white


class LatentReportDisplay:
    """Columns moved by each latent dimension, in their own units.

    Create it with `from_estimator` or `from_predictions`.

    Parameters
    ----------
    report : LatentReport
        What ``latent_report`` returned.

    Attributes
    ----------
    image_ : matplotlib AxesImage
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    See Also
    --------
    LatentSpaceDisplay : Codes of rows.
    """

    def __init__(self, *, report: Any) -> None:
        self.report = report

    @classmethod
    def from_estimator(cls, estimator: Any, X: ArrayLike, *, ax: Any = None) -> Self:
        """Draw what the latent dimensions of a fitted model move.

        Parameters
        ----------
        estimator : VAEAnomalyDetector or VAETransformer
            Fitted.
        X : array-like or DataFrame of shape (n_samples, n_features)
        ax : matplotlib Axes, default=None
            By default those of a new figure.

        Returns
        -------
        display : LatentReportDisplay
        """
        return cls.from_predictions(estimator.latent_report(X, random_state=0), ax=ax)

    @classmethod
    def from_predictions(cls, report: Any, *, ax: Any = None) -> Self:
        """Draw a report.

        Parameters
        ----------
        report : LatentReport
            What ``latent_report`` returned.
        ax : matplotlib Axes, default=None

        Returns
        -------
        display : LatentReportDisplay
        """
        return cls(report=report).plot(ax=ax)

    def plot(self, ax: Any = None, *, n_dimensions: int = 8, n_columns: int = 12) -> Self:
        """Draw a row for each dimension, those with the most nats first, and what it moves.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
        n_dimensions, n_columns : int, default=8 and 12
            The most that are drawn; columns are those that move farthest in their own spread.

        Returns
        -------
        display : LatentReportDisplay
        """
        dimensions = self.report.dimensions.sort_values("kl", ascending=False)[:n_dimensions]
        moves = self.report.moves.loc[dimensions.index]
        spread = self.report.spread.to_numpy()
        relative = moves.to_numpy() / np.where(spread > 0, spread, 1.0)
        farthest = np.argsort(-np.abs(relative).max(axis=0), kind="stable")[:n_columns]
        farthest.sort()
        relative, moves = relative[:, farthest], moves.iloc[:, farthest]
        width, height = 2.2 + 0.75 * len(farthest), 1.6 + 0.38 * len(dimensions)
        ax = axes_or_new(ax, width, height)
        self.image_ = ax.imshow(relative, cmap="PuOr", vmin=-2, vmax=2, aspect="auto")
        for i, j in np.ndindex(*relative.shape):
            color = "white" if abs(relative[i, j]) > _DARK else BLACK
            text = written(float(f"{moves.iat[i, j]:.2g}"))
            ax.text(j, i, text, ha="center", va="center", color=color, fontsize="small")
        ax.set_xticks(range(len(farthest)), map(verbatim, moves.columns), rotation=30, ha="right")
        labels = [f"{each}: {short_nats(nats)} nats" for each, nats in dimensions["kl"].items()]
        ax.set_yticks(range(len(labels)), labels)
        ax.set_ylabel("latent dimension")
        ax.set_title("moved by two standard deviations of a code", fontsize="medium")
        colorbar = ax.figure.colorbar(self.image_, ax=ax, extend="both")
        colorbar.set_label("in the column's standard deviation")
        return drawn_on(self, ax)
