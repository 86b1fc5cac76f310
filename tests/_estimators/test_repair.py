"""The nearest normal row: few cells changed, the right ones, and to what the others say."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from common import QUICK, SMALL, run
from sklearn.base import clone

import skvae
from skvae import VAEAnomalyDetector, VAETransformer
from skvae.datasets import load_thyroid


def one_factor(n):
    """Rows of 6 columns that follow one factor, so that a wrong cell is at odds with five."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, 1)) * np.linspace(1, 2, 6) + 0.3 * rng.normal(size=(n, 6))


@pytest.fixture(scope="module")
def detector():
    """Model that learned to infer hidden cells."""
    settings = {"members": ["cautious"], "robust_weight": 0, "random_state": 0}
    kinds = {"likelihoods": "gaussian", "false_alarm_rate": 0.002}
    return VAEAnomalyDetector(**settings, **kinds).fit(one_factor(6_000))


def corrupted(X, n_cells, seed=0, by=8.0):
    """The rows with some cells moved, and which."""
    rng = np.random.default_rng(seed)
    cells = np.argsort(rng.random(X.shape), axis=1) < n_cells
    return np.where(cells, X + by * X.std(axis=0) * rng.choice([-1, 1], X.shape), X), cells


def test_one_wrong_cell_is_found_and_gets_its_conditional_mean(detector):
    X = one_factor(6_000)
    wrong, cells = corrupted(X[:100], 1)
    repaired, changed = detector.repair(wrong, return_cells=True)
    flagged = detector.predict(wrong) == -1
    assert flagged.mean() > 0.9
    is_found = (changed == cells).all(axis=1)
    assert is_found[flagged].mean() > 0.97
    mean, covariance = X.mean(axis=0), np.cov(X, rowvar=False)
    errors = []
    for i in np.flatnonzero(flagged & is_found):
        j = int(cells[i].argmax())
        others = np.arange(6) != j
        slope = np.linalg.solve(covariance[np.ix_(others, others)], covariance[others, j])
        expected = mean[j] + slope @ (wrong[i, others] - mean[others])
        errors.append(abs(repaired[i, j] - expected) / X[:, j].std())
    assert np.median(errors) < 0.2
    assert max(errors) < 0.6


def test_rows_become_normal_or_all_cells_were_tried(detector):
    wrong, _ = corrupted(one_factor(200), 3, by=5.0)
    repaired, changed = detector.repair(wrong, return_cells=True)
    is_normal = detector.predict(repaired) == 1
    assert (is_normal | changed.all(axis=1)).all()
    assert is_normal.mean() > 0.99
    np.testing.assert_array_equal(repaired[~changed], wrong[~changed])


def test_normal_rows_keep_their_bits(detector):
    X = one_factor(500)
    normal = detector.predict(X) == 1
    repaired, changed = detector.repair(X, return_cells=True)
    np.testing.assert_array_equal(repaired[normal], X[normal])
    assert not changed[normal].any()
    np.testing.assert_array_equal(detector.repair(X[normal]), X[normal])


@pytest.mark.slow
@pytest.mark.parametrize(("n_cells", "recall"), [(1, 1.0), (3, 0.87)])
def test_wrong_cells_of_thirty_columns_are_found_and_mended(n_cells, recall):
    rng = np.random.default_rng(0)
    loadings = rng.normal(size=(5, 30)) / np.sqrt(5)
    X = rng.normal(size=(3_000, 5)) @ loadings + 0.3 * rng.normal(size=(3_000, 30))
    fresh = rng.normal(size=(60, 5)) @ loadings + 0.3 * rng.normal(size=(60, 30))
    detector = VAEAnomalyDetector(random_state=0).fit(X)
    wrong, cells = corrupted(fresh, n_cells, by=5.0)
    repaired, changed = detector.repair(wrong, return_cells=True)
    flagged = detector.predict(wrong) == -1
    assert flagged.mean() > 0.9
    assert (cells & changed)[flagged].sum() >= recall * cells[flagged].sum()
    assert (cells & changed)[flagged].sum() >= 0.95 * changed[flagged].sum()
    errors = np.abs(repaired - fresh) / X.std(axis=0)
    assert errors[cells & flagged[:, None]].mean() < 1


def fewest(detector, row):
    """Size of the smallest set of cells whose guesses make a row normal."""
    for size in range(1, len(row)):
        for cells in combinations(range(len(row)), size):
            tried = row.copy()
            tried[list(cells)] = np.nan
            if detector.predict(detector.impute(tried[None]))[0] == 1:
                return size
    return len(row)


