"""A mixture prior that begins at clusters of codes."""

import numpy as np
import pytest
import torch
from sklearn.mixture import BayesianGaussianMixture, GaussianMixture

from skvae._engine import responsibilities
from skvae._engine.clusters import (
    LEAST_WEIGHT,
    begin_at_clusters,
    mixture_of,
    mixture_of_sticks,
)
from skvae._engine.score import draws, elbo_terms, importance_bound
from skvae._table import Column
from skvae.nn import (
    VAE,
    DiagonalGaussian,
    FullMixture,
    Gaussian,
    JointLikelihood,
    LinearModel,
)

CENTRES = np.array([[6.0, 0.0], [-6.0, 0.0], [0.0, 6.0], [0.0, -6.0]])
SHARES = np.array([0.4, 0.3, 0.2, 0.1])


@pytest.fixture(scope="module")
def codes():
    """2,000 codes of four normals of one scale, far from each other."""
    rng = np.random.default_rng(0)
    kinds = np.repeat(np.arange(4), (2_000 * SHARES).astype(int))
    order = rng.permutation(2_000)
    return (CENTRES[kinds] + rng.normal(size=(2_000, 2)))[order], kinds[order]


@pytest.mark.parametrize(
    "find",
    [lambda codes: mixture_of(codes, codes, 4, 0), lambda codes: mixture_of_sticks(codes, 0)],
)
def test_normals_far_apart_are_found_with_their_shares_the_largest_first(codes, find):
    weights, means, covariances = find(codes[0])
    np.testing.assert_allclose(weights, SHARES, atol=0.01)
    np.testing.assert_allclose(means, CENTRES, atol=0.3)
    np.testing.assert_allclose(covariances, np.broadcast_to(np.eye(2), (4, 2, 2)), atol=0.4)


def test_weights_are_those_of_truncated_sticks_given_their_responsibilities(codes):
    weights, _, _ = mixture_of_sticks(codes[0], seed=0)
    oracle = BayesianGaussianMixture(n_components=20, covariance_type="diag", random_state=0)
    oracle.set_params(reg_covar=0.02).fit(codes[0])
    counts = oracle.predict_proba(codes[0]).sum(axis=0)
    later = np.append(counts[::-1].cumsum()[::-1][1:], 0.0)
    first, second = 1 + counts, oracle.weight_concentration_prior_ + later
    sticks = first / (first + second) * np.cumprod(np.append(1.0, second / (first + second))[:-1])
    largest = np.sort(sticks / sticks.sum())[::-1][:4]
    np.testing.assert_allclose(weights, largest / largest.sum(), atol=1e-3)


def test_covariances_are_full_or_diagonal_as_codes_held_out_have_it(codes):
    turned = codes[0] @ np.array([[1.0, 0.95], [0.0, 0.3]])
    few = np.random.default_rng(0).normal(size=(60, 12))
    full, diagonal = (mixture_of(each, each, 3, seed=0)[2] for each in (turned, few))
    assert (full[:, 0, 1] != 0).all()
    assert (diagonal == diagonal * np.eye(12)).all()


def test_kinds_nearer_to_each_other_than_the_noise_of_codes_are_found():
    """As those of levels are: some rows say more of their code than others do."""
    rng = np.random.default_rng(0)
    kinds = rng.integers(2, size=1_000)
    means = 0.1 * rng.normal(size=(1_000, 6))
    means[:, 0] += 0.8 * kinds
    scales = rng.choice([0.3, 1.0], size=(1_000, 1))
    codes = means + scales * rng.normal(size=means.shape)
    weights, centres, covariances = mixture_of(means, codes, 2, seed=0)
    shares = np.bincount(kinds) / 1_000
    np.testing.assert_allclose(weights, np.sort(shares)[::-1], atol=0.01)
    expected = [codes[kinds == kind].mean(axis=0) for kind in np.argsort(-shares)]
    np.testing.assert_allclose(centres, expected, atol=0.02)
    for centre, covariance in zip(centres, covariances, strict=True):
        own = codes[kinds == (centre[0] > 0.4)]
        np.testing.assert_allclose(covariance.diagonal(), own.var(axis=0) + 0.02, atol=0.03)
    of_codes = GaussianMixture(2, n_init=3, random_state=0).fit(codes)
    assert np.abs(np.subtract(*of_codes.means_)).max() < 0.5  # wide from narrow, not kinds


