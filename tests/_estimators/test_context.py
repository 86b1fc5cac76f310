"""Context columns: what the others are given, and is not scored itself."""

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from common import QUICK, SMALL, factor_table, run
from scipy.integrate import trapezoid
from scipy.stats import multivariate_normal
from sklearn.base import clone
from sklearn.decomposition import FactorAnalysis
from sklearn.linear_model import LinearRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV

import skvae
from skvae import VAEAnomalyDetector, VAETransformer
from skvae._engine.start import given, start
from skvae._table import Column
from skvae.nn import VAE, Context, Gaussian, JointLikelihood, LinearModel, StandardNormal
from skvae.nn.posteriors import FullGaussian

N = 400
CONTEXT = ["ward", "hour"]


def by_ward(n, seed=0):
    """Rows whose load follows the ward and the hour, and whose cost follows the load."""
    rng = np.random.default_rng(seed)
    ward, hour = rng.integers(4, size=n), rng.uniform(0, 24, size=n)
    load = 10.0 * ward + 3 * np.sin(hour / 24 * 2 * np.pi) + rng.normal(size=n)
    cost = 2 * load + rng.normal(size=n)
    wards = np.array(["a", "b", "c", "d"])[ward]
    return pd.DataFrame({"ward": wards, "load": load, "hour": hour, "cost": cost})


@pytest.fixture(scope="module")
def rows():
    return by_ward(N)


@pytest.fixture(scope="module")
def fitted(rows):
    return VAEAnomalyDetector(context=CONTEXT, **SMALL).fit(rows)


# Scores.


def linear_model(n_context):
    """Model of 6 columns given others, all of it linear, at random weights."""
    generator = torch.Generator().manual_seed(0)
    columns = [Column(j, "gaussian") for j in range(6 + n_context)]
    likelihood = JointLikelihood(
        [
            (Gaussian, columns[:6]),
            (lambda block: Context(Gaussian, block), columns[6:]),
        ],
        scale_floor=1e-3,
    )
    examples = torch.zeros(2, 6 + n_context), torch.ones(2, 6 + n_context)
    model = VAE(
        likelihood,
        latent_dim=3,
        hidden_layer_sizes=(),
        activation="silu",
        posterior=FullGaussian,
        prior=StandardNormal,
        examples=examples,
        generator=generator,
    ).double()
    draw = {"generator": generator, "dtype": torch.float64}
    loadings = torch.linalg.qr(torch.randn(6, 3, **draw))[0] * torch.tensor([1.0, 2.0, 3.0])
    scale = torch.full((6,), 0.5, dtype=torch.float64)  # equal ones: the loadings are canonical
    effects = torch.randn(6, n_context, **draw)
    linear = LinearModel(torch.randn(6, **draw), scale, loadings, effects)
    model.start(linear)
    return model, linear


def test_a_linear_model_gives_the_normal_density_given_the_context():
    model, (mean, scale, loadings, effects) = linear_model(2)
    x = torch.randn(50, 8, generator=torch.Generator().manual_seed(1)).double()
    seen, eps = torch.ones_like(x), torch.randn(5, 1, 3).double()
    weights = model(x, seen, seen, eps).log_weight().detach().numpy()
    covariance = loadings @ loadings.T + torch.diag(scale**2)
    centred = x[:, :6] - x[:, 6:] @ effects.T - mean
    expected = multivariate_normal(cov=covariance.numpy()).logpdf(centred.numpy())
    np.testing.assert_allclose(weights, np.tile(expected, (5, 1)), rtol=1e-9)


def test_training_starts_at_least_squares_and_factor_analysis_of_the_rest():
    rng = np.random.default_rng(0)
    context = rng.normal(size=(800, 2))
    rows = factor_table(np.full(6, 0.6), 800) + context @ rng.normal(size=(2, 6))
    rows /= rows.std(axis=0)
    regression = LinearRegression().fit(context, rows)
    rest, effects = given(rows, context)
    np.testing.assert_allclose(effects, regression.coef_, atol=1e-9)
    model, _ = linear_model(2)
    x = torch.tensor(np.hstack([rows, context]))
    start(model, x, torch.ones_like(x).bool(), 0.05, torch.Generator().manual_seed(0), 0)
    weights = model(x, x**0, x**0, torch.zeros(1, 3).double()).log_weight().detach()
    expected = FactorAnalysis(3, tol=1e-6, max_iter=9_999).fit(rest).score(rest)
    assert weights.mean().item() == pytest.approx(expected, abs=0.02)


def test_rows_of_one_level_more_often_move_no_effect():
    rng = np.random.default_rng(0)
    level = np.repeat(np.arange(3), 20)
    rows, one_hot = level[:, None] + rng.normal(size=(60, 2)), np.eye(3)[level]
    often = np.r_[np.arange(60), np.tile(np.arange(20), 9)]
    effects = [given(rows[at], one_hot[at])[1] for at in (np.arange(60), often)]
    once, ten_times = (each - each[:, :1] for each in effects)
    np.testing.assert_allclose(once, ten_times, atol=1e-9)


