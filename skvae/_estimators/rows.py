"""Rows that a fitted model makes: drawn, filled, made from others."""

from functools import partial

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike
from sklearn.utils.validation import check_is_fitted

from .._engine import drawn, reconstruct, tensors, untouched
from .._table import given_rows
from .checks import integer, real
from .device import scoring_device
from .queries import Queries, as_random_state, row_labels, seed_from

__all__ = ["Rows"]

_ROWS_DRAWN = 65_536  # at a time, as what the decoder says of each takes memory


class Rows(Queries):
    """Rows from the model, and from other rows by its latent codes."""

    @untouched
    def sample(
        self,
        n_samples: int | None = None,
        random_state: int | np.random.RandomState | None = None,
        *,
        context: ArrayLike | None = None,
        temperature: float = 1.0,
    ) -> np.ndarray | pd.DataFrame:
        """Draw new rows from the main model.

        Parameters
        ----------
        n_samples : int, default=None
            None for one row, or one for each of `context`.
        random_state : int, RandomState instance or None, default=None
        context : array-like or DataFrame of shape (n_samples or 1, n_context), default=None
            Only where columns were fitted as `context`: their cells in the rows drawn, one row
            for all or one for each. A DataFrame is read by its names, and may have more
            columns; an array has the columns in the order of the table.
        temperature : float, default=1.0
            Times the variance of the latent codes around the middle of their kind, a component
            of the prior: below 1 rows are nearer to typical ones, above farther apart. The noise
            of the columns stays.

        Returns
        -------
        X : ndarray or DataFrame of shape (n_samples, n_features)
            In the columns' own units; a pandas DataFrame where one, or a polars one, was
            fitted, with its dtypes. An infrequent level that shares its probability may be
            drawn, an unseen one is not.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            Before ``fit``.
        TypeError, ValueError
            If n_samples is no integer of at least 1, temperature no number of at least 0,
            random_state no source of draws, or context not what was fitted.
        MemoryError
            If there is no memory for so many rows.
        """
        check_is_fitted(self)
        if n_samples is not None:
            integer(1).check("n_samples", n_samples, self)
        self._check("random_state", random_state)
        real(0, np.inf, "left").check("temperature", temperature, self)
        given = given_rows(self.table_, context, n_samples)
        generator = torch.Generator().manual_seed(seed_from(as_random_state(random_state)))
        model, n_samples = self.model_, len(given.values)
        cells = np.empty((n_samples, sum(model.likelihood.sizes)))
        with torch.inference_mode():
            for start in range(0, n_samples, _ROWS_DRAWN):
                rows = slice(start, start + _ROWS_DRAWN)
                x, observed = tensors(self.table_.encode(given.take(rows)), "cpu", torch.float64)
                z = model.sample_prior(len(x), generator, temperature)
                params = model.decode(z, x, observed.to(x.dtype))
                cells[rows] = model.likelihood.sample(params, generator).numpy()
        return self.table_.rows(cells, given)

    @untouched
    def impute(
        self,
        X: ArrayLike,
        n_draws: int | None = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> np.ndarray | pd.DataFrame | list[np.ndarray | pd.DataFrame]:
        """Fill the holes of a table given the other cells of each row.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
        n_draws : int, default=None
            How many filled tables to draw from the posterior predictive distribution, the
            mixture of the members'; None for one, filled by its means, by its modes in
            columns of levels.
        random_state : int, RandomState instance or None, default=None
            Source of the draws.

        Returns
        -------
        filled : ndarray or DataFrame of shape (n_samples, n_features), or a list of n_draws such
            In the container that was fitted, as `sample` gives it, and with the index of X
            if it has one; observed cells are those of X. A dtype gives way where it has no
            place for one of them.

        Raises
        ------
        sklearn.exceptions.NotFittedError, ValueError, TypeError
            As `score_samples`, or if n_draws is no integer of at least 1, or random_state no
            source of draws.
        """
        raw = self._read(X)
        self._check("random_state", random_state)
        index = row_labels(X)
        if n_draws is None:
            return self.table_.fill(raw, self._over(raw, self._density().guess), index)
        integer(1).check("n_draws", n_draws, self)
        generator = torch.Generator().manual_seed(seed_from(as_random_state(random_state)))
        draw = partial(self._density().draw, generator=generator)
        tables = (self._over(raw, draw) for _ in range(n_draws))
        return [self.table_.fill(raw, cells, index) for cells in tables]

    @untouched
    def augment(
        self,
        X: ArrayLike,
        n: int = 1,
        strength: float = 1.0,
        random_state: int | np.random.RandomState | None = None,
    ) -> np.ndarray | pd.DataFrame:
        """Draw rows that are like given ones: from the posterior of each under the main model.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
        n : int, default=1
            Rows drawn for each.
        strength : float, default=1.0
            Times the posterior's standard deviation. With 1 and an exact posterior they are
            distributed as the model's own; with 0 they differ by the columns' noise alone.
        random_state : int, RandomState instance or None, default=None

        Returns
        -------
        rows : ndarray or DataFrame of shape (n * n_samples, n_features)
            In the container that was fitted: one for each row of X, then the next, with the index
            of X repeated if it has one. The context is that of X, and holes of others are filled.

        Raises
        ------
        sklearn.exceptions.NotFittedError, ValueError, TypeError
            As `score_samples`, or if n is no integer of at least 1, strength no number of at least
            0 (1 where codes are bits), or random_state no source of draws.

        References
        ----------
        Hsu, Zhang and Glass, "Unsupervised Domain Adaptation for Robust Speech Recognition via
        Variational Autoencoder-Based Data Augmentation", 2017, arXiv:1707.06265.

        Examples
        --------
        >>> import numpy as np
        >>> from skvae import VAETransformer
        >>> X = np.random.RandomState(0).normal(size=(300, 3))
        >>> model = VAETransformer(max_steps=50, random_state=0).fit(X)
        >>> model.augment(X[:2], n=3, random_state=0).shape
        (6, 3)
        """
        raw = self._read(X)
        integer(1).check("n", n, self)
        real(0, np.inf, "left").check("strength", strength, self)
        if strength != 1 and self.model_.posterior.space != "real":
            raise ValueError(
                f"strength={strength!r}: the posterior has codes that are "
                f"{self.model_.posterior.space}, which are drawn as they are. Leave it at 1."
            )
        self._check("random_state", random_state)
        generator = torch.Generator().manual_seed(seed_from(as_random_state(random_state)))
        many, index = raw.take(np.tile(np.arange(len(raw.values)), n)), row_labels(X)

        def draw(rows):
            with torch.inference_mode():
                return drawn(self.model_, rows, generator, strength).numpy()

        return self._made(many, self._over(many, draw), index, n)

    @untouched
    def interpolate(self, A: ArrayLike, B: ArrayLike, n: int = 5) -> np.ndarray | pd.DataFrame:
        """Rows on the way from some rows to others: the decoder along lines between their codes.

        Parameters
        ----------
        A, B : array-like or DataFrame of shape (n_samples, n_features)
        n : int, default=5
            Rows of each line, its ends among them.

        Returns
        -------
        rows : ndarray or DataFrame of shape (n * n_samples, n_features)
            Best guesses of the cells, in the container that was fitted: those of A's codes, then
            the next of each line. The context is that of A.

        Raises
        ------
        sklearn.exceptions.NotFittedError, ValueError, TypeError
            As `score_samples`, or if A and B have other numbers of rows, or n is no integer of at
            least 2.
        """
        start, end = self._read(A), self._read(B)
        integer(2).check("n", n, self)
        if len(start.values) != len(end.values):
            raise ValueError(
                f"A has {len(start.values)} rows and B has {len(end.values)}: each line goes from "
                "a row of A to the row of B at its place."
            )
        first, last = self.codes(A), self.codes(B)
        codes = [first + share * (last - first) for share in np.linspace(0, 1, n)]
        many = start.take(np.tile(np.arange(len(first)), n))
        return self._made(many, self._decoded(np.concatenate(codes), many), row_labels(A), n)

    @untouched
    def translate(self, X: ArrayLike, *, context: ArrayLike) -> np.ndarray | pd.DataFrame:
        """Rows as they would be in another context: their codes, decoded given it.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
        context : array-like or DataFrame of shape (n_samples or 1, n_context)
            As in `sample`.

        Returns
        -------
        rows : ndarray or DataFrame of shape (n_samples, n_features)
            Best guesses of the cells, in the container that was fitted and with the index of X if
            it has one; the context is the new one.

        Raises
        ------
        sklearn.exceptions.NotFittedError, ValueError, TypeError
            As `score_samples`, or if the context is not what was fitted.

        References
        ----------
        Lopez et al., "Deep generative modeling for single-cell transcriptomics", 2018,
        doi:10.1038/s41592-018-0229-2.
        """
        codes = self.codes(X)
        given = given_rows(self.table_, context, len(codes))
        return self._made(given, self._decoded(codes, given), row_labels(X), 1)

    def _decoded(self, codes, given):
        """Guess the encoded cells of latent codes, given the context of a table."""
        rows = self.table_.encode(given)
        return reconstruct(self.model_, codes, rows.values, rows.observed, scoring_device(self))

    def _made(self, given, cells, index, n):
        """Give encoded cells in the container that was fitted, with an index n times over."""
        rows = self.table_.rows(cells, given)
        if index is None or not hasattr(rows, "set_axis"):
            return rows
        return rows.set_axis(index.append([index] * (n - 1)))
