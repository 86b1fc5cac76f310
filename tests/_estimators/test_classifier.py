"""Classes by the density of rows and classes: laws, sets that hold their promise, and bad input."""

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
from common import SMALL
from scipy import stats
from scipy.special import logsumexp
from sklearn.base import clone
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.utils.estimator_checks import parametrize_with_checks

from skvae import VAEClassifier, VAETransformer

TINY = VAETransformer(**SMALL)
QUICK = VAETransformer(max_steps=300, members=["plain"], random_state=0)
LABELS = ["latent", "prior", "decoder"]
BOTH = pytest.mark.parametrize("labels", ["latent", "decoder"])


@parametrize_with_checks(
    [VAEClassifier(VAETransformer(**SMALL | {"max_steps": 30, "init": "linear"}, robust_weight=0))],
    expected_failed_checks=lambda estimator: {
        "check_classifiers_classes": "-1 is no class, as in sklearn.semi_supervised"
    },
)
def test_scikit_learn_check(estimator, check):
    if check.func.__name__ == "check_classifier_data_not_an_array":
        # Whole numbers are counts in a DataFrame, and numbers in an array.
        estimator.estimator.set_params(likelihoods="student_t")
    check(estimator)


def groups(n, seed=0):
    """Rows of three classes with a common covariance, n of each."""
    rng = np.random.default_rng(seed)
    centres = np.array([[0.0, 0, 0, 0], [2, 1, 0, 0], [0, 2, 2, 0]])
    mixing = np.random.default_rng(9).normal(size=(4, 4)) / 2 + np.eye(4)
    y = np.repeat([0, 1, 2], n)
    return centres[y] + rng.normal(size=(3 * n, 4)) @ mixing, y


@pytest.fixture(scope="module", params=LABELS)
def fitted(request):
    X, y = groups(300)
    return VAEClassifier(QUICK, labels=request.param).fit(X, y)


def test_a_linear_decoder_given_the_class_is_linear_discriminant_analysis():
    X, y = groups(1_000)
    linear = {"hidden_layer_sizes": (), "likelihoods": "gaussian", "prior": "standard_normal"}
    alone = {"members": [{}], "robust_weight": 0, "random_state": 0}
    model = VAEClassifier(VAETransformer(latent_dim=3, **linear, **alone), labels="decoder")
    fresh = groups(300, seed=1)[0]
    oracle = LinearDiscriminantAnalysis().fit(X, y).predict_proba(fresh)
    np.testing.assert_allclose(model.fit(X, y).predict_proba(fresh), oracle, atol=0.06)


def test_classes_are_told_apart_as_well_as_by_the_best_rule(fitted):
    X, y = groups(500, seed=1)
    best = LinearDiscriminantAnalysis().fit(*groups(2_000)).score(X, y)
    assert fitted.score(X, y) > best - 0.04
    proba = fitted.predict_proba(X)
    np.testing.assert_allclose(proba.sum(axis=1), 1)
    np.testing.assert_array_equal(fitted.predict(X), proba.argmax(axis=1))
    # Of rows with a probability of p, about p are of the class.
    sure = proba.max(axis=1)
    assert np.mean(fitted.predict(X) == y) == pytest.approx(sure.mean(), abs=0.06)


def test_scores_are_of_rows_whatever_their_class(fitted):
    X, _ = groups(20, seed=1)
    scores, joint = fitted.score_samples(X), fitted._joint(X)
    if fitted.labels == "decoder":
        np.testing.assert_allclose(scores, logsumexp(joint, axis=1))
    else:  # E log p(y | z) is below log E p(y | z), and the classes are all there is
        assert (scores > logsumexp(joint, axis=1)).all()
    far = X + 50
    assert (fitted.score_samples(far) < scores.min()).all()


def test_labels_that_weigh_more_are_fitted_more_closely():
    X, y = groups(40)
    y[::3] = np.roll(y, 40)[::3]  # a third are wrong
    model = VAEClassifier(VAETransformer(**SMALL, robust_weight=0), labels="prior")
    of_labels = [
        model.set_params(label_weight=weight).fit(X, y).predict_log_proba(X)[range(120), y].mean()
        for weight in (0.1, 10)
    ]
    assert of_labels[0] < of_labels[1]


