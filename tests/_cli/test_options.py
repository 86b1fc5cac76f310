"""Options of the commands: help, separators, names, p-values, selections, formulas."""

import io
import re
import subprocess
import sys
import weakref
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from common import QUICK, run

import skvae
from skvae._cli.blocks import flagged_together
from skvae._files import dialect_of
from skvae._files.read import EXACT
from skvae._scoring import counted, named

FEATURES = [*"abcde", "flag"]


@pytest.fixture(scope="session")
def model(model_file):
    return model_file


@pytest.mark.parametrize("command", [None, "fit", "score", "explain", "report", "export", "demo"])
def test_h_is_help(command, capsys):
    before = [] if command is None else [command]
    pages = []
    for option in ("-h", "--help"):
        assert run(*before, option) == 0
        pages.append(capsys.readouterr().out)
    assert pages[0] == pages[1]
    assert "-h, --help" in pages[0]


# Separators.


@pytest.mark.parametrize(
    ("text", "separator"),
    [(";", ";"), ("|", "|"), (" ", " "), ("tab", "\t"), (r"\t", "\t"), ("\t", "\t")],
)
def test_a_separator_is_a_sign_or_tab(text, separator):
    assert dialect_of(text, ".").separator == separator


@pytest.mark.parametrize("text", ["", "t", ";;", '"', "\n", "é", "5"])
def test_what_is_no_separator_is_refused(text, model, tmp_path, capsys):
    (tmp_path / "new.csv").write_text("a")
    for arguments in (["fit", tmp_path / "new.csv"], ["score", model, tmp_path / "new.csv"]):
        assert run(*arguments, "-o", tmp_path / "x.csv", "--separator", text) == 1
        assert "or another single sign, or tab." in capsys.readouterr().err
    assert not (tmp_path / "x.csv").exists()


@pytest.mark.parametrize(("text", "separator"), [(";", ";"), ("tab", "\t")])
def test_a_separator_is_that_of_every_table(keyed, model, tmp_path, capsys, text, separator):
    def read(path):
        return pd.read_csv(path, sep=separator)

    table = tmp_path / "new.csv"
    keyed.to_csv(table, sep=separator, index=False)
    option = ["--separator", text]
    own = tmp_path / "own.skvae"
    assert run("fit", table, "-o", own, "--exclude", "id", *QUICK, *option) == 0
    assert skvae.load(own).offset_ == skvae.load(model).offset_
    scores = skvae.load(model).negative_elbo(keyed[FEATURES])
    for command in ("score", "explain"):
        output = tmp_path / f"{command}.csv"
        assert run(command, model, table, "-o", output, "--keep", "id", *option) == 0
        np.testing.assert_allclose(read(output)["anomaly_score"], scores, rtol=1e-9)
        assert list(read(output)["id"]) == list(keyed["id"])
    assert run("report", model, table, "-o", tmp_path / "report.html", *option) == 0


def test_decimal_commas_are_read_and_written(keyed, model, tmp_path):
    def read(path):
        return pd.read_csv(path, sep=";", decimal=",")

    table, own = tmp_path / "new.csv", tmp_path / "own.skvae"
    option = ["--separator", ";", "--decimal", ","]
    keyed.to_csv(table, sep=";", decimal=",", index=False)
    assert run("fit", table, "-o", own, "--exclude", "id", *QUICK, *option) == 0
    assert skvae.load(own).offset_ == skvae.load(model).offset_
    scores = skvae.load(model).negative_elbo(keyed[FEATURES])
    for command in ("score", "explain"):
        output = tmp_path / f"{command}.csv"
        assert run(command, model, table, "-o", output, *option) == 0
        np.testing.assert_allclose(read(output)["anomaly_score"], scores, rtol=1e-9)
        assert ";-" in output.read_text() or "," in output.read_text()


def test_decimal_commas_need_another_separator(model, tmp_path, capsys):
    assert run("score", model, tmp_path / "new.csv", "--decimal", ",") == 1
    assert "--decimal , separates fields, too: name another --separator." in capsys.readouterr().err


# What is not read names the way out.

