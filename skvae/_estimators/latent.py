"""What latent dimensions do: how much they hold, and which columns they move."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from .._engine import information, traverse, untouched
from .disentanglement import dimension_disentanglement, disentanglement, factor_table
from .queries import as_random_state, seed_from
from .rows import Rows

__all__ = ["Latent", "LatentReport"]

_MOST_ROWS = 2_000  # each is compared to all others
_N_DRAWS = 4
_ACTIVE = 0.01  # least variance of the posterior means of a dimension that is in use


@dataclass(frozen=True, eq=False)
class LatentReport:
    """What `latent_report` found.

    Attributes
    ----------
    dimensions : DataFrame of shape (latent_dim, 5)
        By latent dimension, in nats: ``kl``, the mean KL divergence of its posteriors from the
        prior's, ``mutual_information`` with the rows, and ``marginal_kl`` of all rows' codes
        together; ``std`` of these codes; and whether it is ``active``, that is whether the
        variance of its posterior means exceeds 0.01.
    moves : DataFrame of shape (latent_dim, n_columns)
        How far each column moves, in its own units, when a dimension goes from one standard
        deviation below its mean to one above, the others at their means. Of flags and levels how
        much probability moves, from 0 to 1. Without columns fitted as context.
    spread : Series of shape (n_columns,)
        Standard deviation of each column in the rows, to compare its moves to; of flags and levels
        1.
    kl, mutual_information, total_correlation, dimension_wise_kl, prior_dependence : float
        In nats per row: the KL divergence of the ELBO, and what it consists of. What the codes
        say of the row, how dependent their dimensions are, how far each dimension is from the
        prior, and, for priors whose dimensions are not independent, how dependent those are. The
        last two are NaN, as is what is by dimension of them, where the prior has no density of one
        dimension (``prior="vae"``).
    factors : DataFrame of shape (n_factors, 4) or None
        Of each known factor ``mig``, ``sap``, ``completeness`` and ``informativeness``.
    importance : DataFrame of shape (latent_dim, n_factors) or None
        Of each dimension in a random forest that infers the factor.
    disentanglement : float or None
        The D of DCI, in [0, 1]: 1 where each dimension serves one factor.
    """

    dimensions: pd.DataFrame
    moves: pd.DataFrame
    spread: pd.Series
    kl: float
    mutual_information: float
    total_correlation: float
    dimension_wise_kl: float
    prior_dependence: float
    factors: pd.DataFrame | None = None
    importance: pd.DataFrame | None = None
    disentanglement: float | None = None


class Latent(Rows):
    """A report on the latent dimensions of the main model."""

    @untouched
    def latent_report(
        self,
        X: ArrayLike,
        factors: ArrayLike | None = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> LatentReport:
        """Find how much each latent dimension holds, what it moves and what it stands for.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
            Of more than 2,000 rows as many are drawn, as each is compared to all others.
        factors : array-like or DataFrame of shape (n_samples,) or (n_samples, n_factors), \
                default=None
            What is known to vary in the rows: numbers of more than 20 values, or levels.
        random_state : int, RandomState instance or None, default=None

        Returns
        -------
        report : LatentReport

        Raises
        ------
        sklearn.exceptions.NotFittedError, ValueError, TypeError
            As `score_samples`, or if there are fewer than 2 rows, factors have other rows, holes or
            one value alone, or random_state is no source of draws.

        Notes
        -----
        The parts of the KL divergence are those of the exact aggregate posterior of the rows, not
        of estimates from batches, which are biased. Without known factors nothing tells which of
        many turned latent spaces is the right one (Locatello et al., 2019): fit with several seeds,
        and report how far the results spread.

        References
        ----------
        Chen et al., "Isolating Sources of Disentanglement in VAEs", 2018, arXiv:1802.04942, for the
        parts and MIG. Eastwood and Williams, "A Framework for the Quantitative Evaluation of
        Disentangled Representations", ICLR 2018, for DCI. Kumar, Sattigeri and Balakrishnan,
        "Variational Inference of Disentangled Latent Concepts from Unlabeled Observations", 2018,
        arXiv:1711.00848, for SAP. Burda, Grosse and Salakhutdinov, 2016, arXiv:1509.00519, for
        active dimensions. Locatello et al., 2019, arXiv:1811.12359.

        Examples
        --------
        >>> import numpy as np
        >>> from skvae import VAETransformer
        >>> size = np.random.RandomState(0).normal(size=(500, 1))
        >>> X = size * [1.0, 20.0, -3.0] + 0.1 * np.random.RandomState(1).normal(size=(500, 3))
        >>> model = VAETransformer(latent_dim=1, max_steps=300, random_state=0).fit(X)
        >>> report = model.latent_report(X, factors=size[:, 0] > 0, random_state=0)
        >>> int(report.moves.abs().idxmax(axis=1)[0])
        1
        >>> bool(report.factors.at[0, "mig"] > 0.9)
        True
        """
        raw = self._read(X, min_rows=2)
        self._check("random_state", random_state)
        if self.model_.posterior.space != "real":
            raise ValueError(
                "latent_report takes codes that are real numbers. The posterior has codes that are "
                f"{self.model_.posterior.space}: read them by codes(X)."
            )
        known = None if factors is None else factor_table(factors, len(raw.values))
        source, n = as_random_state(random_state), len(raw.values)
        chosen = np.sort(source.permutation(n)[:_MOST_ROWS])
        rows = self.table_.encode(raw.take(chosen))
        found = information(self.model_, rows, _N_DRAWS, seed_from(source))
        by_dimension = found.by_dimension
        parts = ("kl", "mutual_information", "marginal_kl", "std")
        dimensions = pd.DataFrame({part: by_dimension[part] for part in parts})
        dimensions["active"] = by_dimension["std_of_means"] ** 2 > _ACTIVE
        of_factors = {}
        if known is not None:
            codes = self._codes(raw.take(chosen), "mean")
            scores, importance = disentanglement(codes, known.iloc[chosen])
            of_factors = {
                "factors": scores,
                "importance": importance,
                "disentanglement": dimension_disentanglement(importance),
            }
        moves, are_numbers = self._moves(by_dimension["mean"], by_dimension["std"])
        spread = np.where(are_numbers, np.nanstd(raw.values, axis=0), 1.0)
        shown = np.setdiff1d(np.arange(len(raw.names)), self.table_.context_)
        return LatentReport(
            dimensions=dimensions,
            moves=pd.DataFrame(moves[:, shown], columns=raw.labels[shown]),
            spread=pd.Series(spread[shown], index=raw.labels[shown]),
            kl=found.kl,
            mutual_information=found.mutual_information,
            total_correlation=found.total_correlation,
            dimension_wise_kl=found.dimension_wise_kl,
            prior_dependence=found.prior_dependence,
            **of_factors,
        )

    def _moves(self, mean, std):
        """How far each column moves along each dimension (latent_dim, n_columns); are numbers."""
        table, steps = self.table_, np.diag(std)
        have_intervals, blocks = table.have_intervals(), table.blocks()
        n_levels = [
            0 if is_number else max([2, *(len(column.levels) for column in columns)])
            for is_number, (_, columns) in zip(have_intervals, blocks, strict=True)
        ]
        low, high, apart = traverse(self.model_, mean - steps, mean + steps, n_levels)
        sizes = [len(columns) for _, columns in blocks]
        are_numbers = table.in_user_order(np.repeat(have_intervals, sizes)[None])[0]
        moves = table.in_user_order(apart)
        ends = [table.decode(cells)[:, are_numbers].astype(float) for cells in (low, high)]
        moves[:, are_numbers] = ends[1] - ends[0]
        return moves, are_numbers
