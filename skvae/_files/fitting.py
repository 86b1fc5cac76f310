"""Estimators fitted to tables that may be larger than the memory."""

from collections.abc import Sequence
from os import PathLike
from typing import Any, TypeVar

from sklearn.utils import check_random_state

from .._estimators import (
    VAEAnomalyDetector,
    VAETransformer,
    check_settings,
    integer,
    undone_if_it_fails,
)
from .sample import sample_of, with_bar
from .sources import about_rows, blocks_of

__all__ = ["fit_files", "fit_sample"]

Estimator = TypeVar("Estimator", VAEAnomalyDetector, VAETransformer)


def fit_files(
    estimator: Estimator,
    source: Any,
    *,
    columns: Sequence[str] | None = None,
    sample_rows: int = 1_000_000,
    calibration_rows: int = 100_000,
    checkpoint: str | PathLike[str] | None = None,
) -> Estimator:
    """Fit to rows drawn at random from files of any size, in one pass and bounded memory.

    Columns' units and levels are learned from the sample. Other rows, that are drawn beside it
    and not fitted, calibrate a detector.

    Parameters
    ----------
    estimator : VAEAnomalyDetector or VAETransformer
        Its `random_state` decides on the rows that are drawn, too.
    source : str, path-like, list of these, or object
        A file of CSV, Parquet or JSON lines, compressed too; a folder, with all that is below it,
        whose names such as ``year=2026`` become columns; a pattern such as ``"data/*.csv"``; or
        what gives batches of Arrow: a pyarrow.dataset.Dataset, a polars.LazyFrame, a relation of
        DuckDB, or anything else with ``__arrow_c_stream__``.
    columns : list of str, default=None
        Those to fit; by default all.
    sample_rows : int, default=1_000_000
        Most rows to fit. A fit with `max_steps="auto"` looks at 512,000 of them.
    calibration_rows : int, default=100_000
        Most rows to calibrate by. Of a smaller source they are the same share of the rows drawn.
        A detector with another `contamination` than "auto", or for whose `false_alarm_rate` they
        would be too few, calibrates as `fit` does.
    checkpoint : str or path-like, default=None
        As of `VAEAnomalyDetector.fit`. The rows are drawn anew by a fit that goes on.

    Returns
    -------
    estimator : VAEAnomalyDetector or VAETransformer
        Fitted. A call that fails leaves it as it was.

    Raises
    ------
    OSError
        If a file cannot be read.
    ValueError, TypeError
        If the source has no rows; if files differ in their columns, or one is damaged: the message
        names it; and as `fit`, whose errors name the file and the row in it.

    See Also
    --------
    VAEAnomalyDetector.partial_fit : Fit to all rows, block by block.

    References
    ----------
    Efraimidis and Spirakis, "Weighted random sampling with a reservoir", 2006,
    doi:10.1016/j.ipl.2005.11.003.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np
    >>> import pandas as pd
    >>> import skvae
    >>> folder = tempfile.mkdtemp()
    >>> rng = np.random.default_rng(0)
    >>> for part in range(3):
    ...     X = pd.DataFrame(rng.normal(size=(200, 2)), columns=["a", "b"])
    ...     X.to_csv(os.path.join(folder, f"part-{part}.csv"), index=False)
    >>> detector = skvae.VAEAnomalyDetector(max_steps=50, random_state=0)
    >>> skvae.fit_files(detector, folder, sample_rows=300, calibration_rows=150).n_calibration_
    150
    """
    check_settings(estimator)  # before hours are spent on reading
    integer(2).check("sample_rows", sample_rows, estimator)
    integer(0).check("calibration_rows", calibration_rows, estimator)
    seed = int(check_random_state(estimator.random_state).randint(2**31))
    blocks = with_bar(blocks_of(source), estimator.verbose)
    sample = sample_of(blocks, sample_rows + calibration_rows, seed)
    if columns is not None:
        missing = [name for name in columns if name not in sample.X]
        if missing:
            raise ValueError(f"columns: there is no column {missing[0]!r} in the source.")
        sample = sample._replace(X=sample.X[list(columns)])
    share = calibration_rows / (sample_rows + calibration_rows)
    return fit_sample(estimator, sample, int(share * len(sample.X)), checkpoint)


def fit_sample(estimator, sample, n_calibrating, checkpoint):
    """Fit to the last rows of a sample, and calibrate a detector by the first ones.

    Parameters
    ----------
    estimator : VAEAnomalyDetector or VAETransformer
    sample : Sample
    n_calibrating : int
    checkpoint : str, path-like or None

    Returns
    -------
    estimator : VAEAnomalyDetector or VAETransformer
    """
    n = n_calibrating if _calibrates(estimator, n_calibrating) else 0
    fitted, calibrating = sample.X.iloc[n:], sample.X.iloc[:n]
    with undone_if_it_fails(estimator):
        with about_rows(sample.paths[n:], sample.places[n:]):
            estimator.fit(fitted, checkpoint=checkpoint)
        if n > 0:
            with about_rows(sample.paths[:n], sample.places[:n]):
                estimator.calibrate(calibrating)
    return estimator


def _calibrates(estimator, n):
    """Whether n rows beside those that are fitted calibrate a threshold."""
    if getattr(estimator, "contamination", None) != "auto":
        return False
    return (n + 1) * estimator.false_alarm_rate >= 1
