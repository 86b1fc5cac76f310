"""`skvae fit` of many files, and of a sample."""

import numpy as np
import pandas as pd
import pytest
from common import QUICK, run

import skvae
from skvae._cli import main
from skvae._engine import training


@pytest.fixture
def folder(frame, tmp_path):
    """`frame` in three parts."""
    (tmp_path / "parts").mkdir()
    for number, rows in enumerate(np.array_split(np.arange(len(frame)), 3)):
        frame.iloc[rows].to_csv(tmp_path / "parts" / f"{number}.csv", index=False)
    return tmp_path / "parts"


def test_a_folder_and_its_files_give_one_model(folder, tmp_path, frame, capsys):
    options = [*QUICK, "--sample-rows", 200, "--exclude", "e", "--seed", 3]
    options += ["--set", "false_alarm_rate=0.1"]
    sources = {
        "folder": [folder],
        "files": sorted(folder.iterdir()),
        "pattern": [folder / "*.csv"],
    }
    for name, tables in sources.items():
        run("fit", *tables, "-o", tmp_path / name, *options)
        assert "220 of 400 rows, 5 columns" in capsys.readouterr().err
    detector = skvae.load(tmp_path / "folder")
    assert detector.n_calibration_ == 20
    scores = [
        skvae.load(tmp_path / name).score_samples(frame.drop(columns="e")) for name in sources
    ]
    assert np.array_equal(scores[0], scores[1])
    assert np.array_equal(scores[0], scores[2])


def test_python_draws_the_same_rows(folder, tmp_path, frame):
    run("fit", folder, "-o", tmp_path / "a", *QUICK, "--sample-rows", 200, "--seed", 3)
    detector = skvae.VAEAnomalyDetector(max_steps=30, hidden_layer_sizes=[16], random_state=3)
    skvae.fit_files(detector, folder, sample_rows=200, calibration_rows=20)
    scores = skvae.load(tmp_path / "a").score_samples(frame)
    assert np.array_equal(scores, detector.score_samples(frame))


def test_standard_input_may_be_sampled(folder, tmp_path, monkeypatch, capsys):
    with open(folder / "0.csv") as file:
        monkeypatch.setattr("sys.stdin", file)
        options = [*QUICK, "--sample-rows", 60, "--set", "false_alarm_rate=0.2"]
        assert run("fit", "-", "-o", tmp_path / "a", *options) == 0
    assert "66 of 134 rows" in capsys.readouterr().err


def test_an_output_that_is_a_part_stops_before_anything_is_written(folder, capsys):
    before = (folder / "1.csv").read_bytes()
    assert run("fit", folder, "-o", folder / "1.csv", *QUICK) == 1
    assert "is the input" in capsys.readouterr().err
    assert (folder / "1.csv").read_bytes() == before


def test_a_bad_part_is_named_in_one_line(folder, tmp_path, capsys):
    frame = pd.read_csv(folder / "1.csv")
    frame.assign(b=[np.inf, *frame["b"][1:]]).to_csv(folder / "1.csv", index=False)
    assert run("fit", folder, "-o", tmp_path / "model", *QUICK) == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "1.csv" in line
    assert "Column 'b' contains infinity: inf in row 0 (counted from 0)" in line
    assert not (tmp_path / "model").exists()


def test_a_fit_goes_on_from_its_checkpoint_or_says_whose_it_is(
    folder, tmp_path, capsys, monkeypatch
):
    one, path = folder / "0.csv", tmp_path / "checkpoint"
    monkeypatch.setattr(training.Training, "end", lambda self: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        main(["fit", str(one), "-o", str(tmp_path / "a"), *QUICK, "--checkpoint", str(path)])
    monkeypatch.undo()
    assert run("fit", one, "-o", tmp_path / "b", *QUICK, "--checkpoint", path, "--seed", 1) == 1
    assert "random_state was 0, and is 1 now" in capsys.readouterr().err
    assert run("fit", one, "-o", tmp_path / "b", *QUICK, "--checkpoint", path) == 0
    assert run("fit", one, "-o", tmp_path / "c", *QUICK) == 0
    b, c = (skvae.load(tmp_path / name).calibration_scores_ for name in "bc")
    assert np.array_equal(b, c)
    assert not path.exists()
