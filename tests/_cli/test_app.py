"""The command line: what it writes, and one line for what goes wrong."""

import gzip
import io
import json
import os
import re
import stat
import subprocess
import sys
from importlib.metadata import version

import numpy as np
import pandas as pd
import pytest
from common import QUICK, run

import skvae
from skvae._files import format_of, read_table_file
from skvae._files.read import EXACT

WRITE = {
    "csv": lambda X, path: X.to_csv(path, index=False),
    "csv.gz": lambda X, path: X.to_csv(path, index=False),
    "jsonl.xz": lambda X, path: X.to_json(path, orient="records", lines=True, double_precision=15),
    "parquet": lambda X, path: X.to_parquet(path, index=False),
    "jsonl": lambda X, path: X.to_json(path, orient="records", lines=True, double_precision=15),
}


@pytest.fixture(scope="session")
def model(model_file):
    return model_file


@pytest.mark.slow
def test_the_demo_beats_isolation_forest_and_writes_scores_and_a_picture(tmp_path):
    # But for the warning that a row held out lies apart, as one does.
    quiet = ["-W", "error", "-W", "ignore::UserWarning"]
    command = [sys.executable, *quiet, "-m", "skvae", "demo"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    auroc, rival = map(float, re.findall(r"(?:skvae|IsolationForest) +(0\.\d{3})  0", run.stdout))
    assert auroc > rival + 0.1
    assert len(re.findall(r"row +\d+ .*\(\+\d+\), .*\(\+\d+\), .*\(\+\d+\)", run.stdout)) == 10
    scores = pd.read_csv(tmp_path / "skvae_demo.csv", index_col="row")
    assert list(scores) == ["negative_elbo", "flagged", "healthy"]
    assert len(scores) == 9172 - 3385
    assert (tmp_path / "skvae_demo.png").read_bytes().startswith(b"\x89PNG")


def test_a_missing_matplotlib_is_named_before_the_fit(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert run("demo") == 1
    assert "pip install 'skvae[plot]'" in capsys.readouterr().err


def test_fit_is_that_of_the_estimator(model, keyed):
    params = {"max_steps": 30, "hidden_layer_sizes": [16], "random_state": 0}
    expected = skvae.VAEAnomalyDetector(**params).fit(
        pd.read_csv(model.parent / "train.csv", **EXACT).drop(columns="id")
    )
    fitted = skvae.load(model)
    assert fitted.get_params() == expected.get_params()
    assert fitted.offset_ == expected.offset_


@pytest.mark.parametrize("block_rows", [1000, 64])
@pytest.mark.parametrize("suffix", WRITE)
def test_scores_are_those_of_the_estimator_whatever_the_format(
    model, keyed, tmp_path, suffix, block_rows
):
    table, output = tmp_path / f"new.{suffix}", tmp_path / f"scores.{suffix}"
    WRITE[suffix](keyed[["id", *"edcba", "flag"]], table)
    arguments = ["--keep", "id", "--block-rows", block_rows]
    assert run("score", model, table, "-o", output, *arguments) == 0
    scores = read_table_file(str(output), format_of(str(output)))
    assert list(scores) == ["id", "anomaly_score", "flagged"]
    assert list(scores["id"]) == list(keyed["id"])
    detector, X = skvae.load(model), keyed[[*"abcde", "flag"]]
    np.testing.assert_allclose(scores["anomaly_score"], detector.negative_elbo(X), rtol=1e-9)
    assert list(scores["flagged"]) == list(detector.predict(X) == -1)


def test_levels_that_look_like_numbers_stay_levels(keyed, tmp_path):
    levels = np.where(np.arange(len(keyed)) < 300, "1", "a")
    keyed.assign(id=levels).to_csv(tmp_path / "train.csv", index=False)
    keyed.assign(id=levels)[:100].to_csv(tmp_path / "new.csv", index=False)
    model, output = tmp_path / "model.skvae", tmp_path / "scores.csv"
    assert run("fit", tmp_path / "train.csv", "-o", model, *QUICK) == 0
    assert run("score", model, tmp_path / "new.csv", "-o", output, "--block-rows", 30) == 0
    expected = skvae.load(model).negative_elbo(keyed.assign(id=levels)[:100][[*keyed]])
    np.testing.assert_allclose(pd.read_csv(output)["anomaly_score"], expected, rtol=1e-9)


def test_empty_fields_beyond_the_header_move_no_column(model, keyed, tmp_path, capsys):
    X = keyed.drop(columns="id")[:3]
    scores = []
    for name, end in (("as_is", ""), ("longer", ",")):
        header, *rows = X.to_csv(index=False).splitlines()
        (tmp_path / f"{name}.csv").write_text("\n".join([header, *(row + end for row in rows)]))
        assert run("score", model, tmp_path / f"{name}.csv") == 0
        scores.append(capsys.readouterr().out)
    assert scores[1] == scores[0]


@pytest.mark.parametrize("block_rows", [1, 100])
def test_json_lines_may_lack_keys_and_begin_with_a_mark(model, keyed, tmp_path, capsys, block_rows):
    rows = [dict(row) for _, row in keyed[["a", "b", "c", "d", "e", "flag"]][:3].iterrows()]
    del rows[1]["c"], rows[2]["flag"]
    text = "\n\n".join(json.dumps(row) for row in rows)
    (tmp_path / "new.jsonl").write_text(text + "\n \n", encoding="utf-8-sig")
    assert run("score", model, tmp_path / "new.jsonl", "--block-rows", block_rows) == 0
    scores = pd.read_csv(io.StringIO(capsys.readouterr().out))["anomaly_score"]
    expected = skvae.load(model).negative_elbo(pd.DataFrame(rows))
    np.testing.assert_allclose(scores, expected, rtol=1e-9)


def test_a_repeated_name_in_a_header_is_refused(model, tmp_path, capsys):
    (tmp_path / "twice.csv").write_text("a,b,a\n1,2,3\n")
    assert run("fit", tmp_path / "twice.csv", "-o", tmp_path / "m.skvae") == 1
    assert "its header has the name 'a' more than once" in capsys.readouterr().err


def by_link(path):
    link = path.with_name("link.csv")
    link.symlink_to(path)
    return link


def by_hard_link(path):
    link = path.with_name("hard.csv")
    link.hardlink_to(path)
    return link


PATHS = {
    "itself": lambda path: path,
    "link": by_link,
    "hard link": by_hard_link,
    "detour": lambda path: path.parent / ".." / path.parent.name / path.name,
}
COMMANDS = {
    "fit": lambda model, table, output: ["fit", table, "-o", output, *QUICK],
    "score": lambda model, table, output: ["score", model, table, "-o", output],
    "explain": lambda model, table, output: ["explain", model, table, "-o", output],
    "report": lambda model, table, output: ["report", model, table, "-o", output],
}


@pytest.mark.parametrize("way", PATHS)
@pytest.mark.parametrize("command", COMMANDS)
def test_an_output_never_takes_the_place_of_the_table(model, keyed, tmp_path, capsys, command, way):
    table = tmp_path / "new.csv"
    keyed.to_csv(table, index=False)
    before = table.read_bytes()
    assert run(*COMMANDS[command](model, table, PATHS[way](table))) == 1
    assert re.match(
        r"skvae: The output .* is the input .*: name another file", capsys.readouterr().err
    )
    assert table.read_bytes() == before


@pytest.mark.parametrize("command", ["score", "explain", "report", "export"])
def test_an_output_never_takes_the_place_of_the_model(model, keyed, tmp_path, capsys, command):
    table, copied = tmp_path / "new.csv", tmp_path / "copied.skvae"
    keyed.to_csv(table, index=False)
    copied.write_bytes(model.read_bytes())
    tables = [] if command == "export" else [table]
    assert run(command, copied, *tables, "-o", copied) == 1
    assert "is the input" in capsys.readouterr().err
    assert copied.read_bytes() == model.read_bytes()


def test_links_in_a_circle_and_names_as_long_as_can_be(model, keyed, tmp_path, capsys):
    table = tmp_path / "new.csv"
    keyed.to_csv(table, index=False)
    (tmp_path / "loop.csv").symlink_to(tmp_path / "loop.csv")
    assert run("score", model, table, "-o", tmp_path / "loop.csv") == 1
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert run("score", model, table, "-o", tmp_path / f"{'x' * 250}.csv") == 0


def test_links_and_pipes_are_written_to(model, keyed, tmp_path):
    keyed[:5].to_csv(tmp_path / "new.csv", index=False)
    (tmp_path / "link.csv").symlink_to(tmp_path / "target.csv")
    (tmp_path / "target.csv").write_text("old")
    os.mkfifo(tmp_path / "pipe.csv")
    reader = os.open(tmp_path / "pipe.csv", os.O_RDONLY | os.O_NONBLOCK)
    for name in ("link", "pipe"):
        assert run("score", model, tmp_path / "new.csv", "-o", tmp_path / f"{name}.csv") == 0
    assert (tmp_path / "link.csv").is_symlink()
    assert stat.S_ISFIFO((tmp_path / "pipe.csv").stat().st_mode)
    assert os.read(reader, 100_000) == (tmp_path / "target.csv").read_bytes()
    os.close(reader)


@pytest.mark.filterwarnings("default:Nearly every row")
def test_fit_tells_the_noise_models(keyed, tmp_path, capsys):
    keyed.to_csv(tmp_path / "train.csv", index=False)
    assert run("fit", tmp_path / "train.csv", "-o", tmp_path / "model.skvae", *QUICK) == 0
    warning, *lines = capsys.readouterr().err.splitlines()
    assert re.match(r"skvae: Nearly every row .* 'id', .* --exclude id\)", warning)
    assert lines[:3] == [
        "heteroscedastic_student_t: a, b, c, d, e",
        "bernoulli: flag",
        "categorical: id",
    ]


@pytest.mark.parametrize("top", [None, 5])
def test_explanations_add_up_and_the_oddest_come_first(model, keyed, tmp_path, top):
    table, output = tmp_path / "new.parquet", tmp_path / "parts.parquet"
    keyed.to_parquet(table)
    options = [] if top is None else ["--top", top]
    assert run("explain", model, table, "-o", output, "--block-rows", 64, *options) == 0
    parts = pd.read_parquet(output)
    assert list(parts) == [
        *("row", "anomaly_score"),
        *(f"nats_{name}" for name in [*"abcde", "flag"]),
        *("kl", "baseline"),
    ]
    scores = pd.Series(skvae.load(model).negative_elbo(keyed[[*"abcde", "flag"]]))
    if top is not None:
        scores = scores.nlargest(top)
    assert list(parts["row"]) == list(scores.index)
    np.testing.assert_allclose(parts["anomaly_score"], scores, rtol=1e-9)
    np.testing.assert_allclose(parts.iloc[:, 2:].sum(axis=1), scores, rtol=1e-9)


@pytest.mark.parametrize("keep", [["id"], []])
def test_the_report_is_that_of_the_table(model, keyed, tmp_path, capsys, keep):
    keyed.to_csv(tmp_path / "new.csv", index=False)
    names = [argument for name in keep for argument in ("--keep", name)]
    arguments = ["report", model, tmp_path / "new.csv", "--top", 20, *names]
    assert run(*arguments, "-o", tmp_path / "report.html") == 0
    X = pd.read_csv(tmp_path / "new.csv")
    X = X.set_index("id") if keep else X.drop(columns="id")
    expected = skvae.report(skvae.load(model), X, n_rows=20, title="Anomalies in new.csv")
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == expected
    assert run(*arguments) == 0
    assert capsys.readouterr().out == f"{expected}\n"


def test_standard_input_goes_to_standard_output(model, keyed):
    command = [sys.executable, "-W", "error", "-m", "skvae", "score", str(model), "-"]
    text = keyed.to_csv(index=False)
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    scores = pd.read_csv(io.StringIO(done.stdout))
    assert len(scores) == len(keyed)
    summary = f"400 rows, {scores['flagged'].sum()} flagged\n"
    assert (done.returncode, done.stderr) == (0, summary)


def test_a_closed_pipe_ends_quietly(model, keyed, tmp_path):
    keyed.to_csv(tmp_path / "new.csv", index=False)
    command = f"{sys.executable} -m skvae score {model} new.csv --block-rows 10 | head -1"
    done = subprocess.run(
        command, cwd=tmp_path, shell=True, capture_output=True, text=True, check=False
    )
    assert done.stdout == "anomaly_score,flagged\n"
    assert done.stderr == ""


CASES = {
    "no such file": (["score", "MODEL", "none.csv"], r"none\.csv"),
    "no such model": (["score", "none.skvae", "new.csv"], r"none\.skvae"),
    "no model": (["score", "new.csv", "new.csv"], r"new\.csv is no file of skvae\.save"),
    "suffix": (["score", "MODEL", "new.txt"], r"new\.txt: unknown suffix '\.txt': name the format"),
    "output suffix": (["score", "MODEL", "new.csv", "-o", "x.txt"], r"x\.txt: unknown suffix"),
    "column": (["score", "MODEL", "less.csv"], r"less\.csv: there is no column 'c'"),
    "kept column": (
        ["score", "MODEL", "new.csv", "--keep", "key"],
        r"new\.csv: there is no column 'key'",
    ),
    "cell": (
        ["score", "MODEL", "wrong.csv", "--block-rows", "10"],
        r"wrong\.csv: Column 'c' .*'oops' in row 33 \(counted from 0\): no number",
    ),
    "infinite": (
        ["score", "MODEL", "infinite.csv", "--block-rows", "10"],
        r"infinite\.csv: Column 'a' contains infinity: inf in row 55",
    ),
    "line": (["score", "MODEL", "broken.csv"], r"broken\.csv: .* line 3"),
    "empty": (["score", "MODEL", "empty.csv"], r"empty\.csv: "),
    "header alone": (["score", "MODEL", "header.csv"], r"header\.csv: no rows"),
    "no parquet": (["score", "MODEL", "fake.parquet"], r"fake\.parquet: "),
    "cut short": (["score", "MODEL", "short.csv.gz"], r"short\.csv\.gz: cannot be decompressed: "),
    "no gzip": (["score", "MODEL", "fake.csv.gz"], r"fake\.csv\.gz: cannot be decompressed: "),
    "no xz": (["score", "MODEL", "fake.jsonl.xz"], r"fake\.jsonl\.xz: cannot be decompressed: "),
    "no object": (["score", "MODEL", "list.jsonl"], r"list\.jsonl: line 2 is no JSON object"),
    "no jsonl": (["score", "MODEL", "fake.jsonl"], r"fake\.jsonl: line 1 is no JSON: "),
    "setting": (["fit", "new.csv", "-o", "m", "--set", "beta"], r"--set beta: write name=value"),
    "parameter": (["fit", "new.csv", "-o", "m", "--set", "betta=1"], r"Invalid parameter 'betta'"),
    "value": (
        ["fit", "new.csv", "-o", "m", "--exclude", "id", "--set", "beta=-1"],
        r"The 'beta' parameter",
    ),
    "labels": (
        ["fit", "new.csv", "-o", "m", "--exclude", "id", "--set", "use_labels=true"],
        r"--set use_labels: the command line takes no labels",
    ),
    "model for a folder": (["fit", "new.csv", "-o", "none/m"], r"There is no folder none for m"),
    "a folder": (["fit", "new.csv", "-o", "."], r"\. is a folder: name a file in it"),
    "name of a result": (
        ["score", "MODEL", "scored.csv", "--keep", "anomaly_score"],
        r"scored\.csv: --keep anomaly_score: the output has a column of that name",
    ),
    "separator": (
        ["fit", "semicolon.csv", "-o", "m"],
        r"semicolon\.csv: its header 'a;b' is one",
    ),
    "more fields": (["fit", "more.csv", "-o", "m"], r"more\.csv: some rows have more fields than"),
    "no UTF-8": (["fit", "latin.csv", "-o", "m"], r"latin\.csv: is no text in UTF-8: "),
    "deep": (["score", "MODEL", "deep.jsonl"], r"deep\.jsonl: line 1 is no JSON: "),
    "long": (  # in pandas 2 by its own words
        ["score", "MODEL", "long.jsonl"],
        r"long\.jsonl: (Column 'a'.* in row 1|int too large to convert)",
    ),
    "another type": (
        ["score", "MODEL", "types.jsonl", "--keep", "id", "-o", "x.parquet", "--block-rows", "1"],
        r"x\.parquet: a column has another type in rows 1 to 1 .*id.* Write CSV",
    ),
    "excluded": (["fit", "new.csv", "-o", "m", "--exclude", "x"], r"there is no column 'x'"),
    "reported infinity": (
        ["report", "MODEL", "infinite.csv"],
        r"infinite\.csv: Column 'a' contains infinity: inf in row 55",
    ),
    "reported column": (["report", "MODEL", "less.csv"], r"less\.csv: there is no column 'c'"),
    "no folder": (["score", "MODEL", "new.csv", "-o", "none/x.csv"], r"none"),
}


@pytest.fixture
def folder(keyed, tmp_path, monkeypatch):
    """Folder with tables of every fault."""
    monkeypatch.chdir(tmp_path)
    X = keyed.iloc[:100]
    tables = {
        "new": X,
        "less": X.drop(columns="c"),
        "wrong": X.assign(c=[*X["c"].astype(object)[:33], "oops", *X["c"][34:]]),
        "infinite": X.assign(a=[*X["a"][:55], np.inf, *X["a"][56:]]),
        "header": X[:0],
        "scored": X.assign(anomaly_score=0.0),
    }
    for name, rows in tables.items():
        rows.to_csv(f"{name}.csv", index=False)
    texts = {
        "list.jsonl": '{"a": 1}\n[1]\n',
        "broken.csv": "a,b\n1,2\n1,2,3\n",
        "empty.csv": "",
        "new.txt": "a",
        "semicolon.csv": "a;b\n1;2\n",
        "more.csv": "a,b\n1,2,3\n4,5,6\n",
        "deep.jsonl": "[" * 200_000,
    }
    records = X.drop(columns="id").astype(object).to_dict("records")
    lines = [json.dumps(row) for row in (records[0], records[1] | {"a": 10**400})]
    texts["long.jsonl"] = "\n".join(lines)
    texts["types.jsonl"] = "\n".join(json.dumps(records[0] | {"id": key}) for key in (1, "x"))
    (tmp_path / "latin.csv").write_bytes("é,b\n1,2\n".encode("latin-1"))
    fakes = dict.fromkeys(["fake.parquet", "fake.jsonl", "fake.csv.gz", "fake.jsonl.xz"], "no")
    for name, text in (texts | fakes).items():
        (tmp_path / name).write_text(text)
    whole = gzip.compress(X.to_csv(index=False).encode())
    (tmp_path / "short.csv.gz").write_bytes(whole[: len(whole) // 2])
    return tmp_path


@pytest.mark.parametrize(("arguments", "message"), CASES.values(), ids=CASES)
def test_errors_are_one_line_and_leave_no_file(model, folder, capsys, arguments, message):
    before = sorted(folder.iterdir())
    arguments = [model if argument == "MODEL" else argument for argument in arguments]
    if "-o" not in arguments:
        arguments += ["-o", "out.csv"]
    assert run(*arguments) == 1
    error = capsys.readouterr().err
    assert re.fullmatch(rf"skvae: .*{message}.*\n", error), error
    assert sorted(folder.iterdir()) == before


def test_wrong_commands_end_with_2(capsys):
    assert run("score") == 2
    assert run("fly") == 2


def test_the_version_is_printed(capsys):
    assert run("--version") == 0
    assert capsys.readouterr().out == f"skvae {version('skvae')}\n"


@pytest.mark.parametrize("command", ["fit", "score", "explain", "report", "export", "demo"])
def test_help_has_an_example(command, capsys):
    assert run(command, "--help") == 0
    assert f"skvae {command}" in capsys.readouterr().out.split("Example")[1]


def test_export_writes_the_scores_of_the_model(model, keyed, tmp_path, capsys):
    import onnxruntime

    assert run("export", model, "-o", tmp_path / "model.onnx") == 0
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    X = keyed[[*"abcde", "flag"]]
    scores = session.run(["score_samples"], {"X": X.to_numpy(dtype=float)})[0]
    np.testing.assert_allclose(scores, skvae.load(model).score_samples(X), rtol=1e-5)
    assert run("export", tmp_path / "model.onnx", "-o", tmp_path / "other.onnx") == 1
    assert "no file of skvae.save" in capsys.readouterr().err
