"""Laws that every likelihood keeps, and the scipy density of each."""

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.integrate import quad
from scipy.special import expit, softmax

from skvae._table import DOMAINS, Column
from skvae.nn import LIKELIHOODS, JointLikelihood

CONTINUOUS = [n for n, family in LIKELIHOODS.items() if DOMAINS[family.domain].is_continuous]
ONE_COLUMN = [name for name in LIKELIHOODS if name != "multinomial"]  # given its sum one is sure
DISCRETE = [name for name in ONE_COLUMN if name not in CONTINUOUS]
CELLS = dict.fromkeys(("real", "positive", "spiked"), (-7.5, -0.3, 0.0, 0.4, 30.0))
CELLS |= {"binary": [0.0, 1.0], "count": [0.0, 0.25, 1.0, 12.5]}
CELLS |= dict.fromkeys(("category", "ordered"), (0.0, 1.0, 2.0, 3.0, 4.0))
FARTHEST = {"real": 1e100, "positive": 1e100, "spiked": 1e100, "count": 1e15}
SUPPORT = {"binary": np.arange(2.0), "count": np.arange(4000) / 4}
SUPPORT |= dict.fromkeys(("category", "ordered"), np.arange(5.0))
# As many of each row as a family takes.
PARAMS = [[0.0, 0.0, 0.0], [1.5, -2.0, 0.5], [-3.0, 4.0, 0.0]]
NUMBERS = [name for name in ONE_COLUMN if DOMAINS[LIKELIHOODS[name].domain].has_interval]
WITH_MEAN = [n for n in LIKELIHOODS if n not in ("spike_slab", "categorical", "ordinal")]
LEARNED = [-3.0, 0.0, 1.5]  # value of every weight of the likelihood itself


# Four levels; as categories the last two share a probability, as ordered ones none do.
N_CODES = {"category": 3, "ordered": 4}
N_OBSERVED = 20


def column(name, n_observed=N_OBSERVED):
    """Column in units of 4, if of counts, or with four levels."""
    n_codes = N_CODES.get(LIKELIHOODS[name].domain, 1)
    return Column(
        "x", name, exponent=2, levels=tuple("abcd"), n_codes=n_codes, n_observed=n_observed
    )


def softplus(raw):
    return np.logaddexp(0, raw)


class Oracle:
    """Mixture of scipy distributions at x * unit, with a point mass at 0."""

    def __init__(self, p_zero, rest, unit=1.0):
        self.p_zero, self.rest, self.unit = p_zero, rest, unit

    def logpdf(self, x):
        rest = np.log1p(-self.p_zero) + self.rest.logpdf(x)
        return np.where(np.equal(x, 0), np.log(self.p_zero), rest)

    def pmf(self, x):
        x = np.asarray(x) * self.unit
        return self.p_zero * (x == 0) + (1 - self.p_zero) * self.rest.pmf(x)

    def cdf(self, x):
        x = np.asarray(x) * self.unit
        return self.p_zero * (x >= 0) + (1 - self.p_zero) * self.rest.cdf(x)

    def mean(self):
        return (1 - self.p_zero) * self.rest.mean() / self.unit


class Smoothed:
    """Masses of four levels, and of one that stands for all others, each seen once more."""

    def __init__(self, masses):
        self.masses = np.array([*masses, 0.0]) * N_OBSERVED / (N_OBSERVED + 5) + 1 / (
            N_OBSERVED + 5
        )

    def pmf(self, x):
        return self.masses[np.asarray(x, dtype=int)]


def negative_binomial(log_mean, raw):
    r = 0.01 + softplus(raw)
    return stats.nbinom(r, r / (r + 4 * np.exp(log_mean)))


def categorical(params, raw):
    masses = 0.4 / 3 + 0.6 * softmax(params[:3])
    return Smoothed([*masses[:2], masses[2] / 2, masses[2] / 2])


def ordinal(params, raw):
    cuts = np.cumsum([raw, 1e-4 + softplus(raw), 1e-4 + softplus(raw)])
    return Smoothed(0.4 / 4 + 0.6 * np.diff([0, *expit(cuts - params[0]), 1]))


