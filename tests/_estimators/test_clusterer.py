"""Kinds of rows: found, the same in any unit, order and container, and never one for all."""

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
from common import SMALL
from sklearn.base import clone, is_clusterer
from sklearn.exceptions import NotFittedError
from sklearn.metrics import adjusted_rand_score
from sklearn.model_selection import GridSearchCV
from sklearn.utils.estimator_checks import parametrize_with_checks

import skvae
from skvae import VAEClusterer, VAETransformer
from skvae.nn import PRIORS

QUICK = SMALL | {"init": "linear", "max_steps": 50, "robust_weight": 0}
LONG = {"members": ["plain"], "max_steps": 200, "robust_weight": 0, "random_state": 0}


@parametrize_with_checks(
    [VAEClusterer(n_clusters=3, max_steps=10, members=["plain"], robust_weight=0)]
)
def test_scikit_learn_check(estimator, check):
    check(with_one_noise_model(estimator, check))


def with_one_noise_model(estimator, check):
    """Fix the noise model where rows of an array and of a DataFrame are to be labelled alike."""
    is_of_both = check.func.__name__ == "check_classifier_data_not_an_array"
    return estimator.set_params(likelihoods="student_t") if is_of_both else estimator


@pytest.fixture(scope="module")
def mixed():
    """200 rows of three kinds, told apart by numbers and levels together, with holes."""
    rng = np.random.default_rng(0)
    kinds = rng.integers(3, size=200)
    X = pd.DataFrame({"size": np.array([0.0, 0.0, 4.0])[kinds] + 0.5 * rng.normal(size=200)})
    X["weight"] = 3 * X["size"] + rng.normal(size=200)
    for name in ("shape", "colour", "taste"):
        X[name] = np.where(rng.random(200) < 0.1, "other", np.array(["a", "b", "a"])[kinds])
    X["flag"] = rng.random(200) < np.array([0.1, 0.9, 0.1])[kinds]
    X = X.astype({"flag": object}).mask(rng.random(X.shape) < 0.05)
    return X, kinds


@pytest.fixture(scope="module")
def fitted(mixed):
    return VAEClusterer(n_clusters=3, **LONG).fit(mixed[0])


def test_kinds_that_numbers_and_levels_tell_apart_are_found(fitted, mixed):
    assert is_clusterer(fitted)
    assert adjusted_rand_score(mixed[1], fitted.labels_) > 0.75


def test_clusters_that_are_no_normals_are_found_and_saved_too(mixed, tmp_path):
    X, kinds = mixed
    model = VAEClusterer(n_clusters=3, prior="gmvae", **LONG | {"max_steps": 100}).fit(X)
    assert adjusted_rand_score(kinds, model.labels_) > 0.6
    proba = model.predict_proba(X)
    np.testing.assert_allclose(proba.sum(axis=1), 1, atol=1e-12)
    skvae.save(model, tmp_path / "model.skvae")
    np.testing.assert_array_equal(skvae.load(tmp_path / "model.skvae").predict_proba(X), proba)


@pytest.mark.slow
def test_their_number_may_be_left_open(fitted, mixed):
    X, kinds = mixed
    auto = clone(fitted).set_params(n_clusters="auto").fit(X)
    assert auto.n_clusters_ == auto.predict_proba(X).shape[1] <= 6
    assert adjusted_rand_score(kinds, auto.labels_) > 0.6


def test_labels_are_the_most_probable_clusters_bit_by_bit_in_any_order(fitted, mixed):
    X, _ = mixed
    proba = fitted.predict_proba(X)
    assert proba.shape == (200, fitted.n_clusters_) == (200, 3)
    np.testing.assert_allclose(proba.sum(axis=1), 1, atol=1e-12)
    np.testing.assert_array_equal(fitted.labels_, proba.argmax(axis=1))
    np.testing.assert_array_equal(fitted.labels_, fitted.predict(X))
    order = np.random.default_rng(1).permutation(200)[:77]
    np.testing.assert_array_equal(fitted.predict_proba(X.iloc[order]), proba[order])
    np.testing.assert_array_equal(fitted.predict_proba(pl.from_pandas(X)), proba)


