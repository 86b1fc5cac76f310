"""Probabilistic PCA as the oracle of the whole model, and the objective recomputed."""

import itertools
import math

import numpy as np
import pytest
import torch
from common import REAL_POSTERIORS, REAL_PRIORS
from scipy import stats
from sklearn.decomposition import FactorAnalysis

from skvae._table import Column
from skvae.nn import (
    DIVERGENCES,
    LIKELIHOODS,
    POSTERIORS,
    PRIORS,
    VAE,
    Batch,
    Elbo,
    JointLikelihood,
    Objective,
    as_divergence,
    energy_distance,
)

N_ROWS, N_COLUMNS = 30, 4

EQUAL, UNEQUAL = np.full(N_COLUMNS, 0.3), np.array([0.1, 0.3, 0.7, 1.5])
ORTHOGONAL = np.array([[1.0, 0.5], [1.0, -0.5], [-1.0, 0.5], [1.0, 0.5]])
OBLIQUE = np.array([[1.0, 0.5], [0.8, 0.2], [-0.3, 0.9], [0.0, 0.1]])
# A diagonal posterior is exact only where the columns of W are orthogonal and noise equal.
EXACT = [
    ("diagonal", ORTHOGONAL, EQUAL),
    ("full", ORTHOGONAL, EQUAL),
    ("full", OBLIQUE, EQUAL),
    ("full", OBLIQUE, UNEQUAL),
]


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


def tensor(values):
    return torch.tensor(np.asarray(values), dtype=torch.float64)


def normal(*shape, generator):
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def inverse_softplus(y):
    return y + np.log(-np.expm1(-y))


def build(blocks, latent_dim, posterior, prior, generator, hidden_layer_sizes=()):
    """VAE of blocks of a family and a number of columns, each with three levels."""
    column = Column("x", "any", levels=tuple("abc"), n_codes=3, n_observed=9)
    n_columns = sum(size for _, size in blocks)
    return VAE(
        JointLikelihood([(family, [column] * size) for family, size in blocks]),
        latent_dim=latent_dim,
        hidden_layer_sizes=hidden_layer_sizes,
        activation="silu",
        posterior=POSTERIORS[posterior],
        prior=PRIORS[prior],
        examples=(torch.rand(9, n_columns, generator=generator), torch.ones(9, n_columns)),
        generator=generator,
    ).double()


def probabilistic_pca(posterior, W, noise, generator, U=None):
    """VAE with p(x | z) = N(W z + b, U U' + diag(noise^2)), the exact posterior, and p(x)."""
    (d, k), b = W.shape, np.linspace(-0.5, 0.5, len(W))
    family = LIKELIHOODS["gaussian" if U is None else "low_rank"]
    model = build([(family, d)], k, posterior, "standard_normal", generator)
    residual = np.diag(noise**2) + (0 if U is None else U @ U.T)
    covariance = np.linalg.inv(np.eye(k) + W.T @ np.linalg.solve(residual, W))
    gain, tril = covariance @ np.linalg.solve(residual, W).T, np.linalg.cholesky(covariance)
    relative = tril / tril.diagonal()[:, None]
    lower = relative[tuple(np.tril_indices(k, -1))] if posterior == "full" else []
    scale = inverse_softplus(tril.diagonal() - POSTERIORS["full"].smallest_scale)
    weights = {
        "likelihood.blocks.0.scale.raw": inverse_softplus(noise - 0.05),
        "decoder.1.weight": W,
        "decoder.1.bias": b,
        "posterior.head.weight": np.vstack([gain, np.zeros((k + len(lower), d))]),
        "posterior.head.bias": np.concatenate([-gain @ b, scale, lower]),
    }
    if U is not None:
        weights["likelihood.blocks.0.loadings"] = np.pad(U, [(0, 0), (0, 4 - U.shape[1])])
    state = {name: tensor(weight) for name, weight in weights.items()}
    model.load_state_dict(model.state_dict() | state)
    return model, stats.multivariate_normal(b, W @ W.T + residual)


