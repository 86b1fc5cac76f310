"""What the commands do: imported when one runs, for it takes torch."""

import json
import sys
from collections import defaultdict
from pathlib import Path

import pandas as pd

from .. import VAEAnomalyDetector, export_onnx, load, save
from .. import report as html_report
from .._estimators import check_settings
from .._files import check_output, format_of, read_table_file
from .blocks import (
    about,
    by_block,
    known_columns,
    oddest,
    parts_of_block,
    scores_of_block,
    select,
    text_columns,
    write_blocks,
)
from .demo import demonstrate

__all__ = ["demo", "explain", "export", "fit", "report", "score"]


def fit(table, output, exclude, set_, seed, input_format):
    """Fit a detector to the rows of a table, and save it."""
    check_output(output, [table])
    detector = VAEAnomalyDetector(random_state=seed, verbose=sys.stderr.isatty())
    detector.set_params(**dict(map(_setting, set_)))
    check_settings(detector)
    if detector.use_labels:
        raise ValueError("--set use_labels: the command line takes no labels. Use Python.")
    with about(table):
        X = read_table_file(table, format_of(table, input_format))
        detector.fit(select(X, [name for name in X.columns if name not in exclude], exclude))
    save(detector.set_params(verbose=0), output)
    print(
        f"{_noise_models(detector)}{output}: {len(X):,} rows, "
        f"{detector.n_features_in_} columns, threshold {-detector.offset_:.6g} nats.",
        file=sys.stderr,
    )


def score(model, table, output, keep, block_rows, input_format, output_format):
    """Write the score of each row, and whether it is flagged."""
    check_output(output, [model, table])
    results = by_block(scores_of_block, load(model), keep, table, input_format, block_rows)
    write_blocks(results, output, output_format)


def explain(model, table, output, top, keep, block_rows, input_format, output_format):
    """Write what each column adds to each row's score."""
    check_output(output, [model, table])
    results = by_block(parts_of_block, load(model), keep, table, input_format, block_rows)
    write_blocks(results if top is None else oddest(results, top), output, output_format)


def report(model, table, output, top, keep, input_format):
    """Write an HTML page of the scores."""
    check_output(output, [model, table])
    detector = load(model)
    with about(table):
        rows = read_table_file(table, format_of(table, input_format), text_columns(detector))
        X = known_columns(detector, keep, rows)
        if keep:
            X = X.set_axis(pd.MultiIndex.from_frame(rows[list(keep)]))
        title = f"Anomalies in {'standard input' if table == '-' else Path(table).name}"
        path = None if output == "-" else output
        page = html_report(detector, X, path, n_rows=top, title=title)
    if page is not None:
        print(page)


def export(model, output):
    """Write a model as an ONNX graph."""
    check_output(output, [model])
    export_onnx(load(model), output)


def demo(output, seed):
    """Run the demonstration."""
    demonstrate(output, seed)


def _setting(text):
    """Name and value of a parameter written as name=JSON; what is no JSON is a string."""
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"--set {text}: write name=value")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value


def _noise_models(detector):
    """Lines that tell which noise model each column has."""
    columns = defaultdict(list)
    for column in detector.table_.columns_:
        columns[column.likelihood].append(str(column.name))
    return "".join(f"{name}: {', '.join(names)}\n" for name, names in columns.items())
