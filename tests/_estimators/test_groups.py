"""Thresholds and p-values by group: each has rows of its own that calibrate."""

import pickle

import numpy as np
import pandas as pd
import pytest
from common import QUICK, SMALL, run
from scipy.stats import binom
from sklearn.base import clone

import skvae
from skvae import CalibrationWarning, VAEAnomalyDetector

RATE = 0.1


def in_groups(n, n_groups, seed=0):
    """Rows of groups that scatter the more, the higher their number."""
    rng = np.random.default_rng(seed)
    group = rng.integers(n_groups, size=n)
    x = rng.normal(size=(n, 2)) * (1 + group[:, None])
    return pd.DataFrame({"x": x[:, 0], "group": np.char.add("g", group.astype(str)), "z": x[:, 1]})


@pytest.fixture(scope="module")
def unfitted():
    quick = {"false_alarm_rate": RATE, "calibration_groups": ["group"], "context": ["group"]}
    return VAEAnomalyDetector(**quick, **SMALL)


@pytest.fixture(scope="module")
def detector(unfitted):
    return clone(unfitted).fit(in_groups(2_000, 3))


def test_each_group_has_the_threshold_of_its_own_rows(detector):
    fresh = in_groups(900, 3, seed=1)
    detector = clone(detector).fit(in_groups(2_000, 3)).calibrate(fresh)
    scores, decision = detector.score_samples(fresh), detector.decision_function(fresh)
    p = detector.p_values(fresh)
    assert sorted(detector.group_offsets_) == [("g0",), ("g1",), ("g2",)]
    for (group,), offset in detector.group_offsets_.items():
        rows = (fresh["group"] == group).to_numpy()
        own = np.sort(scores[rows])
        np.testing.assert_array_equal(detector.group_scores_[group,], own)
        assert offset == own[int(RATE * (len(own) + 1)) - 1]
        np.testing.assert_array_equal(decision[rows], scores[rows] - offset)
        ranks = np.searchsorted(own, scores[rows], side="right")
        np.testing.assert_allclose(p[rows], (1 + ranks) / (1 + len(own)), atol=2 / len(own))
    np.testing.assert_array_equal(detector.predict(fresh) == -1, p < RATE)


def test_one_group_has_the_bits_of_all_rows(unfitted):
    X = in_groups(500, 1)
    of_one = clone(unfitted).fit(X)
    of_all = clone(unfitted).set_params(calibration_groups=None).fit(X)
    for method in ("decision_function", "p_values", "predict"):
        np.testing.assert_array_equal(*(getattr(each, method)(X) for each in (of_one, of_all)))
    assert of_one.group_offsets_ == {("g0",): of_all.offset_}


def test_false_alarms_of_each_of_twelve_groups_keep_to_their_rate(unfitted):
    n_tables, n_fresh, counts = 20, 3_000, np.zeros((12, 2), dtype=int)
    fitted = clone(unfitted).fit(in_groups(1_000, 12))
    for seed in range(1, n_tables + 1):
        fitted.calibrate(in_groups(600, 12, seed))
        fresh = in_groups(n_fresh, 12, seed + 1_000)
        flagged = fitted.predict(fresh) == -1
        for group in range(12):
            rows = (fresh["group"] == f"g{group}").to_numpy()
            counts[group] += flagged[rows].sum(), rows.sum()
    # Thresholds of some 50 rows scatter: the variance of a rate is that of a beta distribution.
    rates, spread = counts[:, 0] / counts[:, 1], np.sqrt(RATE * (1 - RATE) / 50 / n_tables)
    sampling = np.sqrt(RATE * (1 - RATE) / counts[:, 1])
    assert (np.abs(rates - RATE * 0.94) < 3.5 * (spread + sampling)).all()
    pooled = fitted.set_params(calibration_groups=None).calibrate(in_groups(600, 12, 1))
    widest = fresh["group"] == "g11"
    own = binom.sf(np.sum(pooled.predict(fresh[widest]) == -1), widest.sum(), RATE)
    assert own < 1e-6  # one threshold for all flags the widest group far more often


def test_p_values_are_uniform_within_each_group(unfitted):
    fitted = clone(unfitted).fit(in_groups(1_000, 3)).calibrate(in_groups(3_000, 3, 1))
    fresh = in_groups(3_000, 3, 2)
    p = fitted.p_values(fresh)
    for group in ("g0", "g1", "g2"):
        own = np.sort(p[fresh["group"] == group])
        uniform = np.arange(1, len(own) + 1) / len(own)
        assert np.abs(own - uniform).max() < 0.08


