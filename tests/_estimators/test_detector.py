"""What is about anomalies: labels, the threshold, and scoring with labels."""

import pickle
import warnings
from copy import copy
from itertools import product

import numpy as np
import pandas as pd
import pytest
from common import PARTS
from sklearn.base import clone
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, KFold, StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skvae import CalibrationWarning, VAEAnomalyDetector, anomaly_average_precision

FOLDS = StratifiedKFold(2, shuffle=True, random_state=0)


@pytest.fixture(scope="module")
def detector():
    return VAEAnomalyDetector(
        hidden_layer_sizes=(16,),
        max_steps=200,
        learning_rate_init=0.02,
        members=["plain"],
        random_state=0,
    )


@pytest.fixture(scope="module")
def fitted(detector, table):
    return clone(detector).fit(table)


# Labels and the threshold.


@pytest.mark.parametrize("bound", ["elbo", "iwae"])
@pytest.mark.parametrize("contamination", ["auto", 0.1])
def test_a_row_is_normal_where_its_score_reaches_the_offset(
    detector, labelled, bound, contamination
):
    X, _ = labelled
    fitted = clone(detector).set_params(bound=bound, contamination=contamination).fit(X)
    decision = fitted.decision_function(X)
    np.testing.assert_array_equal(decision, fitted.score_samples(X) - fitted.offset_)
    np.testing.assert_array_equal(fitted.predict(X), np.where(decision >= 0, 1, -1))
    assert set(fitted.predict(X)) == {1, -1}


@pytest.mark.parametrize("contamination", [0.01, 0.1, 0.5])
def test_contamination_is_the_share_of_training_rows_flagged(detector, table, contamination):
    fitted = clone(detector).set_params(contamination=contamination).fit(table)
    assert fitted.offset_ == np.quantile(fitted.score_samples(table), contamination)
    flagged = np.mean(fitted.predict(table) == -1)
    assert flagged == pytest.approx(contamination, abs=1 / len(table))
    assert fitted.n_calibration_ == 0


@pytest.mark.parametrize(("false_alarm_rate", "k"), [(0.05, 2), (0.1, 4), (0.3, 12), (0.5, 20)])
def test_auto_threshold_is_the_kth_smallest_held_out_score(detector, table, false_alarm_rate, k):
    fitted = clone(detector).set_params(false_alarm_rate=false_alarm_rate).fit(table)
    assert fitted.n_calibration_ == 40
    assert k == np.floor(false_alarm_rate * (fitted.n_calibration_ + 1))
    held_out = np.random.RandomState(0).permutation(400)[:40]  # as the first draw of `fit` does
    assert fitted.offset_ == np.sort(fitted.score_samples(table[held_out]))[k - 1]


def test_false_alarms_on_fresh_rows_keep_to_their_rate(table):
    rate, flagged = 0.1, []
    for seed in range(5):
        X = np.random.default_rng(seed).multivariate_normal(
            table.mean(axis=0), np.cov(table.T), size=5000
        )
        detector = VAEAnomalyDetector(
            hidden_layer_sizes=(16,),
            max_steps=100,
            validation_fraction=0.5,
            false_alarm_rate=rate,
            random_state=seed,
        ).fit(X[:2000])
        assert detector.n_calibration_ == 1000
        flagged.append(np.mean(detector.predict(X[2000:]) == -1))
    assert np.mean(flagged) == pytest.approx(rate, abs=3 * np.sqrt(rate / 5000))


@pytest.mark.parametrize("params", [{"false_alarm_rate": 0.02}, {"validation_fraction": 0.0}])
def test_threshold_is_a_quantile_where_too_few_rows_are_held_out(detector, table, params):
    fitted = clone(detector).set_params(false_alarm_rate=0.1).set_params(**params).fit(table)
    assert fitted.n_calibration_ == 0
    quantile = np.quantile(fitted.score_samples(table), fitted.false_alarm_rate)
    assert fitted.offset_ == quantile


def test_fit_predict_is_fit_then_predict(detector, fitted, table):
    np.testing.assert_array_equal(clone(detector).fit_predict(table), fitted.predict(table))


