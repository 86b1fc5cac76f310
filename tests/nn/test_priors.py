"""Laws that every prior keeps, with every posterior that it may be made of."""

import inspect
import itertools

import numpy as np
import pytest
import torch
from common import REAL_POSTERIORS, REAL_PRIORS
from scipy import stats
from scipy.integrate import cumulative_trapezoid, quad

from skvae.nn import POSTERIORS, PRIORS

N_FEATURES = 4
PAIRS = list(itertools.product(REAL_PRIORS, REAL_POSTERIORS))


def with_parameter(parameter):
    return [name for name in PRIORS if parameter in inspect.signature(PRIORS[name]).parameters]


# Those with codes of their own are bounds: see tests/nn/test_hierarchical.py, test_gmvae.py.
BOUNDS = with_parameter("n_codes")
EXACT = [pair for pair in PAIRS if pair[0] not in BOUNDS]
WITH_COMPONENTS = with_parameter("n_components")


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


def build(prior, posterior, latent_dim, generator, **params):
    """Prior with weights away from where they start, and an encoder for it."""
    encode = POSTERIORS[posterior](N_FEATURES, latent_dim, generator=generator).double()
    examples = 2 * torch.randn(10, N_FEATURES, generator=generator)
    part = PRIORS[prior](latent_dim, examples, generator=generator, **params).double()
    for weight in part.parameters():
        noise = torch.randn(weight.shape, generator=generator, dtype=torch.float64)
        weight.data += 0.5 * noise
    return part.requires_grad_(False), encode.requires_grad_(False)


def kl_draws(p, encode, generator, n_draws=50_000):
    """Posterior of three rows and samples of its KL divergence; (n_draws, 3)."""
    q = encode(2 * torch.randn(3, N_FEATURES, generator=generator, dtype=torch.float64))
    shape = (n_draws, 1, q.event_shape[0])
    z = q.transport(torch.randn(shape, generator=generator, dtype=torch.float64))
    return q, q.log_prob(z) - p.log_prob(z)


def density(p):
    """Density of one latent dimension as a function of a float."""
    return lambda z: p.log_prob(torch.tensor([z], dtype=torch.float64)).exp().item()


@pytest.mark.parametrize("posterior", REAL_POSTERIORS)
def test_the_sampled_kl_is_the_closed_form_for_a_standard_normal(posterior, generator):
    prior, encode = build("standard_normal", posterior, 3, generator)
    q, kl = kl_draws(prior(encode), encode, generator)
    eye = torch.eye(3, dtype=torch.float64)
    z = q.transport(eye.unsqueeze(1)) - q.mean  # columns of the scale, (3, n, 3)
    covariance = torch.einsum("snk,snl->nkl", z, z)
    trace = covariance.diagonal(dim1=-2, dim2=-1).sum(-1)
    expected = 0.5 * (trace + q.mean.square().sum(-1) - 3 - covariance.logdet())
    assert ((kl.mean(0) - expected).abs() < 5 * kl.std(0) / len(kl) ** 0.5).all()


@pytest.mark.parametrize(("prior", "posterior"), PAIRS)
def test_no_kl_divergence_is_negative(prior, posterior, generator):
    prior, encode = build(prior, posterior, 3, generator)
    _, kl = kl_draws(prior(encode), encode, generator, 5_000)
    assert (kl.mean(0) > -5 * kl.std(0) / len(kl) ** 0.5).all()


@pytest.mark.parametrize(("prior", "posterior"), EXACT)
def test_the_density_integrates_to_1(prior, posterior, generator):
    prior, encode = build(prior, posterior, 1, generator)
    total, _ = quad(density(prior(encode)), -20, 20, points=[-2, 0, 2], limit=200)
    assert total == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(("prior", "posterior"), EXACT)
def test_samples_follow_the_density(prior, posterior, generator):
    prior, encode = build(prior, posterior, 1, generator)
    grid = np.linspace(-20, 20, 20_001)
    heights = prior(encode).log_prob(torch.tensor(grid)[:, None]).exp().numpy()
    cdf = cumulative_trapezoid(heights, grid, initial=0)
    samples = prior.sample(5_000, encode, generator)
    assert samples.shape == (5_000, 1)
    assert stats.kstest(samples[:, 0].numpy(), lambda z: np.interp(z, grid, cdf)).pvalue > 1e-3


@pytest.mark.parametrize("name", WITH_COMPONENTS)
def test_the_joint_density_of_codes_and_components_sums_to_that_of_codes(name, generator):
    prior, encode = build(name, "diagonal", 3, generator, n_components=4)
    p, z = prior(encode), torch.randn(7, 5, 3, generator=generator, dtype=torch.float64)
    eps = torch.randn(7, 1, prior.noise_dim, generator=generator, dtype=torch.float64)
    joint = prior.log_joint(p, z, eps)
    assert joint.shape == (7, 5, 4)
    expected = prior.log_prob(p, z, eps)
    np.testing.assert_allclose(joint.logsumexp(-1), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["mixture", "full_mixture"])
