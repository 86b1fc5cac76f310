"""Scores of many files: one output a part, whole or not there, and no part twice."""

import errno
import json
import os
import re
import sys
import time
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from common import SMALL, run

import skvae
from skvae._files import format_of, read_table_file, writing
from skvae._scoring import Job, engines, score_parts
from skvae._scoring import job as jobs

FEATURES = [*"abcde", "flag"]
NAMES = ["2025/a.csv", "2025/b.csv.gz", "2026/c.parquet", "2026/deep/d.jsonl"]


@pytest.fixture(scope="module")
def detector(model_file):
    return skvae.load(model_file)


@pytest.fixture
def new(keyed, tmp_path):
    """Folder of `keyed` in four parts of four formats, and of files that are none."""
    for i, name in enumerate(NAMES):
        write(keyed[100 * i : 100 * (i + 1)], tmp_path / "new" / name)
    write(keyed, tmp_path / "new/_temporary/x.csv")
    (tmp_path / "new/_SUCCESS").touch()
    (tmp_path / "new/2025/.a.csv.crc").touch()
    return tmp_path / "new"


def write(rows, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    with writing(str(path), format_of(str(path))) as add:
        add(rows)


def read(path):
    return read_table_file(str(path), format_of(str(path)))


def outputs(folder):
    """Names of all files of scores, those that are not complete too."""
    files = {path for path in folder.rglob("*") if path.is_file()}
    return sorted(path.relative_to(folder).as_posix() for path in files - {ledger(folder)})


def ledger(folder):
    return folder / "_skvae.jsonl"


def of_times(folder):
    return {name: (folder / name).stat().st_mtime_ns for name in outputs(folder)}


@pytest.mark.parametrize("n_jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_each_row_is_scored_once_as_in_one_piece(detector, keyed, new, tmp_path, n_jobs):
    folder = tmp_path / "scores"
    parts = skvae.score_files(
        detector, new, folder, keep=["id"], n_jobs=n_jobs, block_rows=30, p_values=True
    )
    assert outputs(folder) == NAMES
    assert list(parts.index) == NAMES
    scores = pd.concat([read(folder / name) for name in NAMES], ignore_index=True)
    assert list(scores) == ["id", "anomaly_score", "flagged", "p_value"]
    assert list(scores["id"]) == list(keyed["id"])
    X = keyed[FEATURES]
    np.testing.assert_allclose(scores["anomaly_score"], detector.negative_elbo(X), rtol=1e-14)
    np.testing.assert_array_equal(scores["flagged"], detector.predict(X) == -1)
    (exact,) = (read(folder / name)["anomaly_score"] for name in NAMES if "parquet" in name)
    np.testing.assert_array_equal(exact, detector.negative_elbo(X)[200:300])
    np.testing.assert_allclose(scores["p_value"], detector.p_values(X), rtol=1e-12)
    assert parts["rows"].sum() == len(keyed)
    assert parts["flagged"].sum() == scores["flagged"].sum()


def test_outputs_are_those_of_the_command_for_one_table(model_file, new, tmp_path, capsys):
    options = ["--keep", "id,a", "--p-values"]
    assert run("score", model_file, new, "-o", tmp_path / "scores", *options) == 0
    assert "400 rows, " in capsys.readouterr().err
    for name in NAMES:
        alone = tmp_path / f"alone{''.join(Path(name).suffixes)}"
        assert run("score", model_file, new / name, "-o", alone, *options) == 0
        pd.testing.assert_frame_equal(read(tmp_path / "scores" / name), read(alone))


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("new/2025/*", ["a.csv", "b.csv.gz"]),
        ("new/*/*.csv*", ["2025/a.csv", "2025/b.csv.gz"]),
        ("new/2026*", ["2026/c.parquet", "2026/deep/d.jsonl"]),
        ("new/**/d.*", ["2026/deep/d.jsonl"]),
        ("new/2025/a.csv", ["a.csv"]),
    ],
)
def test_a_pattern_names_files_and_folders(detector, new, tmp_path, monkeypatch, pattern, names):
    monkeypatch.chdir(tmp_path)
    parts = skvae.score_files(detector, pattern, "scores")
    assert list(parts.index) == names
    assert outputs(tmp_path / "scores") == names


