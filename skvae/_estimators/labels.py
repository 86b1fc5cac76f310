"""Classes of rows, of which some may not be known."""

import numpy as np
import pandas as pd
from sklearn.utils import assert_all_finite, column_or_1d
from sklearn.utils.multiclass import check_classification_targets

__all__ = ["are_known", "classes_of"]


def are_known(y):
    """Which labels are there, and not -1, None or NaN; bool ndarray of shape (n,)."""
    known = ~np.asarray(pd.isna(y))
    known[known] = [label != -1 for label in y[known]]
    return known


def classes_of(y, estimator):
    """Classes, and which one each row has.

    Parameters
    ----------
    y : array-like of shape (n,)
    estimator : BaseEstimator

    Returns
    -------
    classes : ndarray of shape (n_classes,)
    codes : int ndarray of shape (n,)
        -1 where a class is not known.
    """
    if y is None:
        raise ValueError(f"requires y to be passed, but the target y is None: {estimator}")
    y = column_or_1d(y, warn=True)
    is_known = are_known(y)
    labels = y[is_known]
    assert_all_finite(labels, input_name="y")
    if labels.dtype == object:
        labels = np.array(labels.tolist())
    check_classification_targets(labels)
    classes, of_known = np.unique(labels, return_inverse=True)
    if len(classes) < 2:
        raise ValueError(
            f"y has {len(classes)} class alone; two are needed to tell apart, and -1 stands for "
            "one that is not known. For rows of one class use VAEAnomalyDetector."
        )
    rare = np.bincount(of_known) < 2
    if rare.any():
        raise ValueError(
            f"The class {classes[rare][0]} has a single row: two are needed. Label more, or "
            "take it as unknown (-1)."
        )
    codes = np.full(len(y), -1)
    codes[is_known] = of_known
    return classes, codes
