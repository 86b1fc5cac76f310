"""Time and memory of fitting and scoring from a thousand to a million synthetic rows.

Every measurement has a process of its own, so that the largest resident size is its own. One
JSON line a method and size goes to results/scale.jsonl; what is there already is not measured
again. A measurement whose process dies, for want of memory, is recorded as failed.
"""

import argparse
import time
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import product
from multiprocessing import get_context

import numpy as np
import torch
from records import RESULTS, measure_missing
from scoring import peak_bytes, table
from sklearn.ensemble import IsolationForest

from skvae import VAEAnomalyDetector

DETECTORS = {
    "skvae": lambda: VAEAnomalyDetector(random_state=0, device="cpu"),
    "IsolationForest": lambda: IsolationForest(random_state=0),
}
BLOCK_ROWS = 10_000


def measure(method, rows, columns):
    """Measure in a fresh process."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        try:
            return pool.submit(fit_and_score, method, rows, columns).result()
        except (BrokenProcessPool, MemoryError) as error:
            return {"error": repr(error)[:200]}


def fit_and_score(method, rows, columns):
    """Seconds to fit and to score all rows, and bytes needed beside the table."""
    X = np.empty((rows, columns))
    for start in range(0, rows, BLOCK_ROWS):  # filled in place: the peak is the table's size
        block = X[start : start + BLOCK_ROWS]
        block[:] = table(len(block), columns, seed=start)
    detector = DETECTORS[method]()
    before, start = peak_bytes(), time.perf_counter()
    detector.fit(X)
    fitted = time.perf_counter()
    detector.score_samples(X)
    return {
        "fit_seconds": round(fitted - start, 3),
        "score_seconds": round(time.perf_counter() - fitted, 3),
        "extra_bytes": peak_bytes() - before,
        "table_bytes": X.nbytes,
        "threads": torch.get_num_threads(),
    }


def main():
    """Run what is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", nargs="+", type=int, default=[10**3, 10**4, 10**5, 10**6])
    parser.add_argument("--columns", nargs="+", type=int, default=[5, 50, 500])
    parser.add_argument("--methods", nargs="+", choices=DETECTORS, default=list(DETECTORS))
    options = parser.parse_args()
    runs = [
        {"method": method, "rows": rows, "columns": columns}
        for rows, columns, method in product(options.rows, options.columns, options.methods)
    ]
    measure_missing(RESULTS / "scale.jsonl", runs, measure)


if __name__ == "__main__":
    main()