def test_another_format_takes_another_suffix(detector, new, tmp_path):
    skvae.score_files(detector, new / "2025", tmp_path / "scores", output_format="jsonl")
    assert outputs(tmp_path / "scores") == ["a.jsonl", "b.jsonl"]
    (new / "2025/a.parquet").touch()
    with pytest.raises(ValueError, match=r"a.csv and .*a.parquet would have one output"):
        skvae.score_files(detector, new / "2025", tmp_path / "s", output_format="jsonl")


def test_folders_may_name_a_column(keyed, tmp_path):
    X = keyed[["a", "c"]].assign(month=1 + np.arange(len(keyed)) % 3)
    detector = skvae.VAEAnomalyDetector(**SMALL).fit(X)
    X.to_parquet(tmp_path / "new", partition_cols=["month"], index=False)
    skvae.score_files(detector, tmp_path / "new", tmp_path / "scores", keep=["a"])
    scores = pd.read_parquet(tmp_path / "scores").set_index("a")["anomaly_score"]
    expected = pd.Series(detector.negative_elbo(X), X["a"])
    pd.testing.assert_series_equal(scores[expected.index], expected, check_names=False)


# A second run.


CHANGES = {
    "nothing": ([], lambda new, scores: None),
    "an input": (["2025/a.csv"], lambda new, scores: touch(new / "2025/a.csv")),
    "an output": (["2026/c.parquet"], lambda new, scores: touch(scores / "2026/c.parquet")),
    "no output": (["2025/a.csv"], lambda new, scores: (scores / "2025/a.csv").unlink()),
    "no ledger": (NAMES, lambda new, scores: ledger(scores).unlink()),
    "half a line": ([], lambda new, scores: append(ledger(scores), '{"part": "2025/a.c')),
    "half a line and an input": (["2025/a.csv"], lambda new, scores: half_and_touch(new, scores)),
    "no record": ([], lambda new, scores: append(ledger(scores), "[1]\nnull\n\xff\n")),
}


def touch(path):
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))


def half_and_touch(new, scores):
    append(ledger(scores), '{"part": "2025/a.c')
    touch(new / "2025/a.csv")


def append(path, text):
    with path.open("a", encoding="latin-1") as file:
        file.write(text)


@pytest.mark.parametrize(("again", "change"), CHANGES.values(), ids=CHANGES)
def test_a_second_run_scores_what_changed(detector, new, tmp_path, again, change):
    folder = tmp_path / "scores"
    first = skvae.score_files(detector, new, folder)
    before = of_times(folder)
    change(new, folder)
    second = skvae.score_files(detector, new, folder)
    assert list(second.index[~second["finished_before"]]) == again
    after = of_times(folder)
    assert [name for name in NAMES if after[name] != before[name]] == again
    pd.testing.assert_frame_equal(first[["rows", "flagged"]], second[["rows", "flagged"]])
    assert skvae.score_files(detector, new, folder)["finished_before"].all()


def test_another_model_or_another_setting_scores_all_again(detector, keyed, new, tmp_path):
    folder = tmp_path / "scores"
    other = skvae.VAEAnomalyDetector(**SMALL).fit(keyed[FEATURES])
    for model, settings in [(detector, {}), (other, {}), (detector, {}), (detector, {"keep": "a"})]:
        options = {name: [value] for name, value in settings.items()}
        parts = skvae.score_files(model, new, folder, **options)
        assert not parts["finished_before"].any()
        expected = model.negative_elbo(keyed[FEATURES])[:100]
        np.testing.assert_allclose(read(folder / NAMES[0])["anomaly_score"], expected, rtol=1e-14)


def test_a_models_file_goes_on_with_what_the_command_began(model_file, new, tmp_path):
    assert run("score", model_file, new, "-o", tmp_path / "scores") == 0
    parts = skvae.score_files(model_file, new, tmp_path / "scores")
    assert parts["finished_before"].all()


