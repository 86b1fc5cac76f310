"""One HTML page about the scores of a table, which needs no network and no server."""

import hashlib
import math
import re
from base64 import b64encode
from importlib.resources import files
from io import StringIO
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from ._checks import integer
from ._conformal import discoveries, p_values, threshold
from ._display import ScoreDistributionDisplay
from ._io import replacing
from ._table import as_pandas

__all__ = ["report"]

MOST_PARTS = 10  # of a row's explanation that have a bar each
MOST_CELLS = 300_000  # in the page, besides those that have a bar
MOST_LEVELS = 3  # of a column that its view names
N_BINS = 24
SHOWN = (0.005, 0.995)  # quantiles of a column between which its histogram extends
RATES = (0.001, 0.005, 0.01, 0.02, 0.05, 0.1)
FDRS = (0.05, 0.1, 0.2)
WIDTHS = {"wide": 7.5, "narrow": 4.2}  # of the figures, in inches
# Colours of the figures, and what the page's style sheet calls them.
COLORS = {
    "#0072b2": "var(--blue)",
    "#000000": "currentColor",
    "#cccccc": "var(--line)",
    "#ffffff": "var(--card)",
}


def report(
    estimator: Any,
    X: ArrayLike,
    path: str | PathLike[str] | None = None,
    *,
    n_rows: int = 10_000,
    title: str = "Anomaly report",
) -> str | None:
    """HTML page of a scored table: its oddest rows, and why they are odd.

    A single file without network access: distribution of the scores, threshold and
    expected false alarms, the oddest rows, sortable and searchable, with nats by column and
    what was expected there, and the columns.

    Parameters
    ----------
    estimator : VAEAnomalyDetector or VAETransformer
        Fitted. Only a detector has a threshold and p-values.
    X : array-like or DataFrame of shape (n_samples, n_features)
        The index of a DataFrame names the rows.
    path : str or path-like, default=None
        File to write, complete or not at all; None to return the page.
    n_rows : int, default=10_000
        Rows listed, the oddest. All rows count in everything else but the columns' nats.
    title : str, default="Anomaly report"
        Heading of the page.

    Returns
    -------
    page : str or None
        The page, if `path` is None. The same estimator and rows give the same page.

    Raises
    ------
    sklearn.exceptions.NotFittedError, ValueError, TypeError
        As ``score_samples``; and if n_rows is no integer of at least 1.
    ImportError
        Without jinja2 or matplotlib: ``pip install 'skvae[report]'``.
    FileNotFoundError
        If there is no such folder.

    See Also
    --------
    ExplanationDisplay : One row's explanation as a picture.
    VAEAnomalyDetector.explain : The numbers behind.

    Examples
    --------
    >>> import numpy as np
    >>> from skvae import VAEAnomalyDetector, report
    >>> X = np.random.RandomState(0).normal(size=(200, 2))
    >>> detector = VAEAnomalyDetector(max_steps=50, random_state=0).fit(X)
    >>> report(detector, X, title="Noise").splitlines()[0]
    '<!doctype html>'
    """
    integer(1).check("n_rows", n_rows, estimator)
    template = _template()
    scored = _score(estimator, X, n_rows)
    script = _text("report.js")
    digest = hashlib.sha256(script.encode()).digest()
    page = template.render(
        title=title,
        style=_text("report.css"),
        script=script,
        script_hash=b64encode(digest).decode(),
        estimator=estimator,
        scored=scored,
        facts=_facts(scored),
        alarms=_alarms(scored),
        figures={name: _figure(scored, width, name) for name, width in WIDTHS.items()},
        columns=_column_views(estimator, scored),
        data=_data(scored),
    )
    if path is None:
        return page
    with replacing(path) as temporary:
        Path(temporary).write_text(page, encoding="utf-8")
    return None


