"""The curve of a training."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from .axes import BLUE, VERMILLION, axes_or_new, drawn_on

__all__ = ["TrainingCurveDisplay"]


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
        ax = axes_or_new(ax)
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
        return drawn_on(self, ax)