def test_no_weight_begins_below_the_least(codes):
    rows = np.vstack([np.repeat(codes[0][:1], 5_000, axis=0), [[90.0, 90.0]]])
    weights, _, _ = mixture_of(rows, rows, 2, seed=0)
    assert weights.min() == pytest.approx(LEAST_WEIGHT, rel=0.01)


@pytest.fixture(scope="module")
def linear():
    """Linear model of 4 columns whose posterior is exact under a standard normal, and rows."""
    rng = np.random.default_rng(1)
    parts = (rng.normal(size=4), np.full(4, 0.2), rng.normal(size=(4, 2)), np.zeros((4, 0)))
    mean, scale, loadings, _ = parts
    centres = CENTRES / 3
    columns = [Column(str(j), "gaussian") for j in range(4)]
    model = VAE(
        JointLikelihood([(Gaussian, columns)]),
        latent_dim=2,
        hidden_layer_sizes=(),
        activation="silu",
        posterior=DiagonalGaussian,
        prior=lambda *args, **kwargs: FullMixture(*args, n_components=4, **kwargs),
        examples=(torch.zeros(1, 4), torch.ones(1, 4)),
        generator=torch.Generator().manual_seed(0),
    ).double()
    _, _, turn = np.linalg.svd(loadings / scale[:, None], full_matrices=False)
    loadings = loadings @ turn.T
    with torch.no_grad():
        model.start(LinearModel(*map(torch.tensor, (mean, scale, loadings, parts[3]))))
        shape = torch.eye(2).double().expand(4, 2, 2)
        model.prior.start(torch.tensor(SHARES), torch.tensor(centres), shape)
    oracle = GaussianMixture(4, covariance_type="tied")
    oracle.weights_, oracle.means_ = SHARES, mean + centres @ loadings.T
    oracle.covariances_ = loadings @ loadings.T + np.diag(scale**2)
    oracle.precisions_cholesky_ = np.linalg.cholesky(np.linalg.inv(oracle.covariances_))
    rows, _ = oracle.sample(50)
    return model.requires_grad_(False), oracle, rows


def test_the_bound_of_a_linear_model_tends_to_the_tied_mixture_from_below(linear):
    model, oracle, rows = linear
    observed, expected = np.ones(rows.shape, bool), oracle.score_samples(rows)
    eps = draws(2_048, 2, seed=0)
    elbo = elbo_terms(model, rows, observed, eps[:256], "cpu").sum(axis=1)
    bound = importance_bound(model, rows, observed, eps, "cpu")
    assert (elbo < expected).all()
    np.testing.assert_allclose(bound, expected, atol=0.02)


def test_responsibilities_of_a_linear_model_are_those_of_the_tied_mixture(linear):
    model, oracle, rows = linear
    eps = draws(256, 2, seed=0)
    shares = responsibilities(model, rows, np.ones(rows.shape, bool), eps, "cpu")
    np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-12)
    np.testing.assert_allclose(shares, oracle.predict_proba(rows), atol=0.05)


def test_a_prior_begins_at_clusters_of_the_codes_with_as_many_components(linear):
    model, _, rows = linear
    before = {name: value.clone() for name, value in model.state_dict().items()}
    x = torch.tensor(rows)
    begin_at_clusters(model, FullMixture, 3, x, torch.ones_like(x), seed=0)
    assert model.prior.n_normals == 3
    after = model.state_dict()
    assert all(torch.equal(after[k], v) for k, v in before.items() if not k.startswith("prior"))