# The same density in scipy, given the decoder's parameters and the learned weight.
ORACLES = {
    "gaussian": lambda params, raw: stats.norm(params[0], 0.05 + softplus(raw)),
    "low_rank": lambda params, raw: stats.norm(params[0], np.hypot(0.05 + softplus(raw), raw)),
    "heteroscedastic": lambda params, raw: stats.norm(params[0], 0.05 + 0.95 * expit(params[1])),
    "heteroscedastic_student_t": lambda params, raw: stats.t(
        4, params[0], 0.05 + 0.95 * expit(params[1])
    ),
    "student_t": lambda params, raw: stats.t(4, params[0], 0.05 + softplus(raw)),
    "log_normal": lambda params, raw: stats.norm(params[0], 0.05 + softplus(raw)),
    "spike_slab": lambda params, raw: Oracle(
        expit(params[1]), stats.norm(params[0], 0.05 + softplus(raw))
    ),
    "bernoulli": lambda params, raw: stats.bernoulli(0.2 + 0.6 * expit(params[0])),
    "poisson": lambda params, raw: Oracle(0, stats.poisson(4 * np.exp(params[0])), 4),
    "negative_binomial": lambda params, raw: Oracle(0, negative_binomial(params[0], raw), 4),
    "zero_inflated": lambda params, raw: Oracle(
        expit(params[1]), negative_binomial(params[0], raw), 4
    ),
    "categorical": categorical,
    "ordinal": ordinal,
}


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


def block(name, learned=0.0):
    """Likelihood of one column whose own weights all have the value `learned`."""
    joint = JointLikelihood([(LIKELIHOODS[name], [column(name)])]).double()
    for weight in joint.parameters():
        torch.nn.init.constant_(weight, learned)
    return joint


def cut(name, params):
    return params[: block(name).n_params]


def tensor(values):
    return torch.tensor(values, dtype=torch.float64)


def log_prob(joint, params, cells):
    """Log density of each of some observed cells under the same parameters."""
    cells = tensor(cells).reshape(-1, 1)
    terms, excess = joint.terms(tensor(params), cells, torch.ones_like(cells))
    return terms[:, 0] - excess


@pytest.mark.parametrize("learned", LEARNED)
@pytest.mark.parametrize("params", PARAMS)
@pytest.mark.parametrize("name", CONTINUOUS)
def test_a_density_integrates_to_1(name, params, learned):
    params = cut(name, params)
    joint = block(name, learned)
    middle, p_zero = params[0] + 1e-9, 0.0  # beside the spike

    def density(x):
        return log_prob(joint, params, [x]).exp().item()

    if LIKELIHOODS[name].domain == "spiked":
        p_zero = density(0.0)
    total = quad(density, -np.inf, middle)[0] + quad(density, middle, np.inf)[0]
    assert total + p_zero == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("params", PARAMS)
@pytest.mark.parametrize("name", DISCRETE)
def test_masses_sum_to_1(name, params):
    masses = log_prob(block(name), cut(name, params), SUPPORT[LIKELIHOODS[name].domain]).exp()
    assert masses.sum().item() == pytest.approx(1, abs=1e-9)


def test_what_stands_in_for_a_scale_that_follows_the_rows_is_nearly_normal():
    stand_in = LIKELIHOODS["heteroscedastic_student_t"].robust
    joint = JointLikelihood([(stand_in, [column("student_t")])]).double()
    torch.nn.init.zeros_(joint.blocks[0].scale.raw)
    expected = stats.t(20, 0.3, 0.05 + softplus(0.0)).logpdf(CELLS["real"])
    got = log_prob(joint, [0.3], CELLS["real"]).detach().numpy()
    np.testing.assert_allclose(got, expected, rtol=1e-9)


@pytest.mark.parametrize("learned", LEARNED)
@pytest.mark.parametrize("params", PARAMS)
@pytest.mark.parametrize("name", ONE_COLUMN)
def test_the_log_density_is_that_of_scipy(name, params, learned):
    params = cut(name, params)
    cells = CELLS[LIKELIHOODS[name].domain]
    oracle = ORACLES[name](params, learned)
    expected = oracle.logpdf(cells) if name in CONTINUOUS else np.log(oracle.pmf(cells))
    got = log_prob(block(name, learned), params, cells).detach()
    np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", [name for name in ONE_COLUMN if name in WITH_MEAN])
def test_the_prediction_is_the_mean_over_draws_of_that_of_scipy(name):
    params = [cut(name, row) for row in PARAMS]
    got = block(name).predict(tensor(params)).item()
    means = [ORACLES[name](row, 0.0).mean() for row in params]
    assert got == pytest.approx(np.mean(means), abs=1e-12)