def test_a_model_is_the_same_one_whenever_it_is_loaded(model_file, new, tmp_path):
    for is_finished in (False, True):
        parts = skvae.score_files(skvae.load(model_file), new, tmp_path / "scores")
        assert (parts["finished_before"] == is_finished).all()


def test_what_a_killed_writer_left_is_removed_later(detector, new, tmp_path):
    folder = tmp_path / "scores"
    skvae.score_files(detector, new, folder)
    for name, age in (("old", 7200), ("young", 0)):
        (folder / f"2025/.skvae-{name}").touch()
        os.utime(folder / f"2025/.skvae-{name}", (time.time() - age,) * 2)
    skvae.score_files(detector, new, folder)
    assert outputs(folder) == ["2025/.skvae-young", *NAMES]


# Parts that cannot be scored.


def bad_parts(keyed):
    """What is wrong with a part of each name, and what is said of it."""
    X = keyed[:20]
    cells = X["c"].astype(object).where(X.index != 7, "oops")
    return {
        "missing.csv": (X.drop(columns="c"), "there is no column 'c'"),
        "cell.csv": (X.assign(c=cells), r"Column 'c' holds 'oops' in row 7 \(counted from 0\)"),
        "text.csv": (X.assign(c="x"), r"Column 'c': .*'x' in row 0"),
        "text.parquet": (X.assign(c="x"), r"Column 'c': .*'x' in row 0"),
        "infinite.csv": (X.assign(a=np.inf), "Column 'a' contains infinity: inf in row 0"),
        "header.csv": (X[:0], "no rows below the header"),
        "none.parquet": (X[:0], "no rows"),
    }


def corrupt(path, rows):
    rows.to_parquet(path)
    content = path.read_bytes()
    length = int.from_bytes(content[-8:-4], "little")
    path.write_bytes(content[: -8 - length] + b"\0" * length + content[-8:])


def test_bad_parts_are_told_at_the_end_and_the_others_finished(
    model_file, keyed, new, tmp_path, capsys
):
    bad = bad_parts(keyed)
    for name, (rows, _) in bad.items():
        write(rows, new / "bad" / name)
    (new / "bad/empty.csv").touch()
    corrupt(new / "bad/footer.parquet", keyed)
    (new / "bad/short.parquet").write_bytes((new / "2026/c.parquet").read_bytes()[:-20])
    messages = {name: message for name, (_, message) in bad.items()}
    damaged = "is Parquet that is cut short or damaged"
    messages |= {"empty.csv": "is empty", "footer.parquet": damaged, "short.parquet": damaged}
    folder = tmp_path / "scores"
    inputs = of_times(new)
    for n_scored in (len(NAMES), 0):  # in the first run and in the second
        assert run("score", model_file, new, "-o", folder, "--block-rows", 5) == 1
        *lines, summary = capsys.readouterr().err.splitlines()
        assert len(lines) == len(messages), lines
        for (name, message), line in zip(sorted(messages.items()), lines, strict=True):
            assert re.match(rf"skvae: \S*bad/{name}: .*{message}", line), line
        assert f"tables: {n_scored} scored, {4 - n_scored} as before, 10 failed" in summary
        assert outputs(folder) == NAMES
    assert of_times(new) == inputs
    with pytest.raises(ValueError, match=r"10 of 14 parts have no scores:\n.*bad/cell.csv: Col"):
        skvae.score_files(skvae.load(model_file), new, folder)


def test_numbers_are_numbers_of_whatever_type(detector, keyed, tmp_path):
    whole = keyed[FEATURES].assign(e=keyed["e"].round(), flag=keyed["flag"])
    types = {"int.parquet": "int32", "float.parquet": "float64", "int.csv": "int64"}
    for name, dtype in types.items():
        rows = whole.assign(e=whole["e"].astype(int).astype(dtype))
        write(rows, tmp_path / "new" / name)
    skvae.score_files(detector, tmp_path / "new", tmp_path / "scores")
    for name in types:
        scores = read(tmp_path / "scores" / name)["anomaly_score"]
        np.testing.assert_array_equal(scores, detector.negative_elbo(whole))


