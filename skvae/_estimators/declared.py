"""Parameters declared as fields of a dataclass: default, rule and text, and docstrings of these."""

import inspect
import re
from dataclasses import field, fields
from typing import Any

from .checks import either, kind, one_of

__all__ = ["documented", "parameter", "part_of", "rules_of"]


def parameter(default: Any, rule: Any, text: str) -> Any:
    """Field of an estimator: its default, what it must be, its type and what it means."""
    return field(default=default, metadata={"rule": rule, "text": text})


def rules_of(cls):
    """Rule of each parameter of an estimator, by name."""
    return {each.name: each.metadata["rule"] for each in fields(cls)}


def documented(cls):
    """Put what stands in one place into the docstring of an estimator: parameters, attributes.

    The parameters are those of its fields; attributes that `BaseVAE` documents come first.
    """
    own = _sections(cls.__doc__)
    attributes = [_sections(each.__doc__).get("Attributes") for each in reversed(cls.__mro__)]
    own |= {
        "Parameters": "\n".join(map(_entry, fields(cls))),
        "Attributes": "\n".join(filter(None, attributes)),
    }
    order = sorted(own, key=["", "Parameters", "Attributes", *own].index)
    parts = [f"{title}\n{'-' * len(title)}\n{own[title]}" for title in order[1:]]
    cls.__doc__ = "\n\n".join([own[""], *parts]) + "\n"
    return cls


def _entry(each):
    kind_, *text = inspect.cleandoc(each.metadata["text"]).splitlines()
    lines = [f"    {line}" if line else "" for line in text]
    default = repr(each.default).replace("'", '"')
    return "\n".join([f"{each.name} : {kind_}, default={default}", *lines])


def _sections(doc):
    """Text of each section of a docstring in numpydoc's form, by title; "" is what comes first."""
    parts = re.split(r"^(\w[\w ]*)\n-+\n", inspect.cleandoc(doc or ""), flags=re.MULTILINE)
    return {
        title: text.strip("\n") for title, text in zip(["", *parts[1::2]], parts[::2], strict=True)
    }


def part_of(names, base):
    """Accept a name among `names`, or a subclass of `base`, or what has one as its `family`."""

    def is_subclass(value):
        family = getattr(value, "family", value)
        return isinstance(family, type) and issubclass(family, base)

    return either(one_of(names), kind(f"a subclass of skvae.nn.{base.__name__}", is_subclass))
