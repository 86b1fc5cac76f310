"""The demonstration: patients with a condition in a real table."""

import sys

import numpy as np
import pandas as pd
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import IsolationForest
from sklearn.impute import SimpleImputer
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from .. import ScoreDistributionDisplay, VAEAnomalyDetector
from ..datasets import load_thyroid

__all__ = ["demonstrate"]


def demonstrate(folder, seed):
    """Fit healthy patients, score all others, compare, explain, write scores and picture."""
    _use_files_only()
    folder.mkdir(parents=True, exist_ok=True)
    X, y = load_thyroid(return_X_y=True, as_frame=True)
    train, test = _split(y.to_numpy(), seed)
    print(f"Thyroid table: fitting {len(train)} healthy patients, scoring {len(test)} others.")
    detector = VAEAnomalyDetector(random_state=seed, verbose=sys.stderr.isatty()).fit(X.iloc[train])
    forest = make_pipeline(_encoding(), IsolationForest(random_state=seed)).fit(X.iloc[train])
    unseen = X.iloc[test]
    scores = pd.DataFrame(
        {
            "negative_elbo": detector.negative_elbo(unseen),
            "flagged": detector.predict(unseen) == -1,
            "healthy": y.iloc[test] == 1,
        }
    )
    _print_quality(scores, forest.score_samples(unseen), detector.offset_)
    _print_oddest(scores, unseen, detector.explain(unseen))
    scores.to_csv(folder / "skvae_demo.csv", index_label="row")
    _draw(scores, -detector.offset_, folder / "skvae_demo.png")
    print(f"\nWrote {folder / 'skvae_demo.csv'} and {folder / 'skvae_demo.png'}.")


def _encoding():
    """Encode strings and fill holes, which IsolationForest needs and skvae does not."""
    one_hot = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    return make_column_transformer(
        (one_hot, make_column_selector(dtype_exclude=["number", "bool"])),
        remainder=SimpleImputer(strategy="median"),
    )


def _split(y, seed):
    """Half of the healthy rows, and all others, in random order."""
    order = np.random.RandomState(seed).permutation(len(y))
    healthy = order[y[order] == 1]
    train = healthy[: len(healthy) // 2]
    return train, order[~np.isin(order, train)]


def _print_quality(scores, forest_scores, offset):
    sick = ~scores["healthy"]
    print(f"\n{sick.sum()} patients with a condition against {(~sick).sum()} healthy ones:")
    print("                   AUROC  average precision")
    rows = {"skvae": scores["negative_elbo"], "IsolationForest": -forest_scores}
    for name, odd in rows.items():
        auroc, precision = roc_auc_score(sick, odd), average_precision_score(sick, odd)
        print(f"  {name:15s}  {auroc:.3f}  {precision:.3f}")
    share = scores.groupby("healthy")["flagged"].mean()
    print(f"\nThe threshold, {-offset:.2f} nats for at most 1 % false alarms, flags")
    print(f"  {share[True]:.1%} of the healthy patients and {share[False]:.1%} of the others.")


def _print_oddest(scores, X, parts):
    print("\nThe ten oddest rows, and what makes them odd (nats above normal):")
    for row in scores.nlargest(10, "negative_elbo").index:
        top = parts.loc[row, X.columns].nlargest(3)
        reasons = ", ".join(f"{c} = {X.loc[row, c]} (+{nats:.0f})" for c, nats in top.items())
        label = "healthy" if scores.loc[row, "healthy"] else "condition"
        print(f"  row {row:4d}  {scores.loc[row, 'negative_elbo']:6.0f}  {label:9s}  {reasons}")


def _draw(scores, threshold, path):
    """Histogram of the scores of both groups, the threshold marked."""
    y = np.where(scores["healthy"], 1, -1)
    display = ScoreDistributionDisplay.from_predictions(
        scores["negative_elbo"], y, threshold=threshold
    )
    display.ax_.set_title("Thyroid table: patients unseen in training")
    display.figure_.savefig(path, dpi=150)


def _use_files_only():
    """Let matplotlib draw without a screen, or raise where it is missing."""
    try:
        import matplotlib
    except ImportError as error:
        raise ImportError("The picture needs matplotlib: pip install 'skvae[plot]'") from error
    matplotlib.use("agg")
