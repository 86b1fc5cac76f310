"""VAEClusterer: what is about kinds of rows."""

import warnings
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.base import ClusterMixin

from .._engine import is_told_apart, responsibilities, tell_apart, tensors, untouched
from ..nn import Prior
from .base import BaseVAE
from .checks import either, kind, one_of, size
from .declared import documented, parameter, part_of
from .device import scoring_device
from .holes import warn_of_empty_rows

__all__ = ["VAEClusterer"]

_MIXTURES = ("mixture", "full_mixture", "gmvae")
_AT_FIRST = 10  # components of a prior whose clusters are yet to be counted


@documented
@dataclass(eq=False, repr=False)
class VAEClusterer(ClusterMixin, BaseVAE):
    r"""Kinds of rows by a variational autoencoder, whose prior has a component for each.

    A row has a latent code as in `VAETransformer`, the code is of a component of a mixture of
    normals, and the component is the cluster. So columns of any kind are taken as they are, cells
    may be missing, and clusters have probabilities. Rows are scored by their ELBO as
    `VAEAnomalyDetector` does.

    Attributes
    ----------
    labels_ : int ndarray of shape (n_samples,)
        Cluster of each row passed to `fit`, as `predict` gives it.
    n_clusters_ : int
        Clusters that there are: components of the prior of `model_`. Clusters that are the most
        probable one of no row have no label.

    See Also
    --------
    sklearn.mixture.GaussianMixture : For numbers without holes; compare with it first.
    sklearn.cluster.KMeans : For numbers, and clusters that are balls of one size.

    Notes
    -----
    The model is trained under a mixture that starts at codes of the numbers alone. Then the
    mixture begins anew at clusters of the means of the codes that were learned, the largest first,
    with full or diagonal covariances, as codes held out have it, and no weight below 0.001; and
    half as many steps follow. Without this rows of different kinds often came to share a
    component, or all did. Whether clusters differ in their shapes, or in their places alone, is
    decided by which two halves of the rows agree on.

    Where all rows came into one of several clusters nevertheless, though their codes differ, the
    prior begins at clusters of the codes with weights by which each is as probable on average,
    and a warning says so: at least two clusters then have rows. Only `fit` does so, by the first
    5,000 rows, and not where "auto" found one, nor with experts.

    Experts share what is learned of the noise of columns. A row is scored by the mean over draws
    of :math:`\ln \sum_k \pi_k w_k`, w being p(x, z) / q(z | x) of an expert, which is at least
    the log of the sum of experts' :math:`\pi_k e^{ELBO_k}`. `codes` gives a mean code of the
    experts, then the share of each, as `interpolate` takes them.

    Nothing makes clusters the classes that one has in mind: a class may be several kinds of rows,
    or a part of one. Held-out nats (`score`) choose between numbers of clusters and other
    parameters.

    `partial_fit` and ``warm_start=True`` keep the clusters that were found first.

    References
    ----------
    Jiang, Zheng, Tan, Tang and Zhou, "Variational Deep Embedding", 2017, arXiv:1611.05148.
    Dilokthanakul et al., "Deep Unsupervised Clustering with Gaussian Mixture Variational
    Autoencoders", 2016, arXiv:1611.02648.
    Blei and Jordan, "Variational inference for Dirichlet process mixtures", 2006,
    doi:10.1214/06-BA104.
    Lange, Roth, Braun and Buhmann, "Stability-Based Validation of Clustering Solutions", 2004,
    doi:10.1162/089976604773717621.
    Abbasnejad, Dick and van den Hengel, "Infinite Variational Autoencoder for Semi-Supervised
    Learning", 2017, arXiv:1611.07800, for experts.

    Examples
    --------
    >>> import numpy as np
    >>> from skvae import VAEClusterer
    >>> rng = np.random.RandomState(0)
    >>> kinds = np.repeat([0, 1], 200)
    >>> X = rng.normal(size=(400, 3)) + 4 * kinds[:, None]
    >>> clusterer = VAEClusterer(n_clusters=2, max_steps=100, random_state=0).fit(X)
    >>> same = clusterer.labels_ == kinds
    >>> bool(same.mean() > 0.98 or same.mean() < 0.02)
    True
    >>> clusterer.predict_proba([[0.0, np.nan, np.nan]]).shape
    (1, 2)
    """

    prior: str | type = parameter(
        "full_mixture",
        part_of(_MIXTURES, Prior),
        """{"mixture", "full_mixture", "gmvae"} or class
        Latent density p(z), whose components are the clusters: a learned mixture of normals with
        diagonal or full covariances, or of normals that bend with a code of their own.
        """,
    )
    n_clusters: int | str = parameter(
        8,
        either(size(), one_of(["auto"])),
        """int or "auto"
        Clusters. "auto" leaves their number to a Dirichlet process of the codes, of at most 20
        clusters, none of which has less than a hundredth of the codes, or 5.
        """,
    )
    experts: bool = parameter(
        False,
        kind("a bool", lambda value: isinstance(value, (bool, np.bool_))),
        """bool
        Whether each cluster has an encoder and a decoder of its own, for kinds of rows whose
        columns hang together in other ways. They begin as those of all clusters, once these are
        found, and a step then takes as many times as long as there are clusters.
        """,
    )

    @untouched
    def predict_proba(self, X: ArrayLike) -> np.ndarray:
        """Probability of each cluster, for each row.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)

        Returns
        -------
        proba : ndarray of shape (n_samples, n_clusters)
            E_q[p(k | z)]: the mean over draws of the row's code. With ``experts=True`` the mean
            over draws of the weights of experts in the bound on log p(x).

        Raises
        ------
        sklearn.exceptions.NotFittedError, ValueError, TypeError
            As `score_samples`.
        """
        raw = self._read(X)
        warn_of_empty_rows(self.table_, raw)
        return self._over(raw, lambda rows: self._shares(self.model_, rows))

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Most probable cluster of each row.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)

        Returns
        -------
        labels : int ndarray of shape (n_samples,)
            From 0 to ``n_clusters_ - 1``.

        Raises
        ------
        sklearn.exceptions.NotFittedError, ValueError, TypeError
            As `score_samples`.
        """
        return self.predict_proba(X).argmax(axis=1)

    def _shares(self, model, rows):
        return responsibilities(model, *rows, self.draws_, scoring_device(self))

    def _recipe(self):
        recipe = super()._recipe()
        n_at_first = _AT_FIRST if self.n_clusters == "auto" else self.n_clusters
        params = {"n_components": n_at_first} | (recipe.prior_params or {})
        recipe = recipe._replace(prior_params=params)
        if self.__sklearn_is_fitted__():
            return recipe
        has_experts = bool(self.experts) and self.n_clusters != 1
        return recipe._replace(n_clusters=self.n_clusters, experts=has_experts)

    def _architecture(self):
        own = {"n_clusters": self.n_clusters, "experts": self.experts}
        return super()._architecture() | own

    def _trainees(self, recipes, families, fitted, seed):
        n, is_begun = len(fitted.values), self.__sklearn_is_fitted__()
        if not is_begun and self.n_clusters != "auto" and self.n_clusters > n:
            raise ValueError(
                f"n_clusters={self.n_clusters} needs as many rows to fit. Got {n}, those held out "
                'not counted. Use fewer clusters, or "auto".'
            )
        trainees = super()._trainees(recipes, families, fitted, seed)
        found = [each.model.prior for each in trainees if each.recipe.n_clusters is not None]
        if any(prior.n_normals == 0 for prior in found):
            raise ValueError(
                f"prior={self.prior!r} has no components that could be clusters: its n_normals is "
                "0. Use 'mixture' or 'full_mixture', or say how it starts."
            )
        for each in trainees:
            if each.recipe.experts:
                _check_experts(each.recipe, each.model)
        return trainees

    def _outcome(self, trained, training, rows):
        outcome = super()._outcome(trained, training, rows)
        shares = self._shares_of(rows, outcome["model_"])
        for _ in trained:  # each of which may be the one that is kept
            if rows.X is None or shares.shape[1] == 1 or is_told_apart(shares):
                break
            (kept,) = [each for each in trained if each.model is outcome["model_"]]
            is_open = kept.recipe.n_clusters in (None, "auto") or kept.recipe.experts
            if is_open or not self._tell_apart(kept, rows):
                self._warn_of_one(shares.shape[1])
                break
            outcome = super()._outcome(trained, training, rows)
            shares = self._shares_of(rows, outcome["model_"])
        return outcome | {"labels_": shares.argmax(axis=1), "n_clusters_": shares.shape[1]}

    def _shares_of(self, rows, model):
        return self._over(rows.raw, lambda part: self._shares(model, part))

    def _tell_apart(self, kept, rows):
        """Let a model whose clusters are one for all rows have others, and say so where it can."""
        recipe, shares_of = kept.recipe, partial(self._shares_of, rows)
        every_row = rows.take(np.arange(len(rows.raw.values)))  # some may be held out alone
        examples = tensors(every_row, "cpu", torch.float64)
        prior, n = recipe.prior_class(), recipe.n_clusters
        if not tell_apart(kept.model, prior, n, *examples, shares_of):
            return False
        warnings.warn(
            f"Training left all rows in one of {n} clusters. They are parted by "
            "what their codes differ in the most, however little that is: compare score() with "
            "that of n_clusters=1.",
            stacklevel=2,
        )
        return True

    def _warn_of_one(self, n_clusters):
        warnings.warn(
            f"All rows are in one of {n_clusters} clusters: nothing that was learned tells "
            "kinds of rows apart. Fit with more steps, or other columns.",
            stacklevel=2,
        )


def _check_experts(recipe, model):
    """Raise where a part of a model cannot be one of several, each of an expert."""
    posterior, of_classes = model.posterior, model.likelihood.n_components > 0
    follows = posterior.has_encoder and not posterior.searches and posterior.space == "real"
    wrong = [
        (not follows, f"posterior={recipe.posterior!r}", "posterior='diagonal' or 'full'"),
        (model.prior.noise_dim > 0, f"prior={recipe.prior!r}", "prior='full_mixture'"),
        (recipe.divergence is not None, f"divergence={recipe.divergence!r}", "divergence=None"),
        (of_classes, "a column whose classes are components", "another noise model for it"),
    ]
    for is_wrong, got, better in wrong:
        if is_wrong:
            raise ValueError(
                "experts=True takes a posterior that follows from an encoder, a prior that is a "
                f"mixture of normals, and no divergence. Got {got}: use {better}, or experts=False."
            )
