"""Rows and columns of the report, as its page takes them."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from .._estimators import offsets_of, p_values_of
from .._table import as_pandas
from .numbers import exact, hundredths, rounded
from .page_repairs import repairs

__all__ = ["column_views", "page_data", "score_rows"]


MOST_PARTS = 10  # of a row's explanation that have a bar each
MOST_CELLS = 300_000  # in the page, besides those that have a bar
MOST_LEVELS = 3  # of a column that its view names
N_BINS = 24
SHOWN = (0.005, 0.995)  # quantiles of a column between which its histogram extends


class Scored(NamedTuple):
    """Scores of a table, and the explanations of its oddest rows.

    Attributes
    ----------
    cells : DataFrame of shape (n, n_columns)
    columns : list of Column
        How they were fitted.
    scores : ndarray of shape (n,)
        In nats, higher for odder rows.
    threshold : float or None
        Score above which rows are flagged, those of groups without a threshold of their own.
    flagged : bool ndarray of shape (n,), or None
    p_values : ndarray of shape (n,), or None
        None without calibration rows.
    has_groups : bool
        Whether groups have thresholds of their own.
    calibration_scores : ndarray of shape (m,)
        In ascending order, higher for more normal rows; m may be 0.
    listed : ndarray of shape (n_listed,)
        Positions of the rows listed: those flagged, and the others, the oddest first.
    parts : ndarray of shape (n_listed, n_columns + 1)
        Nats above normal by column, and last kl.
    baseline : float
        Negative ELBO of a normal row, in nats.
    repairs : list of (str or None)
        What to change in the rows listed so that they are normal, in words.
    expected : DataFrame of shape (n_listed, n_columns)
        What the model expects in the cells of the rows listed; missing where that is not
        told.
    """

    cells: pd.DataFrame
    columns: list
    scores: np.ndarray
    threshold: float | None
    flagged: np.ndarray | None
    p_values: np.ndarray | None
    has_groups: bool
    calibration_scores: np.ndarray
    listed: np.ndarray
    parts: np.ndarray
    baseline: float
    repairs: list
    expected: pd.DataFrame

    @property
    def n_flagged(self):
        return None if self.flagged is None else int(np.sum(self.flagged))

    @property
    def odd(self):
        """Positions of the rows that the view of the columns is about."""
        n_odd = self.n_flagged or max(1, round(0.01 * len(self.scores)))
        return self.listed[:n_odd]

    @property
    def told(self):
        """Columns of each listed row whose parts are told one by one, the largest part first."""
        told = np.argsort(-np.abs(self.parts), axis=1, kind="stable")[:, :MOST_PARTS]
        order = np.argsort(-np.take_along_axis(self.parts, told, axis=1), axis=1, kind="stable")
        return np.take_along_axis(told, order, axis=1)


def score_rows(estimator, X, n_rows):
    """Score a table, and explain its oddest rows."""
    scores = -estimator.score_samples(X)
    offset = getattr(estimator, "offset_", None)
    calibration_scores = np.asarray(getattr(estimator, "calibration_scores_", ()))
    flagged = None if offset is None else scores > -offsets_of(estimator, X)
    rests = np.zeros(len(scores), dtype=bool) if flagged is None else ~flagged
    listed = np.lexsort([-scores, rests])[:n_rows]
    columns = estimator.table_.columns_
    cells = as_pandas(X)
    if cells is None:
        cells = pd.DataFrame(X).set_axis([column.name for column in columns], axis=1)
    parts, rest = map(np.asarray, estimator.explain(cells.iloc[listed], return_rest=True))
    has_p_values = len(calibration_scores) > 0
    return Scored(
        cells=cells,
        columns=columns,
        scores=scores,
        threshold=None if offset is None else -offset,
        flagged=flagged,
        p_values=p_values_of(estimator, X, -scores) if has_p_values else None,
        has_groups=bool(getattr(estimator, "group_offsets_", {})),
        calibration_scores=calibration_scores,
        listed=listed,
        parts=np.column_stack([parts, rest[:, 0]]),
        baseline=float(rest[0, 1]),
        repairs=repairs(estimator, cells, listed, flagged),
        expected=_expected(estimator, cells.iloc[listed], parts >= 1),
    )


def _expected(estimator, X, odd):
    """Tell what the cells of its row that are not odd let the model expect in each odd cell."""
    guesses = np.asarray(estimator.impute(X.mask(odd)), dtype=object)
    return pd.DataFrame(guesses, X.index, X.columns).where(odd)


def column_views(estimator, scored):
    """Sum up each column for the view of the columns."""
    n_odd = len(scored.odd)
    main = scored.told[:n_odd, 0]
    return [
        {
            "name": _name(column),
            "model": column.likelihood,
            "missing": float(scored.cells.iloc[:, j].isna().mean()),
            "n_main": int(np.sum(main == j)),
            "nats": float(scored.parts[:n_odd, j].mean()),
            **_distribution(column, scored.cells.iloc[:, j], scored.odd),
        }
        for j, column in enumerate(scored.columns)
    ]


def _distribution(column, cells, odd):
    """Histogram of a column's numbers or shares of its levels, of all rows and the odd ones."""
    if not _holds_numbers(column):
        return {"levels": _shares(_texts(cells), odd)}
    numbers = _numbers(cells)
    seen = numbers[~np.isnan(numbers)]
    if len(seen) == 0:
        return {}
    low, high = np.quantile(seen, SHOWN)
    if low == high:
        low, high = seen.min(), seen.max()
    # Not by np.linspace: high - low may be no number.
    share = np.arange(1, N_BINS) / N_BINS
    bins = np.searchsorted(low * (1 - share) + high * share, numbers, side="right")
    counts = [
        np.bincount(bins[rows][~np.isnan(numbers[rows])], minlength=N_BINS)
        for rows in (slice(None), odd)
    ]
    shares = [count / max(1, count.sum()) for count in counts]
    return {
        "outlines": [_outline(share / np.max(shares)) for share in shares],
        "low": f"{'≤ ' if seen.min() < low else ''}{low:.4g}",
        "high": f"{'≥ ' if seen.max() > high else ''}{high:.4g}",
    }


