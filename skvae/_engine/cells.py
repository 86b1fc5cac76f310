"""What a model expects of cells: guesses, intervals and probabilities."""

import math
from functools import partial

import numpy as np
import torch

from .blocks import by_model

__all__ = ["expect", "guess"]


_DECODED_SIZE = 2**22  # numbers from a decoder that are held at a time: 32 MiB


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
    width = max(model.likelihood.predictive_by_column()[-1].stop for _, model in members)
    size = max(1, _DECODED_SIZE // (n_draws * width))
    return [slice(start, start + size) for start in range(0, n, size)]


def _averages(decode, members, x, observed, eps, device):
    """By block: a callable, from a function of a Distribution to its mean over what may be.

    That is over the draws of z, and by their weights over the members.
    """
    weighted = []
    for weight, model in members:
        given = torch.from_numpy(by_model(decode, model, x, observed, eps, device))
        weighted.append((weight, model.likelihood.predicted(given.transpose(0, 1))))
    n_blocks = len(members[0][1].likelihood.blocks)
    return [
        partial(_average, [(weight, p[block]) for weight, p in weighted])
        for block in range(n_blocks)
    ]


def _average(weighted, function):
    return sum(weight * function(p).mean(0) for weight, p in weighted)


def _decoded(model, p, block, seen, noise):
    """Say by each draw how cells are distributed; (n, n_draws, n_predictive)."""
    z = model.search(block, seen, noise).transport(noise[..., : model.latent_dim])
    params = model.decode(z, block, seen)
    return model.likelihood.predictive(params, block, seen).transpose(0, 1)


def _decoded_without_each(model, p, block, seen, noise):
    """Say it of each column without its own cell; (n, n_draws, n_predictive)."""
    parts = []
    for j, of_column in enumerate(model.likelihood.predictive_by_column()):
        others = seen.clone()
        others[:, j] = 0
        parts.append(_decoded(model, p, block, others, noise)[..., of_column])
    return torch.cat(parts, dim=-1)
