"""Displays draw what the estimators say."""

import os
import subprocess
import sys

import matplotlib
import numpy as np
import pandas as pd
import polars as pl
import pytest
from common import SMALL
from sklearn.datasets import load_wine
from sklearn.exceptions import NotFittedError

from skvae import (
    ExplanationDisplay,
    ExplanationHeatmapDisplay,
    LatentReportDisplay,
    LatentSpaceDisplay,
    ReconstructionDisplay,
    ScoreDistributionDisplay,
    TrainingCurveDisplay,
    VAEAnomalyDetector,
    VAETransformer,
)

matplotlib.use("agg")
from matplotlib import pyplot as plt


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def wine():
    return load_wine(as_frame=True).data


@pytest.fixture(scope="module")
def detector(wine):
    return VAEAnomalyDetector(**SMALL).fit(wine)


@pytest.fixture(scope="module")
def transformer(wine):
    return VAETransformer(**SMALL).fit(wine)


FROM_ESTIMATOR = {
    "training": lambda d, t, X, ax: TrainingCurveDisplay.from_estimator(d, ax=ax),
    "scores": lambda d, t, X, ax: ScoreDistributionDisplay.from_estimator(d, X, ax=ax),
    "explanation": lambda d, t, X, ax: ExplanationDisplay.from_estimator(d, X, row=3, ax=ax),
    "heatmap": lambda d, t, X, ax: ExplanationHeatmapDisplay.from_estimator(d, X, ax=ax),
    "latent": lambda d, t, X, ax: LatentSpaceDisplay.from_estimator(t, X, ax=ax),
    "latent report": lambda d, t, X, ax: LatentReportDisplay.from_estimator(d, X, ax=ax),
    "latent of a detector": lambda d, t, X, ax: LatentSpaceDisplay.from_estimator(d, X, ax=ax),
}


@pytest.fixture(scope="module", params=[pd.DataFrame, pd.DataFrame.to_numpy, pl.from_pandas])
def fitted_to_a_container(wine, request):
    X = request.param(wine)
    return *(e(**SMALL).fit(X) for e in (VAEAnomalyDetector, VAETransformer)), X


@pytest.mark.parametrize("create", FROM_ESTIMATOR.values(), ids=FROM_ESTIMATOR)
def test_display_draws_into_the_axes_given(create, fitted_to_a_container):
    _, ax = plt.subplots()
    display = create(*fitted_to_a_container, ax)
    assert display.ax_ is ax
    assert display.figure_ is ax.figure
    assert ax.get_xlabel() or ax.get_ylabel()


@pytest.mark.parametrize("create", FROM_ESTIMATOR.values(), ids=FROM_ESTIMATOR)
def test_texts_lie_inside_the_figure(detector, transformer, wine, create):
    figure = create(detector, transformer, wine, None).figure_
    figure.draw_without_rendering()
    inside = figure.bbox.padded(1)
    for ax in figure.axes:
        box = ax.get_tightbbox()
        corners = np.array(box.get_points())
        assert all(inside.contains(*corner) for corner in corners), box


def test_training_curve_is_the_history(detector):
    display = TrainingCurveDisplay.from_estimator(detector)
    for line, key in zip(display.lines_, ("train", "validation"), strict=True):
        np.testing.assert_array_equal(line.get_ydata(), detector.history_[key])


def test_training_curve_without_held_out_rows_is_one_line(wine):
    model = VAETransformer(**SMALL, validation_fraction=0).fit(wine)
    assert len(TrainingCurveDisplay.from_estimator(model).lines_) == 1


def test_every_score_is_counted_once(detector, wine):
    y = np.repeat([1, -1], [100, 78])
    display = ScoreDistributionDisplay.from_estimator(detector, wine, y)
    heights = [sum(bar.get_height() for bar in bars) for bars in display.ax_.containers]
    assert heights == pytest.approx([1, 1])
    assert display.threshold_line_.get_xdata() == [-detector.offset_] * 2


def test_p_values_are_marked_where_they_are_passed(wine):
    detector = VAEAnomalyDetector(**SMALL, validation_fraction=0.4).fit(wine)
    axis = ScoreDistributionDisplay.from_estimator(detector, wine).p_value_axis_
    marks = dict(zip(axis.get_xticks(), axis.get_xticklabels(), strict=True))
    assert marks
    for score, label in marks.items():
        calibration = -detector.calibration_scores_
        p_value = (1 + np.sum(calibration > score)) / (1 + len(calibration))
        assert p_value <= float(label.get_text()) < p_value + 1 / len(calibration)


def test_a_transformer_has_scores_without_threshold(transformer, wine):
    display = ScoreDistributionDisplay.from_estimator(transformer, wine)
    assert display.threshold_line_ is None
    assert display.p_value_axis_ is None


def test_scores_that_are_all_alike_are_drawn():
    assert ScoreDistributionDisplay.from_predictions(np.ones(5)).ax_


