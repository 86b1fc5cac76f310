"""Oversampling: imbalanced-learn's conventions, and rows that are plausible in their class."""

import subprocess
import sys

import numpy as np
import pandas as pd
import polars as pl
import pytest
from common import SMALL
from imblearn.pipeline import make_pipeline
from imblearn.utils.estimator_checks import estimator_checks_generator
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV

from skvae import VAEAnomalyDetector, VAETransformer, imbalance
from skvae._estimators import p_values
from skvae.imbalance import VAEOversampler

TINY = VAETransformer(**SMALL | {"max_steps": 10})


CHECKS = {
    check.func.__name__: check
    for _, check in estimator_checks_generator(VAEOversampler(estimator=TINY, random_state=0))
}


@pytest.mark.filterwarnings("ignore:No cell is observed")
@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
def test_the_checks_of_imbalanced_learn(check):
    check(VAEOversampler(estimator=TINY, random_state=0))


@pytest.fixture(scope="module")
def mixed():
    """Numbers, a level that only a class has, and holes; 40 rare rows of 640."""
    rng = np.random.default_rng(0)
    y = np.repeat(["common", "other", "rare"], [400, 200, 40])
    place = pd.Series({"common": 0.0, "other": 3.0, "rare": 6.0})[y].to_numpy()
    X = pd.DataFrame({"size": 10 * place + rng.normal(size=640), "count": rng.poisson(4, size=640)})
    X["kind"] = pd.Categorical(np.where(y == "rare", "c", rng.choice(list("ab"), size=640)))
    X["flag"] = rng.random(640) < 0.5
    X.loc[::9, "size"] = np.nan
    return X, y


@pytest.fixture(scope="module")
def sampler(mixed):
    detector = VAEAnomalyDetector(cv=None, max_steps=300, members=["plain"])
    sampler = VAEOversampler(estimator=detector, random_state=0)
    return sampler, *sampler.fit_resample(*mixed)


def test_classes_become_as_frequent_and_rows_stay(mixed, sampler):
    (X, y), (_, X_more, y_more) = mixed, sampler
    assert pd.Series(y_more).value_counts().to_dict() == dict.fromkeys(set(y), 400)
    pd.testing.assert_frame_equal(X_more[:640], X)
    np.testing.assert_array_equal(y_more[:640], y)
    pd.testing.assert_series_equal(X_more.dtypes, X.dtypes)
    assert not X_more[640:].isna().any(axis=None)


def test_rows_drawn_are_like_their_class(sampler):
    _, X_more, y_more = sampler
    drawn, of = X_more[640:], y_more[640:]
    rare = drawn[of == "rare"]
    assert (rare["kind"] == "c").mean() > 0.5  # a noise of .4 among three levels
    assert rare["size"].median() == pytest.approx(60, abs=3)
    assert drawn.loc[of == "other", "size"].median() == pytest.approx(30, abs=3)
    assert rare["size"].std() > 0.3


def test_rows_drawn_are_as_plausible_as_rows_of_the_class(mixed):
    fitted = VAEOversampler(estimator=TINY, random_state=0)
    X_more, y_more = fitted.fit_resample(mixed[0].fillna({"size": 0.0}), mixed[1])
    scores = fitted.estimator_.score_samples(X_more.assign(**{"class": pd.Categorical(y_more)}))
    for name in ("other", "rare"):
        are_new = np.arange(len(y_more)) >= 640
        own, new = (scores[(y_more == name) & which] for which in (~are_new, are_new))
        assert (p_values(new, np.sort(own)) >= fitted.min_p_value).all()


def test_the_same_seed_gives_the_same_rows(mixed):
    first, again, other = (
        VAEOversampler(estimator=TINY, min_p_value=0, random_state=seed).fit_resample(*mixed)[0]
        for seed in (0, 0, 1)
    )
    pd.testing.assert_frame_equal(first, again)
    assert not first["size"].equals(other["size"])


