"""Clusters: a mixture prior that begins anew at the codes of a trained model.

The mixture that a training starts at is one of the codes of a linear model of the numbers. Where
levels or curves tell rows apart its components say little, and gradient steps hardly leave them:
those of the codes that were learned do.
"""

import warnings
from copy import deepcopy

import numpy as np
import torch
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import BayesianGaussianMixture, GaussianMixture

from .blocks import by_model
from .start import REGULARIZATION, ROWS_A_NORMAL
from .threads import one_thread, one_thread_of_blas

__all__ = [
    "begin_at_clusters",
    "is_told_apart",
    "mixture_of",
    "mixture_of_sticks",
    "responsibilities",
    "tell_apart",
]


LEAST_WEIGHT = 1e-3  # of a component: below it hardly a code would move it
MOST_CODES = 5_000  # that a mixture is fitted to
N_STARTS = 3  # of a mixture, of which the likeliest is kept
N_STICKS = 20  # of the Dirichlet process
LEAST_SHARE = 0.01  # of the codes: sticks of less, or of too few for a normal, are no clusters
HELD_OUT = 5  # one in so many codes judges what shape covariances have
MOST_BALANCINGS = 200  # of weights: one mostly does, and a row unlike all others takes many
NONE_EMPTY = 1e-9  # share that each row has in each component at least


def begin_at_clusters(model, prior, n_clusters, x, observed, seed):
    """Let the prior of a trained model begin at a mixture of the codes of some rows.

    Parameters
    ----------
    model : VAE
        Gets another prior, of the same class.
    prior : callable
        The class, or one of the same arguments; takes `n_components`.
    n_clusters : int or "auto"
    x, observed : Tensor of shape (n, n_columns)
        Encoded training rows, on the model's device.
    seed : int

    Returns
    -------
    mixture : tuple of Tensor
        Weights, means and covariances that the prior has begun at.

    References
    ----------
    Jiang et al., "Variational Deep Embedding", 2017, arXiv:1611.05148.
    """
    x, visible = x[:MOST_CODES], observed[:MOST_CODES].to(x.dtype)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad(), one_thread(), one_thread_of_blas():
        q = model.infer(x, visible)
        noise = torch.randn(q.mean.shape, generator=generator, dtype=x.dtype)
        drawn = q.transport(noise.to(x.device))
        means, codes = (part.cpu().double().numpy() for part in (q.mean, drawn))
        if n_clusters == "auto":
            mixture = mixture_of_sticks(codes, seed)
        else:
            mixture = mixture_of(means, codes, n_clusters, seed)
        features = model.likelihood.featurize(x, visible).cpu()
        own = prior(model.latent_dim, features, generator=generator, n_components=len(mixture[0]))
        mixture = tuple(torch.tensor(part, dtype=x.dtype) for part in mixture)
        own.to(dtype=x.dtype).start(*mixture)
    model.prior = own.to(x.device)
    return mixture


def tell_apart(model, prior, n_clusters, x, observed, shares_of):
    """Let a model at rest whose clusters are one for all rows have others, where codes differ.

    Its prior begins anew at clusters of the codes, with weights of which each component has the
    same share on average: where no row had another component as the likeliest, all rows would have
    to have the same shares.

    Parameters
    ----------
    model, prior, n_clusters, x, observed
        As in `begin_at_clusters`.
    shares_of : callable
        Gives the probability of each component, for each row, under the weights as they are.

    Returns
    -------
    has_told : bool
        Whether it has; else its prior is the one that it had.
    """
    before = model.prior
    weights, *rest = begin_at_clusters(model, prior, n_clusters, x, observed, seed=0)
    for _ in range(MOST_BALANCINGS):
        shares = shares_of(model)
        if is_told_apart(shares):
            return True
        if (shares == shares[0]).all():  # so are the codes
            break
        weights = weights / torch.tensor(shares.mean(axis=0).clip(NONE_EMPTY))
        weights = weights / weights.sum()
        with torch.no_grad():
            model.prior.start(weights, *rest)
    model.prior = before
    return False


def is_told_apart(shares):
    """Whether the most probable component is not the same for all rows; (n, K) -> bool."""
    labels = shares.argmax(axis=1)
    return bool((labels != labels[0]).any())