def test_small_groups_take_the_threshold_of_all_and_are_named(unfitted):
    X = in_groups(500, 2).replace({"group": {"g0": "g1"}})
    X.loc[:3, "group"] = "rare"
    with pytest.warns(CalibrationWarning, match=r"'rare',\).* The threshold of all rows serves"):
        fitted = clone(unfitted).set_params(cv=2).fit(X)
    assert ("rare",) not in fitted.group_offsets_
    rows = X[X["group"] == "rare"]
    unseen = rows.assign(group="new")
    for each in (rows, unseen):
        expected = fitted.score_samples(each) - fitted.offset_
        np.testing.assert_array_equal(fitted.decision_function(each), expected)


def test_folds_calibrate_the_group_of_each_row(unfitted):
    X = in_groups(300, 2)
    fitted = clone(unfitted).set_params(cv=2).fit(X)
    sizes = {group: len(scores) for group, scores in fitted.group_scores_.items()}
    assert sizes == {
        (name,): count for name, count in X["group"].value_counts().sort_index().items()
    }
    wide, narrow = fitted.group_offsets_["g1",], fitted.group_offsets_["g0",]
    assert wide < narrow


def test_groups_are_of_several_columns_and_of_holes(unfitted):
    X = in_groups(600, 2).assign(flag=lambda X: X["x"] > 0)
    X.loc[::2, "group"] = None
    fitted = clone(unfitted).set_params(calibration_groups=["group", "flag"], context=["group"])
    groups = set(fitted.set_params(cv=2).fit(X).group_offsets_)
    assert groups == {(group, flag) for group in ("g0", "g1", None) for flag in (False, True)}


def test_selections_are_made_of_the_p_values_of_groups(detector):
    fresh = in_groups(400, 3, seed=3)
    fresh.loc[:9, ["x", "z"]] = 60.0
    fitted = clone(detector).fit(in_groups(2_000, 3)).calibrate(in_groups(2_000, 3, seed=4))
    assert fitted.detect(fresh, fdr=0.2)[:10].all()


WRONG = [
    ({"calibration_groups": ["groups"]}, "'groups', which X does not have"),
    ({"calibration_groups": ["x"]}, "column 'x', which holds numbers: groups are levels"),
    ({"calibration_groups": "group"}, "'calibration_groups' parameter .* Got 'group'"),
    ({"contamination": 0.1}, r"calibration_groups=\['group'\] needs contamination='auto'"),
]


@pytest.mark.parametrize(("params", "message"), WRONG)
def test_groups_that_cannot_be_are_named(unfitted, params, message):
    with pytest.raises((TypeError, ValueError), match=message):
        clone(unfitted).set_params(**params).fit(in_groups(100, 2))


def test_saved_detectors_keep_their_groups(detector, tmp_path):
    X = in_groups(200, 3, seed=5)
    skvae.save(detector, tmp_path / "model.skvae")
    for again in (skvae.load(tmp_path / "model.skvae"), pickle.loads(pickle.dumps(detector))):
        np.testing.assert_array_equal(again.decision_function(X), detector.decision_function(X))
        np.testing.assert_array_equal(again.p_values(X), detector.p_values(X))


def test_onnx_refuses_thresholds_by_group(detector, tmp_path):
    pytest.importorskip("onnx")
    with pytest.raises(ValueError, match="Thresholds by group are not written as ONNX"):
        skvae.export_onnx(detector, tmp_path / "model.onnx")


def test_the_command_line_and_the_report_flag_by_group(tmp_path, capsys):
    X, table, model = in_groups(2_000, 2), tmp_path / "t.csv", tmp_path / "m.skvae"
    X.to_csv(table, index=False)
    groups = ["--set", 'calibration_groups=["group"]', "--set", "false_alarm_rate=0.1"]
    assert run("fit", table, "-o", model, *groups, *QUICK) == 0
    assert run("score", model, table, "-o", tmp_path / "s.csv", "--p-values") == 0
    scored, fitted = pd.read_csv(tmp_path / "s.csv"), skvae.load(model)
    X = pd.read_csv(table)
    np.testing.assert_array_equal(scored["flagged"], fitted.predict(X) == -1)
    np.testing.assert_allclose(scored["p_value"], fitted.p_values(X))
    page = skvae.report(fitted, X)
    assert "others by group" in page
    assert f"{scored['flagged'].sum():,} (" in page
