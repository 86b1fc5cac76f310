"""Tables that lie in many files."""

import pytest

from skvae._files import folder_of, is_many, keys_of, parts_of


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("in/b.csv", "in/a.parquet", "in/x=1/c.jsonl.gz", "in/_old/d.csv", "in/[1].csv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path / "in"


SOURCES = {
    "in": ["[1].csv", "a.parquet", "b.csv", "x=1/c.jsonl.gz"],
    "in/": ["[1].csv", "a.parquet", "b.csv", "x=1/c.jsonl.gz"],
    "in/*": ["[1].csv", "a.parquet", "b.csv", "x=1/c.jsonl.gz"],
    "in/*.csv": ["[1].csv", "b.csv"],
    "in/**": ["[1].csv", "a.parquet", "b.csv", "x=1/c.jsonl.gz"],
    "*/b.csv": ["in/b.csv"],
    "in/_old": ["d.csv"],
    "in/[1].csv": ["[1].csv"],
    "in/x=?": ["x=1/c.jsonl.gz"],
}


@pytest.mark.parametrize(("source", "names"), SOURCES.items())
def test_parts_are_named_below_their_folder(folder, source, names):
    parts = parts_of(source)
    assert [part.name for part in parts] == names
    assert all((folder_of(source) / part.name).samefile(part.path) for part in parts)


def test_a_file_that_looks_like_a_pattern_is_a_file(folder):
    assert not is_many("in/[1].csv")
    assert is_many("in/[b].csv")


@pytest.mark.parametrize("source", ["none.csv", "none", "in/*.pq", "none/*"])
def test_no_table_is_an_error_that_names_the_source(folder, source):
    with pytest.raises(FileNotFoundError, match=source.replace("*", r"\*")):
        parts_of(source)


def test_a_named_format_takes_all_suffixes(folder):
    (folder / "part-0").touch()
    with pytest.warns(UserWarning, match="1 of 5 files are no tables"):
        assert len(parts_of("in")) == 4
    assert len(parts_of("in", "csv")) == 5


def test_keys_are_those_that_pyarrow_reads(tmp_path):
    arrow = pytest.importorskip("pyarrow.dataset")
    import pandas as pd

    cells = {"year": [2026, 2027], "ward": ["A/B", "ü"], "none": [None, 3]}
    pd.DataFrame(cells | {"a": [0.5, 1.5]}).to_parquet(tmp_path, partition_cols=list(cells))
    expected = arrow.dataset(tmp_path, partitioning="hive").to_table().to_pylist()
    found = [keys_of(part.name) for part in parts_of(tmp_path)]
    assert found == [{name: row[name] for name in cells} for row in expected]