class _Scored(NamedTuple):
    """Scores of a table, and the explanations of its oddest rows.

    Attributes
    ----------
    cells : DataFrame of shape (n, n_columns)
    columns : list of Column
        How they were fitted.
    scores : ndarray of shape (n,)
        In nats, higher for odder rows.
    threshold : float or None
        Score above which rows are flagged.
    calibration_scores : ndarray of shape (m,)
        In ascending order, higher for more normal rows; m may be 0.
    listed : ndarray of shape (n_listed,)
        Positions of the rows listed, the oddest first.
    parts : ndarray of shape (n_listed, n_columns + 1)
        Nats above normal by column, and last kl.
    baseline : float
        Negative ELBO of a normal row, in nats.
    expected : DataFrame of shape (n_listed, n_columns)
        What the model expects in the cells of the rows listed; missing where that is not
        told.
    """

    cells: pd.DataFrame
    columns: list
    scores: np.ndarray
    threshold: float | None
    calibration_scores: np.ndarray
    listed: np.ndarray
    parts: np.ndarray
    baseline: float
    expected: pd.DataFrame

    @property
    def n_flagged(self):
        return None if self.threshold is None else int(np.sum(self.scores > self.threshold))

    @property
    def odd(self):
        """Positions of the rows that the view of the columns is about."""
        n_odd = self.n_flagged or max(1, round(0.01 * len(self.scores)))
        return self.listed[:n_odd]

    @property
    def p_values(self):
        """p-value of each row, or None without calibration rows."""
        if len(self.calibration_scores) == 0:
            return None
        return p_values(-self.scores, self.calibration_scores)

    @property
    def told(self):
        """Columns of each listed row whose parts are told one by one, the largest part first."""
        told = np.argsort(-np.abs(self.parts), axis=1, kind="stable")[:, :MOST_PARTS]
        order = np.argsort(-np.take_along_axis(self.parts, told, axis=1), axis=1, kind="stable")
        return np.take_along_axis(told, order, axis=1)


def _score(estimator, X, n_rows):
    scores = -estimator.score_samples(X)
    listed = np.argsort(-scores, kind="stable")[:n_rows]
    columns = estimator.table_.columns_
    cells = as_pandas(X)
    if cells is None:
        cells = pd.DataFrame(X).set_axis([column.name for column in columns], axis=1)
    parts = np.asarray(estimator.explain(cells.iloc[listed]), dtype=np.float64)
    offset = getattr(estimator, "offset_", None)
    return _Scored(
        cells=cells,
        columns=columns,
        scores=scores,
        threshold=None if offset is None else -offset,
        calibration_scores=np.asarray(getattr(estimator, "calibration_scores_", ())),
        listed=listed,
        parts=parts[:, :-1],
        baseline=float(parts[0, -1]),
        expected=_expected(estimator, cells.iloc[listed], parts[:, :-2] >= 1),
    )


def _expected(estimator, X, odd):
    """Tell what the cells of its row that are not odd let the model expect in each odd cell."""
    guesses = np.asarray(estimator.impute(X.mask(odd)), dtype=object)
    return pd.DataFrame(guesses, X.index, X.columns).where(odd)


def _facts(scored):
    """Label and value of what is said at the top."""
    n, n_columns = scored.cells.shape
    facts = {
        "rows": f"{n:,}",
        "columns": f"{n_columns:,}",
        "cells missing": _percent(scored.cells.isna().to_numpy().mean()),
    }
    if scored.threshold is not None:
        facts["rows flagged"] = f"{scored.n_flagged:,} ({_percent(scored.n_flagged / n)})"
        facts["threshold, nats"] = _in_nats(scored.threshold)
    facts["highest score, nats"] = _in_nats(scored.scores.max())
    facts["a normal row, nats"] = _in_nats(scored.baseline)
    return facts


def _alarms(scored):
    """Rate, false alarms to expect, and thresholds beside the one in force; or None."""
    n, m = len(scored.scores), len(scored.calibration_scores)
    if scored.threshold is None or m == 0:
        return None
    offsets = {rate: threshold(scored.calibration_scores, rate) for rate in RATES}
    # That many of m + 1 exchangeable rows lie below, this row's own place among them.
    rank = 1 + np.searchsorted(scored.calibration_scores, -scored.threshold, side="left")
    rate = min(1.0, rank / (m + 1))
    return {
        "rate": _percent(rate),
        "expected": _count(rate * n),
        "n_calibration": m,
        "thresholds": [
            {
                "rate": _percent(rate),
                "threshold": _in_nats(-offset),
                "flagged": int(np.sum(scored.scores > -offset)),
                "expected": _count(rate * n),
            }
            for rate, offset in offsets.items()
            if offset is not None
        ],
        "selected": {_percent(fdr): int(discoveries(scored.p_values, fdr).sum()) for fdr in FDRS},
    }


