"""Imports go down only: a folder imports what this table lets it, by the others' __init__."""

import ast
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import skvae

ROOT = Path(skvae.__file__).parent

# What each folder, and each file beside them, may import.
ALLOWED = {
    "__init__": {"_estimators", "_files", "_onnx", "_scoring", "_views"},
    "__main__": {"_cli"},
    "_cli": {
        *("__init__", "_estimators", "_files", "_scoring", "datasets"),
        *("matplotlib", "numpy", "pandas", "sklearn", "tqdm", "typer"),
    },
    "datasets": {"numpy", "pandas", "sklearn"},
    "imbalance": {"_estimators", "_table", "imblearn", "numpy", "pandas", "sklearn"},
    # leaves
    "_onnx": {
        *("_estimators", "_files", "_table"),
        *("numpy", "onnx", "onnxruntime", "skl2onnx", "sklearn", "torch"),
    },
    "_views": {
        *("_estimators", "_files", "_table"),
        *("jinja2", "matplotlib", "numpy", "pandas", "sklearn"),
    },
    "_scoring": {
        *("_engine", "_estimators", "_files"),
        *("numpy", "pandas", "pyarrow", "ray", "sklearn", "tqdm"),
    },
    "_files": {
        *("_engine", "_estimators"),
        *("numpy", "pandas", "pyarrow", "safetensors", "sklearn", "tqdm"),
    },
    # estimators
    "_estimators": {
        *("_engine", "_table", "nn"),
        *("numpy", "pandas", "scipy", "sklearn", "torch"),
    },
    # numbers in, numbers out
    "_engine": {
        *("_table", "nn"),
        *("numpy", "pandas", "safetensors", "scipy", "sklearn"),
        *("threadpoolctl", "torch", "tqdm"),
    },
    "_table": {"numpy", "pandas", "pyarrow", "scipy", "sklearn"},
    "nn": {"scipy", "torch"},  # scipy: distribution functions that torch lacks
}
WITHOUT_TORCH = [
    *("datasets", "_table/__init__"),
    *(f"_estimators/{name}" for name in ("checks", "conformal", "progress")),
]
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


def place(file):
    """Folder that a file is in, or its name where it is in none; packages stay as they are."""
    return file.split("/")[0]


def test_every_folder_has_an_entry():
    assert {place(file) for file in FILES} == set(ALLOWED)


@pytest.mark.parametrize("file", FILES)
def test_a_file_imports_only_what_its_folder_may(file):
    assert {place(name) for name in imports(file)} - {place(file)} <= ALLOWED[place(file)]


@pytest.mark.parametrize("file", FILES)
def test_a_folder_is_entered_by_its_init(file):
    elsewhere = {name for name in imports(file) & set(FILES) if place(name) != place(file)}
    assert {name for name in elsewhere if "/" in name} <= {
        f"{place(n)}/__init__" for n in elsewhere
    }


def test_no_file_imports_itself_in_a_circle():
    TopologicalSorter({file: imports(file) for file in FILES}).prepare()


@pytest.mark.parametrize("file", WITHOUT_TORCH)
def test_tables_thresholds_and_rules_do_not_know_torch(file):
    reached, below = set(), {file}
    while below:
        reached |= below
        below = {name for f in below & set(FILES) for name in imports(f)} - reached
    assert "torch" not in reached


@pytest.mark.parametrize("file", FILES)
def test_no_file_is_longer_than_400_lines_and_no_function_than_40(file):
    text = (ROOT / f"{file}.py").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 400
    lengths = {node.name: body_lines(node) for node in ast.walk(ast.parse(text)) if is_def(node)}
    assert {name: n for name, n in lengths.items() if n > 40} == {}


def is_def(node):
    return isinstance(node, ast.FunctionDef)


def body_lines(node):
    """Lines of a function without its signature and docstring."""
    body = node.body[1:] if ast.get_docstring(node) else node.body
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0


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
