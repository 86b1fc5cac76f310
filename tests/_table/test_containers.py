"""Columns come back in the dtype that went in, and observed cells as they are."""

from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from skvae._table import TableEncoder, read_table

FAMILIES = {
    "gaussian": "real",
    "bernoulli": "binary",
    "categorical": "category",
    "ordinal": "ordered",
}
NOISE = {"boolean": "bernoulli", "category": "categorical", "ordered": "ordinal"}


def fit(X):
    raw = read_table(X)
    return raw, TableEncoder(FAMILIES).fit(raw, [NOISE.get(k, "gaussian") for k in raw.kinds])


def filled(X, later=None):
    """A table, its holes filled by the encoding of 0."""
    raw, encoder = fit(X)
    raw = raw if later is None else read_table(later)
    return encoder.fill(raw, np.zeros(encoder.encode(raw).values.shape))


NUMBERS = [
    *("int8", "int64", "uint8", "uint64", "float16", "float32", "float64", "Sparse[int64]"),
    *("Int8", "Int64", "UInt16", "Float32", "int8[pyarrow]", "uint64[pyarrow]", "float[pyarrow]"),
]
HOLED = ["Int8", "Int64", "UInt16", "Float32", "int8[pyarrow]", "uint64[pyarrow]", "float[pyarrow]"]


@pytest.mark.parametrize("dtype", NUMBERS)
def test_numbers_come_back_in_their_dtype(dtype):
    X = pd.DataFrame({"x": pd.array([1, 2, 4])}).astype(dtype)
    raw, encoder = fit(X)
    pd.testing.assert_frame_equal(encoder.rows(encoder.encode(raw).values), X)
    assert encoder.rows(np.array([[-1e9], [1e9]])).dtypes.tolist() == X.dtypes.tolist()


@pytest.mark.parametrize("dtype", [*HOLED, "boolean", "bool[pyarrow]"])
def test_holes_are_filled_in_a_dtype_that_has_a_place_for_them(dtype):
    X = pd.DataFrame({"x": pd.array([1, None, 0], dtype=dtype)})
    back = filled(X)
    assert back.dtypes.tolist() == X.dtypes.tolist()
    assert back["x"].notna().all()
    assert (back["x"] == X["x"])[[0, 2]].all()


def test_guesses_stay_within_the_ends_of_a_dtype():
    X = pd.DataFrame({"a": pd.Series([0, 200], dtype="uint8"), "b": np.float32([0, 1])})
    _, encoder = fit(X.assign(c=[0, 2**40]))
    back = encoder.rows(np.array([[-99.0] * 3, [1e99] * 3]))
    assert back["a"].tolist() == [0, 255]
    assert np.isfinite(back["b"]).all()
    assert back["c"].tolist()[1] > 2**62


@pytest.mark.parametrize("ordered", [False, True])
def test_categories_keep_their_order(ordered):
    X = pd.DataFrame({"x": pd.Categorical(["b", "a", None], ["c", "b", "a"], ordered=ordered)})
    assert filled(X).dtypes.tolist() == X.dtypes.tolist()


def test_dictionaries_of_arrow_and_levels_of_polars_come_back_as_categories():
    arrow = pd.ArrowDtype(pa.dictionary(pa.int32(), pa.int64()))
    for table in (
        pd.DataFrame({"x": pd.array([3, 1, None], dtype=arrow)}),
        pa.table({"x": pa.array([3, 1, None]).dictionary_encode()}),
        pl.DataFrame({"x": pl.Series(["b", "a", None], dtype=pl.Categorical)}),
    ):
        raw, _ = fit(table)
        assert raw.kinds == ["category"]
        assert isinstance(filled(table)["x"].dtype, pd.CategoricalDtype)
    enum = pl.DataFrame({"x": pl.Series(["b", "c", None], dtype=pl.Enum(["c", "b"]))})
    assert filled(enum)["x"].dtype == pd.CategoricalDtype(["c", "b"], ordered=True)


@pytest.mark.parametrize(
    ("column", "name"),
    [
        (pl.Series([1, None], dtype=pl.Int8), "Int8"),
        (pl.Series([1, 2], dtype=pl.UInt16), "uint16"),
        (pl.Series([True, None]), "boolean"),
        (pa.array([1, None], pa.int8()), "Int8"),
        (pa.array([True, None]), "boolean"),
        (pa.array([1.5, 2.5], pa.float32()), "float32"),
    ],
)
def test_columns_of_polars_and_arrow_come_back_in_the_nearest_dtype(column, name):
    table = pl.DataFrame if isinstance(column, pl.Series) else pa.table
    assert str(filled(table({"x": column}))["x"].dtype) == name


LATER = [  # fitted cells, later ones with a hole, what is filled in
    ([1, 2], [1.5, np.nan], [1.5, 2.0]),
    ([1, 2], [2.0**40, np.nan], [2**40, 2]),
    (np.uint8([1, 3]), [300.0, np.nan], [300.0, 2.0]),
    (np.uint8([1, 3]), [-1.0, np.nan], [-1.0, 2.0]),
    (np.float32([1, 3]), [0.1, np.nan], [0.1, 2.0]),
    (pd.Categorical(["a", "a"]), ["b", None], ["b", "a"]),
    (pd.Series(["1", "1"]), [1, None], [1, "1"]),
    (pd.Series([2**60, 2**60 + 2]), pd.array([2**60 + 1, None], "Int64"), [2**60 + 1, 2**60 + 2]),
]


@pytest.mark.parametrize(("fitted", "later", "expected"), LATER)
def test_an_observed_cell_never_changes(fitted, later, expected):
    got = filled(pd.DataFrame({"x": fitted}), pd.DataFrame({"x": later}))["x"].tolist()
    assert got[0] == expected[0]
    is_text = isinstance(got[1], str)
    assert got[1] == expected[1] if is_text else abs(got[1] - expected[1]) <= 1


def test_a_dtype_without_a_name_gives_way_to_float64():
    decimals = pd.array([Decimal("1.5"), Decimal("2.5")], pd.ArrowDtype(pa.decimal128(4, 1)))
    assert filled(pd.DataFrame({"x": decimals}))["x"].tolist() == [1.5, 2.5]
    nothing = pd.array([None, None], pd.ArrowDtype(pa.null()))
    assert filled(pd.DataFrame({"x": nothing, "y": [1, 2]})).shape == (2, 2)


@pytest.mark.parametrize(
    "labels",
    [
        pd.MultiIndex.from_tuples([("a", "b"), ("a", "c")], names=["u", "v"]),
        pd.Index(["a", "b"], name="n"),
        pd.RangeIndex(2),
        pd.Index([("a", 1), "b"], tupleize_cols=False),
    ],
)
def test_labels_of_columns_come_back(labels):
    X = pd.DataFrame([[1.0, 2.0], [3.0, 5.0]], columns=labels)
    raw, encoder = fit(X)
    pd.testing.assert_frame_equal(
        encoder.rows(encoder.encode(raw).values), X, check_column_type=False
    )
    assert raw.labels.equals(labels)