UNREADABLE = {
    "semicolons": ("new.csv", b"a;b\n1;2\n", r"separated by ',': use --separator ';'"),
    "tabs": ("new.csv", b"a\tb\n1\t2\n", "use --separator tab"),
    "JSON lines": ("new.csv", b'{"a": 1, "b": 2}\n', "use --input-format jsonl"),
    "Parquet as text": ("new.csv", b"PAR1\x15\xff\xfe", "name its format by --input-format"),
    "text as Parquet": ("new.parquet", b"a,b\n1,2\n", "Name its format by --input-format"),
    "text as JSON": ("new.jsonl", b"a,b\n1,2\n", "line 1 is no JSON: .* by --input-format"),
    "numbers as JSON": ("new.jsonl", b"1\n2\n", "line 1 is no JSON object. .* --input-format"),
    "suffix": ("new.txt", b"a,b\n1,2\n", r"name the format by --input-format csv\|parquet\|jsonl"),
}


@pytest.mark.parametrize(("name", "content", "message"), UNREADABLE.values(), ids=UNREADABLE)
def test_unreadable_files_name_the_option(tmp_path, capsys, name, content, message):
    (tmp_path / name).write_bytes(content)
    assert run("fit", tmp_path / name, "-o", tmp_path / "m.skvae") == 1
    assert re.fullmatch(f"skvae: .*{name}: .*{message}.*\n", capsys.readouterr().err)


def test_an_unknown_suffix_of_the_output_names_its_option(keyed, model, tmp_path, capsys):
    keyed.to_csv(tmp_path / "new.csv", index=False)
    assert run("score", model, tmp_path / "new.csv", "-o", tmp_path / "x.txt") == 1
    assert "name the format by --output-format" in capsys.readouterr().err


@pytest.mark.parametrize("header", ["a,b", '"a\nb",c'])
def test_a_quote_that_is_never_closed_is_named_by_its_line(tmp_path, capsys, header):
    (tmp_path / "new.csv").write_text(f'{header}\n1,2\n3,"4\n5,6\n')
    line = 3 + header.count("\n")
    assert run("fit", tmp_path / "new.csv", "-o", tmp_path / "m.skvae") == 1
    assert f"EOF inside string starting in line {line}\n" in capsys.readouterr().err


def test_standard_input_may_begin_with_a_mark(keyed, model):
    command = [sys.executable, "-m", "skvae", "score", str(model), "-"]
    text = keyed[FEATURES].to_csv(index=False).encode("utf-8-sig")
    done = subprocess.run(command, input=text, capture_output=True, check=True)
    scores = pd.read_csv(io.BytesIO(done.stdout))["anomaly_score"]
    expected = skvae.load(model).negative_elbo(keyed[FEATURES])
    np.testing.assert_allclose(scores, expected, rtol=1e-9)


# Names.


def test_names_are_split_at_commas_unless_a_column_has_them():
    assert named(["id,date", "a", "id"], ["id", "date", "a"]) == ["id", "date", "a"]
    assert named(["last, first", "id"], ["id", "last, first"]) == ["last, first", "id"]


@pytest.mark.parametrize(
    ("cells", "name"),
    [
        (pd.date_range("2024-01-01", periods=50).astype(str), "dates"),
        (["0,5", "1,5"] * 25, "commas"),
    ],
)
def test_text_that_is_no_level_is_refused(cells, name, tmp_path, capsys):
    table, own = tmp_path / "new.csv", tmp_path / "own.skvae"
    pd.DataFrame({"x": cells, "a": np.random.default_rng(0).normal(size=50)}).to_csv(
        table, index=False
    )
    assert run("fit", table, "-o", own, *QUICK) == 1
    assert re.search(f"Text in 'x' looks like .*{name}.*--exclude x", capsys.readouterr().err)
    assert not own.exists()
    as_levels = ["--set", 'likelihoods={"x": "categorical"}']
    assert run("fit", table, "-o", own, *QUICK, *as_levels) == 0


