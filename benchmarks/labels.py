"""What a few labelled anomalies are worth: AUROC beside methods that learn from labels.

Fits half of the normal rows of each table and 0, 1, 5 or 10 labelled anomalies (at most
half of those there are); scores the other half and the anomalies that are never labelled,
the same ones for every number of labels. Tables are drawn down to 2,000 rows. Appends one
JSON line a fit to results/labels.jsonl, and does not run again what is there.

The others: pip install pyod==3.6.7 xgboost-cpu==3.2.0, and pip install --no-deps deepod==0.4.1.
"""

import argparse
import contextlib
import importlib
import io
import time
import warnings
from functools import partial
from itertools import product

import numpy as np
from datasets import add_data_argument, load, split, table_names
from records import RESULTS, measure_missing
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from skvae import VAEAnomalyDetector

N_LABELS = [0, 1, 5, 10]


def skvae(X, odd, X_test, seed):
    """Scores on raw columns; without labels the label-free fit."""
    detector = VAEAnomalyDetector(use_labels=bool(odd.any()), random_state=seed)
    return detector.fit(X, -odd.astype(int)).negative_elbo(X_test)


def rival(module, name, seed_as="random_state", **parameters):
    """Scores of a detector with 0/1 labels, on standardised columns."""

    def scores(X, odd, X_test, seed):
        model = getattr(importlib.import_module(module), name)(**{seed_as: seed}, **parameters)
        scaler = StandardScaler().fit(X)
        model.fit(scaler.transform(X), odd.astype(int))
        return model.decision_function(scaler.transform(X_test))

    return scores


METHODS = {
    "skvae": skvae,
    "PyOD XGBOD": rival("pyod.models.xgbod", "XGBOD"),
    "PyOD DevNet": rival("pyod.models.devnet", "DevNet", "random_seed", device="cpu"),
    "DeepOD DevNet": rival("deepod.models.tabular", "DevNet", device="cpu", verbose=0),
    "DeepOD DeepSAD": rival("deepod.models.tabular", "DeepSAD", device="cpu", verbose=0),
}


def measure(data, method, table, n_labels, seed):
    """Fit and score once; AUROC and seconds, or the error raised."""
    X, rest, y = split(*load(data, table), seed, "semi", cap=2000)
    anomalies = np.flatnonzero(y == 1)
    candidates = anomalies[: min(max(N_LABELS), len(anomalies) // 2)]
    X = np.vstack([X, rest[candidates[:n_labels]]])
    odd = np.arange(len(X)) >= len(X) - len(candidates[:n_labels])
    rest, y = (np.delete(part, candidates, axis=0) for part in (rest, y))
    with (
        threadpool_limits(1),
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),  # some print as they train
    ):
        warnings.simplefilter("ignore")
        start = time.perf_counter()
        try:
            scores = METHODS[method](X, odd, rest, seed)
            auroc = round(float(roc_auc_score(y, scores)), 5)
        except Exception as error:  # a rival that cannot do a table must not stop the others
            return {"error": repr(error)}
    return {"auroc": auroc, "seconds": round(time.perf_counter() - start, 2)}


def main():
    """Run what is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_data_argument(parser)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--jobs", type=int, default=1, help="processes, of one thread each")
    options = parser.parse_args()
    tables = table_names(options.data, "adbench")
    runs = [
        {"method": method, "table": table, "n_labels": n_labels, "seed": seed}
        for seed, method, table, n_labels in product(
            options.seeds, options.methods, tables, N_LABELS
        )
        if n_labels > 0 or method == "skvae"
    ]
    measure_missing(RESULTS / "labels.jsonl", runs, partial(measure, options.data), options.jobs)


if __name__ == "__main__":
    main()