def test_components_are_the_normals_that_a_mixture_begins_at(name, generator):
    part = PRIORS[name](2, torch.zeros(1, N_FEATURES), n_components=3, generator=generator).double()
    means, weights = 2 * np.eye(3, 2), np.array([0.5, 0.3, 0.2])
    covariances = np.stack([np.diag([1.0 + k, 0.5]) for k in range(3)])
    with torch.no_grad():
        part.start(*map(torch.tensor, (weights, means, covariances)))
        joint = part(None).log_joint(torch.tensor([[0.3, -1.0]], dtype=torch.float64))
    normals = zip(means, covariances, strict=True)
    expected = [stats.multivariate_normal(*normal).logpdf([0.3, -1.0]) for normal in normals]
    np.testing.assert_allclose(joint[0], expected + np.log(weights), atol=1e-12)


@pytest.mark.parametrize("posterior", REAL_POSTERIORS)
def test_a_vamp_prior_is_the_uniform_mixture_of_the_posteriors_of_its_inputs(posterior, generator):
    prior, encode = build("vamp", posterior, 3, generator, n_components=7)
    z = torch.randn(20, 3, generator=generator, dtype=torch.float64)
    members = [encode(row[None]).log_prob(z).exp() for row in prior.pseudo_inputs]
    expected = torch.stack(members).mean(0).log()
    np.testing.assert_allclose(prior(encode).log_prob(z), expected, rtol=0, atol=1e-10)


def test_pseudo_inputs_start_at_training_rows(generator):
    examples = torch.randn(10, N_FEATURES, generator=generator)
    prior = PRIORS["vamp"](2, examples, n_components=30, generator=generator)
    starts = (prior.pseudo_inputs[:, None] == examples).all(-1).any(-1)
    assert starts.all()


@pytest.mark.parametrize("name", PRIORS)
def test_weights_come_from_the_generator_alone(name):
    def weights(seed):
        generator = torch.Generator().manual_seed(seed)
        state = PRIORS[name](2, torch.eye(N_FEATURES), generator=generator).state_dict()
        return torch.cat([weight.flatten() for weight in state.values()])

    before = torch.get_rng_state()
    assert torch.equal(weights(1), weights(1))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("n_components", [0, -1, 1.5, True, "3", None])
@pytest.mark.parametrize("name", WITH_COMPONENTS)
def test_a_wrong_number_of_components_is_refused(name, n_components, generator):
    with pytest.raises((TypeError, ValueError), match="n_components must be an int in the range"):
        PRIORS[name](2, torch.zeros(1, 4), n_components=n_components, generator=generator)


@pytest.mark.parametrize("n_components", [1, 3, np.int64(3)])
@pytest.mark.parametrize("name", WITH_COMPONENTS)
def test_any_integer_is_a_number_of_components(name, n_components, generator):
    prior, encode = build(name, "diagonal", 2, generator, n_components=n_components)
    assert prior.sample(5, encode, generator).shape == (5, 2)


@pytest.mark.parametrize(("prior", "posterior"), PAIRS)
def test_a_temperature_is_a_factor_of_the_variance_of_one_component(prior, posterior, generator):
    params = {"n_components": 1} if prior in WITH_COMPONENTS else {}
    part, encode = build(prior, posterior, 2, generator, **params)

    def draws(temperature):
        fixed = torch.Generator().manual_seed(1)
        return part.sample(2_000, encode, fixed, temperature)

    means, usual = draws(0.0), draws(1.0)
    if prior not in BOUNDS:  # which have as many components as values of their own codes
        assert (means == means[0]).all()
    for temperature in (0.25, 4.0):
        expected = means + temperature**0.5 * (usual - means)
        torch.testing.assert_close(draws(temperature), expected)


@pytest.mark.parametrize("name", WITH_COMPONENTS)
def test_second_derivatives_are_those_of_float64_in_float32(name, generator):
    prior = build(name, "diagonal", 2, generator)[0]
    z = 3 * torch.randn(5, 2, generator=generator)
    encode = POSTERIORS["diagonal"](N_FEATURES, 2, generator=generator).requires_grad_(False)

    def curvature(dtype):
        p = prior.to(dtype)(encode.to(dtype))
        return torch.autograd.functional.hessian(lambda z: p.log_prob(z).sum(), z.to(dtype))

    np.testing.assert_allclose(
        curvature(torch.float32), curvature(torch.float64), rtol=0.1, atol=0.1
    )
