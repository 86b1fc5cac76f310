"""Tables become numbers, a mask and back; what is no number is refused by name."""

import re
from datetime import date, datetime

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse, stats

from skvae._table import DOMAINS, TableEncoder, read_table

# Listed in another order than the columns of `MIXED`, whose groups this is.
FAMILIES = {
    "gaussian": "real",
    "student_t": "real",
    "log_normal": "positive",
    "spike_slab": "spiked",
    "poisson": "count",
    "bernoulli": "binary",
    "categorical": "category",
    "ordinal": "ordered",
}
MIXED = ["bernoulli", "student_t", "gaussian", "bernoulli", "gaussian"]


def fit(X, likelihoods=None, **levels):
    """Raw table and the encoder fitted to it, all columns Gaussian by default."""
    raw = read_table(X)
    likelihoods = likelihoods or ["gaussian"] * len(raw.names)
    return raw, TableEncoder(FAMILIES, **levels).fit(raw, likelihoods)


def jacobian(encoder):
    """Log dz/dx of each column in nats, at z = 0."""
    return encoder.log_jacobian(np.zeros((1, len(encoder.columns_))))[0]


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
    assert np.isfinite(jacobian(encoder)).all()


@pytest.mark.parametrize("tiny", [5e-324, 1e-310, 2e-308])
def test_subnormal_values_are_told_apart(tiny):
    raw, encoder = fit(np.array([[0.0], [tiny]]))
    assert encoder.encode(raw).values.ravel().tolist() == [-1, 1]
    assert encoder.decode(np.array([[-1.0], [1.0]])).ravel().tolist() == [0, tiny]


@pytest.mark.parametrize("constant", [0.0, 5.0, -0.1, 1e-300, -1e300])
def test_constant_columns_encode_to_0(constant):
    X = np.full((6, 2), constant)
    X[2, 0] = np.nan
    raw, encoder = fit(X)
    table = encoder.encode(raw)
    assert (table.values == 0).all()
    assert np.array_equal(table.observed, ~np.isnan(X))
    assert np.isfinite(jacobian(encoder)).all()
    unit = 1.0 if constant == 0 else abs(constant)
    np.testing.assert_allclose(jacobian(encoder), -np.log(unit), rtol=1e-12, atol=1e-12)


def test_a_column_without_any_cell_counts_as_missing_for_good():
    X = np.column_stack([np.arange(6.0), np.full(6, np.nan)])
    _, encoder = fit(X)
    later = encoder.encode(read_table(np.ones((3, 2))))
    assert later.observed.tolist() == [[True, False]] * 3
    assert jacobian(encoder)[1] == 0


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
    before, after = (jacobian(fit(table)[1]) for table in (X, X * [1, factor]))
    np.testing.assert_allclose(after - before, [0, -np.log(abs(factor))], rtol=1e-12, atol=1e-12)


def test_the_jacobian_is_that_of_the_encoding(mixed):
    _, encoder = fit(mixed, MIXED)
    rows = np.where(np.isin(MIXED, "bernoulli"), 0.0, np.array([[1.0], [2.0]]))
    z = encoder.in_user_order(encoder.encode(read_table(rows)).values)
    real = [j for j, name in enumerate(MIXED) if FAMILIES[name] == "real"]
    slopes = (z[1] - z[0])[real]
    np.testing.assert_allclose(jacobian(encoder)[real], np.log(slopes), rtol=1e-8, atol=1e-8)
    assert (np.delete(jacobian(encoder), real) == 0).all()


