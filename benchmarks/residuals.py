"""Noise that the columns of a row share, beside noise of each column's own.

Every fifth of the tables of numbers alone, in the order of `table_names`, whatever comes of it: the
novelty split of `datasets.split`, all columns of one noise model, "gaussian" or "low_rank", and
all else by default; "auto", the default noise model, beside them. Held-out nats are of the normal
test rows, in nats a row and the columns' own units: of the member that was chosen, and of the
score, in which the robust member has its share (of "low_rank" it is "gaussian"). One JSON line a
table, noise model and seed goes to results/residuals.jsonl; what is there already is not run again.
"""

import argparse
import warnings
from dataclasses import replace
from functools import partial
from itertools import product
from time import process_time

import numpy as np
from datasets import add_data_argument, is_numeric, load, split, table_names
from records import RESULTS, measure_missing
from sklearn.metrics import average_precision_score, roc_auc_score
from threadpoolctl import threadpool_limits

from skvae import VAEAnomalyDetector

MODELS = ["gaussian", "low_rank", "auto"]


def every_fifth(data):
    """Names of every fifth of the tables of numbers alone."""
    return [name for name in table_names(data) if is_numeric(load(data, name)[0])][::5]


def measure(data, table, model, seed, cap):
    """Held-out nats, AUROC and average precision of one noise model, and seconds of processor."""
    X, y = load(data, table)
    X, X_test, y_test = (np.asarray(part, float) for part in split(X, y, seed, "semi", cap))
    detector = VAEAnomalyDetector(likelihoods=model, device="cpu", random_state=seed)
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        start = process_time()
        detector.fit(X)
        fitted = process_time()
        scores = detector.score_samples(X_test)
        scored = process_time()
        normal = X_test[y_test == 0]
        (main,) = [each for each in detector.members_[:-1] if each.model is not None]
        detector.members_ = [replace(main, weight=1.0)]
        nats = detector.score(normal)
    return {
        "nats": round(nats, 4),
        "nats with robust member": round(float(scores[y_test == 0].mean()), 4),
        "auroc": round(float(roc_auc_score(y_test, -scores)), 5),
        "average_precision": round(float(average_precision_score(y_test, -scores)), 5),
        "fit seconds": round(fitted - start, 2),
        "score seconds": round(scored - fitted, 3),
        "columns": X.shape[1],
        "chosen": main.name,
    }


def main():
    """Run what is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_data_argument(parser)
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--tables", nargs="+", help="by default every fifth of the numeric ones")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--cap", type=int, default=2_000, help="rows of a table, at most")
    parser.add_argument("--jobs", type=int, default=1, help="processes, of one thread each")
    options = parser.parse_args()
    tables = options.tables or every_fifth(options.data)
    runs = [
        {"table": table, "model": model, "seed": seed, "cap": options.cap}
        for seed, table, model in product(options.seeds, tables, options.models)
    ]
    path = RESULTS / "residuals.jsonl"
    measure_missing(path, runs, partial(measure, options.data), options.jobs)


if __name__ == "__main__":
    main()
