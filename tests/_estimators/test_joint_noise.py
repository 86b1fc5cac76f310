"""Estimators of columns that depend on each other: explanations, holes, files, refusals."""

import pickle

import numpy as np
import pandas as pd
import pytest
from common import SMALL
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import check_fit2d_1feature

import skvae
from skvae import VAEAnomalyDetector

QUICK = SMALL | {"max_steps": 20, "hidden_layer_sizes": (8,)}
pytestmark = pytest.mark.filterwarnings("ignore:.*calibration rows")


@pytest.fixture(scope="module")
def tables():
    """Mixed tables with holes, by noise model of the columns a, b, c and d."""
    rng, n = np.random.default_rng(0), 200
    shared = rng.normal(size=(n, 1))
    numbers = shared + 0.3 * rng.normal(size=(n, 4)) + rng.normal(size=(n, 1)) * [1, -1, 0, 0]
    counts = rng.poisson(np.exp(1 + numbers / 2)).astype(float)
    found = {}
    for name, cells in {"low_rank": numbers, "multinomial": counts}.items():
        X = pd.DataFrame(cells, columns=list("abcd")).mask(rng.random(cells.shape) < 0.1)
        found[name] = X.assign(level=rng.choice(["x", "y"], n), e=rng.normal(size=n))
    return found


@pytest.fixture(scope="module")
def detectors(tables):
    found = {}
    for name, X in tables.items():
        likelihoods = dict.fromkeys("abcd", name)
        found[name] = VAEAnomalyDetector(likelihoods=likelihoods, **QUICK).fit(X)
    return found


@pytest.fixture(params=["low_rank", "multinomial"])
def case(request, detectors, tables):
    return detectors[request.param], tables[request.param]


def test_explanations_add_up(case):
    detector, X = case
    parts, rest = detector.explain(X, return_rest=True)
    total = parts.sum(axis=1) + rest.sum(axis=1)
    np.testing.assert_allclose(total, detector.negative_elbo(X), atol=1e-9)


def test_nothing_observed_leaves_nothing_but_the_kl_divergence(case):
    detector, X = case
    emptied = X.assign(**dict.fromkeys("abcd", np.nan))
    terms = detector._density().terms(detector.table_.encode(detector._read(emptied)))
    jacobian = detector.table_.log_jacobian(np.zeros((1, 6)))
    np.testing.assert_array_equal(terms[:, :4], np.tile(jacobian[0, :4], (len(X), 1)))


def test_files_pickles_and_clones_keep_scores(case, tmp_path):
    detector, X = case
    expected = detector.score_samples(X)
    skvae.save(detector, tmp_path / "model.skvae")
    for other in (skvae.load(tmp_path / "model.skvae"), pickle.loads(pickle.dumps(detector))):
        np.testing.assert_array_equal(other.score_samples(X), expected)
    np.testing.assert_array_equal(clone(detector).fit(X).score_samples(X), expected)


def test_draws_guesses_and_intervals_are_of_the_columns(case):
    detector, X = case
    filled, drawn = detector.impute(X), detector.impute(X, n_draws=1, random_state=0)[0]
    expected = detector.expected(X)
    for table in (filled, drawn, detector.sample(20, random_state=0)):
        assert list(table) == list(X)
        assert not table.isna().any().any()
    assert (expected["a"]["lower"] <= expected["a"]["upper"]).all()
    assert detector.repair(X[:5]).shape == (5, 6)


def test_searches_and_pipelines_take_them(tables):
    likelihoods = ["low_rank", "gaussian"]
    steps = FunctionTransformer(), VAEAnomalyDetector(**QUICK | {"max_steps": 3})
    grid = {"vaeanomalydetector__likelihoods": likelihoods}
    search = GridSearchCV(make_pipeline(*steps), grid, cv=2).fit(tables["low_rank"][list("abcd")])
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_training_goes_on_by_blocks(tables):
    X = tables["multinomial"]
    detector = VAEAnomalyDetector(likelihoods=dict.fromkeys("abcd", "multinomial"), **QUICK)
    scores = detector.partial_fit(X[:100]).partial_fit(X[100:]).score_samples(X)
    assert np.isfinite(scores).all()


@pytest.mark.parametrize(("name", "other"), [("low_rank", "gaussian"), ("multinomial", "poisson")])
def test_one_column_alone_is_refused_with_the_way_out(tables, name, other):
    X = tables["multinomial"]
    message = rf"Column 'b': the '{name}' likelihood is of at least 2 columns .*{{'b': '{other}'}}"
    with pytest.raises(ValueError, match=message):
        VAEAnomalyDetector(likelihoods={"b": name}, **QUICK).fit(X)
    conditional = VAEAnomalyDetector(likelihoods={"a": name, "b": name}, context=["a"], **QUICK)
    with pytest.raises(ValueError, match=message):
        conditional.fit(X)


@pytest.mark.parametrize("wrong", [-1.0, 0.5])
def test_what_is_no_count_is_named(tables, wrong):
    X = tables["multinomial"].copy()
    X.loc[7, "c"] = wrong
    message = rf"Column 'c': the 'multinomial' likelihood needs whole .* Got {wrong:g} in row 7"
    with pytest.raises(ValueError, match=message):
        VAEAnomalyDetector(likelihoods=dict.fromkeys("abcd", "multinomial"), **QUICK).fit(X)


def test_text_shares_no_noise(tables):
    X = tables["low_rank"]
    with pytest.raises(ValueError, match="Column 'level': the 'low_rank' likelihood needs numbers"):
        VAEAnomalyDetector(likelihoods=dict.fromkeys(["a", "level"], "low_rank"), **QUICK).fit(X)


def test_noise_that_all_columns_share_is_found():
    rng = np.random.default_rng(0)
    X = (
        rng.normal(size=(600, 1))
        + 0.3 * rng.normal(size=(600, 8))
        + rng.normal(size=(600, 1)) * (np.arange(8) % 2)
    )
    settings = QUICK | {"latent_dim": 1, "robust_weight": 0, "max_steps": 80, "init": "linear"}
    gaussian, low_rank = (
        VAEAnomalyDetector(likelihoods=name, **settings).fit(X[:400]).score(X[400:])
        for name in ("gaussian", "low_rank")
    )
    assert low_rank > gaussian + 1  # one code is short of two factors


@pytest.mark.parametrize("name", ["low_rank", "multinomial"])
def test_one_feature_is_refused_as_scikit_learn_asks(name):
    model = VAEAnomalyDetector(likelihoods=name, **QUICK | {"max_steps": 2})
    check_fit2d_1feature(type(model).__name__, model)
