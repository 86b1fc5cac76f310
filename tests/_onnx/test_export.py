"""Graphs give what the estimators give, whatever the parts, the cells and the number of rows."""

import sys

import numpy as np
import onnxruntime
import pandas as pd
import pytest
import skl2onnx
import torch
from scipy import special
from sklearn.ensemble import IsolationForest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skvae
from skvae import VAEAnomalyDetector, VAEClusterer, VAETransformer
from skvae._onnx.export import _model
from skvae._onnx.graph import _count_not_above, _matrix
from skvae._onnx.inputs import Input
from skvae._onnx.operators import _lgamma
from skvae.nn import LIKELIHOODS, POSTERIORS, PRIORS, Gaussian

QUICK = {
    "members": ["plain"],
    "max_steps": 5,
    "hidden_layer_sizes": [4],
    "n_draws": 3,
    "random_state": 0,
}
pytestmark = pytest.mark.filterwarnings("ignore:No hole of")
TOGETHER = [name for name, family in LIKELIHOODS.items() if family.alone]  # of two columns
SMALL_PRIOR = {
    "vamp": {"n_components": 3},
    "mixture": {"n_components": 3},
    "gmvae": {"n_components": 3},
}
CASES = [
    {"posterior": "diagonal", "prior": "vamp"},
    {"posterior": "full", "prior": "vamp", "robust_weight": 0, "activation": "relu"},
    {"posterior": "diagonal", "prior": "mixture", "robust_weight": 0, "bound": "iwae"},
    {"posterior": "full", "prior": "standard_normal", "robust_weight": 1, "missing": "model"},
    {"posterior": "diagonal", "prior": "full_mixture"},
    {"posterior": "flow", "prior": "spike_slab", "robust_weight": 0},
    {"posterior": "full", "prior": "vae", "robust_weight": 0},
    {"posterior": "diagonal", "prior": "gmvae", "robust_weight": 0},
]


@pytest.fixture(scope="module")
def everything():
    """A column for each likelihood, under its name, with holes; and levels that are numbers."""
    rng, n = np.random.default_rng(0), 60
    X = pd.DataFrame(
        {
            "gaussian": 1e3 * rng.normal(size=n),
            "heteroscedastic": rng.normal(size=n),
            "student_t": rng.standard_t(3, size=n),
            "heteroscedastic_student_t": rng.standard_t(3, size=n),
            "log_normal": np.exp(rng.normal(size=n)),
            "spike_slab": np.where(rng.random(n) < 0.5, 3.0, rng.normal(size=n)),
            "poisson": rng.poisson(4, n).astype(float),
            "negative_binomial": rng.poisson(40, n).astype(float),
            "zero_inflated": rng.poisson(4, n) * (rng.random(n) < 0.6).astype(float),
            "bernoulli": (rng.random(n) < 0.3).astype(float),
            "categorical": rng.choice(["a", "b", "c"], n),
            "ordinal": rng.choice([1.0, 2.0, 2.5, 7.0], n),
            "low_rank": rng.normal(size=n),
            "multinomial": rng.poisson(4, n).astype(float),
        }
    )
    for name in TOGETHER:
        X[f"{name} too"] = X[name].to_numpy()[::-1]
    X = X.mask(rng.random(X.shape) < 0.1)
    X["size"] = pd.Categorical(rng.choice(["S", "M"], n), ["S", "M"], ordered=True)
    return X


def graph_values(path, X):
    """What each output of a file gives for the rows of X."""
    session = onnxruntime.InferenceSession(path)
    feed = {
        part.name: X[[part.name]].to_numpy(dtype=object if "string" in part.type else float)
        for part in session.get_inputs()
    }
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, feed), strict=True))


def assert_same(values, estimator, X):
    for name, found in values.items():
        expected = getattr(estimator, name)(X)
        assert found.dtype == expected.dtype
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("params", CASES, ids=lambda params: f"{[*params.values()]}")
def test_every_part_exports_for_any_number_of_rows(everything, tmp_path, params):
    assert set(LIKELIHOODS) <= set(everything)
    likelihoods = {name: name for name in LIKELIHOODS} | {f"{name} too": name for name in TOGETHER}
    if params is not CASES[0]:  # noise models do not know of the other parts
        likelihoods = {name: name for name in ("gaussian", "categorical", "ordinal")}
    everything = everything[[*likelihoods, "size"]]
    params = QUICK | params | {"prior_params": SMALL_PRIOR.get(params["prior"])}
    detector = VAEAnomalyDetector(likelihoods=likelihoods, latent_dim=2, **params).fit(everything)
    path = tmp_path / "detector.onnx"
    skvae.export_onnx(detector, path)
    unseen = everything.assign(size=everything["size"].astype(object))
    unseen.loc[0, ["categorical", "size"]] = ["new", None]
    unseen.loc[1:3, "ordinal"] = [2.25, 9.0, 0.0]
    unseen.loc[4, "gaussian"] = 1e200
    for X in (unseen, unseen[:1], pd.concat([unseen] * 5)):
        values = graph_values(path, X)
        assert list(values) == ["score_samples", "decision_function", "predict", "p_values"]
        assert_same(values, detector, X)


