"""Fitted estimators as ONNX graphs, which score without skvae, torch or Python.

A graph holds the encoding of the table, the members with their fixed draws, the threshold and
the calibration scores. `Graph` states it once more in torch, on whole tables and by the model's
own parts, and torch translates that; only what torch cannot translate is written out here.
"""

import io
import math
import warnings
from contextlib import contextmanager
from os import PathLike
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from .._estimators import BaseVAE, VAEAnomalyDetector, VAEClusterer, VAETransformer
from .._files import replacing
from .graph import graph_of, outputs_of
from .inputs import Input, as_numbers, is_text, kind_of, load_onnx, load_skl2onnx, type_of
from .operators import Translatable

__all__ = ["export_onnx", "register_onnx"]


OPSET = 18
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
    calibrates), ``transform`` and ``score_samples`` of a transformer, ``score_samples``,
    ``predict`` and ``predict_proba`` of a clusterer.

    Parameters
    ----------
    estimator : VAEAnomalyDetector, VAEClusterer, VAETransformer or Pipeline
        Fitted. A pipeline, whose last step is one of the others, is converted by skl2onnx,
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
    rounding alone, mostly that of `score_samples` to float32, for which scores within 1e-5 of
    each other, relatively, count as equal in ``predict`` and ``p_values``. What `score_samples`
    refuses, such as infinite numbers, is not looked for.

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
    onnx = load_onnx()
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
    skl2onnx = load_skl2onnx()
    for cls in (VAEAnomalyDetector, VAEClusterer, VAETransformer):
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
    for column in columns:
        _check_integers(column)
    kinds = ["string" if is_text(column) else "double" for column in columns]
    inputs = [Input(name, kind, 1) for name, kind in zip(names, kinds, strict=True)]
    if "string" not in kinds:
        inputs = [Input("X", "double", len(columns))]
    outputs = outputs_of(estimator)
    if taken := [name for name in names if name in outputs]:
        raise ValueError(f"Column {taken[0]!r} has the name of an output of the graph. Rename it.")
    return _model(estimator, inputs, dict(zip(outputs, outputs, strict=True)))


def _check_integers(column):
    """Raise for a column that tells apart integers which a graph's numbers do not."""
    numbers = [level for level in column.levels if isinstance(level, int)]
    if column.origin or max(map(abs, numbers), default=0) > 2**53:
        raise ValueError(
            f"Column {column.name!r} holds integers beyond 2**53, which a graph does not tell from "
            "their neighbours. Fit it as text by astype(str), or leave it out."
        )


def _of_pipeline(pipeline, X):
    """Graph of an estimator that skl2onnx knows, with those of skvae within."""
    if not isinstance(getattr(pipeline, "steps", [(None, None)])[-1][1], BaseVAE):
        raise TypeError(
            "skvae.export_onnx writes a VAEAnomalyDetector, a VAETransformer, or a pipeline that "
            f"ends in one, not {type(pipeline).__name__}. Call skvae.register_onnx() and "
            "skl2onnx.to_onnx."
        )
    register_onnx()
    skl2onnx = load_skl2onnx()
    inputs = skl2onnx.common.data_types.DoubleTensorType([None, pipeline.n_features_in_])
    return skl2onnx.to_onnx(
        pipeline,
        None if X is None else X[:1],
        initial_types=[("X", inputs)] if X is None else None,
        options={id(pipeline[-1]): {"score_samples": True}},
        target_opset={"": OPSET, "ai.onnx.ml": 3},
    )


def _model(estimator, inputs, outputs):
    """Graph of an estimator.

    Parameters
    ----------
    estimator : VAEAnomalyDetector, VAEClusterer or VAETransformer
        Fitted.
    inputs : list of _Input
        The table's columns in order.
    outputs : dict of str to str
        Name of the output with the values of each method.

    Returns
    -------
    model : onnx.ModelProto
    """
    helper = load_onnx().helper
    columns = estimator.table_.columns_
    if sum(part.n_columns for part in inputs) != len(columns):
        raise ValueError(
            f"The inputs should have {len(columns)} columns, those seen in fit. Got {inputs}."
        )
    model = _translated(graph_of(estimator, list(outputs)), len(columns), type(estimator).__name__)
    nodes, pieces, start = [], [], 0
    for part in inputs:
        added, made = as_numbers(part, columns[start : start + part.n_columns])
        nodes, pieces, start = nodes + added, pieces + made, start + part.n_columns
    model = load_onnx().compose.add_prefix(model, INSIDE)  # columns have the other names
    graph = model.graph
    nodes.append(helper.make_node("Concat", pieces, [graph.input[0].name], axis=1))
    renaming = [helper.make_node("Identity", [INSIDE + old], [new]) for old, new in outputs.items()]
    nodes = [*nodes, *graph.node, *renaming]
    del graph.node[:], graph.input[:]
    graph.node.extend(nodes)
    graph.input.extend(
        helper.make_tensor_value_info(part.name, type_of(part.kind), ["n_samples", part.n_columns])
        for part in inputs
    )
    for value in graph.output:
        value.name = outputs[value.name.removeprefix(INSIDE)]
    graph.name = type(estimator).__name__
    model.opset_import.append(helper.make_opsetid("ai.onnx.ml", 3))
    return model


def _translated(graph, n_columns, name):
    """Turn torch's graph into ONNX's, which onnxruntime has to confirm.

    NOTE: by the older of torch's two exporters. On a mixed table it takes two seconds where the
    newer one takes a minute, and it keeps scalars in float64, where that rounds them to float32.
    """
    example = torch.tensor([[0.0], [1.0], [2.0], [math.nan]]).double().repeat(1, n_columns)
    dynamic = {key: {0: "n_samples"} for key in ("cells", *graph.outputs)}
    buffer = io.BytesIO()
    try:
        with torch.no_grad(), Translatable(), _quietly():
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
    return load_onnx().load_from_string(buffer.getvalue())


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
    types = load_skl2onnx().common.data_types
    operator = scope.declare_local_operator(f"Skvae{type(estimator).__name__}", estimator)
    operator.inputs = inputs
    is_last = not hasattr(estimator, "transform")  # else scores would be the next step's input
    options = scope.get_options(estimator, {"score_samples": is_last})
    names = [
        name
        for name in outputs_of(estimator)
        if name != "score_samples" or options["score_samples"]
    ]
    n_clusters = getattr(estimator, "n_clusters_", None)
    kinds = {
        "predict_proba": types.DoubleTensorType([None, n_clusters]),
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
        inputs.append(Input(variable.onnx_name, kind_of(kind), width))
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