def test_the_density_of_a_column_given_the_context_integrates_to_one():
    X = by_ward(N)[["ward", "load"]]
    settings = {"robust_weight": 0, "bound": "iwae", "n_draws": 64, "members": ["plain"]}
    model = VAEAnomalyDetector(context=["ward"], max_steps=300, random_state=0, **settings).fit(X)
    grid = np.linspace(-40, 80, 4_001)
    for ward in "ad":
        scores = model.score_samples(pd.DataFrame({"ward": ward, "load": grid}))
        assert 0.9 < trapezoid(np.exp(scores), grid) < 1.03


def test_what_is_odd_in_its_context_alone_is_found():
    X, fresh = by_ward(2_000), by_ward(1_000, seed=1)
    wrong = np.arange(1_000) < 30
    moved = (fresh["load"][wrong] + 10) % 40
    fresh.loc[wrong, ["load", "cost"]] = np.c_[moved, 2 * moved]
    settings = {"max_steps": 400, "members": ["plain"], "random_state": 0}
    given_ward = VAEAnomalyDetector(context=CONTEXT, **settings).fit(X)
    pooled = VAEAnomalyDetector(**settings).fit(X[["load", "cost"]])
    auroc = roc_auc_score(wrong, given_ward.negative_elbo(fresh))
    assert auroc > 0.97
    assert auroc > roc_auc_score(wrong, pooled.negative_elbo(fresh[["load", "cost"]])) + 0.2


def test_an_unseen_level_is_a_hole(fitted, rows):
    unseen, holes = rows.assign(ward="new"), rows.assign(ward=None)
    np.testing.assert_array_equal(fitted.score_samples(unseen), fitted.score_samples(holes))
    assert (fitted.score_samples(holes) != fitted.score_samples(rows)).any()


def test_the_unit_of_the_context_changes_no_bit(fitted, rows):
    twice = rows.assign(hour=2 * rows["hour"])
    again = clone(fitted).fit(twice)
    np.testing.assert_array_equal(again.score_samples(twice), fitted.score_samples(rows))


def test_the_context_has_no_part_in_explanations(fitted, rows):
    parts, rest = fitted.explain(rows, return_rest=True)
    assert (parts[CONTEXT] == 0).all(axis=None)
    assert (parts[["load", "cost"]] != 0).all(axis=None)
    total = parts.sum(axis=1) + rest.sum(axis=1)
    np.testing.assert_allclose(total, fitted.negative_elbo(rows), rtol=1e-9)


def test_holes_of_the_context_are_not_modelled(rows):
    holed = rows.mask(np.random.default_rng(0).random(rows.shape) < 0.2)
    model = VAETransformer(context=CONTEXT, missing="model", **SMALL).fit(holed)
    assert [model.table_.columns_[j].name for j in model.table_.masked_] == ["load", "cost"]
    assert (model.explain(holed)[CONTEXT] == 0).all(axis=None)


@pytest.mark.filterwarnings("ignore:No cell is observed")
def test_a_row_of_context_alone_is_empty(fitted, rows):
    with pytest.warns(UserWarning, match="No cell is observed in 400 of 400 rows"):
        scores = fitted.score_samples(rows.assign(load=np.nan, cost=np.nan))
    assert (scores <= 0).all()  # the density of nothing is 1


# Rows from the model.


def test_rows_are_drawn_and_decoded_given_the_context(rows):
    model = VAETransformer(context=CONTEXT, max_steps=300, members=["plain"], random_state=0)
    codes = model.fit(rows).transform(rows)
    drawn = model.sample(300, random_state=0, context=pd.DataFrame({"hour": [6], "ward": ["d"]}))
    assert list(drawn.columns) == list(rows.columns)
    assert drawn.dtypes.equals(rows.dtypes)
    assert set(drawn["ward"]) == {"d"}
    assert set(drawn["hour"]) == {6.0}
    assert drawn["load"].median() == pytest.approx(33, abs=2)
    assert len(model.sample(context=rows)) == N
    back = model.inverse_transform(codes, context=rows)
    assert back[CONTEXT].equals(rows[CONTEXT])
    assert np.abs(back["load"] - rows["load"]).median() < 2
    elsewhere = model.inverse_transform(codes, context=rows.assign(ward="d"))
    assert (elsewhere["load"] > back["load"])[rows["ward"] != "d"].mean() > 0.9


def test_holes_of_the_context_stay(fitted, rows):
    holed = rows.copy()
    holed.loc[holed.index[:5], ["ward", "load"]] = None
    filled = fitted.impute(holed)
    assert filled["load"].notna().all()
    assert filled["ward"].isna().sum() == 5
    assert filled.dtypes.equals(rows.dtypes)


def test_nothing_is_expected_of_the_context(fitted, rows):
    expected = fitted.expected(rows[:3])
    assert list(expected.columns.unique("column")) == ["load", "cost"]


