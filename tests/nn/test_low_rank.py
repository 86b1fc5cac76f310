"""Noise that columns share is a multivariate normal, holes or not."""

import numpy as np
import pytest
import torch
from scipy import stats

from skvae._table import Column
from skvae.nn import Gaussian, JointLikelihood, LowRank

N_ROWS, N_COLUMNS = 12, 6


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


@pytest.fixture
def joint(generator):
    """Block whose weights are away from where they start."""
    joint = JointLikelihood([(LowRank, [Column("x", "low_rank")] * N_COLUMNS)]).double()
    for weight in joint.parameters():
        weight.data = torch.randn(weight.shape, generator=generator, dtype=torch.float64)
    return joint.requires_grad_(False)


@pytest.fixture
def rows(generator):
    """Locations, cells and which are observed; all of the first row and none of the second."""
    loc, x = torch.randn(2, N_ROWS, N_COLUMNS, generator=generator, dtype=torch.float64)
    observed = (torch.rand(x.shape, generator=generator) < 0.6).double()
    observed[0], observed[1] = 1, 0
    return loc, 2 * x * observed, observed


def covariance_of(joint):
    (block,) = joint.blocks
    psi = torch.diag((block.scale_floor + torch.nn.functional.softplus(block.scale.raw)) ** 2)
    return (block.loadings @ block.loadings.T + psi).numpy()


def conditional(covariance, away, seen):
    """Mean and covariance of the cells not seen, away from their location."""
    gain = np.linalg.solve(covariance[np.ix_(seen, seen)], covariance[np.ix_(seen, ~seen)]).T
    rest = covariance[np.ix_(~seen, ~seen)] - gain @ covariance[np.ix_(seen, ~seen)]
    return gain @ away[seen], rest


def test_parts_less_their_excess_are_the_log_density_of_what_is_observed(joint, rows):
    loc, x, observed = rows
    covariance = covariance_of(joint)
    log_prob, excess = joint.terms(torch.stack([loc, loc + 1]), x, observed)  # of two draws
    for i, seen in enumerate(observed.numpy() > 0):
        if not seen.any():
            assert (log_prob[:, i] == 0).all()
            assert (excess[:, i] == 0).all()
            continue
        joint_part = covariance[np.ix_(seen, seen)]
        for draw in range(2):
            away = (x[i] - loc[i] - draw).numpy()[seen]
            expected = stats.multivariate_normal(cov=joint_part).logpdf(away)
            got = (log_prob[draw, i].sum() - excess[draw, i]).item()
            assert got == pytest.approx(expected, abs=1e-10)
    assert (excess >= 0).all()  # a KL divergence


def test_without_shared_factors_it_is_the_gaussian(rows, generator):
    loc, x, observed = rows
    none = type("NoneShared", (LowRank,), {"rank": 0})
    joints = [
        JointLikelihood([(family, [Column("x", "any")] * N_COLUMNS)]).double()
        for family in (none, Gaussian)
    ]
    (got, excess), (expected, _) = (joint.terms(loc, x, observed) for joint in joints)
    torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12)
    assert (excess == 0).all()
    first, second = (joint.sample(loc, torch.Generator().manual_seed(0)) for joint in joints)
    torch.testing.assert_close(first, second, rtol=1e-12, atol=1e-12)


def test_what_is_predicted_is_the_normal_given_the_observed_cells(joint, rows):
    loc, x, observed = rows
    (p,) = joint.predicted(joint.predictive(loc, x, observed))
    for i, seen in enumerate(observed.numpy() > 0):
        mean, rest = conditional(covariance_of(joint), (x - loc)[i].numpy(), seen)
        np.testing.assert_allclose((p.mean - loc)[i, ~seen], mean, atol=1e-10)
        np.testing.assert_allclose(p.stddev[i, ~seen], np.sqrt(np.diag(rest)), atol=1e-10)


def test_holes_are_drawn_together_given_the_observed_cells(joint, rows, generator):
    loc, x, observed = (part[3].expand(40_000, -1) for part in rows)
    seen = observed[0].numpy() > 0
    draws = (joint.fill(loc, x, observed, generator) - loc)[:, ~seen].numpy()
    assert 2 <= (~seen).sum() < N_COLUMNS
    mean, rest = conditional(covariance_of(joint), (x - loc)[0].numpy(), seen)
    np.testing.assert_allclose(draws.mean(axis=0), mean, atol=0.05)
    np.testing.assert_allclose(np.cov(draws.T), rest, atol=0.05 * rest.max())


def test_samples_have_the_covariance(joint, generator):
    samples = joint.sample(torch.zeros(40_000, N_COLUMNS, dtype=torch.float64), generator)
    covariance = covariance_of(joint)
    np.testing.assert_allclose(np.cov(samples.numpy().T), covariance, atol=0.04 * covariance.max())


@pytest.mark.parametrize("loading", [0.0, 30.0])
def test_many_columns_that_go_together_stay_numbers_in_single_precision(loading, generator):
    joint = JointLikelihood([(LowRank, [Column("x", "low_rank")] * 400)])
    (block,) = joint.blocks
    block.loadings.data.fill_(loading)  # of rank one, far above a noise at its floor
    block.scale.raw.data.fill_(-20.0)
    x = torch.randn(8, 1, generator=generator) + 0.1 * torch.randn(8, 400, generator=generator)
    params = torch.zeros(8, 400, requires_grad=True)
    log_prob, excess = joint.terms(params, x, torch.ones_like(x))
    value = (log_prob.sum(-1) - excess).sum()
    value.backward()
    gradients = [params.grad, *(weight.grad for weight in joint.parameters())]
    assert value.isfinite()
    assert all(gradient.isfinite().all() for gradient in gradients)