@pytest.mark.parametrize("name", ["categorical", "ordinal"])
def test_a_level_is_predicted_by_its_mean_mass(name):
    params = [cut(name, row) for row in PARAMS]
    masses = np.mean([ORACLES[name](row, 0.0).masses for row in params], axis=0)
    assert block(name).predict(tensor(params)).item() == masses.argmax()


def test_the_spike_is_predicted_where_it_is_more_likely_than_not():
    joint = JointLikelihood([(LIKELIHOODS["spike_slab"], [column("spike_slab")] * 2)])
    assert joint.predict(tensor([[2.0, -1.0, 2.0, 1.0]])).tolist() == [2.0, 0.0]


@pytest.mark.parametrize("level", [0.01, 0.05, 0.5, 0.95, 0.999])
@pytest.mark.parametrize("name", NUMBERS)
def test_quantiles_are_those_of_scipy_of_the_mixture_over_draws(name, level):
    params = [cut(name, row) for row in PARAMS]
    oracles = [ORACLES[name](row, 0.0) for row in params]
    (family,) = block(name).blocks
    p = family(tensor(params).unsqueeze(1))
    x = family.quantile(lambda function: function(p).mean(0), level).item()
    step = {"count": 0.25}.get(family.domain, 1e-6)
    below, above = (np.mean([o.cdf(at) for o in oracles]) for at in (x - step, x + 1e-6))
    assert below <= level <= above


def test_an_unseen_level_has_the_mass_that_is_documented_and_no_level_has_less():
    joint, cells = block("categorical"), tensor([[0.0], [1.0], [2.0], [3.0], [4.0]])
    params = tensor([[1e4, -1e4, 0.0]]).expand(5, -1)
    masses = joint.terms(params, cells, torch.ones_like(cells))[0].exp()[:, 0]
    assert masses[4].item() == pytest.approx(1 / (N_OBSERVED + 4 + 1))
    assert (masses >= masses[4] - 1e-15).all()


def test_the_encoder_sees_an_unseen_level_as_a_hole():
    for name in ("categorical", "ordinal"):
        features = block(name, 1.0).featurize(tensor([[4.0], [3.0]]), torch.ones(2, 1))
        assert (features != 0).any(-1).tolist() == [False, True]


def test_a_column_without_any_level_has_none_but_unseen_ones():
    family = LIKELIHOODS["categorical"]
    joint = JointLikelihood([(family, [Column("x", "categorical")])]).double()
    assert log_prob(joint, [3.0], [0.0]).item() == 0


def test_ten_thousand_levels_have_a_bounded_output():
    levels = tuple(range(10_000))
    wide = Column("x", "categorical", levels=levels, n_codes=100, n_observed=30_000)
    joint = JointLikelihood([(LIKELIHOODS["categorical"], [wide])]).double()
    assert joint.n_params == 100
    assert joint.n_features == 32
    masses = log_prob(joint, np.zeros(100), np.arange(10_001.0)).exp()
    assert masses.sum().item() == pytest.approx(1, abs=1e-9)


def test_a_predicted_scale_stays_between_its_floor_and_1():
    raw = tensor([-1e6, -10.0, 0.0, 10.0, 1e6])
    family = LIKELIHOODS["heteroscedastic"]
    scale = family([column("heteroscedastic")])(torch.stack([torch.zeros(5), raw], -1)).scale
    assert ((scale >= family.scale_floor) & (scale <= 1)).all()
    assert (scale.diff() > 0).all()


@pytest.mark.parametrize("learned", [-1e3, 0.0, 1e3])
@pytest.mark.parametrize("extreme", [-1e4, -50.0, 50.0, 1e4])
@pytest.mark.parametrize("name", LIKELIHOODS)
def test_gradients_are_finite_at_extreme_parameters_and_values(name, extreme, learned):
    joint = block(name, learned)
    params = torch.full((joint.n_params,), extreme, dtype=torch.float64, requires_grad=True)
    domain = LIKELIHOODS[name].domain
    far = FARTHEST.get(domain, CELLS[domain][-1])
    for cell in [*CELLS[domain], far, -far if domain in ("real", "positive", "spiked") else 0.0]:
        log_prob, excess = joint.terms(params, tensor([cell]), tensor([1.0]))
        value = log_prob.sum() - excess
        # An embedding belongs to the encoder: the density does not depend on it.
        weights = [params, *joint.parameters()]
        gradients = torch.autograd.grad(value, weights, materialize_grads=True)
        assert value.isfinite()
        assert all(gradient.isfinite().all() for gradient in gradients)


