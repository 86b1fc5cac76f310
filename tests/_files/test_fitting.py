"""Fits from files of any size: the sample, what may give it, and what may be wrong with a part."""

import gzip
import itertools

import numpy as np
import pandas as pd
import polars
import pyarrow
import pyarrow.dataset
import pytest
from common import SMALL
from scipy.stats import chisquare

import skvae
from skvae import VAEAnomalyDetector, VAETransformer
from skvae._estimators import as_random_state, seed_from
from skvae._files import blocks_of, dialect_of, sample_of
from skvae._files import sources as module
from skvae._files.read import EXACT

FAST = SMALL | {"max_steps": 8}
SEED = seed_from(as_random_state(FAST["random_state"]))  # of the rows that are drawn


@pytest.fixture(scope="module")
def X():  # noqa: N802
    """300 rows of all kinds, some cells missing."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(300, 2)).round(6), columns=["a", "b"])
    X["n"], X["flag"] = rng.integers(0, 5, 300), rng.random(300) < 0.5
    X["ward"] = rng.choice(["A1", "B, C", 'D "x"', "E\nF"], 300)
    X["code"] = rng.choice(["007", "010", "100"], 300)
    X.loc[::7, "b"] = np.nan
    return X


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(module, "BLOCK_ROWS", 16)


def numbered(n, size):
    """Blocks of one column that counts n rows, so many at a time."""
    for start in range(0, n, size):
        yield from blocks_of(pyarrow.table({"row": np.arange(start, min(n, start + size))}))


def split(X, folder, suffix, n_parts=10):
    """Write X as parts; return their folder."""
    folder.mkdir()
    write = {".csv": "to_csv", ".csv.gz": "to_csv", ".parquet": "to_parquet"}.get(suffix)
    for number, rows in enumerate(np.array_split(np.arange(len(X)), n_parts)):
        part, path = X.iloc[rows], folder / f"part-{number:02}{suffix}"
        if write is None:
            part.to_json(path, orient="records", lines=True, double_precision=15)
        else:
            getattr(part, write)(path, index=False)
    return folder


def test_each_row_is_as_likely_to_be_drawn():
    n, size = 20, 7
    draws = [sample_of(numbered(n, 3), size, seed).X["row"] for seed in range(400)]
    assert all(len(set(drawn)) == size for drawn in draws)
    for counted in (draws, [drawn[:1] for drawn in draws]):  # the first of which calibrate
        counts = np.bincount(np.concatenate(counted), minlength=n)
        assert chisquare(counts).pvalue > 1e-3


@pytest.mark.parametrize("size", [1, 5, 40, 100])
def test_the_sample_does_not_depend_on_blocks(size):
    samples = [sample_of(numbered(40, n), size, 3) for n in (1, 7, 40)]
    for sample in samples:
        assert sample.n_rows == 40
        assert sorted(sample.X["row"])[: min(size, 40)] == sorted(samples[0].X["row"])
        assert list(sample.X["row"]) == list(samples[0].X["row"])


def test_one_model_from_one_file_from_its_parts_and_from_other_formats(X, tmp_path, small_blocks):
    X.to_csv(tmp_path / "X.csv", index=False)
    X = pd.read_csv(tmp_path / "X.csv", dtype={"code": str}, **EXACT)
    X.to_parquet(tmp_path / "X.parquet")
    sources = {
        "one file": tmp_path / "X.csv",
        "Parquet": str(tmp_path / "X.parquet"),
        "a pattern": str(split(X, tmp_path / "csv", ".csv") / "part-*.csv"),
        "compressed": split(X, tmp_path / "gz", ".csv.gz"),
        "JSON lines": split(X, tmp_path / "json", ".jsonl"),
        "a list": sorted(split(X, tmp_path / "parquet", ".parquet").iterdir()),
        "a data set": pyarrow.dataset.dataset(tmp_path / "parquet"),
        "lazy": polars.scan_parquet(tmp_path / "X.parquet"),
        "a stream": pyarrow.Table.from_pandas(X),
    }
    scores = {}
    for name, source in sources.items():
        detector = VAEAnomalyDetector(**FAST)
        skvae.fit_files(detector, source, sample_rows=150, calibration_rows=100)
        assert detector.n_calibration_ == 100
        scores[name] = detector.score_samples(X), detector.offset_
    for name, (found, offset) in scores.items():
        assert np.array_equal(found, scores["one file"][0]), name
        assert offset == scores["one file"][1], name
    assert [str(column.levels) for column in detector.table_.columns_][-1].count("007") == 1


def test_calibration_rows_are_not_fitted(X, monkeypatch):
    seen = {}
    fit, calibrate = VAEAnomalyDetector._fit_from, VAEAnomalyDetector.calibrate

    def noting(method, name):
        def noted(self, X, *args, **told):
            seen[name] = set(X["row"])
            return method(self, X, *args, **told)

        return noted

    monkeypatch.setattr(VAEAnomalyDetector, "_fit_from", noting(fit, "fit"))
    monkeypatch.setattr(VAEAnomalyDetector, "calibrate", noting(calibrate, "calibrate"))
    rows = pyarrow.table({"row": np.arange(500.0), "x": np.sin(np.arange(500.0))})
    skvae.fit_files(VAEAnomalyDetector(**FAST), rows, sample_rows=200, calibration_rows=100)
    assert (len(seen["fit"]), len(seen["calibrate"])) == (200, 100)
    assert not seen["fit"] & seen["calibrate"]
    # Of fewer rows than are asked for, the same share.
    skvae.fit_files(VAEAnomalyDetector(**FAST), rows, sample_rows=2000, calibration_rows=1000)
    assert (len(seen["fit"]), len(seen["calibrate"])) == (334, 166)


def test_what_calibrates_as_fit_does(X):
    rows = pyarrow.Table.from_pandas(X[["a", "b"]])
    detector = VAEAnomalyDetector(**FAST, contamination=0.1)
    skvae.fit_files(detector, rows, sample_rows=200, calibration_rows=100)
    assert detector.n_calibration_ == 0
    few = VAEAnomalyDetector(**FAST, false_alarm_rate=0.05)
    skvae.fit_files(few, rows, sample_rows=290, calibration_rows=10)
    assert few.n_calibration_ == 29  # a tenth of the rows drawn, held out
    assert skvae.fit_files(VAETransformer(**FAST), rows).n_features_in_ == 2


def test_columns_and_names_of_folders(X, tmp_path):
    for year in (2025, 2026):
        (tmp_path / f"year={year}").mkdir()
        X.to_parquet(tmp_path / f"year={year}" / "part.parquet")
    detector = skvae.fit_files(VAEAnomalyDetector(**FAST), tmp_path, columns=["b", "year"])
    assert list(detector.feature_names_in_) == ["b", "year"]
    assert np.isfinite(detector.score_samples(pd.DataFrame({"b": [0.0], "year": [2026]}))).all()
    with pytest.raises(ValueError, match="columns: there is no column 'none'"):
        skvae.fit_files(VAEAnomalyDetector(**FAST), tmp_path, columns=["none"])


def test_rows_of_quoted_lines_are_whole(tmp_path, small_blocks):
    texts = ['a "quoted" one', "two\nlines", "with, comma", "  ", "", 'odd " sign']
    X = pd.DataFrame(
        {"x": np.arange(60.0), "text": list(itertools.islice(itertools.cycle(texts), 60))}
    )
    X.to_csv(tmp_path / "X.csv", index=False)
    # A quote within a field that is not quoted is a sign like any other.
    with open(tmp_path / "X.csv", "a") as file:
        file.write('60.0,5" pipe\n\n61.0,plain')
    drawn = sample_of(blocks_of(tmp_path / "X.csv"), 100, 0)
    expected = pd.read_csv(tmp_path / "X.csv")
    assert len(expected) == 62
    pd.testing.assert_frame_equal(
        drawn.X.sort_values("x").reset_index(drop=True), expected, check_dtype=False
    )
    assert np.array_equal(drawn.places, drawn.X["x"])


def parts(X, folder, suffix=".parquet", **others):
    folder = split(X, folder, suffix, 3)
    for name, change in others.items():
        (folder / name).write_bytes(change)
    return folder


BAD = {
    "a column less": (lambda X: X.drop(columns="n"), "there is no column 'n', which .*part-00"),
    "a column more": (lambda X: X.assign(z=1), "there is a column 'z', which .*part-00.* has not"),
    "another kind": (
        lambda X: X.assign(n="x"),
        "column 'n' holds text here, and numbers in .*part-00",
    ),
    "infinite": (
        lambda X: X.assign(a=[np.inf, *X["a"][1:]]),
        "Column 'a' contains infinity.* in row 0 ",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_part_is_named(case, X, tmp_path):
    change, message = BAD[case]
    folder = split(X, tmp_path / "X", ".parquet", 3)
    change(X.iloc[:50].reset_index(drop=True)).to_parquet(folder / "part-01.parquet")
    before = VAEAnomalyDetector(**FAST)
    with pytest.raises(ValueError, match=rf"part-01\.parquet: {message}"):
        skvae.fit_files(before, folder)
    assert not hasattr(before, "members_")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("bad.parquet", b"PAR1 and no footer", r"bad\.parquet: is Parquet that is cut"),
        ("bad.parquet", b"a,b\n1,2\n", r"bad\.parquet: is no Parquet: .* --input-format"),
        (
            "bad.csv.gz",
            gzip.compress(b"a,b\n1,2\n" * 99, mtime=0)[:-9],
            r"bad\.csv\.gz: cannot be decomp",
        ),
        ("bad.csv", b"a,b\n1,2\n1,2,3\n", r"bad\.csv: there are 3 fields in row 1 .*, and 2 in"),
        ("bad.csv", b"a,b\n\xff,2\n", r"bad\.csv: is no text in UTF-8"),
        ("bad.csv", b"a,a\n1,2\n", r"bad\.csv: its header has the name 'a' more than once"),
        ("bad.jsonl", b'{"a": 1}\n{"a": \n', r"bad\.jsonl: there is no JSON in row 1 .*: Expect"),
        ("bad.jsonl", b'{"a": 1}\n[2]\n', r"bad\.jsonl: there is no JSON object in row 1"),
        ("bad.csv", b"a,b\n", "no rows in the source"),
        ("bad.csv", b"", "no rows in the source"),
    ],
)
def test_a_damaged_file_is_named(name, content, message, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        skvae.fit_files(VAEAnomalyDetector(**FAST), tmp_path / name)


def test_parts_without_rows_count_for_nothing(X, tmp_path):
    folder = split(X, tmp_path / "X", ".csv", 3)
    whole = sample_of(blocks_of(folder), 50, 0).X
    X.iloc[:0].to_csv(folder / "part-00a.csv", index=False)
    (folder / "part-00b.csv").write_bytes(b"")
    pd.testing.assert_frame_equal(sample_of(blocks_of(folder), 50, 0).X, whole)


def test_whole_numbers_here_and_fractions_there(X, tmp_path):
    folder = split(X[["a", "n"]].astype({"n": float}), tmp_path / "X", ".parquet", 3)
    X[["a", "n"]].to_parquet(folder / "part-03.parquet")
    assert sample_of(blocks_of(folder), 999, 0).X["n"].dtype == float


def test_what_is_no_source_and_no_count(X):
    with pytest.raises(TypeError, match=r"source must be a path, .* Got an object of type int"):
        skvae.fit_files(VAEAnomalyDetector(**FAST), 3)
    with pytest.raises(FileNotFoundError):
        skvae.fit_files(VAEAnomalyDetector(**FAST), "none.csv")
    for settings in ({"sample_rows": 1}, {"calibration_rows": -1}, {"sample_rows": 2.5}):
        (name,) = settings
        with pytest.raises((TypeError, ValueError), match=name):
            skvae.fit_files(VAEAnomalyDetector(**FAST), pyarrow.Table.from_pandas(X), **settings)


def drawn(source):
    """All rows of a source, as they are drawn."""
    return sample_of(blocks_of(source), 999, 0).X


def test_names_of_folders_are_of_all_parts_and_of_one_kind(X, tmp_path):
    for folder in ("w=7", "w=A1"):
        (tmp_path / folder).mkdir()
        X[["a"]].to_parquet(tmp_path / folder / "p.parquet")
    assert set(drawn(tmp_path)["w"]) == {"7", "A1"}
    X[["a"]].to_parquet(tmp_path / "p.parquet")
    with pytest.raises(ValueError, match="'w' is in the names of the folders of some files"):
        drawn(tmp_path)
    (tmp_path / "p.parquet").unlink()
    X[["a"]].assign(w=1).to_parquet(tmp_path / "w=7" / "p.parquet")
    with pytest.raises(ValueError, match=r"w=7/p\.parquet: column 'w' is in the name of its fol"):
        drawn(tmp_path)


def test_digits_are_text_where_another_file_says_so(tmp_path):
    (tmp_path / "0.csv").write_text("code,a\n007,1\n010,2\n")
    (tmp_path / "1.csv").write_text("a,code\n3,100\n4,10\n")
    assert set(drawn(tmp_path)["code"]) == {"007", "010", "100", "10"}
    (tmp_path / "2.jsonl").write_text('{"a": 5, "code": 9}\n')
    with pytest.raises(ValueError, match="column 'code' holds text in some files, and numbers"):
        drawn(tmp_path)


def test_levels_of_arrow_may_be_dictionaries_here_and_text_there(tmp_path):
    X = pd.DataFrame({"w": list("xyzx"), "n": [1, 2, 3, 4]})
    X.astype({"w": "category"}).to_parquet(tmp_path / "0.parquet")
    X.to_parquet(tmp_path / "1.parquet")
    assert list(drawn(tmp_path)["w"].value_counts().sort_index()) == [4, 2, 2]
    X.assign(w=None).to_parquet(tmp_path / "0.parquet")  # a column without a type says nothing
    X.assign(w=1.0).to_parquet(tmp_path / "2.parquet")
    with pytest.raises(ValueError, match=r"2\.parquet: column 'w' holds numbers here, and text"):
        drawn(tmp_path)


def test_a_page_that_is_damaged_is_named(X, tmp_path):
    folder = split(X, tmp_path / "X", ".parquet", 2)
    content = bytearray((folder / "part-01.parquet").read_bytes())
    content[20:400] = bytes(380)
    (folder / "part-01.parquet").write_bytes(content)
    with pytest.raises(ValueError, match=r"part-01\.parquet: "):
        drawn(folder)


def test_a_quoted_field_that_does_not_end_is_named(tmp_path):
    (tmp_path / "0.csv").write_text('a,b\n1,x\n2,"un')
    (tmp_path / "1.csv").write_text('a,b\n1,"y"\n')
    with pytest.raises(ValueError, match=r"0\.csv: a quoted field of its last row does not end"):
        drawn(tmp_path)


@pytest.mark.parametrize("quote", ["", '"'])
def test_fields_may_be_long(quote, tmp_path):
    (tmp_path / "0.csv").write_text(f"a,b\n1,{quote}{'x' * 200_000}{quote}\n2,y\n")
    assert len(drawn(tmp_path)) == 2


def test_rows_of_separators_alone_are_rows(tmp_path):
    (tmp_path / "0.csv").write_text("a\tb\n1\t2\n\t\n \n3\t4\n")
    blocks = blocks_of(tmp_path / "0.csv", dialect=dialect_of("tab", "."))
    assert len(sample_of(blocks, 9, 0).X) == 3


def test_a_file_counts_once_and_links_are_followed(X, tmp_path):
    folder = split(X, tmp_path / "X", ".csv", 2)
    with pytest.raises(ValueError, match=r"part-00\.csv is there more than once"):
        drawn([folder, folder / "part-00.csv"])
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "X").symlink_to(folder)
    (folder / "round").symlink_to(tmp_path / "linked")
    assert len(drawn(tmp_path / "linked")) == 300


def test_what_is_wrong_is_said_before_rows_are_read(tmp_path):
    labelled, unseeded = VAEAnomalyDetector(use_labels=True), VAEAnomalyDetector()
    with pytest.raises(ValueError, match="fit_files takes no labels"):
        skvae.fit_files(labelled, "none.csv")
    with pytest.raises(ValueError, match=r"checkpoint needs an int for random_state.* Got None"):
        skvae.fit_files(unseeded, "none.csv", checkpoint=tmp_path / "c")
    with pytest.raises(TypeError, match=r"columns must be a list of names\. Got 'ab'"):
        skvae.fit_files(unseeded, "none.csv", columns="ab")
    with pytest.raises(FileNotFoundError, match="There is no folder"):
        skvae.fit_files(
            VAEAnomalyDetector(random_state=0), "none.csv", checkpoint=tmp_path / "none" / "c"
        )
    with pytest.raises(TypeError, match="Got an object of type VAEClassifier"):
        skvae.fit_files(skvae.VAEClassifier(), "none.csv")


def test_a_checkpoint_outlives_rows_that_cannot_calibrate(X, tmp_path):
    n = len(X)
    sizes = {"sample_rows": 200, "calibration_rows": 100}
    bad = X[["a", "b"]].copy()
    order = sample_of(blocks_of(pyarrow.table({"row": np.arange(n)})), n, SEED).X["row"]
    bad.loc[order[0], "a"] = np.inf  # among those that calibrate
    detector, rows = VAEAnomalyDetector(**FAST), pyarrow.Table.from_pandas(bad)
    with pytest.raises(ValueError, match="contains infinity"):
        skvae.fit_files(detector, rows, checkpoint=tmp_path / "c", **sizes)
    assert (tmp_path / "c" / "skvae-fit.json").exists()
    assert not hasattr(detector, "members_")
