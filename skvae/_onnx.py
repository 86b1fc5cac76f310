"""Fitted estimators as ONNX graphs, which score without skvae, torch or Python.

A graph holds the encoding of the table, the members with their fixed draws, the threshold and
the calibration scores. `Graph` states it once more in torch, on whole tables and by the model's
own parts, and torch translates that; only what torch cannot translate is written out here.
"""

import io
import math
import warnings
from contextlib import contextmanager
from math import log, pi
from numbers import Real
from os import PathLike
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted
from torch import nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from ._base import BaseVAE
from ._detector import VAEAnomalyDetector
from ._io import replacing
from ._table import DOMAINS, FARTHEST, INVERSE_SINH, LOGARITHM
from ._transformer import VAETransformer

__all__ = ["export_onnx", "register_onnx"]

OPSET = 18
# Methods whose values a graph gives, where the estimator has them.
OUTPUTS = ("transform", "score_samples", "decision_function", "predict", "p_values")
# Texts that stand for a missing cell: the first, and what onnxruntime makes of None, NaN and NA.
MISSING = ("", "None", "nan", "<NA>")
# Scores that differ by less, relative to their size, are equal: ties must not hang on rounding.
TIE = 1e-9
INSIDE = "skvae/"  # begins the names of what is inside a graph
TOLERANCE = 1e-6  # relative, of a graph's outputs beside torch's


def export_onnx(estimator: BaseEstimator, path: str | PathLike[str], X: Any = None) -> None:
    """Write a fitted estimator, or a pipeline that ends in one, as an ONNX graph.

    The graph takes the table as `fit` did: a matrix ``X`` of float64 where all cells are
    numbers, else one input of shape (n_samples, 1) for each column, under its name:
    float64, or strings for columns of levels that are no numbers. NaN is a missing cell, among
    strings "" is (and "None", "nan" and "<NA>", which onnxruntime makes of what pandas has for
    missing), unless the column has it as a level. The number of rows is free.

    Its outputs are named after the methods whose values they are: ``score_samples``,
    ``decision_function``, ``predict`` and ``p_values`` of a detector (the last if any row
    calibrates), ``transform`` and ``score_samples`` of a transformer.

    Parameters
    ----------
    estimator : VAEAnomalyDetector, VAETransformer or Pipeline
        Fitted. A pipeline, whose last step is one of the first two, is converted by skl2onnx,
        which has to know its other steps.
    path : str or path-like
        Replaced if it exists, once the new file is complete.
    X : array-like or DataFrame of shape (n_samples, n_features), default=None
        Some rows, whose types the graph of a pipeline takes. By default it takes a matrix
        ``X`` of float64.

    Raises
    ------
    sklearn.exceptions.NotFittedError
        Before ``fit``.
    ImportError
        Without the packages of ``skvae[onnx]``.
    TypeError
        If it is another estimator.
    ValueError
        If a part of the model, such as one of your own, has no translation, or onnxruntime
        does not give what torch gives.

    See Also
    --------
    register_onnx : Let skl2onnx convert pipelines.

    Notes
    -----
    Computed in float64 with the draws that the estimator scores with. Values differ by
    rounding alone, for which scores within 1e-9 of each other, relatively, count as equal in
    ``predict`` and ``p_values``. What `score_samples` refuses, such as infinite numbers, is not
    looked for.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np
    >>> import onnxruntime
    >>> import skvae
    >>> X = np.random.RandomState(0).normal(size=(100, 2))
    >>> detector = skvae.VAEAnomalyDetector(max_steps=50, robust_weight=0, random_state=0).fit(X)
    >>> path = os.path.join(tempfile.mkdtemp(), "detector.onnx")
    >>> skvae.export_onnx(detector, path)
    >>> session = onnxruntime.InferenceSession(path)
    >>> scores, labels = session.run(["score_samples", "predict"], {"X": X})
    >>> bool(np.allclose(scores, detector.score_samples(X)))
    True
    >>> bool((labels == detector.predict(X)).all())
    True
    """
    check_is_fitted(estimator)
    onnx = _onnx()
    write = _of_estimator if isinstance(estimator, BaseVAE) else _of_pipeline
    model = write(estimator, X)
    with replacing(path) as temporary:
        onnx.save(model, temporary)


