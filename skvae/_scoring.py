"""Scores of rows: in float64, in blocks of one shape, with noise shared by all rows.

The score of a row is repeatable bit by bit on one machine and device. It does not depend
on the other rows or on the number of threads, because every block has the same shape (the
last one is padded) and one thread, and every row meets the same noise.
"""

import math
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from copy import deepcopy
from functools import partial
from threading import Lock

import numpy as np
import torch
from scipy.special import ndtri
from scipy.stats import qmc

__all__ = [
    "draws",
    "elbo_terms",
    "expect",
    "guess",
    "importance_bound",
    "latent_means",
    "reconstruct",
]

_BLOCK_SIZE = 2**17  # numbers of a block in the widest layer, for all draws: 1 MiB
_LOCK = Lock()  # torch's number of threads is one for the whole process
_DECODED_SIZE = 2**22  # numbers from a decoder that are held at a time: 32 MiB


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
        for terms in _passes(model, p, block, seen, noise):
            # Added up draw by draw: the order within a sum may depend on the position.
            for log_prob, kl in zip(terms.log_prob, terms.kl, strict=True):
                total = total + torch.cat([log_prob, -kl.unsqueeze(-1)], dim=-1)
        return total / len(noise)

    return _blockwise(score, model, x, observed, eps, device)


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
        weights = [terms.log_weight() for terms in _passes(model, p, block, seen, noise)]
        return torch.cat(weights).T.contiguous().logsumexp(-1) - math.log(len(noise))

    return _blockwise(score, model, x, observed, eps, device)


def latent_means(model, x, observed, device):
    """Posterior mean of each row; ndarray of shape (n, latent_dim)."""

    def mean(model, p, block, seen, noise):
        return model.infer(block, seen).mean

    return _blockwise(mean, model, x, observed, np.empty(0), device)


def reconstruct(model, z, device):
    """Best guess of the cells at each latent point; (n, latent_dim) -> (n, n_columns)."""

    def mean(model, p, block, seen, noise):
        return model.likelihood.predict(model.decoder(block).unsqueeze(0))

    return _blockwise(mean, model, z, np.ones_like(z), np.empty(0), device)


def guess(members, x, observed, eps, device):
    """Best guess of all cells of each row given those observed.

    Parameters
    ----------
    members : list of (float, VAE)
        Weights, which add up to 1, and models in float64.
    x, observed, eps, device
        As in `elbo_terms`.

    Returns
    -------
    guesses : ndarray of shape (n, n_columns)
        Encoded cells: means, or modes, under the posterior predictive distribution.
    """
    likelihood = members[0][1].likelihood
    tables = []
    for rows in _batches(members, len(x), len(eps)):
        averages = _averages(_decoded, members, x[rows], observed[rows], eps, device)
        blocks = zip(likelihood.blocks, averages, strict=True)
        tables.append(torch.cat([block.predict(average) for block, average in blocks], dim=-1))
    return torch.cat(tables).numpy()


def expect(members, x, observed, eps, device, *, coverage, have_intervals):
    """Guess, interval and probability of each cell given the row's other cells.

    Parameters
    ----------
    members, x, observed, eps, device
        As in `guess`.
    coverage : float in (0, 1)
        Probability of the intervals.
    have_intervals : sequence of bool
        By block of columns: whether its cells have intervals, or else probabilities.

    Returns
    -------
    cells : ndarray of shape (n, n_columns, 4)
        Of each encoded cell the best guess; the ends of an interval with as much
        probability below as above; the probability of the value observed. NaN for what
        a cell does not have.
    """
    likelihood = members[0][1].likelihood
    tables = []
    for rows in _batches(members, len(x), len(eps)):
        averages = _averages(_decoded_without_each, members, x[rows], observed[rows], eps, device)
        cells = torch.from_numpy(np.where(observed[rows], x[rows], np.nan))
        parts = (likelihood.blocks, averages, cells.split(likelihood.sizes, -1), have_intervals)
        blocks = [
            _with_interval(block, average, coverage)
            if has_interval
            else _with_probability(block, average, cell)
            for block, average, cell, has_interval in zip(*parts, strict=True)
        ]
        tables.append(torch.cat(blocks, dim=-2))
    return torch.cat(tables).numpy()


def _with_interval(block, average, coverage):
    best = block.predict(average)
    low, high = (block.quantile(average, (1 + side * coverage) / 2) for side in (-1, 1))
    return torch.stack([best, low, high, torch.full_like(best, math.nan)], dim=-1)


