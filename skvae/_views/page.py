"""One HTML page about the scores of a table, which needs no network and no server."""

import hashlib
import math
import re
from base64 import b64encode
from importlib.resources import files
from io import StringIO
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .._estimators import discoveries, integer, threshold
from .._files import replacing
from .numbers import count, in_nats, percent
from .page_rows import column_views, page_data, score_rows
from .scores import ScoreDistributionDisplay

__all__ = ["report"]


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
        As ``score_samples``; and if n_rows is no integer of at least 1, or the estimator explains
        no scores.
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
    if not hasattr(estimator, "explain"):
        raise TypeError(
            "report takes an estimator that explains its scores, such as a VAEAnomalyDetector. Got "
            f"a {type(estimator).__name__}."
        )
    template = _template()
    scored = score_rows(estimator, X, n_rows)
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
        columns=column_views(estimator, scored),
        data=page_data(scored),
    )
    if path is None:
        return page
    with replacing(path) as temporary:
        Path(temporary).write_text(page, encoding="utf-8")
    return None


def _facts(scored):
    """Label and value of what is said at the top."""
    n, n_columns = scored.cells.shape
    facts = {
        "rows": f"{n:,}",
        "columns": f"{n_columns:,}",
        "cells missing": percent(scored.cells.isna().to_numpy().mean()),
    }
    if scored.threshold is not None:
        facts["rows flagged"] = f"{scored.n_flagged:,} ({percent(scored.n_flagged / n)})"
        by_group = " (others by group)" if scored.has_groups else ""
        facts["threshold, nats"] = f"{in_nats(scored.threshold)}{by_group}"
    facts["highest score, nats"] = in_nats(scored.scores.max())
    facts["a normal row, nats"] = in_nats(scored.baseline)
    return facts


def _alarms(scored):
    """Rate, false alarms to expect, and thresholds beside the one in force; or None."""
    n, m = len(scored.scores), len(scored.calibration_scores)
    if scored.threshold is None or m == 0 or scored.has_groups:
        return None
    offsets = {rate: threshold(scored.calibration_scores, rate) for rate in RATES}
    # That many of m + 1 exchangeable rows lie below, this row's own place among them.
    rank = 1 + np.searchsorted(scored.calibration_scores, -scored.threshold, side="left")
    rate = min(1.0, rank / (m + 1))
    return {
        "rate": percent(rate),
        "expected": count(rate * n),
        "n_calibration": m,
        "thresholds": [
            {
                "rate": percent(rate),
                "threshold": in_nats(-offset),
                "flagged": int(np.sum(scored.scores > -offset)),
                "expected": count(rate * n),
            }
            for rate, offset in offsets.items()
            if offset is not None
        ],
        "selected": {percent(fdr): int(discoveries(scored.p_values, fdr).sum()) for fdr in FDRS},
        "n_for_one": math.ceil(n / FDRS[-1]) - 1,  # calibration rows, for one row to be selected
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
    environment.filters |= {"percent": percent, "nats": in_nats}
    return environment.from_string(_text("report.html.j2"))
