"""Values as JSON and arrays, and back, without any code.

What JSON does not have is an object with one key that says what it is: ``{"tuple": [...]}``,
``{"array": ["7", [0, 1]]}``. Objects are written by their attributes, and only those of the
classes listed here are read back: reading looks names up in dicts and runs nothing that was
brought along.
"""

import math
from dataclasses import dataclass, field, fields

import numpy as np
import pandas as pd
import torch
from torch import nn

from .. import nn as parts
from .._table import DOMAINS, Column, TableEncoder, dtype_name, dtype_named
from .members import Member

__all__ = ["Reader", "Writer"]


RECORDS = {cls.__name__: cls for cls in (Column, Member, TableEncoder, parts.WeightedLabel)}
_PUBLIC = [vars(parts)[name] for name in parts.__all__]
MODULES = {
    cls.__name__: cls
    for cls in [*_PUBLIC, *parts.ACTIVATIONS.values(), nn.ModuleList, nn.Sequential]
    if isinstance(cls, type) and issubclass(cls, nn.Module)
}
LARGEST_WEIGHT = 1e6  # far more than training comes to; the scores of larger ones may overflow
_LARGEST = torch.finfo(torch.float32).max  # models are trained in it
_PLAIN_MODULE = frozenset(vars(nn.Module()))


@dataclass
class Writer:
    """Turns values into JSON, and sets the arrays in them apart.

    Attributes
    ----------
    arrays : dict of str to ndarray
        By the number that stands for them.
    """

    arrays: dict = field(default_factory=dict)
    _written: dict = field(default_factory=dict)  # of arrays, by identity: some are shared

    def write(self, value, where):
        """JSON of a value; `where` names it in errors."""
        if isinstance(value, np.generic):
            value = value.item()
        if value is None or isinstance(value, (bool, int, str)):
            return value
        if isinstance(value, float):
            return float(value) if math.isfinite(value) else {"float": str(value)}
        if type(value) in (list, tuple):
            items = [self.write(item, where) for item in value]
            return items if isinstance(value, list) else {"tuple": items}
        if type(value) is dict:
            return {"dict": [[self.write(part, where) for part in item] for item in value.items()]}
        if isinstance(value, (np.ndarray, torch.Tensor)):
            return self._write_array(value, where)
        if isinstance(value, pd.Interval):  # levels that pandas.cut makes
            ends = [self.write(end, where) for end in (value.left, value.right)]
            return {"interval": [*ends, value.closed]}
        if isinstance(value, type) and MODULES.get(value.__name__) is value:
            return {"part": value.__name__}
        if isinstance(value, pd.CategoricalDtype):
            levels = self.write(list(value.categories), where)
            return {"categories": {"levels": levels, "ordered": value.ordered}}
        if isinstance(value, (np.dtype, pd.api.extensions.ExtensionDtype)):
            return {"dtype": dtype_name(value)}
        return self._write_object(value, where)

    def _write_array(self, value, where):
        if isinstance(value, np.ndarray) and value.dtype.kind not in "biuf":
            cells = [self.write(cell, where) for cell in value.ravel().tolist()]
            kind = "strings" if value.dtype.kind == "U" else "objects"
            return {kind: {"cells": cells, "shape": list(value.shape)}}
        if id(value) in self._written:
            return self._written[id(value)]
        kind = "array" if isinstance(value, np.ndarray) else "tensor"
        array, widened = value, []
        if kind == "tensor":
            array = value.detach().cpu().numpy()
            # Weights rest in float64 and were trained in float32.
            narrow = array.astype(np.float32) if array.dtype == np.float64 else None
            if narrow is not None and np.array_equal(narrow, array):
                array, widened = narrow, ["float64"]
        # The order of the axes in memory is kept: it decides the last bits of a product.
        axes = np.argsort([-stride for stride in array.strides], kind="stable").tolist()
        name = str(len(self.arrays))
        self.arrays[name] = array.transpose(axes).copy(order="C")
        self._written[id(value)] = {kind: [name, axes, *widened]}
        return self._written[id(value)]

    def _write_object(self, value, where):
        name = type(value).__name__
        if MODULES.get(name) is type(value):
            own = {key: part for key, part in vars(value).items() if key not in _PLAIN_MODULE}
            state = {
                "attributes": own,
                "parameters": value._parameters,
                "buffers": value._buffers,
                "children": value._modules,
            }
            return {"module": {"class": name, **self._write_dicts(state, f"{where} ({name})")}}
        if RECORDS.get(name) is type(value):
            return {
                "record": {"class": name, **self._write_dicts({"attributes": vars(value)}, where)}
            }
        for domain, known in DOMAINS.items():
            if value is known:
                return {"domain": domain}
        raise TypeError(
            f"{where} holds {value!r}: only values, names and the parts of skvae are saved without "
            "code. Use joblib.dump for parts of your own, and an int for random_state."
        )

    def _write_dicts(self, dicts, where):
        return {
            kind: {key: self.write(value, f"{where}.{key}") for key, value in values.items()}
            for kind, values in dicts.items()
        }