@pytest.mark.parametrize("extreme", [-1e4, 0.0, 1e4])
@pytest.mark.parametrize("name", LIKELIHOODS)
def test_a_missing_cell_adds_exactly_0_to_density_and_gradient(name, extreme):
    joint = block(name)
    params = torch.full((joint.n_params,), extreme, dtype=torch.float64, requires_grad=True)
    log_prob, excess = joint.terms(params, tensor([0.0]), tensor([0.0]))
    assert log_prob.item() == excess == 0
    value = log_prob - excess
    weights = [params, *joint.parameters()]
    for gradient in torch.autograd.grad(value.sum(), weights, materialize_grads=True):
        assert (gradient == 0).all()


@pytest.mark.parametrize("params", PARAMS)
@pytest.mark.parametrize("name", ONE_COLUMN)
def test_samples_follow_the_density(name, params, generator):
    params = cut(name, params)
    joint, oracle = block(name, 0.5), ORACLES[name](params, 0.5)
    samples = joint.sample(tensor(params).expand(20_000, -1), generator).detach()[:, 0].numpy()
    if name == "spike_slab":
        zeros = int((samples == 0).sum())
        assert stats.binomtest(zeros, len(samples), oracle.p_zero).pvalue > 1e-3
        samples, oracle = samples[samples != 0], oracle.rest
    if name in CONTINUOUS:
        assert stats.kstest(samples, oracle.cdf).pvalue > 1e-3
        return
    support = SUPPORT[LIKELIHOODS[name].domain]
    masses = oracle.pmf(support)
    if hasattr(oracle, "masses"):  # samples are not smoothed: unseen levels have no value
        masses = (masses - masses[-1]) / (masses - masses[-1]).sum()
    positions = np.searchsorted(support, samples)
    np.testing.assert_array_equal(support[positions], samples)
    counts = np.bincount(positions, minlength=len(support))
    likely = masses * len(samples) >= 5
    expected = np.append(masses[likely], masses[~likely].sum()) * len(samples)
    observed = np.append(counts[likely], counts[~likely].sum())
    kept = expected > 0.01
    statistic = ((observed - expected)[kept] ** 2 / expected[kept]).sum()
    assert stats.chi2.sf(statistic, max(1, kept.sum() - 1)) > 1e-4


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
    families = [
        (family, [column(name)] * size)
        for (name, family), size in zip(LIKELIHOODS.items(), sizes, strict=True)
    ]
    joint = JointLikelihood(families).double()
    params = torch.randn(50_000, joint.n_params, generator=generator, dtype=torch.float64)
    params[:] = params[0]
    x = torch.ones(sum(sizes), dtype=torch.float64)
    got, best = joint.terms(params[0], x, torch.ones_like(x))[0], joint.predict(params[:1])
    alone = [JointLikelihood([family]).double() for family in families]
    parts = params[0].split([one.n_params for one in alone])
    expected = [
        one.terms(part, torch.ones(c).double(), torch.ones(c))[0]
        for one, part, c in zip(alone, parts, sizes, strict=True)
    ]
    assert torch.equal(got, torch.cat(expected))
    assert torch.equal(
        best, torch.cat([one.predict(part[None]) for one, part in zip(alone, parts, strict=True)])
    )
    samples = joint.sample(params, generator).detach()
    error = samples.std(0) / len(samples) ** 0.5
    has_mean = np.repeat([name in WITH_MEAN for name in LIKELIHOODS], sizes)
    assert ((samples.mean(0) - best).abs() < 5 * error)[torch.tensor(has_mean)].all()


def test_invisible_cells_give_the_encoder_zeros(generator):
    joint = JointLikelihood([(family, [column(n)] * 2) for n, family in LIKELIHOODS.items()])
    x = torch.full((3, 2 * len(LIKELIHOODS)), 3.0)
    visible = torch.tensor([1.0, 0.0]).repeat(3, len(LIKELIHOODS))
    features = joint.featurize(x, visible)
    assert features.shape == (3, joint.n_features)
    widths = [part.n_inputs for part in joint.blocks for _ in range(2)]
    for cells, shown in zip(features.split(widths, -1), visible[0], strict=True):
        assert ((cells != 0).any(-1) == bool(shown)).all()