def test_fit_predict_heeds_labels_as_fit_does(detector, labelled):
    X, y = labelled
    detector = clone(detector).set_params(use_labels=True)
    labels = clone(detector).fit(X, y).predict(X)
    np.testing.assert_array_equal(detector.fit_predict(X, y), labels)


def test_labels_do_not_change_the_fit(detector, labelled):
    X, y = labelled
    with_labels = clone(detector).fit(X, y).decision_function(X)
    np.testing.assert_array_equal(with_labels, clone(detector).fit(X).decision_function(X))


# p-values and selections.


def test_p_values_compare_with_the_rows_held_out(detector, fitted, table, labelled):
    held_out = np.random.RandomState(0).permutation(400)[:40]
    scores = np.sort(fitted.score_samples(table[held_out]))
    np.testing.assert_array_equal(fitted.calibration_scores_, scores)
    X, _ = labelled
    expected = [(1 + np.sum(scores <= score)) / 41 for score in fitted.score_samples(X)]
    np.testing.assert_array_equal(fitted.p_values(X), expected)


@pytest.mark.parametrize("rate", [0.03, 0.1, 0.5])
def test_rows_are_flagged_where_their_p_value_is_at_most_the_rate(detector, labelled, rate):
    X, _ = labelled
    fitted = clone(detector).set_params(false_alarm_rate=rate).fit(X)
    np.testing.assert_array_equal(fitted.predict(X) == -1, fitted.p_values(X) <= rate)


def test_contamination_moves_the_threshold_but_no_p_value(detector, fitted, table):
    other = clone(detector).set_params(contamination=0.1).fit(table)
    assert other.offset_ != fitted.offset_
    np.testing.assert_array_equal(other.p_values(table), fitted.p_values(table))


@pytest.mark.parametrize("weight", [0, 0.35])
@pytest.mark.parametrize("likelihood", ["gaussian", "student_t"])
def test_rows_held_out_change_nothing_but_the_calibration(detector, table, weight, likelihood):
    parts = {"robust_weight": weight, "likelihoods": likelihood, "members": ["cautious"]}
    held_out = np.random.RandomState(0).permutation(400)[:40]
    moved = table.copy()
    moved[held_out] = 100 * moved[held_out] + 7
    # One step, so that there are no weights for the held-out rows to choose among.
    models = [clone(detector).set_params(max_steps=1, **parts).fit(X) for X in (table, moved)]
    scores = [model.score_samples(table) for model in models]
    np.testing.assert_array_equal(*scores)
    assert (models[0].calibration_scores_ != models[1].calibration_scores_).all()


def test_planted_anomalies_are_detected(detector, labelled):
    X, y = labelled
    detector = clone(detector).fit(X[:200]).calibrate(X[200:400])
    selected = detector.detect(X[300:], fdr=0.2)
    assert selected.dtype == bool
    assert selected[y[300:] == -1].mean() > 0.8
    assert selected[y[300:] == 1].mean() < 0.1
    assert (detector.detect(X[300:]) <= selected).all()  # fewer at the default of 0.05


@pytest.mark.parametrize(("fdr", "error"), [(0, ValueError), (1.0, ValueError), ("5 %", TypeError)])
def test_a_rate_of_false_discoveries_is_checked(fitted, table, fdr, error):
    with pytest.raises(error, match=r"'fdr' parameter of VAEAnomalyDetector must be a float .*Got"):
        fitted.detect(table, fdr=fdr)


# Gross errors among the rows, and too few of them.


def with_gross_errors(seed):
    """1,500 mixed rows, of which rows 100 and 700 hold an amount and an age that are wrong."""
    rng, n = np.random.default_rng(seed), 1500
    X = pd.DataFrame(
        {
            "amount": rng.lognormal(3, 0.5, n),
            "age": rng.integers(18, 90, n),
            "city": rng.choice(list("abcde"), n),
            "member": rng.random(n) < 0.3,
            "balance": rng.normal(0, 100, n),
        }
    )
    X.loc[100, "amount"], X.loc[700, "age"] = 1e5, 900
    return X


def is_held_out(row, seed):
    return row in np.random.RandomState(seed).permutation(1500)[:150]


