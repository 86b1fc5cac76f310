import re
import subprocess
import sys

import pandas as pd
import pytest

from skvae._cli import main


def test_the_demo_beats_isolation_forest_and_writes_scores_and_a_picture(tmp_path):
    command = [sys.executable, "-W", "error", "-m", "skvae", "demo"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    auroc, rival = map(float, re.findall(r"(?:skvae|IsolationForest) +(0\.\d{3})  0", run.stdout))
    assert auroc > rival + 0.1
    assert len(re.findall(r"row +\d+ .*\(\+\d+\), .*\(\+\d+\), .*\(\+\d+\)", run.stdout)) == 10
    scores = pd.read_csv(tmp_path / "skvae_demo.csv", index_col="row")
    assert list(scores) == ["negative_elbo", "flagged", "healthy"]
    assert len(scores) == 9172 - 3385
    assert (tmp_path / "skvae_demo.png").read_bytes().startswith(b"\x89PNG")


def test_a_missing_matplotlib_is_named_before_the_fit(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"pip install 'skvae\[plot\]'"):
        main(["demo"])