def test_columns_are_grouped_by_noise_model_and_come_back_in_the_users_order(mixed):
    _, encoder = fit(mixed, MIXED)
    assert encoder.order_.tolist() == [2, 4, 1, 0, 3]
    assert [encoder.columns_[j].likelihood for j in encoder.order_] == sorted(
        MIXED, key=list(FAMILIES).index
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
    whole = map(pd.api.types.is_integer_dtype, frame.convert_dtypes().dtypes)
    kinds = [("number", "integer")[is_whole] for is_whole in whole]
    assert raw.kinds == ["boolean" if b else k for b, k in zip(boolean, kinds, strict=True)]
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
    assert raw.kinds == ["boolean" if boolean else "number"] * raw.values.shape[1]
    assert not raw.is_frame


REFUSED = [  # table, error, what it says
    (np.array([[0.0, 1.0], [2.0, np.inf]]), ValueError, "Column 1 contains infinity: inf in row 1"),
    (pd.DataFrame({"a": [0, -np.inf]}), ValueError, "Column 'a' contains infinity: -inf in row 1"),
    (np.array([[1e999, None]], dtype=object), ValueError, "Column 0 contains infinity"),
    (
        pd.DataFrame({"a": [datetime(2020, 1, 1), None]}, dtype=object),
        ValueError,
        "Column 'a' holds dates or durations (datetime)",
    ),
    (pl.DataFrame({"a": [date(2020, 1, 1)]}), ValueError, "Column 'a' holds dates or durations"),
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
    (
        pd.DataFrame({"a": pd.period_range("2020", periods=2, freq="D")}),
        ValueError,
        "Column 'a' holds dates or durations (period",
    ),
    (
        pd.DataFrame({"a": pd.Categorical(pd.to_datetime(["2020-01-01"]))}),
        ValueError,
        "Column 'a' holds dates or durations (datetime64",
    ),
    (pd.DataFrame(index=[0, 1]), ValueError, "X has 0 columns. Pass one at least."),
    (
        pd.DataFrame([[1, 2, 3]], columns=["a", "b", "a"]),
        ValueError,
        "Column 'a' occurs more than once, at 0, 2. Rename the others.",
    ),
    (pl.DataFrame({"a": [1.0]}).lazy(), TypeError, "X is a polars LazyFrame: pass X.collect()."),
    (pl.DataFrame({"a": [{"b": 1, "c": 2}]}), TypeError, "Column 'a' holds Struct({"),
    (np.array([[1.0, {}]], dtype=object), TypeError, "Column 1: a cell must be a number below"),
    (np.array([["a"], [{}]], dtype=object), TypeError, "Got {} in row 1."),
    (pd.DataFrame({"a": [1.0, np.zeros(2)]}), TypeError, "Got array([0., 0.]) in row 1."),
    (pd.DataFrame({"a": [1, 10**400]}, dtype=object), TypeError, "a number below 1.8e+308 or a"),
    (pl.DataFrame({"a": [[1.0], [2.0]]}), TypeError, "Column 'a' holds List(Float64), not one"),
    (sparse.eye_array(3), TypeError, "Sparse input is not supported: skvae needs a dense table"),
    (np.ma.masked_equal([[1.0, 9.0]], 9.0), TypeError, "Use X.astype(float).filled(np.nan)."),
    ({"a": [1.0, 2.0]}, TypeError, "Got an object of type dict. If its columns have"),
    ([{"a": 1.0}], TypeError, "of type list. If its columns have names, use pandas.DataFrame(X)."),
    (np.zeros(2, dtype=[("a", float)]), TypeError, "Got an object of type ndarray. If its"),
    (None, TypeError, "X must be a table of rows and columns, such as a DataFrame or a"),
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
        "row 1. "
    )
    with pytest.raises(ValueError, match=message + "Make the cell missing, or fit anew"):
        encoder.check(read_table(X))
    with pytest.raises(ValueError, match=message + "Use likelihoods={'smoker': 'gaussian'}"):
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
    assert raw.kinds == ["boolean", "integer"]


def test_columns_of_other_names_are_refused():
    fitted = TableEncoder({"gaussian": "real"})
    fitted.fit(read_table(pd.DataFrame({0: [1.0, 2.0], 1: [3.0, 5.0]})), ["gaussian", "gaussian"])
    with pytest.raises(ValueError, match=r"in the same order: \[0, 1\]\. Got \[1, 0\] instead"):
        fitted.check(read_table(pd.DataFrame({1: [3.0], 0: [1.0]})))


# Categories.

TEXT = [
    pd.Series(["b", "a", None, "b"], dtype=object),
    pd.Series(["b", "a", None, "b"], dtype="string"),
    pd.Series(["b", "a", None, "b"], dtype="string[pyarrow]"),
    pd.Series(["b", "a", None, "b"], dtype="str"),
    pd.Series(["b", "a", None, "b"], dtype="category"),
]


@pytest.mark.parametrize("series", TEXT, ids=lambda series: str(series.dtype))
def test_strings_and_categories_are_read_as_levels(series):
    raw = read_table(pd.DataFrame({"a": series, "x": [1, 2, 3, 4]}))
    assert raw.kinds == ["category", "integer"]
    codes, levels = raw.factorize(0)
    assert codes[2] == -1
    assert levels[codes[[0, 1, 3]]].tolist() == ["b", "a", "b"]
    assert np.isnan(raw.values[2, 0])


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (pd.Series([1, 2]), "integer"),
        (pd.Series([1, None]), "number"),  # floats, by pandas
        (pd.Series([1, None]).convert_dtypes(), "integer"),
        (pd.Series([1, None], dtype="UInt8"), "integer"),
        (pd.Series([1, None], dtype=object), "integer"),
        (pl.Series([1, None], dtype=pl.UInt64), "integer"),
        (pd.Series([True, None], dtype="boolean"), "boolean"),
        (pd.Series([1.0, 2.0]), "number"),
        (pd.Series([1.5, None]), "number"),
        (pd.Series([None, None], dtype=float), "number"),
    ],
)
def test_the_dtype_and_no_hole_decides_the_kind_of_a_column(cells, kind):
    table = pl.DataFrame if isinstance(cells, pl.Series) else pd.DataFrame
    assert read_table(table({"a": cells})).kinds == [kind]


