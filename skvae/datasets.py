"""The embedded real table."""

from importlib.resources import files
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils import Bunch

__all__ = ["load_thyroid"]


def load_thyroid(*, return_X_y: bool = False, as_frame: bool = False) -> Bunch | tuple[Any, Any]:
    """Load the thyroid table: patients, healthy or with some condition.

    7 measurements, 14 flags, sex and source of the referral of 9,172 patients, of whom
    6,771 are healthy. Many measurements are missing. Left out of the features are the
    columns ``*_measured``, which only say whether the next value is missing; `frame` holds
    them.

    Parameters
    ----------
    return_X_y : bool, default=False
        Whether to return ``(data, target)`` instead of a Bunch.
    as_frame : bool, default=False
        Whether `data` is a DataFrame and `target` a Series.

    Returns
    -------
    data : Bunch
        With the attributes

        data : ndarray or DataFrame of shape (9172, 23)
            Years of age, hormone levels in the laboratory's units, booleans, and strings;
            NaN where missing. The array is one of objects.
        target : ndarray or Series of shape (9172,)
            +1 for healthy patients, -1 for all others.
        feature_names : list of str
            The columns of `data`.
        target_names : list of str
            What -1 and +1 mean.
        frame : DataFrame of shape (9172, 31) or None
            The whole table, with ``diagnosis`` and ``record_id``; only with `as_frame`.
        DESCR : str
            Source and licence.
        filename : str
            Its name in the package's folder ``data``.
    (data, target) : tuple
        With ``return_X_y=True``.

    References
    ----------
    Quinlan, "Thyroid Disease", UCI Machine Learning Repository, 1987,
    doi:10.24432/C5D010. CC BY 4.0.

    Examples
    --------
    >>> from skvae.datasets import load_thyroid
    >>> X, y = load_thyroid(return_X_y=True, as_frame=True)
    >>> X.shape, int((y == 1).sum())
    ((9172, 23), 6771)
    >>> X["sex"].head(3).tolist(), X["TSH"].head(3).tolist()
    (['F', 'F', 'F'], [0.3, 1.6, nan])
    """
    folder = files("skvae") / "data"
    with (folder / "thyroid0387.csv.gz").open("rb") as file:
        frame = pd.read_csv(file, compression="gzip", true_values=["t"], false_values=["f"])
    features = frame.drop(columns=["diagnosis", "record_id"])
    data = features.loc[:, ~features.columns.str.endswith("_measured")]
    target = pd.Series(np.where(frame["diagnosis"] == "-", 1, -1), name="target")
    feature_names = list(data.columns)
    if not as_frame:
        data, target, frame = data.to_numpy(object), target.to_numpy(), None
    if return_X_y:
        return data, target
    return Bunch(
        data=data,
        target=target,
        frame=frame,
        feature_names=feature_names,
        target_names=["any condition", "healthy"],
        DESCR=(folder / "README.md").read_text(encoding="utf-8"),
        filename="thyroid0387.csv.gz",
    )
