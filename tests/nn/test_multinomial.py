"""Counts given their sum are multinomial, holes or not."""

import numpy as np
import pytest
import torch
from scipy import stats

from skvae import VAETransformer
from skvae._table import Column
from skvae.nn import JointLikelihood, Multinomial

EXPONENTS = (0, 1, 2, 0, 3)
UNIT = 2.0 ** np.array(EXPONENTS)
TOTALS = np.array([5.0, 8.0, 8.0, 11.0, 20.0, 40.0])


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


@pytest.fixture
def joint():
    """Block that has seen rows of `TOTALS`."""
    columns = [Column("x", "multinomial", exponent=exponent) for exponent in EXPONENTS]
    joint = JointLikelihood([(Multinomial, columns)]).double()
    counts = np.array([[total - 4, 1, 1, 1, 1] for total in TOTALS])
    joint.learn(*as_tensors(counts / UNIT, np.ones_like(counts)))
    return joint


@pytest.fixture
def rows():
    """Outputs, counts and which are observed; all of the first row and none of the second."""
    rng = np.random.default_rng(0)
    counts = rng.poisson(6.0, size=(10, 5)).astype(float)
    observed = (rng.random(counts.shape) < 0.6).astype(float)
    observed[0], observed[1] = 1, 0
    counts[2] = 0
    return rng.normal(size=counts.shape), counts * observed, observed


def as_tensors(*arrays):
    return [torch.tensor(array, dtype=torch.float64) for array in arrays]


def shares(params):
    return np.exp(params) * UNIT / (np.exp(params) * UNIT).sum(-1, keepdims=True)


def test_parts_less_their_excess_are_the_multinomial_of_what_is_observed(joint, rows):
    params, counts, observed = rows
    log_prob, excess = joint.terms(*as_tensors(params, counts / UNIT, observed))
    for i, seen in enumerate(observed > 0):
        share, own = shares(params[i])[seen], counts[i, seen]
        got = (log_prob[i].sum() - excess[i]).item()
        if not seen.any():
            assert (log_prob[i] == 0).all()
            assert excess[i] == 0
            continue
        expected = stats.multinomial(own.sum(), share / share.sum()).logpmf(own)
        assert got == pytest.approx(expected, abs=1e-9)
        # Each part is the Poisson log mass about the count to be expected.
        parts = stats.poisson(own.sum() * share / share.sum()).logpmf(own)
        np.testing.assert_allclose(log_prob[i, seen], parts, atol=1e-9)
        assert excess[i].item() == pytest.approx(stats.poisson(own.sum()).logpmf(own.sum()))


def test_masses_of_all_ways_to_share_a_sum_out_add_up_to_1(joint, rows):
    ways = np.array([c for c in np.ndindex(5, 5, 5, 5, 5) if sum(c) == 4], dtype=float)
    params = np.tile(rows[0][0], (len(ways), 1))
    log_prob, excess = joint.terms(*as_tensors(params, ways / UNIT, np.ones_like(ways)))
    assert (log_prob.sum(-1) - excess).exp().sum().item() == pytest.approx(1, abs=1e-12)


def test_sums_of_rows_with_holes_are_made_up_by_the_means(joint):
    counts, observed = np.tile([2.0, 4.0, 8.0, 2.0, 16.0], (20, 1)), np.ones((20, 5))
    observed[::2, 4] = 0
    joint.learn(*as_tensors(counts * observed / UNIT, observed))
    assert (joint.blocks[0].totals == 32).all()
    before = joint.blocks[0].totals.clone()
    joint.learn(*as_tensors(0 * counts, 0 * observed))  # no row says anything of sums
    assert torch.equal(joint.blocks[0].totals, before)


def test_draws_share_out_sums_of_training_rows(joint, rows, generator):
    params = np.tile(rows[0][0], (30_000, 1))
    counts = joint.sample(*as_tensors(params), generator).numpy() * UNIT
    assert (counts == counts.round()).all()
    totals = joint.blocks[0].totals.numpy()
    assert set(counts.sum(axis=1)) == set(totals)
    expected = totals.mean() * shares(params[0])
    errors = counts.std(axis=0) / np.sqrt(len(counts))
    assert (np.abs(counts.mean(axis=0) - expected) < 5 * errors).all()
    of_ten = counts[counts.sum(axis=1) == 8]
    variance = 8 * shares(params[0]) * (1 - shares(params[0]))
    np.testing.assert_allclose(of_ten.var(axis=0), variance, rtol=0.1, atol=0.02)


def test_holes_are_guessed_by_share_of_what_is_observed(joint, rows):
    params, counts, observed = rows
    totals = joint.blocks[0].totals.numpy()
    mean = totals.mean()
    dispersion = mean**2 / (totals.var() - mean)
    (p,) = joint.predicted(joint.predictive(*as_tensors(params, counts / UNIT, observed)))
    share, counted = shares(params), dispersion + counts.sum(-1, keepdims=True)
    expected = counted / (dispersion / mean + (share * observed).sum(-1, keepdims=True)) * share
    np.testing.assert_allclose(p.mean.numpy() * UNIT, expected, rtol=1e-9)
    oracle = stats.nbinom(counted, counted / (counted + expected))
    cells = np.arange(10)[:, None] * np.ones(5)
    np.testing.assert_allclose(
        p.log_prob(*as_tensors(cells / UNIT)), oracle.logpmf(cells), rtol=1e-9
    )


def test_a_hole_keeps_the_shares_where_sums_of_rows_are_far_apart(joint):
    totals = 10 ** np.linspace(0, 7, 50)
    joint.learn(*as_tensors(totals[:, None] * [1, 0, 0, 0, 0], np.ones((50, 5))))
    params, counts = np.zeros((1, 5)), np.array([[1e6, 2e6, 4e6, 1e6, 0.0]])
    observed = np.array([[1.0, 1, 1, 1, 0]])
    (p,) = joint.predicted(joint.predictive(*as_tensors(params, counts / UNIT, observed)))
    assert p.mean[0, 4].item() * UNIT[4] == pytest.approx(8e6, rel=1e-2)


def test_holes_are_drawn_as_they_are_guessed(joint, rows, generator):
    tensors = [part[3].expand(40_000, -1) for part in as_tensors(*rows)]
    tensors[1] = tensors[1] / torch.tensor(UNIT)
    (p,) = joint.predicted(joint.predictive(*tensors))
    draws = joint.fill(*tensors, generator) * torch.tensor(UNIT)
    holes = rows[2][3] == 0
    oracle = p.counts
    errors = draws.std(0) / len(draws) ** 0.5
    assert ((draws.mean(0) - oracle.mean[0]).abs() < 5 * errors)[holes].all()
    np.testing.assert_allclose(draws.var(0)[holes], oracle.variance[0][holes], rtol=0.1)


def test_sums_are_those_of_the_rows_fitted_last():
    counts = np.random.default_rng(0).poisson(3.0, (100, 3)).astype(float)
    settings = {
        "likelihoods": "multinomial",
        "max_steps": 5,
        "random_state": 0,
        "members": ["plain"],
    }
    model = VAETransformer(**settings, warm_start=True).fit(counts)
    means = [
        model.fit(20 * counts).sample(300, random_state=0).sum(1).mean(),
        20 * counts.sum(1).mean(),
    ]
    assert means[0] == pytest.approx(means[1], rel=0.1)
    nothing = VAETransformer(**settings).fit(np.zeros((50, 3)))
    assert (nothing.sample(20, random_state=0) == 0).all()
