"""What latent dimensions hold, and what they move."""

import math
from typing import NamedTuple

import numpy as np
import torch
from torch.distributions import Normal

from ..nn import MixtureDistribution
from .trainee import tensors

__all__ = ["Information", "information", "traverse"]

_AT_ONCE = 64  # rows, each compared to all others by dimension


class Information(NamedTuple):
    """Parts of the KL divergence in nats, means over rows and draws; the others add up to it.

    What is by dimension of the prior is NaN where its distribution has no `marginal_log_prob`.

    Attributes
    ----------
    kl : float
        E log q(z | x) / p(z).
    mutual_information : float
        E log q(z | x) / q(z), of the aggregate posterior q(z) = mean of q(z | x) over the rows.
    total_correlation : float
        E log q(z) / prod_j q(z_j).
    dimension_wise_kl : float
        E sum_j log q(z_j) / p(z_j).
    prior_dependence : float
        E log prod_j p(z_j) / p(z): 0 where the prior's dimensions are independent.
    by_dimension : dict of str to ndarray of shape (latent_dim,)
        ``kl`` of q(z_j | x) from p(z_j), ``mutual_information``, ``marginal_kl`` of q(z_j) from
        p(z_j); and in the latent space's units the ``mean`` and ``std`` of the codes, and the
        ``std_of_means`` of their posterior means alone.
    """

    kl: float
    mutual_information: float
    total_correlation: float
    dimension_wise_kl: float
    prior_dependence: float
    by_dimension: dict[str, np.ndarray]


@torch.inference_mode()
def information(model, rows, n_draws, seed):
    """Take the KL divergence apart by the exact aggregate posterior of some rows.

    Parameters
    ----------
    model : VAE
        float64.
    rows : EncodedTable of n rows
    n_draws, seed : int

    Returns
    -------
    information : Information
    """
    x, observed = tensors(rows, "cpu", torch.float64)
    q = model.search(x, observed, x[:0])
    generator = torch.Generator().manual_seed(seed)
    shape = (n_draws, *q.mean.shape)
    z = q.transport(torch.randn(shape, generator=generator, dtype=torch.float64))  # (s, n, k)
    n = len(q.mean)
    aggregate = MixtureDistribution(q, torch.full((n,), -math.log(n), dtype=torch.float64))
    p = model.prior_distribution()
    of_row, of_prior = q.log_prob(z), p.log_prob(z)
    by_row = Normal(q.mean, q.stddev).log_prob(z)  # (s, n, k)
    parts = z.split(_AT_ONCE, dim=1)
    of_all = torch.cat([aggregate.log_prob(part) for part in parts], dim=1)
    by_all = torch.cat([aggregate.marginal_log_prob(part) for part in parts], dim=1)
    has_marginals = hasattr(p, "marginal_log_prob")  # a prior of the user's own may have none
    by_prior = p.marginal_log_prob(z) if has_marginals else torch.full_like(z, math.nan)

    def mean(values):
        return values.mean((0, 1)).numpy()

    return Information(
        kl=float(mean(of_row - of_prior)),
        mutual_information=float(mean(of_row - of_all)),
        total_correlation=float(mean(of_all - by_all.sum(-1))),
        dimension_wise_kl=float(mean((by_all - by_prior).sum(-1))),
        prior_dependence=float(mean(by_prior.sum(-1) - of_prior)),
        by_dimension={
            "kl": mean(by_row - by_prior),
            "mutual_information": mean(by_row - by_all),
            "marginal_kl": mean(by_all - by_prior),
            "mean": mean(z),
            "std": z.flatten(0, 1).std(0).numpy(),
            "std_of_means": q.mean.std(0).numpy(),
        },
    )


@torch.inference_mode()
def traverse(model, low, high, n_levels):
    """Cells where some codes end, and how far apart their probabilities are there.

    The context is not known.

    Parameters
    ----------
    model : VAE
        float64.
    low, high : ndarray of shape (m, latent_dim)
    n_levels : list of int
        By block: how many levels its cells may have, 0 of numbers.

    Returns
    -------
    low, high : ndarray of shape (m, n_columns)
        Best guesses of the encoded cells.
    apart : ndarray of shape (m, n_columns)
        Total variation, 0 of numbers.
    """
    likelihood = model.likelihood
    nothing = torch.zeros(len(low), sum(likelihood.sizes), dtype=torch.float64)
    ends = [model.decode(torch.tensor(codes), nothing, nothing) for codes in (low, high)]
    guesses = [likelihood.predict(params.unsqueeze(0)).numpy() for params in ends]
    parts = nothing.split(likelihood.sizes, -1)
    blocks = zip(*map(likelihood.distributions, ends), parts, n_levels, strict=True)
    apart = [
        sum(
            ((p.log_prob(cells + level).exp() - q.log_prob(cells + level).exp()).abs() / 2)
            for level in range(n)
        )
        if n > 0
        else cells
        for p, q, cells, n in blocks
    ]
    return *guesses, torch.cat(apart, dim=-1).numpy()