def register_onnx() -> None:
    """Let skl2onnx convert pipelines with a `VAEAnomalyDetector` or `VAETransformer`.

    After this call ``skl2onnx.to_onnx(pipeline, X[:1])`` works. The outputs of a detector are
    those of `export_onnx`. A transformer has ``transform`` alone, so that another step may
    follow, and ``score_samples`` with ``options={VAETransformer: {"score_samples": True}}``.

    Raises
    ------
    ImportError
        Without the packages of ``skvae[onnx]``.

    See Also
    --------
    export_onnx : Write a file at once.

    Examples
    --------
    >>> import numpy as np
    >>> import skl2onnx
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> import skvae
    >>> X = np.random.RandomState(0).normal(size=(100, 2))
    >>> detector = skvae.VAEAnomalyDetector(max_steps=50, robust_weight=0, random_state=0)
    >>> pipeline = make_pipeline(StandardScaler(), detector).fit(X)
    >>> skvae.register_onnx()
    >>> model = skl2onnx.to_onnx(pipeline, X[:1])
    >>> [output.name for output in model.graph.output]
    ['score_samples', 'decision_function', 'predict', 'p_values']
    """
    skl2onnx = _skl2onnx()
    for cls in (VAEAnomalyDetector, VAETransformer):
        skl2onnx.update_registered_converter(
            cls,
            f"Skvae{cls.__name__}",
            lambda operator: None,
            _convert,
            parser=_parse,
            options={"score_samples": [True, False]},
        )


def _of_estimator(estimator, X):
    """Graph of one estimator, which takes the table as it was fitted."""
    columns = estimator.table_.columns_
    names = [str(column.name) for column in columns]
    if len(set(names)) < len(names):
        raise ValueError(f"Two columns have one name, by which a graph knows them: {names}.")
    kinds = ["string" if is_text(column) else "double" for column in columns]
    inputs = [_Input(name, kind, 1) for name, kind in zip(names, kinds, strict=True)]
    if "string" not in kinds:
        inputs = [_Input("X", "double", len(columns))]
    outputs = outputs_of(estimator)
    if taken := [name for name in names if name in outputs]:
        raise ValueError(f"Column {taken[0]!r} has the name of an output of the graph. Rename it.")
    return _model(estimator, inputs, dict(zip(outputs, outputs, strict=True)))


def _of_pipeline(pipeline, X):
    """Graph of an estimator that skl2onnx knows, with those of skvae within."""
    if not isinstance(getattr(pipeline, "steps", [(None, None)])[-1][1], BaseVAE):
        raise TypeError(
            "skvae.export_onnx writes a VAEAnomalyDetector, a VAETransformer, or a pipeline that "
            f"ends in one, not {type(pipeline).__name__}. Call skvae.register_onnx() and "
            "skl2onnx.to_onnx."
        )
    register_onnx()
    skl2onnx = _skl2onnx()
    inputs = skl2onnx.common.data_types.DoubleTensorType([None, pipeline.n_features_in_])
    return skl2onnx.to_onnx(
        pipeline,
        None if X is None else X[:1],
        initial_types=[("X", inputs)] if X is None else None,
        options={id(pipeline[-1]): {"score_samples": True}},
        target_opset={"": OPSET, "ai.onnx.ml": 3},
    )


class _Input(NamedTuple):
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


