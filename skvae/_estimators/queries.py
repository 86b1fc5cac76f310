"""What a fitted model answers: questions about rows of a table."""

from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from .._engine import Density, by_chunk, latent_moments, untouched, verdicts
from .._table import read_table
from .checks import real
from .device import scoring_device
from .holes import warn_of_empty_rows
from .parameters import Parameters

__all__ = ["Queries", "as_random_state", "row_labels", "seed_from"]

BOUNDS = {"elbo": Density.elbo, "iwae": Density.importance_bound}


class Queries(Parameters):
    """Scores, explanations and expectations of a fitted estimator."""

    @untouched
    def score_samples(self, X: ArrayLike) -> np.ndarray:
        """Bound on the log density of each row, in nats; higher is more normal.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)

        Returns
        -------
        scores : ndarray of shape (n_samples,)
            With ``bound="elbo"`` the evidence lower bound, with ``bound="iwae"`` the
            importance-weighted one, in nats and in the columns' own units: densities of
            continuous columns, masses of the others. A row without an observed cell has the
            bound of no cells, and a warning names the first such row.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            Before ``fit``.
        ValueError, TypeError
            If the columns are not those of the training table, or their values no
            finite numbers that fit the noise models.
        """
        raw = self._read(X)
        warn_of_empty_rows(self.table_, raw)
        return self._over(raw, self._bound(self._density()))

    @untouched
    def negative_elbo(self, X: ArrayLike) -> np.ndarray:
        """Negative evidence lower bound of each row in nats: the anomaly score.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)

        Returns
        -------
        negative_elbo : ndarray of shape (n_samples,)
            Higher is odder, whatever `bound` is.

        Raises
        ------
        sklearn.exceptions.NotFittedError, ValueError, TypeError
            As `score_samples`.
        """
        raw = self._read(X)
        warn_of_empty_rows(self.table_, raw)
        return -self._over(raw, self._density().elbo)

    @untouched
    def explain(self, X: ArrayLike, return_rest: bool = False) -> Any:
        """Which columns make a row odd, in nats.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
        return_rest : bool, default=False
            Whether to return what belongs to no column, too.

        Returns
        -------
        parts : ndarray or DataFrame of shape (n_samples, n_features)
            One part a column: its negative log density given the latent code, relative
            to its median over training rows. A pandas DataFrame, with the index of X if it
            has one, where X is a pandas or polars DataFrame.
        rest : ndarray or DataFrame of shape (n_samples, 2)
            Only with ``return_rest=True``: ``kl``, the KL divergence relative to its median,
            and ``baseline``, the sum of all medians. Parts and rest of a row add up to its
            `negative_elbo`; where columns depend on each other, what their parts exceed their
            joint density by is in ``kl``.

        Raises
        ------
        sklearn.exceptions.NotFittedError, ValueError, TypeError
            As `score_samples`.

        Examples
        --------
        >>> import numpy as np
        >>> import pandas as pd
        >>> from skvae import VAEAnomalyDetector
        >>> X = pd.DataFrame(np.random.RandomState(0).normal(size=(300, 2)), columns=["a", "b"])
        >>> detector = VAEAnomalyDetector(max_steps=100, random_state=0).fit(X)
        >>> detector.explain(pd.DataFrame({"a": [0.0], "b": [9.0]})).idxmax(axis=1)[0]
        'b'
        """
        raw = self._read(X)
        terms = -self._over(raw, self._density().terms) - self.baseline_
        parts, kl = terms[:, :-1], terms[:, -1]
        rest = np.column_stack([kl, np.full(len(kl), self.baseline_.sum())])
        if raw.is_frame:
            parts = pd.DataFrame(parts, index=row_labels(X), columns=raw.labels)
            rest = pd.DataFrame(rest, index=row_labels(X), columns=["kl", "baseline"])
        return (parts, rest) if return_rest else parts

    @untouched
    def codes(self, X: ArrayLike, return_std: bool = False) -> Any:
        """Latent code of each row: the mean of its posterior q(z | x) under the main model.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
        return_std : bool, default=False
            Whether to return how sure they are, too.

        Returns
        -------
        codes : ndarray of shape (n_samples, latent_dim)
            In the latent space's own units.
        std : ndarray of shape (n_samples, latent_dim)
            Only with ``return_std=True``: the posterior's standard deviation, in the same units.
            The fewer of a row's cells are observed, the larger.

        Raises
        ------
        sklearn.exceptions.NotFittedError, ValueError, TypeError
            As `score_samples`.
        """
        raw = self._read(X)
        mean = self._codes(raw, "mean")
        return (mean, self._codes(raw, "stddev")) if return_std else mean

    @untouched
    def expected(self, X: ArrayLike, coverage: float = 0.9) -> pd.DataFrame:
        """Value and interval that the model expects of each cell, given the row's others.

        Each cell is hidden in turn, and inferred from all others that are observed.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
        coverage : float in (0, 1), default=0.9
            Probability of an interval, with as much below it as above.

        Returns
        -------
        expected : DataFrame of shape (n_samples, 2 * n_features or more)
            With the index of X if it has one, and two levels of columns, ``column`` and
            ``field``. Each column of X has "expected": the value that `impute` would give
            if the cell were missing; with missing="model" the model still knows that it is
            there. A column of numbers or counts also has "lower" and
            "upper", the ends of the interval, in the column's own units; one of flags or
            levels "probability", the mass of the level observed, NaN where the cell is
            missing; by the noise model of a flag it is between 0.2 and 0.8.

        Raises
        ------
        sklearn.exceptions.NotFittedError, ValueError, TypeError
            As `score_samples`, or if coverage is no number between 0 and 1.
        NotImplementedError
            If the distribution of a noise model of the user's own lacks ``cdf``.

        Examples
        --------
        >>> import numpy as np
        >>> import pandas as pd
        >>> from skvae import VAEAnomalyDetector
        >>> size = np.random.RandomState(0).normal(170, 10, size=500)
        >>> X = pd.DataFrame({"size": size, "weight": size - 100, "tall": size > 170})
        >>> detector = VAEAnomalyDetector(random_state=0).fit(X)
        >>> odd = pd.DataFrame({"size": [180.0], "weight": [60.0], "tall": [True]})
        >>> expected = detector.expected(odd)
        >>> list(expected["weight"]), list(expected["tall"])
        (['expected', 'lower', 'upper'], ['expected', 'probability'])
        >>> bool(odd.at[0, "weight"] < expected.at[0, ("weight", "lower")])
        True
        """
        raw = self._read(X)
        real(0, 1, "neither").check("coverage", coverage, self)
        cells = self._over(raw, partial(self._density().expect, coverage=coverage))
        return self.table_.expected(raw, cells, row_labels(X))

    @untouched
    def critic_score(self, X: ArrayLike) -> np.ndarray:
        """Logit that the critic gives of each row being one of training; higher is more like them.

        What the other rows are depends on `divergence`: rows that the model makes up where it is
        "rows_adversarial", codes drawn from the prior where it is "adversarial". A well-trained
        model leaves a critic little to say, so that this is a look at training, and no anomaly
        score: use `score_samples`.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)

        Returns
        -------
        logits : ndarray of shape (n_samples,)
            No nats, and nothing that could be added to any.

        Raises
        ------
        sklearn.exceptions.NotFittedError, ValueError, TypeError
            As `score_samples`, or if no critic was fitted.

        Examples
        --------
        >>> import numpy as np
        >>> from skvae import VAETransformer
        >>> X = np.random.RandomState(0).normal(size=(300, 2))
        >>> model = VAETransformer(divergence="rows_adversarial", members=["plain"], max_steps=20)
        >>> model.fit(X).critic_score(X[:2]).shape
        (2,)
        """
        raw = self._read(X)
        if self.critic_ is None:
            raise ValueError(
                f"{type(self).__name__} was fitted without a critic. Use "
                "divergence='adversarial' or 'rows_adversarial', with a divergence_weight above 0."
            )
        judge = partial(verdicts, self.model_, self.critic_, device=scoring_device(self))
        return self._over(raw, lambda rows: judge(rows.values, rows.observed))

    def score(self, X: ArrayLike, y: object = None) -> float:
        """Mean evidence lower bound of the rows, in nats; higher is better.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
        y : Ignored

        Returns
        -------
        score : float
            What a grid search without labels maximises.

        Raises
        ------
        sklearn.exceptions.NotFittedError, ValueError, TypeError
            As `score_samples`.
        """
        return float(-self.negative_elbo(X).mean())

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        return tags

    def __sklearn_is_fitted__(self):
        return hasattr(self, "model_")

    def _read(self, X, min_rows=1):
        """Read a table and check that its columns are those that were fitted."""
        check_is_fitted(self)
        raw = read_table(X, min_rows=min_rows)
        validate_data(self, X, skip_check_array=True, reset=False)
        self.table_.check(raw)
        return raw

    def _density(self, members=None):
        """Density of the members that count, of those at hand by default."""
        members = self.members_ if members is None else members
        counted = [(each.weight, each.model) for each in members if each.weight > 0]
        return Density(self.table_, counted, self.draws_, scoring_device(self))

    def _codes(self, raw, moment):
        """Moment of the posterior of each row, "mean" or "stddev"."""
        device = scoring_device(self)
        return self._over(raw, lambda rows: latent_moments(self.model_, *rows, device, moment))

    def _bound(self, density):
        """Return the function from encoded rows to what `score_samples` returns."""
        self._check("bound", self.bound)
        return partial(BOUNDS[self.bound], density)

    def _over(self, raw, function):
        """Join what a function returns for chunks of rows, each encoded in its turn."""
        return by_chunk(lambda part: function(self.table_.encode(part)), raw)


def as_random_state(random_state):
    """RandomState of a parameter; None makes a fresh one, not numpy's global one."""
    return np.random.RandomState() if random_state is None else check_random_state(random_state)


def seed_from(random_state):
    """Draw a seed."""
    return int(random_state.randint(np.iinfo(np.int32).max))


def row_labels(X):
    """Take the labels of the rows of a pandas DataFrame; None for other tables."""
    return X.index if hasattr(X, "iloc") else None
