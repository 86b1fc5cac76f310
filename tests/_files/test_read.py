"""Tables of files: digits that are no plain numbers stay what they are."""

import numpy as np
import pandas as pd
import pytest

from skvae._files import read_blocks, read_table_file


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "table.csv")


def write(path, **columns):
    pd.DataFrame(columns, dtype=object).to_csv(path, index=False)


@pytest.mark.parametrize("cells", [["007", "12"], ["00", "1"], ["-01", "5"]])
def test_digits_with_leading_zeros_stay_text(path, cells):
    write(path, x=[*cells, None, "3"], y=[1, 2, 3, 4])
    X = read_table_file(path, "csv")
    assert X["x"].dropna().tolist() == [*cells, "3"]
    assert X["y"].dtype == np.int64


@pytest.mark.parametrize("cells", [["0", "10"], ["0.5", "1.0"], ["-0.25", "0"], ["1e05", "20"]])
def test_numbers_stay_numbers(path, cells):
    write(path, x=cells)
    assert read_table_file(path, "csv")["x"].tolist() == [float(cell) for cell in cells]


def test_integers_beyond_float64_survive_a_hole(path):
    whole = [2**60 + 1, None, 2**60 + 3]
    write(path, x=whole, y=[1, 2, 3])
    assert read_table_file(path, "csv")["x"].astype(object).tolist() == [whole[0], pd.NA, whole[2]]
    parquet = path.replace("csv", "parquet")
    pd.DataFrame({"x": pd.array(whole, "Int64")}).to_parquet(parquet)
    (block,) = read_blocks(parquet, "parquet", 10)
    assert [cell for cell in block["x"] if pd.notna(cell)] == [whole[0], whole[2]]