def _model(estimator, inputs, outputs):
    """Graph of an estimator.

    Parameters
    ----------
    estimator : VAEAnomalyDetector or VAETransformer
        Fitted.
    inputs : list of _Input
        The table's columns in order.
    outputs : dict of str to str
        Name of the output with the values of each method.

    Returns
    -------
    model : onnx.ModelProto
    """
    helper = _onnx().helper
    columns = estimator.table_.columns_
    if sum(part.n_columns for part in inputs) != len(columns):
        raise ValueError(
            f"The inputs should have {len(columns)} columns, those seen in fit. Got {inputs}."
        )
    model = _translated(Graph(estimator, list(outputs)), len(columns), type(estimator).__name__)
    nodes, pieces, start = [], [], 0
    for part in inputs:
        added, made = _numbers(part, columns[start : start + part.n_columns])
        nodes, pieces, start = nodes + added, pieces + made, start + part.n_columns
    model = _onnx().compose.add_prefix(model, INSIDE)  # columns have the other names
    graph = model.graph
    nodes.append(helper.make_node("Concat", pieces, [graph.input[0].name], axis=1))
    renaming = [helper.make_node("Identity", [INSIDE + old], [new]) for old, new in outputs.items()]
    nodes = [*nodes, *graph.node, *renaming]
    del graph.node[:], graph.input[:]
    graph.node.extend(nodes)
    graph.input.extend(
        helper.make_tensor_value_info(part.name, _type(part.kind), ["n_samples", part.n_columns])
        for part in inputs
    )
    for value in graph.output:
        value.name = outputs[value.name.removeprefix(INSIDE)]
    graph.name = type(estimator).__name__
    model.opset_import.append(helper.make_opsetid("ai.onnx.ml", 3))
    return model


def _numbers(part, columns):
    """Nodes that make float64 of an input's columns, and the names of their results."""
    helper = _onnx().helper
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
        return [helper.make_node("Cast", [part.name], [made], to=_type("double"))], [made]
    pieces = [f"{part.name}/column {i}" for i in range(len(columns))]
    # Equal parts, whose number ONNX takes from that of the outputs.
    sizes = helper.make_node("Constant", [], [f"{part.name}/sizes"], value_ints=[1] * len(columns))
    nodes = [sizes, helper.make_node("Split", [part.name, sizes.output[0]], pieces, axis=1)]
    for column, piece in zip(columns, pieces, strict=True):
        nodes += _positions(column, piece)
    return nodes, [f"{piece}/numbers" for piece in pieces]


def _positions(column, name):
    """Nodes from a column of strings to positions among its levels."""
    helper = _onnx().helper
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
        helper.make_node("Cast", encode.output, [f"{name}/numbers"], to=_type("double")),
    ]


def _translated(graph, n_columns, name):
    """Turn torch's graph into ONNX's, which onnxruntime has to confirm.

    NOTE: by the older of torch's two exporters. On a mixed table it takes two seconds where the
    newer one takes a minute, and it keeps scalars in float64, where that rounds them to float32.
    """
    example = torch.tensor([[0.0], [1.0], [2.0], [math.nan]]).double().repeat(1, n_columns)
    dynamic = {key: {0: "n_samples"} for key in ("cells", *graph.outputs)}
    buffer = io.BytesIO()
    try:
        with torch.no_grad(), _Translatable(), _quietly():
            torch.onnx.export(
                graph.eval(),
                (example[:3],),
                buffer,
                dynamo=False,
                do_constant_folding=False,  # onnxruntime does, and keeps the types
                opset_version=OPSET,
                input_names=["cells"],
                output_names=list(graph.outputs),
                dynamic_axes=dynamic,
            )
            expected = graph(example)
        found = _run(buffer.getvalue(), {"cells": example.numpy()})
    except Exception as error:  # whatever torch or onnxruntime make of a part that is unknown
        first, *_ = str(error).splitlines() or [""]
        raise ValueError(
            f"This {name} cannot be written as ONNX: {first} Parts of your own must consist of "
            "operations that torch.onnx can translate; use skvae.save or joblib.dump."
        ) from error
    for output, values, oracle in zip(graph.outputs, found, expected, strict=True):
        oracle = oracle.numpy()
        if not np.allclose(values, oracle, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True):
            raise ValueError(
                f"This {name} cannot be written as ONNX: its graph gives {output} {values} where "
                f"torch gives {oracle}. A part of your own depends on the rows in a way that "
                "torch.onnx cannot see."
            )
    return _onnx().load_from_string(buffer.getvalue())


