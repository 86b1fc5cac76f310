"""Rows from rows: like given ones, between them, and in another context."""

import numpy as np
import pandas as pd
import pytest
from common import SMALL, factor_table

from skvae import VAEAnomalyDetector, VAETransformer

N = 3_000


@pytest.fixture(scope="module")
def linear():
    """Model that is nearly probabilistic PCA, whose posterior is exact."""
    kinds = {"likelihoods": "gaussian", "prior": "standard_normal", "latent_dim": 3}
    settings = {"members": [{}], "robust_weight": 0, "random_state": 0}
    model = VAETransformer(hidden_layer_sizes=(), **kinds, **settings)
    return model.fit(factor_table(np.full(6, 0.5), N))


@pytest.fixture(scope="module")
def by_ward():
    rng = np.random.default_rng(0)
    ward, size = rng.integers(3, size=N), rng.normal(size=N)
    X = {"ward": np.array(list("abc"))[ward], "beds": 10.0 * ward + size + 0.1 * rng.normal(size=N)}
    return pd.DataFrame(X | {"nurses": 3.0 * ward - size + 0.1 * rng.normal(size=N)})


@pytest.fixture(scope="module")
def given(by_ward):
    settings = {"max_steps": 400, "members": ["plain"], "random_state": 0}
    return VAEAnomalyDetector(context=["ward"], **settings).fit(by_ward)


def test_augmented_rows_are_distributed_as_those_they_are_like(linear):
    X = factor_table(np.full(6, 0.5), N)
    rows = linear.augment(X, random_state=0)
    np.testing.assert_allclose(rows.mean(axis=0), X.mean(axis=0), atol=0.1)
    spread = np.outer(X.std(axis=0), X.std(axis=0))
    difference = (np.cov(rows, rowvar=False) - np.cov(X, rowvar=False)) / spread
    assert np.abs(difference).max() < 0.08
    shared = [np.corrcoef(rows[:, j], X[:, j])[0, 1] for j in range(6)]
    assert 0.8 < np.mean(shared) < 0.99  # near the rows, and not the same


def test_a_temperature_is_a_factor_of_the_covariance_of_a_linear_model(linear):
    none, usual, hot = (
        np.cov(linear.sample(20_000, random_state=0, temperature=t), rowvar=False)
        for t in (0.0, 1.0, 3.0)
    )
    np.testing.assert_allclose(hot - none, 3 * (usual - none), atol=0.05)
    assert (np.diag(none) < 0.7 * np.diag(usual)).all()


def test_a_greater_strength_goes_farther(linear):
    X = factor_table(np.full(6, 0.5), 500)
    steps = [
        np.abs(linear.augment(X, strength=strength, random_state=0) - X).mean()
        for strength in (0.0, 1.0, 3.0)
    ]
    assert steps[0] < steps[1] < steps[2]


def test_rows_come_one_for_each_and_then_the_next(given, by_ward):
    X = by_ward[:5].set_axis(list("vwxyz"))
    rows = given.augment(X, n=3, random_state=0)
    assert list(rows.index) == list("vwxyz") * 3
    assert list(rows["ward"]) == list(X["ward"]) * 3
    assert rows.dtypes.equals(X.dtypes)
    holed = X.assign(beds=np.nan)
    assert given.augment(holed, random_state=0)["beds"].notna().all()
    again = given.augment(X, n=3, random_state=0)
    pd.testing.assert_frame_equal(rows, again)


def test_lines_are_straight_in_a_linear_model(linear):
    A, B = np.split(factor_table(np.full(6, 0.5), 20), 2)
    lines = linear.interpolate(A, B, n=5).reshape(5, 10, 6)
    ends = [linear.inverse_transform(linear.transform(rows)) for rows in (A, B)]
    np.testing.assert_allclose(lines[0], ends[0], rtol=1e-6)
    np.testing.assert_allclose(lines[-1], ends[1], rtol=1e-6)
    np.testing.assert_allclose(np.diff(lines, 2, axis=0), 0, atol=1e-6)


def test_translated_rows_move_by_what_the_context_adds(given, by_ward):
    rows = by_ward[by_ward["ward"] == "a"][:100]
    moved = given.translate(rows, context=[["c"]])
    assert set(moved["ward"]) == {"c"}
    assert list(moved.index) == list(rows.index)
    np.testing.assert_allclose(moved["beds"] - rows["beds"], 20, atol=1.5)
    np.testing.assert_allclose(moved["nurses"] - rows["nurses"], 6, atol=1.5)


WRONG = [
    (lambda model, X: model.augment(X, n=0), "'n' .* Got 0"),
    (lambda model, X: model.augment(X, strength=-1.0), "'strength' .* Got -1.0"),
    (lambda model, X: model.sample(3, temperature=-0.5), "'temperature' .* Got -0.5"),
    (lambda model, X: model.interpolate(X, X[:2]), "A has 5 rows and B has 2"),
    (lambda model, X: model.interpolate(X, X, n=1), "'n' .* Got 1"),
    (lambda model, X: model.translate(X, context=[[1.0]]), "No column was fitted as context"),
]


@pytest.mark.parametrize(("call", "message"), WRONG)
def test_arguments_that_cannot_be_are_named(linear, call, message):
    with pytest.raises(ValueError, match=message):
        call(linear, factor_table(np.full(6, 0.5), 5))


def test_arrays_give_arrays(table):
    model = VAETransformer(**SMALL).fit(table)
    assert isinstance(model.augment(table[:3], n=2), np.ndarray)
    assert model.interpolate(table[:3], table[3:6]).shape == (15, 5)
