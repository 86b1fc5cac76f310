"""What others rely on beside the results: types, a silent import, other tools' model stores."""

import inspect
import subprocess
import sys
import tarfile
import tomllib
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import torch

import skvae
import skvae.datasets

ROOT = Path(__file__).parent.parent


def public_functions():
    for module in (skvae, skvae.datasets):
        for name in module.__all__:
            public = getattr(module, name)
            if inspect.isfunction(public):
                yield pytest.param(public, id=name)
            for own, method in inspect.getmembers(public, inspect.isroutine):
                is_own = (getattr(method, "__module__", None) or "").startswith("skvae")
                if inspect.isclass(public) and is_own and not own.startswith("_"):
                    yield pytest.param(method, id=f"{name}.{own}")


@pytest.mark.parametrize("function", list(public_functions()))
def test_public_functions_are_annotated(function):
    signature = inspect.signature(function)
    parts = [signature.return_annotation] + [
        parameter.annotation
        for name, parameter in signature.parameters.items()
        if name not in ("self", "cls")
    ]
    assert inspect.Parameter.empty not in parts


def test_type_checkers_are_told_of_the_annotations():
    assert (files("skvae") / "py.typed").is_file()


def test_the_import_is_silent():
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", "import skvae"], capture_output=True, text=True
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


def test_a_first_fit_imports_nothing_that_it_can_do_without():
    script = (
        "import sys, numpy as np, skvae; "
        "skvae.VAEAnomalyDetector(max_steps=4).fit(np.random.rand(60, 2)); "
        "print({'torch._dynamo', 'sympy', 'sklearn.ensemble', 'matplotlib'} & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    # Older torch imports sympy for a tensor without cells.
    expected = {"set()\n"} if torch.__version__ >= "2.13" else {"set()\n", "{'sympy'}\n"}
    assert run.stdout in expected


def test_both_files_of_constraints_name_what_is_needed():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needed = [*project["dependencies"], *project["optional-dependencies"]["plot"]]
    for file in ("constraints.txt", "constraints-oldest.txt"):
        lines = (ROOT / file).read_text(encoding="utf-8").splitlines()
        pins = dict(line.split("==") for line in lines if not line.startswith("#"))
        for name, oldest in (requirement.split(">=") for requirement in needed):
            pin = [int(part) for part in pins[name].split(".")]
            floor = [int(part) for part in oldest.split(".")]
            assert pin[: len(floor)] == floor if "oldest" in file else pin >= floor, name


# Its own warnings are not ours to mend.
@pytest.mark.filterwarnings("ignore")
def test_mlflow_keeps_a_model(table, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # the store that needs no database
    pytest.importorskip("mlflow", reason="needs mlflow")
    import mlflow.sklearn

    detector = skvae.VAEAnomalyDetector(hidden_layer_sizes=(16,), max_steps=20).fit(table)
    mlflow.set_tracking_uri(tmp_path.as_uri())
    mlflow.set_experiment("skvae")
    with mlflow.start_run() as run:
        trusted = ["skvae._estimators.detector.VAEAnomalyDetector"]
        mlflow.sklearn.log_model(detector, name="detector", skops_trusted_types=trusted)
    again = mlflow.sklearn.load_model(f"runs:/{run.info.run_id}/detector")
    np.testing.assert_array_equal(again.score_samples(table), detector.score_samples(table))


def test_a_source_distribution_holds_what_its_tests_need(tmp_path):
    pytest.importorskip("setuptools", minversion="77")
    script = "from setuptools.build_meta import build_sdist; print(build_sdist(%r))"
    run = subprocess.run(
        [sys.executable, "-c", script % str(tmp_path)], cwd=ROOT, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    with tarfile.open(next(tmp_path.glob("*.tar.gz"))) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    needed = {
        "CHANGELOG.md",
        "CITATION.cff",
        "LICENSE",
        "constraints.txt",
        "constraints-oldest.txt",
    }
    needed |= {"tests/conftest.py", "docs/index.md", "skvae/data/thyroid0387.csv.gz"}
    needed |= {f"examples/{path.name}" for path in (ROOT / "examples").glob("*.py")}
    assert needed <= names
    assert not [name for name in names if name.startswith((".whl", "build/", ".venv"))]
