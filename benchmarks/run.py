"""Quality of detectors on the tables: one JSON line a method, table, setting and seed.

Lines go to results/quality/METHOD.jsonl as they come; what is there already is not run
again, so an interrupted run can be resumed. Delete a file to measure its method anew.
"""

import argparse
import time
import warnings
from functools import partial
from itertools import product

import numpy as np
from datasets import SETTINGS, add_data_argument, load, split, table_names
from methods import METHODS
from records import RESULTS, measure_missing
from sklearn.metrics import average_precision_score, roc_auc_score
from threadpoolctl import threadpool_limits


def measure(data, method, table, setting, seed):
    """Fit to a table's training rows and score its test rows."""
    return quality(METHODS[method](seed), *split(*load(data, table), seed, setting))


def quality(detector, X_train, X_test, y_test, threads=1):
    """Quality and seconds of one fit; what chance gives, and the error, where it fails."""
    try:
        scores, fit_seconds, score_seconds = scored(detector, X_train, X_test, threads)
        result = {"fit_seconds": round(fit_seconds, 4), "score_seconds": round(score_seconds, 4)}
    except Exception as error:  # a rival that cannot do a table must not stop the others
        scores, result = np.zeros(len(y_test)), {"error": repr(error)[:200]}
    return {
        "auroc": round(float(roc_auc_score(y_test, scores)), 5),
        "average_precision": round(float(average_precision_score(y_test, scores)), 5),
    } | result


def scored(detector, X_train, X_test, threads):
    """Finite scores of the test rows, and the seconds to fit and to score."""
    with threadpool_limits(threads), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        start = time.perf_counter()
        detector.fit(X_train)
        fitted = time.perf_counter()
        scores = np.asarray(detector.anomaly_scores(X_test), dtype=np.float64)
        end = time.perf_counter()
    if not np.isfinite(scores).all():
        raise ValueError("some scores are no finite numbers")
    return scores, fitted - start, end - fitted


def main():
    """Run what is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_data_argument(parser)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--jobs", type=int, default=1, help="processes, of one thread each")
    options = parser.parse_args()
    tables = table_names(options.data)
    for method in options.methods:
        runs = [
            {"method": method, "table": table, "setting": setting, "seed": seed}
            for seed, setting, table in product(options.seeds, options.settings, tables)
        ]
        path = RESULTS / "quality" / f"{method}.jsonl"
        measure_missing(path, runs, partial(measure, options.data), options.jobs)


if __name__ == "__main__":
    main()