@pytest.mark.parametrize("row", [0, 3])
@pytest.mark.parametrize("max_columns", [4, 99])
def test_waterfall_ends_at_the_rows_score(detector, wine, row, max_columns):
    display = ExplanationDisplay.from_estimator(detector, wine, row=row).plot(
        max_columns=max_columns
    )
    widths = [bar.get_width() for bar in display.bars_]
    parts, rest = (each.iloc[0] for each in detector.explain(wine.iloc[[row]], return_rest=True))
    assert sum(widths) == pytest.approx(parts.sum() + rest["kl"])
    assert len(widths) == min(max_columns + 1, wine.shape[1] + 1)
    labels = [text.get_text() for text in display.ax_.get_yticklabels()]
    largest = parts.abs().idxmax()
    assert f"{largest} = {wine[largest].iloc[row]:.4g}" in labels


def test_what_would_make_the_row_normal_is_written(detector, wine):
    row = wine.iloc[[0]].assign(alcohol=99.0)
    repaired, changed = detector.repair(row, return_cells=True)
    display = ExplanationDisplay.from_estimator(detector, row)
    labels = {text.get_text() for text in display.ax_.get_yticklabels()}
    assert changed["alcohol"].item()
    assert f"alcohol = 99 (normal: {repaired['alcohol'].item():.4g})" in labels
    usual = ExplanationDisplay.from_estimator(detector, wine, row=3)
    assert not any("normal:" in t.get_text() for t in usual.ax_.get_yticklabels())


@pytest.fixture(scope="module")
def renamed(wine):
    """Columns that are called as parts are, and such with dollar signs."""
    X = wine.iloc[:60, :4].set_axis(["kl", "baseline", "price ($) < $5", r"$\foo$"], axis=1)
    return X, VAEAnomalyDetector(**SMALL).fit(X)


def test_columns_may_be_called_as_the_parts_are(renamed):
    X, detector = renamed
    display = ExplanationDisplay.from_estimator(detector, X, row=3)
    widths = sorted(bar.get_width() for bar in display.bars_)
    parts, rest = detector.explain(X, return_rest=True)
    expected = np.sort([*parts.iloc[3], rest["kl"].iloc[3]])
    np.testing.assert_allclose(widths, expected, rtol=1e-6, atol=1e-9)
    labels = {text.get_text() for text in display.ax_.get_yticklabels()}
    cells = {f"{name} = {X[name].iloc[3]:.4g}" for name in ("kl", "baseline")}
    assert labels >= {"latent code (kl)", *cells}
    heatmap = ExplanationHeatmapDisplay.from_estimator(detector, X)
    assert heatmap.image_.get_array().shape == (12, 5)


def test_dollar_signs_are_drawn_as_they_are(renamed, tmp_path):
    X, detector = renamed
    display = ExplanationHeatmapDisplay.from_estimator(detector, X)
    display.figure_.savefig(tmp_path / "heatmap.png")
    ExplanationDisplay.from_estimator(detector, X).figure_.savefig(tmp_path / "waterfall.png")
    assert [text.get_text() for text in display.ax_.get_xticklabels()][2:4] == [
        r"price (\$) < \$5",
        r"\$\foo\$",
    ]


def test_one_row_has_no_principal_components():
    with pytest.raises(ValueError, match=r"4 latent dimensions need 2 rows\. Got 1"):
        LatentSpaceDisplay.from_predictions(np.zeros((1, 4)), np.zeros(1))


def test_waterfall_of_another_bound_has_no_threshold(detector, wine):
    tighter = VAEAnomalyDetector(**SMALL, bound="iwae").fit(wine)
    assert ExplanationDisplay.from_estimator(detector, wine).threshold == -detector.offset_
    assert ExplanationDisplay.from_estimator(tighter, wine).threshold is None


def test_heatmap_shows_the_oddest_rows(detector, wine):
    display = ExplanationHeatmapDisplay.from_estimator(detector, wine, n_rows=5)
    scores = pd.Series(detector.negative_elbo(wine), wine.index)
    assert list(display.parts.index) == list(scores.nlargest(5).index)
    assert display.image_.get_array().shape == (5, 12)
    assert [t.get_text() for t in display.ax_.get_yticklabels()] == [
        str(row) for row in display.parts.index
    ]


def test_polars_columns_keep_their_names(wine):
    X = pl.from_pandas(wine)
    display = ExplanationHeatmapDisplay.from_estimator(VAEAnomalyDetector(**SMALL).fit(X), X)
    assert set(display.parts.columns) == set(wine.columns)


@pytest.mark.parametrize("latent_dim", [1, 2, 4])
def test_latent_points_are_the_rows(wine, latent_dim):
    model = VAETransformer(**SMALL, latent_dim=latent_dim).fit(wine)
    display = LatentSpaceDisplay.from_estimator(model, wine)
    points, colors = display.points_.get_offsets(), display.points_.get_array()
    np.testing.assert_array_equal(np.sort(colors), np.sort(model.negative_elbo(wine)))
    if latent_dim == 2:
        order = np.argsort(model.negative_elbo(wine), kind="stable")
        np.testing.assert_array_equal(points, model.transform(wine)[order])
    assert ("of variance" in display.ax_.get_xlabel()) == (latent_dim > 2)


