"""The command line: fit, score, explain, report and export tables in files, and a demonstration."""

import json
import re
import sys
from collections import defaultdict
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pandas as pd
import typer
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import IsolationForest
from sklearn.impute import SimpleImputer
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from tqdm import tqdm

from . import ScoreDistributionDisplay, VAEAnomalyDetector, export_onnx, load, save
from . import report as html_report
from ._files import format_of, read_blocks, read_table_file, writing
from ._io import check_folder
from .datasets import load_thyroid

__all__ = ["main"]

app = typer.Typer(
    help="Find the odd rows of a table by a variational autoencoder.",
    epilog="Tables are CSV, Parquet or JSON lines, by their suffix; - is standard input or output.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Model = Annotated[str, typer.Argument(help="File that 'skvae fit' or skvae.save wrote.")]
Table = Annotated[str, typer.Argument(help="Table to read; - for standard input.")]
Output = Annotated[
    str, typer.Option("-o", "--output", help="Table to write; - for standard output.")
]
Format = Literal["csv", "parquet", "jsonl"]
InputFormat = Annotated[Format | None, typer.Option(help="Instead of the input's suffix.")]
OutputFormat = Annotated[Format | None, typer.Option(help="Instead of the output's suffix.")]
Keep = Annotated[list[str], typer.Option(help="Column of the input to copy; may be repeated.")]
BlockRows = Annotated[int, typer.Option(min=1, help="Rows read, scored and written at a time.")]


def main(arguments=None):
    """Run the command line and leave the process.

    Parameters
    ----------
    arguments : list of str, default=None
        By default those of the process.

    Raises
    ------
    SystemExit
        With status 0 when all went well, 1 when a file or a table was at fault (one line
        on standard error says which), 2 when the command was.
    """
    app(arguments, prog_name="skvae")


def _print_version(is_wanted):
    if is_wanted:
        print(f"skvae {version('skvae')}")
        raise typer.Exit


@app.callback()
def options(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print it.")
    ] = False,
):
    """Options of no command."""


@app.command(
    epilog="Example: skvae fit train.csv -o model.skvae --exclude id --set false_alarm_rate=0.001"
)
def fit(
    table: Table,
    output: Annotated[str, typer.Option("-o", "--output", help="File to write the model to.")],
    exclude: Annotated[
        list[str], typer.Option(help="Column to leave out, such as a key; may be repeated.")
    ] = (),
    set_: Annotated[
        list[str],
        typer.Option(
            "--set", help="Parameter of VAEAnomalyDetector as name=JSON; may be repeated."
        ),
    ] = (),
    seed: Annotated[int, typer.Option(help="Makes the fit repeatable.")] = 0,
    input_format: InputFormat = None,
):
    """Fit a detector to the rows of a table and save it."""
    with _one_line_errors():
        check_folder(output)
        detector = VAEAnomalyDetector(random_state=seed, verbose=sys.stderr.isatty())
        detector.set_params(**dict(map(_setting, set_)))
        detector._check()
        if detector.use_labels:
            raise ValueError("--set use_labels: the command line takes no labels. Use Python.")
        with _about(table):
            X = read_table_file(table, format_of(table, input_format))
            detector.fit(_select(X, [name for name in X.columns if name not in exclude], exclude))
        save(detector.set_params(verbose=0), output)
        print(
            f"{_noise_models(detector)}{output}: {len(X):,} rows, "
            f"{detector.n_features_in_} columns, threshold {-detector.offset_:.6g} nats.",
            file=sys.stderr,
        )


@app.command(
    epilog="Examples: skvae score model.skvae new.parquet -o scores.csv --keep id; "
    "zcat new.csv.gz | skvae score model.skvae - > scores.csv"
)
def score(
    model: Model,
    table: Table,
    output: Output = "-",
    keep: Keep = (),
    block_rows: BlockRows = 50_000,
    input_format: InputFormat = None,
    output_format: OutputFormat = None,
):
    """Write the anomaly score of each row, in nats, and whether it is flagged.

    Scores are the negative of score_samples: higher is odder. The file is read and scored in
    blocks, so it may be larger than the memory.
    """
    with _one_line_errors():
        results = _by_block(_scores, load(model), keep, table, input_format, block_rows)
        _write(results, output, output_format)


@app.command(
    epilog="Examples: skvae explain model.skvae new.csv -o parts.csv; "
    "skvae explain model.skvae new.csv --top 10"
)
def explain(
    model: Model,
    table: Table,
    output: Output = "-",
    top: Annotated[
        int | None, typer.Option(min=1, help="Write only so many rows, the oddest first.")
    ] = None,
    keep: Keep = (),
    block_rows: BlockRows = 50_000,
    input_format: InputFormat = None,
    output_format: OutputFormat = None,
):
    """Write what each column adds to each row's anomaly score, in nats above normal.

    The row's number, counted from 0, comes first, then its score, the negative ELBO; the parts
    of the columns, kl and baseline add up to it.
    """
    with _one_line_errors():
        results = _by_block(_parts, load(model), keep, table, input_format, block_rows)
        _write(results if top is None else _oddest(results, top), output, output_format)


