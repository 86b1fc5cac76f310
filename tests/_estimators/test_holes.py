"""Rows and columns in which nothing is observed, or nothing is missing, are named."""

import numpy as np
import pandas as pd
import pytest
from common import SMALL

from skvae import VAEAnomalyDetector

TINY = SMALL | {"max_steps": 5, "cv": None}
EMPTY = "No cell is observed in 2 of 4 rows, the first of them row 1: "


@pytest.fixture(scope="module")
def detector(table):
    return VAEAnomalyDetector(**TINY).fit(table)


@pytest.fixture
def rows(table):
    rows = table[:4].copy()
    rows[[1, 3]] = np.nan
    rows[0, 2:] = np.nan
    return rows


METHODS = ["score_samples", "negative_elbo", "decision_function", "predict", "p_values", "detect"]


@pytest.mark.parametrize("method", METHODS)
def test_rows_without_a_cell_are_named_and_have_a_score(detector, rows, method):
    with pytest.warns(UserWarning, match=EMPTY):
        got = getattr(detector, method)(rows)
    assert np.isfinite(got).all()
    assert got[1] == got[3]


def test_columns_of_which_nothing_is_known_do_not_count(table):
    X = np.column_stack([table[:, 0], np.full(len(table), np.nan)])
    with pytest.warns(UserWarning, match="No cell of 1 is observed"):
        detector = VAEAnomalyDetector(**TINY).fit(X)
    with pytest.warns(UserWarning, match="No cell is observed in 1 of 2 rows, .* row 1: "):
        detector.predict([[0.0, 5.0], [np.nan, 5.0]])


def test_fit_names_rows_without_a_cell(table):
    X = pd.DataFrame(table.copy())
    X.iloc[7] = np.nan
    with pytest.warns(UserWarning, match=f"No cell is observed in 1 of {len(X)} rows, .* row 7: "):
        VAEAnomalyDetector(**TINY).fit(X)


def test_a_modelled_hole_says_something_of_a_row(holed, rows):
    detector = VAEAnomalyDetector(**TINY, missing="model").fit(holed)
    assert np.isfinite(detector.score_samples(rows)).all()


def test_fit_names_columns_whose_holes_cannot_be_modelled(table):
    X = table.copy()
    X[::7, 1:3] = np.nan
    with pytest.warns(UserWarning, match="No hole of 0, 3, 4 is among the rows .*missing='model'"):
        VAEAnomalyDetector(**TINY, missing="model").fit(X)