def test_reconstruction_has_a_panel_a_column(transformer, wine):
    X = wine.mask(np.random.default_rng(0).random(wine.shape) < 0.3)
    display = ReconstructionDisplay.from_estimator(transformer, X, columns=["alcohol", "ash"])
    assert [ax.get_title() for ax in display.axes_] == ["alcohol", "ash"]
    expected = np.asarray(transformer.inverse_transform(transformer.transform(X)))[:, 0]
    points = display.axes_[0].collections[0].get_offsets()
    seen = X["alcohol"].notna()
    np.testing.assert_array_equal(points, np.column_stack([X["alcohol"], expected])[seen])


def test_reconstruction_of_an_array_takes_the_first_columns(wine):
    X = wine.to_numpy()
    display = ReconstructionDisplay.from_estimator(VAETransformer(**SMALL).fit(X), X)
    assert len(display.axes_) == 12


def test_reconstruction_of_flags_and_of_an_empty_column():
    X = pd.DataFrame({"flag": [True, False] * 20})
    assert len(ReconstructionDisplay.from_predictions(X, np.full((40, 1), 0.5)).axes_) == 1
    X = pd.DataFrame({"empty": np.full(40, np.nan)})
    assert len(ReconstructionDisplay.from_predictions(X, np.zeros((40, 1))).axes_) == 1


def test_a_missing_matplotlib_is_named(detector, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"pip install 'skvae\[plot\]'"):
        TrainingCurveDisplay.from_estimator(detector)


def test_import_of_the_package_does_not_import_matplotlib():
    code = "import skvae, sys; sys.exit('matplotlib' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], env=os.environ, check=True)


def test_explanations_of_arrays_are_drawn_too(wine):
    X = wine.to_numpy()
    parts = VAEAnomalyDetector(**SMALL).fit(X).explain(X)
    heatmap = ExplanationHeatmapDisplay.from_predictions(parts, X, n_rows=3)
    assert heatmap.parts.shape == (3, X.shape[1])
    waterfall = ExplanationDisplay.from_predictions(parts[0], X[0])
    assert sum(bar.get_width() for bar in waterfall.bars_) == pytest.approx(parts[0].sum())


WRONG = {
    "scores": (
        lambda d, t, X: ScoreDistributionDisplay.from_predictions([1.0, np.nan]),
        ValueError,
        "Input scores contains NaN",
    ),
    "coding": (
        lambda d, t, X: ScoreDistributionDisplay.from_predictions([1.0, 2.0], [0, 1]),
        ValueError,
        r"y must be \+1 .* Got the values \[0, 1\]. If 1 .* np.where\(y == 1, -1, 1\)",
    ),
    "labels": (
        lambda d, t, X: ScoreDistributionDisplay.from_predictions([1.0, 2.0], [1]),
        ValueError,
        "inconsistent numbers of samples",
    ),
    "codes": (
        lambda d, t, X: LatentSpaceDisplay.from_predictions(np.zeros((3, 2)), [1.0]),
        ValueError,
        "inconsistent numbers of samples",
    ),
    "unfitted": (
        lambda d, t, X: TrainingCurveDisplay.from_estimator(VAEAnomalyDetector()),
        NotFittedError,
        "not fitted",
    ),
    "row": (
        lambda d, t, X: ExplanationDisplay.from_estimator(d, X, row=178),
        IndexError,
        "row must be one of the 178 rows of X. Got 178.",
    ),
    "bars": (
        lambda d, t, X: ExplanationDisplay.from_estimator(d, X).plot(max_columns=0),
        ValueError,
        "'max_columns' parameter of ExplanationDisplay must be",
    ),
    "rows": (
        lambda d, t, X: ExplanationHeatmapDisplay.from_estimator(d, X, n_rows=0),
        ValueError,
        "'n_rows' parameter of ExplanationHeatmapDisplay must be",
    ),
    "detector": (
        lambda d, t, X: ReconstructionDisplay.from_estimator(d, X),
        TypeError,
        r"needs a VAETransformer\. Got a VAEAnomalyDetector: .* ask expected\(X\)",
    ),
    "one name": (
        lambda d, t, X: ReconstructionDisplay.from_estimator(t, X, columns="hue"),
        ValueError,
        "columns must be a list of at least one name. Got 'hue'.",
    ),
    "text": (
        lambda d, t, X: ReconstructionDisplay.from_predictions(
            pd.DataFrame({"a": ["x"]}), [["x"]], columns=["a"]
        ),
        ValueError,
        "Column 'a' holds text: leave it out of columns.",
    ),
}


@pytest.mark.parametrize(("draw", "error", "message"), WRONG.values(), ids=WRONG)
def test_wrong_arguments_are_named(detector, transformer, wine, draw, error, message):
    with pytest.raises(error, match=message):
        draw(detector, transformer, wine)


@pytest.mark.parametrize(
    ("bins", "error"), [(0, ValueError), (10**9, ValueError), (1.0, TypeError)]
)
def test_bins_of_a_histogram_are_checked(bins, error):
    display = ScoreDistributionDisplay.from_predictions(np.arange(5.0))
    with pytest.raises(error, match=r"The 'bins' parameter .* must be an int in the range \[1, "):
        display.plot(bins=bins)
