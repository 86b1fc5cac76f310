"""Tables become numbers, a mask and back; what is no number is refused by name."""

import re

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from skvae._table import TableEncoder, read_table

# Listed in another order than the columns of `MIXED`, whose groups this is.
DOMAINS = {"gaussian": "real", "student_t": "real", "bernoulli": "binary"}
MIXED = ["bernoulli", "student_t", "gaussian", "bernoulli", "gaussian"]


def fit(X, likelihoods=None):
    """Raw table and the encoder fitted to it, all columns Gaussian by default."""
    raw = read_table(X)
    likelihoods = likelihoods or ["gaussian"] * len(raw.names)
    return raw, TableEncoder(DOMAINS).fit(raw, likelihoods)


@pytest.fixture
def mixed():
    """Array with a column for each of `MIXED`, and holes."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(50, 5)) * [1, 10, 1e-3, 1, 1e6] + [0, 5, 1, 0, -1e7]
    X[:, [0, 3]] = X[:, [0, 3]] > 0
    X[rng.random(X.shape) < 0.2] = np.nan
    return X


def test_decoding_gives_the_values_back(mixed):
    raw, encoder = fit(mixed, MIXED)
    table = encoder.encode(raw)
    assert np.isfinite(table.values).all()
    assert (table.values[~table.observed] == 0).all()
    seen = encoder.in_user_order(table.observed)
    assert np.array_equal(seen, ~np.isnan(mixed))
    np.testing.assert_allclose(encoder.decode(table.values)[seen], mixed[seen], rtol=1e-12)


@pytest.mark.parametrize("shift", [0.0, 3.0, -1e6])
def test_columns_of_any_magnitude_get_mean_0_and_standard_deviation_1(shift):
    magnitudes = np.array([1e-300, 1e-160, 1e-5, 1.0, 1e5, 1e160, 1e300])
    X = (np.random.default_rng(0).normal(size=(200, 1)) + shift) * magnitudes
    raw, encoder = fit(X)
    z = encoder.encode(raw).values
    np.testing.assert_allclose(z.mean(axis=0), 0, atol=1e-8)
    np.testing.assert_allclose(z.std(axis=0), 1, atol=1e-8)
    np.testing.assert_allclose(encoder.decode(z), X, rtol=1e-12)
    assert np.isfinite(encoder.log_jacobian_).all()


@pytest.mark.parametrize("tiny", [5e-324, 1e-310, 2e-308])
def test_subnormal_values_are_told_apart(tiny):
    raw, encoder = fit(np.array([[0.0], [tiny]]))
    assert encoder.encode(raw).values.ravel().tolist() == [-1, 1]
    assert encoder.decode(np.array([[-1.0], [1.0]])).ravel().tolist() == [0, tiny]


@pytest.mark.parametrize("constant", [0.0, 5.0, -0.1, 1e-300, -1e300, np.nan])
def test_constant_and_missing_columns_encode_to_0(constant):
    X = np.full((6, 2), constant)
    X[2, 0] = np.nan
    raw, encoder = fit(X)
    table = encoder.encode(raw)
    assert (table.values == 0).all()
    assert np.array_equal(table.observed, ~np.isnan(X))
    assert np.isfinite(encoder.log_jacobian_).all()
    unit = 1.0 if constant == 0 or np.isnan(constant) else abs(constant)
    np.testing.assert_allclose(encoder.log_jacobian_, -np.log(unit), rtol=1e-12, atol=1e-12)


def test_rounding_errors_of_a_constant_do_not_count_as_spread():
    X = np.array([[0.1 + 0.2], [0.3], [0.3]])
    raw, encoder = fit(X)
    assert np.abs(encoder.encode(raw).values).max() < 1e-3


def test_a_value_too_far_to_square_is_brought_nearer():
    _, encoder = fit(np.array([[-1e-9], [1e-9]]))
    values = encoder.encode(read_table(np.array([[1e300], [-1e300], [np.nan]]))).values
    assert values.ravel().tolist() == [1e100, -1e100, 0]


@pytest.mark.parametrize("factor", [2.0, 1e-200, 1e200, -3.0])
@pytest.mark.parametrize("constant", [False, True])
def test_a_change_of_units_changes_the_jacobian_by_its_logarithm(factor, constant):
    X = np.full((9, 2), 7.0) if constant else np.random.default_rng(0).normal(size=(9, 2))
    before, after = fit(X)[1].log_jacobian_, fit(X * [1, factor])[1].log_jacobian_
    np.testing.assert_allclose(after - before, [0, -np.log(abs(factor))], rtol=1e-12, atol=1e-12)


def test_the_jacobian_is_that_of_the_encoding(mixed):
    _, encoder = fit(mixed, MIXED)
    rows = np.where(np.isin(MIXED, "bernoulli"), 0.0, np.array([[1.0], [2.0]]))
    z = encoder.in_user_order(encoder.encode(read_table(rows)).values)
    real = [j for j, name in enumerate(MIXED) if DOMAINS[name] == "real"]
    slopes = (z[1] - z[0])[real]
    np.testing.assert_allclose(encoder.log_jacobian_[real], np.log(slopes), rtol=1e-8, atol=1e-8)
    assert (np.delete(encoder.log_jacobian_, real) == 0).all()


def test_columns_are_grouped_by_noise_model_and_come_back_in_the_users_order(mixed):
    _, encoder = fit(mixed, MIXED)
    assert encoder.order_.tolist() == [2, 4, 1, 0, 3]
    assert [encoder.columns_[j].likelihood for j in encoder.order_] == sorted(
        MIXED, key=list(DOMAINS).index
    )
    by_model_column = np.array([[2, 4, 1, 0, 3]])
    assert encoder.in_user_order(by_model_column).tolist() == [[0, 1, 2, 3, 4]]


def test_flags_stay_0_and_1(mixed):
    raw, encoder = fit(mixed, MIXED)
    z, observed = encoder.encode(raw)
    flags = [MIXED[j] == "bernoulli" for j in encoder.order_]
    assert set(z[:, flags][observed[:, flags]]) == {0.0, 1.0}


FRAMES = [  # columns, values as read, which hold booleans
    ({"a": [1, 2], "b": [0.5, np.nan]}, [[1, 0.5], [2, np.nan]], [False, False]),
    ({"a": [True, False], "b": [2, 3]}, [[1, 2], [0, 3]], [True, False]),
    ({"a": pd.array([1, None], dtype="Int64")}, [[1], [np.nan]], [False]),
    ({"a": pd.array([1.5, None], dtype="Float64")}, [[1.5], [np.nan]], [False]),
    ({"a": pd.array([True, None], dtype="boolean")}, [[1], [np.nan]], [True]),
    ({"a": pd.array([True, None], dtype="bool[pyarrow]")}, [[1], [np.nan]], [True]),
    ({"a": pd.array([7, None], dtype="int8[pyarrow]")}, [[7], [np.nan]], [False]),
    ({"a": np.array([1, None], dtype=object)}, [[1], [np.nan]], [False]),
    ({"a": np.array([2.5, pd.NA], dtype=object), "b": [1, 2]}, [[2.5, 1], [np.nan, 2]], [0, 0]),
    ({"a": pd.array([1, 2], dtype="uint8"), "b": [True, True]}, [[1, 1], [2, 1]], [False, True]),
]


@pytest.mark.parametrize(("columns", "values", "boolean"), FRAMES)
def test_every_kind_of_number_is_read(columns, values, boolean):
    frame = pd.DataFrame(columns, index=[7, 7])
    before = frame.copy()
    raw = read_table(frame)
    np.testing.assert_array_equal(raw.values, np.array(values, dtype=np.float64))
    assert raw.names == list(columns)
    assert raw.boolean == boolean
    assert raw.is_frame
    pd.testing.assert_frame_equal(frame, before)


ARRAYS = [  # table, values as read, whether its columns hold booleans
    ([[1, 2.5], [3, np.nan]], [[1, 2.5], [3, np.nan]], False),
    (np.array([[1, None], [pd.NA, 2.5]], dtype=object), [[1, np.nan], [np.nan, 2.5]], False),
    (np.array([[True], [False]]), [[1], [0]], True),
    (np.array([[1], [2]], dtype=np.float16), [[1], [2]], False),
]


@pytest.mark.parametrize(("X", "values", "boolean"), ARRAYS)
def test_arrays_and_lists_are_read(X, values, boolean):
    raw = read_table(X)
    np.testing.assert_array_equal(raw.values, np.array(values, dtype=np.float64))
    assert raw.names == list(range(raw.values.shape[1]))
    assert raw.boolean == [boolean] * raw.values.shape[1]
    assert not raw.is_frame


STRINGS = "holds strings: "
REFUSED = [  # table, error, what it says
    (np.array([[0.0, 1.0], [2.0, np.inf]]), ValueError, "Column 1 contains infinity: inf in row 1"),
    (pd.DataFrame({"a": [0, -np.inf]}), ValueError, "Column 'a' contains infinity: -inf in row 1"),
    (np.array([[1e999, None]], dtype=object), ValueError, "Column 0 contains infinity"),
    (np.array([["1", "2"]]), ValueError, f"Column 0 {STRINGS}'1' in row 0"),
    (np.array([[b"1"]]), ValueError, f"Column 0 {STRINGS}b'1' in row 0"),
    (np.array([[1, 2], [3, "4"]], dtype=object), ValueError, f"Column 1 {STRINGS}'4' in row 1"),
    ([[1.0, 2.0], [3.0, "4"]], ValueError, f"Column 1 {STRINGS}'4' in row 1"),
    (pd.DataFrame({"a": [1, 2], "b": ["x", "y"]}), ValueError, f"Column 'b' {STRINGS}'x' in row 0"),
    (pd.DataFrame({"a": [1, None, "3"]}), ValueError, f"Column 'a' {STRINGS}'3' in row 2"),
    (pd.DataFrame({"a": ["1"]}, dtype="string"), ValueError, f"Column 'a' {STRINGS}'1' in row 0"),
    (pd.DataFrame({"a": pd.Categorical([1, 2])}), ValueError, "Column 'a' is categorical. Encode"),
    (
        pd.DataFrame({"a": pd.to_datetime(["2020-01-01"])}),
        ValueError,
        "Column 'a' holds dates or durations (datetime64",
    ),
    (
        pd.DataFrame({"a": pd.to_timedelta([1], unit="s")}),
        ValueError,
        "Column 'a' holds dates or durations (timedelta64",
    ),
    (np.array([["2020-01-01"]], dtype="M8[D]"), ValueError, "holds dates or durations"),
    (np.array([[3]], dtype="m8[s]"), ValueError, "holds dates or durations"),
    (np.array([[1 + 2j]]), ValueError, "Complex data not supported"),
    (pd.DataFrame({"a": [1 + 2j]}), ValueError, "Column 'a'"),
    (pd.DataFrame({"a": pd.period_range("2020", periods=2, freq="D")}), TypeError, "Period"),
    (np.array([[1.0, {}]], dtype=object), TypeError, "Column 1 in row 0: float() argument must be"),
    (sparse.eye_array(3), TypeError, "Sparse input is not supported: skvae needs a dense table"),
    (np.zeros(3), ValueError, "Expected 2D array, got 1D array"),
    (pd.Series([1.0, 2.0]), ValueError, "Expected a 2-dimensional container"),
    (np.zeros((2, 2, 2)), ValueError, "dim 3"),
    (np.zeros((0, 2)), ValueError, "Found array with 0 sample(s)"),
]


@pytest.mark.parametrize(("X", "error", "message"), REFUSED)
def test_what_is_no_table_of_numbers_is_refused(X, error, message):
    with pytest.raises(error, match=re.escape(message)):
        read_table(X)


def test_too_few_rows_are_refused():
    with pytest.raises(ValueError, match="minimum of 2 is required"):
        read_table(np.zeros((1, 2)), min_rows=2)


@pytest.mark.parametrize("value", [2.0, 0.5, -1.0])
def test_a_value_outside_the_noise_models_domain_is_refused(value):
    X = pd.DataFrame({"age": [1.0, 2.0, 3.0], "smoker": [0.0, np.nan, 1.0]})
    _, encoder = fit(X, ["gaussian", "bernoulli"])
    X.loc[1, "smoker"] = value
    message = re.escape(
        f"Column 'smoker': the 'bernoulli' likelihood needs values 0 and 1. Got {value:g} in "
        "row 1. Use likelihoods={'smoker': 'gaussian'}."
    )
    with pytest.raises(ValueError, match=message):
        encoder.check(read_table(X))
    with pytest.raises(ValueError, match=message):
        fit(X, ["gaussian", "bernoulli"])


def test_the_container_is_the_one_that_was_fitted():
    frame = pd.DataFrame({"x": [1.0, 2.0], "flag": [True, False]})
    raw, encoder = fit(frame, ["gaussian", "bernoulli"])
    back = encoder.in_container(encoder.decode(encoder.encode(raw).values))
    pd.testing.assert_frame_equal(back, frame)
    raw, encoder = fit(frame.to_numpy(np.float64), ["gaussian", "bernoulli"])
    assert isinstance(encoder.in_container(raw.values), np.ndarray)


def test_a_flag_under_a_real_noise_model_becomes_the_nearer_boolean():
    _, encoder = fit(pd.DataFrame({"flag": [True, False]}))
    back = encoder.in_container(np.array([[-0.2], [0.1], [0.9], [1.3]]))
    assert back["flag"].tolist() == [False, False, True, True]


def test_the_repr_lists_the_columns():
    _, encoder = fit(pd.DataFrame({"x": [1.0], "flag": [True]}), ["gaussian", "bernoulli"])
    assert repr(encoder) == "TableEncoder(x: gaussian, flag: bernoulli)"


def test_objects_that_are_booleans_with_holes_are_flags():
    raw = read_table(pd.DataFrame({"a": [True, None, False], "b": [1, None, 0]}, dtype=object))
    assert raw.boolean == [True, False]


def test_columns_of_other_names_are_refused():
    fitted = TableEncoder({"gaussian": "real"})
    fitted.fit(read_table(pd.DataFrame({0: [1.0, 2.0], 1: [3.0, 5.0]})), ["gaussian", "gaussian"])
    with pytest.raises(ValueError, match=r"in the same order: \[0, 1\]\. Got \[1, 0\] instead"):
        fitted.check(read_table(pd.DataFrame({1: [3.0], 0: [1.0]})))
