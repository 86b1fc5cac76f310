"""Labels of anomalies, folds that calibrate, and a score that compares detectors."""

import math
import warnings
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.metrics import average_precision_score
from sklearn.model_selection import KFold, cross_validate
from sklearn.utils.validation import column_or_1d

__all__ = [
    "CalibrationWarning",
    "anomaly_average_precision",
    "known_anomalies",
    "scores_by_fold",
    "warn_of_calibration",
    "warn_of_detection",
]


class CalibrationWarning(UserWarning):
    """Warns that a threshold promises nothing, or that some rows did not calibrate it.

    Examples
    --------
    >>> import warnings
    >>> from skvae import CalibrationWarning
    >>> warnings.simplefilter("ignore", CalibrationWarning)
    """


def warn_of_calibration(scores, apart, false_alarm_rate):
    """Warn of too few calibration rows, and of those that do not calibrate.

    Parameters
    ----------
    scores, apart : ndarray of shape (m,) and (k,)
        Of rows that calibrate, and that lie apart; ascending, in nats.
    false_alarm_rate : float
    """
    ways = "Fit with cv=5, call calibrate(X_normal), or set contamination= to a share to flag."
    n_needed = math.ceil(round(1 / false_alarm_rate, 9)) - 1
    if len(scores) < n_needed:
        warnings.warn(
            f"{len(scores)} calibration rows are too few for false_alarm_rate={false_alarm_rate}, "
            f"which needs {n_needed}: the threshold is that quantile of the scores of all rows, "
            f"and promises nothing. {ways}",
            CalibrationWarning,
            stacklevel=2,
        )
    if len(apart) > 0:
        warnings.warn(
            f"{len(apart)} of {len(apart) + len(scores)} calibration rows score far below all "
            f"others, down to {apart[0]:.4g} nats where these begin at {scores[0]:.4g}: taken for "
            f"anomalies, they do not calibrate the threshold. {ways}",
            CalibrationWarning,
            stacklevel=2,
        )


def warn_of_detection(n_rows, n_calibration, fdr):
    """Warn where so few rows calibrate that one among so many could not be selected."""
    n_least = math.ceil(round(n_rows / (fdr * (n_calibration + 1)), 9))
    if n_least > 1:
        warnings.warn(
            f"No row is selected: with {n_calibration} calibration rows at least {n_least} of "
            f"these {n_rows} rows must score below all of them for fdr={fdr}. For one to do, "
            f"{math.ceil(round(n_rows / fdr, 9)) - 1} calibration rows are needed. Call "
            "calibrate(X_normal) with more, fit with cv=5, raise fdr, or judge fewer rows at once.",
            CalibrationWarning,
            stacklevel=3,
        )


def scores_by_fold(estimator, X, y, known, n_folds, random_state):
    """Score rows by fits to all others but those of the same fold.

    Parameters
    ----------
    estimator : estimator with ``score_samples``
        Is cloned.
    X : array-like or DataFrame of shape (n, n_columns)
    y : array-like of shape (n,) or None
    known : bool ndarray of shape (n,)
        Rows that are in each fit, and are not scored.
    n_folds : int
    random_state : RandomState

    Returns
    -------
    scores : ndarray of shape (n - known.sum(),)
        In the order of the rows.
    """
    rows = np.flatnonzero(~known)
    n_folds = min(max(n_folds, 3) if len(rows) == 3 else n_folds, len(rows))  # 2 rows for each fit
    folds = KFold(n_folds, shuffle=True, random_state=random_state)
    tests = [rows[test] for _, test in folds.split(rows)]
    scores = []

    def note(fitted, X_test, y_test=None):
        scores.append(fitted.score_samples(X_test))
        return 0.0

    splits = [(np.delete(np.arange(len(known)), test), test) for test in tests]
    with warnings.catch_warnings():
        # A fold may lack the cells or holes of a column; of the rest the whole table has warned.
        warnings.filterwarnings("ignore", "No (cell|hole) |Column .* holds both")
        warnings.simplefilter("ignore", CalibrationWarning)  # no threshold of a fold is kept
        cross_validate(estimator, X, y, cv=splits, scoring=note, error_score="raise")
    return np.concatenate(scores)[np.argsort(np.concatenate(tests))]


def known_anomalies(y, n, *, fewest, fewest_others):
    """Which of n rows y says are anomalies.

    Parameters
    ----------
    y : array-like of shape (n,) or None
        1 for normal rows, -1 for anomalies, 0 for unknown ones.
    n : int
    fewest, fewest_others : int
        How many anomalies, and how many other rows, there must be.

    Returns
    -------
    anomalous : bool ndarray of shape (n,)

    Raises
    ------
    ValueError
        If there are fewer, y is None where there must be one, or holds anything else.
    """
    if y is None and fewest:
        raise ValueError("With use_labels=True fit needs y. Pass it, or use_labels=False.")
    y = np.full(n, 0) if y is None else column_or_1d(y)
    labels = list({repr(label): label for label in y.tolist()}.values())  # one NaN of many
    if not set(labels) <= {1, -1, 0} or np.sum(y == -1) < fewest:
        at_least = ", with at least one -1" if fewest else ""
        is_0_and_1 = set(labels) <= {1, 0}
        remedy = " If 1 stands for an anomaly, pass np.where(y == 1, -1, 0)."
        raise ValueError(
            "With use_labels=True y must be 1 for normal rows, -1 for anomalies and 0 for "
            f"unknown ones{at_least}. Got the values {labels[:10]}.{remedy * is_0_and_1}"
        )
    if len(y) != n or n - np.sum(y == -1) < fewest_others:
        raise ValueError(
            f"y must label each row of X, and at least {fewest_others} as no anomaly. Got "
            f"{len(y)} labels, {np.sum(y == -1)} of them -1, for {n} rows."
        )
    return y == -1


def anomaly_average_precision(estimator: Any, X: ArrayLike, y: ArrayLike) -> float:
    """Average precision of the anomalies, as a scorer for model selection.

    Pass it as ``scoring=anomaly_average_precision``; scikit-learn's own
    ``"average_precision"`` takes +1, the normal rows, for the class to be found.

    Parameters
    ----------
    estimator : estimator with ``score_samples``
        Fitted; higher scores are more normal.
    X : array-like or DataFrame of shape (n_samples, n_features)
    y : array-like of shape (n_samples,)
        +1 for normal rows, -1 for anomalies.

    Returns
    -------
    average_precision : float
        Between the share of anomalies, for random scores, and 1.

    Raises
    ------
    ValueError
        If y is not coded as +1 and -1, or holds no anomaly.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.ensemble import IsolationForest
    >>> X = np.r_[np.zeros((20, 1)), np.full((1, 1), 9.0)]
    >>> forest = IsolationForest(random_state=0).fit(X)
    >>> anomaly_average_precision(forest, X, np.r_[np.ones(20), -1])
    1.0
    """
    y = np.asarray(y)
    labels = set(np.unique(y).tolist())
    if not labels <= {1, -1} or -1 not in labels:
        raise ValueError(
            f"y must be +1 for normal rows and -1 for anomalies, with at least one -1. Got the "
            f"values {sorted(labels)}."
        )
    return float(average_precision_score(y == -1, -estimator.score_samples(X)))
