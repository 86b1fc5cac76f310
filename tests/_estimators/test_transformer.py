"""What is about codes, and selection of either estimator without labels."""

import inspect

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpydoc.docscrape import ClassDoc
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skvae import VAEAnomalyDetector, VAETransformer


@pytest.fixture(scope="module")
def transformer():
    return VAETransformer(
        latent_dim=2,
        hidden_layer_sizes=(32,),
        members=["plain"],
        max_steps=300,
        learning_rate_init=0.01,
        random_state=0,
    )


@pytest.fixture(scope="module")
def fitted(transformer, table):
    return clone(transformer).fit(table)


@pytest.mark.parametrize(
    ("n_columns", "latent_dim", "expected"), [(5, 3, 3), (5, "auto", 5), (10, "auto", 8), (1, 4, 4)]
)
def test_transform_gives_one_code_a_row(table, n_columns, latent_dim, expected):
    X = np.tile(table, 2)[:, :n_columns]
    members = ["plain"]  # others may have more codes
    transformer = VAETransformer(latent_dim=latent_dim, members=members, max_steps=2).fit(X)
    assert transformer.transform(X[:7]).shape == (7, expected)
    names = [f"vaetransformer{i}" for i in range(expected)]
    assert list(transformer.get_feature_names_out()) == names


@pytest.mark.parametrize(
    ("container", "kind"), [("pandas", pd.DataFrame), ("polars", pl.DataFrame)]
)
def test_codes_come_in_the_container_set(fitted, table, container, kind):
    codes = clone(fitted).set_output(transform=container).fit_transform(table)
    assert isinstance(codes, kind)
    assert list(codes.columns) == ["vaetransformer0", "vaetransformer1"]
    np.testing.assert_array_equal(codes.to_numpy(), fitted.transform(table))


def test_polars_table_is_fitted_as_the_pandas_one_is(fitted, frame):
    X = frame.drop(columns="flag")
    from_polars = clone(fitted).fit(pl.from_pandas(X))
    np.testing.assert_array_equal(
        from_polars.transform(pl.from_pandas(X)), fitted.transform(X.to_numpy())
    )
    assert list(from_polars.feature_names_in_) == list(X.columns)


def test_inverse_transform_gives_rows_back_in_their_own_units(fitted, table):
    rows = fitted.inverse_transform(fitted.transform(table))
    error = np.abs(rows - table).mean(axis=0)
    assert (error < 0.5 * table.std(axis=0)).all()
    for j in range(table.shape[1]):
        assert np.corrcoef(rows[:, j], table[:, j])[0, 1] > 0.9


def test_inverse_transform_gives_probabilities_of_flags_in_arrays(transformer, frame):
    X = frame.to_numpy(dtype=float)
    fitted = clone(transformer).set_params(likelihoods={5: "bernoulli"}).fit(X)
    rows = fitted.inverse_transform(fitted.transform(X))
    assert ((rows[:, -1] > 0) & (rows[:, -1] < 1)).all()
    assert np.corrcoef(rows[:, -1], frame["flag"])[0, 1] > 0.5


@pytest.mark.parametrize("container", [pd.DataFrame, pl.from_pandas])
def test_inverse_transform_gives_a_frame_as_sample_does(transformer, frame, container):
    levels = pd.Categorical(np.where(frame["a"] > 0, "high", "low"), categories=["low", "high"])
    X = frame.assign(level=levels, text=levels.astype(str), n=(frame["c"] > 0).astype(int))
    fitted = clone(transformer).fit(container(X))
    codes = fitted.transform(container(X))
    rows = fitted.inverse_transform(codes)
    assert (rows.dtypes == fitted.sample(5, random_state=0).dtypes).all()
    assert list(rows) == list(X)
    assert np.corrcoef(rows["b"], X["b"])[0, 1] > 0.9
    assert (rows["text"] == X["text"].to_numpy()).mean() > 0.6
    labelled = fitted.inverse_transform(pd.DataFrame(codes, index=X.index))
    assert (labelled.index == X.index).all()
    np.testing.assert_array_equal(labelled.to_numpy(), rows.to_numpy())


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        (np.zeros((4, 3)), r"latent codes with latent_dim=2 columns, however: X\.shape=\(4, 3\)"),
        (np.full((4, 2), np.nan), "Input X contains NaN"),
        (np.zeros(2), "Expected 2D array, got 1D array"),
    ],
)
def test_inverse_transform_refuses_what_is_no_code(fitted, codes, message):
    with pytest.raises(ValueError, match=message):
        fitted.inverse_transform(codes)


@pytest.mark.parametrize("method", ["transform", "inverse_transform"])
def test_unfitted_transformer_says_so(table, method):
    with pytest.raises(NotFittedError, match="VAETransformer instance is not fitted yet"):
        getattr(VAETransformer(), method)(table)


def test_pipeline_scores_rows(transformer, table):
    pipeline = make_pipeline(StandardScaler(), clone(transformer)).fit(table)
    scaled = pipeline[0].transform(table)
    np.testing.assert_array_equal(pipeline.score_samples(table), pipeline[-1].score_samples(scaled))
    assert pipeline.score(table) == pytest.approx(pipeline.score_samples(table).mean())


def test_same_model_stands_behind_both_estimators(transformer, fitted, table):
    detector = VAEAnomalyDetector(**transformer.get_params()).fit(table)
    np.testing.assert_array_equal(detector.score_samples(table), fitted.score_samples(table))


@pytest.mark.parametrize("estimator", [VAETransformer, VAEAnomalyDetector])
def test_grid_search_without_labels_finds_the_rank(estimator):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(600, 3)) @ rng.normal(size=(3, 6)) + 0.3 * rng.normal(size=(600, 6))
    model = estimator(
        members=["plain"],
        hidden_layer_sizes=(16,),
        max_steps=100,
        learning_rate_init=0.03,
        robust_weight=0,
        random_state=0,
    )
    latent_dims, folds = [1, 3, 5], KFold(3)
    search = GridSearchCV(model, {"latent_dim": latent_dims}, cv=folds, refit=False).fit(X)
    scores = np.array([search.cv_results_[f"split{i}_test_score"] for i in range(3)])
    by_hand = [
        clone(model).set_params(latent_dim=1).fit(X[train]).score(X[test])
        for train, test in folds.split(X)
    ]
    np.testing.assert_array_equal(scores[:, 0], by_hand)
    assert (scores[:, 1:] > scores[:, :1] + 0.1).all()


def test_shared_parameters_have_the_same_words_and_defaults_in_both_estimators():
    detector, transformer = (
        {entry.name: entry for entry in ClassDoc(estimator)["Parameters"]}
        for estimator in (VAEAnomalyDetector, VAETransformer)
    )
    assert set(detector) - set(transformer) == {
        "calibration_groups",
        "contamination",
        "cv",
        "false_alarm_rate",
        "use_labels",
    }
    assert {name: detector[name] for name in transformer} == transformer
    defaults = inspect.signature(VAEAnomalyDetector).parameters
    for name, parameter in inspect.signature(VAETransformer).parameters.items():
        assert parameter == defaults[name]
        assert f"default={parameter.default!r}".replace("'", '"') in transformer[name].type


def test_labels_are_ignored(table):
    labelled, plain = (
        VAETransformer(max_steps=5, random_state=0).fit(table, y).transform(table)
        for y in (np.repeat([-1, 1], 200), None)
    )
    np.testing.assert_array_equal(labelled, plain)
