"""What a graph takes: columns of numbers and of strings."""

from numbers import Real
from typing import NamedTuple

__all__ = ["Input", "as_numbers", "is_text", "kind_of", "load_onnx", "load_skl2onnx", "type_of"]


# Texts that stand for a missing cell: the first, and what onnxruntime makes of None, NaN and NA.
MISSING = ("", "None", "nan", "<NA>")


class Input(NamedTuple):
    """Some of a table's columns, as a graph takes them.

    Attributes
    ----------
    name : str
    kind : str
        Type of the cells, in the lower case of ``onnx.TensorProto``.
    n_columns : int
    """

    name: str
    kind: str
    n_columns: int


def as_numbers(part, columns):
    """Nodes that make float64 of an input's columns, and the names of their results."""
    helper = load_onnx().helper
    texts = [column.name for column in columns if is_text(column)]
    if part.kind != "string" and texts:
        raise ValueError(
            f"Column {texts[0]!r} holds text: give it as an input of strings, as export_onnx does "
            "for a pipeline with X, some rows of the table."
        )
    if part.kind == "string" and len(texts) < len(columns):
        names = [column.name for column in columns if not is_text(column)]
        raise ValueError(f"Column {names[0]!r} holds numbers: give it as an input of its own.")
    if not texts:
        made = f"{part.name}/numbers"
        return [helper.make_node("Cast", [part.name], [made], to=type_of("double"))], [made]
    pieces = [f"{part.name}/column {i}" for i in range(len(columns))]
    # Equal parts, whose number ONNX takes from that of the outputs.
    sizes = helper.make_node("Constant", [], [f"{part.name}/sizes"], value_ints=[1] * len(columns))
    nodes = [sizes, helper.make_node("Split", [part.name, sizes.output[0]], pieces, axis=1)]
    for column, piece in zip(columns, pieces, strict=True):
        nodes += _positions(column, piece)
    return nodes, [f"{piece}/numbers" for piece in pieces]


def _positions(column, name):
    """Nodes from a column of strings to positions among its levels."""
    helper = load_onnx().helper
    levels = [str(level) for level in column.levels]
    if len(set(levels)) < len(levels):
        raise ValueError(f"Column {column.name!r} has two levels that are the same as text.")
    missing = [text for text in MISSING if text not in levels]
    positions = [float(i) for i in range(len(levels))] + [float("nan")] * len(missing)
    encode = helper.make_node(
        "LabelEncoder",
        [name],
        [f"{name}/positions"],
        domain="ai.onnx.ml",
        keys_strings=levels + missing,
        values_floats=positions,
        default_float=float(len(levels)),
    )
    return [
        encode,
        helper.make_node("Cast", encode.output, [f"{name}/numbers"], to=type_of("double")),
    ]


def is_text(column):
    """Whether a graph takes a column as strings: its levels are not all numbers."""
    is_category = column.kind in ("category", "ordered")
    are_numbers = column.levels and all(isinstance(level, Real) for level in column.levels)
    return is_category and not are_numbers


def type_of(kind):
    """Give the number that ONNX has for a kind of cell."""
    return load_onnx().TensorProto.DataType.Value(kind.upper())


def kind_of(number):
    """Give the kind of cell that ONNX has a number for."""
    return load_onnx().TensorProto.DataType.Name(number).lower()


def load_onnx():
    """Import onnx, or raise unless all that an export needs is there."""
    try:
        import onnx
        import onnxruntime  # noqa: F401
    except ImportError as error:
        raise ImportError("ONNX needs onnx and onnxruntime: pip install 'skvae[onnx]'") from error
    return onnx


def load_skl2onnx():
    """Import skl2onnx, or raise naming the extra."""
    try:
        import skl2onnx
        import skl2onnx.common.data_types
    except ImportError as error:
        raise ImportError("Pipelines need skl2onnx: pip install 'skvae[onnx]'") from error
    return skl2onnx
