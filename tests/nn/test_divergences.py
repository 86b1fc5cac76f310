"""Laws that every divergence keeps, and a closed form of each."""

import numpy as np
import pytest
import torch
from common import REAL_PRIORS
from scipy import optimize, stats

from skvae.nn import (
    DIVERGENCES,
    PRIORS,
    VAE,
    DiagonalGaussian,
    Divergence,
    Gaussian,
    JointLikelihood,
    StandardNormal,
    VampPrior,
    kernel_stein,
    normal_mmd,
    sinkhorn,
)

# Of two samples, and of one and the prior.
SAMPLES = {name: each for name, each in DIVERGENCES.items() if not isinstance(each, Divergence)}
CRITICS = {name for name, each in DIVERGENCES.items() if getattr(each, "has_weights", False)}
KNOW_THE_PRIOR = sorted(DIVERGENCES.keys() - SAMPLES.keys() - CRITICS)
ALL = pytest.mark.parametrize("divergence", SAMPLES.values(), ids=SAMPLES)


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


def normal(n, k, generator):
    return torch.randn(n, k, generator=generator, dtype=torch.float64)


def energy_by_scipy(x, y):
    return stats.energy_distance(x[:, 0], y[:, 0]) ** 2


def wasserstein_by_quantiles(x, y):
    levels = (np.arange(max(len(x), len(y))) + 0.5) / max(len(x), len(y))
    a, b = (np.quantile(s[:, 0], levels, method="inverted_cdf") for s in (x, y))
    return np.mean((a - b) ** 2)


def mmd_by_loops(x, y):
    def kernel(a, b):
        squared = sum((s - t) ** 2 for s, t in zip(a, b, strict=True))
        widths = [multiple * len(a) for multiple in (0.25, 0.5, 1, 2, 4)]
        return sum(width / (width + squared) for width in widths)

    def mean(a, b):
        return np.mean([kernel(s, t) for s in a for t in b])

    return mean(x, x) + mean(y, y) - 2 * mean(x, y)


ORACLES = {  # the oracle, and the latent dimensions in which it holds
    "energy_distance": (energy_by_scipy, [1]),
    "sliced_wasserstein": (wasserstein_by_quantiles, [1]),
    "mmd": (mmd_by_loops, [1, 3]),
}


@pytest.mark.parametrize("sizes", [(15, 15), (15, 21), (30, 15), (1, 9)])
@pytest.mark.parametrize("name", ORACLES)
def test_a_closed_form_agrees(name, sizes, generator):
    oracle, dimensions = ORACLES[name]
    for k in dimensions:
        x, y = normal(sizes[0], k, generator), 1 + 2 * normal(sizes[1], k, generator)
        expected = pytest.approx(oracle(x.numpy(), y.numpy()), rel=1e-9)
        assert DIVERGENCES[name](x, y).item() == expected


@ALL
def test_samples_of_the_same_points_are_0_apart(divergence, generator):
    x = normal(20, 3, generator)
    for y in (x, x.flip(0), x.repeat(3, 1)):
        assert divergence(x, y).item() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("sizes", [(20, 20), (20, 33), (1, 1)])
@ALL
def test_it_is_symmetric_and_never_negative(divergence, sizes, generator):
    for _ in range(20):
        x, y = (normal(size, 3, generator) for size in sizes)
        assert divergence(x, y).item() >= 0
        assert divergence(x, y).item() == pytest.approx(divergence(y, x).item(), abs=1e-12)


@ALL
def test_it_grows_with_a_shift(divergence, generator):
    x, y = normal(50, 3, generator), normal(70, 3, generator)
    values = [divergence(x, y + shift).item() for shift in (0.5, 1, 2, 4, 8)]
    assert values == sorted(set(values))


@ALL
def test_gradients_are_finite_where_points_coincide(divergence, generator):
    x = normal(5, 2, generator).repeat(2, 1).requires_grad_()
    for y in (x.detach(), torch.zeros(4, 2, dtype=torch.float64), x.detach()[:1]):
        (gradient,) = torch.autograd.grad(divergence(x, y), x)
        assert gradient.isfinite().all()


@ALL
def test_a_gradient_step_brings_samples_together(divergence, generator):
    x, y = (3 + normal(50, 2, generator)).requires_grad_(), normal(50, 2, generator)
    before = divergence(x, y)
    (gradient,) = torch.autograd.grad(before, x)
    assert divergence(x - gradient, y) < before


@ALL
def test_the_global_generator_is_left_alone(divergence, generator):
    x, y = normal(9, 2, generator), normal(7, 2, generator)
    before = torch.get_rng_state()
    seeded = [divergence(x, y, torch.Generator().manual_seed(3)) for _ in range(2)]
    assert torch.equal(*seeded)
    assert torch.equal(divergence(x, y), divergence(x, y))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("k", [1, 3])
def test_sinkhorn_tends_to_the_best_assignment(k, generator):
    x, y = normal(24, k, generator), 1 + 2 * normal(24, k, generator)
    costs = torch.cdist(x, y).square().numpy()
    assigned = costs[optimize.linear_sum_assignment(costs)].mean()
    distance = sinkhorn(x, y, blur=1e-3, n_rounds=3000).item()
    assert distance == pytest.approx(assigned, rel=0.01)


