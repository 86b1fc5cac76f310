"""Quality of detectors on the tables: one JSON line a method, table, setting and seed.

Lines go to results/METHOD.jsonl as they come; what is there already is not run again, so
an interrupted run can be resumed. Delete a file to measure its method anew.
"""

import argparse
import json
import time
import warnings
from itertools import product
from pathlib import Path

from datasets import SETTINGS, add_data_argument, load, split, table_names
from joblib import Parallel, delayed
from methods import METHODS
from sklearn.metrics import average_precision_score, roc_auc_score
from threadpoolctl import threadpool_limits

RESULTS = Path(__file__).parent / "results" / "quality"


def measure(data, method, table, setting, seed):
    """Fit and score once; a record with quality and seconds, or with the error raised."""
    run = {"method": method, "table": table, "setting": setting, "seed": seed}
    try:
        return run | results(data, method, table, setting, seed)
    except Exception as error:  # a rival that cannot do a table must not stop the others
        return run | {"error": repr(error)}


def results(data, method, table, setting, seed):
    """Quality and seconds of one fit."""
    X_train, X_test, y_test = split(*load(data, table), seed, setting)
    detector = METHODS[method](seed)
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        start = time.perf_counter()
        detector.fit(X_train)
        fitted = time.perf_counter()
        scores = detector.anomaly_scores(X_test)
        scored = time.perf_counter()
    return {
        "auroc": round(float(roc_auc_score(y_test, scores)), 5),
        "average_precision": round(float(average_precision_score(y_test, scores)), 5),
        "fit_seconds": round(fitted - start, 4),
        "score_seconds": round(scored - fitted, 4),
    }


def done(path):
    """Return the runs that a results file holds."""
    if not path.exists():
        return set()
    records = map(json.loads, path.read_text().splitlines())
    return {(r["table"], r["setting"], r["seed"]) for r in records}


def main():
    """Run what is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_data_argument(parser)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--jobs", type=int, default=1, help="processes, of one thread each")
    options = parser.parse_args()
    RESULTS.mkdir(parents=True, exist_ok=True)
    runs = list(product(options.seeds, options.settings, table_names(options.data)))
    for method in options.methods:
        path = RESULTS / f"{method}.jsonl"
        missing = [(t, s, seed) for seed, s, t in runs if (t, s, seed) not in done(path)]
        parallel = Parallel(options.jobs, return_as="generator_unordered")
        records = parallel(delayed(measure)(options.data, method, *run) for run in missing)
        with path.open("a") as file:
            for record in records:
                file.write(json.dumps(record) + "\n")
                file.flush()
                print(json.dumps(record), flush=True)


if __name__ == "__main__":
    main()
