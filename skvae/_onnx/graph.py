"""A fitted estimator's methods restated in torch, on whole tables."""

from math import log
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from .._estimators import VAEClusterer
from .._table import DOMAINS, FARTHEST, INVERSE_SINH, LOGARITHM
from .inputs import is_text

__all__ = ["graph_of", "outputs_of"]


# Methods whose values a graph gives, where the estimator has them.
OUTPUTS = (
    *("transform", "score_samples", "decision_function", "predict", "p_values"),
    "predict_proba",
)
# Scores that differ by less, relative to their size, are equal: ties must not hang on rounding.
TIE = 1e-5  # of a score, at least 10: `score_samples` rounds to float32


class _Rows(NamedTuple):
    """Encoded rows and their scores."""

    values: torch.Tensor
    observed: torch.Tensor
    scores: torch.Tensor


class Graph(nn.Module):
    """A fitted estimator's methods in torch, from one matrix of cells.

    Parameters
    ----------
    estimator : VAEAnomalyDetector, VAEClusterer or VAETransformer
        Fitted.
    outputs : sequence of str
        Methods, each of which is restated below.
    """

    def __init__(self, estimator, outputs):
        super().__init__()
        self.outputs = outputs
        self.encode = Encoding(estimator.table_)
        members = [(each.weight, each.model) for each in estimator.members_ if each.weight > 0]
        self.weights = [weight for weight, _ in members]
        self.models = nn.ModuleList(model for _, model in members)
        if any(model.posterior.searches for model in self.models):
            raise ValueError(
                f"posterior={estimator.posterior!r} searches for the posterior of each row, "
                "which a graph cannot. Fit posterior='diagonal', or use skvae.save."
            )
        if any(model.posterior.space == "experts" for model in self.models):
            raise ValueError(
                "Experts, whose shares in a row are found by all of them, are not written as ONNX. "
                "Fit with experts=False, or use skvae.save."
            )
        self.priors = [model.prior_distribution() for model in self.models]
        self.main = estimator.model_
        self.draws = torch.tensor(estimator.draws_)
        self.bound = BOUNDS[estimator.bound]
        if getattr(estimator, "group_offsets_", {}):
            raise ValueError(
                "Thresholds by group are not written as ONNX. Fit without calibration_groups, or "
                "use skvae.save."
            )
        self.offset = getattr(estimator, "offset_", None)
        calibration = getattr(estimator, "calibration_scores_", ())
        self.n_calibration = len(calibration)
        self.calibration = _matrix([calibration], np.inf)

    def forward(self, cells):
        """Values of the methods; (n, n_columns) -> tuple of Tensor."""
        values, observed, scores = self.encode(cells)
        for weight, model, p in zip(self.weights, self.models, self.priors, strict=True):
            q = model.infer(values, observed)
            draws = self.draws[..., : model.noise_dim]
            terms = model.elbo(q, p, values, observed, observed, draws)
            scores = scores + weight * self.bound(terms.log_weight())
        rows = _Rows(values, observed, scores)
        return tuple(getattr(self, name)(rows) for name in self.outputs)

    def transform(self, rows):
        """Means of the posterior; (n, latent_dim)."""
        return self.main.infer(rows.values, rows.observed).mean

    def score_samples(self, rows):
        """Bound on the log density, in nats; (n,)."""
        return rows.scores

    def decision_function(self, rows):
        """Score above the threshold, in nats; (n,)."""
        return rows.scores - self.offset

    def predict(self, rows):
        """1 or -1; (n,)."""
        return 2 * (_lifted(rows.scores) >= self.offset).long() - 1

    def p_values(self, rows):
        """Conformal p-values; (n,)."""
        n_not_above = _count_not_above(self.calibration, _lifted(rows.scores).unsqueeze(-1))
        return (1 + n_not_above.squeeze(-1)).double() / (1 + self.n_calibration)


class ClusterGraph(Graph):
    """The same of a clusterer, to which `predict` is another method."""

    def __init__(self, estimator, outputs):
        super().__init__(estimator, outputs)
        self.prior = self.main.prior_distribution()

    def predict_proba(self, rows):
        """Probability of each cluster; (n, n_clusters)."""
        q = self.main.infer(rows.values, rows.observed)
        z = q.transport(self.draws[..., : self.main.latent_dim])
        eps = self.draws[..., self.main.latent_dim : self.main.noise_dim]
        return self.main.prior.log_joint(self.prior, z, eps).softmax(-1).mean(0)

    def predict(self, rows):
        """Most probable cluster; (n,)."""
        return self.predict_proba(rows).argmax(-1)


GRAPHS = {VAEClusterer: ClusterGraph}


def graph_of(estimator, outputs):
    """Graph of a fitted estimator; parameters as of `Graph`."""
    return GRAPHS.get(type(estimator), Graph)(estimator, outputs)


