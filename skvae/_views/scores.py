"""The distribution of scores."""

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import check_array

from .._estimators import integer
from .axes import BLACK, BLUE, VERMILLION, axes_or_new, checked_labels, drawn_on
from .numbers import short_nats

__all__ = ["ScoreDistributionDisplay"]


MOST_BINS = 10_000
P_VALUES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)


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
            labels=None if y is None else checked_labels(y, scores),
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
        integer(1, MOST_BINS).check("bins", bins, self)
        ax = axes_or_new(ax)
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
            label = f"threshold: {short_nats(self.threshold)}"
            self.threshold_line_ = ax.axvline(self.threshold, color=BLACK, ls="--", label=label)
        ax.set_xlabel("anomaly score (nats; scores beyond the axis count in its last bins)")
        ax.set_ylabel("share of rows in a bin")
        ax.legend()
        self.p_value_axis_ = self._draw_p_values(ax, low, high)
        return drawn_on(self, ax)

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
