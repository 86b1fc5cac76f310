"""Tables of a folder, each scored into one of its own."""

import sys

import typer

from .._scoring import BlockScorer, Job, score_parts

__all__ = ["check_one", "job_of", "score_folder"]


def check_one(table, jobs, engine):
    """Raise where one table is to be shared out."""
    if jobs != 1 or engine != "processes":
        option = "--jobs" if jobs != 1 else "--engine"
        raise ValueError(
            f"{option} shares out many tables, and {table} is not a folder, nor a pattern in "
            "quotes such as 'new/*.csv'. Leave it out."
        )


def job_of(model, source, target, keep, p_values, fdr, block_rows, input_format):
    """Job of what the command line says; raise where it is not for many tables."""
    if target.path == "-":
        raise ValueError(f"{source} holds many tables: name a folder to write into by -o.")
    if fdr is not None:
        raise ValueError(
            f"--fdr judges all rows of a table together, and {source} holds many: take --p-values."
        )
    return Job(
        BlockScorer(model, keep, p_values),
        target.path,
        block_rows,
        input_format,
        target.format,
        target.separator,
        target.decimal,
        target.escape_formulas,
    )


def score_folder(job, source, engine, jobs, address):
    """Score what is not finished, tell what failed, and leave with status 1 if anything did."""
    options = {"engine": engine, "n_jobs": jobs, "address": address}
    finished, outcomes = score_parts(job, source, verbose=sys.stderr.isatty(), **options)
    failed = [outcome.error for outcome in outcomes if outcome.error is not None]
    for error in failed:
        print(f"skvae: {error}", file=sys.stderr)
    done = [outcome for outcome in [*finished, *outcomes] if outcome.error is None]
    n_rows, n_flagged = (sum(getattr(o, name) for o in done) for name in ("rows", "flagged"))
    flagged = f", {n_flagged:,} flagged" if hasattr(job.scorer.detector, "offset_") else ""
    counts = {"scored": len(done) - len(finished), "as before": len(finished)}
    counts |= {"failed": len(failed)} if failed else {}
    parts = ", ".join(f"{n:,} {what}" for what, n in counts.items())
    print(f"{n_rows:,} rows{flagged}; tables: {parts}", file=sys.stderr)
    if failed:
        raise typer.Exit(1)