@BOTH
def test_balanced_classes_shift_the_log_odds_by_the_prior(labels):
    X, y = groups(200)
    kept = np.r_[:200, 200:260, 400:430]  # 200, 60 and 30 rows
    model = VAEClassifier(TINY, labels=labels).fit(X[kept], y[kept])
    log_prior = np.log(np.array([200, 60, 30]) / 290)
    np.testing.assert_allclose(model.class_log_prior_, log_prior)
    before = model.predict_log_proba(X)
    after = model.set_params(class_prior="balanced").predict_log_proba(X)
    odds = (after - after[:, :1]) - (before - before[:, :1])
    np.testing.assert_allclose(odds, np.tile(log_prior[0] - log_prior, (600, 1)), atol=1e-9)


def test_rows_without_a_label_help():
    rng = np.random.default_rng(0)
    y = rng.integers(2, size=1_000)
    along = rng.normal(size=1_000)
    X = np.column_stack([along + 0.3 * rng.normal(size=1_000), along + y])  # two thin bands
    X = np.column_stack([X, rng.normal(size=(1_000, 2))])
    few = np.full(1_000, -1)
    chosen = np.concatenate([np.flatnonzero(y == k)[:8] for k in (0, 1)])
    few[chosen] = y[chosen]
    accuracies = [
        VAEClassifier(QUICK).fit(X[rows], few[rows]).score(X, y)
        for rows in (chosen, np.arange(1_000))
    ]
    assert accuracies[1] > accuracies[0]
    assert accuracies[1] > 0.85


@pytest.mark.parametrize("unknown", [-1, None, np.nan])
def test_classes_may_be_of_any_kind(unknown):
    X, codes = groups(60)
    names = np.array(["a", "b", "c"])
    y = names[codes].astype(object)
    y[::2] = unknown
    model = VAEClassifier(TINY).fit(X, y)
    assert model.classes_.tolist() == ["a", "b", "c"]
    assert set(model.predict(X)) <= set(names)


def test_sets_hold_their_promise_for_each_class_and_are_empty_for_novelties(fitted):
    fitted = pickle.loads(pickle.dumps(fitted)).calibrate(*groups(400, seed=2))
    X, y = groups(1_000, seed=3)
    possible = fitted.predict_set(X, error=0.1)
    denied = [np.sum(~possible[y == k, k]) for k in range(3)]
    # 400 calibration rows scatter, too: each of the two rates is a beta variable.
    _, high = stats.betabinom(1_000, 40, 361).interval(0.9999)
    low, _ = stats.betabinom(1_000, 20, 381).interval(0.9999)
    assert all(low <= n <= high for n in denied)
    assert possible.sum(axis=1).mean() < 1.6
    assert not fitted.predict_set(X + 50).any()


def test_folds_calibrate_as_fresh_rows_do():
    X, y = groups(150)
    y = np.where(np.arange(len(y)) % 3 == 0, -1, y)
    model = VAEClassifier(QUICK.set_params(max_steps=100), cv=3).fit(X, y)
    assert {label: scores.shape[1] for label, scores in model.class_scores_.items()} == {
        k: int((y == k).sum()) for k in range(3)
    }
    fresh, classes = groups(1_000, seed=4)
    possible = model.predict_set(fresh, error=0.1)
    denied = np.mean(~possible[np.arange(len(classes)), classes])
    assert 0.03 < denied < 0.17


def test_sets_do_not_depend_on_the_frequencies_asked_for(fitted):
    X, y = groups(60, seed=6)
    fitted = pickle.loads(pickle.dumps(fitted)).calibrate(X, y)
    before = fitted.class_p_values(X)
    fitted.set_params(class_prior="balanced")
    np.testing.assert_array_equal(fitted.class_p_values(X), before)


def test_folds_go_by_position_and_not_by_label():
    X, y = groups(30)
    frames = [pd.DataFrame(X, columns=list("abcd"), index=i) for i in (range(90), [0] * 90)]
    first, second = (VAEClassifier(TINY, cv=3).fit(frame, y).class_scores_ for frame in frames)
    for label, scores in first.items():
        np.testing.assert_array_equal(scores, second[label])


@BOTH
@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
@pytest.mark.filterwarnings("ignore:X has feature names")
def test_arrays_and_frames_stand_in_for_each_other(labels):
    X, y = groups(40)
    frame = pd.DataFrame(X, columns=list("abcd"))
    for fitted_to, asked in ((X, frame), (frame, X)):
        model = VAEClassifier(TINY, labels=labels).fit(fitted_to, y)
        expected = model.predict_proba(fitted_to)
        np.testing.assert_array_equal(model.predict_proba(asked), expected)