@dataclass
class Reader:
    """Turns JSON back into values.

    Attributes
    ----------
    arrays : dict of str to ndarray
    """

    arrays: dict

    def read(self, tree):
        """Value of what `Writer.write` returned."""
        if isinstance(tree, list):
            return [self.read(item) for item in tree]
        if not isinstance(tree, dict):
            return tree
        ((kind, content),) = tree.items()
        return getattr(self, READERS[kind])(content)

    def _float(self, text):
        return float(text)

    def _tuple(self, items):
        return tuple(self.read(items))

    def _dict(self, items):
        return {self.read(key): self.read(value) for key, value in items}

    def _array(self, content):
        name, axes = content
        return self.arrays[name].copy().transpose(np.argsort(axes))

    def _tensor(self, content):
        name, axes, *widened = content
        array = self.arrays[name]
        if not (np.abs(array) <= _LARGEST).all():
            raise ValueError("a weight is no number of float32")
        if widened not in ([], ["float64"]):
            raise ValueError(f"a weight is of no known type: {widened!r:.80}")
        tensor = torch.tensor(array, dtype=torch.float64 if widened else None)
        return tensor.permute(np.argsort(axes).tolist())

    def _objects(self, content):
        cells = np.empty(len(content["cells"]), dtype=object)
        cells[:] = self.read(content["cells"])
        return cells.reshape(content["shape"])

    def _strings(self, content):
        return np.array(self.read(content["cells"]), dtype=np.str_).reshape(content["shape"])

    def _interval(self, content):
        left, right, closed = content
        return pd.Interval(self.read(left), self.read(right), closed)

    def _categories(self, content):
        return pd.CategoricalDtype(self.read(content["levels"]), content["ordered"])

    def _dtype(self, text):
        return dtype_named(text)

    def _part(self, name):
        return MODULES[name]

    def _domain(self, name):
        return DOMAINS[name]

    def _record(self, content):
        cls = RECORDS[content["class"]]
        value = object.__new__(cls)
        vars(value).update(self._named(content["attributes"]))
        if cls is Column:
            _check_fields(value)
        return value

    def _module(self, content):
        module = object.__new__(MODULES[content["class"]])
        nn.Module.__init__(module)
        vars(module).update(self._named(content["attributes"]))
        for name, tensor in self._named(content["parameters"]).items():
            if not (tensor.abs() <= LARGEST_WEIGHT).all():
                raise ValueError(f"{name} is larger than any weight, {LARGEST_WEIGHT:g}")
            module.register_parameter(name, nn.Parameter(tensor, requires_grad=False))
        for name, tensor in self._named(content["buffers"]).items():
            module.register_buffer(name, tensor)
        for name, child in self._named(content["children"]).items():
            module.add_module(name, child)
        return module.eval()

    def _named(self, trees):
        return {name: self.read(tree) for name, tree in trees.items()}


def _check_fields(value):
    """Raise for a field of a dataclass that is not of its type."""
    for each in fields(value):
        held = getattr(value, each.name)
        if not isinstance(held, each.type) or isinstance(held, bool) != (each.type is bool):
            raise TypeError(f"{each.name} is {held!r:.80}, no {each.type.__name__}")


READERS = {
    kind: f"_{kind}"
    for kind in (
        *(
            "float",
            "tuple",
            "dict",
            "array",
            "tensor",
            "objects",
            "strings",
            "interval",
            "categories",
        ),
        *("dtype", "domain", "part", "record", "module"),
    )
}
