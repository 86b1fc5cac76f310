"""Time and memory of scoring: one row, and a million rows, beside IsolationForest.

Appends one JSON line a run to results/scoring.jsonl. Times are wall-clock seconds; compare
their ratios, not their values, between machines.
"""

import argparse
import json
import resource
import statistics
import time
from pathlib import Path

import numpy as np
import torch
from sklearn.ensemble import IsolationForest

from skvae import VAEAnomalyDetector

RESULTS = Path(__file__).parent / "results" / "scoring.jsonl"


def table(n_rows, n_columns, seed=0):
    """Correlated synthetic rows: a curve in five dimensions, mixed linearly, with noise."""
    random_state = np.random.RandomState(seed)
    latent = random_state.normal(size=(n_rows, 5))
    mixed = np.tanh(latent) @ np.random.RandomState(1).normal(size=(5, n_columns))
    return mixed + 0.1 * random_state.normal(size=(n_rows, n_columns))


def seconds(function, repeats):
    """Median wall-clock time of some calls."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def peak_bytes():
    """Largest resident size of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main():
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--columns", type=int, default=20)
    options = parser.parse_args()
    train = table(10_000, options.columns)
    X = table(options.rows, options.columns, seed=2)
    result = {"rows": options.rows, "columns": options.columns, "threads": torch.get_num_threads()}
    methods = {
        "skvae": VAEAnomalyDetector(random_state=0, device="cpu"),
        "IsolationForest": IsolationForest(random_state=0),
    }
    for name, detector in methods.items():
        start = time.perf_counter()
        detector.fit(train)
        fit_seconds = time.perf_counter() - start
        detector.score_samples(X[:100])
        one_row = seconds(lambda d=detector: d.score_samples(X[:1]), 200)
        before = peak_bytes()
        all_rows = seconds(lambda d=detector: d.score_samples(X), 3)
        result[name] = {
            "fit_seconds": fit_seconds,
            "one_row_seconds": one_row,
            "all_rows_seconds": all_rows,
            "extra_bytes": peak_bytes() - before,
            "table_bytes": X.nbytes,
        }
        print(name, result[name], flush=True)
    RESULTS.parent.mkdir(exist_ok=True)
    with RESULTS.open("a") as file:
        file.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
