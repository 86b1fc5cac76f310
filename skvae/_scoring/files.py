"""Scores of many files: one output a part, whole or not there, and no part twice."""

import os
from collections.abc import Sequence
from functools import partial
from itertools import takewhile
from numbers import Integral
from os import PathLike, fspath
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event

import pandas as pd

from .._estimators import VAEAnomalyDetector, VAETransformer
from .._files import FORMATS, dialect_of, parts_of, remove_abandoned, save
from .engines import ENGINES
from .job import Job, score_part
from .ledger import Ledger, stamp
from .places import check_outputs
from .progress import shown
from .scorer import BlockScorer

__all__ = ["score_files", "score_parts"]


def score_files(
    detector: VAEAnomalyDetector | VAETransformer | str | PathLike[str],
    source: str | PathLike[str],
    folder: str | PathLike[str],
    *,
    keep: Sequence[str] = (),
    p_values: bool = False,
    n_jobs: int | None = 1,
    block_rows: int = 50_000,
    output_format: str | None = None,
    engine: str = "processes",
    address: str | None = None,
    verbose: bool = False,
) -> pd.DataFrame:
    """Score the rows of many files, each into one of its own.

    A part's output has the part's path below `folder`, and is there once it is complete. A second
    run leaves alone what is finished: the parts that have not changed since, scored by the same
    model in the same way, as ``_skvae.jsonl`` in the folder says.

    Parameters
    ----------
    detector : VAEAnomalyDetector, VAETransformer, str or path-like
        Fitted, or the file of one. One that was loaded counts as another than its file: name the
        file to go on with what ``skvae score`` began.
    source : str or path-like
        A folder, with all that is below it; a pattern such as ``"data/2026-*.csv"``; or a file:
        CSV, Parquet or JSON lines, by the suffixes. Columns that folders name, as in
        ``year=2026/part.parquet``, belong to the rows of the part.
    folder : str or path-like
        To write into; made where there is none.
    keep : sequence of str, default=()
        Columns to copy.
    p_values : bool, default=False
        Whether to add how rarely a normal row scores as high.
    n_jobs : int or None, default=1
        Processes, of one thread each if more than one; -1 for as many as there are processors.
    block_rows : int, default=50,000
        Rows read, scored and written at a time: what bounds the memory of a process.
    output_format : {"csv", "parquet", "jsonl"} or None, default=None
        By default that of the part.
    engine : {"processes", "ray"}, default="processes"
        "ray" shares out the parts among the machines of a Ray cluster, on all of which both
        folders are at the same place. Needs ``skvae[ray]``.
    address : str or None, default=None
        Of a Ray cluster, such as "auto"; by default the one that this machine belongs to, or a
        new one of this machine alone.
    verbose : bool, default=False
        Whether to show a bar of progress.

    Returns
    -------
    parts : DataFrame
        ``rows`` and ``flagged`` of each part, by its name, and whether it was ``finished_before``.

    Raises
    ------
    ValueError
        If parts could not be scored: one line each, that names the file, and column and row where
        there are such. All others are finished then, unless the disk is full. Also if an output
        would take the place of an input, and for an engine, format or number that there is not.
    OSError
        If there is no such source, or the folder cannot be made.
    ChildProcessError
        If a process was killed. What was finished is kept.
    TypeError
        If `save` could not write the detector.

    See Also
    --------
    BlockScorer : Scores of blocks, for engines that read and write themselves.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np, pandas as pd
    >>> import skvae
    >>> X = pd.DataFrame(np.random.RandomState(0).normal(size=(100, 2)), columns=["a", "b"])
    >>> detector = skvae.VAEAnomalyDetector(max_steps=20, random_state=0).fit(X)
    >>> folder = tempfile.mkdtemp()
    >>> os.mkdir(os.path.join(folder, "new"))
    >>> for i in range(3):
    ...     X[i::3].to_csv(os.path.join(folder, "new", f"{i}.csv"), index=False)
    >>> parts = skvae.score_files(detector, f"{folder}/new", f"{folder}/scores", keep=["a"])
    >>> parts["rows"].to_dict()
    {'0.csv': 34, '1.csv': 33, '2.csv': 33}
    >>> list(pd.read_csv(f"{folder}/scores/0.csv"))
    ['a', 'anomaly_score', 'flagged']
    """
    _check_choice("engine", engine, ENGINES)
    _check_choice("output_format", output_format, [*FORMATS, None])
    if not isinstance(block_rows, Integral) or block_rows < 1:
        raise ValueError(f"block_rows must be an integer of at least 1. Got {block_rows!r}.")
    job = Job(
        _scorer(detector, keep, p_values), fspath(folder), block_rows, output_format=output_format
    )
    finished, outcomes = score_parts(job, source, engine, n_jobs, address, verbose)
    failed = [outcome.error for outcome in outcomes if outcome.error is not None]
    if failed:
        n_parts = len(finished) + len(outcomes)
        raise ValueError("\n".join([f"{len(failed)} of {n_parts} parts have no scores:", *failed]))
    frames = [_as_frame(finished, True), _as_frame(outcomes, False)]
    return pd.concat(frames).sort_index()


