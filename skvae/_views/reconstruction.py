"""What was expected of cells beside what was observed."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from .axes import BLACK, BLUE, SHOWN, as_named_frame, load_pyplot, verbatim

__all__ = ["ReconstructionDisplay"]


MOST_PANELS = 12


class ReconstructionDisplay:
    """What the model expects in each cell against what is there, a panel a column.

    Create it with `from_estimator` or `from_predictions`.

    Parameters
    ----------
    observed, expected : DataFrame of shape (n_samples, n_features)
        Cells and the decoder's means, in the columns' own units.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes
        A panel a column.
    figure_ : matplotlib Figure

    See Also
    --------
    skvae.VAETransformer : Its methods ``transform`` and ``inverse_transform`` give what is
        expected.
    """

    def __init__(self, *, observed: Any, expected: Any) -> None:
        self.observed = observed
        self.expected = expected

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: ArrayLike, *, columns: Sequence[Any] | None = None
    ) -> Self:
        """Draw the cells of a table and what the model expects there.

        Parameters
        ----------
        estimator : VAETransformer
            Fitted.
        X : array-like or DataFrame of shape (n_samples, n_features)
        columns : list, default=None
            Names (positions for arrays) of the columns drawn; by default the first 12
            that hold numbers.

        Returns
        -------
        display : ReconstructionDisplay

        Raises
        ------
        TypeError
            If the estimator has no ``inverse_transform``.
        """
        if not hasattr(estimator, "inverse_transform"):
            raise TypeError(
                f"{cls.__name__} needs a VAETransformer. Got a {type(estimator).__name__}: fit a "
                "VAETransformer to the same rows, or ask expected(X) what is expected of each cell."
            )
        expected = estimator.inverse_transform(np.asarray(estimator.transform(X)))
        return cls.from_predictions(X, expected, columns=columns)

    @classmethod
    def from_predictions(
        cls, X: ArrayLike, expected: Any, *, columns: Sequence[Any] | None = None
    ) -> Self:
        """Draw cells and what is expected there.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
            NaN where missing: such cells are left out.
        expected : array-like or DataFrame of shape (n_samples, n_features)
            What ``inverse_transform`` returns.
        columns : list, default=None

        Returns
        -------
        display : ReconstructionDisplay
        """
        observed = as_named_frame(X)
        expected = pd.DataFrame(np.asarray(expected), observed.index, observed.columns)
        if columns is None:
            numeric = observed.select_dtypes("number").columns
            columns = list(numeric if len(numeric) else observed.columns)[:MOST_PANELS]
        if isinstance(columns, str) or len(columns) == 0:
            raise ValueError(f"columns must be a list of at least one name. Got {columns!r}.")
        for name in columns:
            cells = observed[name].astype(object)
            if (pd.to_numeric(cells, errors="coerce").isna() & cells.notna()).any():
                raise ValueError(f"Column {name!r} holds text: leave it out of columns.")
        return cls(observed=observed[columns], expected=expected[columns]).plot()

    def plot(self) -> Self:
        """Draw the panels, each between the extremes of nearly all of its cells.

        Returns
        -------
        display : ReconstructionDisplay
        """
        columns = list(self.observed.columns)
        n_across = min(len(columns), int(np.ceil(np.sqrt(len(columns)))))
        n_down = int(np.ceil(len(columns) / n_across))
        self.figure_, axes = load_pyplot().subplots(
            n_down,
            n_across,
            figsize=(max(4.0, 2.4 * n_across), max(3.6, 2.3 * n_down)),
            layout="constrained",
            squeeze=False,
        )
        for ax in axes.ravel()[len(columns) :]:
            ax.remove()
        self.axes_ = axes.ravel()[: len(columns)]
        for ax, name in zip(self.axes_, columns, strict=True):
            _draw_panel(ax, name, self.observed[name], self.expected[name])
        self.figure_.supxlabel("observed (the column's own units)")
        self.figure_.supylabel("expected (same units)")
        return self


def _draw_panel(ax, name, observed, expected):
    """Draw one column, and the line on which both are equal."""
    pairs = np.column_stack([observed, expected]).astype(float)
    pairs = pairs[~np.isnan(pairs).any(axis=1)]
    ax.scatter(*pairs.T, s=6, alpha=0.4, color=BLUE, linewidths=0, rasterized=True)
    ax.set_title(verbatim(name), fontsize="medium")
    ax.locator_params(nbins=4)
    if len(pairs):
        low, high = np.quantile(pairs, SHOWN)
        margin = 0.05 * (high - low) or 1.0
        ax.set_xlim(low - margin, high + margin)
        ax.set_ylim(low - margin, high + margin)
        ax.axline((low, low), slope=1, color=BLACK, lw=1)
