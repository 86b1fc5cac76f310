"""Laws that every likelihood keeps, and the scipy density of each."""

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.integrate import quad
from scipy.special import expit

from skvae.nn import LIKELIHOODS, JointLikelihood

REAL = [name for name, family in LIKELIHOODS.items() if family.domain == "real"]
BINARY = [name for name, family in LIKELIHOODS.items() if family.domain == "binary"]
CELLS = {"real": [-7.5, -0.3, 0.0, 0.4, 30.0], "binary": [0.0, 1.0]}
EXTREME_CELLS = {"real": [-1e100, -1e3, 0.0, 1.0, 1e100], "binary": [0.0, 1.0]}
PARAMS = [[0.0, 0.0], [1.5, -2.0], [-3.0, 4.0]]  # as many of each row as a family takes
LEARNED = [-3.0, 0.0, 1.5]  # value of every weight of the likelihood itself


def softplus(raw):
    return np.logaddexp(0, raw)


# The same density in scipy, given the decoder's parameters and the learned weight.
ORACLES = {
    "gaussian": lambda params, raw: stats.norm(params[0], 0.05 + softplus(raw)),
    "heteroscedastic": lambda params, raw: stats.norm(params[0], 0.2 + 0.8 * expit(params[1])),
    "student_t": lambda params, raw: stats.t(4, params[0], 0.05 + softplus(raw)),
    "bernoulli": lambda params, raw: stats.bernoulli(expit(params[0])),
}


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


def block(name, learned=0.0):
    """Likelihood of one column whose own weights all have the value `learned`."""
    joint = JointLikelihood([(LIKELIHOODS[name], 1)]).double()
    for weight in joint.parameters():
        torch.nn.init.constant_(weight, learned)
    return joint


def cut(name, params):
    return params[: LIKELIHOODS[name].n_params]


def tensor(values):
    return torch.tensor(values, dtype=torch.float64)


def log_prob(joint, params, cells):
    """Log density of each of some observed cells under the same parameters."""
    cells = tensor(cells).reshape(-1, 1)
    return joint.log_prob(tensor(params), cells, torch.ones_like(cells))[:, 0]


@pytest.mark.parametrize("learned", LEARNED)
@pytest.mark.parametrize("params", PARAMS)
@pytest.mark.parametrize("name", REAL)
def test_a_density_integrates_to_1(name, params, learned):
    params = cut(name, params)
    joint = block(name, learned)
    middle = joint.mean(tensor(params)).item()

    def density(x):
        return log_prob(joint, params, [x]).exp().item()

    total = quad(density, -np.inf, middle)[0] + quad(density, middle, np.inf)[0]
    assert total == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("params", PARAMS)
@pytest.mark.parametrize("name", BINARY)
def test_masses_sum_to_1(name, params):
    masses = log_prob(block(name), cut(name, params), [0.0, 1.0]).exp()
    assert masses.sum().item() == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("learned", LEARNED)
@pytest.mark.parametrize("params", PARAMS)
@pytest.mark.parametrize("name", LIKELIHOODS)
def test_the_log_density_is_that_of_scipy(name, params, learned):
    params = cut(name, params)
    cells = CELLS[LIKELIHOODS[name].domain]
    oracle = ORACLES[name](params, learned)
    expected = (oracle.logpdf if hasattr(oracle.dist, "logpdf") else oracle.logpmf)(cells)
    got = log_prob(block(name, learned), params, cells).detach()
    np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("params", PARAMS)
@pytest.mark.parametrize("name", LIKELIHOODS)
def test_the_mean_is_that_of_scipy(name, params):
    params = cut(name, params)
    got = block(name).mean(tensor(params)).item()
    assert got == pytest.approx(ORACLES[name](params, 0.0).mean(), abs=1e-12)


def test_a_predicted_scale_stays_between_its_floor_and_1():
    raw = tensor([-1e6, -10.0, 0.0, 10.0, 1e6])
    family = LIKELIHOODS["heteroscedastic"]
    scale = family(1)(torch.stack([torch.zeros(5), raw], -1)).scale
    assert ((scale >= family.scale_floor) & (scale <= 1)).all()
    assert (scale.diff() > 0).all()


