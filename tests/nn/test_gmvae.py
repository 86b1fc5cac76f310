"""A mixture prior whose components bend with a code: bounds, exact where they do not bend."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from skvae.nn import GMVAEPrior, Mixture

K, LATENT_DIM = 3, 2


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


def normal(*shape, generator):
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def build(generator, latent_dim=LATENT_DIM, n_components=K, **params):
    prior = GMVAEPrior(
        latent_dim, torch.zeros(1, 4), n_components=n_components, generator=generator, **params
    )
    return prior.double().requires_grad_(False)


def straightened(prior):
    """The same prior with networks that say the same of every code w."""
    prior.decoder[-1].weight.zero_()
    return prior


@pytest.mark.parametrize("n_components", [1, K])
def test_with_components_that_do_not_bend_it_is_a_mixture_in_every_draw(n_components, generator):
    prior = straightened(build(generator, n_components=n_components))
    mixture = Mixture(LATENT_DIM, None, n_components=n_components, generator=generator).double()
    means = normal(n_components, LATENT_DIM, generator=generator)
    start = (
        torch.arange(1.0, n_components + 1).double() / 6,
        means,
        0.3 * torch.eye(LATENT_DIM).double().expand(n_components, -1, -1),
    )
    for part in (prior, mixture.requires_grad_(False)):
        part.start(*start)
    z, eps = normal(7, 20, LATENT_DIM, generator=generator), normal(7, 1, 2, generator=generator)
    expected = mixture(None).log_joint(z)
    np.testing.assert_allclose(prior.log_joint(prior(None), z, eps), expected, atol=1e-6)
    np.testing.assert_allclose(prior(None).log_prob(z), expected.logsumexp(-1), atol=1e-6)
    drawn = prior.sample(50_000, None, generator)
    shares = start[0].numpy() / start[0].sum().item()
    np.testing.assert_allclose(drawn.mean(0), shares @ means.numpy(), atol=0.03)


def bent(generator):
    """Prior of one dimension with weights far from where they start."""
    prior = build(generator, latent_dim=1, n_codes=1)
    for weight in prior.parameters():
        weight.data += 0.2 * normal(*weight.shape, generator=generator)
    prior.posterior.head.bias[1] = 2.0  # wider than p(w | z), for bounded weights
    return prior


def test_moments_are_those_of_draws(generator):
    prior = bent(generator)
    w = normal(1, 1, generator=generator)
    given = prior.decode(w)
    chosen = torch.multinomial(given.log_weights.exp(), 100_000, True, generator=generator)
    eps = normal(100_000, generator=generator)
    components = given.components
    drawn = components.loc[0, chosen, 0] + components.scale[0, chosen, 0] * eps
    assert given.mean.shape == given.variance.shape == (1, 1)
    np.testing.assert_allclose(given.mean.item(), drawn.mean(), atol=0.02)
    np.testing.assert_allclose(given.variance.item(), drawn.var(), rtol=0.02)


def exact(prior, z):
    """Log p(z), k by k, by quadrature; (n, 1) -> (n, K)."""
    w = torch.linspace(-8, 8, 4_001, dtype=torch.float64)[:, None]
    joint = prior.decode(w[:, None]).log_joint(z) + torch.tensor(stats.norm.logpdf(w))[..., None]
    return joint.logsumexp(0) + math.log(w[1] - w[0])


def test_a_bound_is_never_above_the_density_and_tends_to_it(generator):
    prior = bent(generator)
    z = torch.linspace(-8, 8, 81, dtype=torch.float64)[:, None]
    eps = normal(2_000, 1, 1, generator=generator)
    weights = prior.log_prob(prior(None), z.expand(2_000, -1, -1), eps)
    expected = exact(prior, z).logsumexp(-1)
    assert (weights.mean(0) < expected + 5 * weights.std(0) / 2_000**0.5 + 1e-6).all()
    assert (weights.mean(0) < expected - 0.01).any()
    near = expected > -2
    tighter = weights.logsumexp(0) - math.log(2_000)
    np.testing.assert_allclose(tighter[near], expected[near], atol=0.1)


def test_weighted_draws_of_w_give_the_exact_share_of_each_component(generator):
    prior = bent(generator)
    z = torch.linspace(-2, 2, 9, dtype=torch.float64)[:, None]
    eps = normal(4_000, 1, 1, generator=generator)
    joint = prior.log_joint(prior(None), z.expand(4_000, -1, -1), eps)
    shares = joint.logsumexp(0).softmax(-1)
    np.testing.assert_allclose(shares, exact(prior, z).softmax(-1), atol=0.03)


@pytest.mark.parametrize("temperature", [1.0, 0.0])
def test_draws_follow_the_density(temperature, generator):
    prior = bent(generator)
    drawn = prior.sample(5_000, None, generator, temperature)[:, 0].numpy()
    w = torch.linspace(-8, 8, 2_001, dtype=torch.float64)[:, None]
    given = prior.decode(w)
    shares = stats.norm.pdf(w) / stats.norm.pdf(w).sum() * given.log_weights.exp().numpy()
    loc, scale = given.components.loc[..., 0].numpy(), given.components.scale[..., 0].numpy()
    scale = scale * temperature**0.5 + 1e-9
    grid = np.linspace(-6, 6, 200)
    cdf = np.array([(shares * stats.norm.cdf((at - loc) / scale)).sum() for at in grid])
    empirical = np.searchsorted(np.sort(drawn), grid) / len(drawn)
    assert np.abs(empirical - cdf).max() < 0.03


def test_a_component_that_is_no_normal_is_fitted_better_than_by_one(generator):
    """Codes along a bend: half a circle, of which a normal knows nothing."""
    angle = math.pi * torch.rand(200, generator=generator)
    codes = torch.stack([angle.cos(), angle.sin()], dim=1)
    codes = 2 * codes + 0.1 * torch.randn(200, 2, generator=generator)
    prior = GMVAEPrior(2, codes, n_components=1, generator=generator)
    optimizer = torch.optim.Adam(prior.parameters(), lr=0.03)
    for _ in range(160):
        eps = torch.randn(200, 2, generator=generator)
        loss = -prior.log_prob(prior(None), codes, eps).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    one = stats.multivariate_normal(codes.mean(0), codes.T.cov()).logpdf(codes).mean()
    assert -loss.item() > one + 0.05


@pytest.mark.parametrize("params", [{"n_codes": 0}, {"hidden_layer_sizes": [-3]}])
def test_wrong_sizes_are_refused(params, generator):
    with pytest.raises(ValueError, match="n_codes and hidden_layer_sizes must be ints in"):
        build(generator, **params)