@pytest.mark.parametrize("dtype", [pl.String, pl.Categorical, pl.Enum(["a", "b"])])
def test_polars_columns_are_read_as_pandas_ones_are(dtype):
    X = pl.DataFrame({"a": pl.Series(["b", None, "a"], dtype=dtype), "n": [1, None, 3]})
    X = X.with_columns(flag=pl.Series([True, None, False]))
    raw = read_table(X)
    assert raw.is_frame
    assert raw.names == ["a", "n", "flag"]
    # The order of an Enum's levels is given, as is that of an ordered Categorical of pandas.
    kind = "ordered" if isinstance(dtype, pl.Enum) else "category"
    assert raw.kinds == [kind, "integer", "boolean"]
    np.testing.assert_array_equal(raw.values[:, 1:], [[1, 1], [np.nan, np.nan], [3, 0]])
    codes, levels = raw.factorize(0)
    assert levels[codes[[0, 2]]].tolist() == ["b", "a"]


@pytest.mark.parametrize(
    ("X", "kinds"),
    [
        (np.array([["1", "2"]]), ["category", "category"]),
        (np.array([[1, 2], [3, "4"]], dtype=object), ["number", "category"]),
        ([[1.0, 2.0], [3.0, "4"]], ["number", "category"]),
    ],
)
def test_columns_of_arrays_that_hold_strings_are_categories(X, kinds):
    assert read_table(X).kinds == kinds


def test_ordered_categories_keep_their_order_and_only_what_occurs():
    sizes = pd.Categorical(["l", "s", "l"], categories=["s", "m", "l"], ordered=True)
    raw, encoder = fit(pd.DataFrame({"size": sizes}), ["ordinal"])
    assert raw.kinds == ["ordered"]
    assert encoder.columns_[0].levels == ("s", "l")
    assert encoder.encode(raw).values.ravel().tolist() == [1, 0, 1]


def test_levels_are_numbered_by_frequency_and_unseen_ones_come_last():
    column = ["a"] * 2 + ["b"] * 5 + [None] + ["c"] * 3
    _, encoder = fit(pd.DataFrame({"x": column}), ["categorical"])
    assert encoder.columns_[0].levels == ("b", "c", "a")
    assert encoder.columns_[0].n_observed == 10
    table = encoder.encode(read_table(pd.DataFrame({"x": ["c", "new", None, "b"]})))
    assert table.values.ravel().tolist() == [1, 3, 0, 0]
    assert table.observed.ravel().tolist() == [True, True, False, True]


