"""Classes that are components of the prior: quadratic discriminant analysis is the oracle."""

from functools import partial

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.special import logsumexp

from skvae._table import Column
from skvae.nn import (
    VAE,
    ClassLabel,
    ComponentLabel,
    FullGaussian,
    FullMixture,
    Gaussian,
    GMVAEPrior,
    JointLikelihood,
    Mixture,
    StandardNormal,
    WeightedLabel,
)

W = np.array([[1.0, 0.5], [0.8, -0.2], [-0.3, 0.9], [0.0, 0.1]])
PSI = np.array([0.3, 0.5, 0.7, 0.4])  # scales of the noise
SHARES = np.array([0.5, 0.3, 0.2])
MEANS = np.array([[0.0, 0.0], [2.0, 0.0], [0.0, -2.0]])
COVARIANCES = np.array([[[1.0, 0.3], [0.3, 0.5]], [[0.5, 0.0], [0.0, 1.5]], np.eye(2)])
ROWS = np.random.default_rng(0).normal(size=(6, 4)) @ np.diag([1.5, 1.2, 1.0, 0.6])


def build(n_classes, prior):
    """Linear VAE of four numbers and a class that is a component of the prior."""
    levels = tuple("abcdefg"[:n_classes])
    column = Column("y", "class", levels=levels, n_codes=n_classes, n_observed=10**15)
    numbers = [Column("x", "gaussian")] * 4
    blocks = [(Gaussian, numbers[:1]), (ComponentLabel, [column]), (Gaussian, numbers[1:])]
    model = VAE(
        JointLikelihood(blocks),
        latent_dim=2,
        hidden_layer_sizes=(),
        activation="silu",
        posterior=FullGaussian,
        prior=prior,
        examples=(torch.zeros(2, 5), torch.ones(2, 5)),
        generator=torch.Generator().manual_seed(0),
    ).double()
    return model.eval().requires_grad_(False)


@pytest.fixture
def quadratic():
    """Model whose classes have normal densities, hardly smoothed; its q is of all of them."""
    model = build(3, partial(FullMixture, n_components=3))
    model.likelihood.blocks[1].noise = 1e-12
    model.prior.start(*map(torch.tensor, (SHARES, MEANS, COVARIANCES)))
    precision = np.linalg.inv(2 * np.eye(2)) + W.T @ np.diag(PSI**-2) @ W
    gain = np.linalg.solve(precision, W.T / PSI**2)
    tril = np.linalg.cholesky(np.linalg.inv(precision))
    scale = torch.tensor(tril.diagonal()) - FullGaussian.smallest_scale
    state = {
        "decoder.1.weight": W,
        "decoder.1.bias": np.zeros(4),
        "posterior.head.weight": np.vstack([gain, np.zeros((3, 4))]),
        "posterior.head.bias": [0, 0, *inverse_softplus(scale), tril[1, 0] / tril[1, 1]],
        "likelihood.blocks.0.scale.raw": inverse_softplus(torch.tensor(PSI[:1] - 0.05)),
        "likelihood.blocks.2.scale.raw": inverse_softplus(torch.tensor(PSI[1:] - 0.05)),
    }
    state = {name: torch.as_tensor(value) for name, value in state.items()}
    model.load_state_dict(model.state_dict() | state)
    return model


def inverse_softplus(y):
    return y + torch.log(-torch.expm1(-y))


def log_weights(model, k, eps):
    """Log p(x, z, y) - log q(z) of class k, of an unknown one for -1; (n_draws, n)."""
    x = torch.tensor(np.insert(ROWS, 1, max(k, 0), axis=1))
    observed = torch.ones_like(x)
    observed[:, 1] = k >= 0
    return model(x, observed, observed, eps).log_weight()


def test_a_class_is_a_normal_and_its_bound_is_tight_as_draws_grow(quadratic):
    eps = torch.randn(10_000, 1, 2, generator=torch.Generator().manual_seed(0)).double()
    weights = np.stack([log_weights(quadratic, k, eps) for k in range(3)], axis=-1)
    joint = logsumexp(weights, axis=0) - np.log(len(eps))
    densities = [
        stats.multivariate_normal(W @ m, W @ S @ W.T + np.diag(PSI**2))
        for m, S in zip(MEANS, COVARIANCES, strict=True)
    ]
    exact = np.column_stack([p.logpdf(ROWS) for p in densities]) + np.log(SHARES)
    np.testing.assert_allclose(joint, exact, atol=0.06)
    assert (weights.mean(axis=0) < exact).all()  # one q serves all classes


def test_a_row_without_a_class_is_of_all_of_them(quadratic):
    eps = torch.randn(5, 1, 2, generator=torch.Generator().manual_seed(1)).double()
    of_classes = torch.stack([log_weights(quadratic, k, eps) for k in range(3)])
    torch.testing.assert_close(of_classes.logsumexp(0), log_weights(quadratic, -1, eps))


def test_a_single_class_changes_no_score():
    eps = torch.randn(5, 1, 2, generator=torch.Generator().manual_seed(1)).double()
    model = build(1, partial(Mixture, n_components=1))
    torch.testing.assert_close(log_weights(model, 0, eps), log_weights(model, -1, eps))


def test_the_decoder_has_no_output_for_the_class(quadratic):
    likelihood = quadratic.likelihood
    assert (likelihood.n_decoded, likelihood.n_components, likelihood.n_params) == (4, 3, 7)
    z = torch.randn(8, 2, generator=torch.Generator().manual_seed(2)).double()
    params = quadratic.decode(z, torch.zeros(8, 5).double(), torch.zeros(8, 5).double())
    shares = quadratic.prior_distribution().log_joint(z)
    torch.testing.assert_close(params[:, likelihood.components], shares)
    p = likelihood.distributions(params)[1]
    torch.testing.assert_close(p.log_mass.exp().squeeze(1), shares.softmax(-1))


def test_rows_name_the_component_that_they_are_of(quadratic):
    x = torch.tensor([[0.5, 2, 0, 0, 0], [0.5, 0, 0, 0, 0]])
    observed = torch.tensor([[True] * 5, [True, False, True, True, True]])
    assert quadratic.likelihood.classes(x, observed).tolist() == [2, -1]


@pytest.mark.parametrize(
    "prior",
    [
        StandardNormal,
        partial(FullMixture, n_components=4),
        partial(GMVAEPrior, n_components=2),  # whose components are no normals
    ],
)
def test_a_prior_needs_a_normal_for_each_class(prior):
    with pytest.raises(ValueError, match="2 classes that are components needs a prior with as ma"):
        build(2, prior)


@pytest.mark.parametrize("label", [ClassLabel, ComponentLabel])
def test_labels_have_their_weight_in_training_alone(label):
    column = Column("y", "class", levels=("a", "b"), n_codes=2, n_observed=10, n_missing=30)
    block, plain = WeightedLabel(label, 2.5)([column]), label([column])
    params, x = torch.tensor([[[0.3, -0.2]], [[1.0, 4.0]]]), torch.tensor([[0.0], [1.0]])
    log_prob = plain.eval()(params).log_prob(x)
    torch.testing.assert_close(block(params).log_prob(x), 2.5 * 4 * log_prob)
    torch.testing.assert_close(block.eval()(params).log_prob(x), log_prob)
    assert WeightedLabel(label, 2.5).robust == WeightedLabel(ClassLabel, 2.5)