def _run(model, feed):
    """Compute the outputs of a serialised graph."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what fails is raised
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model, options).run(None, feed)


@contextmanager
def _quietly():
    """Let torch not warn that the exporter is the older one, nor that sizes are constants."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _parse(scope, estimator, inputs, custom_parsers=None):
    """Declare to skl2onnx what a graph gives."""
    types = _skl2onnx().common.data_types
    operator = scope.declare_local_operator(f"Skvae{type(estimator).__name__}", estimator)
    operator.inputs = inputs
    is_last = not hasattr(estimator, "transform")  # else scores would be the next step's input
    options = scope.get_options(estimator, {"score_samples": is_last})
    names = [
        name
        for name in outputs_of(estimator)
        if name != "score_samples" or options["score_samples"]
    ]
    kinds = {
        "transform": types.DoubleTensorType([None, estimator.model_.latent_dim]),
        "predict": types.Int64TensorType([None]),
    }
    for name in names:
        kind = kinds.get(name, types.DoubleTensorType([None]))
        operator.outputs.append(scope.declare_local_variable(name, kind))
    return operator.outputs


def _convert(scope, operator, container):
    """Add the graph of an estimator to that of a pipeline."""
    inputs = []
    for variable in operator.inputs:
        kind = variable.type.to_onnx_type().tensor_type.elem_type
        shape = variable.type.shape
        only = operator.raw_operator.n_features_in_ if len(operator.inputs) == 1 else 1
        width = shape[1] if len(shape) > 1 and shape[1] else only
        inputs.append(_Input(variable.onnx_name, _kind(kind), width))
    outputs = {variable.raw_name: variable.onnx_name for variable in operator.outputs}
    model = _model(operator.raw_operator, inputs, outputs)
    prefix = scope.get_unique_operator_name(operator.type)
    shared = {"", *(part.name for part in inputs), *outputs.values()}

    def renamed(names):
        return [name if name in shared else f"{prefix}/{name}" for name in names]

    for node in model.graph.node:
        node.input[:], node.output[:] = renamed(node.input), renamed(node.output)
    for tensor in model.graph.initializer:
        (tensor.name,) = renamed([tensor.name])
    container.nodes.extend(model.graph.node)
    container.initializers.extend(model.graph.initializer)
    for opset in model.opset_import:
        container.node_domain_version_pair_sets.add((opset.domain, opset.version))


def _type(kind):
    return _onnx().TensorProto.DataType.Value(kind.upper())


def _kind(number):
    return _onnx().TensorProto.DataType.Name(number).lower()


def _onnx():
    """Import onnx, or raise unless all that an export needs is there."""
    try:
        import onnx
        import onnxruntime  # noqa: F401
    except ImportError as error:
        raise ImportError("ONNX needs onnx and onnxruntime: pip install 'skvae[onnx]'") from error
    return onnx


def _skl2onnx():
    try:
        import skl2onnx
        import skl2onnx.common.data_types
    except ImportError as error:
        raise ImportError("Pipelines need skl2onnx: pip install 'skvae[onnx]'") from error
    return skl2onnx


class _Rows(NamedTuple):
    """Encoded rows and their scores."""

    values: torch.Tensor
    observed: torch.Tensor
    scores: torch.Tensor