def test_counts_are_those_asked_for(mixed):
    X, y = mixed
    strategy = {"rare": 70, "other": 210}
    sampler = VAEOversampler(sampling_strategy=strategy, estimator=TINY, random_state=0)
    _, classes = sampler.fit_resample(X, y)
    assert pd.Series(classes).value_counts().to_dict() == strategy | {"common": 400}
    assert sampler.sampling_strategy_ == {"rare": 30, "other": 10}


def test_further_context_is_that_of_the_class(mixed):
    X, y = mixed
    model = clone(TINY).set_params(context=["kind"])
    X_more, y_more = VAEOversampler(estimator=model, random_state=0).fit_resample(X, y)
    assert set(X_more["kind"][y_more == "rare"]) == {"c"}


def test_a_column_may_have_the_name_of_the_class(mixed):
    X, y = mixed
    X = X.rename(columns={"size": "class"})
    sampler = VAEOversampler(estimator=TINY, random_state=0)
    assert list(sampler.fit_resample(X, y)[0]) == list(X)
    assert sampler.estimator_.feature_names_in_[-1] == "class_"


def test_too_few_plausible_draws_are_an_error(mixed, monkeypatch):
    monkeypatch.setattr(imbalance, "_MOST_ROUNDS", 1)
    message = "Of 200 rows to draw of the class other, .* score lower than all but min_p_value=0.9"
    with pytest.raises(ValueError, match=message):
        VAEOversampler(estimator=TINY, min_p_value=0.9).fit_resample(*mixed)


def test_holes_of_the_class_do_not_make_draws_implausible():
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], [300, 60])
    X = rng.normal(size=(360, 10)) + y[:, None]
    X[:, 1:][rng.random((360, 9)) < 0.5] = np.nan
    X_more, _ = VAEOversampler(estimator=TINY, random_state=0).fit_resample(X, y)
    drawn = X_more[360:]
    assert len(drawn) == 240
    assert drawn.std() > 0.9


def test_another_kind_of_estimator_is_refused(mixed):
    with pytest.raises(TypeError, match="'estimator' parameter of VAEOversampler must be"):
        VAEOversampler(estimator="vae").fit_resample(*mixed)


def test_a_polars_table_gives_a_pandas_one(mixed):
    X, y = pl.from_pandas(mixed[0]), pl.Series(mixed[1])
    X_more, y_more = VAEOversampler(estimator=TINY, random_state=0).fit_resample(X, y)
    assert isinstance(X_more, pd.DataFrame)
    assert len(X_more) == len(y_more) == 1_200
    assert list(X_more) == X.columns


def test_it_works_in_a_pipeline_under_a_search():
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], [200, 40])
    X = rng.normal(size=(240, 3)) + 2 * y[:, None]
    pipeline = make_pipeline(VAEOversampler(estimator=TINY, random_state=0), LogisticRegression())
    grid = {"vaeoversampler__min_p_value": [0.0, 0.2]}
    search = GridSearchCV(pipeline, grid, scoring="roc_auc", cv=2, error_score="raise").fit(X, y)
    assert search.best_score_ > 0.9


WRONG = {
    "min_p_value": ({"min_p_value": 1.0}, "'min_p_value' parameter of VAEOversampler must be"),
    "merged": (
        {"estimator": VAETransformer(**SMALL, max_categories=2)},
        "max_categories=2 of the estimator leave 2 of 3 classes apart",
    ),
    "estimator": ({"estimator": VAETransformer(beta=-1)}, "'beta' parameter"),
}


@pytest.mark.parametrize(("params", "message"), WRONG.values(), ids=WRONG)
def test_bad_parameters_are_named(mixed, params, message):
    with pytest.raises(ValueError, match=message):
        VAEOversampler(**{"estimator": TINY} | params).fit_resample(*mixed)


def test_the_package_does_without_imbalanced_learn():
    script = "import sys; sys.modules['imblearn'] = None; import skvae; skvae.imbalance"
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert "skvae.imbalance needs imbalanced-learn: pip install 'skvae[imbalanced]'" in run.stderr
