"""Mixtures of autoencoders: linear ones are factor analysers, whose mixture has a density."""

from functools import partial

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.special import logsumexp

from skvae._table import Column
from skvae.nn import VAE, Experts, FullGaussian, FullMixture, Gaussian, JointLikelihood, LowRank

K, D, N_CODES = 3, 4, 2
RNG = np.random.default_rng(0)
LOADINGS, CENTRES = RNG.normal(size=(K, D, N_CODES)), 2 * RNG.normal(size=(K, D))
PSI = np.array([0.3, 0.5, 0.7, 0.4])  # scales of the noise
SHARES = np.array([0.5, 0.3, 0.2])
MEANS = RNG.normal(size=(K, N_CODES))
COVARIANCES = np.array([[[1.0, 0.3], [0.3, 0.5]], [[0.5, 0.0], [0.0, 1.5]], np.eye(2)])
X = torch.tensor(CENTRES[RNG.integers(K, size=8)] + RNG.normal(size=(8, D)))
SEEN = torch.ones_like(X)


def plain(n_components, family=Gaussian, hidden_layer_sizes=()):
    """VAE of four numbers, whose weights are as drawn."""
    model = VAE(
        JointLikelihood([(family, [Column("x", "gaussian")] * D)]),
        latent_dim=N_CODES,
        hidden_layer_sizes=hidden_layer_sizes,
        activation="silu",
        posterior=FullGaussian,
        prior=partial(FullMixture, n_components=n_components),
        examples=(torch.zeros(2, D), torch.ones(2, D)),
        generator=torch.Generator().manual_seed(0),
    )
    return model.double().eval().requires_grad_(False)


def inverse_softplus(y):
    return np.log(np.expm1(y))


@pytest.fixture
def exact():
    """Linear experts with the exact posterior of each."""
    model = Experts(plain(K))
    model.prior.start(*map(torch.tensor, (SHARES, MEANS, COVARIANCES)))
    state = {"likelihood.blocks.0.scale.raw": inverse_softplus(PSI - 0.05)}
    for k, (W, b) in enumerate(zip(LOADINGS, CENTRES, strict=True)):
        precision = np.linalg.inv(COVARIANCES[k])
        covariance = np.linalg.inv(precision + W.T @ np.diag(PSI**-2) @ W)
        gain, tril = covariance @ W.T / PSI**2, np.linalg.cholesky(covariance)
        scale = inverse_softplus(tril.diagonal() - FullGaussian.smallest_scale)
        centre = covariance @ precision @ MEANS[k] - gain @ b
        state |= {
            f"decoder.{k}.1.weight": W,
            f"decoder.{k}.1.bias": b,
            f"posterior.heads.{k}.head.weight": np.vstack([gain, np.zeros((3, D))]),
            f"posterior.heads.{k}.head.bias": np.r_[centre, scale, tril[1, 0] / tril[1, 1]],
        }
    state = {name: torch.as_tensor(value) for name, value in state.items()}
    model.load_state_dict(model.state_dict() | state)
    return model


def log_joint(x):
    """Log p(x, k) of the mixture of factor analysers; (n, D) -> (n, K)."""
    parts = zip(MEANS, COVARIANCES, LOADINGS, CENTRES, strict=True)
    marginals = [(b + W @ m, W @ S @ W.T + np.diag(PSI**2)) for m, S, W, b in parts]
    densities = [stats.multivariate_normal(*each).logpdf(x) for each in marginals]
    return np.log(SHARES) + np.column_stack(densities)


def noise(model, *shape):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(*shape, model.noise_dim, generator=generator, dtype=torch.float64)


def bound(model, eps, x=X, seen=SEEN):
    return model(x, seen, seen, eps).log_weight()


@pytest.mark.parametrize("shape", [(8,), (5, 1), (5, 8)])
def test_every_draw_is_the_density_of_a_mixture_of_factor_analysers(exact, shape):
    expected = logsumexp(log_joint(X), axis=1)
    found = bound(exact, 2 * noise(exact, *shape))
    np.testing.assert_allclose(found, np.broadcast_to(expected, found.shape), atol=1e-9)