WRONG = {
    "none": ({}, r"Rows are given \['ward', 'hour'\]: pass context="),
    "a column less": ({"context": pd.DataFrame({"ward": ["a"]})}, "has no column 'hour'"),
    "an array": ({"context": [["a"]]}, r"1 columns where 2 were fitted: \['ward', 'hour'\]"),
    "rows": ({"n_samples": 3, "context": by_ward(2)}, "has 2 rows where 3 are to be made. Pass 1"),
    "text": (
        {"context": pd.DataFrame({"ward": ["a"], "hour": ["x"]})},
        "Column 'hour': .* Got 'x' in row 0",
    ),
}


@pytest.mark.parametrize(("arguments", "message"), WRONG.values(), ids=WRONG)
def test_a_context_that_is_not_what_was_fitted_is_refused(fitted, arguments, message):
    with pytest.raises(ValueError, match=message):
        fitted.sample(**arguments)


def test_without_context_there_is_none_to_give(rows):
    model = VAETransformer(**SMALL).fit(rows[["load", "cost"]])
    with pytest.raises(ValueError, match="No column was fitted as context"):
        model.sample(context=rows)
    with pytest.raises(ValueError, match="No column was fitted as context"):
        model.inverse_transform(model.transform(rows[["load", "cost"]]), context=rows)


# As any other estimator.


@pytest.mark.parametrize(
    ("context", "message"),
    [
        (["wards"], r"'context' parameter .* 'wards', which X does not have"),
        (["ward", "load", "hour", "cost"], "none is left to be scored"),
        ("ward", r"'context' parameter .* Got 'ward'"),
        ([["ward"]], r"'context' parameter .*"),
    ],
)
def test_a_wrong_context_is_named(rows, context, message):
    with pytest.raises((ValueError, TypeError), match=message):
        VAEAnomalyDetector(context=context, **SMALL).fit(rows)


def test_the_context_of_an_array_is_named_by_position(rows):
    X = rows.drop(columns="ward").to_numpy()
    model = VAEAnomalyDetector(context=[1], **SMALL).fit(X)
    assert (model.explain(X)[:, 1] == 0).all()
    drawn = model.sample(5, context=[[12.0]], random_state=0)
    assert (drawn[:, 1] == 12).all()


@pytest.mark.parametrize("container", [pl.DataFrame, pl.from_pandas])
def test_polars_is_read_as_pandas(fitted, rows, container):
    X = pl.from_pandas(rows) if container is pl.from_pandas else pl.DataFrame(rows.to_dict("list"))
    np.testing.assert_array_equal(fitted.score_samples(X), fitted.score_samples(rows))
    assert len(fitted.sample(context=X)) == N


def test_saved_and_pickled_models_keep_the_context(fitted, rows, tmp_path):
    skvae.save(fitted, tmp_path / "model.skvae")
    for again in (skvae.load(tmp_path / "model.skvae"), pickle.loads(pickle.dumps(fitted))):
        np.testing.assert_array_equal(again.score_samples(rows), fitted.score_samples(rows))
        pd.testing.assert_frame_equal(
            *(m.sample(context=rows[:3], random_state=0) for m in (again, fitted))
        )


@pytest.mark.parametrize("as_hours", [float, int])
def test_a_graph_of_onnx_scores_alike(fitted, rows, tmp_path, as_hours):
    onnxruntime = pytest.importorskip("onnxruntime")
    rows = rows.assign(hour=rows["hour"].astype(as_hours))
    fitted = clone(fitted).fit(rows)
    path = str(tmp_path / "model.onnx")
    skvae.export_onnx(fitted, path)
    feed = {
        name: rows[[name]].astype(object if name == "ward" else float).to_numpy() for name in rows
    }
    (scores,) = onnxruntime.InferenceSession(path).run(["score_samples"], feed)
    np.testing.assert_allclose(scores, fitted.score_samples(rows), rtol=1e-4, atol=1e-4)


def test_a_search_chooses_among_contexts(rows):
    grid = {"context": [["hour"], CONTEXT]}
    search = GridSearchCV(VAETransformer(**SMALL), grid, cv=2).fit(rows)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_training_goes_on_with_the_same_context(rows):
    model = VAEAnomalyDetector(context=CONTEXT, **SMALL)
    model.partial_fit(rows).partial_fit(by_ward(N, seed=2))
    with pytest.raises(ValueError, match="'context' parameter"):
        model.set_params(context=["ward"]).partial_fit(rows)


def test_the_command_line_knows_the_context(rows, tmp_path, capsys):
    table, model = tmp_path / "table.csv", tmp_path / "model.skvae"
    rows.to_csv(table, index=False)
    assert run("fit", table, "-o", model, "--context", "ward,hour", *QUICK) == 0
    assert skvae.load(model).context == CONTEXT
    assert run("explain", model, table, "--top", "3") == 0
    assert "nats_load" in capsys.readouterr().out
    assert run("report", model, table, "-o", tmp_path / "report.html") == 0
    assert run("fit", table, "-o", model, "--context", "wards", *QUICK) == 1
    assert "'wards', which X does not have" in capsys.readouterr().err