@app.command(epilog="Example: skvae report model.skvae new.csv -o report.html --keep id")
def report(
    model: Model,
    table: Table,
    output: Annotated[
        str, typer.Option("-o", "--output", help="Page to write; - for standard output.")
    ] = "-",
    top: Annotated[int, typer.Option(min=1, help="Rows listed, the oddest.")] = 10_000,
    keep: Annotated[
        list[str], typer.Option(help="Column of the input that names the rows; may be repeated.")
    ] = (),
    input_format: InputFormat = None,
):
    """Write an HTML page of the scores, the oddest rows and what makes them odd.

    A single file that needs no network: rows are sorted, searched and explained in it.
    """
    with _one_line_errors():
        if output != "-":
            check_folder(output)
        detector = load(model)
        with _about(table):
            rows = read_table_file(table, format_of(table, input_format), _texts(detector))
            X = _known(detector, keep, rows)
            if keep:
                X = X.set_axis(pd.MultiIndex.from_frame(rows[list(keep)]))
            title = f"Anomalies in {'standard input' if table == '-' else Path(table).name}"
            path = None if output == "-" else output
            page = html_report(detector, X, path, n_rows=top, title=title)
        if page is not None:
            print(page)


@app.command(epilog="Example: skvae export model.skvae -o model.onnx")
def export(
    model: Model,
    output: Annotated[str, typer.Option("-o", "--output", help="ONNX file to write.")],
):
    """Write a model as an ONNX graph, which scores without skvae and torch.

    Inputs are the table's columns, outputs score_samples, decision_function, predict and
    p_values, as the methods of those names give them. Needs skvae[onnx].
    """
    with _one_line_errors():
        export_onnx(load(model), output)


@app.command(epilog="Example: skvae demo -o thyroid")
def demo(
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder to write into.")] = Path(),
    seed: Annotated[int, typer.Option(help="Of the split and the fits.")] = 0,
):
    """Find the patients with a condition in a real table, which is embedded."""
    with _one_line_errors():
        _demonstrate(output, seed)


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


def _by_block(function, detector, keep, table, input_format, block_rows):
    """Yield what a function makes of each block of a file; errors name the file and its row."""
    with tqdm(unit=" rows", unit_scale=True, disable=not sys.stderr.isatty()) as bar:
        with _about(table):
            name = format_of(table, input_format)
            blocks = read_blocks(table, name, block_rows, _texts(detector))
        while True:
            with _about(table):
                block = next(blocks, None)
            if block is None:
                return
            with _about(table, block.index[0]):
                result = function(detector, keep, block)
            yield result
            bar.update(len(block))


def _scores(detector, keep, block):
    scores = -detector.score_samples(_known(detector, keep, block))
    result = pd.DataFrame({"anomaly_score": scores}, index=block.index)
    if hasattr(detector, "offset_"):
        result["flagged"] = scores > -detector.offset_
    return _together(block[list(keep)], result)


def _parts(detector, keep, block):
    parts = detector.explain(_known(detector, keep, block)).add_prefix("nats_")
    first = pd.DataFrame({"row": block.index, "anomaly_score": parts.sum(axis=1)}, block.index)
    return _together(first, block[list(keep)], parts)


def _together(*tables):
    """Tables side by side, whose columns have names of their own."""
    result = pd.concat(tables, axis=1)
    if not result.columns.is_unique:
        name = result.columns[result.columns.duplicated()][0]
        raise ValueError(f"--keep {name}: the output has a column of that name. Rename it.")
    return result


def _oddest(results, n):
    oddest = []
    for result in results:
        oddest = [pd.concat([*oddest, result]).nlargest(n, "anomaly_score")]
    yield from oddest


def _write(results, output, output_format):
    with _about(output):
        name = format_of(output, output_format)
    with writing(output, name) as write:
        for result in results:
            with _about(output):
                write(result)


def _known(detector, keep, block):
    """Columns of a block that the detector was fitted to."""
    names = getattr(detector, "feature_names_in_", [c for c in block.columns if c not in keep])
    X = _select(block, names, keep)
    numeric = [column.kind in ("number", "integer") for column in detector.table_.columns_]
    _check_numbers(X.loc[:, numeric] if len(numeric) == X.shape[1] else X)
    return X


def _texts(detector):
    """Columns whose levels are strings, even where those of a block look like numbers."""
    levels = {column.name: column.levels for column in detector.table_.columns_}
    return [name for name, known in levels.items() if any(isinstance(x, str) for x in known)]


def _check_numbers(X):
    """Raise for a cell that turned a column of numbers into one of strings."""
    for name in X.select_dtypes(exclude=["number", "bool"]):
        is_text = X[name].map(lambda cell: isinstance(cell, str)).astype(bool)
        wrong = is_text & pd.to_numeric(X[name].where(is_text), errors="coerce").isna()
        if wrong.any() and not wrong.all():
            row = int(np.argmax(wrong))
            raise ValueError(
                f"Column {name!r} holds {X[name].iloc[row]!r} in row {row}: no number."
            )


