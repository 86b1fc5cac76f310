import numpy as np
import pandas as pd

from skvae.datasets import load_thyroid


def test_the_thyroid_table_is_whole():
    bunch = load_thyroid(as_frame=True)
    assert bunch.frame.shape == (9172, 31)
    assert bunch.data.shape == (9172, 23)
    assert list(bunch.data) == bunch.feature_names
    assert ((bunch.target == 1) == (bunch.frame["diagnosis"] == "-")).all()
    assert (bunch.target == 1).sum() == 6771
    assert "CC BY 4.0" in bunch.DESCR


def test_flags_are_booleans_and_holes_stay():
    data = load_thyroid(as_frame=True).data
    assert set(data["sex"].dropna()) == {"F", "M"}
    assert data["sex"].isna().sum() == 307
    assert data.select_dtypes("bool").shape[1] == 14
    assert data["TBG"].isna().sum() == 8823
    assert not any(name.endswith("_measured") for name in data)


def test_arrays_hold_the_same_cells():
    X, y = load_thyroid(return_X_y=True)
    frame, target = load_thyroid(return_X_y=True, as_frame=True)
    assert X.dtype == object
    cells = pd.DataFrame(X, columns=frame.columns, dtype=object)
    pd.testing.assert_frame_equal(cells, frame.astype(object))
    np.testing.assert_array_equal(y, target)
    assert isinstance(target, pd.Series)
