"""Codes of rows in a plane."""

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.decomposition import PCA
from sklearn.utils import check_consistent_length

from .axes import COLORMAP, axes_or_new, drawn_on

__all__ = ["LatentSpaceDisplay"]


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
        estimator : VAEAnomalyDetector or VAETransformer
            Fitted.
        X : array-like or DataFrame of shape (n_samples, n_features)
        ax : matplotlib Axes, default=None
            By default those of a new figure.

        Returns
        -------
        display : LatentSpaceDisplay
        """
        return cls.from_predictions(estimator.codes(X), estimator.negative_elbo(X), ax=ax)

    @classmethod
    def from_predictions(cls, codes: ArrayLike, scores: ArrayLike, *, ax: Any = None) -> Self:
        """Draw latent codes.

        Parameters
        ----------
        codes : array-like of shape (n_samples, latent_dim)
            What ``codes`` returns.
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
        ax = axes_or_new(ax)
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
        return drawn_on(self, ax)

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