@pytest.mark.slow
def test_gross_errors_are_found_whichever_rows_are_held_out():
    quick = VAEAnomalyDetector(members=["plain"], max_steps=100)
    found, warned = [], []
    for seed in range(50):
        X = with_gross_errors(seed)
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always", CalibrationWarning)
            labels = quick.set_params(random_state=seed).fit_predict(X)
        found.append(labels[[100, 700]] == -1)
        warned.append(any("far below all others" in str(each.message) for each in told))
    held_out = [is_held_out(100, seed) or is_held_out(700, seed) for seed in range(50)]
    assert np.all(np.array(warned) >= held_out)
    assert np.all(found)


def test_a_held_out_row_that_is_far_below_all_others_does_not_calibrate(detector):
    seed = next(seed for seed in range(99) if is_held_out(100, seed))
    X = with_gross_errors(seed)
    message = r"1 of 150 calibration rows score far below all others, .* cv=5, .* contamination="
    with pytest.warns(CalibrationWarning, match=message):
        fitted = clone(detector).set_params(random_state=seed).fit(X)
    assert fitted.n_calibration_ == 149
    assert fitted.predict(X.iloc[[100]]) == -1


def test_a_threshold_that_promises_nothing_says_so(detector, table):
    message = r"40 calibration rows are too few for false_alarm_rate=0\.01, which needs 99: .* cv=5"
    with pytest.warns(CalibrationWarning, match=message):
        clone(detector).set_params(false_alarm_rate=0.01).fit(table)


def test_a_selection_that_could_not_be_says_so(fitted, table):
    message = r"No row is selected: with 40 .* at least 98 of these 200 .* 3999 .* needed\..* cv=5"
    with pytest.warns(CalibrationWarning, match=message):
        assert not fitted.detect(table[:200]).any()


# Other calibration rows.


@pytest.mark.parametrize("contamination", ["auto", 0.2])
def test_given_rows_calibrate_in_place_of_those_held_out(detector, table, contamination):
    fitted = clone(detector).set_params(contamination=contamination).fit(table[:200])
    assert fitted.calibrate(table[200:]) is fitted
    scores = np.sort(fitted.score_samples(table[200:]))
    np.testing.assert_array_equal(fitted.calibration_scores_, scores)
    assert fitted.n_calibration_ == 200
    assert fitted.offset_ == scores[1]  # floor(0.01 * 201) = 2
    np.testing.assert_array_equal(fitted.predict(table) == -1, fitted.p_values(table) <= 0.01)


@pytest.mark.parametrize(
    ("rows", "params", "message"),
    [
        (slice(98), {}, r"false_alarm_rate of 0\.01 needs at least 99 calibration rows\. Got 98\."),
        (slice(2), {"false_alarm_rate": 0.3}, r"needs at least 3 .* Got 2\. .* to 1 / 3\."),
        (slice(0), {}, "0 sample"),
        (slice(99), {"false_alarm_rate": 2}, "'false_alarm_rate' parameter of VAEAnomalyDetector"),
    ],
)
def test_rows_that_cannot_calibrate_change_nothing(fitted, table, rows, params, message):
    other = copy(fitted).set_params(**params)
    before = vars(other).copy()
    with pytest.raises(ValueError, match=message):
        other.calibrate(table[rows])
    assert vars(other) == before


def test_without_calibration_rows_there_are_no_p_values(detector, table):
    fitted = clone(detector).set_params(validation_fraction=0).fit(table)
    message = r"No row calibrates .* validation_fraction=0 and cv='auto', or by partial_fit\."
    with pytest.raises(ValueError, match=message):
        fitted.p_values(table)
    assert fitted.calibrate(table).p_values(table).shape == (400,)


# Folds.


@pytest.mark.parametrize(("n", "cv", "m"), [(2, "auto", 0), (3, "auto", 3), (19, "auto", 19)])
def test_tables_too_small_to_hold_rows_out_calibrate_by_folds(table, n, cv, m):
    fitted = VAEAnomalyDetector(max_steps=20, cv=cv, random_state=0).fit(table[:n])
    assert len(fitted.calibration_scores_) == m