def test_shares_of_experts_are_those_of_the_mixture(exact):
    joint = log_joint(X)
    expected = np.exp(joint - logsumexp(joint, axis=1, keepdims=True))
    q, p = exact.search(X, SEEN, X[:0]), exact.prior_distribution()
    shares = exact.shares(q, p, X, SEEN, noise(exact, 5, 1))
    np.testing.assert_allclose(shares, np.broadcast_to(expected, shares.shape), atol=1e-9)
    z = q.transport(noise(exact, 20_000, 1))
    np.testing.assert_allclose(z[..., N_CODES:].mean(0), expected, atol=0.02)
    np.testing.assert_allclose(z.mean(0), q.mean, atol=0.03)
    np.testing.assert_allclose(z.std(0), q.stddev, atol=0.03)


def loosened(model):
    """The same experts with posteriors that are not exact."""
    for head in model.posterior.heads:
        head.head.bias += 0.3
    return model


def test_a_bound_is_between_the_sum_of_experts_bounds_and_the_density(exact):
    model, eps = loosened(exact), noise(exact, 4_000, 1)
    q, p = model.infer(X, SEEN), model.prior_distribution()
    found = model.by_expert(q, p, X, SEEN, SEEN, eps)
    bounds = torch.stack([each.log_weight().mean(0) for each in found], dim=-1)  # log pi + ELBO
    elbo = bound(model, eps).mean(0)
    assert (elbo >= bounds.amax(-1) - 1e-9).all()
    assert (elbo >= bounds.logsumexp(-1) - 1e-9).all()
    assert (elbo < torch.tensor(logsumexp(log_joint(X), axis=1)) - 1e-3).all()
    weighted = bound(model, eps).logsumexp(0) - np.log(len(eps))
    np.testing.assert_allclose(weighted, logsumexp(log_joint(X), axis=1), atol=0.1)


@pytest.mark.parametrize("family", [Gaussian, LowRank])
@pytest.mark.parametrize("n_components", [1, K])
def test_experts_begin_at_the_bound_of_the_model_that_they_are_copies_of(n_components, family):
    model = plain(n_components, family, (5,))
    experts, seen = Experts(model), SEEN.clone()
    seen[::2, 1] = 0
    eps = noise(experts, 5, 1)
    copied, own = experts(X, seen, seen, eps), model(X, seen, seen, eps[..., :N_CODES])
    np.testing.assert_allclose(copied.log_weight(), own.log_weight(), atol=1e-9)
    np.testing.assert_allclose(copied.log_prob, own.log_prob, atol=1e-9)
    codes = copied.z[..., :N_CODES]
    np.testing.assert_array_equal(codes, own.z)
    np.testing.assert_array_equal(experts.decode(copied.z, X, seen), model.decode(own.z, X, seen))


def test_draws_are_those_of_the_mixture(exact):
    generator = torch.Generator().manual_seed(0)
    z = exact.sample_prior(40_000, generator)
    assert (z[:, N_CODES:].sum(-1) == 1).all()
    np.testing.assert_allclose(z[:, N_CODES:].mean(0), SHARES, atol=0.01)
    decoded = exact.decode(z, X[:1], SEEN[:1])
    mean = SHARES @ (CENTRES + np.einsum("kdc,kc->kd", LOADINGS, MEANS))
    np.testing.assert_allclose(decoded.mean(0), mean, atol=0.04)


def test_gradients_are_those_of_the_log_of_a_sum(exact):
    model, eps = loosened(exact).requires_grad_(True), noise(exact, 8)
    weights = list(model.decoder[0].parameters()) + list(model.posterior.heads[1].parameters())
    found = torch.autograd.grad(bound(model, eps).sum(), weights)
    q, p = model.infer(X, SEEN), model.prior_distribution()
    each = model.by_expert(q, p, X, SEEN, SEEN, eps)
    whole = torch.stack([part.log_weight() for part in each]).logsumexp(0).sum()
    for own, expected in zip(found, torch.autograd.grad(whole, weights), strict=True):
        np.testing.assert_allclose(own, expected, atol=1e-9)
