"""The command line: fit, score, explain, report and export tables in files, and a demonstration."""

import json
import sys
import warnings
from collections import defaultdict
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Literal

import pandas as pd
import typer

from .. import VAEAnomalyDetector, export_onnx, load, save
from .. import report as html_report
from .._estimators import check_settings
from .._files import check_folder, format_of, read_table_file
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
        results = by_block(scores_of_block, load(model), keep, table, input_format, block_rows)
        write_blocks(results, output, output_format)


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
        results = by_block(parts_of_block, load(model), keep, table, input_format, block_rows)
        write_blocks(results if top is None else oddest(results, top), output, output_format)


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


@contextmanager
def _one_line_errors():
    """Turn what a user can cause into one line and status 1, and each warning into a line."""
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _print_warning
            yield
    except BrokenPipeError:  # whoever read the output has seen enough
        raise
    except (ImportError, OSError, TypeError, ValueError) as error:
        print(f"skvae: {' '.join(str(error).split())}", file=sys.stderr)
        raise typer.Exit(1) from error


def _print_warning(message, *_, **__):
    print(f"skvae: {' '.join(str(message).split())}", file=sys.stderr)
