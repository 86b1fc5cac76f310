"""Levels are the same however the file was read that they come from, and none is rounded."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from skvae._table import TableEncoder, read_table
from skvae._table.levels import positions_of

FAMILIES = {"gaussian": "real", "spike_slab": "spiked", "categorical": "category"}
IDS = [2**60, 2**60 + 1, 2**60, 2**60 + 2]
HOLED = [*IDS[:3], None]


def fit(X, likelihood="categorical"):
    raw = read_table(X)
    return TableEncoder(FAMILIES).fit(raw, [likelihood] * len(raw.names))


@pytest.mark.parametrize(
    "cells",
    [
        pd.Series(IDS),
        pd.Series(IDS, dtype="uint64"),
        pd.Series(HOLED, dtype="Int64"),
        pd.Series(HOLED, dtype="UInt64"),
        pd.Series(HOLED, dtype=object),
        pd.Series([n + 2**70 for n in IDS], dtype=object),
        pd.Series(HOLED, dtype="int64[pyarrow]"),
        pd.Series(pd.Categorical(IDS)),
        pl.Series(HOLED, dtype=pl.Int64),
        pl.Series(HOLED, dtype=pl.UInt64),
        pl.Series(HOLED, dtype=pl.Int128),
        pa.array(HOLED),
        np.array(IDS),
    ],
    ids=lambda cells: f"{type(cells).__module__.split('.')[0]}-{getattr(cells, 'dtype', '')}",
)
def test_integers_beyond_float64_stay_apart_as_levels(cells):
    table = {"pandas": pd.DataFrame, "polars": pl.DataFrame, "pyarrow": pa.table}
    make = table.get(type(cells).__module__.split(".")[0])
    encoder = fit(cells[:, None] if make is None else make({"id": cells}))
    known = {int(str(cell)) for cell in list(cells) if str(cell) not in ("<NA>", "None")}
    assert set(encoder.columns_[0].levels) == known
    later = read_table(pd.DataFrame({"id": [2**60, 2**60 + 77]}))
    assert encoder.encode(later).values[1, 0] == len(known)


def test_lists_of_large_integers_and_decimals_are_not_rounded():
    raw = read_table([[2**60 + 1, 0.5], [2**60, 1.5]])
    assert raw.exact[0].tolist() == [2**60 + 1, 2**60]


@pytest.mark.parametrize("likelihood", ["gaussian", "spike_slab"])
@pytest.mark.parametrize("dtype", ["int64", "Int64", object])
def test_numbers_beyond_float64_are_told_apart(likelihood, dtype):
    whole = [2**60 + i for i in range(9)]
    X = pd.DataFrame({"id": pd.Series(whole, dtype=dtype)})
    encoder = fit(X, likelihood)
    values = encoder.encode(read_table(X)).values
    assert (np.diff(values[:, 0]) > 0.01).all()
    assert encoder.decode(values)[:, 0].tolist() == whole
    assert encoder.rows(values)["id"].tolist() == whole


def test_decimals_that_may_have_been_rounded_are_no_levels():
    with pytest.raises(ValueError, match=r"Column 'id'.* as integers .* Got 1\.15292e\+18 in row"):
        fit(pd.DataFrame({"id": np.array(HOLED, dtype=float)}))


KINDS = [  # fitted levels, a later cell, the level that it is
    (["1", "2", "A7"], 1, "1"),
    (["1", "2", "A7"], 2.0, "2"),
    (["1", "2", "A7"], np.int8(1), "1"),
    (["1", "2", "A7"], "01", None),
    (["1", "2", "A7"], 3, None),
    (["01", "02", "x"], 1, "01"),
    (["1.0", "2.5", "x"], 1, "1.0"),
    (["True", "no"], True, "True"),
    ([1, 2, 3], "2", 2),
    ([1, 2, 3], "2.0", 2),
    ([1, 2, 3], "x", None),
    ([2**60, 2**60 + 1], str(2**60 + 1), 2**60 + 1),
    ([True, False], "False", False),
    ([pd.Interval(0, 1), pd.Interval(1, 2)], "(1, 2]", pd.Interval(1, 2)),
]


@pytest.mark.parametrize(("fitted", "cell", "level"), KINDS)
def test_a_level_is_known_by_its_text(fitted, cell, level):
    encoder = fit(pd.DataFrame({"x": pd.Categorical(fitted)}))
    levels = [*encoder.columns_[0].levels, None]
    later = pd.DataFrame({"x": pd.Categorical([cell])})
    assert levels[int(encoder.encode(read_table(later)).values.item())] == level


def test_blocks_of_digits_are_read_as_the_whole_table():
    text = pd.DataFrame({"x": ["1", "2", None, "A7"]})
    encoder = fit(text)
    expected = encoder.encode(read_table(text)).values[:3]
    for block in ([1.0, 2.0, np.nan], pd.array([1, 2, None], "Int64"), pl.Series([1, 2, None])):
        table = pl.DataFrame if isinstance(block, pl.Series) else pd.DataFrame
        np.testing.assert_array_equal(
            encoder.encode(read_table(table({"x": block}))).values, expected
        )


def test_a_number_that_may_be_two_texts_is_refused():
    encoder = fit(pd.DataFrame({"x": ["1", "01", "x"]}))
    with pytest.raises(ValueError, match=r"Column 'x': 1\.0 may stand for '1' and '01', which"):
        encoder.encode(read_table(pd.DataFrame({"x": [1]})))


def test_levels_that_are_the_same_as_text_count_as_one():
    mixed = pd.DataFrame({"x": np.array([1, 2, "1", "2", "x", None], dtype=object)})
    with pytest.warns(UserWarning, match="Column 'x' holds both 1 and '1': such levels"):
        encoder = fit(mixed)
    assert encoder.columns_[0].levels == ("1", "2", "x")
    assert encoder.columns_[0].n_observed == 5
    assert encoder.encode(read_table(mixed)).values.ravel().tolist() == [0, 1, 0, 1, 2, 0]


def test_positions_are_those_of_equal_levels():
    assert positions_of(["b", "c", 1], ["a", "b"], "x").tolist() == [1, -1, -1]