def test_clusters_are_those_of_columns_in_any_unit(fitted, mixed):
    X, _ = mixed
    doubled = clone(fitted).fit(X.assign(size=2 * X["size"]))
    np.testing.assert_array_equal(doubled.labels_, fitted.labels_)


@pytest.mark.slow
def test_clusters_hardly_depend_on_the_order_of_the_rows_fitted(fitted, mixed):
    order = np.random.default_rng(1).permutation(200)
    in_other_order = clone(fitted).fit(mixed[0].iloc[order]).labels_
    assert adjusted_rand_score(fitted.labels_[order], in_other_order) > 0.8


def test_nothing_is_sure_of_a_row_without_a_cell(fitted, mixed):
    with pytest.warns(UserWarning, match="No cell is observed"):
        proba = fitted.predict_proba(mixed[0].iloc[:1].map(lambda cell: None))
    assert proba.max() < 0.95
    assert proba.sum() == pytest.approx(1)


@pytest.mark.parametrize("prior", ["mixture", "full_mixture", "gmvae"])
def test_one_cluster_holds_all_rows_and_no_warning_says_so(table, prior):
    model = VAEClusterer(n_clusters=1, prior=prior, **QUICK).fit(table)
    assert not model.labels_.any()
    np.testing.assert_array_equal(model.predict_proba(table), np.ones((400, 1)))
    plain = VAETransformer(prior="standard_normal", **QUICK).fit(table)
    assert model.score(table) == pytest.approx(plain.score(table), abs=0.5)


RNG = np.random.default_rng(0)
WITHOUT_KINDS = {
    "levels": pd.DataFrame({name: RNG.choice(list("abc"), 150) for name in "uvwx"}),
    "rare levels": pd.DataFrame({name: RNG.choice(list("aaaaaaaaab"), 150) for name in "uv"}),
    "noise": RNG.normal(size=(150, 3)),
    "one row that differs": np.repeat([[0.0, 0.0], [1.0, 1.0]], [60, 1], axis=0),
}


@pytest.mark.parametrize("prior", ["mixture", "full_mixture"])
@pytest.mark.parametrize("name", WITHOUT_KINDS)
@pytest.mark.filterwarnings("ignore:Training left all rows in one of 3")
def test_there_is_never_one_cluster_for_all_rows_that_differ(name, prior):
    X = WITHOUT_KINDS[name]
    model = VAEClusterer(n_clusters=3, prior=prior, **QUICK | {"max_steps": 20}).fit(X)
    assert len(np.unique(model.labels_)) >= 2
    np.testing.assert_array_equal(model.predict(X), model.labels_)


@pytest.mark.filterwarnings("ignore:Training left all rows in one of 2")
def test_a_single_row_that_differs_is_told_apart_by_one_of_two():
    X = pd.DataFrame({"a": np.r_[np.zeros(59), 100.0]})
    params = QUICK | {"init": "linear", "hidden_layer_sizes": (6,), "max_steps": 5}
    model = VAEClusterer(n_clusters=2, **params).fit(X)
    assert sorted(np.bincount(model.labels_)) == [1, 59]


def test_what_parts_rows_without_kinds_is_said_and_costs_hardly_a_nat():
    X = WITHOUT_KINDS["levels"]
    with pytest.warns(UserWarning, match="Training left all rows in one of 2 clusters"):
        parted = VAEClusterer(n_clusters=2, **QUICK).fit(X)
    one = VAEClusterer(n_clusters=1, **QUICK).fit(X)
    assert parted.score(X) > one.score(X) - 0.1


def test_rows_that_all_come_into_one_cluster_are_named_by_a_warning(table):
    params = QUICK | {"init": "random", "max_steps": 1, "robust_weight": 0.3}
    with pytest.warns(UserWarning, match="All rows are in one of 2 clusters") as caught:
        VAEClusterer(n_clusters=2, beta=100.0, **params).fit(np.zeros((50, 2)))
    assert sum("All rows are in one" in str(each.message) for each in caught) == 1