@pytest.mark.filterwarnings("ignore:Nearly every row has")
@pytest.mark.parametrize(
    "X",
    [
        [[1.5 * i, "u" if i % 3 else "v"] for i in range(30)],
        np.arange(60).reshape(30, 2),
        np.random.default_rng(0).normal(size=(30, 2)).astype(np.float32),
    ],
    ids=["list", "integers", "float32"],
)
def test_columns_are_read_as_those_of_the_estimator(X):
    model = VAEClassifier(TINY).fit(X, np.arange(30) % 2)
    own = VAETransformer(**SMALL).fit(X).table_.columns_
    kinds = [column.likelihood for column in model.estimator_.table_.columns_[:-1]]
    assert kinds == [column.likelihood for column in own]


def test_classes_that_would_be_merged_are_refused():
    X, y = groups(20)
    merged = VAETransformer(**SMALL, max_categories=2)
    with pytest.raises(ValueError, match="max_categories=2 of the estimator leave 2 of 3 classes"):
        VAEClassifier(merged, labels="latent").fit(X, y)
    with pytest.raises(
        ValueError, match=r"with 3\. Where classes were merged, raise max_categories"
    ):
        VAEClassifier(merged, labels="prior").fit(X, y)


def test_holes_among_labels_are_unknown_whatever_their_kind():
    X, codes = groups(20)
    for dtype, hole in (("string", pd.NA), ("category", np.nan), ("Int64", pd.NA)):
        y = pd.Series(codes.astype(str) if dtype != "Int64" else codes, dtype=dtype)
        y[::4] = hole
        model = VAEClassifier(TINY).fit(X, y)
        assert len(model.classes_) == 3
        assert model.estimator_.table_.columns_[-1].n_missing == 15 - 6  # that are held out


def test_a_class_of_few_calibration_rows_is_always_possible(fitted):
    fitted = pickle.loads(pickle.dumps(fitted))
    X, y = groups(30, seed=5)
    possible = fitted.calibrate(X[:72], y[:72]).predict_set(X + 99, error=0.07)
    np.testing.assert_array_equal(possible.any(axis=0), [False, False, True])


@BOTH
@pytest.mark.parametrize("container", [np.asarray, pd.DataFrame, pl.DataFrame, np.ndarray.tolist])
def test_any_container_and_holes(labels, container):
    X, y = groups(60)
    X[::7, 1] = np.nan
    model = VAEClassifier(TINY, labels=labels).fit(container(X), y)
    assert model.n_features_in_ == 4
    assert np.isfinite(model.predict_proba(container(X))).all()


@BOTH
def test_parameters_that_name_columns_are_those_of_the_table(labels):
    X, y = groups(60)
    X[:, 3] = X[:, 3] > 0
    estimator = VAETransformer(**SMALL, likelihoods={3: "bernoulli"}, context=[0])
    model = VAEClassifier(estimator, labels=labels).fit(X, y)
    assert model.estimator_.table_.columns_[3].likelihood == "bernoulli"
    assert model.estimator_.table_.columns_[0].is_context
    frame = pd.DataFrame(X, columns=list("abcd")).assign(**{"class": 1.5})
    model = VAEClassifier(VAETransformer(**SMALL, context=["b"]), labels=labels).fit(frame, y)
    assert model.estimator_.feature_names_in_[-1] == "class_"


def test_it_works_under_a_search():
    X, y = groups(60)
    grid = {"estimator__latent_dim": [1, 3], "class_prior": ["empirical", "balanced"]}
    search = GridSearchCV(VAEClassifier(TINY), grid, cv=2, error_score="raise").fit(X, y)
    assert search.best_score_ > 0.5


X, y = groups(20)
WRONG = {
    "one class": (X, np.where(y > 0, -1, 0), {}, "y has 1 class alone; two are needed"),
    "one row": (X, np.where(np.arange(60) == 30, 1, 2 * (y == 2)), {}, "class 1 has a single row"),
    "rows": (X, y[10:50], {}, "inconsistent numbers of samples"),
    "folds": (X, np.where(y == 2, -1, y), {"cv": 30}, "cv=30 needs 30 labelled rows of each class"),
    "labels": (
        X,
        y,
        {"labels": "posterior"},
        "'labels' parameter of VAEClassifier must be a str among",
    ),
    "no mixture": (
        X,
        y,
        {"labels": "prior", "estimator": VAETransformer(prior="vamp")},
        "needs a normal for each of 3 classes, 'mixture' or 'full_mixture'. Got an est.*'vamp'",
    ),
    "codes": (
        X,
        y,
        {"estimator": VAETransformer(posterior="quantised")},
        "codes that are real. Those .*posterior='quantised' are codes: use labels='latent' or",
    ),
    "components": (
        X,
        y,
        {"labels": "prior", "estimator": VAETransformer(prior_params={"n_components": 7})},
        "a normal for each of 3 classes, .*prior_params={'n_components': 7}. Leave these out",
    ),
    "weight": (X, y, {"label_weight": 0.0}, "'label_weight' parameter of VAEClassifier must be a"),
    "weight of none": (
        X,
        y,
        {"labels": "decoder", "label_weight": 2.0},
        "label_weight=2.0 has no effect with labels='decoder'",
    ),
    "context": (
        X,
        y,
        {"estimator": VAETransformer(context=[7])},
        "'context' parameter of VAETransformer names the column 7, which X does not have",
    ),
    "infinite": (np.where(X[3, 0] == X, np.inf, X), y, {}, "infinity"),
}


