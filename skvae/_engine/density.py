"""A fitted density: a table's encoding and weighted models, and what they say of rows."""

from dataclasses import dataclass, field

import numpy as np
import torch

from .._table import TableEncoder
from .cells import expect, guess
from .score import elbo_terms, importance_bound
from .trainee import tensors

__all__ = ["CHUNK_ROWS", "Density", "by_chunk", "drawn"]

_SEARCHED_ROWS = 128  # at a time, for which many codes are looked at

CHUNK_ROWS = 16_384


@dataclass(frozen=True)
class Density:
    """Weighted models of a table's rows; every bound is their weighted mean.

    Attributes
    ----------
    table : TableEncoder
    members : list of (float, VAE)
        Weights, which add up to 1, and models in float64.
    draws : ndarray of shape (n_draws, 1, latent_dim)
        Standard normal noise, the same for all rows.
    device : torch.device
    """

    table: TableEncoder
    members: list = field(repr=False)
    draws: np.ndarray = field(repr=False)
    device: torch.device

    def terms(self, rows):
        """E_q[log p(x_j | z)] by column and -KL, in nats and the columns' own units.

        Parameters
        ----------
        rows : EncodedTable

        Returns
        -------
        terms : ndarray of shape (n, n_columns + 1)
        """
        terms = self._mean(elbo_terms, rows)
        by_column = self.table.add_by_column(terms[:, :-1])
        by_column += self.table.log_jacobian(rows.values)
        return np.column_stack([by_column, terms[:, -1]])

    def elbo(self, rows):
        """Evidence lower bound of encoded rows, in nats; ndarray of shape (n,)."""
        return self.terms(rows).sum(axis=1)

    def importance_bound(self, rows):
        """Importance-weighted bound of encoded rows, in nats; ndarray of shape (n,)."""
        bound = self._mean(importance_bound, rows)
        return bound + self.table.log_jacobian(rows.values).sum(axis=1)

    def guess(self, rows):
        """Guess the encoded cells given those observed; ndarray of shape (n, n_columns)."""
        return guess(self.members, *rows, self.draws, self.device)

    def expect(self, rows, coverage):
        """Infer each encoded cell from the others; ndarray of shape (n, n_columns, 4)."""
        return expect(
            self.members,
            *rows,
            self.draws,
            self.device,
            coverage=coverage,
            have_intervals=self.table.have_intervals(),
        )

    def draw(self, rows, generator):
        """Draw encoded cells once from the posterior predictive; ndarray (n, n_columns)."""
        weights, models = zip(*self.members, strict=True)
        with torch.inference_mode():
            cells = torch.stack([_filled(model, rows, generator) for model in models])
            shares = torch.tensor(weights, dtype=torch.float64)
            chosen = torch.multinomial(shares, cells.shape[1], True, generator=generator)
            return cells[chosen, torch.arange(cells.shape[1])].numpy()

    def _mean(self, bound, rows):
        return sum(
            weight * bound(model, *rows, self.draws, self.device) for weight, model in self.members
        )


def by_chunk(function, rows):
    """Join what a function returns for chunks of rows: memory stays bounded.

    Parameters
    ----------
    function : callable
        Of a RawTable or an EncodedTable.
    rows : RawTable or EncodedTable

    Returns
    -------
    values : ndarray of shape (n, ...)
    """
    starts = range(0, max(1, len(rows.values)), CHUNK_ROWS)
    return np.concatenate([function(rows.take(slice(at, at + CHUNK_ROWS))) for at in starts])


def drawn(model, rows, generator, strength=1.0):
    """Draw encoded cells from the posterior of each row, whose spread is taken so many times."""
    params, *_ = _params_drawn(model, rows, generator, strength)
    return model.likelihood.sample(params, generator)


def _filled(model, rows, generator):
    """Draw encoded cells from the posterior of each row, given those that are observed."""
    return model.likelihood.fill(*_params_drawn(model, rows, generator), generator)


def _params_drawn(model, rows, generator, strength=1.0):
    """Decode a draw from the posterior of each row; with the cells and which are observed."""
    x, observed = tensors(rows, "cpu", torch.float64)
    observed = observed.to(x.dtype)
    shape = len(x), model.latent_dim
    eps = strength * torch.randn(shape, generator=generator, dtype=torch.float64)
    size = _SEARCHED_ROWS if model.posterior.searches else max(1, len(x))
    parts = zip(x.split(size), observed.split(size), eps.split(size), strict=True)
    params = [
        model.decode(model.search(cells, seen, x[:0]).transport(noise), cells, seen)
        for cells, seen, noise in parts
    ]
    return torch.cat(params), x, observed