@pytest.mark.parametrize("learned", [-1e3, 0.0, 1e3])
@pytest.mark.parametrize("extreme", [-1e4, -50.0, 50.0, 1e4])
@pytest.mark.parametrize("name", LIKELIHOODS)
def test_gradients_are_finite_at_extreme_parameters_and_values(name, extreme, learned):
    joint = block(name, learned)
    params = torch.full((joint.n_params,), extreme, dtype=torch.float64, requires_grad=True)
    for cell in EXTREME_CELLS[LIKELIHOODS[name].domain]:
        value = joint.log_prob(params, tensor([cell]), tensor([1.0])).sum()
        gradients = torch.autograd.grad(value, [params, *joint.parameters()])
        assert value.isfinite()
        assert all(gradient.isfinite().all() for gradient in gradients)


@pytest.mark.parametrize("extreme", [-1e4, 0.0, 1e4])
@pytest.mark.parametrize("name", LIKELIHOODS)
def test_a_missing_cell_adds_exactly_0_to_density_and_gradient(name, extreme):
    joint = block(name)
    params = torch.full((joint.n_params,), extreme, dtype=torch.float64, requires_grad=True)
    value = joint.log_prob(params, tensor([0.0]), tensor([0.0]))
    assert value.item() == 0
    for gradient in torch.autograd.grad(value.sum(), [params, *joint.parameters()]):
        assert (gradient == 0).all()


@pytest.mark.parametrize("params", PARAMS)
@pytest.mark.parametrize("name", LIKELIHOODS)
def test_samples_follow_the_density(name, params, generator):
    params = cut(name, params)
    joint, oracle = block(name, 0.5), ORACLES[name](params, 0.5)
    samples = joint.sample(tensor(params).expand(20_000, -1), generator).detach()[:, 0].numpy()
    if name in BINARY:
        assert set(samples) <= {0.0, 1.0}
        successes = int(samples.sum())
        assert stats.binomtest(successes, len(samples), oracle.mean()).pvalue > 1e-3
    else:
        assert stats.kstest(samples, oracle.cdf).pvalue > 1e-3


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_samples_come_from_the_generator_alone(name):
    joint = block(name)
    params = torch.zeros(100, joint.n_params, dtype=torch.float64)
    before = torch.get_rng_state()
    first, second = (joint.sample(params, torch.Generator().manual_seed(1)) for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(torch.get_rng_state(), before)


def test_blocks_come_back_in_column_order(generator):
    sizes = range(1, len(LIKELIHOODS) + 1)
    families = list(zip(LIKELIHOODS.values(), sizes, strict=True))
    joint = JointLikelihood(families).double()
    params = torch.randn(50_000, joint.n_params, generator=generator, dtype=torch.float64)
    params[:] = params[0]
    x = torch.cat([torch.ones(c) for _, c in families]).double()
    got, mean = joint.log_prob(params[0], x, torch.ones_like(x)), joint.mean(params[0])
    parts = params[0].split([family.n_params * c for family, c in families])
    alone = [JointLikelihood([family]).double() for family in families]
    expected = [
        one.log_prob(part, torch.ones(c).double(), torch.ones(c))
        for one, part, c in zip(alone, parts, sizes, strict=True)
    ]
    assert torch.equal(got, torch.cat(expected))
    assert torch.equal(
        mean, torch.cat([one.mean(part) for one, part in zip(alone, parts, strict=True)])
    )
    samples = joint.sample(params, generator).detach()
    error = samples.std(0) / len(samples) ** 0.5
    assert ((samples.mean(0) - mean).abs() < 5 * error).all()


def test_invisible_cells_give_the_encoder_zeros(generator):
    joint = JointLikelihood([(family, 2) for family in LIKELIHOODS.values()])
    x = torch.ones(3, 2 * len(LIKELIHOODS))
    visible = torch.tensor([1.0, 0.0]).repeat(3, len(LIKELIHOODS))
    features = joint.featurize(x, visible)
    assert features.shape == (3, joint.n_features)
    widths = [family.n_inputs for family in LIKELIHOODS.values() for _ in range(2)]
    for cells, shown in zip(features.split(widths, -1), visible[0], strict=True):
        assert ((cells != 0).any(-1) == bool(shown)).all()