def test_kept_cells_of_other_columns_stay_as_they_are_written(keyed, model, tmp_path):
    table, output = tmp_path / "new.csv", tmp_path / "out.csv"
    ids = [f"{i:03d}" for i in range(len(keyed))]
    prices = ["1.50", "", "2e3", "x"] * (len(keyed) // 4)
    keyed.assign(id=ids, price=prices).to_csv(table, index=False)
    arguments = ["--keep", "id,price", "--block-rows", "7"]
    for command in ("score", "explain"):
        assert run(command, model, table, "-o", output, *arguments) == 0
        kept = pd.read_csv(output, dtype=str, keep_default_na=False)
        assert list(kept["id"]) == ids
        assert list(kept["price"]) == prices


def test_excluded_columns_are_none_of_the_model(keyed, model, tmp_path, capsys):
    table, own = tmp_path / "new.csv", tmp_path / "own.skvae"
    dates = pd.date_range("2024-01-01", periods=len(keyed)).strftime("%Y-%m-%d")
    keyed.assign(date=dates).to_csv(table, index=False)
    assert run("fit", table, "-o", own, "--exclude", "id,date", *QUICK) == 0
    assert skvae.load(own).offset_ == skvae.load(model).offset_
    assert "Nearly every row" not in capsys.readouterr().err
    keyed.assign(date="?").to_csv(table, index=False)
    for command in ("score", "explain"):
        assert run(command, own, table, "--keep", "date,id") == 0
        columns = list(pd.read_csv(io.StringIO(capsys.readouterr().out)))
        assert {"date", "id"} <= set(columns)
        assert not {"nats_date", "nats_id"} & set(columns)
    assert run("report", own, table, "-o", tmp_path / "r.html", "--keep", "date,id") == 0
    assert run("fit", table, "-o", own, "--exclude", "id,day", *QUICK) == 1
    assert "there is no column 'day'" in capsys.readouterr().err


# p-values and selections.


@pytest.fixture
def planted(keyed, tmp_path):
    """File of 100 rows, of which every third is odd."""
    X = keyed.iloc[:100].copy()
    X.loc[::3, "a"] = 1.0
    X.to_csv(tmp_path / "planted.csv", index=False)
    return tmp_path / "planted.csv", X[FEATURES]


@pytest.mark.parametrize("block_rows", [7, 1000])
def test_p_values_are_those_of_the_detector(model, planted, capsys, block_rows):
    table, X = planted
    assert run("score", model, table, "--p-values", "--block-rows", block_rows) == 0
    out, err = capsys.readouterr()
    scores, detector = pd.read_csv(io.StringIO(out), **EXACT), skvae.load(model)
    assert list(scores) == ["anomaly_score", "flagged", "p_value"]
    np.testing.assert_array_equal(scores["p_value"], detector.p_values(X))
    assert list(scores["flagged"]) == list(detector.predict(X) == -1)
    assert err == f"100 rows, {scores['flagged'].sum()} flagged\n"


@pytest.mark.parametrize("fdr", [0.1, 0.5])
@pytest.mark.parametrize("block_rows", [7, 1000])
def test_selections_are_those_of_detect_among_all_rows(model, planted, capsys, block_rows, fdr):
    table, X = planted
    arguments = ["--fdr", fdr, "--keep", "id", "--block-rows", block_rows]
    assert run("score", model, table, *arguments) == 0
    out, err = capsys.readouterr()
    scores, detector = pd.read_csv(io.StringIO(out), **EXACT), skvae.load(model)
    assert list(scores) == ["id", "anomaly_score", "flagged", "p_value"]
    selected = detector.detect(X, fdr=fdr)
    assert selected.sum() >= 30
    np.testing.assert_array_equal(scores["flagged"], selected)
    assert err == f"100 rows, {selected.sum()} flagged\n"


@pytest.mark.filterwarnings("default:No row is selected")
def test_a_selection_that_cannot_be_says_why(model, planted, capsys):
    assert run("score", model, planted[0], "--fdr", 0.001) == 0
    warning, summary = capsys.readouterr().err.splitlines()
    assert warning.startswith("skvae: No row is selected: with 40 calibration rows")
    assert summary == "100 rows, 0 flagged"


def test_blocks_wait_for_the_selection_outside_the_memory(model):
    blocks, most = [], 0

    def results():
        nonlocal most
        for _ in range(20):
            result = pd.DataFrame({"flagged": [False] * 9, "p_value": 0.01})
            blocks.append(weakref.ref(result))
            yield result
            most = max(most, sum(block() is not None for block in blocks))

    counts = Counter()
    for _ in counted(flagged_together(results(), skvae.load(model), 0.1), counts):
        pass
    assert counts == {"rows": 180, "flagged": 180}
    assert most <= 3


@pytest.fixture(scope="module")
def uncalibrated(keyed, tmp_path_factory):
    detector = skvae.VAEAnomalyDetector(max_steps=5, validation_fraction=0, cv=None)
    path = tmp_path_factory.mktemp("uncalibrated") / "own.skvae"
    skvae.save(detector.fit(keyed[FEATURES]), path)
    return path


@pytest.fixture(scope="module")
def transformer(keyed, tmp_path_factory):
    path = tmp_path_factory.mktemp("transformer") / "own.skvae"
    skvae.save(skvae.VAETransformer(max_steps=5).fit(keyed[FEATURES]), path)
    return path


WITHOUT = [
    ("model", ["--fdr", "1"], r"--fdr 1: write a share above 0 and below 1"),
    ("model", ["--fdr", "nan"], r"--fdr nan: write a share above 0 and below 1"),
    ("transformer", ["--p-values"], "is a VAETransformer, which has no p-values"),
    ("transformer", ["--fdr", "0.1"], "is a VAETransformer, which has no p-values"),
    ("uncalibrated", ["--p-values"], "No row calibrates this VAEAnomalyDetector"),
    ("model", ["--p-values", "--keep", "p_value"], "--keep p_value: the output has a column"),
]


@pytest.mark.parametrize(("fixture", "options", "message"), WITHOUT)
def test_without_p_values_there_is_one_line(request, planted, capsys, fixture, options, message):
    table, X = planted
    X.assign(p_value=1).to_csv(table, index=False)
    output = table.with_name("x.csv")
    assert run("score", request.getfixturevalue(fixture), table, "-o", output, *options) == 1
    assert re.fullmatch(f"skvae: .*{message}.*\n", capsys.readouterr().err)
    assert not output.exists()


def test_a_transformer_flags_nothing(transformer, planted, capsys):
    assert run("score", transformer, planted[0]) == 0
    assert capsys.readouterr().err == "100 rows\n"


# Formulas.


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
@pytest.mark.parametrize("command", ["score", "explain"])
def test_texts_that_are_formulas_are_escaped(keyed, model, tmp_path, command, start):
    text = f"{start}1+1"
    table, output = tmp_path / "new.parquet", tmp_path / "x.csv"
    X = keyed.assign(id=pd.Categorical(["a-b", text] * 200)).rename(columns={"id": text})
    X.assign(n=-1.5, none=None).to_parquet(table)
    arguments = [command, model, table, "-o", output, "--keep", text, "--keep", "n,none"]
    for option, prefix in (([], ""), (["--escape-formulas"], "'")):
        assert run(*arguments, *option) == 0
        with output.open(newline="") as file:
            rows = pd.read_csv(file)
        assert list(rows[prefix + text]) == ["a-b", prefix + text] * 200
        assert (rows["n"] == -1.5).all()
        assert rows["none"].isna().all()


def test_a_carriage_return_in_a_text_ends_no_row(keyed, model, tmp_path):
    table, output = tmp_path / "new.parquet", tmp_path / "x.csv"
    keyed.assign(id=["a\r=1+1", 'b"\r\nc'] * 200).to_parquet(table)
    assert run("score", model, table, "-o", output, "--keep", "id", "--block-rows", 50) == 0
    with output.open(newline="") as file:
        assert list(pd.read_csv(file)["id"]) == ["a\r=1+1", 'b"\r\nc'] * 200


def test_formulas_of_another_format_are_not_escaped(keyed, model, tmp_path, capsys):
    keyed.to_csv(tmp_path / "new.csv", index=False)
    output = tmp_path / "x.jsonl"
    assert run("score", model, tmp_path / "new.csv", "-o", output, "--escape-formulas") == 1
    assert "--escape-formulas is for CSV, and" in capsys.readouterr().err
    assert not output.exists()