def _figure(scored, width, name):
    """Distribution of the scores as SVG that takes the page's colours and font."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    # Both figures are in one page: what they refer to gets names by the salt, the rest none.
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        ax = Figure(figsize=(width, 3.4), layout="constrained").subplots()
        display = ScoreDistributionDisplay.from_predictions(
            scored.scores,
            threshold=scored.threshold,
            calibration_scores=scored.calibration_scores,
            ax=ax,
        )
        ax.set_xlabel("anomaly score (nats)")
        ax.set_ylabel("share of rows")
        ax.spines[["right"]].set_visible(False)
        file = StringIO()
        display.figure_.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    text = file.getvalue()
    text = re.sub(r' id="[\w.]+_\d+"', "", text[text.index("<svg") :])
    for color, variable in COLORS.items():
        text = text.replace(color, variable)
    return text


def _column_views(estimator, scored):
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


def _data(scored):
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
        _nats(nats.ravel()),
        _picked([*codes, kl], told),
        _picked([*guesses, kl], told),
        strict=True,
    )
    return {
        "columns": [_name(column) for column in scored.columns],
        "levels": levels,
        "labels": _labels(scored.cells.index, scored.listed),
        "rows": scored.listed.tolist(),
        "scores": _nats(scored.scores[scored.listed]),
        "pValues": None if p is None else _rounded(p[scored.listed], 3),
        "nFlagged": scored.n_flagged,
        "baseline": _nats([scored.baseline])[0],
        "nTold": told.shape[1],
        "parts": [x for part in parts for x in part],
        "rest": _nats(scored.parts.sum(axis=1) - nats.sum(axis=1)),
        "cells": [column[: MOST_CELLS // n_columns] for column in codes],
    }


def _coded(column, cells, guesses):
    """Levels of a column, None for numbers; its cells and guesses as positions in it or numbers."""
    if _holds_numbers(column):
        return None, _rounded(_numbers(cells), 6), _rounded(_numbers(guesses), 3)
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
    return cells.astype(object).map(_written, na_action="ignore")


def _written(value):
    return f"{value:.15g}" if isinstance(value, (float, np.floating)) else str(value)


def _rounded(values, digits):
    """Numbers with so many digits, those before the point all of them, and None for NaN."""
    values = np.asarray(values, dtype=np.float64).tolist()
    return [None if math.isnan(x) else _shortest(_round(x, digits)) for x in values]


def _round(x, digits):
    return float(round(x) if abs(x) >= 10**digits else f"{x:.{digits}g}")


def _nats(values):
    """Numbers with two digits after the point."""
    return [_shortest(x) for x in np.round(values, 2).tolist()]


def _shortest(value):
    return int(value) if value.is_integer() and abs(value) < 1e15 else value


def _percent(share):
    """Write a share; the space before the sign does not break."""
    percent = f"{100 * share:.0f}" if share >= 0.1 else f"{100 * share:.2g}"
    return f"{percent}\N{NO-BREAK SPACE}%"


def _count(n):
    return f"{n:,.0f}" if n >= 10 else f"{n:.1f}"


def _in_nats(value):
    """Write a score or a part of one; report.js writes them alike."""
    if abs(value) >= 1e7:
        return f"{value:.3g}"
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:z,.{digits}f}".replace("-", "\N{MINUS SIGN}")


def _text(name):
    return files("skvae").joinpath("templates", name).read_text(encoding="utf-8")


def _template():
    """Compile the page; raises where something is missing that it is made with."""
    try:
        import matplotlib  # noqa: F401
        from jinja2 import Environment
    except ImportError as error:
        raise ImportError(
            "The report needs jinja2 and matplotlib: pip install 'skvae[report]'"
        ) from error
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":")}
    environment.filters |= {"percent": _percent, "nats": _in_nats}
    return environment.from_string(_text("report.html.j2"))
