"""Fitting: holes, extremes, small tables, members and bad input."""

import tracemalloc
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from common import CONTINUOUS, SMALL, WEIGHTS, all_scores, in_domain
from sklearn.datasets import load_breast_cancer
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression
from sklearn.metrics import roc_auc_score

from skvae import VAEAnomalyDetector, VAETransformer
from skvae._estimators.fit_rows import FitRows
from skvae._table import EncodedTable


def test_holes_hardly_change_the_ranking():
    X, y = load_breast_cancer(return_X_y=True)
    benign = np.random.default_rng(0).permutation(np.flatnonzero(y == 1))
    train, rest = np.array_split(benign, 2)
    model = VAETransformer(max_steps=300, random_state=0).fit(X[train])
    fresh = np.vstack([X[rest], X[y == 0]])
    odd = np.repeat([0, 1], [len(rest), (y == 0).sum()])
    whole = roc_auc_score(odd, model.negative_elbo(fresh))
    with_holes = [
        roc_auc_score(odd, model.negative_elbo(np.where(hidden < 0.2, np.nan, fresh)))
        for hidden in (np.random.default_rng(seed).random(fresh.shape) for seed in range(3))
    ]
    assert whole > 0.9
    assert np.mean(with_holes) == pytest.approx(whole, abs=0.02)


def test_a_full_posterior_of_many_codes_is_at_least_as_tight_as_a_diagonal_one():
    X = load_breast_cancer().data
    scores = [
        VAETransformer(posterior=posterior, members=["dense"], max_steps=100, random_state=0)
        .fit(X)
        .score(X)
        for posterior in ("diagonal", "full")
    ]
    assert scores[1] > scores[0]


@pytest.mark.filterwarnings("ignore:No cell of")
@pytest.mark.parametrize("likelihood", CONTINUOUS)
@pytest.mark.filterwarnings("ignore:No cell is observed in")
def test_scores_are_finite_whatever_is_missing_or_huge(table, likelihood):
    table = in_domain(table, likelihood)
    X = np.column_stack([table, np.full(len(table), np.nan)])
    model = VAETransformer(likelihoods=likelihood, **SMALL).fit(X)
    strange = np.vstack([X[:6], np.full((3, 6), np.nan)])
    lowest = 1e-250 if likelihood == "log_normal" else -1e300
    strange[np.arange(6), np.arange(6)] = [1e300, lowest, 1e-300, np.nan, 1e200, 1e300]
    scores = all_scores(model, strange)
    assert np.isfinite(scores).all()
    assert (scores[6:] == scores[6]).all()


@pytest.mark.filterwarnings("ignore:No cell is observed in")
def test_rows_without_any_cell_may_be_fitted(table):
    X = np.vstack([table, np.full((5, 5), np.nan)])
    assert np.isfinite(all_scores(VAETransformer(**SMALL).fit(X), X)).all()


@pytest.mark.parametrize(("n", "n_held_out"), [(2, 0), (19, 0), (20, 2), (100, 10)])
def test_small_tables_fit_and_hold_out_a_tenth_from_20_rows_on(table, n, n_held_out):
    detector = VAEAnomalyDetector(max_steps=20, false_alarm_rate=0.5, cv=None).fit(table[:n])
    assert detector.n_calibration_ == n_held_out
    assert np.isnan(detector.history_["validation"]).all() == (n_held_out == 0)
    assert np.isfinite(detector.score_samples(table[:1])).all()


def test_one_row_is_too_few_to_fit(table):
    with pytest.raises(ValueError, match=r"1 sample.*minimum of 2 is required"):
        VAETransformer().fit(table[:1])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda X: X.drop(columns="e"), "Feature names seen at fit time, yet now missing:\n- e"),
        (lambda X: X[list("bacde")], "Feature names must be in the same order"),
        (lambda X: X.rename(columns={"e": "f"}), "Feature names unseen at fit time:\n- f"),
        (
            lambda X: X.astype({"c": str}),
            "Column 'c': the 'heteroscedastic_student_t' likelihood needs numbers. Got '.*' in",
        ),
        (lambda X: X.replace({"d": {X["d"].iloc[2]: np.inf}}), "Column 'd' contains infinity"),
        (lambda X: X.iloc[:0], "0 sample"),
    ],
)
def test_dataframe_to_score_must_be_like_the_one_fitted(frame, spoil, message):
    X = frame.drop(columns="flag")
    model = VAETransformer(max_steps=2).fit(X)
    for method in (model.score_samples, model.negative_elbo, model.explain, model.score):
        with pytest.raises(ValueError, match=message):
            method(spoil(X))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda X: X[:, :4], "X has 4 features, but VAETransformer is expecting 5 features"),
        (lambda X: X[0], "Expected 2D array, got 1D array"),
        (
            lambda X: X.astype(str),
            "Column 0: the 'heteroscedastic_student_t' likelihood needs numbers. Got '.*' in",
        ),
        (lambda X: np.where(X[2, 3] == X, -np.inf, X), "Column 3 contains infinity: -inf in row 2"),
    ],
)
def test_array_to_score_must_be_like_the_one_fitted(model, table, spoil, message):
    for method in (model.score_samples, model.negative_elbo, model.explain, model.score):
        with pytest.raises(ValueError, match=message):
            method(spoil(table))