@pytest.mark.parametrize("eps_shape", [(N_ROWS, 2), (7, 1, 2), (7, N_ROWS, 2)])
@pytest.mark.parametrize(("posterior", "W", "noise"), EXACT)
def test_every_draw_of_probabilistic_pca_gives_the_log_density(
    posterior, W, noise, eps_shape, generator
):
    model, marginal = probabilistic_pca(posterior, W, noise, generator)
    x = 2 * normal(N_ROWS, N_COLUMNS, generator=generator)
    seen = torch.ones_like(x)
    terms = model(x, seen, seen, 3 * normal(*eps_shape, generator=generator))
    log_weight = terms.log_weight().detach()
    expected = np.broadcast_to(marginal.logpdf(x.numpy()), log_weight.shape)
    assert log_weight.shape == (*eps_shape[:-2], N_ROWS)
    np.testing.assert_allclose(log_weight, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("n_codes", [1, 2])
def test_codes_and_shared_noise_together_are_factor_analysis(n_codes, generator):
    loadings = np.random.default_rng(0).normal(size=(N_COLUMNS, 3))
    W, U = loadings[:, :n_codes], loadings[:, n_codes:]
    model, marginal = probabilistic_pca("full", W, UNEQUAL, generator, U)
    analysis = FactorAnalysis(3)
    analysis.mean_, analysis.noise_variance_ = marginal.mean, UNEQUAL**2
    analysis.components_ = loadings.T
    x = 2 * normal(N_ROWS, N_COLUMNS, generator=generator)
    seen = torch.ones_like(x)
    terms = model(x, seen, seen, 3 * normal(7, 1, n_codes, generator=generator))
    expected = np.broadcast_to(analysis.score_samples(x.numpy()), (7, N_ROWS))
    np.testing.assert_allclose(terms.log_weight().detach(), expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize(("posterior", "W", "noise"), EXACT)
def test_no_posterior_beats_the_exact_one(posterior, W, noise, generator):
    model, marginal = probabilistic_pca(posterior, W, noise, generator)
    x = normal(N_ROWS, N_COLUMNS, generator=generator)
    seen, eps = torch.ones_like(x), normal(2_000, 1, 2, generator=generator)
    best = marginal.logpdf(x.numpy()).mean()
    head = model.posterior.head
    exact = head.bias.detach().clone()
    for j, step in itertools.product(range(len(exact)), (-0.2, 0.2)):
        head.bias.data = exact.clone()
        head.bias.data[j] += step
        assert model(x, seen, seen, eps).log_weight().mean() < best


def test_weighted_draws_integrate_missing_cells_out(generator):
    model, marginal = probabilistic_pca("full", OBLIQUE, UNEQUAL, generator)
    observed = np.array([True, False, True, True])
    part = stats.multivariate_normal(marginal.mean[observed], marginal.cov[observed][:, observed])
    model.posterior.head.bias.data[2:4] = 1.0  # wider than any posterior, for bounded weights
    x = normal(N_ROWS, N_COLUMNS, generator=generator) * tensor(observed)
    seen = tensor(observed).expand(N_ROWS, -1)
    terms = model(x, seen, seen, normal(20_000, 1, 2, generator=generator))
    got = terms.log_weight().logsumexp(0).detach() - math.log(20_000)
    np.testing.assert_allclose(got, part.logpdf(x.numpy()[:, observed]), atol=0.05)


@pytest.mark.parametrize("beta", [0.0, 1.0, 3.0])
@pytest.mark.parametrize("capacity", [None, 0.0, 2.5, 100.0])
@pytest.mark.parametrize("divergence", [0.0, 1.25])
def test_the_objective_is_what_numpy_computes(beta, capacity, divergence, generator):
    log_prob, kl = normal(3, 8, 5, generator=generator), 4 + normal(3, 8, generator=generator)
    terms = Elbo(log_prob, kl, None)
    loss = Objective(beta, capacity, energy_distance, 0.5).loss(terms, 2 * divergence)
    mean_kl = kl.numpy().mean()
    distance = mean_kl if capacity is None else abs(mean_kl - capacity)
    expected = beta * distance - log_prob.numpy().sum(-1).mean() + divergence
    assert loss.item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("beta", [0.0, 1.0, 3.0])
def test_what_parts_exceed_their_joint_density_by_counts_whatever_beta(beta, generator):
    log_prob, kl = normal(8, 5, generator=generator), normal(8, generator=generator)
    excess = normal(8, generator=generator)
    terms = Elbo(log_prob, kl, None, excess)
    expected = (beta * kl - log_prob.sum(-1) + excess).mean()
    assert Objective(beta).loss(terms).item() == pytest.approx(expected.item(), rel=1e-12)
    bound = log_prob.sum(-1) - excess - kl
    torch.testing.assert_close(terms.log_weight(), bound, rtol=1e-12, atol=1e-12)


def test_the_plain_objective_is_the_negative_elbo(generator):
    terms = Elbo(normal(8, 5, generator=generator), normal(8, generator=generator), None)
    assert Objective().loss(terms).item() == pytest.approx(
        -terms.log_weight().mean().item(), abs=1e-12
    )


@pytest.mark.parametrize("divergence", DIVERGENCES.values(), ids=DIVERGENCES)
@pytest.mark.parametrize("prior", REAL_PRIORS)
@pytest.mark.parametrize("posterior", REAL_POSTERIORS)
def test_gradients_are_finite_with_missing_cells(posterior, prior, divergence, generator):
    blocks = [(family, 2) for family in LIKELIHOODS.values()]
    model = build(blocks, 3, posterior, prior, generator, hidden_layer_sizes=(8,))
    observed = torch.rand(12, 2 * len(blocks), generator=generator) < 0.6
    observed[0] = False
    x = torch.ones(observed.shape, dtype=torch.float64) * observed
    terms = model(x, observed, observed, normal(12, model.noise_dim, generator=generator))
    assert (terms.log_prob[~observed] == 0).all()
    begun = as_divergence(divergence).begin(model, seed=0)
    penalty = begun.of_batch(Batch(x, observed, observed, terms.z), model, generator)
    Objective().loss(terms, penalty).backward()
    assert all(weight.grad.isfinite().all() for weight in model.parameters())


def test_the_decoder_has_the_encoders_layers_in_reverse(generator):
    blocks = [(family, 1) for family in LIKELIHOODS.values()]
    model = build(blocks, 2, "diagonal", "vamp", generator, hidden_layer_sizes=(7, 5))
    shapes = {name: tuple(weight.shape) for name, weight in model.named_parameters()}
    n_features, n_params = model.likelihood.n_features, model.likelihood.n_params
    layers = [shapes[f"{name}.weight"] for name in ("encoder.0", "encoder.2")]
    assert layers == [(7, n_features), (5, 7)]
    layers = [shapes[f"{name}.weight"] for name in ("decoder.0.0", "decoder.0.2", "decoder.1")]
    assert layers == [(5, 2), (7, 5), (n_params, 7 + 2)]  # the code passes on beside them
    assert shapes["posterior.head.weight"] == (4, 5 + n_features)


@pytest.mark.parametrize("prior", REAL_PRIORS)
@pytest.mark.parametrize("posterior", REAL_POSTERIORS)
def test_weights_come_from_the_generator_alone(posterior, prior):
    def weights(seed):
        generator = torch.Generator().manual_seed(seed)
        blocks = [(family, 1) for family in LIKELIHOODS.values()]
        model = build(blocks, 2, posterior, prior, generator, hidden_layer_sizes=(4,))
        return torch.cat([weight.flatten() for weight in model.parameters()])

    before = torch.get_rng_state()
    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))
    assert torch.equal(torch.get_rng_state(), before)


def test_trimmed_rows_do_not_count():
    log_prob, kl = torch.tensor([[1.0], [5.0], [-90.0], [2.0]]), torch.tensor([0.5, 1.0, 3.0, 1.0])
    terms = Elbo(log_prob, kl, torch.zeros(4, 1))
    kept = [0, 1, 3]
    expected = 2 * kl[kept].mean() - log_prob[kept].mean()
    assert Objective(beta=2.0, trimming=0.25).loss(terms) == pytest.approx(float(expected))
