"""Training starts at factor analysis, whose density a linear model has without any noise."""

from functools import cache

import numpy as np
import pytest
import torch
from common import REAL_POSTERIORS
from scipy.stats import multivariate_normal
from sklearn.datasets import load_iris, load_wine
from sklearn.decomposition import FactorAnalysis
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from skvae import VAEAnomalyDetector
from skvae._engine.start import factor_analysis, of_classes, start
from skvae.nn import LIKELIHOODS, POSTERIORS, PRIORS, VAE, JointLikelihood

TABLES = {"wine": load_wine, "iris": load_iris}


def factor_table(d, k, n, seed=0):
    rng = np.random.default_rng(seed)
    noise = rng.uniform(0.3, 1, size=d)
    return rng.normal(size=(n, k)) @ rng.normal(size=(k, d)) + noise * rng.normal(size=(n, d))


def linear_model(d, k, posterior, prior="standard_normal", seed=0):
    generator = torch.Generator().manual_seed(seed)
    return VAE(
        JointLikelihood([(LIKELIHOODS["gaussian"], range(d))]),
        latent_dim=k,
        hidden_layer_sizes=(6,),
        activation="silu",
        posterior=POSTERIORS[posterior],
        prior=PRIORS[prior],
        examples=(torch.zeros(5, d), torch.ones(5, d)),
        generator=generator,
    )


@cache
def table_and_log_density(d, k):
    """Standardised rows, and their log density by a factor analysis of them."""
    x = factor_table(d, k, 800)
    x = (x - x.mean(0)) / x.std(0)
    return x, FactorAnalysis(k, tol=1e-6, max_iter=3000).fit(x).score_samples(x)


@pytest.mark.parametrize("posterior", REAL_POSTERIORS)
@pytest.mark.parametrize(("d", "k"), [(6, 2), (9, 3), (70, 4)])
def test_every_draw_gives_the_density_of_factor_analysis(d, k, posterior):
    x, expected = table_and_log_density(d, k)
    model = linear_model(d, k, posterior)
    rows, seen = torch.tensor(x).float(), torch.ones(x.shape, dtype=torch.bool)
    start(model, rows, seen, 0.05, torch.Generator().manual_seed(0), 0)
    model = model.double()
    eps = 2 * torch.randn(5, 1, k, generator=torch.Generator().manual_seed(1)).double()
    terms = model(rows.double(), seen.double(), seen.double(), eps)
    got = terms.log_weight().detach().numpy()
    np.testing.assert_allclose(
        got, np.broadcast_to(got[0], got.shape), atol=1e-3
    )  # exact posterior
    assert got[0].mean() == pytest.approx(expected.mean(), abs=0.01)


def test_with_a_factor_a_column_it_is_the_normal_of_the_rows():
    x = factor_table(4, 2, 500)
    mean, scale, loadings = factor_analysis(x, 4, 0.1, 0)
    covariance = loadings @ loadings.T + np.diag(scale**2)
    np.testing.assert_allclose(covariance, np.cov(x, rowvar=False, bias=True), atol=1e-10)
    np.testing.assert_allclose(mean, x.mean(0))
    inner = loadings.T @ np.diag(scale**-2.0) @ loadings
    np.testing.assert_allclose(inner, np.diag(inner.diagonal()), atol=1e-8)


@pytest.mark.parametrize("d", [1, 3, 12])
@pytest.mark.parametrize("n", [2, 10, 300])
def test_columns_that_depend_on_each_other_and_few_rows_have_a_start(d, n):
    x = np.repeat(np.random.default_rng(0).normal(size=(n, 1)), d, axis=1)
    x[:, -1] = 2.0  # never varies
    model = linear_model(d, min(d, 8), "diagonal", "full_mixture")
    rows, seen = torch.tensor(x).float(), torch.ones(x.shape, dtype=torch.bool)
    start(model, rows, seen, 0.05, torch.Generator().manual_seed(0), 0)
    assert all(weight.isfinite().all() for weight in model.parameters())
    terms = model(rows, seen.float(), seen.float(), torch.zeros(n, min(d, 8)))
    assert terms.log_weight().isfinite().all()


@pytest.mark.parametrize("prior", ["mixture", "full_mixture"])
def test_a_mixture_starts_at_clusters_of_codes(prior):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(600, 2)) * 0.1 + rng.choice([-1.0, 1.0], size=(600, 1))
    model = linear_model(2, 2, "diagonal", prior)
    rows, seen = torch.tensor(x).float(), torch.ones(x.shape, dtype=torch.bool)
    start(model, rows, seen, 0.1, torch.Generator().manual_seed(0), 0)
    z = model.infer(rows, seen.float()).mean
    p = model.prior_distribution()
    assert p.log_prob(z).mean() > multivariate_normal([0, 0]).logpdf(z.detach()).mean() + 0.5


@pytest.mark.slow
@pytest.mark.parametrize("name", ["wine", "iris", "synthetic 5", "synthetic 20"])
def test_a_linear_fit_is_factor_analysis(name):
    x = TABLES[name]().data if name in TABLES else factor_table(int(name.split()[1]), 3, 800)
    x = (x - x.mean(0)) / x.std(0)
    k = min(4, x.shape[1] - 1)
    model = VAEAnomalyDetector(
        k, (), likelihoods="gaussian", prior="standard_normal", validation_fraction=0,
        robust_weight=0, random_state=0, n_draws=8,
    )  # fmt: skip
    expected = FactorAnalysis(k, tol=1e-6, max_iter=3000).fit(x).score(x)
    assert model.fit(x).score(x) == pytest.approx(expected, abs=0.02)


def test_a_random_start_is_another(table):
    scores = [
        VAEAnomalyDetector(2, init=init, max_steps=1, random_state=0, robust_weight=0)
        .fit(table)
        .score(table)
        for init in ("linear", "random")
    ]
    assert scores[0] > scores[1]


def test_classes_that_are_components_begin_as_in_discriminant_analysis():
    rng = np.random.default_rng(0)
    codes, classes = rng.normal(size=(30, 2)), np.repeat([0, 1, 2, -1], [12, 8, 0, 10])
    weights, means, _ = of_classes(codes, classes, 3)
    centre = codes.mean(axis=0)
    np.testing.assert_allclose(weights, np.array([13, 9, 1]) / 23)
    for k, mean in enumerate(means):
        np.testing.assert_allclose(mean, np.vstack([codes[classes == k], centre]).mean(axis=0))
    many = np.tile(codes, (10_000, 1))
    _, _, (common, *others) = of_classes(many, np.tile(classes, 10_000), 2)
    oracle = LinearDiscriminantAnalysis(solver="lsqr", store_covariance=True)
    oracle.fit(codes[classes >= 0], classes[classes >= 0])
    np.testing.assert_allclose(common - 0.02 * np.eye(2), oracle.covariance_, rtol=1e-3)
    np.testing.assert_array_equal(others, [common])
