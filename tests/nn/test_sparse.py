"""Codes of which few are on."""

import numpy as np
import pytest
import torch
from scipy import stats

from skvae.nn import SpikeSlabPrior, StandardNormal


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


def build(generator, **params):
    return SpikeSlabPrior(3, torch.zeros(1, 4), generator=generator, **params).double()


@pytest.mark.parametrize("on", [0.05, 0.2, 0.9])
def test_the_density_is_that_of_scipy(on, generator):
    z = 2 * torch.randn(50, 3, generator=generator, dtype=torch.float64)
    p = build(generator, on=on)(None)
    heights = (1 - on) * stats.norm(0, 0.1).pdf(z.numpy()) + on * stats.norm.pdf(z.numpy())
    np.testing.assert_allclose(p.marginal_log_prob(z), np.log(heights), rtol=1e-12)
    np.testing.assert_allclose(p.log_prob(z), np.log(heights).sum(-1), rtol=1e-12)


def test_with_all_dimensions_on_it_is_the_standard_normal(generator):
    z = torch.randn(50, 3, generator=generator, dtype=torch.float64)
    normal = StandardNormal(3, None, generator=generator).double()(None)
    assert torch.equal(build(generator, on=1)(None).log_prob(z), normal.log_prob(z))


def test_so_many_dimensions_of_draws_are_on(generator):
    z = build(generator, on=0.3).sample(20_000, None, generator).numpy()
    far = 0.7 * 2 * stats.norm(0, 0.1).sf(0.3) + 0.3 * 2 * stats.norm.sf(0.3)
    assert np.mean(np.abs(z) > 0.3) == pytest.approx(far, abs=0.005)
    assert np.corrcoef(np.abs(z.T))[0, 1:] == pytest.approx(0, abs=0.03)


@pytest.mark.parametrize("on", [0, -0.1, 1.5, float("nan"), "0.2", None])
def test_no_probability_is_refused(on, generator):
    with pytest.raises(ValueError, match=r"on must be a float in the range \(0, 1\]\. Got"):
        build(generator, on=on)


def test_second_derivatives_are_numbers_far_out():
    prior = SpikeSlabPrior(1, torch.zeros(1, 1), generator=torch.Generator())
    z = torch.tensor([[0.0], [0.2], [1.4], [30.0]], requires_grad=True)
    (slope,) = torch.autograd.grad(prior(None).log_prob(z).sum(), z, create_graph=True)
    (curvature,) = torch.autograd.grad(slope.sum(), z)
    assert curvature.isfinite().all()