def _outline(heights):
    """SVG path around bars of width 1 in a frame of height 20."""
    tops = np.round(20 * (1 - heights), 1)
    return f"M0 20{''.join(f'V{top:g}h1' for top in tops)}V20Z"


def _shares(texts, odd):
    """Name of each of the most frequent levels, and its shares of all and of the odd rows."""
    shares, odd_shares = (rows.value_counts(normalize=True) for rows in (texts, texts.iloc[odd]))
    most = shares.add(odd_shares, fill_value=0).sort_values(ascending=False, kind="stable")
    return [
        {"name": name, "all": float(shares[name]), "odd": float(odd_shares.get(name, 0))}
        for name in most.index[:MOST_LEVELS]
    ]


def page_data(scored):
    """Rows as the page's script takes them; see report.js."""
    n_columns, n_listed = len(scored.columns), len(scored.listed)
    cells = scored.cells.iloc[scored.listed]
    coded = [
        _coded(column, cells.iloc[:, j], scored.expected.iloc[:, j])
        for j, column in enumerate(scored.columns)
    ]
    levels, codes, guesses = (list(of_all) for of_all in zip(*coded, strict=True))
    told, p = scored.told, scored.p_values
    nats = np.take_along_axis(scored.parts, told, axis=1)
    kl = [None] * n_listed  # the part without cells
    parts = zip(
        told.ravel().tolist(),
        hundredths(nats.ravel()),
        _picked([*codes, kl], told),
        _picked([*guesses, kl], told),
        strict=True,
    )
    return {
        "columns": [_name(column) for column in scored.columns],
        "levels": levels,
        "labels": _labels(scored.cells.index, scored.listed),
        "rows": scored.listed.tolist(),
        "scores": hundredths(scored.scores[scored.listed]),
        "pValues": None if p is None else rounded(p[scored.listed], 3),
        "nFlagged": scored.n_flagged,
        "repairs": scored.repairs,
        "baseline": hundredths([scored.baseline])[0],
        "nTold": told.shape[1],
        "parts": [x for part in parts for x in part],
        "rest": hundredths(scored.parts.sum(axis=1) - nats.sum(axis=1)),
        "cells": [column[: MOST_CELLS // n_columns] for column in codes],
    }


def _coded(column, cells, guesses):
    """Levels of a column, None for numbers; its cells and guesses as positions in it or numbers."""
    if _holds_numbers(column):
        return None, rounded(_numbers(cells), 6), rounded(_numbers(guesses), 3)
    codes, levels = pd.factorize(_texts(pd.concat([cells.astype(object), guesses])))
    codes = [None if code < 0 else code for code in codes.tolist()]
    return list(levels), codes[: len(cells)], codes[len(cells) :]


def _picked(columns, told):
    return [columns[j][row] for row, own in enumerate(told.tolist()) for j in own]


def _labels(index, rows):
    """Names of some rows, or None where rows are but numbered."""
    if index.equals(pd.RangeIndex(len(index))):
        return None
    index = index[rows]
    is_multiple = isinstance(index, pd.MultiIndex)
    return [", ".join(map(str, key)) if is_multiple else str(key) for key in index]


def _name(column):
    return column.name if isinstance(column.name, str) else f"column {column.name}"


def _holds_numbers(column):
    return column.kind in ("number", "integer") and not column.levels


def _numbers(cells):
    return pd.to_numeric(cells, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)


def _texts(cells):
    return cells.astype(object).map(exact, na_action="ignore")
