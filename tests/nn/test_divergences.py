"""Laws that every divergence keeps, and a closed form of each."""

import numpy as np
import pytest
import torch
from scipy import stats

from skvae.nn import DIVERGENCES

ALL = pytest.mark.parametrize("divergence", DIVERGENCES.values(), ids=DIVERGENCES)


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
@pytest.mark.parametrize("name", DIVERGENCES)
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


def test_sliced_wasserstein_of_a_shift_is_its_share_along_the_directions(generator):
    x, y = normal(50, 3, generator), torch.tensor([3.0, 0.0, 4.0])
    values = [
        DIVERGENCES["sliced_wasserstein"](x, x + y, generator).item()
        for _ in range(100)  # each with 64 directions
    ]
    assert np.mean(values) == pytest.approx(25 / 3, rel=0.05)
