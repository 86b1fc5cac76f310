"""A posterior that is bent has an inverse, a density, and starts straight."""

from functools import partial

import numpy as np
import pytest
import torch

from skvae._table import Column
from skvae.nn import (
    POSTERIORS,
    PRIORS,
    VAE,
    DiagonalGaussian,
    FlowPosterior,
    Gaussian,
    JointLikelihood,
)

N_HIDDEN, N_ROWS = 5, 4


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


def normal(*shape, generator):
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def bent(latent_dim, generator):
    """Posterior whose couplings are away from where they start, and its hidden rows."""
    part = FlowPosterior(N_HIDDEN, latent_dim, generator=generator).double()
    for coupling in part.couplings:
        for weight in coupling.parameters():
            weight.data += 0.7 * normal(*weight.shape, generator=generator)
    return part.requires_grad_(False), normal(N_ROWS, N_HIDDEN, generator=generator)


def first(coupling, row, z):
    """Where a coupling moves a code."""
    return coupling(z, row)[0]


@pytest.mark.parametrize("latent_dim", [1, 2, 3, 8])
def test_every_coupling_has_an_inverse_and_its_volume(latent_dim, generator):
    part, hidden = bent(latent_dim, generator)
    for coupling in part.couplings:
        z = 3 * normal(6, N_ROWS, latent_dim, generator=generator)
        row = coupling.of_row(hidden)
        moved, growth = coupling(z, row)
        back, again = coupling.inverse(moved, row)
        torch.testing.assert_close(back, z, rtol=0, atol=1e-12)
        torch.testing.assert_close(again, growth, rtol=0, atol=1e-12)
        jacobian = torch.autograd.functional.jacobian(partial(first, coupling, row[0]), z[0, 0])
        assert torch.linalg.slogdet(jacobian)[1] == pytest.approx(growth[0, 0].item(), abs=1e-12)
        assert (latent_dim == 1) or not torch.allclose(moved, z)


def test_the_density_integrates_to_1_on_a_grid(generator):
    part, hidden = bent(2, generator)
    q = part(hidden[:2])
    axis = torch.linspace(-20, 20, 401, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)
    total = q.pairwise_log_prob(grid).exp().sum(0) * (axis[1] - axis[0]) ** 2
    np.testing.assert_allclose(total, 1, atol=2e-3)


def test_draws_follow_the_density(generator):
    """The mean of p / q over draws of q is 1 for any density p."""
    part, hidden = bent(2, generator)
    q = part(hidden)
    z = q.transport(normal(50_000, 1, 2, generator=generator))
    p = torch.distributions.Normal(q.mean, 0.3 * q.stddev)
    ratio = (p.log_prob(z).sum(-1) - q.log_prob(z)).exp()
    assert ((ratio.mean(0) - 1).abs() < 5 * ratio.std(0) / len(z) ** 0.5).all()
    unit = q.stddev
    assert ((z.mean(0) - q.mean).abs() / unit < 0.3).all()  # over points, few of them
    assert ((z.std(0) - unit).abs() / unit < 0.35).all()


def test_pairwise_densities_are_those_of_the_members(generator):
    part, hidden = bent(3, generator)
    z = 2 * normal(2, 7, 3, generator=generator)
    expected = torch.stack([part(row[None]).log_prob(z) for row in hidden], dim=-1)
    got = part(hidden).pairwise_log_prob(z)
    torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-10)


def test_a_vamp_prior_may_be_made_of_it(generator):
    part, _ = bent(2, generator)
    prior = PRIORS["vamp"](
        2, torch.randn(9, N_HIDDEN, generator=generator), n_components=3, generator=generator
    )
    prior = prior.double().requires_grad_(False)
    z = normal(20, 2, generator=generator)
    members = [part(row[None]).log_prob(z).exp() for row in prior.pseudo_inputs]
    torch.testing.assert_close(prior(part).log_prob(z), torch.stack(members).mean(0).log())


def model(posterior, prior):
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(20, 3, generator=generator)
    return VAE(
        JointLikelihood([(Gaussian, [Column("x", "any")] * 3)]),
        latent_dim=2,
        hidden_layer_sizes=(6,),
        activation="silu",
        posterior=POSTERIORS[posterior],
        prior=PRIORS[prior],
        examples=(rows, torch.ones_like(rows)),
        generator=generator,
    ), rows


@pytest.mark.parametrize("prior", ["standard_normal", "vamp"])
def test_a_model_starts_as_that_of_the_diagonal_posterior_bit_for_bit(prior):
    terms = []
    for posterior in ("diagonal", "flow"):
        vae, rows = model(posterior, prior)
        seen, eps = (
            torch.ones_like(rows),
            torch.randn(5, 1, 2, generator=torch.Generator().manual_seed(1)),
        )
        terms.append(vae(rows, seen, seen, eps))
    assert torch.equal(terms[0].z, terms[1].z)
    assert torch.equal(terms[0].log_prob, terms[1].log_prob)
    if prior == "standard_normal":
        assert torch.equal(terms[0].kl, terms[1].kl)
    torch.testing.assert_close(terms[0].kl, terms[1].kl)


def test_a_bent_posterior_is_met_more_closely(generator):
    """Of x = z_1 and z_2 - z_1^2, both with noise, codes have a posterior that is a banana."""
    hidden = torch.zeros(1, N_HIDDEN)
    eps = torch.randn(64, 1, 2, generator=generator)
    bounds = {}
    for cls in (DiagonalGaussian, FlowPosterior):
        part = cls(N_HIDDEN, 2, generator=torch.Generator().manual_seed(0))
        optimizer = torch.optim.Adam(part.parameters(), lr=0.04)
        for _ in range(120):
            q = part(hidden)
            z = q.transport(eps)
            joint = -0.5 * z.square().sum(-1) - 2 * (z[..., 1] - z[..., 0].square()).square()
            bound = (joint - q.log_prob(z)).mean()
            optimizer.zero_grad()
            (-bound).backward()
            optimizer.step()
        bounds[cls] = bound.item()
    assert bounds[FlowPosterior] > bounds[DiagonalGaussian] + 0.2
