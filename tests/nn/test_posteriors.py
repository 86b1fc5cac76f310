"""Laws that every posterior keeps."""

import numpy as np
import pytest
import torch
from common import REAL_POSTERIORS
from scipy import stats

from skvae.nn import POSTERIORS

N_HIDDEN, LATENT_DIM, N_ROWS = 5, 3, 4


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


@pytest.fixture
def hidden(generator):
    return 3 * torch.randn(N_ROWS, N_HIDDEN, generator=generator, dtype=torch.float64)


@pytest.fixture(params=REAL_POSTERIORS)
def posterior(request, generator):
    part = POSTERIORS[request.param](N_HIDDEN, LATENT_DIM, generator=generator)
    return part.double().requires_grad_(False)


def covariances(q):
    """Covariance of each member: the inverse of the curvature of its log density."""

    def negative_log_prob(z):
        return -q.log_prob(z).sum()

    curvature = torch.autograd.functional.hessian(negative_log_prob, q.mean)  # (n, k, n, k)
    return torch.stack([curvature[i, :, i, :].inverse() for i in range(len(q.mean))])


def test_draws_have_the_moments_of_q(posterior, hidden, generator):
    q = posterior(hidden)
    eps = torch.randn(100_000, 1, LATENT_DIM, generator=generator, dtype=torch.float64)
    z = q.transport(eps)
    assert z.shape == (100_000, N_ROWS, LATENT_DIM)
    for i, covariance in enumerate(covariances(q)):
        unit = covariance.diagonal().sqrt()
        deviation = (z[:, i].mean(0) - q.mean[i]) / unit
        assert deviation.abs().max() < 5 / len(eps) ** 0.5
        correlation = (z[:, i].T.cov() - covariance) / torch.outer(unit, unit)
        assert correlation.abs().max() < 7 / len(eps) ** 0.5


def test_the_log_density_is_that_of_scipy(posterior, hidden, generator):
    q = posterior(hidden)
    z = q.transport(torch.randn(20, 1, LATENT_DIM, generator=generator, dtype=torch.float64))
    got = q.log_prob(z)
    np.testing.assert_allclose(q.log_prob(z.clone()), got, rtol=1e-9, atol=1e-9)
    for i, covariance in enumerate(covariances(q)):
        oracle = stats.multivariate_normal(q.mean[i].numpy(), covariance.numpy())
        np.testing.assert_allclose(got[:, i], oracle.logpdf(z[:, i].numpy()), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("shape", [(7,), (2, 7)])
def test_pairwise_densities_are_those_of_the_members(posterior, hidden, shape, generator):
    z = 2 * torch.randn(*shape, LATENT_DIM, generator=generator, dtype=torch.float64)
    got = posterior(hidden).pairwise_log_prob(z)
    expected = torch.stack([posterior(row[None]).log_prob(z) for row in hidden], dim=-1)
    assert got.shape == (*shape, N_ROWS)
    np.testing.assert_allclose(got, expected, rtol=1e-10, atol=1e-10)


def test_the_density_is_finite_however_far_the_encoder_goes(posterior):
    hidden = torch.tensor([-1e4, -50.0, 50.0, 1e4], dtype=torch.float64)[:, None].expand(-1, 5)
    q = posterior(hidden)
    eps = torch.zeros(1, 1, LATENT_DIM, dtype=torch.float64)
    assert q.log_prob(q.transport(eps)).isfinite().all()


@pytest.mark.parametrize("latent_dim", [1, 2, 8])
@pytest.mark.parametrize("name", REAL_POSTERIORS)
def test_shapes_are_those_promised(name, latent_dim, hidden, generator):
    q = POSTERIORS[name](N_HIDDEN, latent_dim, generator=generator).double()(hidden)
    assert q.batch_shape == (N_ROWS,)
    assert q.event_shape == (latent_dim,)
    assert q.mean.shape == (N_ROWS, latent_dim)


@pytest.mark.parametrize("name", REAL_POSTERIORS)
def test_weights_come_from_the_generator_alone(name):
    def weights(seed):
        part = POSTERIORS[name](N_HIDDEN, LATENT_DIM, generator=torch.Generator().manual_seed(seed))
        return torch.cat([weight.flatten() for weight in part.parameters()])

    before = torch.get_rng_state()
    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("below", [1.0, 4.0])  # with 4 nobody can solve for the noise
def test_scales_of_all_sizes_leave_the_density_of_a_draw_in_float32(below, generator):
    k = 30
    q = POSTERIORS["full"](N_HIDDEN, k, generator=generator).requires_grad_(False)
    q.head.weight.zero_()
    q.head.bias[k:] = below * torch.randn(k * (k + 1) // 2, generator=generator)
    q.head.bias[k : 2 * k] = torch.linspace(-8, 2, k)  # scales of .01 to 2
    eps = torch.randn(100, 1, k, generator=generator)

    def log_prob(dtype, of=lambda z: z):
        density = q.to(dtype)(torch.zeros(1, N_HIDDEN, dtype=dtype))
        return density.log_prob(of(density.transport(eps.to(dtype))))

    np.testing.assert_allclose(log_prob(torch.float32), log_prob(torch.float64), rtol=1e-2)
    if below == 1:
        solved = log_prob(torch.float32, torch.clone)
        np.testing.assert_allclose(solved, log_prob(torch.float64), rtol=1e-2)


def test_a_draw_that_was_changed_has_the_density_of_its_new_place(generator):
    q = POSTERIORS["full"](N_HIDDEN, 3, generator=generator)(torch.randn(5, N_HIDDEN))
    with torch.no_grad():
        z = q.transport(torch.randn(5, 3))
        z.add_(1.0)
        torch.testing.assert_close(q.log_prob(z), q.log_prob(z.clone()))
