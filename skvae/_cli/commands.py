"""What the commands do: imported when one runs, for it takes torch."""

import json
import sys
from collections import Counter, defaultdict
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from .. import VAEAnomalyDetector, export_onnx, load, save
from .. import report as html_report
from .._estimators import check_settings, texts_are_levels
from .._files import (
    Sample,
    blocks_of,
    check_output,
    dialect_of,
    drawn,
    fit_sample,
    is_many,
    parts_of,
)
from .._scoring import (
    Source,
    Target,
    about,
    by_block,
    counted,
    known_columns,
    named,
    p_values_of_block,
    scores_of_block,
    select,
    text_columns,
    write_blocks,
)
from .blocks import flagged_together, oddest, parts_of_block, read, repaired_block, shown
from .demo import demonstrate
from .folder import check_one, job_of, score_folder

__all__ = ["demo", "explain", "export", "fit", "repair", "report", "score"]


_SAMPLE_ROWS = 1_000_000  # of many tables


def fit(
    tables,
    output,
    exclude,
    context,
    set_,
    seed,
    sample_rows,
    checkpoint,
    input_format,
    separator,
    decimal,
):
    """Fit a detector to the rows of tables, and save it."""
    check_output(output, tables)
    detector = VAEAnomalyDetector(random_state=seed, verbose=sys.stderr.isatty())
    detector.set_params(**dict(map(_setting, set_)))
    check_settings(detector)
    if detector.use_labels:
        raise ValueError("--set use_labels: the command line takes no labels. Use Python.")
    if sample_rows is None and len(tables) == 1 and not is_many(tables[0]):
        sample, n_calibrating = _whole(Source(tables[0], input_format, separator, decimal)), 0
    else:
        check_output(output, _paths(tables, input_format))
        blocks = blocks_of(tables, input_format, dialect_of(separator, decimal))
        n = sample_rows or _SAMPLE_ROWS
        sample, n_calibrating = drawn(detector, blocks, n, n // 10)
    exclude = named(exclude, sample.X.columns)
    if context:
        detector.set_params(context=named(context, sample.X.columns))
    fitted = [name for name in sample.X.columns if name not in exclude]
    sample = sample._replace(X=select(sample.X, fitted, exclude))
    with texts_are_levels():
        fit_sample(detector, sample, n_calibrating, checkpoint)
    save(detector.set_params(verbose=0), output)
    of_all = f" of {sample.n_rows:,}" if sample.n_rows > len(sample.X) else ""
    print(
        f"{_noise_models(detector)}{output}: {len(sample.X):,}{of_all} rows, "
        f"{detector.n_features_in_} columns, threshold {-detector.offset_:.6g} nats.",
        file=sys.stderr,
    )


def _whole(source):
    """Sample of all rows of a table, in their order."""
    X = read(source)
    name = "standard input" if source.path == "-" else source.path
    return Sample(X, [name] * len(X), np.arange(len(X)), len(X))


def _paths(tables, input_format):
    """Files of tables."""
    return [path for table in tables for _, path in parts_of(table, input_format)]


def score(
    model,
    table,
    output,
    keep,
    p_values,
    fdr,
    block_rows,
    jobs,
    engine,
    address,
    input_format,
    output_format,
    separator,
    decimal,
    escape_formulas,
):
    """Write the score of each row, and whether it is flagged."""
    target = Target(output, output_format, separator, decimal, escape_formulas)
    if is_many(table):
        job = job_of(model, table, target, keep, p_values, fdr, block_rows, input_format)
        score_folder(job, table, engine, jobs, address)
        return
    check_one(table, jobs, engine)
    check_output(output, [model, table])
    detector = load(model)
    has_p_values = p_values or fdr is not None
    if has_p_values:
        _check_p_values(model, detector, fdr)
    function = p_values_of_block if has_p_values else scores_of_block
    source = Source(table, input_format, separator, decimal)
    results = shown(by_block(function, detector, keep, source, block_rows))
    if fdr is not None:
        results = flagged_together(results, detector, fdr)
    counts = Counter()
    write_blocks(counted(results, counts), target)
    flagged = f", {counts['flagged']:,} flagged" if hasattr(detector, "offset_") else ""
    print(f"{counts['rows']:,} rows{flagged}", file=sys.stderr)


def explain(
    model,
    table,
    output,
    top,
    keep,
    block_rows,
    input_format,
    output_format,
    separator,
    decimal,
    escape_formulas,
):
    """Write what each column adds to each row's score."""
    check_output(output, [model, table])
    source = Source(table, input_format, separator, decimal)
    results = shown(by_block(parts_of_block, _explaining(model), keep, source, block_rows))
    target = Target(output, output_format, separator, decimal, escape_formulas)
    write_blocks(results if top is None else oddest(results, top), target)


def repair(
    model,
    table,
    output,
    fixed,
    max_cells,
    keep,
    block_rows,
    input_format,
    output_format,
    separator,
    decimal,
    escape_formulas,
):
    """Write the nearest normal rows."""
    check_output(output, [model, table])
    detector = load(model)
    if not hasattr(detector, "repair"):
        raise ValueError(f"{model} is a {type(detector).__name__}, which flags no rows to repair.")
    function = partial(repaired_block, fixed=fixed, max_cells=max_cells)
    source = Source(table, input_format, separator, decimal)
    results = shown(by_block(function, detector, keep, source, block_rows))
    write_blocks(results, Target(output, output_format, separator, decimal, escape_formulas))


def report(model, table, output, top, keep, input_format, separator, decimal):
    """Write an HTML page of the scores."""
    check_output(output, [model, table])
    detector = _explaining(model)
    rows = read(Source(table, input_format, separator, decimal), text_columns(detector, keep))
    keep = named(keep, rows.columns)
    with about(table):
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


def _explaining(model):
    """Load a model that explains its scores; raise for another."""
    detector = load(model)
    if not hasattr(detector, "explain"):
        raise ValueError(f"{model} is a {type(detector).__name__}, which explains no scores.")
    return detector


def _check_p_values(model, detector, fdr):
    """Raise for a model that has no p-values, and for a rate that is none."""
    if not hasattr(detector, "offset_"):
        raise ValueError(
            f"{model} is a {type(detector).__name__}, which has no p-values: leave --p-values and "
            "--fdr out, or fit a VAEAnomalyDetector."
        )
    if fdr is not None and not 0 < fdr < 1:
        raise ValueError(f"--fdr {fdr:g}: write a share above 0 and below 1, such as 0.1.")


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
