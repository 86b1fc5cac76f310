"""Scores of rows: in blocks of one shape, with noise shared by all rows.

In float64, or in float32 where the arithmetic is written out: then they differ by some 1e-5
nats, a ten thousandth of what comes of the number of draws. Rows with a cell so far out that
its square would lose more are scored in float64, and so are counts.

The score of a row is repeatable bit by bit on one machine and device. It does not depend
on the other rows or on the number of threads, because every block has the same shape (the
last one is padded) and one thread, and every row meets the same noise. Blocks of a long table
are larger, and those of a few rows smaller, where that is found to lead to the same bits.
"""

import math
from copy import deepcopy
from weakref import WeakKeyDictionary

import numpy as np
import torch
from scipy.special import ndtri
from scipy.stats import qmc

from .blocks import blockwise, by_model, passes
from .kernel import kernel_for

__all__ = [
    "draws",
    "elbo_terms",
    "importance_bound",
    "latent_moments",
    "reconstruct",
    "verdicts",
]


_BLOCK_ROWS = 64
_FEW_ROWS = 32
_MANY_ROWS = 512  # of a block of a long table: an operation takes hardly longer for more rows
_GPU_ROWS = 16_384
_LARGEST = 2**24  # numbers of a block in the widest layer, for as many draws as are taken at once
_COPIES: WeakKeyDictionary = WeakKeyDictionary()  # in float32 by device, of models
_FARTHEST = 1e4  # units from a column's centre


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
        E_q[log p(x_j | z)] of each column, and last -KL, in nats; where cells depend on each
        other, their parts of the joint density, and what these exceed it by with the KL.
    """
    copy = _single_precision(model, device)
    if copy is None:
        return by_model(_terms_of_block, model, x, observed, eps, device)
    terms = _by_kernel(copy, x, observed, eps, device)
    far = (np.abs(x) > _FARTHEST).any(axis=1)
    if far.any():
        terms[far] = by_model(_terms_of_block, model, x[far], observed[far], eps, device)
    return terms


def _terms_of_block(model, p, block, seen, noise):
    total = 0.0
    for terms in passes(model, p, block, seen, noise):
        # Added up draw by draw: the order within a sum may depend on the position.
        for log_prob, kl in zip(terms.log_prob, terms.kl + terms.excess, strict=True):
            total = total + torch.cat([log_prob, -kl.unsqueeze(-1)], dim=-1)
    return total / len(noise)


def _single_precision(model, device):
    """Kernel of a copy in float32 on a device; None where a part has to be left to torch.

    Copies are kept as long as their models, for to make one takes longer than to score a row;
    the weights are taken over anew each time.
    """
    copies = _COPIES.setdefault(model, {})
    if str(device) not in copies:
        copies[str(device)] = _Copy(model, device)
    copy = copies[str(device)]
    if not copy.is_written_out or model.posterior.searches:
        return None
    copy.take_over(model)
    return copy


class _Copy:
    """A model's copy in float32 on a device, its kernel, and what is known of its blocks."""

    def __init__(self, model, device):
        copy = deepcopy(model).to(device, torch.float32)
        self.kernel, self._weights = kernel_for(copy), list(copy.parameters())
        self.is_written_out = self.kernel is not None and self.kernel.noise.is_written_out
        self._are_alike = {}  # bits of blocks of so many rows and of `_BLOCK_ROWS`

    @torch.no_grad()
    def take_over(self, model):
        """Take the weights that a model has now."""
        torch._foreach_copy_(self._weights, list(model.parameters()))

    def rows_of_block(self, n_rows, score_all, trial):
        """Rows of a block: so many, if they lead to the same bits as `_BLOCK_ROWS` in a trial.

        They do where a matrix product adds up alike whatever its width, as libraries mostly have
        it; the first block of a size tells.
        """
        if n_rows not in self._are_alike:
            bits = [score_all(trial, n_block) for n_block in (_BLOCK_ROWS, n_rows)]
            self._are_alike[n_rows] = np.array_equal(*bits)
        return n_rows if self._are_alike[n_rows] else _BLOCK_ROWS


def _by_kernel(copy, x, observed, eps, device):
    kernel = copy.kernel
    with torch.inference_mode():
        prior = kernel.prior()
        noise = torch.tensor(eps[:, 0, : kernel.model.latent_dim].T, dtype=torch.float32)
        noise = noise.contiguous().to(device)

    def score(block, seen):
        block, seen = block.T.contiguous(), seen.T.contiguous()
        size = max(1, _LARGEST // (block.shape[1] * kernel.widest))
        terms = (kernel.terms(prior, block, seen, seen, part) for part in noise.split(size, 1))
        sums = [torch.cat([log_prob.sum(1), minus_kl.sum(0, True)]) for log_prob, minus_kl in terms]
        return sum(sums).T / len(eps)

    def score_all(rows, n_block):
        parts = x[rows], observed[rows]
        return blockwise(score, *parts, n_block=n_block, dtype=torch.float32, device=device)

    if torch.device(device).type != "cpu":
        return score_all(slice(None), _GPU_ROWS)
    if 0 < len(x) <= _FEW_ROWS:
        repeated = np.arange(_BLOCK_ROWS) % len(x)
        return score_all(slice(None), copy.rows_of_block(_FEW_ROWS, score_all, repeated))
    n_large = len(x) // _MANY_ROWS * _MANY_ROWS
    if n_large <= _MANY_ROWS:
        return score_all(slice(None), _BLOCK_ROWS)
    n_block = copy.rows_of_block(_MANY_ROWS, score_all, slice(_MANY_ROWS))
    many = score_all(slice(n_large), n_block)
    return np.concatenate([many, score_all(slice(n_large, None), _BLOCK_ROWS)])


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

    return by_model(score, model, x, observed, eps, device)


def latent_moments(model, x, observed, device, moment):
    """Moment of the posterior of each row, "mean" or "stddev"; ndarray of shape (n, latent_dim)."""

    def of_block(model, p, block, seen, noise):
        return getattr(model.search(block, seen, noise), moment)

    return by_model(of_block, model, x, observed, np.empty(0), device)


def verdicts(model, critic, x, observed, device):
    """Logits that a critic, in float64 on the CPU, gives rows; ndarray of shape (n,)."""
    critic = deepcopy(critic).to(device)

    def of_block(model, p, block, seen, noise):
        return critic(critic.shown(model, block, seen))

    return by_model(of_block, model, x, observed, np.empty(0), device)


def reconstruct(model, z, x, observed, device):
    """Best guess of the cells at each latent point, given the context; -> (n, n_columns)."""
    k = model.latent_dim

    def mean(model, p, block, seen, noise):
        params = model.decode(block[:, :k], block[:, k:], seen[:, k:])
        return model.likelihood.predict(params.unsqueeze(0))

    both, seen = np.hstack([z, x]), np.hstack([np.ones_like(z), observed])
    return by_model(mean, model, both, seen, np.empty(0), device)
