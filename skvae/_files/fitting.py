"""Estimators fitted to tables that may be larger than the memory."""

import warnings
from collections.abc import Sequence
from contextlib import contextmanager
from numbers import Integral
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar

from .._estimators import (
    CalibrationWarning,
    VAEAnomalyDetector,
    VAEClusterer,
    VAETransformer,
    as_random_state,
    check_settings,
    integer,
    seed_from,
    undone_if_it_fails,
)
from .layouts import about_rows
from .sample import sample_of, with_bar
from .sources import blocks_of

__all__ = ["drawn", "fit_files", "fit_sample"]

Estimator = TypeVar("Estimator", VAEAnomalyDetector, VAEClusterer, VAETransformer)


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
    estimator : VAEAnomalyDetector, VAEClusterer or VAETransformer
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
    estimator : VAEAnomalyDetector, VAEClusterer or VAETransformer
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
    _check(estimator, columns, sample_rows, calibration_rows, checkpoint)
    sample, n = drawn(estimator, blocks_of(source), sample_rows, calibration_rows)
    if columns is not None:
        missing = [name for name in columns if name not in sample.X]
        if missing:
            raise ValueError(f"columns: there is no column {missing[0]!r} in the source.")
        sample = sample._replace(X=sample.X[list(columns)])
    return fit_sample(estimator, sample, n, checkpoint)


def drawn(estimator, blocks, sample_rows, calibration_rows):
    """Draw rows to fit, and others to calibrate by where these calibrate.

    Parameters
    ----------
    estimator : VAEAnomalyDetector, VAEClusterer or VAETransformer
        Its `random_state` decides on the rows.
    blocks : iterable of Block
    sample_rows, calibration_rows : int

    Returns
    -------
    sample : Sample
    n_calibrating : int
        How many of its first rows are to calibrate; of a smaller source the same share.
    """
    n = calibration_rows if _calibrates(estimator, calibration_rows) else 0
    seed = seed_from(as_random_state(estimator.random_state))
    sample = sample_of(with_bar(blocks, estimator.verbose), sample_rows + n, seed)
    return sample, n * len(sample.X) // (sample_rows + n)


def _check(estimator, columns, sample_rows, calibration_rows, checkpoint):
    """Raise for what can be known to be wrong before hours are spent on reading."""
    if not isinstance(estimator, (VAEAnomalyDetector, VAEClusterer, VAETransformer)):
        raise TypeError(
            "fit_files fits VAEAnomalyDetector, VAEClusterer and VAETransformer. Got an object of "
            f"type {type(estimator).__name__}."
        )
    check_settings(estimator)
    integer(2).check("sample_rows", sample_rows, estimator)
    integer(0).check("calibration_rows", calibration_rows, estimator)
    if isinstance(columns, str):
        raise TypeError(f"columns must be a list of names. Got {columns!r}: write [{columns!r}].")
    if getattr(estimator, "use_labels", False):
        raise ValueError("use_labels=True: fit_files takes no labels. Use fit.")
    if checkpoint is None:
        return
    if not isinstance(estimator.random_state, Integral):
        raise ValueError(
            "checkpoint needs an int for random_state, by which the same rows are drawn again. Got "
            f"{estimator.random_state!r}."
        )
    if not Path(checkpoint).absolute().parent.is_dir():
        raise FileNotFoundError(f"There is no folder {Path(checkpoint).parent} for {checkpoint}.")


def fit_sample(estimator, sample, n_calibrating, checkpoint):
    """Fit to the last rows of a sample, and calibrate a detector by the first ones.

    Parameters
    ----------
    estimator : VAEAnomalyDetector, VAEClusterer or VAETransformer
    sample : Sample
    n_calibrating : int
    checkpoint : str, path-like or None

    Returns
    -------
    estimator : VAEAnomalyDetector, VAEClusterer or VAETransformer
    """
    n = n_calibrating if _calibrates(estimator, n_calibrating) else 0
    fitted, calibrating = sample.X.iloc[n:], sample.X.iloc[:n]
    with undone_if_it_fails(estimator):
        with about_rows(sample.paths[n:], sample.places[n:]), _quiet_of_calibration(n):
            kept = estimator._fit_from(fitted, None, checkpoint)
        if n > 0:
            with about_rows(sample.paths[:n], sample.places[:n]):
                estimator.calibrate(calibrating)
    kept.remove()
    return estimator


@contextmanager
def _quiet_of_calibration(n):
    """Let nobody be told that rows held out are too few where n others will calibrate."""
    with warnings.catch_warnings():
        if n > 0:
            warnings.simplefilter("ignore", CalibrationWarning)
        yield


def _calibrates(estimator, n):
    """Whether n rows beside those that are fitted calibrate a threshold."""
    if getattr(estimator, "contamination", None) != "auto":
        return False
    return (n + 1) * estimator.false_alarm_rate >= 1