@pytest.mark.parametrize(
    ("levels", "n_codes"),
    [
        ({}, 4),
        ({"min_frequency": 1}, 4),
        ({"min_frequency": 2}, 4),  # one infrequent level shares with none
        ({"min_frequency": 3}, 3),
        ({"min_frequency": 0.25}, 3),
        ({"min_frequency": 100}, 1),
        ({"max_categories": 4}, 4),
        ({"max_categories": 2}, 2),
        ({"max_categories": 3, "min_frequency": 4}, 2),
    ],
)
def test_infrequent_levels_share_the_last_code(levels, n_codes):
    column = ["a"] * 5 + ["b"] * 3 + ["c"] * 2 + ["d"]
    _, encoder = fit(pd.DataFrame({"x": column}), ["categorical"], **levels)
    assert encoder.columns_[0].levels == ("a", "b", "c", "d")
    assert encoder.columns_[0].n_codes == n_codes


def test_strings_that_are_all_missing_are_levels_still():
    X = pd.DataFrame({"a": pd.Series([None, None], dtype="string")})
    assert read_table(X).kinds == ["category"]
    assert np.isnan(read_table(X).values).all()


def test_numbers_may_be_levels():
    X = np.array([[3.0], [1.0], [3.0], [np.nan]])
    raw, encoder = fit(X, ["categorical"])
    assert encoder.columns_[0].levels == (3.0, 1.0)
    values = encoder.encode(raw).values
    np.testing.assert_array_equal(encoder.decode(values)[:3], X[:3])
    assert encoder.encode(read_table([[2.5]])).values.item() == 2
    assert fit(X, ["ordinal"])[1].columns_[0].levels == (1.0, 3.0)


def test_columns_of_one_noise_model_are_grouped_by_their_codes():
    X = pd.DataFrame({"a": ["x", "y", "z"], "b": [1.0, 2, 3], "c": ["u", "v", "v"]})
    X["d"] = X["a"]
    _, encoder = fit(X, ["categorical", "gaussian", "categorical", "categorical"])
    blocks = [(name, [column.name for column in columns]) for name, columns in encoder.blocks()]
    assert blocks == [("gaussian", ["b"]), ("categorical", ["c"]), ("categorical", ["a", "d"])]


