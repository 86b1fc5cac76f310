"""Clusters: a mixture prior that begins anew at the codes of a trained model.

The mixture that a training starts at is one of the codes of a linear model of the numbers. Where
levels or curves tell rows apart its components say little, and gradient steps hardly leave them:
those of the codes that were learned do.
"""

import warnings
from copy import deepcopy

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import BayesianGaussianMixture, GaussianMixture

from .blocks import by_model
from .start import REGULARIZATION, ROWS_A_NORMAL
from .threads import one_thread, one_thread_of_blas

__all__ = ["begin_at_clusters", "mixture_of", "responsibilities"]


LEAST_WEIGHT = 1e-3  # of a component: below it hardly a code would move it
MOST_CODES = 5_000  # that a mixture is fitted to
N_STARTS = 3  # of a mixture, of which the likeliest is kept
N_STICKS = 20  # of the Dirichlet process
LEAST_SHARE = 0.01  # of the codes: sticks of less, or of too few for a normal, are no clusters
HELD_OUT = 5  # one in so many codes judges what shape covariances have


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

    References
    ----------
    Jiang et al., "Variational Deep Embedding", 2017, arXiv:1611.05148.
    """
    x, visible = x[:MOST_CODES], observed[:MOST_CODES].to(x.dtype)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad(), one_thread(), one_thread_of_blas():
        q = model.infer(x, visible)
        noise = torch.randn(q.mean.shape, generator=generator, dtype=x.dtype)
        codes = q.transport(noise.to(x.device)).cpu().double().numpy()
        mixture = mixture_of(codes, n_clusters, seed)
        features = model.likelihood.featurize(x, visible).cpu()
        own = prior(model.latent_dim, features, generator=generator, n_components=len(mixture[0]))
        own.to(dtype=x.dtype).start(*(torch.tensor(part, dtype=x.dtype) for part in mixture))
    model.prior = own.to(x.device)


def mixture_of(codes, n_clusters, seed):
    """Weights, means and covariances of a normal mixture of codes, the largest first.

    Covariances are full or diagonal, as codes held out have it. How many components there are
    is given, or left to a Dirichlet process.

    Parameters
    ----------
    codes : ndarray of shape (n, k)
    n_clusters : int or "auto"
    seed : int

    Returns
    -------
    weights : ndarray of shape (n_components,)
    means : ndarray of shape (n_components, k)
    covariances : ndarray of shape (n_components, k, k)

    References
    ----------
    Blei and Jordan, "Variational inference for Dirichlet process mixtures", 2006,
    doi:10.1214/06-BA104.
    """
    automatic = n_clusters == "auto"
    n_components = min(N_STICKS, len(codes)) if automatic else n_clusters
    kind = BayesianGaussianMixture if automatic else GaussianMixture
    model = kind(
        n_components=n_components,
        n_init=1 if automatic else N_STARTS,
        reg_covar=REGULARIZATION,
        random_state=seed,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.set_params(covariance_type=_shape(model, codes)).fit(codes)
    least = max(LEAST_SHARE, ROWS_A_NORMAL / len(codes)) if automatic else 0.0
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
        shape: deepcopy(model).set_params(covariance_type=shape, n_init=1).fit(fitted).score(judges)
        for shape in ("diag", "full")
    }
    return max(likelihoods, key=likelihoods.get)


def responsibilities(model, x, observed, eps, device):
    """Probability of each component of a mixture prior, E_q[p(k | z)], for each row.

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
        return sum(p.log_joint(q.transport(each)).softmax(-1) for each in noise) / len(noise)

    return by_model(of_block, model, x, observed, eps, device)
