"""Time and memory of fitting and scoring from a thousand to a million synthetic rows.

Every measurement has a process of its own, so that the largest resident size is its own. One
JSON line a method and size goes to results/scale.jsonl; what is there already is not measured
again. A measurement whose process dies, for want of memory, is recorded as failed.

With --mixed a quarter of the columns of a DataFrame are strings of 20 levels, and skvae alone is
measured; results go to results/scale_mixed.jsonl.
"""

import argparse
import time
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from itertools import product
from multiprocessing import get_context

import numpy as np
import pandas as pd
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
N_LEVELS = 20  # of a column of strings


def in_a_process(make, method, rows, columns):
    """Measure in a fresh process."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        try:
            return pool.submit(fit_and_score, make, method, rows, columns).result()
        except (BrokenProcessPool, MemoryError) as error:
            return {"error": repr(error)[:200]}


def numbers(rows, columns):
    """Array of numbers."""
    X = np.empty((rows, columns))
    for start in range(0, rows, BLOCK_ROWS):  # filled in place: the peak is the table's size
        block = X[start : start + BLOCK_ROWS]
        block[:] = table(len(block), columns, seed=start)
    return X


def mixed(rows, columns):
    """DataFrame of numbers, and of strings that follow from some of them."""
    n_texts = columns // 4
    X = numbers(rows, columns - n_texts)
    frame = pd.DataFrame(X, columns=[f"number {j}" for j in range(X.shape[1])])
    levels = np.array([f"level {i}" for i in range(N_LEVELS)], dtype=object)
    rng = np.random.default_rng(0)
    for j in range(n_texts):
        cuts = np.quantile(X[:BLOCK_ROWS, j], np.arange(1, N_LEVELS) / N_LEVELS)
        codes = np.digitize(X[:, j] + rng.normal(size=rows), cuts)
        frame[f"text {j}"] = pd.Series(levels[codes], dtype="str")
    return frame


def fit_and_score(make, method, rows, columns):
    """Seconds to fit and to score all rows, and bytes needed beside the table."""
    X = make(rows, columns)
    detector = DETECTORS[method]()
    before, start = peak_bytes(), time.perf_counter()
    detector.fit(X)
    fitted = time.perf_counter()
    detector.score_samples(X)
    return {
        "fit_seconds": round(fitted - start, 3),
        "score_seconds": round(time.perf_counter() - fitted, 3),
        "extra_bytes": peak_bytes() - before,
        "table_bytes": int(pd.DataFrame(X).memory_usage(deep=True).sum()),
        "threads": torch.get_num_threads(),
    }


def main():
    """Run what is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", nargs="+", type=int, default=[10**3, 10**4, 10**5, 10**6])
    parser.add_argument("--columns", nargs="+", type=int, default=[5, 50, 500])
    parser.add_argument("--methods", nargs="+", choices=DETECTORS, default=list(DETECTORS))
    parser.add_argument("--mixed", action="store_true", help="a million rows of 40 mixed columns")
    options = parser.parse_args()
    if options.mixed:
        runs = [{"method": "skvae", "rows": 10**6, "columns": 40}]
        measure_missing(RESULTS / "scale_mixed.jsonl", runs, partial(in_a_process, mixed))
        return
    runs = [
        {"method": method, "rows": rows, "columns": columns}
        for rows, columns, method in product(options.rows, options.columns, options.methods)
    ]
    measure_missing(RESULTS / "scale.jsonl", runs, partial(in_a_process, numbers))


if __name__ == "__main__":
    main()