@pytest.mark.parametrize(
    "method",
    [
        "score_samples",
        "negative_elbo",
        "explain",
        "score",
        "decision_function",
        "predict",
        "p_values",
        "detect",
        "calibrate",
        "impute",
        "expected",
    ],
)
def test_unfitted_estimator_says_so(table, method):
    with pytest.raises(NotFittedError, match="VAEAnomalyDetector instance is not fitted yet"):
        getattr(VAEAnomalyDetector(), method)(table)
    with pytest.raises(NotFittedError, match="not fitted yet"):
        VAEAnomalyDetector().sample()


def test_likelihoods_must_name_columns_of_the_table(frame):
    message = (
        "'likelihoods' parameter of VAETransformer names the column 'g', which X does not have"
    )
    with pytest.raises(ValueError, match=message):
        VAETransformer(likelihoods={"g": "gaussian"}).fit(frame)


@pytest.fixture(scope="module")
def contaminated():
    """300 correlated rows and 15 planted far away from them, in a tight cluster."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(300, 2)) @ rng.normal(size=(2, 4)) + 0.1 * rng.normal(size=(300, 4))
    return np.vstack([rows, 0.1 * rng.normal(size=(15, 4)) + [3, -3, 3, -3]])


def test_robust_member_has_layers_and_noise_of_its_own(table):
    main, robust = (each.model for each in VAETransformer(**SMALL).fit(table).members_)
    assert [member.encoder.n_outputs - 5 for member in (main, robust)] == [16, 128]
    assert [member.likelihood.blocks[0].df for member in (main, robust)] == [4, 20]


@pytest.mark.slow
def test_robust_member_finds_what_a_long_fit_learns(contaminated):
    planted = np.arange(len(contaminated)) >= 300

    def is_odd(weight):
        model = VAEAnomalyDetector(random_state=0, robust_weight=weight).fit(contaminated)
        scores = model.negative_elbo(contaminated)
        return scores[planted].min() > np.quantile(scores[~planted], 0.99)

    assert [is_odd(weight) for weight in (0, 0.35, 1)] == [False, True, True]


@pytest.mark.parametrize("method", ["score_samples", "negative_elbo", "explain"])
@pytest.mark.parametrize("bound", ["elbo", "iwae"])
def test_scores_are_weighted_means_over_the_members(table, method, bound):
    fits = [VAETransformer(robust_weight=w, bound=bound, **SMALL).fit(table) for w in WEIGHTS]
    if method == "explain":  # relative to medians of their own: compare whole rows
        parts = [np.column_stack(fit.explain(table, return_rest=True)) for fit in fits]
        main, both, robust = (each.sum(axis=1) for each in parts)
    else:
        main, both, robust = (getattr(fit, method)(table) for fit in fits)
    np.testing.assert_allclose(both, 0.75 * main + 0.25 * robust)


@pytest.mark.parametrize("wild", [1e6, -1e20, 1e300])
def test_one_wild_cell_does_not_blind_its_column(wild):
    table = np.random.default_rng(0).normal(size=(1000, 3))
    table[0, 0] = wild
    detector = VAEAnomalyDetector(max_steps=50, random_state=0).fit(table)
    assert detector.predict([[0, 0, 0], [100, 0, 0]]).tolist() == [1, -1]


def test_whole_numbers_are_imputed_and_drawn_whole():
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"x": rng.normal(size=100), "n": rng.poisson(4, size=100)})
    holed = X.astype(float).mask(np.arange(100)[:, None] < [0, 20])
    model = VAETransformer(**SMALL).fit(X)
    for filled in (model.sample(20), model.impute(holed), *model.impute(holed, n_draws=2)):
        assert (filled["n"] % 1 == 0).all()
        assert (filled["x"] % 1 != 0).all()


def test_more_rows_than_the_memory_holds_are_not_drawn(table):
    model = VAETransformer(**SMALL).fit(table)
    with pytest.raises(MemoryError, match="array with shape"):
        model.sample(2**50)
    drawn = model.sample(70_000, random_state=0)  # some at a time
    assert len(np.unique(drawn, axis=0)) == 70_000


def test_hidden_cells_are_inferred_though_training_starts_at_the_best_density():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(3_000, 1)) * np.linspace(1, 2, 6) + 0.3 * rng.normal(size=(3_000, 6))
    settings = {"members": ["cautious"], "robust_weight": 0, "random_state": 0}
    model = VAETransformer(likelihoods="gaussian", **settings).fit(X[:2_600])
    for j in range(6):
        others = np.delete(np.arange(6), j)
        regression = LinearRegression().fit(X[:2_600, others], X[:2_600, j])
        holed = X[2_600:].copy()
        holed[:, j] = np.nan
        guesses = model.impute(holed)[:, j], regression.predict(holed[:, others])
        error, least = (np.mean((guess - X[2_600:, j]) ** 2) for guess in guesses)
        assert error < least + 0.05 * X[:, j].var()


# Columns of which nothing is known, and tables of Arrow.


@pytest.mark.parametrize("missing", ["ignore", "model"])
@pytest.mark.filterwarnings("ignore:No hole of")
def test_a_column_without_any_cell_is_named_and_adds_nothing_later(table, missing):
    X = np.column_stack([table, np.full(len(table), np.nan)])
    detector = VAEAnomalyDetector(**SMALL, missing=missing)
    with pytest.warns(UserWarning, match="No cell of 5 is observed .* Leave it out"):
        detector.fit(X)
    filled = np.column_stack([table, np.arange(len(table))])
    np.testing.assert_array_equal(detector.score_samples(filled), detector.score_samples(X))
    assert (detector.explain(filled)[:, 5] == 0).all()
    np.testing.assert_array_equal(detector.impute(filled), filled)


def test_a_table_without_any_cell_is_refused(table):
    with pytest.raises(ValueError, match="X has no observed cell"):
        VAEAnomalyDetector(**SMALL).fit(np.full_like(table, np.nan))


def test_tables_of_arrow_are_read_by_their_names(frame):
    X = frame.reset_index(drop=True).assign(n=pd.array([1, None, 3, 4] * 100, "Int64"))
    arrow = pa.Table.from_pandas(X)
    one, other = (VAEAnomalyDetector(**SMALL).fit(each) for each in (X, arrow))
    assert list(other.feature_names_in_) == list(X.columns)
    np.testing.assert_array_equal(one.score_samples(X), other.score_samples(arrow))
    np.testing.assert_array_equal(one.score_samples(arrow), other.score_samples(X))


@pytest.mark.parametrize("names", [[None, 1.5], ["a", np.nan]])
def test_a_column_without_a_name_is_refused_by_its_place(names):
    X = pd.DataFrame(np.random.default_rng(0).normal(size=(40, 2)), columns=names)
    with pytest.raises(ValueError, match=r"The column at [01] has no name\. .* X.rename"):
        VAEAnomalyDetector(**SMALL).fit(X)


def test_a_fit_holds_little_beside_a_large_table():
    X = np.random.default_rng(0).normal(size=(100_000, 20))
    detector = VAEAnomalyDetector(**SMALL | {"max_steps": 5, "n_iter_no_change": None})
    detector.fit(X[:1000])  # what is imported on the way
    tracemalloc.start()
    try:
        detector.fit(X)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 1.4 * X.nbytes


@pytest.mark.parametrize("n", [0, 3, 40_000])
def test_rows_that_are_asked_for_are_encoded_once(n):
    cells, met = np.random.default_rng(0).normal(size=(50_000, 2)), []

    def encode(rows):
        met.append(len(rows))
        return EncodedTable(2 * rows, rows > 0)

    raw, encoder = SimpleNamespace(take=cells.__getitem__), SimpleNamespace(encode=encode)
    places = np.arange(50_000)[::-1][:n]
    encoded = FitRows(raw, encoder, *[None] * 6).take(places)
    np.testing.assert_array_equal(encoded.values, 2 * cells[places])
    np.testing.assert_array_equal(encoded.observed, cells[places] > 0)
    assert sum(met) == n