def test_cells_are_never_fewer_than_an_exhaustive_search_finds(detector):
    wrong, _ = corrupted(one_factor(12), 2)
    _, changed = detector.repair(wrong, return_cells=True)
    flagged = np.flatnonzero(detector.predict(wrong) == -1)
    sizes = [fewest(detector, wrong[i]) for i in flagged]
    assert (changed[flagged].sum(axis=1) >= sizes).all()
    assert np.mean(changed[flagged].sum(axis=1) == sizes) > 0.7


@pytest.fixture(scope="module")
def thyroid():
    X, y = load_thyroid(return_X_y=True, as_frame=True)
    detector = VAEAnomalyDetector(**SMALL | {"max_steps": 200}, context=["sex"])
    return detector.fit(X[y == 1][:2_000]), X[y == -1][:60]


def test_mixed_rows_with_holes_stay_as_they_are_elsewhere(thyroid):
    detector, X = thyroid
    repaired, changed = detector.repair(X, fixed=["age"], return_cells=True)
    assert changed.to_numpy().any()
    assert not changed[["age", "sex"]].to_numpy().any()
    assert not (changed & X.isna()).to_numpy().any()
    pd.testing.assert_frame_equal(repaired.mask(changed), X.mask(changed), check_dtype=False)
    assert repaired.dtypes.astype(str).equals(X.dtypes.astype(str))
    left = ~(changed | X.isna())[X.columns.drop(["age", "sex"])].all(axis=1)
    assert (detector.predict(repaired)[left] == 1).all()


def test_no_more_cells_change_than_are_allowed(thyroid):
    detector, X = thyroid
    repaired, changed = detector.repair(X, max_cells=1, return_cells=True)
    assert set(changed.sum(axis=1)) <= {0, 1}
    flagged = detector.predict(X) == -1
    np.testing.assert_array_equal(changed.any(axis=1), flagged)
    assert (detector.score_samples(repaired) >= detector.score_samples(X)).mean() > 0.9


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"fixed": ["TSHH"]}, "'fixed' names the column 'TSHH', which was not fitted"),
        ({"max_cells": 0}, "'max_cells' .* Got 0"),
        ({"max_cells": 1.5}, "'max_cells' .* Got 1.5"),
    ],
)
def test_arguments_that_cannot_be_are_named(thyroid, arguments, message):
    detector, X = thyroid
    with pytest.raises((TypeError, ValueError), match=message):
        detector.repair(X[:2], **arguments)


def test_the_command_line_repairs(tmp_path, capsys):
    rng = np.random.default_rng(0)
    x = rng.normal(size=500)
    X = pd.DataFrame({"id": range(500), "a": x, "b": 2 * x + 0.1 * rng.normal(size=500)})
    X["c"] = X["b"] - x
    table, model, output = tmp_path / "t.csv", tmp_path / "m.skvae", tmp_path / "r.csv"
    X.to_csv(table, index=False)
    quick = [*QUICK[:-2], "--set", "false_alarm_rate=0.05"]
    assert run("fit", table, "-o", model, "--exclude", "id", *quick) == 0
    X.assign(b=[9.0, *X["b"][1:]]).to_csv(table, index=False)
    assert run("repair", model, table, "-o", output, "--keep", "id", "--block-rows", "200") == 0
    repaired = pd.read_csv(output, keep_default_na=False)
    assert list(repaired) == ["id", "a", "b", "c", "changed", "flagged"]
    assert repaired["changed"][0] == "b"
    assert not repaired["flagged"].any()
    assert run("repair", model, table, "-o", output, "--fixed", "a,z") == 1
    assert "'z', which was not fitted" in capsys.readouterr().err
    skvae.save(VAETransformer(**SMALL).fit(X[["a", "b", "c"]]), model)
    assert run("repair", model, table) == 1
    assert "flags no rows to repair" in capsys.readouterr().err


def test_thresholds_of_groups_are_those_to_reach():
    rng = np.random.default_rng(0)
    group = rng.integers(2, size=1_500)
    x = rng.normal(size=(1_500, 2)) * np.where(group, 1, 10)[:, None]
    X = pd.DataFrame({"group": np.where(group, "narrow", "wide"), "a": x[:, 0], "b": x[:, 1]})
    groups = {"calibration_groups": ["group"], "context": ["group"], "false_alarm_rate": 0.05}
    detector = VAEAnomalyDetector(**groups, **SMALL | {"max_steps": 200}).fit(X)
    odd = X[:50].assign(a=60.0)
    repaired, changed = clone(detector).fit(X).repair(odd, return_cells=True)
    assert changed["a"].all()
    assert (detector.predict(repaired) == 1).all()
