"""Classes by few labels and by many, beside logistic regression and self-training; and novelties.

Half of each table is fitted, of which 10 rows a class are labelled, or all (0). Then one class
after another is left out of fitting and calibration: rows of it, the novelties, are ranked by the
largest p-value that a class has, the share of them with an empty set is counted, and the share of
the others whose own class is denied is to be 5 % at most. One JSON line a table, method, labels and
seed goes to results/classes.jsonl, of novelties to novel_classes.jsonl; what is there already is
not run again.
"""

import argparse
import warnings
from functools import partial
from itertools import product

import numpy as np
from clusters import MOST_ROWS
from clusters import TABLES as OF_CLUSTERS
from datasets import add_data_argument, take
from records import RESULTS, measure_missing
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.semi_supervised import SelfTrainingClassifier
from threadpoolctl import threadpool_limits

from skvae import VAEClassifier, VAETransformer

TABLES = {"cancer": lambda data: load_breast_cancer(return_X_y=True)} | OF_CLUSTERS
OF_FEW_LABELS = ("cancer", "wine", "digits")
WITH_NOVELTIES = ("wine", "digits", "satellite", "attacks")
ERROR = 0.05


def logistic():
    """Logistic regression on standardised columns."""
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=2_000))


def vae(labels, seed):
    """Classifier of skvae."""
    return VAEClassifier(VAETransformer(random_state=seed, device="cpu"), labels=labels)


METHODS = {
    "LogisticRegression": lambda seed: logistic(),
    "SelfTrainingClassifier": lambda seed: SelfTrainingClassifier(logistic()),
    "skvae, latent": partial(vae, "latent"),
    "skvae, prior": partial(vae, "prior"),
    "skvae, decoder": partial(vae, "decoder"),
}


def halves(table, seed, data):
    """Rows to fit and rows to judge of a table, and their classes, numbered."""
    X, y = TABLES[table](data)
    order = np.random.default_rng(seed).permutation(len(y))[:MOST_ROWS]
    y = np.unique(y, return_inverse=True)[1]
    fit, judge = np.array_split(order, 2)
    return take(X, fit), y[fit], take(X, judge), y[judge]


def measure(table, method, labels, seed, data):
    """Accuracy and log loss, in nats, of one classifier."""
    X, y, X_test, y_test = halves(table, seed, data)
    known = y.copy()
    if labels > 0:
        for k in np.unique(y):
            known[np.flatnonzero(y == k)[labels:]] = -1
    if method == "LogisticRegression":
        X, known = X[known >= 0], known[known >= 0]
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = METHODS[method](seed).fit(X, known)
        proba = model.predict_proba(X_test)
    return {
        "accuracy": round(float((model.classes_[proba.argmax(axis=1)] == y_test).mean()), 4),
        "log_loss": round(float(log_loss(y_test, proba, labels=model.classes_)), 4),
    }


def novelties(table, method, seed, data):
    """Find rows of a class left out: means over the classes."""
    X, y, X_test, y_test = halves(table, seed, data)
    found = []
    for left_out in np.unique(y):
        rows = np.flatnonzero(y != left_out)
        fit, calibrate = rows[::2], rows[1::2]
        with threadpool_limits(1), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = METHODS[method](seed).fit(take(X, fit), y[fit])
            p = model.calibrate(take(X, calibrate), y[calibrate]).class_p_values(X_test)
        is_new = y_test == left_out
        own = np.searchsorted(model.classes_, y_test[~is_new])
        auroc = roc_auc_score(is_new, -p.max(axis=1))
        is_empty = (p <= ERROR).all(axis=1)
        denied = p[~is_new][np.arange(len(own)), own] <= ERROR
        found.append([auroc, is_empty[is_new].mean(), is_empty[~is_new].mean(), denied.mean()])
    names = ["novelty_auroc", "empty_of_novelties", "empty_of_others", "denied"]
    return dict(zip(names, np.mean(found, axis=0).round(4).tolist(), strict=True))


def main():
    """Run what is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_data_argument(parser)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--jobs", type=int, default=1, help="processes, of one thread each")
    parser.add_argument("--novelties", nargs="+", default=WITH_NOVELTIES, help="tables of them")
    options = parser.parse_args()
    runs = [
        {"table": table, "method": method, "labels": labels, "seed": seed}
        for seed, table, labels, method in product(options.seeds, OF_FEW_LABELS, [10, 0], METHODS)
    ]
    of_data = partial(measure, data=options.data)
    measure_missing(RESULTS / "classes.jsonl", runs, of_data, options.jobs)
    runs = [
        {"table": table, "method": f"skvae, {labels}", "seed": seed}
        for seed, table, labels in product(options.seeds, options.novelties, ["latent", "prior"])
    ]
    of_data = partial(novelties, data=options.data)
    measure_missing(RESULTS / "novel_classes.jsonl", runs, of_data, options.jobs)


if __name__ == "__main__":
    main()
