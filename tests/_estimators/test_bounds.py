"""Bounds: oracles in closed form, and the columns' units."""

from copy import copy

import numpy as np
import pytest
import torch
from common import CONTINUOUS, SMALL, UNEQUAL, factor_table, in_domain
from scipy.stats import multivariate_normal
from sklearn.base import clone
from sklearn.decomposition import PCA, FactorAnalysis

from skvae import VAETransformer
from skvae._engine import draws


def log_marginal(model, X):
    """Exact log density of each row under the weights of a linear model, in nats."""
    (block,), (_, decoder) = model.model_.likelihood.blocks, model.model_.decoder
    scale = block(torch.zeros(1, X.shape[1], 1)).scale
    weight, bias = decoder.weight.numpy(), decoder.bias.numpy()
    unit = np.array([column.scale * 2.0**column.exponent for column in model.table_.columns_])
    centre = np.array([column.loc * 2.0**column.exponent for column in model.table_.columns_])
    covariance = weight @ weight.T + np.diag(scale.squeeze().numpy() ** 2)
    return multivariate_normal(centre + unit * bias, np.outer(unit, unit) * covariance).logpdf(X)


@pytest.mark.slow
# Of "flow" the expectation over a few draws is not exact; "refined" starts as "diagonal".
@pytest.mark.parametrize(
    ("noise", "oracle", "posterior"),
    [(UNEQUAL, FactorAnalysis, "full"), (0.6, PCA, "diagonal"), (0.6, PCA, "refined")],
)
def test_linear_model_scores_fresh_rows_as_factor_analysis_does(noise, oracle, posterior):
    X, fresh = np.split(factor_table(noise, 10_000), 2)
    model = VAETransformer(
        latent_dim=3,
        hidden_layer_sizes=(),
        prior="standard_normal",
        posterior=posterior,
        learning_rate_init=0.02,
        batch_size=1000,
        max_steps=2000,
        n_iter_no_change=None,
        likelihoods="gaussian",
        robust_weight=0,
        random_state=0,
    ).fit(X)
    expected = oracle(n_components=3).fit(X).score(fresh)
    assert model.score(fresh) == pytest.approx(expected, abs=0.05)
    assert (model.score_samples(fresh) - log_marginal(model, fresh)).max() <= 1e-6


def test_importance_weighted_bound_rises_with_the_draws_to_the_log_marginal():
    X = factor_table(UNEQUAL, 2000)
    model = VAETransformer(
        latent_dim=3,
        hidden_layer_sizes=(),
        prior="standard_normal",
        bound="iwae",
        learning_rate_init=0.01,
        max_steps=40,  # so few that the posterior is poor
        likelihoods="gaussian",
        robust_weight=0,
        random_state=0,
    ).fit(X)
    bounds = []
    for n_draws in (1, 4, 16, 64, 256, 1000):
        seeds = [draws(n_draws, 3, seed) for seed in range(20)]
        bounds.append(np.mean([with_draws(model, eps).score_samples(X[:200]) for eps in seeds]))
    assert (np.diff(bounds) > 0).all()
    assert bounds[-1] == pytest.approx(log_marginal(model, X[:200]).mean(), abs=0.01)


def with_draws(model, eps):
    model = copy(model)
    model.draws_ = eps
    return model


def with_units_of(other, model):
    """The weights of `model` with the columns' units of `other`."""
    other = copy(other)
    other.model_, other.members_, other.draws_ = model.model_, model.members_, model.draws_
    return other


@pytest.mark.parametrize("factor", [1e-300, 1e300])
@pytest.mark.parametrize("likelihood", CONTINUOUS)
def test_new_units_of_a_column_shift_every_score_alike(table, holed, likelihood, factor):
    table, holed = (in_domain(X, likelihood) for X in (table, holed))
    units = np.array([1.0, factor, 1.0, 1.0, 1.0])
    model = VAETransformer(likelihoods=likelihood, **SMALL).fit(table)
    refitted = clone(model).fit(table * units)
    same_weights = with_units_of(refitted, model)
    for X in (table, holed):
        expected = model.score_samples(X) - np.log(factor)
        scores = same_weights.score_samples(X * units)
        assert (np.abs(scores - expected) <= 1e-9 * np.maximum(1, np.abs(expected))).all()
        np.testing.assert_allclose(refitted.score_samples(X * units), expected, atol=0.01, rtol=0)


@pytest.mark.parametrize("constant", [0.0, -5.0, 1e6])
@pytest.mark.parametrize("likelihood", CONTINUOUS)
def test_value_that_departs_from_a_constant_column_is_odd(table, likelihood, constant):
    if likelihood == "log_normal":
        table, constant = in_domain(table, likelihood), abs(constant) or 1.0
    X = np.column_stack([table, np.full(len(table), constant)])
    model = VAETransformer(likelihoods=likelihood, **SMALL).fit(X)
    departing = X[:5].copy()
    departing[:, -1] += (
        20 * (constant or 1.0) if likelihood == "log_normal" else 2 * (constant or 1.0)
    )
    rise = model.negative_elbo(departing) - model.negative_elbo(X[:5])
    assert np.isfinite(rise).all()
    assert (rise > 1).all()