def test_every_row_of_a_fold_is_scored_by_a_fit_to_the_others(detector, frame):
    X = frame.iloc[:60]
    fitted = clone(detector).set_params(max_steps=20, cv=3).fit(X)
    kept = next(each.name for each in fitted.members_ if each.model is not None)
    by_fold = clone(detector).set_params(max_steps=20, members=[kept])
    scores = [
        clone(by_fold).fit(X.iloc[rest]).score_samples(X.iloc[fold])
        for rest, fold in KFold(3, shuffle=True, random_state=0).split(X)
    ]
    np.testing.assert_array_equal(fitted.calibration_scores_, np.sort(np.concatenate(scores)))
    plain = clone(detector).set_params(max_steps=20).fit(X)
    np.testing.assert_array_equal(fitted.score_samples(X), plain.score_samples(X))


def test_a_fold_that_lacks_a_columns_texts_does_not_take_it_for_numbers(detector, table):
    X = pd.DataFrame(table[:15], columns=list("abcde")).assign(note=["seldom", *[None] * 14])
    fitted = clone(detector).set_params(max_steps=5).fit(X)
    assert fitted.table_.columns_[-1].likelihood == "categorical"
    assert len(fitted.calibration_scores_) == 15


def test_labels_that_are_ignored_may_be_anything_for_small_tables_too(detector, table):
    fitted = clone(detector).set_params(max_steps=5)
    scores = [fitted.fit(table[:15], y).score_samples(table) for y in (None, [0])]
    np.testing.assert_array_equal(*scores)


@pytest.mark.parametrize("method", ["decision_function", "predict", "p_values", "detect"])
def test_a_threshold_for_another_bound_is_refused(fitted, table, method):
    other = copy(fitted).set_params(bound="iwae")
    with pytest.raises(ValueError, match=r"are for bound='elbo'\. Got bound='iwae': .* calibrate"):
        getattr(other, method)(table)
    assert set(other.calibrate(table).predict(table)) == {1, -1}


# A few labels.


