"""A posterior that is improved for each row finds the exact one, and never a worse one."""

import pickle

import numpy as np
import pytest
import torch
from common import SMALL
from scipy import stats

from skvae import VAETransformer
from skvae._engine import draws
from skvae._engine.blocks import by_model
from skvae._engine.score import _terms_of_block
from skvae._table import Column
from skvae.nn import (
    PRIORS,
    VAE,
    DiagonalGaussian,
    Gaussian,
    JointLikelihood,
    LinearModel,
    RefinedGaussian,
)

N_COLUMNS = 6


def build(posterior, latent_dim=3, prior="standard_normal", hidden_layer_sizes=()):
    generator = torch.Generator().manual_seed(0)
    examples = torch.randn(20, N_COLUMNS, generator=generator)
    model = VAE(
        JointLikelihood([(Gaussian, [Column("x", "any")] * N_COLUMNS)]),
        latent_dim=latent_dim,
        hidden_layer_sizes=hidden_layer_sizes,
        activation="silu",
        posterior=posterior,
        prior=PRIORS[prior],
        examples=(examples, torch.ones_like(examples)),
        generator=generator,
    )
    return model.double().requires_grad_(False)


def scores(model, x, observed, n_draws=8):
    eps = draws(n_draws, model.noise_dim, seed=0)
    return by_model(_terms_of_block, model, x, observed, eps, "cpu").sum(axis=1)


@pytest.mark.parametrize("seed", [0, 1])
def test_from_any_start_it_reaches_the_log_density_of_probabilistic_pca(seed):
    rng = np.random.default_rng(seed)
    loadings, noise = np.linalg.qr(rng.normal(size=(N_COLUMNS, 3)))[0] * [2.0, 1.0, 0.5], 0.4
    model = build(RefinedGaussian)
    parts = (np.zeros(N_COLUMNS), np.full(N_COLUMNS, noise), loadings, np.zeros((N_COLUMNS, 0)))
    with torch.no_grad():
        model.start(LinearModel(*map(torch.tensor, parts)))
        for weight in model.posterior.parameters():
            weight += torch.randn(weight.shape, generator=torch.Generator().manual_seed(seed))
    x = 2 * rng.normal(size=(20, N_COLUMNS))
    covariance = loadings @ loadings.T + noise**2 * np.eye(N_COLUMNS)
    expected = stats.multivariate_normal(np.zeros(N_COLUMNS), covariance).logpdf(x)
    everything = np.ones(x.shape, dtype=bool)
    assert (scores(model, x, everything) < expected + 1e-6).all()
    np.testing.assert_allclose(scores(model, x, everything), expected, atol=1e-3)
    start = build(DiagonalGaussian)
    start.load_state_dict(model.state_dict(), strict=False)
    assert (scores(start, x, everything) < expected - 1).any()


@pytest.mark.parametrize(
    ("prior", "latent_dim"), [("full_mixture", 9), ("vae", 1), ("spike_slab", 3)]
)
def test_no_score_is_lower_than_that_of_the_start(prior, latent_dim):
    model = build(RefinedGaussian, latent_dim, prior, (8,))
    start = build(DiagonalGaussian, latent_dim, prior, (8,))
    start.load_state_dict(model.state_dict(), strict=False)
    rng = np.random.default_rng(0)
    x, observed = 2 * rng.normal(size=(24, N_COLUMNS)), rng.random((24, N_COLUMNS)) < 0.8
    gain = scores(model, x * observed, observed) - scores(start, x * observed, observed)
    assert gain.min() >= -1e-9
    assert np.median(gain) > 0.01


def test_points_are_exact_for_quadratics():
    for latent_dim in (1, 3, 8, 20):
        part = RefinedGaussian(4, latent_dim, generator=torch.Generator().manual_seed(0))
        points = part.points.double()
        assert len(points) % 16 == 0
        torch.testing.assert_close(points.mean(0), torch.zeros_like(points[0]), atol=1e-6, rtol=0)
        second = points.T @ points / len(points)
        torch.testing.assert_close(second, torch.eye(latent_dim).double(), atol=1e-6, rtol=0)


@pytest.mark.parametrize("prior", ["full_mixture", "mixture"])
def test_it_is_trained_as_the_diagonal_posterior_bit_for_bit(table, prior):
    models = [
        VAETransformer(posterior=posterior, prior=prior, **SMALL).fit(table[:60]).model_
        for posterior in ("diagonal", "refined")
    ]
    for one, other in zip(models[0].parameters(), models[1].parameters(), strict=True):
        assert torch.equal(one, other)


def test_codes_and_guesses_are_those_of_the_posterior_found(holed):
    model = VAETransformer(posterior="refined", **SMALL).fit(holed)
    again = pickle.loads(pickle.dumps(model))
    plain = VAETransformer(posterior="diagonal", **SMALL).fit(holed)
    rows = holed[:20]
    codes = model.codes(rows)
    assert np.abs(codes - plain.codes(rows)).max() > 0.01
    np.testing.assert_array_equal(again.codes(rows[7:8]), codes[7:8])
    np.testing.assert_array_equal(again.score_samples(rows[::-1]), model.score_samples(rows)[::-1])
    assert np.isfinite(model.impute(rows)).all()
    assert (model.score_samples(rows) - plain.score_samples(rows)).min() > -1e-4