@pytest.mark.parametrize(
    ("column", "likelihood", "message"),
    [
        (["a", "b"], "gaussian", "needs numbers. Got 'a' in row 0. Use pandas.to_numeric if"),
        ([None, "b"], "ordinal", "an ordered pandas.Categorical. Got 'b' in row 1. Use"),
        ([1.0, 0.0], "log_normal", "needs numbers above 0. Got 0 in row 1. Use"),
        ([1.0, 2.5], "poisson", "needs whole numbers from 0 on. Got 2.5 in row 1. Use"),
        ([1.0, -2.0], "poisson", "needs whole numbers from 0 on. Got -2 in row 1. Use"),
    ],
)
def test_a_column_that_its_noise_model_cannot_have_is_refused(column, likelihood, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        fit(pd.DataFrame({"x": column}), [likelihood])


# Curved units.

CURVED = {
    "log_normal": lambda rng: rng.lognormal(3, 2, size=300),
    "spike_slab": lambda rng: rng.lognormal(3, 2, size=300) * (rng.random(300) < 0.6),
}


@pytest.mark.parametrize("factor", [1e-300, 1e-3, 7.0, 1e290])
@pytest.mark.parametrize("likelihood", CURVED)
def test_a_curved_column_comes_back_in_any_unit(likelihood, factor):
    X = factor * CURVED[likelihood](np.random.default_rng(0))[:, None]
    raw, encoder = fit(X, [likelihood])
    z = encoder.encode(raw).values
    assert 0.1 < np.abs(z[z != 0]).mean() < 2
    np.testing.assert_allclose(encoder.decode(z), X, rtol=1e-9)


@pytest.mark.parametrize("factor", [1e-300, 1e-3, 7.0, 1e290])
@pytest.mark.parametrize("likelihood", CURVED)
def test_a_new_unit_of_a_curved_column_changes_the_jacobian_of_all_rows_alike(likelihood, factor):
    X = CURVED[likelihood](np.random.default_rng(0))[:, None]
    (one, before), (other, after) = (fit(table, [likelihood]) for table in (X, factor * X))
    z, same = before.encode(one).values, after.encode(other).values
    np.testing.assert_allclose(same, z, rtol=1e-9, atol=1e-9)
    change = after.log_jacobian(same) - before.log_jacobian(z)
    np.testing.assert_allclose(change, -np.log(factor), rtol=0, atol=1e-9)


@pytest.mark.parametrize("likelihood", CURVED)
def test_the_jacobian_of_a_curved_column_is_the_slope_of_its_encoding(likelihood):
    X = CURVED[likelihood](np.random.default_rng(0))[:, None]
    X = X[X[:, 0] > 0]
    _, encoder = fit(X, [likelihood])
    below, at, above = (encoder.encode(read_table(X * (1 + d))).values for d in (-1e-6, 0, 1e-6))
    slopes = (above - below) / (2e-6 * X)
    np.testing.assert_allclose(encoder.log_jacobian(at), np.log(slopes), atol=1e-6)


def test_a_normal_of_the_encoded_logarithm_is_a_log_normal():
    X = np.random.default_rng(0).lognormal(3, 2, size=(300, 1))
    raw, encoder = fit(X, ["log_normal"])
    z, logs = encoder.encode(raw).values, np.log(X)
    got = stats.norm.logpdf(z) + encoder.log_jacobian(z)
    np.testing.assert_allclose(got, stats.lognorm(logs.std(), scale=np.exp(logs.mean())).logpdf(X))


@pytest.mark.parametrize("factor", [1e-300, 7.0, 1e290])
@pytest.mark.parametrize("likelihood", ["gaussian", *CURVED])
def test_how_well_a_domain_suits_a_column_is_a_log_density(likelihood, factor):
    X = factor * CURVED["log_normal"](np.random.default_rng(0))[:, None]
    X[::7] = np.nan
    raw, encoder = fit(X, [likelihood])
    z = encoder.encode(raw).values[~np.isnan(X[:, 0])]
    low, median, high = np.quantile(z, [0.25, 0.5, 0.75])
    peak = stats.t(4, median, (high - low) / (2 * stats.t(4).ppf(0.75)))
    expected = (peak.logpdf(z) + encoder.log_jacobian(z)).mean() - stats.t(4).logpdf(0)
    got = DOMAINS[FAMILIES[likelihood]].log_density(raw, 0)
    np.testing.assert_allclose(got + np.log(2 * stats.t(4).ppf(0.75)), expected, rtol=1e-4)


def test_the_spike_alone_is_0():
    X = np.array([[5.0], [5.0], [1e9], [5.0 + 1e-9], [-3.0], [np.nan]])
    raw, encoder = fit(X, ["spike_slab"])
    assert (encoder.encode(raw).values[:, 0] == 0).tolist() == [
        True,
        True,
        False,
        False,
        False,
        True,
    ]


@pytest.mark.parametrize("top", [1, 10, 1e6, 1e15])
def test_counts_stay_whole(top):
    X = np.array([[0.0], [1.0], [top], [np.nan]])
    raw, encoder = fit(X, ["poisson"])
    values, unit = encoder.encode(raw).values, 2.0 ** encoder.columns_[0].exponent
    np.testing.assert_array_equal(values[:3] * unit, X[:3])
    assert (jacobian(encoder) == 0).all()


def test_cells_beyond_the_largest_number_come_back_as_the_largest():
    _, encoder = fit(np.array([[-1.7e308], [1.7e308]]), ["gaussian"])
    largest = np.finfo(float).max
    np.testing.assert_array_equal(
        encoder.decode(np.array([[-9.0], [9.0]])), [[-largest], [largest]]
    )


def test_levels_come_back_in_the_columns_dtype():
    X = pd.DataFrame(
        {
            "text": pd.Series(["a", "b"], dtype="string"),
            "size": pd.Categorical(["s", "l"], categories=["s", "m", "l"], ordered=True),
            "x": [1.0, 2.0],
        }
    )
    raw, encoder = fit(X, ["categorical", "ordinal", "gaussian"])
    values = encoder.encode(raw).values
    pd.testing.assert_frame_equal(encoder.in_container(encoder.decode(values)), X)
    raw, encoder = fit(X.to_numpy(), ["categorical", "categorical", "gaussian"])
    np.testing.assert_array_equal(encoder.decode(encoder.encode(raw).values), X.to_numpy())