class Graph(nn.Module):
    """A fitted estimator's methods in torch, from one matrix of cells.

    Parameters
    ----------
    estimator : VAEAnomalyDetector or VAETransformer
        Fitted.
    outputs : sequence of str
        Methods, each of which is restated below.
    """

    def __init__(self, estimator, outputs):
        super().__init__()
        self.outputs = outputs
        self.encode = Encoding(estimator.table_)
        members = [(each.weight, each.model) for each in estimator.members_ if each.weight > 0]
        self.weights = [weight for weight, _ in members]
        self.models = nn.ModuleList(model for _, model in members)
        self.priors = [model.prior_distribution() for model in self.models]
        self.main = estimator.model_
        self.draws = torch.tensor(estimator.draws_)
        self.bound = BOUNDS[estimator.bound]
        self.offset = getattr(estimator, "offset_", None)
        calibration = getattr(estimator, "calibration_scores_", ())
        self.n_calibration = len(calibration)
        self.calibration = _matrix([calibration], np.inf)

    def forward(self, cells):
        """Values of the methods; (n, n_columns) -> tuple of Tensor."""
        values, observed, scores = self.encode(cells)
        for weight, model, p in zip(self.weights, self.models, self.priors, strict=True):
            q = model.infer(values, observed)
            draws = self.draws[..., : model.latent_dim]
            terms = model.elbo(q, p, values, observed, draws)
            scores = scores + weight * self.bound(terms.log_weight())
        rows = _Rows(values, observed, scores)
        return tuple(getattr(self, name)(rows) for name in self.outputs)

    def transform(self, rows):
        """Means of the posterior; (n, latent_dim)."""
        return self.main.infer(rows.values, rows.observed).mean

    def score_samples(self, rows):
        """Bound on the log density, in nats; (n,)."""
        return rows.scores

    def decision_function(self, rows):
        """Score above the threshold, in nats; (n,)."""
        return rows.scores - self.offset

    def predict(self, rows):
        """1 or -1; (n,)."""
        return 2 * (_lifted(rows.scores) >= self.offset).long() - 1

    def p_values(self, rows):
        """Conformal p-values; (n,)."""
        n_not_above = _count_not_above(self.calibration, _lifted(rows.scores).unsqueeze(-1))
        return (1 + n_not_above.squeeze(-1)).double() / (1 + self.n_calibration)


class Encoding(nn.Module):
    """`TableEncoder.encode` in torch, and the Jacobian of a row.

    Parameters
    ----------
    table : TableEncoder
    """

    def __init__(self, table):
        super().__init__()
        columns = table.columns_
        domains = [DOMAINS[table.families[column.likelihood]] for column in columns]
        units = [[c.exponent, c.loc, c.scale, c.spread] for c in columns]
        units = torch.tensor(units, dtype=torch.float64)
        exponents, self.locs, self.scales, self.spreads = units.T
        half = (exponents / 2).floor()  # in two steps: the power itself may overflow
        self.powers = torch.exp2(-half), torch.exp2(half - exponents)
        self.curves = [
            (*curve, torch.tensor(bent))
            for known, curve in CURVES.items()
            if any(bent := [domain.curve is known for domain in domains])
        ]
        # Of the linear part: no curve has a slope where its values are 0.
        self.log_jacobian = float(table.log_jacobian(np.zeros((1, len(columns)))).sum())
        coded = [
            j
            for j, (column, domain) in enumerate(zip(columns, domains, strict=True))
            if domain.order_levels is not None and not is_text(column)
        ]
        self.coded = torch.tensor(coded, dtype=torch.long)
        self.codes = Codes([columns[j].levels for j in coded]) if coded else None
        places = np.arange(len(columns))
        places[coded] = len(columns) + np.arange(len(coded))
        self.order = torch.tensor(places[table.order_])
        self.seen = torch.tensor(table.order_)
        self.masked = torch.tensor(table.masked_)

    def forward(self, cells):
        """Encode cells; say with 1.0 which are observed, and the log of the Jacobian in nats.

        (n, n_columns) -> (n, n_columns + n_masked) twice, and (n,).
        """
        holes = cells.isnan()
        cells = torch.where(holes, 0.0, cells)
        values = cells * self.powers[0] * self.powers[1]
        values = ((values - self.locs) / self.scales).clamp(-FARTHEST, FARTHEST)
        log_jacobian = torch.full_like(values[:, 0], self.log_jacobian)
        for straighten, log_slope, is_bent in self.curves:
            bent = torch.where(holes, 0.0, straighten(values))
            values = torch.where(is_bent, bent / self.spreads, values)
            log_jacobian = log_jacobian + (log_slope(bent) * is_bent).sum(-1)
        if self.codes is not None:
            values = torch.cat([values, self.codes(cells[:, self.coded])], -1)
        flags = holes[:, self.masked].double()
        observed = torch.cat([(~holes[:, self.seen]).double(), torch.ones_like(flags)], -1)
        return torch.cat([values[:, self.order], flags], -1) * observed, observed, log_jacobian