class Encoding(nn.Module):
    """`TableEncoder.encode` in torch, and the Jacobian of a row.

    Parameters
    ----------
    table : TableEncoder
    """

    def __init__(self, table):
        super().__init__()
        columns = table.columns_
        domains = [DOMAINS[table.families[column.likelihood]] for column in columns]
        units = [[c.exponent, c.loc, c.scale, c.spread] for c in columns]
        units = torch.tensor(units, dtype=torch.float64)
        exponents, self.locs, self.scales, self.spreads = units.T
        half = (exponents / 2).floor()  # in two steps: the power itself may overflow
        self.powers = torch.exp2(-half), torch.exp2(half - exponents)
        self.curves = [
            (*curve, torch.tensor(bent))
            for known, curve in CURVES.items()
            if any(bent := [domain.curve is known for domain in domains])
        ]
        # Of the linear part: no curve has a slope where its values are 0.
        self.log_jacobian = float(table.log_jacobian(np.zeros((1, len(columns)))).sum())
        coded = [
            j
            for j, (column, domain) in enumerate(zip(columns, domains, strict=True))
            if domain.levels_of(column) is not None and not is_text(column)
        ]
        self.coded = torch.tensor(coded, dtype=torch.long)
        self.codes = Codes([columns[j].levels for j in coded]) if coded else None
        places = np.arange(len(columns))
        places[coded] = len(columns) + np.arange(len(coded))
        self.order = torch.tensor(places[table.order_])
        self.seen = torch.tensor(table.order_)
        self.masked = torch.tensor(table.masked_)
        self.scored = torch.tensor(~np.isin(np.arange(len(columns)), table.context_))
        self.known = torch.tensor(~np.isin(np.arange(len(columns)), table.unknown_))

    def forward(self, cells):
        """Encode cells; say with 1.0 which are observed, and the log of the Jacobian in nats.

        (n, n_columns) -> (n, n_columns + n_masked) twice, and (n,).
        """
        holes = cells.isnan() | ~self.known
        cells = torch.where(holes, 0.0, cells)
        values = cells * self.powers[0] * self.powers[1]
        values = ((values - self.locs) / self.scales).clamp(-FARTHEST, FARTHEST)
        log_jacobian = torch.full_like(values[:, 0], self.log_jacobian)
        for straighten, log_slope, is_bent in self.curves:
            bent = torch.where(holes, 0.0, straighten(values))
            values = torch.where(is_bent, bent / self.spreads, values)
            log_jacobian = log_jacobian + (log_slope(bent) * (is_bent & self.scored)).sum(-1)
        if self.codes is not None:
            values = torch.cat([values, self.codes(cells[:, self.coded])], -1)
        flags = holes[:, self.masked].double()
        observed = torch.cat([(~holes[:, self.seen]).double(), torch.ones_like(flags)], -1)
        return torch.cat([values[:, self.order], flags], -1) * observed, observed, log_jacobian


class Codes(nn.Module):
    """Positions of numbers among the levels of their columns.

    Parameters
    ----------
    levels : list of tuple of float
        Of each column.
    """

    def __init__(self, levels):
        super().__init__()
        arrays = [np.array(own, dtype=np.float64) for own in levels]
        self.sorted = _matrix([np.sort(own) for own in arrays], np.inf)
        self.positions = _matrix([np.argsort(own) for own in arrays], 0.0)
        self.unseen = torch.tensor([len(own) for own in arrays]).double()

    def forward(self, cells):
        """Position of each cell, or that of unseen levels; (n, c) -> (n, c)."""
        n_columns, size = self.sorted.shape
        nearest = (_count_not_above(self.sorted, cells) - 1).relu()
        place = nearest + size * torch.arange(n_columns)
        is_known = self.sorted.flatten()[place] == cells
        return torch.where(is_known, self.positions.flatten()[place], self.unseen)


# What torch's graph takes for each curve: the function and the log of its derivative.
CURVES = {
    LOGARITHM: (lambda u: u.clamp(min=1 / FARTHEST).log(), torch.neg),
    INVERSE_SINH: (
        lambda u: u.sign() * (u.abs() + (u.square() + 1).sqrt()).log(),
        lambda w: log(2.0) - torch.logaddexp(w, -w),
    ),
}
BOUNDS = {
    "elbo": lambda log_weight: log_weight.mean(0),
    "iwae": lambda log_weight: log_weight.logsumexp(0) - log(len(log_weight)),
}


def outputs_of(estimator):
    """Methods whose values the graph of an estimator gives."""
    has_p_values = len(getattr(estimator, "calibration_scores_", ())) > 0
    return [
        name
        for name in OUTPUTS
        if hasattr(estimator, name) and (name != "p_values" or has_p_values)
    ]


def _lifted(scores):
    """Scores raised by as much as rounding may have lowered them."""
    return scores + TIE * scores.abs().clamp(min=10.0)


def _matrix(rows, fill):
    """Rows of different lengths as one float64 matrix of 2**k - 1 columns."""
    size = 2 ** max(map(len, rows)).bit_length() - 1
    return torch.tensor(
        np.array([np.append(row, np.full(size - len(row), fill)) for row in rows], dtype=np.float64)
    )


def _count_not_above(table, x):
    """How many of each column's entries are not above x, by bisection.

    Parameters
    ----------
    table : Tensor of shape (c, 2**k - 1)
        Ascending rows, one for each column of x.
    x : Tensor of shape (n, c)

    Returns
    -------
    count : int64 Tensor of shape (n, c)
    """
    n_columns, size = table.shape
    entries, first = table.flatten(), size * torch.arange(n_columns)
    count = torch.zeros_like(x).long()
    step = (size + 1) // 2
    while step:
        more = count + step
        count = torch.where(entries[more - 1 + first] <= x, more, count)
        step //= 2
    return count
