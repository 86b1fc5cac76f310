"""Seconds to fit each table, novelty setting, method beside method on the same threads.

Methods take turns table by table, so that whatever else the machine does meets all of them.
One JSON line a table and method goes to results/fit_time.jsonl; what is there already is not
run again. Delete the file to measure anew.
"""

import argparse
from functools import partial

from datasets import add_data_argument, load, split, table_names
from methods import METHODS
from records import RESULTS, measure_missing
from run import scored


def measure(data, table, method, seed, threads):
    """Seconds to fit a table's training rows and to score its test rows."""
    X_train, X_test, _ = split(*load(data, table), seed, "semi")
    _, fit_seconds, score_seconds = scored(METHODS[method](seed), X_train, X_test, threads)
    return {"fit_seconds": round(fit_seconds, 4), "score_seconds": round(score_seconds, 4)}


def main():
    """Run what is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_data_argument(parser)
    parser.add_argument(
        "--methods", nargs="+", choices=METHODS, default=["skvae", "PyOD VAE", "PyOD AutoEncoder"]
    )
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    runs = [
        {"table": table, "method": method, "seed": 0, "threads": options.threads}
        for table in table_names(options.data)
        for method in options.methods
    ]
    measure_missing(RESULTS / "fit_time.jsonl", runs, partial(measure, options.data))


if __name__ == "__main__":
    main()