class Codes(nn.Module):
    """Positions of numbers among the levels of their columns.

    Parameters
    ----------
    levels : list of tuple of float
        Of each column.
    """

    def __init__(self, levels):
        super().__init__()
        arrays = [np.array(own, dtype=np.float64) for own in levels]
        self.sorted = _matrix([np.sort(own) for own in arrays], np.inf)
        self.positions = _matrix([np.argsort(own) for own in arrays], 0.0)
        self.unseen = torch.tensor([len(own) for own in arrays]).double()

    def forward(self, cells):
        """Position of each cell, or that of unseen levels; (n, c) -> (n, c)."""
        n_columns, size = self.sorted.shape
        nearest = (_count_not_above(self.sorted, cells) - 1).relu()
        place = nearest + size * torch.arange(n_columns)
        is_known = self.sorted.flatten()[place] == cells
        return torch.where(is_known, self.positions.flatten()[place], self.unseen)


# What torch's graph takes for each curve: the function and the log of its derivative.
CURVES = {
    LOGARITHM: (lambda u: u.clamp(min=1 / FARTHEST).log(), torch.neg),
    INVERSE_SINH: (
        lambda u: u.sign() * (u.abs() + (u.square() + 1).sqrt()).log(),
        lambda w: log(2.0) - torch.logaddexp(w, -w),
    ),
}
BOUNDS = {
    "elbo": lambda log_weight: log_weight.mean(0),
    "iwae": lambda log_weight: log_weight.logsumexp(0) - log(len(log_weight)),
}


def outputs_of(estimator):
    """Methods whose values the graph of an estimator gives."""
    has_p_values = len(getattr(estimator, "calibration_scores_", ())) > 0
    return [
        name
        for name in OUTPUTS
        if hasattr(estimator, name) and (name != "p_values" or has_p_values)
    ]


def is_text(column):
    """Whether a graph takes a column as strings: its levels are not all numbers."""
    is_category = column.kind in ("category", "ordered")
    are_numbers = column.levels and all(isinstance(level, Real) for level in column.levels)
    return is_category and not are_numbers


def _lifted(scores):
    """Scores raised by as much as rounding may have lowered them."""
    return scores + TIE * scores.abs().clamp(min=1.0)


def _matrix(rows, fill):
    """Rows of different lengths as one float64 matrix of 2**k - 1 columns."""
    size = 2 ** max(map(len, rows)).bit_length() - 1
    return torch.tensor(
        np.array([np.append(row, np.full(size - len(row), fill)) for row in rows], dtype=np.float64)
    )


def _count_not_above(table, x):
    """How many of each column's entries are not above x, by bisection.

    Parameters
    ----------
    table : Tensor of shape (c, 2**k - 1)
        Ascending rows, one for each column of x.
    x : Tensor of shape (n, c)

    Returns
    -------
    count : int64 Tensor of shape (n, c)
    """
    n_columns, size = table.shape
    entries, first = table.flatten(), size * torch.arange(n_columns)
    count = torch.zeros_like(x).long()
    step = (size + 1) // 2
    while step:
        more = count + step
        count = torch.where(entries[more - 1 + first] <= x, more, count)
        step //= 2
    return count