def test_cases_hold_every_posterior_and_prior():
    searching = {name for name, part in POSTERIORS.items() if part.searches}
    assert {case["posterior"] for case in CASES} == set(POSTERIORS) - searching
    assert {case["prior"] for case in CASES} == {
        name for name, part in PRIORS.items() if part.space == "real"
    }


def test_scores_that_are_tied_stay_tied(tmp_path):
    X = pd.DataFrame({"level": np.repeat(["a", "b", "c"], [60, 30, 10])})
    params = QUICK | {"false_alarm_rate": 0.2, "robust_weight": 0}
    detector = VAEAnomalyDetector(**params, validation_fraction=0.5).fit(X)
    skvae.export_onnx(detector, tmp_path / "levels.onnx")
    assert np.isclose(detector.offset_, detector.score_samples(X), rtol=0, atol=1e-3).any()
    assert_same(graph_values(tmp_path / "levels.onnx", X), detector, X)


def test_columns_may_have_names_of_what_is_inside_a_graph(tmp_path):
    X = pd.DataFrame({"cells": ["x", "y", None] * 20, "Add_0": np.arange(60.0)})
    detector = VAEAnomalyDetector(**QUICK).fit(X)
    skvae.export_onnx(detector, tmp_path / "inside.onnx")
    assert_same(graph_values(tmp_path / "inside.onnx", X), detector, X)


def test_columns_may_not_have_names_of_outputs(tmp_path):
    X = pd.DataFrame({"a": ["x", "y", None] * 20, "predict": np.arange(60.0)})
    detector = VAEAnomalyDetector(**QUICK).fit(X)
    with pytest.raises(ValueError, match="Column 'predict' has the name of an output"):
        skvae.export_onnx(detector, tmp_path / "outputs.onnx")


@pytest.mark.parametrize("missing", ["", None, np.nan, pd.NA])
def test_missing_text_is_missing(tmp_path, missing):
    X = pd.DataFrame({"a": ["x", "y", None] * 20, "b": np.arange(60.0)})
    encoding = _model(
        detector := VAEAnomalyDetector(**QUICK, robust_weight=0).fit(X),
        [Input("a", "string", 1), Input("b", "double", 1)],
        {"score_samples": "score"},
    )
    session = onnxruntime.InferenceSession(encoding.SerializeToString())
    feed = {"a": np.array([[missing]], dtype=object), "b": np.zeros((1, 1))}
    expected = detector.score_samples(pd.DataFrame({"a": [None], "b": [0.0]}))
    np.testing.assert_allclose(session.run(None, feed)[0], expected)


