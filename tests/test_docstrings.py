"""Public objects have docstrings in numpydoc's form."""

import inspect

import pytest
from numpydoc.validate import validate

import skvae
import skvae.datasets
import skvae.nn

IGNORED = {
    "ES01": "a summary line is often all that there is to say",
    "EX01": "examples are for estimators and functions, not for each method",
    "SA01": "and so is See Also",
    "GL01": "summaries begin on the line of the quotes, as older versions do not know",
    "PR01": "base classes in nn document n_columns and alike once",
    "PR02": "for the base classes, which have torch.nn.Module's signature",
    "PR07": "X is the same in each method, and a shape or type may say it all",
    "RT02": "results have a name, as in scikit-learn",
    "RT03": "and the name or the summary line may say it all",
    "SS05": "takes a noun in the plural for a verb",
}


def public_names():
    for module in (skvae, skvae.nn, skvae.datasets):
        objects = {name: getattr(module, name) for name in module.__all__}
        yield from (f"{module.__name__}.{name}" for name, o in objects.items() if callable(o))
    for cls in filter(inspect.isclass, map(skvae.__dict__.get, skvae.__all__)):
        for name, method in inspect.getmembers(cls, inspect.isroutine):
            module = getattr(method, "__module__", None) or ""
            if not name.startswith("_") and module.startswith("skvae"):
                yield f"skvae.{cls.__name__}.{name}"


@pytest.mark.parametrize("name", list(public_names()))
def test_docstring_is_valid(name):
    errors = [(code, text) for code, text in validate(name)["errors"] if code not in IGNORED]
    assert not errors


@pytest.mark.parametrize("module", [skvae, skvae.nn, skvae.datasets])
def test_module_says_what_it_is(module):
    assert inspect.getdoc(module)
    assert set(module.__all__) <= set(dir(module))