def _lgamma(x):
    """Logarithm of the gamma function of x > 0, which ONNX lacks: Stirling's series from 8 on."""
    is_small = x < 8
    low = torch.where(is_small, x, 1.0)
    factors = low
    for i in range(1, 8):
        factors = factors * (low + i)
    high = torch.where(is_small, x + 8, x)
    series, inverse = 0.0, high.reciprocal()
    for coefficient in STIRLING[::-1]:
        series = series * inverse.square() + coefficient
    stirling = (high - 0.5) * high.log() - high + log(2 * pi) / 2 + series * inverse
    return stirling - torch.where(is_small, factors.log(), 0.0)


# Bernoulli numbers: B_2k / (2 k (2 k - 1)).
STIRLING = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156)


def _solve_triangular(factor, right, *, upper):
    """Solve factor @ x = right row by row; ONNX has no such operator."""
    n_rows = factor.shape[-1]
    rows = {}
    for i in reversed(range(n_rows)) if upper else range(n_rows):
        rest = right[..., i, :]
        for j, row in rows.items():
            rest = rest - factor[..., i, j].unsqueeze(-1) * row
        rows[i] = rest / factor[..., i, i].unsqueeze(-1)
    return torch.stack([rows[i] for i in range(n_rows)], -2)


def _logaddexp(x, y):
    return torch.maximum(x, y) + torch.log1p(torch.exp(-(x - y).abs()))


def _softplus(x):
    return torch.where(x > 20, x, torch.log1p(_clamp(x, max=20.0).exp()))  # 20 as in torch


def _silu(x, inplace=False):
    # Without a sigmoid, whose product with x older versions of onnxruntime take for an operation
    # that they lack for float64.
    return x / (1 + torch.exp(-x))


def _pad(x, widths, mode, value):
    return torch.cat([x, _full_like(x[..., : widths[1]], 0.0)], -1)


def _clamp(x, min=-math.inf, max=math.inf):
    low, high = (torch.tensor(bound, dtype=torch.float64).to(x.dtype) for bound in (min, max))
    return torch.minimum(torch.maximum(x, low), high)


def _diag_embed(diagonal):
    return diagonal.unsqueeze(-1) * _identity(diagonal)


def _full_like(x, value):
    return x.isnan().to(x.dtype) * 0 + value


def _identity(x):
    return torch.eye(x.shape[-1], dtype=x.dtype)


# Operations, as functions and as methods, for want of which torch would refuse to translate.
WRITTEN_OUT = {
    # Like `pad`, else an operator without one of its inputs, which skl2onnx cannot sort.
    "clamp": _clamp,
    "clamp_min": lambda x, low: _clamp(x, min=low),
    "diag_embed": _diag_embed,
    "diagonal": lambda x, *, dim1, dim2: (x * _identity(x)).sum(dim2),
    "expm1": lambda x: x.exp() - 1,
    "lgamma": _lgamma,
    "logaddexp": _logaddexp,
    # Torch's own translation asks for the size again, and mistakes the type of the branches.
    "squeeze": lambda x, dim: x.select(dim, 0) if x.shape[dim] == 1 else x,
    "xlogy": lambda x, y: torch.where(x == 0, 0.0, x * y.log()),
    # Torch's own translations take sizes that it has not inferred for those of the example.
    "full_like": _full_like,
    "ones_like": lambda x: _full_like(x, 1.0),
    "zeros_like": lambda x: _full_like(x, 0.0),
    # Asked by StudentT, whatever validate_args is: there are no values yet to judge.
    "_is_all_true": lambda valid: True,
}
_REPLACED = {
    getattr(owner, name): function
    for name, function in WRITTEN_OUT.items()
    for owner in (torch, torch.Tensor)
    if hasattr(owner, name)
} | {
    functional.pad: _pad,
    functional.silu: _silu,
    functional.softplus: _softplus,
    functional.logsigmoid: lambda x: -_softplus(-x),
    torch.linalg.solve_triangular: _solve_triangular,
}


class _Translatable(TorchFunctionMode):
    """Computes by what ONNX has."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        return _REPLACED.get(function, function)(*args, **(kwargs or {}))
