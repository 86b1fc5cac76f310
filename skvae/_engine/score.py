"""Scores of rows: in float64, in blocks of one shape, with noise shared by all rows.

The score of a row is repeatable bit by bit on one machine and device. It does not depend
on the other rows or on the number of threads, because every block has the same shape (the
last one is padded) and one thread, and every row meets the same noise.
"""

import math

import numpy as np
import torch
from scipy.special import ndtri
from scipy.stats import qmc

from .blocks import blockwise, passes

__all__ = ["draws", "elbo_terms", "importance_bound", "latent_means", "reconstruct"]


def draws(n_draws, latent_dim, seed):
    """Quasi-random standard normal noise, the same for all rows.

    A scrambled Sobol sequence; with more draws than latent dimensions it is shifted and
    turned to have exactly mean 0 and covariance 1, so that the expectation of anything
    quadratic in z carries no error.

    Parameters
    ----------
    n_draws, latent_dim : int
    seed : int

    Returns
    -------
    eps : ndarray of shape (n_draws, 1, latent_dim)

    References
    ----------
    Buchholz, Wenzel and Mandt, "Quasi-Monte Carlo Variational Inference", 2018,
    arXiv:1807.01604.
    """
    sobol = qmc.Sobol(latent_dim, scramble=True, rng=np.random.default_rng(seed))
    points = sobol.random_base2(math.ceil(math.log2(n_draws)))[:n_draws]
    eps = ndtri(points.clip(1e-12, 1 - 1e-12))
    if n_draws > latent_dim:
        eps = eps - eps.mean(axis=0)
        factor = np.linalg.cholesky(eps.T @ eps / n_draws)
        eps = np.linalg.solve(factor, eps.T).T
    return eps[:, None, :]


def elbo_terms(model, x, observed, eps, device):
    """Terms of the ELBO of each row, averaged over the draws.

    Parameters
    ----------
    model : VAE
        float64.
    x : ndarray of shape (n, n_columns)
        Encoded cells, 0 where not observed.
    observed : bool ndarray of shape (n, n_columns)
    eps : ndarray of shape (n_draws, 1, latent_dim)
    device : str or torch.device

    Returns
    -------
    terms : ndarray of shape (n, n_columns + 1)
        E_q[log p(x_j | z)] of each column, and last -KL, in nats.
    """

    def score(model, p, block, seen, noise):
        total = 0.0
        for terms in passes(model, p, block, seen, noise):
            # Added up draw by draw: the order within a sum may depend on the position.
            for log_prob, kl in zip(terms.log_prob, terms.kl, strict=True):
                total = total + torch.cat([log_prob, -kl.unsqueeze(-1)], dim=-1)
        return total / len(noise)

    return blockwise(score, model, x, observed, eps, device)


def importance_bound(model, x, observed, eps, device):
    """Importance-weighted bound on log p(x) of each row, in nats.

    Parameters
    ----------
    model, x, observed, eps, device
        As in `elbo_terms`.

    Returns
    -------
    bound : ndarray of shape (n,)

    References
    ----------
    Burda, Grosse and Salakhutdinov, "Importance Weighted Autoencoders", 2016,
    arXiv:1509.00519.
    """

    def score(model, p, block, seen, noise):
        weights = [terms.log_weight() for terms in passes(model, p, block, seen, noise)]
        return torch.cat(weights).T.contiguous().logsumexp(-1) - math.log(len(noise))

    return blockwise(score, model, x, observed, eps, device)


def latent_means(model, x, observed, device):
    """Posterior mean of each row; ndarray of shape (n, latent_dim)."""

    def mean(model, p, block, seen, noise):
        return model.infer(block, seen).mean

    return blockwise(mean, model, x, observed, np.empty(0), device)


def reconstruct(model, z, device):
    """Best guess of the cells at each latent point; (n, latent_dim) -> (n, n_columns)."""

    def mean(model, p, block, seen, noise):
        return model.likelihood.predict(model.decoder(block).unsqueeze(0))

    return blockwise(mean, model, z, np.ones_like(z), np.empty(0), device)
