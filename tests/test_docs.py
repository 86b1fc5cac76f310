"""The code shown in the documentation is the package's own."""

import doctest
import importlib
import inspect
import re
from pathlib import Path

import pytest

import skvae
import skvae.datasets
import skvae.nn

DOCS = Path(__file__).parent.parent / "docs"
BLOCK = re.compile(r"<!-- source: ([\w.]+) -->\n```python\n(.*?)```", re.DOTALL)
PAGES = [*DOCS.glob("*.md"), DOCS.parent / "README.md"]
SHOWN = BLOCK.findall((DOCS / "extending.md").read_text(encoding="utf-8"))


@pytest.mark.parametrize(("name", "code"), SHOWN, ids=[name for name, _ in SHOWN])
def test_code_shown_equals_the_source(name, code):
    module, _, attribute = name.rpartition(".")
    assert code == inspect.getsource(getattr(importlib.import_module(module), attribute))


def test_each_family_is_shown():
    assert len(SHOWN) == 6


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\((?!http)([^)#]+)", page.read_text(encoding="utf-8")):
        source = re.sub(r"auto_examples/(.*/plot_.*)\.rst", r"examples/\1.py", target)
        source = re.sub(
            r"auto_examples/(.*)/images/sphx_glr_(.*)_\d+\.png", r"examples/\1/\2.py", source
        )
        source = source.replace("auto_examples/index.rst", "examples/README.txt")
        assert (page.parent / source).exists(), target


@pytest.mark.parametrize("module", [skvae, skvae.nn, skvae.datasets])
def test_every_public_name_is_in_the_reference(module):
    words = set(re.findall(r"\w+", (DOCS / "api.rst").read_text(encoding="utf-8")))
    assert set(module.__all__) <= words


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_examples_run(page):
    text = BLOCK.sub("", page.read_text(encoding="utf-8"))
    example = doctest.DocTestParser().get_doctest(text, {}, page.name, str(page), 0)
    assert doctest.DocTestRunner().run(example).failed == 0
