"""Displays in scikit-learn's form: pictures of a fit, of scores and of explanations.

They use public methods of the estimators alone. matplotlib is imported when something is
drawn, and comes with ``pip install 'skvae[plot]'``. Colours are told apart with any kind
of colour vision.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.decomposition import PCA
from sklearn.utils import check_array, check_consistent_length, column_or_1d
from sklearn.utils.validation import check_is_fitted

from ._checks import integer
from ._table import as_pandas

__all__ = [
    "ExplanationDisplay",
    "ExplanationHeatmapDisplay",
    "LatentSpaceDisplay",
    "ReconstructionDisplay",
    "ScoreDistributionDisplay",
    "TrainingCurveDisplay",
]

# Okabe and Ito's palette.
BLUE, VERMILLION, GREY, BLACK = "#0072B2", "#D55E00", "#999999", "#000000"
COLORMAP = "cividis"
MOST_PANELS = 12
P_VALUES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
SHOWN = (0.005, 0.995)  # quantiles of a column between which its panel extends


class TrainingCurveDisplay:
    """ELBO by training step, of the batches and of held-out rows.

    Create it with `from_estimator` or `from_predictions`.

    Parameters
    ----------
    history : dict of str to list
        ``history_`` of a fitted estimator.

    Attributes
    ----------
    lines_ : list of matplotlib Line2D
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    See Also
    --------
    skvae.VAEAnomalyDetector : Its attribute ``history_`` is what is drawn.

    Notes
    -----
    In part of a batch the encoder does not see some cells, so the batches' curve may lie
    below that of the held-out rows.
    """

    def __init__(self, *, history: Mapping[str, Sequence[float]]) -> None:
        self.history = history

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: Any = None) -> Self:
        """Draw the training curve of a fitted estimator.

        Parameters
        ----------
        estimator : VAEAnomalyDetector or VAETransformer
            Fitted.
        ax : matplotlib Axes, default=None
            By default those of a new figure.

        Returns
        -------
        display : TrainingCurveDisplay
        """
        check_is_fitted(estimator)
        return cls.from_predictions(estimator.history_, ax=ax)

    @classmethod
    def from_predictions(cls, history: Mapping[str, Sequence[float]], *, ax: Any = None) -> Self:
        """Draw a training curve from its record.

        Parameters
        ----------
        history : dict of str to list
            ``step``, and by step the ELBO ``train`` and ``validation`` in nats per row.
        ax : matplotlib Axes, default=None

        Returns
        -------
        display : TrainingCurveDisplay
        """
        return cls(history=history).plot(ax=ax)

    def plot(self, ax: Any = None) -> Self:
        """Draw the curves; the first tenth of the steps may begin below the frame.

        Parameters
        ----------
        ax : matplotlib Axes, default=None

        Returns
        -------
        display : TrainingCurveDisplay
        """
        ax = _axes(ax)
        history = {key: np.asarray(values, dtype=float) for key, values in self.history.items()}
        steps = history["step"]
        styles = {"train": ("batches", BLUE), "validation": ("held-out rows", VERMILLION)}
        self.lines_, late = [], []
        for key, (label, color) in styles.items():
            if not np.isnan(history[key]).all():
                self.lines_ += ax.plot(steps, history[key], color=color, label=label)
                late.append(history[key][steps >= 0.1 * steps[-1]])
        low, high = np.nanmin(np.concatenate(late)), np.nanmax(np.concatenate(late))
        margin = 0.05 * (high - low) or 1.0
        ax.set_ylim(low - margin, high + margin)
        ax.set_xlabel("training step")
        ax.set_ylabel("ELBO (nats per row)")
        ax.legend(loc="lower right")
        return _drawn(self, ax)


class ScoreDistributionDisplay:
    """Histogram of anomaly scores with the threshold and an axis of p-values.

    Create it with `from_estimator` or `from_predictions`.

    Parameters
    ----------
    scores : ndarray of shape (n_samples,)
        Anomaly scores, higher for odder rows.
    labels : ndarray of shape (n_samples,) or None
        Group of each row, +1 for normal and -1 for anomalies.
    threshold : float or None
        Score above which rows are anomalies.
    calibration_scores : ndarray of shape (m,) or None
        Scores of the calibration rows, higher for more normal ones.

    Attributes
    ----------
    threshold_line_ : matplotlib Line2D or None
    p_value_axis_ : matplotlib SecondaryAxis or None
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    See Also
    --------
    ExplanationHeatmapDisplay : Which columns make the oddest rows odd.
    """

    def __init__(
        self,
        *,
        scores: Any,
        labels: Any = None,
        threshold: float | None = None,
        calibration_scores: Any = None,
    ) -> None:
        self.scores = scores
        self.labels = labels
        self.threshold = threshold
        self.calibration_scores = calibration_scores

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: ArrayLike, y: ArrayLike | None = None, *, ax: Any = None
    ) -> Self:
        """Draw the scores of a table's rows.

        Parameters
        ----------
        estimator : VAEAnomalyDetector or VAETransformer
            Fitted. Only a detector has a threshold and p-values.
        X : array-like or DataFrame of shape (n_samples, n_features)
        y : array-like of shape (n_samples,), default=None
            +1 for normal rows and -1 for anomalies, drawn apart.
        ax : matplotlib Axes, default=None
            By default those of a new figure.

        Returns
        -------
        display : ScoreDistributionDisplay
        """
        offset = getattr(estimator, "offset_", None)
        threshold = None if offset is None else -offset
        return cls.from_predictions(
            -estimator.score_samples(X),
            y,
            threshold=threshold,
            calibration_scores=getattr(estimator, "calibration_scores_", None),
            ax=ax,
        )

    @classmethod
    def from_predictions(
        cls,
        scores: ArrayLike,
        y: ArrayLike | None = None,
        *,
        threshold: float | None = None,
        calibration_scores: ArrayLike | None = None,
        ax: Any = None,
    ) -> Self:
        """Draw anomaly scores.

        Parameters
        ----------
        scores : array-like of shape (n_samples,)
            In nats, higher for odder rows: ``-score_samples(X)`` or ``negative_elbo(X)``.
        y : array-like of shape (n_samples,), default=None
            +1 for normal rows and -1 for anomalies, drawn apart.
        threshold : float, default=None
            Score above which rows are anomalies: ``-offset_``.
        calibration_scores : array-like of shape (m,), default=None
            Scores behind p-values: ``calibration_scores_``.
        ax : matplotlib Axes, default=None

        Returns
        -------
        display : ScoreDistributionDisplay

        Raises
        ------
        ValueError
            If a score is not finite, or y is no +1 or -1 for each row.
        """
        scores = check_array(scores, ensure_2d=False, input_name="scores")
        display = cls(
            scores=scores,
            labels=None if y is None else _labels(y, scores),
            threshold=threshold,
            calibration_scores=calibration_scores,
        )
        return display.plot(ax=ax)

    def plot(self, ax: Any = None, *, bins: int = 60) -> Self:
        """Draw the histogram; scores beyond its ends are counted in the outermost bins.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
        bins : int, default=60

        Returns
        -------
        display : ScoreDistributionDisplay
        """
        ax = _axes(ax)
        low, high = self._ends()
        edges = np.linspace(low, high, bins + 1)
        groups = {"rows": (self.scores, BLUE)}
        if self.labels is not None:
            normal = self.labels == 1
            groups = {
                "normal": (self.scores[normal], BLUE),
                "anomalies": (self.scores[~normal], VERMILLION),
            }
        for label, (scores, color) in groups.items():
            shares = np.full(len(scores), 1 / max(1, len(scores)))
            label = f"{label} (n = {len(scores):,})"
            ax.hist(
                scores.clip(low, high), edges, weights=shares, color=color, alpha=0.6, label=label
            )
        self.threshold_line_ = None
        if self.threshold is not None:
            label = f"threshold: {_nats(self.threshold)}"
            self.threshold_line_ = ax.axvline(self.threshold, color=BLACK, ls="--", label=label)
        ax.set_xlabel("anomaly score (nats; scores beyond the axis count in its last bins)")
        ax.set_ylabel("share of rows in a bin")
        ax.legend()
        self.p_value_axis_ = self._draw_p_values(ax, low, high)
        return _drawn(self, ax)

    def _draw_p_values(self, ax, low, high):
        """Mark above where p-values pass round numbers, the smallest first, without crowding."""
        if self.calibration_scores is None or len(self.calibration_scores) == 0:
            return None
        calibration = np.sort(-np.asarray(self.calibration_scores))[::-1]
        ranks = np.floor(np.multiply(P_VALUES, len(calibration) + 1) + 1e-9).astype(int)
        ticks, inches = {}, ax.bbox.width / ax.figure.dpi
        for p_value, rank in zip(P_VALUES, ranks, strict=True):
            if rank > 0 and low <= calibration[rank - 1] <= high:
                room = 0.36 / inches * (high - low)
                if all(abs(calibration[rank - 1] - tick) >= room for tick in ticks):
                    ticks[calibration[rank - 1]] = f"{p_value:g}"
        axis = ax.secondary_xaxis("top")
        axis.set_xticks(list(ticks), list(ticks.values()))
        axis.set_xlabel("p-value")
        return axis

    def _ends(self):
        """Scores between which the histogram extends: the bulk, and the threshold with room."""
        low, high = np.quantile(self.scores, [0.001, 0.95])
        if self.threshold is not None:
            low, high = min(low, self.threshold), max(high, self.threshold)
            high = max(high, self.threshold + 0.25 * (self.threshold - low))
        return low, max(high, low + 1e-9 * max(1.0, abs(low)))


class ExplanationDisplay:
    """Waterfall of one row's anomaly score: what each column adds to what is normal.

    Create it with `from_estimator` or `from_predictions`.

    Parameters
    ----------
    parts : Series
        Nats by column, then ``kl`` and ``baseline``: a row of ``explain``.
    cells : Series or None
        The row itself.
    threshold : float or None
        Anomaly score above which rows are anomalies.

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

    def __init__(self, *, parts: Any, cells: Any = None, threshold: float | None = None) -> None:
        self.parts = parts
        self.cells = cells
        self.threshold = threshold

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
        parts, cells = _named(estimator.explain(one)), _frame(one)
        # `explain` is about the ELBO, and so is the threshold only where the score is.
        offset = getattr(estimator, "offset_", None) if estimator.bound == "elbo" else None
        threshold = None if offset is None else -offset
        return cls.from_predictions(parts.iloc[0], cells.iloc[0], threshold=threshold, ax=ax)

    @classmethod
    def from_predictions(
        cls, parts: Any, cells: Any = None, *, threshold: float | None = None, ax: Any = None
    ) -> Self:
        """Draw the explanation of a row.

        Parameters
        ----------
        parts : Series or array-like
            A row of ``explain``: nats by column, then ``kl`` and ``baseline``.
        cells : Series or array-like, default=None
            The row itself, whose values are then written beside the names.
        threshold : float, default=None
            Anomaly score above which rows are anomalies: ``-offset_``.
        ax : matplotlib Axes, default=None

        Returns
        -------
        display : ExplanationDisplay
        """
        if not hasattr(parts, "iloc"):
            parts = _named(np.atleast_2d(parts)).iloc[0]
        cells = cells if cells is None or hasattr(cells, "iloc") else pd.Series(cells)
        return cls(parts=parts, cells=cells, threshold=threshold).plot(ax=ax)

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
        baseline, shown = self.parts.iloc[-1], self._shown(max_columns)
        ends = np.cumsum(shown.to_numpy())
        starts, places = ends - shown.to_numpy(), range(len(shown))
        ax = _axes(ax, height=1.4 + 0.34 * len(shown))
        colors = [VERMILLION if part > 0 else BLUE for part in shown]
        self.bars_ = ax.barh(places, shown, left=starts, color=colors, height=0.7)
        for place, start, end, part in zip(places, starts, ends, shown, strict=True):
            ax.annotate(
                f"{'+' if part > 0 else ''}{_nats(part)}",
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
            label = f"{label}: {_nats(score)}"
            ax.axvline(score - baseline, color=color, ls=style, lw=1, label=label, zorder=0)
        _set_asinh_scale(
            ax, np.array([0.0, *ends, *(score - baseline for score, *_ in lines.values())])
        )
        ax.set_yticks(list(places), [*map(_verbatim, shown.index)])
        ax.set_xlabel("nats above a normal row (linear up to 10)")
        ax.legend(title="score (nats)", loc="lower right")
        return _drawn(self, ax)

    def _shown(self, max_columns):
        """Sum of the small parts, and those with bars of their own, the largest last."""
        *names, _, _ = self.parts.index  # columns may be called "kl" and "baseline", too
        labels = [*map(self._label, names), "latent code (kl)"]
        parts = pd.Series(self.parts.iloc[:-1].to_numpy(dtype=float), index=labels)
        parts = parts.sort_values(key=np.abs, kind="stable")
        rest, parts = parts.iloc[:-max_columns], parts.iloc[-max_columns:]
        if len(rest):
            parts = pd.concat([pd.Series({f"{len(rest)} others": rest.sum()}), parts])
        return parts

    def _label(self, name):
        if self.cells is None or name not in self.cells.index:
            return str(name)
        return f"{name} = {_written(self.cells[name])}"


class ExplanationHeatmapDisplay:
    """The oddest rows of a table by column: where they are odd, in nats.

    Create it with `from_estimator` or `from_predictions`.

    Parameters
    ----------
    parts : DataFrame of shape (n_samples, n_features + 2)
        What ``explain`` returns.
    cells : DataFrame of shape (n_samples, n_features) or None
        The rows themselves.

    Attributes
    ----------
    image_ : matplotlib AxesImage
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    See Also
    --------
    ExplanationDisplay : One row in detail.
    """

    def __init__(self, *, parts: Any, cells: Any = None) -> None:
        self.parts = parts
        self.cells = cells

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
        return cls.from_predictions(estimator.explain(X), X, n_rows=n_rows, ax=ax)

    @classmethod
    def from_predictions(
        cls, parts: Any, cells: Any = None, *, n_rows: int = 12, ax: Any = None
    ) -> Self:
        """Draw the oddest rows from their explanations.

        Parameters
        ----------
        parts : array-like or DataFrame of shape (n_samples, n_features + 2)
            What ``explain`` returns.
        cells : array-like or DataFrame of shape (n_samples, n_features), default=None
            The rows, whose values are then written into the odd cells.
        n_rows : int, default=12
        ax : matplotlib Axes, default=None

        Returns
        -------
        display : ExplanationHeatmapDisplay
        """
        display = cls(parts=_named(parts), cells=None if cells is None else _frame(cells))
        integer(1).check("n_rows", n_rows, display)
        scores = display.parts.sum(axis=1).to_numpy()
        oddest = np.argsort(-scores, kind="stable")[:n_rows]
        display.parts = display.parts.iloc[oddest]
        display.cells = None if cells is None else display.cells.iloc[oddest]
        return display.plot(ax=ax)

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
        parts = self.parts.iloc[:, :-1]
        largest = np.sort(np.argsort(-parts.max().to_numpy(), kind="stable")[:max_columns])
        has_cells = largest < parts.shape[1] - 1  # all but the latent code
        parts = parts.iloc[:, largest]
        size = (1.8 + 0.72 * parts.shape[1], 1.6 + 0.34 * len(parts))
        ax = _axes(ax, width=max(6.4, size[0]), height=max(3.2, size[1]))
        nats = parts.to_numpy().clip(0)
        norm = AsinhNorm(1, vmin=0, vmax=max(2.0, nats.max()))
        self.image_ = ax.imshow(nats, norm=norm, cmap=COLORMAP, aspect="auto")
        self._write_cells(ax, parts.loc[:, has_cells], norm)
        names = [*map(_verbatim, parts.columns)]
        ax.set_xticks(range(parts.shape[1]), names, rotation=40, ha="right")
        ax.set_xticks(np.arange(parts.shape[1]) + 0.5, minor=True)
        ax.set_yticks(range(len(parts)), [*map(_verbatim, parts.index)])
        ax.tick_params(which="minor", length=0)
        ax.set_ylabel("row")
        ticks = _decades(norm.vmax)
        colorbar = ax.figure.colorbar(self.image_, ax=ax, ticks=ticks, format="{x:,.0f}")
        colorbar.ax.minorticks_off()
        colorbar.set_label("nats above normal")
        return _drawn(self, ax)

    def _write_cells(self, ax, parts, norm):
        """Write the values of the cells that are at least one nat above normal."""
        if self.cells is None:
            return
        for row, column in np.argwhere(parts.to_numpy() >= 1):
            name = parts.columns[column]
            if name in self.cells.columns:
                color = BLACK if norm(parts.iloc[row, column]) > 0.55 else "white"
                text = _verbatim(_written(self.cells[name].iloc[row]))
                ax.text(column, row, text, ha="center", va="center", color=color, fontsize=8)


class LatentSpaceDisplay:
    """Rows in the latent space, coloured by their anomaly score.

    Create it with `from_estimator` or `from_predictions`.

    Parameters
    ----------
    codes : ndarray of shape (n_samples, latent_dim)
        Posterior means.
    scores : ndarray of shape (n_samples,)
        Anomaly scores in nats, higher for odder rows.

    Attributes
    ----------
    points_ : matplotlib PathCollection
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    See Also
    --------
    skvae.VAETransformer : Gives the codes.
    """

    def __init__(self, *, codes: Any, scores: Any) -> None:
        self.codes = codes
        self.scores = scores

    @classmethod
    def from_estimator(cls, estimator: Any, X: ArrayLike, *, ax: Any = None) -> Self:
        """Draw the latent codes of a table's rows.

        Parameters
        ----------
        estimator : VAETransformer
            Fitted.
        X : array-like or DataFrame of shape (n_samples, n_features)
        ax : matplotlib Axes, default=None
            By default those of a new figure.

        Returns
        -------
        display : LatentSpaceDisplay
        """
        return cls.from_predictions(estimator.transform(X), estimator.negative_elbo(X), ax=ax)

    @classmethod
    def from_predictions(cls, codes: ArrayLike, scores: ArrayLike, *, ax: Any = None) -> Self:
        """Draw latent codes.

        Parameters
        ----------
        codes : array-like of shape (n_samples, latent_dim)
            What ``transform`` returns.
        scores : array-like of shape (n_samples,)
            Anomaly scores in nats, higher for odder rows.
        ax : matplotlib Axes, default=None

        Returns
        -------
        display : LatentSpaceDisplay
        """
        check_consistent_length(codes, scores)
        return cls(codes=np.asarray(codes), scores=np.asarray(scores)).plot(ax=ax)

    def plot(self, ax: Any = None) -> Self:
        """Draw the points, the oddest on top; principal components beyond two dimensions.

        Parameters
        ----------
        ax : matplotlib Axes, default=None

        Returns
        -------
        display : LatentSpaceDisplay
        """
        ax = _axes(ax)
        points, labels = self._points()
        order = np.argsort(self.scores, kind="stable")
        low, high = np.quantile(self.scores, [0.01, 0.95])
        self.points_ = ax.scatter(
            *points[order].T,
            c=self.scores[order],
            s=10,
            cmap=COLORMAP,
            vmin=low,
            vmax=max(high, low + 1e-9),
            linewidths=0,
        )
        colorbar = ax.figure.colorbar(self.points_, ax=ax, extend="both")
        colorbar.set_label("anomaly score (nats)")
        ax.set_xlabel(labels[0])
        ax.set_ylabel(labels[1])
        return _drawn(self, ax)

    def _points(self):
        """Two coordinates of each row, and what they are."""
        latent_dim = self.codes.shape[1]
        if latent_dim == 1:
            return np.column_stack([self.codes, self.scores]), ["latent code", "score (nats)"]
        if latent_dim == 2:
            return self.codes, ["latent dimension 0", "latent dimension 1"]
        if len(self.codes) < 2:
            raise ValueError(
                f"Principal components of {latent_dim} latent dimensions need 2 rows. Got 1."
            )
        pca = PCA(n_components=2, svd_solver="full").fit(self.codes)
        labels = [
            f"{which} principal component ({share:.0%} of variance)"
            for which, share in zip(("1st", "2nd"), pca.explained_variance_ratio_, strict=True)
        ]
        return pca.transform(self.codes), labels


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
        """
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
        observed = _frame(X)
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
        self.figure_, axes = _pyplot().subplots(
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
    ax.set_title(_verbatim(name), fontsize="medium")
    ax.locator_params(nbins=4)
    if len(pairs):
        low, high = np.quantile(pairs, SHOWN)
        margin = 0.05 * (high - low) or 1.0
        ax.set_xlim(low - margin, high + margin)
        ax.set_ylim(low - margin, high + margin)
        ax.axline((low, low), slope=1, color=BLACK, lw=1)


def _frame(X):
    frame = as_pandas(X)
    return pd.DataFrame(np.asarray(X)) if frame is None else frame


def _named(parts):
    """Give the parts of an array's rows names, as those of a DataFrame have."""
    if hasattr(parts, "iloc"):
        return parts
    parts = np.asarray(parts)
    return pd.DataFrame(parts, columns=[*range(parts.shape[1] - 2), "kl", "baseline"])


def _labels(y, scores):
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


def _written(value):
    is_number = isinstance(value, (float, np.floating))
    if pd.isna(value):
        return "missing"
    return f"{value:.4g}" if is_number else str(value)


def _verbatim(text):
    """Text of the user's, of which matplotlib is to take no dollar sign for mathematics."""
    return str(text).replace("$", r"\$")


def _nats(value):
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _decades(highest):
    """0, 1, 3, 10, 30 ... up to `highest`."""
    ticks = [0, 1, *(factor * 10.0**power for power in range(300) for factor in (3, 10))]
    return [tick for tick in ticks if tick <= highest]


def _set_asinh_scale(ax, values):
    """Make the x axis linear within 10 of 0 and logarithmic beyond, around the values."""
    ax.set_xscale("asinh", linear_width=10)
    low, high = np.arcsinh(np.array([values.min(), values.max()]) / 10)
    room = max(high - low, 0.2)
    ax.set_xlim(*10 * np.sinh([low - 0.05 * room, high + 0.26 * room]))
    ticks = [tick for tick in _decades(values.max()) if tick == 0 or tick >= 10]
    ticks = ticks[:: math.ceil(len(ticks) / 6)]
    ax.set_xticks(ticks, [f"{tick:,.0f}" for tick in ticks])
    ax.set_xticks([], minor=True)


def _axes(ax, width=6.4, height=4.2):
    pyplot = _pyplot()
    if ax is None:
        _, ax = pyplot.subplots(figsize=(width, height), layout="constrained")
    return ax


def _drawn(display, ax):
    display.ax_, display.figure_ = ax, ax.figure
    return display


def _pyplot():
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ImportError("Drawing needs matplotlib: pip install 'skvae[plot]'") from error
    return pyplot