def mixture_of(means, codes, n_clusters, seed):
    """Weights, means and covariances of a normal mixture of codes, the largest first.

    Its clusters are found among the means of the codes: where columns say little of a code, as
    levels do, the noise of the codes themselves is wider than what kinds differ by, and mixtures
    of them come to tell wide from narrow. A component then has the moments of its codes, noise
    and all. Covariances are full or diagonal, as codes held out have it.

    Parameters
    ----------
    means, codes : ndarray of shape (n, k)
        Of the posterior of each row: its mean, and a draw.
    n_clusters : int
    seed : int

    Returns
    -------
    weights : ndarray of shape (n_clusters,)
    means : ndarray of shape (n_clusters, k)
    covariances : ndarray of shape (n_clusters, k, k)
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        shares = _clusters(means, n_clusters, seed).predict_proba(means)
    shares = shares[:, np.argsort(-shares.sum(axis=0), kind="stable")]
    mixture = _moments(codes, shares)
    is_judge = np.arange(len(codes)) % HELD_OUT == 0
    if is_judge.all():
        return _with_diagonal(*mixture)
    judged = _moments(codes[~is_judge], shares[~is_judge])
    full, diagonal = (
        _log_prob(codes[is_judge], *each).sum() for each in (judged, _with_diagonal(*judged))
    )
    return mixture if full > diagonal else _with_diagonal(*mixture)


def _clusters(means, n_clusters, seed):
    """Mixture of means whose covariances are one or many, as halves of them agree the better.

    With one covariance kinds differ by where they are alone, with many by how wide they are too,
    which two halves of the rows often do not have in common.
    """
    models = [
        GaussianMixture(
            n_clusters,
            covariance_type=shape,
            n_init=N_STARTS,
            reg_covar=REGULARIZATION,
            random_state=seed,
        )
        for shape in ("tied", "full")
    ]
    halves = means[::2], means[1::2]
    if len(halves[1]) < max(2, n_clusters):
        return models[0].fit(means)

    def agreement(model):
        return adjusted_rand_score(*(deepcopy(model).fit(half).predict(means) for half in halves))

    return max(models, key=agreement).fit(means)


def _moments(codes, shares):
    """Weights, means and covariances of codes that have shares in components."""
    shares = shares.clip(NONE_EMPTY)
    counts = shares.sum(axis=0)
    means = shares.T @ codes / counts[:, None]
    apart = codes - means[:, None]  # (K, n, k)
    covariances = np.einsum("kni,kn,knj->kij", apart, shares.T / counts[:, None], apart)
    weights = (counts / counts.sum()).clip(LEAST_WEIGHT)
    return weights / weights.sum(), means, covariances + REGULARIZATION * np.eye(codes.shape[1])


def _with_diagonal(weights, means, covariances):
    return weights, means, covariances * np.eye(means.shape[1])


def _log_prob(codes, weights, means, covariances):
    """Log density of codes under a normal mixture; (n,)."""
    components = [
        multivariate_normal.logpdf(codes, *each) for each in zip(means, covariances, strict=True)
    ]
    return logsumexp(np.reshape(components, (len(weights), -1)).T + np.log(weights), axis=1)


def mixture_of_sticks(codes, seed):
    """Mixture as `mixture_of`, whose number of components a Dirichlet process says.

    Of codes with their noise: clusters are apart farther than that, or else they are many.

    References
    ----------
    Blei and Jordan, "Variational inference for Dirichlet process mixtures", 2006,
    doi:10.1214/06-BA104.
    """
    model = BayesianGaussianMixture(
        n_components=min(N_STICKS, len(codes)), reg_covar=REGULARIZATION, random_state=seed
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.set_params(covariance_type=_shape(model, codes)).fit(codes)
    least = max(LEAST_SHARE, ROWS_A_NORMAL / len(codes))
    order = np.argsort(-model.weights_, kind="stable")
    kept = order[model.weights_[order] >= min(least, model.weights_.max())]
    weights = model.weights_[kept].clip(LEAST_WEIGHT)
    covariances = model.covariances_[kept]
    if covariances.ndim == 2:
        covariances = covariances[:, :, None] * np.eye(codes.shape[1])
    return weights / weights.sum(), model.means_[kept], covariances


def _shape(model, codes):
    """Shape of the covariances under which codes held out are the likelier."""
    is_judge = np.arange(len(codes)) % HELD_OUT == 0
    fitted, judges = codes[~is_judge], codes[is_judge]
    if len(fitted) < max(2, model.n_components):
        return "diag"
    likelihoods = {
        shape: deepcopy(model).set_params(covariance_type=shape).fit(fitted).score(judges)
        for shape in ("diag", "full")
    }
    return max(likelihoods, key=likelihoods.get)


def responsibilities(model, x, observed, eps, device):
    """Probability of each component of a mixture prior, for each row: the mean over draws.

    Parameters
    ----------
    model, x, observed, eps, device
        As in `elbo_terms`.

    Returns
    -------
    shares : ndarray of shape (n, n_components)
    """

    def of_block(model, p, block, seen, noise):
        q = model.search(block, seen, noise)
        # Added up draw by draw: the order within a sum may depend on the position.
        return sum(model.shares(q, p, block, seen, each) for each in noise) / len(noise)

    return by_model(of_block, model, x, observed, eps, device)
