"""Imports go down only: every file imports what this table lets it, and nothing else."""

import ast
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import skvae

ROOT = Path(skvae.__file__).parent

ALLOWED = {
    "__init__": {"_detector", "_display", "_io", "_onnx", "_report", "_transformer"},
    "__main__": {"_cli"},
    # estimators
    "_detector": {"_base", "_checks", "_conformal", "nn/__init__", "numpy", "sklearn"},
    "_transformer": {"_base", "_scoring", "numpy", "sklearn"},
    "_base": {
        *("_checks", "_members", "_plain", "_progress", "_scoring", "_table", "_training"),
        "nn/__init__",
        *("numpy", "pandas", "sklearn", "torch"),
    },
    "_checks": set(),
    # work
    "_members": {"_start", "nn/__init__", "numpy", "pandas", "torch"},
    "_start": {"nn/__init__", "numpy", "sklearn", "torch"},
    "_plain": {"_members", "_table", "nn/__init__", "numpy", "pandas", "torch"},
    "_training": {"_kernel", "sklearn", "torch", "tqdm"},  # ConvergenceWarning
    "_kernel": {"nn/__init__", "nn/posteriors", "torch"},
    "_progress": {"sklearn"},
    "_scoring": {"numpy", "scipy", "torch"},
    "_conformal": {"numpy", "scipy"},
    # tables
    "_table": {"numpy", "pandas", "scipy", "sklearn"},
    # tensors only
    "nn/__init__": {
        *(
            "nn/divergences",
            "nn/likelihoods",
            "nn/objective",
            "nn/posteriors",
            "nn/priors",
            "nn/vae",
        ),
    },
    "nn/objective": set(),
    "nn/vae": {"nn/posteriors", "torch"},  # posteriors: the layer drawn from a generator
    "nn/priors": {"nn/posteriors", "torch"},
    "nn/posteriors": {"torch"},
    "nn/likelihoods": {
        "nn/posteriors",
        "scipy",
        "torch",
    },  # scipy: distribution functions that torch lacks
    "nn/divergences": {"torch"},
    # leaves
    "_display": {"_checks", "_table", "matplotlib", "numpy", "pandas", "sklearn"},
    "_io": {"_detector", "_plain", "_transformer", "numpy", "safetensors", "sklearn"},
    "_report": {
        *("_checks", "_conformal", "_display", "_io", "_table"),
        *("jinja2", "matplotlib", "numpy", "pandas"),
    },
    "_onnx": {
        *("_base", "_detector", "_io", "_table", "_transformer"),
        *("numpy", "onnx", "onnxruntime", "skl2onnx", "sklearn", "torch"),
    },
    "_files": {"_io", "pandas", "pyarrow"},
    "_cli": {
        *("__init__", "_files", "_io", "datasets"),
        *("matplotlib", "numpy", "pandas", "sklearn", "tqdm", "typer"),
    },
    "datasets": {"numpy", "pandas", "sklearn"},
}
FILES = sorted(path.relative_to(ROOT).with_suffix("").as_posix() for path in ROOT.rglob("*.py"))


def imported_names(file):
    """Absolute dotted name of everything that a file imports, inside functions too."""
    package = ["skvae", *file.split("/")[:-1]]
    for node in ast.walk(ast.parse((ROOT / f"{file}.py").read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            above = package[: len(package) + 1 - node.level] if node.level else []
            module = ".".join([*above, *filter(None, [node.module])])
            yield from (f"{module}.{alias.name}" for alias in node.names)


def imports(file):
    """Files of the package and third-party packages that a file imports."""
    names = list(imported_names(file))
    inside = {file_of(name) for name in names if name.split(".")[0] == "skvae"}
    outside = {name.split(".")[0] for name in names} - {"skvae"} - sys.stdlib_module_names
    return inside | outside


def file_of(name):
    """File that a dotted name inside the package lives in."""
    path = "/".join(name.split(".")[1:])
    while path not in FILES and f"{path}/__init__" not in FILES:
        path = path.rpartition("/")[0]
        if not path:
            return "__init__"
    return path if path in FILES else f"{path}/__init__"


def test_every_file_has_an_entry():
    assert set(FILES) == set(ALLOWED)


@pytest.mark.parametrize("file", FILES)
def test_a_file_imports_only_what_its_entry_allows(file):
    assert imports(file) <= ALLOWED.get(file, set())


def test_no_file_imports_itself_in_a_circle():
    TopologicalSorter({file: imports(file) for file in FILES}).prepare()


@pytest.mark.parametrize("file", [file for file in FILES if file.startswith("nn/")])
def test_nn_knows_neither_numpy_nor_tables(file):
    assert {name for name in imports(file) if not name.startswith("nn/")} <= {"scipy", "torch"}


@pytest.mark.parametrize("file", ["_table", "_conformal", "_checks", "_progress", "datasets"])
def test_tables_thresholds_and_rules_do_not_know_torch(file):
    reached, below = set(), {file}
    while below:
        reached |= below
        below = {name for f in below & set(FILES) for name in imports(f)} - reached
    assert "torch" not in reached


@pytest.mark.parametrize("file", FILES)
def test_scikit_learn_is_used_by_public_names_alone(file):
    names = [name for name in imported_names(file) if name.startswith("sklearn")]
    assert not [name for name in names if "._" in name]


def test_what_an_extra_installs_is_imported_inside_functions_alone():
    for file in FILES:
        tree = ast.parse((ROOT / f"{file}.py").read_text(encoding="utf-8"))
        statements = [node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))]
        imported = " ".join(map(ast.unparse, statements))
        assert "matplotlib" not in imported
        assert "jinja2" not in imported
