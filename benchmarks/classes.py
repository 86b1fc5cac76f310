"""Classes by few labels and by many, beside logistic regression and self-training; and novelties.

Half of each table is fitted, of which 10 rows a class are labelled, or all (0). Then one class
after another is left out of fitting and calibration: rows of it, the novelties, are ranked by the
largest p-value that a class has, and the share of the others whose own class is denied is to be
5 %. One JSON line a table, method, labels and seed goes to results/classes.jsonl; what is there
already is not run again.
"""

import argparse
import warnings
from functools import partial
from itertools import product

import numpy as np
from records import RESULTS, measure_missing
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.semi_supervised import SelfTrainingClassifier
from threadpoolctl import threadpool_limits

from skvae import VAEClassifier, VAETransformer

TABLES = {"cancer": load_breast_cancer, "wine": load_wine, "digits": load_digits}
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
    "skvae, decoder": partial(vae, "decoder"),
}


def halves(table, seed):
    """Rows to fit and rows to judge of a table, and their classes."""
    X, y = TABLES[table](return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(y))
    fit, judge = np.array_split(order, 2)
    return X[fit].astype(float), y[fit], X[judge].astype(float), y[judge]


def measure(table, method, labels, seed):
    """Accuracy and log loss, in nats, of one classifier."""
    X, y, X_test, y_test = halves(table, seed)
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


def novelties(table, seed):
    """Mean AUROC of rows of a class left out, and share of the others that their class denies."""
    X, y, X_test, y_test = halves(table, seed)
    aurocs, denied = [], []
    for left_out in np.unique(y):
        kept = y != left_out
        rows = np.flatnonzero(kept)
        fit, calibrate = rows[::2], rows[1::2]
        with threadpool_limits(1), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = vae("latent", seed).fit(X[fit], y[fit]).calibrate(X[calibrate], y[calibrate])
        p = model.class_p_values(X_test)
        aurocs.append(roc_auc_score(y_test == left_out, -p.max(axis=1)))
        of_known = y_test != left_out
        own = np.searchsorted(model.classes_, y_test[of_known])
        denied.append((p[of_known][np.arange(len(own)), own] <= ERROR).mean())
    return {
        "novelty_auroc": round(float(np.mean(aurocs)), 4),
        "denied": round(float(np.mean(denied)), 4),
    }


def main():
    """Run what is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--jobs", type=int, default=1, help="processes, of one thread each")
    options = parser.parse_args()
    runs = [
        {"table": table, "method": method, "labels": labels, "seed": seed}
        for seed, table, labels, method in product(options.seeds, TABLES, [10, 0], METHODS)
    ]
    measure_missing(RESULTS / "classes.jsonl", runs, measure, options.jobs)
    runs = [
        {"table": table, "seed": seed} for seed, table in product(options.seeds, ["wine", "digits"])
    ]
    measure_missing(RESULTS / "novel_classes.jsonl", runs, novelties, options.jobs)


if __name__ == "__main__":
    main()