def _select(block, names, others):
    """Take some columns of a block, all of which it must have."""
    missing = [name for name in [*names, *others] if name not in block.columns]
    if missing:
        raise ValueError(f"there is no column {missing[0]!r}")
    return block[list(names)]


@contextmanager
def _about(path, first_row=0):
    """Name the file in errors, and count the rows that they name from the file's first."""
    try:
        yield
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        message = re.sub(r"\brow (\d+)", lambda m: f"row {int(m[1]) + first_row}", str(error))
        raise ValueError(f"{'standard input' if path == '-' else path}: {message}") from error


@contextmanager
def _one_line_errors():
    """Turn what a user can cause into one line and status 1."""
    try:
        yield
    except BrokenPipeError:  # whoever read the output has seen enough
        raise
    except (ImportError, OSError, TypeError, ValueError) as error:
        print(f"skvae: {' '.join(str(error).split())}", file=sys.stderr)
        raise typer.Exit(1) from error


def _demonstrate(folder, seed):
    """Fit healthy patients, score all others, compare, explain, write scores and picture."""
    _use_files_only()
    folder.mkdir(parents=True, exist_ok=True)
    X, y = load_thyroid(return_X_y=True, as_frame=True)
    train, test = _split(y.to_numpy(), seed)
    print(f"Thyroid table: fitting {len(train)} healthy patients, scoring {len(test)} others.")
    detector = VAEAnomalyDetector(random_state=seed, verbose=sys.stderr.isatty()).fit(X.iloc[train])
    forest = make_pipeline(_encoding(), IsolationForest(random_state=seed)).fit(X.iloc[train])
    unseen = X.iloc[test]
    scores = pd.DataFrame(
        {
            "negative_elbo": detector.negative_elbo(unseen),
            "flagged": detector.predict(unseen) == -1,
            "healthy": y.iloc[test] == 1,
        }
    )
    _print_quality(scores, forest.score_samples(unseen), detector.offset_)
    _print_oddest(scores, unseen, detector.explain(unseen))
    scores.to_csv(folder / "skvae_demo.csv", index_label="row")
    _draw(scores, -detector.offset_, folder / "skvae_demo.png")
    print(f"\nWrote {folder / 'skvae_demo.csv'} and {folder / 'skvae_demo.png'}.")


def _encoding():
    """Encode strings and fill holes, which IsolationForest needs and skvae does not."""
    one_hot = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    return make_column_transformer(
        (one_hot, make_column_selector(dtype_exclude=["number", "bool"])),
        remainder=SimpleImputer(strategy="median"),
    )


def _split(y, seed):
    """Half of the healthy rows, and all others, in random order."""
    order = np.random.RandomState(seed).permutation(len(y))
    healthy = order[y[order] == 1]
    train = healthy[: len(healthy) // 2]
    return train, order[~np.isin(order, train)]


def _print_quality(scores, forest_scores, offset):
    sick = ~scores["healthy"]
    print(f"\n{sick.sum()} patients with a condition against {(~sick).sum()} healthy ones:")
    print("                   AUROC  average precision")
    rows = {"skvae": scores["negative_elbo"], "IsolationForest": -forest_scores}
    for name, odd in rows.items():
        auroc, precision = roc_auc_score(sick, odd), average_precision_score(sick, odd)
        print(f"  {name:15s}  {auroc:.3f}  {precision:.3f}")
    share = scores.groupby("healthy")["flagged"].mean()
    print(f"\nThe threshold, {-offset:.2f} nats for at most 1 % false alarms, flags")
    print(f"  {share[True]:.1%} of the healthy patients and {share[False]:.1%} of the others.")


def _print_oddest(scores, X, parts):
    print("\nThe ten oddest rows, and what makes them odd (nats above normal):")
    for row in scores.nlargest(10, "negative_elbo").index:
        top = parts.loc[row, X.columns].nlargest(3)
        reasons = ", ".join(f"{c} = {X.loc[row, c]} (+{nats:.0f})" for c, nats in top.items())
        label = "healthy" if scores.loc[row, "healthy"] else "condition"
        print(f"  row {row:4d}  {scores.loc[row, 'negative_elbo']:6.0f}  {label:9s}  {reasons}")


def _draw(scores, threshold, path):
    """Histogram of the scores of both groups, the threshold marked."""
    y = np.where(scores["healthy"], 1, -1)
    display = ScoreDistributionDisplay.from_predictions(
        scores["negative_elbo"], y, threshold=threshold
    )
    display.ax_.set_title("Thyroid table: patients unseen in training")
    display.figure_.savefig(path, dpi=150)


def _use_files_only():
    """Let matplotlib draw without a screen, or raise where it is missing."""
    try:
        import matplotlib
    except ImportError as error:
        raise ImportError("The picture needs matplotlib: pip install 'skvae[plot]'") from error
    matplotlib.use("agg")