def _with_probability(block, average, cell):
    best = block.predict(average)
    filled = cell.nan_to_num(0.0)  # a NaN is no position of a level
    mass = average(lambda p: p.log_prob(filled).exp())
    nothing = torch.full_like(best, math.nan)
    return torch.stack([best, nothing, nothing, mass.where(~cell.isnan(), math.nan)], dim=-1)


def _batches(members, n, n_draws):
    """Slices of n rows of which the decoders' outputs are held at a time."""
    width = max(model.likelihood.n_params for _, model in members)
    size = max(1, _DECODED_SIZE // (n_draws * width))
    return [slice(start, start + size) for start in range(0, n, size)]


def _averages(decode, members, x, observed, eps, device):
    """By block: a callable, from a function of a Distribution to its mean over what may be.

    That is over the draws of z, and by their weights over the members.
    """
    weighted = []
    for weight, model in members:
        params = torch.from_numpy(_blockwise(decode, model, x, observed, eps, device))
        weighted.append((weight, model.likelihood.distributions(params.transpose(0, 1))))
    n_blocks = len(members[0][1].likelihood.blocks)
    return [
        partial(_average, [(weight, p[block]) for weight, p in weighted])
        for block in range(n_blocks)
    ]


def _average(weighted, function):
    return sum(weight * function(p).mean(0) for weight, p in weighted)


def _decoded(model, p, block, seen, noise):
    """Decode each draw; (n, n_draws, n_params)."""
    return model.decoder(model.infer(block, seen).transport(noise)).transpose(0, 1)


def _decoded_without_each(model, p, block, seen, noise):
    """Decode each column without its own cell; (n, n_draws, n_params)."""
    parts = []
    for j, of_column in enumerate(model.likelihood.params_by_column()):
        others = seen.clone()
        others[:, j] = 0
        parts.append(_decoded(model, p, block, others, noise)[..., of_column])
    return torch.cat(parts, dim=-1)


def block_rows(model, n_draws, device):
    """Rows of a block: as many as keep the widest layer in a processor's cache.

    Multiples of 16, for which a matrix product treats all rows alike.
    """
    if torch.device(device).type != "cpu":
        return 4096
    rows = _BLOCK_SIZE // (_widest(model) * max(1, n_draws))
    return max(16, min(128, rows // 16 * 16))


def _widest(model):
    return max(max(parameter.shape, default=1) for parameter in model.parameters())


def _passes(model, p, block, seen, noise):
    """ELBO terms of a block, as many draws at a time as fit the widest layer."""
    q = model.infer(block, seen)
    size = max(1, _BLOCK_SIZE // (_widest(model) * len(block)))
    for eps in noise.split(size):  # (n, 1, latent_dim)
        yield model.elbo(q, p, block, seen, eps)


def _blockwise(function, model, x, observed, eps, device):
    """Apply `function` to blocks of rows of one shape and join what it returns."""
    n, n_block = len(x), block_rows(model, len(eps), device)
    if torch.device(device).type != "cpu":
        model = deepcopy(model).to(device)

    @torch.inference_mode()
    def of_block(start):
        block, seen = (
            _padded(part[start : start + n_block], n_block, device) for part in (x, observed)
        )
        return function(model, p, block, seen, noise).cpu().numpy()[: n - start]

    with _one_thread_a_block() as n_threads, torch.inference_mode():
        p = model.prior_distribution()
        noise = torch.tensor(eps[..., : model.latent_dim], device=device)
        starts = range(0, max(n, 1), n_block)
        if len(starts) == 1:
            return of_block(0)
        with ThreadPoolExecutor(n_threads) as pool:
            return np.concatenate(list(pool.map(of_block, starts)))


@contextmanager
def _one_thread_a_block():
    """Let torch work on one thread; yield how many it had.

    Between more it would cut a block at places that need not fall between rows. Threads
    that score at once take turns, or one would take the other's 1 for what there was.
    """
    with _LOCK:
        n_threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            yield n_threads
        finally:
            torch.set_num_threads(n_threads)


def _padded(part, n_block, device):
    block = torch.zeros((n_block, part.shape[1]), dtype=torch.float64)
    block[: len(part)] = torch.from_numpy(np.ascontiguousarray(part))
    return block.to(device)