@pytest.fixture(scope="module")
def few_labels():
    """Rows of 3 correlated columns, 2 anomalies known among 300 rows, 50 like them apart."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(400, 1)) + 0.5 * rng.normal(size=(400, 3))
    odd = [1.2, 0.0, -1.2] + 0.2 * rng.normal(size=(52, 3))
    X, y = np.vstack([rows[:300], odd[:2]]), np.repeat([0, -1], [300, 2])
    return X, y, np.vstack([rows[300:], odd[2:]]), np.repeat([1, -1], [100, 50])


def test_known_anomalies_help_to_find_others_like_them(detector, few_labels):
    X, y, fresh, truth = few_labels
    plain = clone(detector).fit(X[y == 0])
    labelled = clone(detector).set_params(use_labels=True).fit(X, y)
    aurocs = [roc_auc_score(truth, model.score_samples(fresh)) for model in (plain, labelled)]
    assert 1 - aurocs[1] < 0.6 * (1 - aurocs[0])
    elbos = [model.score(fresh[truth == 1]) for model in (plain, labelled)]
    assert elbos[1] == pytest.approx(elbos[0], abs=0.5)


@pytest.mark.parametrize("cv", [None, 3])
def test_known_anomalies_do_not_calibrate(detector, few_labels, cv):
    X, y, _, _ = few_labels
    fitted = clone(detector).set_params(use_labels=True, max_steps=20, cv=cv).fit(X, y)
    assert len(fitted.calibration_scores_) == (30 if cv is None else 300)
    at_front = clone(fitted).fit(np.vstack([X[-2:], X[:-2]]), np.r_[-1, -1, y[:-2]])
    np.testing.assert_array_equal(at_front.calibration_scores_, fitted.calibration_scores_)


def test_rows_labelled_normal_and_unknown_are_treated_alike(detector, few_labels):
    X, y, fresh, _ = few_labels
    codings = [y, np.where(y == 0, 1, y), np.where(np.arange(302) < 100, 1.0, y)]
    scores = [
        clone(detector).set_params(use_labels=True, max_steps=20).fit(X, coding).p_values(fresh)
        for coding in codings
    ]
    np.testing.assert_array_equal(scores[1], scores[0])
    np.testing.assert_array_equal(scores[2], scores[0])


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (None, r"fit needs y\. Pass it, or use_labels=False"),
        ([0] * 20, r"must be 1 for normal rows, -1 for anomalies and 0 .* Got the values \[0\]"),
        ([0, 1] * 10, r"Got the values \[0, 1\]\. If 1 .* pass np\.where\(y == 1, -1, 0\)"),
        ([1] * 20, r"with at least one -1\. Got the values \[1\]"),
        ([2, -1] * 10, r"Got the values \[2, -1\]\.$"),
        ([1, -1, None, 0] * 5, r"Got the values \[1, -1, None, 0\]"),
        (["odd", "-1"] * 10, r"Got the values \['odd', '-1'\]"),
        ([0, -1], r"must label each row .* Got 2 labels, 1 of them -1, for 20 rows"),
        ([1] + [-1] * 19, r"at least 2 as no anomaly\. Got 20 labels, 19 of them -1"),
    ],
)
def test_labels_in_another_coding_are_refused(detector, table, y, message):
    labelled = clone(detector).set_params(use_labels=True)
    with pytest.raises(ValueError, match=message):
        labelled.fit(table[:20], y)
    assert not hasattr(labelled, "model_")


# Blocks.


@pytest.mark.parametrize(("params", "share"), [({}, 0.01), ({"contamination": 0.1}, 0.1)])
def test_the_last_block_sets_the_threshold(detector, table, params, share):
    model = clone(detector).set_params(**params).partial_fit(table[:100]).partial_fit(table[100:])
    assert model.offset_ == np.quantile(model.score_samples(table[100:]), share)
    assert model.n_calibration_ == 0


def test_blocks_calibrate_nothing_but_given_rows_do(detector, table):
    model = clone(detector).fit(table).partial_fit(table[:200])
    with pytest.raises(ValueError, match=r"or by partial_fit\. Call calibrate\(X_normal\)"):
        model.p_values(table)
    assert model.calibrate(table[200:]).p_values(table[:5]).min() >= 1 / 201


def test_blocks_need_no_known_anomaly_but_a_normal_row(detector, few_labels):
    X, y, _, _ = few_labels
    model = clone(detector).set_params(use_labels=True, prior="standard_normal")
    model.partial_fit(X[:100], y[:100]).partial_fit(X[100:200])
    before = dict(vars(model))
    for labels, message in ((-1, "at least 1 as no anomaly"), (2, r"unknown ones\. Got")):
        with pytest.raises(ValueError, match=message):
            model.partial_fit(X[:5], np.full(5, labels))
    assert vars(model) == before
    plain = copy(model).partial_fit(X[200:300])
    model.partial_fit(X[200:], y[200:])
    falls = [one.score(X[:100]) - one.score(X[300:]) for one in (plain, model)]
    assert falls[1] > falls[0]


# Model selection with labels.


def test_roc_auc_ranks_normal_rows_above_anomalies(detector, labelled):
    X, y = labelled
    for estimator in (detector, make_pipeline(StandardScaler(), detector)):
        assert cross_val_score(estimator, X, y, scoring="roc_auc", cv=FOLDS).mean() > 0.8


def test_pipeline_with_labels_predicts_and_scores(detector, labelled):
    X, y = labelled
    pipeline = make_pipeline(StandardScaler(), clone(detector)).fit(X, y)
    assert set(pipeline.predict(X)) <= {1, -1}
    assert pipeline.score(X, y) == pytest.approx(pipeline.score_samples(X).mean())
    assert 0 < anomaly_average_precision(pipeline, X, y) <= 1


class Ranked:
    """An estimator whose scores are the rows themselves."""

    def score_samples(self, X):
        return np.asarray(X, dtype=float)


@pytest.mark.parametrize(
    ("scores", "y", "expected"),
    [
        ([1, 2, 3, 4], [-1, -1, 1, 1], 1.0),
        ([1, 2, 3, 4], [1, 1, 1, -1], 1 / 4),
        ([1, 2, 3, 4], [-1, 1, -1, 1], (1 / 1 + 2 / 3) / 2),
        ([1, 2, 3, 4, 5], [1, -1, 1, -1, -1], (1 / 2 + 2 / 4 + 3 / 5) / 3),
        ([5, 5, 5, 5], [-1, 1, 1, 1], 1 / 4),  # ties
    ],
)
def test_average_precision_of_anomalies_equals_a_computation_by_hand(scores, y, expected):
    assert anomaly_average_precision(Ranked(), scores, y) == pytest.approx(expected)


def test_average_precision_of_anomalies_selects_models(detector, labelled):
    X, y = labelled
    scorer = pickle.loads(pickle.dumps(anomaly_average_precision))
    grid = {"likelihoods": ["categorical", "auto"]}  # levels of numbers are all as odd
    search = GridSearchCV(detector, grid, scoring=scorer, cv=FOLDS, error_score="raise").fit(X, y)
    assert search.best_params_ == {"likelihoods": "auto"}
    for fold, (train, test) in enumerate(FOLDS.split(X, y)):
        by_hand = anomaly_average_precision(clone(detector).fit(X[train]), X[test], y[test])
        assert search.cv_results_[f"split{fold}_test_score"][1] == by_hand


@pytest.mark.parametrize("y", [[0, 0, 1], [1, 1, 1], [-1, 1, 2]])
def test_average_precision_needs_labels_of_plus_and_minus_one(table, y):
    forest = IsolationForest(n_estimators=2).fit(table[:3])
    with pytest.raises(ValueError, match=r"must be \+1 for normal rows and -1 for anomalies"):
        anomaly_average_precision(forest, table[:3], y)


# Columns of 0 and 1.


@pytest.fixture(scope="module")
def flags():
    """300 rows of 3 dependent flags."""
    rng = np.random.default_rng(0)
    first = rng.random(300) < 0.4
    return np.column_stack([first, first ^ (rng.random(300) < 0.1), rng.random(300) < 0.02])


# Of "refined", which searches at each of the many draws, the density is that of "diagonal"; that of
# "quantised", where each draw is compared to many codes, is a sum in tests/nn/test_codes.py.
FLAG_PARTS = [parts for parts in PARTS if parts[0] in ("full", "flow", "binary")]


@pytest.mark.parametrize(("posterior", "prior"), [PARTS[0], *FLAG_PARTS])
def test_masses_of_all_rows_of_flags_sum_to_at_most_one(detector, flags, prior, posterior):
    parts = {"prior": prior, "posterior": posterior, "n_draws": 512}
    fitted = clone(detector).set_params(**parts).fit(flags)
    every_row = np.array(list(product([0, 1], repeat=3)))
    masses = np.exp(fitted.score_samples(every_row))
    assert 0.5 < masses.sum() <= 1 + 1e-4  # the error of 512 draws
    assert masses[0b000] > masses[0b010] > masses[0b011]  # as their shares of the table


def test_booleans_are_bernoulli_by_themselves_and_have_no_units(detector, flags):
    fitted = clone(detector).fit(flags)
    assert {column.likelihood for column in fitted.table_.columns_} == {"bernoulli"}
    assert (fitted.table_.log_jacobian(flags * 1.0) == 0).all()
    named = clone(detector).set_params(likelihoods="bernoulli").fit(flags.astype(float))
    np.testing.assert_array_equal(named.score_samples(flags * 1), fitted.score_samples(flags))


def test_number_in_a_column_of_flags_is_refused(detector, flags):
    X = flags.astype(float)
    fitted = clone(detector).set_params(likelihoods="bernoulli").fit(X)
    X[17, 1] = 2
    message = r"Column 1: the 'bernoulli' likelihood needs values 0 and 1\. Got 2 in row 17\. "
    ways_out = {
        fitted.fit: r"Use likelihoods=\{1: 'gaussian'\}\.",
        fitted.predict: r"Make the cell missing, or fit anew with rows of this kind\.",
    }
    for method, way_out in ways_out.items():
        with pytest.raises(ValueError, match=message + way_out):
            method(X)