# Nothing is lost.


def test_a_full_disk_ends_the_run_and_leaves_what_is_whole(
    detector, new, tmp_path, monkeypatch, capsys
):
    full = OSError(errno.ENOSPC, "No space left on device")
    written = jobs.write_blocks

    def write_blocks(results, target):
        with writing(target.path, "csv") as add:
            add(pd.DataFrame({"x": [1.0]}))
            if "b.csv" in target.path:
                raise full
        return written(results, target)

    monkeypatch.setattr(jobs, "write_blocks", write_blocks)
    with pytest.raises(ValueError, match=r"No space left on device: '.*b\.csv\.gz'"):
        skvae.score_files(detector, new, tmp_path / "scores")
    assert outputs(tmp_path / "scores") == NAMES[:1]
    monkeypatch.undo()
    parts = skvae.score_files(detector, new, tmp_path / "scores")
    assert list(parts["finished_before"]) == [True, False, False, False]


@contextmanager
def no_longer_files(n_bytes):
    """As on a full disk: what is written beyond so many bytes of a file is an error."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("suffix", ["csv", "parquet", "csv.gz"])
def test_a_file_that_cannot_grow_is_named(model_file, keyed, tmp_path, suffix):
    write(keyed, tmp_path / f"new/a.{suffix}")
    job = Job(skvae.BlockScorer(model_file, ["id"]), str(tmp_path / "scores"), block_rows=50)
    with no_longer_files(1000):
        _, (outcome,) = score_parts(job, tmp_path / "new")
    assert re.search(rf"File too large: '.*scores/a.{suffix}'$", outcome.error)
    assert outputs(tmp_path / "scores") == []


def test_a_part_that_grows_meanwhile_is_not_finished(detector, new, tmp_path, monkeypatch):
    counted = jobs.counted

    def growing(results, counts):
        yield from counted(results, counts)
        touch(new / "2025/a.csv")

    monkeypatch.setattr(jobs, "counted", growing)
    with pytest.raises(ValueError, match=r"1 of 1 .*\n.*a\.csv: it was changed while it was read"):
        skvae.score_files(detector, new / "2025/a.csv", tmp_path / "scores")
    assert outputs(tmp_path / "scores") == []


def linked(new, tmp_path):
    (tmp_path / "scores/2025").mkdir(parents=True)
    (tmp_path / "scores/2025/b.csv.gz").symlink_to(new / "2025/b.csv.gz")
    return new, tmp_path / "scores"


def plain_file(new, tmp_path):
    (tmp_path / "plain").touch()
    return new, tmp_path / "plain"


PLACES = {
    "inside": (lambda new, _: (new, new / "scores"), r"lies in the input"),
    "the same": (lambda new, _: (new, new), r"lies in the input"),
    "of the pattern": (lambda new, _: (f"{new}/2025/*", new / "2025"), r"lies in the output"),
    "above": (lambda new, above: (new, above), r"lies in the output"),
    "a link": (linked, r"The output .*b\.csv\.gz is the input"),
    "a file": (plain_file, r"plain is no folder"),
    "no source": (lambda new, above: (above / "none", above / "s"), r"none"),
    "no table": (lambda new, above: (new / "*.csv", above / "s"), r"there is no table"),
}


@pytest.mark.parametrize(("place", "message"), PLACES.values(), ids=PLACES)
def test_an_output_takes_no_inputs_place(detector, new, tmp_path, place, message):
    source, folder = place(new, tmp_path)
    before = of_times(tmp_path)
    with pytest.raises((ValueError, OSError), match=message):
        skvae.score_files(detector, source, folder)
    assert of_times(tmp_path) == before


def test_an_output_takes_no_models_place(model_file, new, tmp_path, capsys):
    model = tmp_path / "scores/a.csv"
    model.parent.mkdir()
    model.write_bytes(model_file.read_bytes())
    assert run("score", model, new / "2025/*.csv", "-o", tmp_path / "scores") == 1
    assert re.match(r"skvae: The output .*a\.csv is the input .*a\.csv", capsys.readouterr().err)
    assert model.read_bytes() == model_file.read_bytes()


def test_files_of_no_table_are_left_out_and_told(detector, new, tmp_path):
    (new / "README").touch()
    with pytest.warns(UserWarning, match="1 of 5 files are no tables .* such as README"):
        parts = skvae.score_files(detector, new, tmp_path / "scores")
    assert list(parts.index) == NAMES


OPTIONS = {
    "standard output": ([], r"holds many tables: name a folder to write into by -o"),
    "fdr": (["-o", "scores", "--fdr", "0.1"], r"--fdr judges all rows of a table together"),
    "address": (["-o", "scores", "--address", "auto"], r"The address auto is for .* 'ray'"),
    "formulas": (["-o", "scores", "--escape-formulas"], r"--escape-formulas is for CSV"),
}


@pytest.mark.parametrize(("options", "message"), OPTIONS.values(), ids=OPTIONS)
def test_options_that_do_not_go_with_many_tables(model_file, new, capsys, options, message):
    options = [new.parent / option if option == "scores" else option for option in options]
    assert run("score", model_file, new, *options) == 1
    assert re.match(f"skvae: .*{message}", capsys.readouterr().err)


@pytest.mark.parametrize("options", [["--jobs", "2"], ["--engine", "ray"]])
def test_one_table_is_not_shared_out(model_file, new, tmp_path, capsys, options):
    arguments = ["score", model_file, new / NAMES[0], "-o", tmp_path / "x.csv", *options]
    assert run(*arguments) == 1
    assert f"{options[0]} shares out many tables" in capsys.readouterr().err


def test_a_missing_ray_is_named(detector, new, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ImportError, match=r"pip install 'skvae\[ray\]'"):
        skvae.score_files(detector, new, tmp_path / "scores", engine="ray")
    with pytest.raises(ValueError, match="3 jobs are for the engine 'processes'"):
        skvae.score_files(detector, new, tmp_path / "scores", engine="ray", n_jobs=3)


def test_a_killed_process_is_told_in_one_line(model_file, new, tmp_path, monkeypatch, capsys):
    def broken(*_, **__):
        def called(calls):
            yield next(iter(calls))
            raise BrokenProcessPool("A worker was terminated")

        return called

    monkeypatch.setattr(engines, "Parallel", broken)
    monkeypatch.setattr(engines, "delayed", lambda function: function)
    assert run("score", model_file, new, "-o", tmp_path / "scores", "--jobs", 2) == 1
    assert re.fullmatch("skvae: A process was killed, .* fewer jobs .*\n", capsys.readouterr().err)
    monkeypatch.undo()
    parts = skvae.score_files(model_file, new, tmp_path / "scores")
    assert list(parts["finished_before"]) == [True, False, False, False]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("engine", "dusk", "engine must be one of 'processes', 'ray'. Got 'dusk'"),
        ("output_format", "xlsx", "output_format must be one of 'csv', .*, None. Got 'xlsx'"),
        ("block_rows", 0, "block_rows must be an integer of at least 1. Got 0"),
    ],
)
def test_a_value_that_there_is_not_is_named(model_file, new, tmp_path, name, value, message):
    with pytest.raises(ValueError, match=message):
        skvae.score_files(model_file, new, tmp_path / "scores", **{name: value})
    assert not (tmp_path / "scores").exists()


def test_the_ledger_says_what_was_scored(detector, new, tmp_path):
    parts = skvae.score_files(detector, new, tmp_path / "scores", keep=["a"])
    records = [json.loads(line) for line in ledger(tmp_path / "scores").read_text().splitlines()]
    assert {record["part"]: record["rows"] for record in records} == parts["rows"].to_dict()
    assert records[0]["settings"]["keep"] == ["a"]
