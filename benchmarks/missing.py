"""Quality against the share of missing cells: skvae's own handling beside mean imputation.

Fits half of the normal rows of each table and scores all others (novelty, seed 0); tables
are drawn down to 2,000 rows. The same cells are taken out of both, at random, for all
methods. Appends one JSON line a fit to results/missing.jsonl, and does not run again what
is there.
"""

import argparse
import time
import warnings
from functools import partial
from itertools import product

import numpy as np
from datasets import add_data_argument, load, split, table_names
from records import RESULTS, measure_missing
from sklearn.ensemble import IsolationForest
from sklearn.impute import SimpleImputer
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.pipeline import make_pipeline
from threadpoolctl import threadpool_limits

from skvae import VAEAnomalyDetector

SHARES = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]
METHODS = {
    "skvae": lambda seed: VAEAnomalyDetector(random_state=seed),
    "means, then skvae": lambda seed: imputed(VAEAnomalyDetector(random_state=seed)),
    "means, then IForest": lambda seed: imputed(IsolationForest(random_state=seed)),
}


def imputed(detector):
    """Pipeline of mean imputation and a detector; a column without any cell is 0."""
    return make_pipeline(SimpleImputer(keep_empty_features=True), detector)


def measure(data, table, share, method, seed):
    """Fit and score once; quality and seconds."""
    train, test, y = split(*load(data, table), seed, "semi", cap=2000)
    rng = np.random.default_rng(seed)
    train, test = (np.where(rng.random(X.shape) < share, np.nan, X) for X in (train, test))
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        start = time.perf_counter()
        scores = -METHODS[method](seed).fit(train).score_samples(test)
        seconds = time.perf_counter() - start
    return {
        "auroc": round(float(roc_auc_score(y, scores)), 5),
        "average_precision": round(float(average_precision_score(y, scores)), 5),
        "seconds": round(seconds, 3),
    }


def main():
    """Run what is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_data_argument(parser)
    parser.add_argument("--shares", nargs="+", type=float, default=SHARES)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--jobs", type=int, default=1, help="processes, of one thread each")
    options = parser.parse_args()
    tables = table_names(options.data, "adbench")
    runs = [
        {"table": table, "share": share, "method": method, "seed": seed}
        for seed, table, share, method in product(
            options.seeds, tables, options.shares, options.methods
        )
    ]
    measure_missing(RESULTS / "missing.jsonl", runs, partial(measure, options.data), options.jobs)


if __name__ == "__main__":
    main()
