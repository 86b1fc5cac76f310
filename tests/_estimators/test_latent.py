"""What latent dimensions hold and move: laws of the report, and of the codes' certainty."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from common import LONGER, REAL_PARTS, SMALL
from sklearn.mixture import GaussianMixture

from skvae import VAEAnomalyDetector, VAETransformer
from skvae._engine import information
from skvae._estimators import latent
from skvae._estimators.disentanglement import dimension_disentanglement, disentanglement
from skvae._table import Column, EncodedTable
from skvae.nn import (
    POSTERIORS,
    PRIORS,
    VAE,
    DiagonalNormal,
    FullNormal,
    Gaussian,
    JointLikelihood,
    LinearModel,
    MixtureDistribution,
    PrecisionNormal,
)

LINEAR = {"hidden_layer_sizes": (), "likelihoods": "gaussian", "prior": "standard_normal"}
ALONE = {"members": [{}], "robust_weight": 0, "n_draws": 64, "random_state": 0}


@pytest.fixture(scope="module")
def two_factors():
    """Rows of two independent factors: columns 0 to 2 are of the first, 3 to 5 of the second."""
    rng = np.random.default_rng(0)
    factors = rng.normal(size=(3_000, 2))
    X = np.repeat(factors * [1.0, 0.7], 3, axis=1) + 0.3 * rng.normal(size=(3_000, 6))
    return X, factors


@pytest.fixture(scope="module")
def linear(two_factors):
    """Nearly probabilistic PCA with more codes than factors, whose posterior is exact."""
    return VAETransformer(latent_dim=4, **LINEAR, **ALONE).fit(two_factors[0])


@pytest.fixture(scope="module")
def report(linear, two_factors):
    return linear.latent_report(two_factors[0], two_factors[1], random_state=0)


# Of "free", whose training takes its time, the posteriors are of the same kind as of "diagonal".
@pytest.mark.parametrize(
    ("posterior", "prior"), [parts for parts in REAL_PARTS if parts[0] != "free"]
)
def test_the_parts_add_up_to_the_kl_divergence(table, prior, posterior):
    model = VAETransformer(prior=prior, posterior=posterior, **SMALL).fit(table)
    report = model.latent_report(table[:60], random_state=0)
    if prior in ("vae", "gmvae"):  # whose marginal densities are not known
        assert np.isnan(report.dimension_wise_kl)
        assert 0 < report.mutual_information < report.kl
        return
    parts = report.mutual_information + report.total_correlation + report.dimension_wise_kl
    assert report.kl == pytest.approx(parts + report.prior_dependence, abs=1e-9)
    assert report.dimensions["marginal_kl"].sum() == pytest.approx(report.dimension_wise_kl)
    if prior == "standard_normal":
        assert report.prior_dependence == pytest.approx(0, abs=1e-9)


def test_the_kl_divergence_is_that_of_explain(linear, two_factors, report):
    X = two_factors[0]
    rest = linear.explain(X, return_rest=True)[1]
    assert report.kl == pytest.approx(rest[:, 0].mean() + linear.baseline_[-1], abs=0.1)


def test_as_many_dimensions_are_active_as_there_are_factors(report):
    dimensions = report.dimensions.sort_values("kl", ascending=False)
    assert dimensions["active"][:2].all()
    assert (dimensions["kl"][:2] > 1).all()
    assert (dimensions["kl"][2:] < 0.03).all()
    np.testing.assert_allclose(dimensions["std"], 1, atol=0.05)


def test_active_dimensions_are_the_rank_of_probabilistic_pca():
    generator = torch.Generator().manual_seed(0)
    examples = torch.zeros(2, 6), torch.ones(2, 6)
    model = VAE(
        JointLikelihood([(Gaussian, [Column(j, "gaussian") for j in range(6)])]),
        latent_dim=5,
        hidden_layer_sizes=(),
        activation="silu",
        posterior=POSTERIORS["diagonal"],
        prior=PRIORS["standard_normal"],
        examples=examples,
        generator=generator,
    ).double()
    loadings = torch.linalg.qr(torch.randn(6, 2, generator=generator))[0].double()
    unit = torch.ones(6, dtype=torch.float64)
    model.start(LinearModel(0 * unit, 0.5 * unit, loadings * 2, torch.zeros(6, 0).double()))
    rows = EncodedTable(np.random.default_rng(0).normal(size=(200, 6)), np.ones((200, 6), bool))
    found = information(model, rows, 4, 0)
    active = found.by_dimension["std_of_means"] > 0.1
    assert active.tolist() == [True, True, False, False, False]
    np.testing.assert_allclose(found.by_dimension["mutual_information"][2:], 0, atol=1e-9)


def test_each_dimension_moves_the_columns_of_its_factor(report):
    active = report.dimensions["kl"] > 1
    moves = report.moves[active].abs()
    first, second = moves.idxmax(axis=1)
    assert {first // 3, second // 3} == {0, 1}
    # Two standard deviations of the first factor, less what noise hides.
    assert moves.to_numpy().max() == pytest.approx(2, rel=0.15)
    assert (report.moves[~active].abs() < 0.2).all(axis=None)
    np.testing.assert_allclose(report.spread, np.sqrt([1.09] * 3 + [0.58] * 3), rtol=0.05)


def test_known_factors_are_found(report):
    assert (report.factors["informativeness"] > 0.85).all()
    assert (report.factors["sap"] > 0.7).all()
    assert (report.factors["mig"] > 0.3).all()
    assert report.disentanglement > 0.8
    np.testing.assert_allclose(report.importance.sum(), 1)


def test_a_copy_of_a_factor_has_a_gap_of_1_and_noise_none():
    rng = np.random.default_rng(0)
    factors = pd.DataFrame({"size": rng.normal(size=5_000), "kind": rng.integers(3, size=5_000)})
    copies, noise = factors.to_numpy(float), rng.normal(size=(5_000, 2))
    scores, importance = disentanglement(copies, factors)
    np.testing.assert_allclose(scores["mig"], 1, atol=0.06)
    np.testing.assert_allclose(scores.loc["size", "sap"], 1, atol=0.01)
    np.testing.assert_allclose(scores["completeness"], 1, atol=0.1)
    np.testing.assert_allclose(scores["informativeness"], 1, atol=0.01)
    assert dimension_disentanglement(importance) == pytest.approx(1, abs=0.1)
    scores, importance = disentanglement(noise, factors)
    assert (scores[["mig", "sap"]].abs() < 0.05).all(axis=None)
    assert (scores["informativeness"] < 0.4).all()
    assert dimension_disentanglement(importance) < 0.1


@pytest.mark.filterwarnings("ignore:No hole of")
def test_levels_and_flags_move_by_probability(frame):
    rng = np.random.default_rng(0)
    X = frame.assign(kind=np.where(frame["b"] > 1, "high", "low"), when=rng.normal(size=len(frame)))
    context = {"context": ["when"], "missing": "model"}
    X.loc[X.index[::3], "a"] = np.nan
    model = VAEAnomalyDetector(**LONGER, **context).fit(X)
    report = model.latent_report(X, random_state=0)
    assert list(report.moves) == ["a", "b", "c", "d", "e", "flag", "kind"]
    probabilities = report.moves[["flag", "kind"]]
    assert ((probabilities >= 0) & (probabilities <= 0.6)).all(axis=None)  # a noise of .4
    assert probabilities.max(axis=None) > 0.3
    assert (report.spread[["flag", "kind"]] == 1).all()
    # The range of a column in thousands is not that of one in hundredths.
    assert report.moves["d"].abs().max() > 100 > 0.1 > report.moves["a"].abs().max()


def test_the_certainty_of_a_code_is_that_of_probabilistic_pca(linear, two_factors):
    X = two_factors[0][:50].copy()
    mean, std = linear.codes(X, return_std=True)
    np.testing.assert_array_equal(mean, linear.codes(X))
    reliable = 1 / np.sqrt(1 + 3 * np.array([1.0, 0.7]) ** 2 / 0.3**2)
    np.testing.assert_allclose(np.sort(std.mean(axis=0))[:2], np.sort(reliable), rtol=0.15)
    np.testing.assert_allclose(np.sort(std.mean(axis=0))[2:], 1, atol=0.05)


def test_a_row_with_holes_has_a_less_certain_code(table, holed):
    model = VAETransformer(max_steps=300, random_state=0).fit(holed)
    whole, empty = table[:100], np.full((100, 5), np.nan)
    certain, uncertain = (model.codes(X, return_std=True)[1] for X in (whole, empty[:, :5]))
    assert uncertain.mean() > certain.mean()


@pytest.mark.filterwarnings("ignore:Row")
@pytest.mark.parametrize("container", [pd.DataFrame, np.asarray, pl.from_pandas])
def test_any_container_and_a_random_state(frame, container):
    X = frame.drop(columns="flag")
    model = VAETransformer(**SMALL).fit(container(X))
    first, again, other = (model.latent_report(container(X), random_state=s) for s in (0, 0, 1))
    pd.testing.assert_frame_equal(first.moves, again.moves)
    assert first.kl == again.kl != other.kl
    assert first.factors is None


def test_many_rows_are_drawn_from(two_factors, linear, monkeypatch):
    monkeypatch.setattr(latent, "_MOST_ROWS", 10)
    report = linear.latent_report(*two_factors, random_state=0)
    assert 0.9 * np.log(10) < report.mutual_information < np.log(10)


def test_few_rows_and_equal_ones_have_a_report(linear):
    X = np.random.default_rng(0).normal(size=(8, 6))
    report = linear.latent_report(X, [0, 1] * 4, random_state=0)  # too few for a split
    assert report.factors["completeness"].item() == 0
    assert np.isnan(report.disentanglement)


def test_the_report_leaves_torchs_generator_alone(linear, two_factors):
    before = torch.get_rng_state()
    linear.latent_report(two_factors[0])
    assert torch.equal(torch.get_rng_state(), before)


WRONG = {
    "rows": ({"factors": [1, 2]}, "factors has 2 rows and X has 5"),
    "hole": ({"factors": [1, 2, None, 3, 4]}, "factor 0 is missing in row 2"),
    "constant": (
        {"factors": pd.DataFrame({"a": [1] * 5})},
        "factor 'a' has one value alone, 1, in the 5 rows that are compared",
    ),
    "infinite": ({"factors": [1.0, 2, np.inf, 3, 4]}, "factor 0 is infinite in row 2"),
}


@pytest.mark.parametrize(("params", "message"), WRONG.values(), ids=WRONG)
def test_factors_that_cannot_be_are_named(model, table, params, message):
    with pytest.raises(ValueError, match=message):
        model.latent_report(table[:5], **params)


def test_one_row_is_refused(model, table):
    with pytest.raises(ValueError, match="minimum of 2 is required"):
        model.latent_report(table[:1])


def test_a_prior_of_ones_own_without_marginals_has_none(table):
    class Bare:
        def __init__(self, p):
            self.log_prob = p.log_prob

    class Own(PRIORS["standard_normal"]):
        def forward(self, encode):
            return Bare(super().forward(encode))

    report = VAETransformer(prior=Own, **SMALL).fit(table).latent_report(table, random_state=0)
    assert np.isfinite([report.kl, report.mutual_information, report.total_correlation]).all()
    assert np.isnan(report.dimension_wise_kl)


def test_marginal_densities_of_a_mixture_are_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    roots = np.tril(rng.normal(size=(3, 2, 2))) + 2 * np.eye(2)
    weights, means = np.array([0.2, 0.3, 0.5]), rng.normal(size=(3, 2))
    z = torch.tensor(rng.normal(size=(40, 2)))
    covariances = roots @ np.swapaxes(roots, 1, 2)
    inverse_roots = np.linalg.cholesky(np.linalg.inv(covariances))
    tensor = torch.tensor
    for components in (
        FullNormal(tensor(means), tensor(roots)),
        PrecisionNormal(tensor(means), tensor(inverse_roots)),
        DiagonalNormal(tensor(means), tensor(np.sqrt(covariances[:, [0, 1], [0, 1]]))),
    ):
        got = MixtureDistribution(components, tensor(np.log(weights))).marginal_log_prob(z)
        for j in range(2):
            oracle = GaussianMixture(3, covariance_type="diag")
            oracle.weights_, oracle.means_ = weights, means[:, [j]]
            oracle.covariances_ = covariances[:, j, [j]]
            oracle.precisions_cholesky_ = 1 / np.sqrt(oracle.covariances_)
            expected = oracle.score_samples(z[:, [j]].numpy())
            np.testing.assert_allclose(got[:, j], expected, rtol=1e-9)


def test_information_of_equal_rows_is_none(linear):
    rows = linear.table_.encode(linear._read(np.zeros((10, 6))))
    assert information(linear.model_, rows, 4, 0).mutual_information == pytest.approx(0, abs=1e-9)