def test_more_clusters_than_rows_to_fit_are_refused(table):
    message = "n_clusters=30 needs as many rows to fit. Got 27, those held out not counted."
    with pytest.raises(ValueError, match=message):
        VAEClusterer(n_clusters=30, **QUICK).fit(table[:30])


@pytest.mark.parametrize("prior", ["vamp", "standard_normal"])
def test_a_prior_without_components_of_a_meaning_is_refused(table, prior):
    choices = "a str among {'full_mixture', 'gmvae', 'mixture'} or a subclass of skvae.nn.Prior"
    for params in ({"prior": prior}, {"members": [{"prior": prior}]}):
        with pytest.raises(ValueError, match=choices):
            VAEClusterer(**QUICK | params).fit(table)
    with pytest.raises(ValueError, match="has no components that could be clusters"):
        VAEClusterer(prior=type("Own", (PRIORS["vamp"],), {}), **QUICK).fit(table)


@pytest.mark.parametrize(
    ("n_clusters", "error"), [(0, ValueError), ("all", ValueError), (2.5, TypeError)]
)
def test_a_wrong_number_of_clusters_is_refused(n_clusters, error):
    with pytest.raises(error, match="'n_clusters' parameter of VAEClusterer must be"):
        VAEClusterer(n_clusters=n_clusters).fit(object())


def test_an_unfitted_clusterer_says_so(table):
    with pytest.raises(NotFittedError, match="VAEClusterer instance is not fitted yet"):
        VAEClusterer().predict(table)


def test_files_and_pickles_give_the_same_clusters(fitted, mixed, tmp_path):
    skvae.save(fitted, tmp_path / "model.skvae")
    for other in (skvae.load(tmp_path / "model.skvae"), pickle.loads(pickle.dumps(fitted))):
        np.testing.assert_array_equal(other.labels_, fitted.labels_)
        np.testing.assert_array_equal(other.predict_proba(mixed[0]), fitted.predict_proba(mixed[0]))
    assert b"torch" not in pickle.dumps(fitted)


def test_training_that_goes_on_keeps_the_clusters(fitted, mixed):
    X, _ = mixed
    later = pickle.loads(pickle.dumps(fitted)).partial_fit(X)
    assert adjusted_rand_score(later.predict(X), fitted.labels_) > 0.8
    warm = pickle.loads(pickle.dumps(fitted)).set_params(warm_start=True, max_steps=5).fit(X)
    assert (warm.labels_ == fitted.labels_).mean() > 0.8
    with pytest.raises(ValueError, match="'n_clusters' parameter of VAEClusterer was 3"):
        later.set_params(n_clusters=4).partial_fit(X)


def test_blocks_alone_find_clusters_too(fitted, mixed):
    X, kinds = mixed
    model = clone(fitted)
    for _ in range(3):
        model.partial_fit(X)
    assert len(model.labels_) == 200
    assert adjusted_rand_score(kinds, model.labels_) > 0.2


@pytest.mark.slow
def test_grid_search_without_labels_finds_the_number_of_clusters(mixed):
    X = mixed[0][["size", "weight"]].dropna().astype(float)
    search = GridSearchCV(VAEClusterer(**LONG), {"n_clusters": [1, 2]}, cv=2, refit=False).fit(X)
    assert search.best_params_ == {"n_clusters": 2}


@pytest.mark.parametrize("settings", [{"beta": 0.5}, {"beta": 0.0, "divergence": "kernel_stein"}])
def test_losers_of_the_race_may_be_refitted(settings):
    X = np.random.default_rng(0).normal(size=(80, 3))
    clusterer = VAEClusterer(n_clusters=3, max_steps=20, random_state=0, **settings).fit(X)
    assert np.isfinite(clusterer.score_samples(X)).all()


def test_a_block_may_have_fewer_rows_than_there_are_clusters():
    X = np.random.default_rng(0).normal(size=(60, 3))
    clusterer = VAEClusterer(n_clusters=3, max_steps=10, random_state=0).partial_fit(X)
    assert clusterer.partial_fit(X[:1]).n_clusters_ == 3
