"""The command line: fit, score, explain, report and export tables in files, and a demonstration."""

import sys
import warnings
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Literal

import typer

__all__ = ["main"]


app = typer.Typer(
    help="Find the odd rows of a table by a variational autoencoder.",
    epilog="Tables are CSV, Parquet or JSON lines, by their suffix; - is standard input or output.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
Model = Annotated[str, typer.Argument(help="File that 'skvae fit' or skvae.save wrote.")]
Table = Annotated[str, typer.Argument(help="Table to read; - for standard input.")]
Output = Annotated[
    str, typer.Option("-o", "--output", help="Table to write; - for standard output.")
]
Format = Literal["csv", "parquet", "jsonl"]
InputFormat = Annotated[Format | None, typer.Option(help="Instead of the input's suffix.")]
OutputFormat = Annotated[Format | None, typer.Option(help="Instead of the output's suffix.")]
Separator = Annotated[
    str, typer.Option(help="Sign between the fields of CSV, read and written, such as ';' or tab.")
]
Decimal = Annotated[
    Literal[".", ","], typer.Option(help="Sign before the decimals of CSV, read and written.")
]
EscapeFormulas = Annotated[
    bool,
    typer.Option(
        "--escape-formulas", help="Put ' before texts of CSV that spreadsheets would compute."
    ),
]
Keep = Annotated[
    list[str], typer.Option(help="Columns of the input to copy, as a,b; may be repeated.")
]
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
    tables: Annotated[
        list[str],
        typer.Argument(
            help="Table to read, - for standard input; or several, folders of them, patterns."
        ),
    ],
    output: Annotated[str, typer.Option("-o", "--output", help="File to write the model to.")],
    exclude: Annotated[
        list[str],
        typer.Option(help="Columns to leave out, such as keys, as a,b; may be repeated."),
    ] = (),
    context: Annotated[
        list[str],
        typer.Option(help="Columns that the others are judged given, as a,b; may be repeated."),
    ] = (),
    set_: Annotated[
        list[str],
        typer.Option(
            "--set", help="Parameter of VAEAnomalyDetector as name=JSON; may be repeated."
        ),
    ] = (),
    seed: Annotated[int, typer.Option(help="Makes the fit repeatable.")] = 0,
    sample_rows: Annotated[
        int | None,
        typer.Option(
            min=2,
            help="Fit to so many rows drawn at random, and calibrate by a tenth as many others; by "
            "default to all rows of one table, or a million of several.",
        ),
    ] = None,
    checkpoint: Annotated[
        str | None,
        typer.Option(help="Folder to keep the state of the fit in, to go on after a kill."),
    ] = None,
    input_format: InputFormat = None,
    separator: Separator = ",",
    decimal: Decimal = ".",
):
    """Fit a detector to the rows of a table, or of many, and save it."""
    _run("fit", locals())


@app.command(
    epilog="Examples: skvae score model.skvae new.parquet -o scores.csv --keep id; "
    "zcat new.csv.gz | skvae score model.skvae - > scores.csv; "
    "skvae score model.skvae new/ -o scores/ --jobs 8"
)
def score(
    model: Model,
    table: Annotated[str, typer.Argument(help="Table to read, a folder or pattern of such, or -.")],
    output: Annotated[
        str,
        typer.Option("-o", "--output", help="Table to write, or folder for those of many; or -."),
    ] = "-",
    keep: Keep = (),
    p_values: Annotated[
        bool, typer.Option("--p-values", help="Add how rarely a normal row scores as high.")
    ] = False,
    fdr: Annotated[
        float | None,
        typer.Option(
            help="Flag rows of the whole file such that at most this share of them is expected to "
            "be normal, not by the threshold. Adds p-values."
        ),
    ] = None,
    block_rows: BlockRows = 50_000,
    jobs: Annotated[
        int, typer.Option(min=1, help="Processes that share out the tables of a folder.")
    ] = 1,
    engine: Annotated[
        Literal["processes", "ray"],
        typer.Option(help="What shares them out; ray: the machines of a Ray cluster."),
    ] = "processes",
    address: Annotated[
        str | None, typer.Option(help="Of the Ray cluster, if not the one that runs here.")
    ] = None,
    input_format: InputFormat = None,
    output_format: OutputFormat = None,
    separator: Separator = ",",
    decimal: Decimal = ".",
    escape_formulas: EscapeFormulas = False,
):
    """Write the anomaly score of each row, in nats, and whether it is flagged.

    Scores are the negative of score_samples: higher is odder. The file is read and scored in
    blocks, so it may be larger than the memory. Of a folder, or a pattern in quotes, each table is
    scored into one of the same name, and a second run goes on where the first one ended.
    """
    _run("score", locals())


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
    separator: Separator = ",",
    decimal: Decimal = ".",
    escape_formulas: EscapeFormulas = False,
):
    """Write what each column adds to each row's anomaly score, in nats above normal.

    The row's number, counted from 0, comes first, then its score, the negative ELBO; the parts
    of the columns, kl and baseline add up to it.
    """
    _run("explain", locals())


@app.command(
    epilog="Example: skvae repair model.skvae new.csv -o repaired.csv --keep id --fixed age,sex"
)
def repair(
    model: Model,
    table: Table,
    output: Output = "-",
    fixed: Annotated[
        list[str], typer.Option(help="Columns that must not change, as a,b; may be repeated.")
    ] = (),
    max_cells: Annotated[
        int | None, typer.Option(min=1, help="Most cells of a row that may change.")
    ] = None,
    keep: Keep = (),
    block_rows: BlockRows = 50_000,
    input_format: InputFormat = None,
    output_format: OutputFormat = None,
    separator: Separator = ",",
    decimal: Decimal = ".",
    escape_formulas: EscapeFormulas = False,
):
    """Write the nearest normal rows: as few cells as possible of flagged rows changed.

    Which ones stands in the column "changed", and "flagged" says of a row that no change made
    normal that it still is.
    """
    _run("repair", locals())


@app.command(epilog="Example: skvae report model.skvae new.csv -o report.html --keep id")
def report(
    model: Model,
    table: Table,
    output: Annotated[
        str, typer.Option("-o", "--output", help="Page to write; - for standard output.")
    ] = "-",
    top: Annotated[int, typer.Option(min=1, help="Rows listed, the oddest.")] = 10_000,
    keep: Annotated[
        list[str],
        typer.Option(help="Columns of the input that name the rows, as a,b; may be repeated."),
    ] = (),
    input_format: InputFormat = None,
    separator: Separator = ",",
    decimal: Decimal = ".",
):
    """Write an HTML page of the scores, the oddest rows and what makes them odd.

    A single file that needs no network: rows are sorted, searched and explained in it.
    """
    _run("report", locals())


@app.command(epilog="Example: skvae export model.skvae -o model.onnx")
def export(
    model: Model,
    output: Annotated[str, typer.Option("-o", "--output", help="ONNX file to write.")],
):
    """Write a model as an ONNX graph, which scores without skvae and torch.

    Inputs are the table's columns, outputs score_samples, decision_function, predict and
    p_values, as the methods of those names give them. Needs skvae[onnx].
    """
    _run("export", locals())


@app.command(epilog="Example: skvae demo -o thyroid")
def demo(
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder to write into.")] = Path(),
    seed: Annotated[int, typer.Option(help="Of the split and the fits.")] = 0,
):
    """Find the patients with a condition in a real table, which is embedded."""
    _run("demo", locals())


def _run(command, arguments):
    """Do what a command is for; what that takes is imported only now."""
    with _one_line_errors():
        getattr(import_module(f"{__package__}.commands"), command)(**arguments)


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