def _check_choice(name, value, choices):
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}. Got {value!r}.")


def _scorer(detector, keep, p_values):
    if isinstance(detector, (str, PathLike)):
        return BlockScorer(detector, keep, p_values)
    with TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.skvae")
        save(detector, path)
        return BlockScorer(path, keep, p_values)


def _as_frame(outcomes, finished_before):
    frame = pd.DataFrame(
        {
            "rows": [outcome.rows for outcome in outcomes],
            "flagged": [outcome.flagged for outcome in outcomes],
        },
        index=pd.Index([outcome.part for outcome in outcomes], name="part", dtype=object),
        dtype=int,
    )
    return frame.assign(finished_before=finished_before)


def score_parts(job, source, engine="processes", n_jobs=1, address=None, verbose=False):
    """Score the parts that are not finished.

    Parameters
    ----------
    job : Job
    source : str or path-like
    engine : {"processes", "ray"}
    n_jobs, address
        As the engine takes them.
    verbose : bool
        Whether to show a bar of progress.

    Returns
    -------
    finished : list of Outcome
        Of the parts that were finished before.
    outcomes : list of Outcome
        Of the others, those that failed too; after a full disk not of all.

    Raises
    ------
    ValueError
        If an output would take the place of an input.
    """
    dialect_of(job.separator, job.decimal)
    if engine == "ray":  # whose processes work elsewhere
        source, job = os.path.abspath(source), job._replace(folder=os.path.abspath(job.folder))
    parts = parts_of(source, job.input_format)
    outputs = {part.path: job.output_of(part) for part in parts}
    check_outputs(source, job.folder, outputs, job.scorer.path)
    Path(job.folder).mkdir(parents=True, exist_ok=True)
    remove_abandoned(Path(job.folder))
    ledger = Ledger(job.folder, job.settings())
    known = ledger.finished()
    finished = [known[part.name] for part in parts if _is_finished(job, part, known)]
    names = {outcome.part for outcome in finished}
    waiting = [part for part in parts if part.name not in names]
    run = partial(ENGINES[engine], n_jobs=n_jobs, address=address)
    return finished, _outcomes(run, job, waiting, ledger, verbose)


def _is_finished(job, part, known):
    """Whether a part and its output are yet what they were when it was scored."""
    outcome = known.get(part.name)
    if outcome is None:
        return False
    return [stamp(part.path), stamp(job.output_of(part))] == [outcome.input, outcome.output]


def _outcomes(run, job, parts, ledger, verbose):
    outcomes, full = [], Event()

    while_there_is_room = takewhile(lambda _: not full.is_set(), parts)
    for outcome in shown(run(partial(score_part, job), while_there_is_room), parts, verbose):
        if outcome.error is None:
            ledger.add(outcome)
        if outcome.is_full:
            full.set()
        outcomes.append(outcome)
    return outcomes
