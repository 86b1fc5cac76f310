"""A prior that is a model of codes: bounds of their density, exact where q(u | z) is."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from skvae._engine import draws
from skvae._table import Column
from skvae.nn import POSTERIORS, PRIORS, VAE, Gaussian, HierarchicalPrior, JointLikelihood
from skvae.nn.layers import inverse_softplus

LATENT_DIM = 3


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


def normal(*shape, generator):
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def build(generator, latent_dim=LATENT_DIM, **params):
    prior = HierarchicalPrior(latent_dim, torch.zeros(1, 4), generator=generator, **params)
    return prior.double().requires_grad_(False)


@pytest.mark.parametrize("n_codes", [1, 2, 3, 5])
def test_it_begins_as_the_standard_normal_in_every_draw(n_codes, generator):
    prior = build(generator, n_codes=n_codes)
    z = 2 * normal(7, 20, LATENT_DIM, generator=generator)
    eps = normal(7, 1, n_codes, generator=generator)
    expected = stats.norm.logpdf(z).sum(-1)
    np.testing.assert_allclose(prior.log_prob(prior(None), z, eps), expected, atol=1e-5)
    np.testing.assert_allclose(prior(None).log_prob(z), expected, atol=1e-5)
    drawn = prior.sample(20_000, None, generator)
    np.testing.assert_allclose(drawn.T.cov(), np.eye(LATENT_DIM), atol=0.05)


@pytest.mark.parametrize("a", [0.0, 0.3, 0.95])
def test_codes_that_are_normal_already_gain_nothing_by_codes_of_their_own(a, generator):
    """p(z | u) = N(a u, (1 - a**2) I) with the exact q(u | z) leaves every score."""
    prior = build(generator, n_codes=LATENT_DIM, hidden_layer_sizes=())
    slope, scale = a * torch.eye(LATENT_DIM).double(), torch.full((LATENT_DIM,), 1 - a**2).sqrt()
    prior.posterior.start(slope, slope[0] * 0, scale)
    prior.decoder[-1].weight.copy_(slope)
    prior.decoder[-1].bias.zero_()
    prior.raw_scale.copy_(inverse_softplus(scale - 0.01))
    z = 2 * normal(7, 20, LATENT_DIM, generator=generator)
    eps = normal(7, 1, LATENT_DIM, generator=generator)
    expected = stats.norm.logpdf(z).sum(-1)
    np.testing.assert_allclose(prior.log_prob(prior(None), z, eps), expected, atol=1e-4)


def linear_level(generator):
    """Prior of two linear levels whose q(u | z) is exact, and its density."""
    loadings = np.linalg.qr(normal(LATENT_DIM, 2, generator=generator).numpy())[0] * [1.5, 0.7]
    noise, centre = 0.6, np.array([0.5, -1.0, 2.0])
    prior = build(generator, n_codes=2, hidden_layer_sizes=())
    covariance = np.linalg.inv(np.eye(2) + loadings.T @ loadings / noise**2)
    gain = torch.tensor(covariance @ loadings.T / noise**2)
    prior.posterior.start(
        gain, -gain @ torch.tensor(centre), torch.tensor(covariance.diagonal() ** 0.5)
    )
    prior.decoder[-1].weight.copy_(torch.tensor(loadings))
    prior.decoder[-1].bias.copy_(torch.tensor(centre))
    prior.raw_scale.fill_(inverse_softplus(torch.tensor(noise - 0.01, dtype=torch.float64)))
    return prior, stats.multivariate_normal(centre, loadings @ loadings.T + noise**2 * np.eye(3))


def test_two_linear_levels_are_factor_analysis(generator):
    prior, oracle = linear_level(generator)
    z = 2 * normal(5, 20, LATENT_DIM, generator=generator)
    got = prior.log_prob(prior(None), z, 3 * normal(5, 1, 2, generator=generator))
    np.testing.assert_allclose(got, oracle.logpdf(z), atol=1e-9)
    drawn = prior.sample(50_000, None, generator)
    np.testing.assert_allclose(drawn.T.cov(), oracle.cov, atol=0.06)
    np.testing.assert_allclose(drawn.mean(0), oracle.mean, atol=0.03)


def bent(generator):
    prior = build(generator, latent_dim=1)
    for weight in prior.parameters():
        weight.data += 0.2 * normal(*weight.shape, generator=generator)
    prior.posterior.head.bias[1] = 2.0  # wider than p(u | z), for bounded weights
    return prior


def test_a_bound_is_never_above_the_density(generator):
    prior = bent(generator)
    grid = torch.linspace(-15, 15, 151, dtype=torch.float64)[:, None]
    z = grid.expand(2_000, -1, -1)
    weights = prior.log_prob(prior(None), z, normal(2_000, 1, 1, generator=generator))
    u = torch.linspace(-8, 8, 4_001, dtype=torch.float64)[:, None]
    joint = prior.decode(u[:, None]).log_prob(grid) + torch.tensor(stats.norm.logpdf(u))
    log_density = joint.logsumexp(0) + math.log(u[1] - u[0])
    assert (weights.mean(0) < log_density + 5 * weights.std(0) / 2_000**0.5 + 1e-6).all()
    assert (weights.mean(0) < log_density - 0.01).any()
    near = log_density > -4
    tighter = weights.logsumexp(0) - math.log(2_000)
    np.testing.assert_allclose(tighter[near], log_density[near], atol=0.1)
    assert (prior(None).log_prob(grid).exp().sum() * 0.2).item() < 1.02


def test_draws_follow_the_density(generator):
    prior = bent(generator)
    drawn = prior.sample(5_000, None, generator)[:, 0].numpy()
    u = torch.linspace(-8, 8, 2_001, dtype=torch.float64)[:, None]
    shares = stats.norm.pdf(u)[:, 0] / stats.norm.pdf(u).sum()
    means, scale = prior.decoder(u)[:, 0].numpy(), prior.scale().item()
    cdf = lambda z: (shares * stats.norm.cdf((z[:, None] - means) / scale)).sum(-1)  # noqa: E731
    assert stats.kstest(drawn, cdf).pvalue > 1e-3


def model(prior, generator):
    rows = torch.randn(20, 4, generator=generator)
    return VAE(
        JointLikelihood([(Gaussian, [Column("x", "any")] * 4)]),
        latent_dim=2,
        hidden_layer_sizes=(6,),
        activation="silu",
        posterior=POSTERIORS["diagonal"],
        prior=PRIORS[prior],
        examples=(rows, torch.ones_like(rows)),
        generator=generator,
    ).double(), rows.double()


def test_at_the_start_scores_are_those_of_the_standard_normal():
    scores = []
    for prior in ("standard_normal", "vae"):
        vae, rows = model(prior, torch.Generator().manual_seed(0))
        eps = torch.tensor(draws(8, vae.noise_dim, seed=0))
        eps[..., :2] = torch.tensor(draws(8, 2, seed=0))
        seen = torch.ones_like(rows)
        scores.append(vae(rows, seen, seen, eps).log_weight().detach())
    np.testing.assert_allclose(scores[0], scores[1], atol=1e-5)


@pytest.mark.parametrize("params", [{"n_codes": 0}, {"n_codes": 1.5}, {"hidden_layer_sizes": [-3]}])
def test_wrong_sizes_are_refused(params, generator):
    with pytest.raises(
        ValueError, match="n_codes and hidden_layer_sizes must be ints in the range"
    ):
        build(generator, **params)