@pytest.mark.parametrize(("X", "y", "params", "message"), WRONG.values(), ids=WRONG)
def test_bad_input_is_named(X, y, params, message):
    with pytest.raises(ValueError, match=message):
        VAEClassifier(**{"estimator": TINY} | params).fit(X, y)


def test_sets_without_calibration_and_unknown_classes_are_refused(fitted):
    with pytest.raises(ValueError, match=r"fit with cv=5, or call calibrate\(X, y\)"):
        fitted.predict_set(X)
    with pytest.raises(ValueError, match="y has the class 7, which was not fitted"):
        fitted.calibrate(X, np.full(60, 7))
    with pytest.raises(ValueError, match="'error' parameter of VAEClassifier must be"):
        fitted.predict_set(X, error=1.0)
    with pytest.raises(NotFittedError):
        VAEClassifier().predict(X)
    with pytest.raises(TypeError, match="'estimator' parameter of VAEClassifier must be"):
        VAEClassifier(LinearDiscriminantAnalysis()).fit(X, y)


def test_a_fit_that_fails_leaves_what_was_fitted(fitted):
    fitted = pickle.loads(pickle.dumps(fitted)).set_params(cv=99)
    before = fitted.predict_proba(X)
    with pytest.raises(ValueError, match="cv=99 needs 99 labelled rows"):
        fitted.fit(X[:, :2], y)
    np.testing.assert_array_equal(fitted.predict_proba(X), before)


@pytest.mark.parametrize("labels", LABELS)
def test_a_linear_model_is_kept_where_rows_follow_one(labels):
    rng = np.random.default_rng(0)
    y = rng.integers(2, size=300)
    X = (rng.normal(size=(300, 2)) + 3 * y[:, None]) @ rng.normal(size=(2, 8))
    X += 0.3 * rng.normal(size=X.shape)
    unnamed = VAETransformer(robust_weight=0, max_steps=200, random_state=0)
    members = VAEClassifier(unnamed, labels=labels).fit(X, y).estimator_.members_
    assert [each.name for each in members] == ["cautious", "plain", "dense", "member 4"]
    assert members[-1].settings == {"hidden_layer_sizes": ()}
    assert members[-1].nats == max(each.nats for each in members)
    named = VAEClassifier(clone(unnamed).set_params(members=["plain"]), labels=labels)
    assert [each.name for each in named.fit(X, y).estimator_.members_] == ["plain"]


@pytest.mark.parametrize("labels", ["prior", "latent"])
@pytest.mark.parametrize(("n_labelled", "n_fitted"), [(40, 40), (190, 175), (200, 180)])
def test_rows_without_a_label_are_held_out_first_but_half_of_them(n_labelled, n_fitted, labels):
    X = np.random.default_rng(0).normal(size=(200, 2))
    y = np.where(np.arange(200) < n_labelled, (X[:, 0] > 0).astype(int), -1)
    fitted = VAEClassifier(VAETransformer(**SMALL), labels=labels).fit(X, y)
    column = fitted.table_.columns_[-1]
    assert (column.n_observed, column.n_missing) == (n_fitted, 180 - n_fitted)


def test_labels_are_met_by_a_training_that_does_not_come_to_all_rows():
    rng = np.random.default_rng(0)
    y = rng.integers(4, size=20_000)
    X = 1.3 * rng.normal(size=(4, 8))[y] + rng.normal(size=(20_000, 8))
    known = np.where(np.arange(20_000) % 20 == 0, y, -1)
    estimator = VAETransformer(**SMALL | {"max_steps": 60})  # 15,360 of 18,000 rows
    assert VAEClassifier(estimator).fit(X, known).score(X, y) > 0.9