def test_a_transformer_gives_codes_and_scores(holed, tmp_path):
    transformer = VAETransformer(**QUICK, latent_dim=2).fit(holed)
    skvae.export_onnx(transformer, tmp_path / "codes.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "codes.onnx")
    codes, scores = session.run(["transform", "score_samples"], {"X": holed})
    np.testing.assert_allclose(codes, transformer.transform(holed), atol=1e-9)
    np.testing.assert_allclose(scores, transformer.score_samples(holed), rtol=1e-4)


@pytest.mark.parametrize("prior", ["full_mixture", "mixture"])
def test_a_clusterer_gives_clusters_and_their_probabilities(holed, tmp_path, prior):
    clusterer = VAEClusterer(**QUICK, n_clusters=3, prior=prior, latent_dim=2).fit(holed)
    skvae.export_onnx(clusterer, tmp_path / "clusters.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "clusters.onnx")
    names = [output.name for output in session.get_outputs()]
    assert names == ["score_samples", "predict", "predict_proba"]
    scores, labels, proba = session.run(names, {"X": holed})
    np.testing.assert_allclose(scores, clusterer.score_samples(holed), rtol=1e-4)
    np.testing.assert_allclose(proba, clusterer.predict_proba(holed), atol=1e-6)
    np.testing.assert_array_equal(labels, proba.argmax(axis=1))


@pytest.mark.parametrize("cls", [VAEAnomalyDetector, VAETransformer, VAEClusterer])
def test_pipelines_export(table, tmp_path, cls):
    priors = {VAEClusterer: "full_mixture"}
    estimator = cls(**QUICK, robust_weight=0, prior=priors.get(cls, "standard_normal"))
    pipeline = make_pipeline(StandardScaler(), estimator).fit(table)
    skvae.export_onnx(pipeline, tmp_path / "pipeline.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "pipeline.onnx")
    scores = session.run(["score_samples"], {"X": table})[0]
    np.testing.assert_allclose(scores, pipeline.score_samples(table), rtol=1e-4)


def test_pipelines_of_mixed_tables_export(tmp_path):
    X = pd.DataFrame({"a": ["x", "y", None] * 20, "b": np.arange(60.0), "n": [3, 0, 0] * 20})
    pipeline = make_pipeline(VAEAnomalyDetector(**QUICK)).fit(X)
    with pytest.raises(ValueError, match=r"Column 'a' holds text: .* with X, some rows"):
        skvae.export_onnx(pipeline, tmp_path / "pipeline.onnx")
    skvae.export_onnx(pipeline, tmp_path / "pipeline.onnx", X)
    session = onnxruntime.InferenceSession(tmp_path / "pipeline.onnx")
    rows = X.dropna()
    feed = {name: rows[[name]].to_numpy() for name in rows}
    scores = session.run(["score_samples"], feed)[0]
    np.testing.assert_allclose(scores, pipeline.score_samples(rows), rtol=1e-4)


def test_skl2onnx_converts_pipelines_of_float32(table):
    estimator = VAEAnomalyDetector(**QUICK, robust_weight=0, prior="standard_normal")
    pipeline = make_pipeline(StandardScaler(), estimator).fit(table)
    skvae.register_onnx()
    X = table.astype(np.float32)
    model = skl2onnx.to_onnx(pipeline, X[:1])
    session = onnxruntime.InferenceSession(model.SerializeToString())
    scores = session.run(["score_samples"], {session.get_inputs()[0].name: X})[0]
    np.testing.assert_allclose(scores, pipeline.score_samples(X), rtol=1e-4)


@pytest.mark.parametrize("name", ["refined", "free", "quantised"])
def test_a_posterior_that_searches_is_refused(table, tmp_path, name):
    detector = VAEAnomalyDetector(**QUICK, posterior=name).fit(table[:30])
    with pytest.raises(ValueError, match=f"posterior='{name}' searches for the posterior of each"):
        skvae.export_onnx(detector, tmp_path / "searching.onnx")
    assert not list(tmp_path.iterdir())


def test_experts_are_refused(table, tmp_path):
    clusterer = VAEClusterer(**QUICK, n_clusters=2, experts=True).fit(table[:30])
    with pytest.raises(ValueError, match=r"Experts, .* are not written as ONNX"):
        skvae.export_onnx(clusterer, tmp_path / "experts.onnx")
    assert not list(tmp_path.iterdir())


class Unknown(Gaussian):
    """A noise model with an operation that ONNX lacks."""

    def featurize(self, x):
        return torch.special.i0(super().featurize(x))


def test_a_part_that_cannot_be_translated_is_refused(table, tmp_path):
    detector = VAEAnomalyDetector(**QUICK, robust_weight=0, likelihoods=Unknown).fit(table)
    with pytest.raises(ValueError, match=r"VAEAnomalyDetector cannot be written as ONNX.*i0.*"):
        skvae.export_onnx(detector, tmp_path / "no.onnx")
    assert not list(tmp_path.iterdir())


def test_other_estimators_are_refused(table, tmp_path):
    with pytest.raises(TypeError, match=r"not IsolationForest\. Call skvae\.register_onnx"):
        skvae.export_onnx(IsolationForest().fit(table), tmp_path / "no.onnx")


def test_missing_packages_are_named(table, tmp_path, monkeypatch):
    detector = VAEAnomalyDetector(**QUICK).fit(table)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ImportError, match=r"pip install 'skvae\[onnx\]'"):
        skvae.export_onnx(detector, tmp_path / "no.onnx")


def test_operations_written_out_are_those_of_scipy():
    x = torch.logspace(-3, 12, 300, dtype=torch.float64)
    expected = special.gammaln(x.numpy())
    np.testing.assert_allclose(_lgamma(x).numpy(), expected, rtol=1e-13, atol=1e-13)
    table = _matrix([[1.0, 2.0, 2.0, 5.0, 9.0]], np.inf)
    cells = np.array([0.0, 1.0, 2.0, 4.0, 9.0, 10.0])
    found = _count_not_above(table, torch.tensor(cells)[:, None])[:, 0]
    np.testing.assert_array_equal(found, np.searchsorted([1, 2, 2, 5, 9], cells, side="right"))


@pytest.mark.parametrize("likelihood", ["gaussian", "categorical"])
def test_integers_that_a_graph_cannot_tell_apart_are_refused(tmp_path, likelihood):
    X = pd.DataFrame({"id": [2**60 + i % 3 for i in range(30)], "x": np.arange(30) % 7 / 3})
    detector = VAEAnomalyDetector(**QUICK, likelihoods={"id": likelihood}).fit(X)
    with pytest.raises(ValueError, match=r"Column 'id' holds integers beyond 2\*\*53"):
        skvae.export_onnx(detector, tmp_path / "model.onnx")