def test_sinkhorn_in_one_dimension_is_the_distance_of_sorted_samples(generator):
    x, y = normal(40, 1, generator), 3 + normal(40, 1, generator)
    expected = (x.sort(dim=0).values - y.sort(dim=0).values).square().mean().item()
    assert sinkhorn(x, y, blur=0.01, n_rounds=300).item() == pytest.approx(expected, rel=0.01)


def test_the_gradient_of_sinkhorn_is_that_of_its_value(generator):
    x, y = normal(8, 2, generator).requires_grad_(), normal(11, 2, generator)
    (gradient,) = torch.autograd.grad(sinkhorn(x, y, n_rounds=300), x)
    direction = normal(8, 2, generator)
    near = [sinkhorn(x.detach() + step * direction, y, n_rounds=300) for step in (1e-3, -1e-3)]
    slope = ((near[0] - near[1]) / 2e-3).item()
    assert (gradient * direction).sum().item() == pytest.approx(slope, rel=0.02)


def test_sinkhorn_of_what_is_no_number_is_none():
    x = torch.full((3, 2), torch.inf)
    assert sinkhorn(x, x).isnan()


def test_mmd_to_a_normal_is_that_of_a_large_sample_of_it(generator):
    x, y = 0.5 + 2 * normal(40, 2, generator), normal(4000, 2, generator)

    def kernel(a, b):
        squared = torch.cdist(a, b).square()
        return sum((-squared / (2 * c * 2)).exp() for c in (0.25, 0.5, 1, 2, 4))

    within = kernel(x, x)[~torch.eye(40, dtype=torch.bool)].mean()
    expected = within + kernel(y[::2], y[1::2]).mean() - 2 * kernel(x, y).mean()
    assert normal_mmd(x).item() == pytest.approx(expected.item(), abs=0.02)


def vae(prior):
    """Untrained model in float64."""
    generator = torch.Generator().manual_seed(1)
    examples = torch.randn(30, 4, generator=generator)
    return VAE(
        JointLikelihood([(Gaussian, [None] * 4)]),
        latent_dim=2,
        hidden_layer_sizes=(5,),
        activation="tanh",
        posterior=DiagonalGaussian,
        prior=prior,
        examples=(examples, torch.ones_like(examples)),
        generator=generator,
    ).double()


@pytest.mark.parametrize("name", REAL_PRIORS)
def test_draws_from_the_prior_are_no_distance_from_it(name, generator):
    model = vae(PRIORS[name])
    knowing = [each for each in KNOW_THE_PRIOR if DIVERGENCES[each].prior in (None, PRIORS[name])]
    for each in knowing:
        draws = [model.sample_prior(100, generator).detach() for _ in range(60)]
        near, far = (
            [DIVERGENCES[each](z + shift, model, generator).item() for z in draws]
            for shift in (0.0, 1.5)
        )
        error = np.std(near) / np.sqrt(len(near))
        assert abs(np.mean(near)) < 4 * error < 0.2 * np.mean(far)
    assert knowing


@pytest.mark.parametrize("name", KNOW_THE_PRIOR)
def test_it_moves_points_towards_the_prior_and_no_weight_of_it(name, generator):
    model = vae(DIVERGENCES[name].prior or VampPrior)
    z = (3 + normal(50, 2, generator)).requires_grad_()
    before = DIVERGENCES[name](z, model, generator)
    before.backward()
    assert all(weight.grad is None for weight in model.parameters())
    assert DIVERGENCES[name](z.detach() - z.grad / z.grad.norm(), model, generator) < before


@pytest.mark.parametrize("name", KNOW_THE_PRIOR)
def test_points_that_coincide_and_a_single_one_have_finite_gradients(name, generator):
    for z in (normal(5, 2, generator).repeat(2, 1), torch.zeros(1, 2, dtype=torch.float64)):
        z.requires_grad_()
        (gradient,) = torch.autograd.grad(DIVERGENCES[name](z, vae(StandardNormal), generator), z)
        assert gradient.isfinite().all()


def test_the_stein_kernel_is_that_of_automatic_derivatives(generator):
    x = normal(6, 2, generator)

    def log_prob(z):
        return -0.25 * z.square().sum(-1).square() + z[..., 0]

    def kernel(a, b):
        return sum((1 + (a - b).square().sum() / (2 * c)) ** -0.5 for c in (0.25, 0.5, 1, 2, 4))

    slope = torch.func.grad(log_prob)
    by_first, by_second = torch.func.grad(kernel, 0), torch.func.grad(kernel, 1)

    def stein(a, b):
        mixed = torch.func.jacrev(by_second, 0)(a, b).trace()
        crossed = slope(a) @ by_second(a, b) + slope(b) @ by_first(a, b)
        return mixed + crossed + kernel(a, b) * (slope(a) @ slope(b))

    expected = np.mean([stein(x[i], x[j]).item() for i in range(6) for j in range(6) if i != j])
    assert kernel_stein(x, log_prob).item() == pytest.approx(expected, rel=1e-9)


def test_sliced_wasserstein_of_a_shift_is_its_share_along_the_directions(generator):
    x, y = normal(50, 3, generator), torch.tensor([3.0, 0.0, 4.0])
    values = [
        DIVERGENCES["sliced_wasserstein"](x, x + y, generator).item()
        for _ in range(100)  # each with 64 directions
    ]
    assert np.mean(values) == pytest.approx(25 / 3, rel=0.05)
