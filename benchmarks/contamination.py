"""Quality against the share of anomalies among the training rows.

Half of a table's normal rows and half of its anomalies may be drawn for training; the others
are the test set, the same at every share. So that only the share changes, the training rows
are equally many at every share: as many as there are anomalies enough for the largest one,
at most 5,000. A table that gives fewer than 100 is left out; test sets are drawn down to
10,000 rows. No row is repeated.

One JSON line a method, table, share and seed goes to results/contamination/METHOD.jsonl; what
is there already is not run again. Delete a file to measure its method anew.
"""

import argparse
from functools import partial
from itertools import product

import numpy as np
from datasets import add_data_argument, load, table_names
from methods import METHODS
from records import RESULTS, measure_missing
from run import quality

SHARES = (0.0, 0.01, 0.05, 0.1, 0.2, 0.3)
FEWEST_ROWS, MOST_ROWS = 100, 5_000
TEST_ROWS = 10_000


def n_train(y):
    """Training rows that a table gives at every share."""
    n_normal, n_anomalous = np.bincount(y, minlength=2) // 2
    return min(n_normal, int(n_anomalous / max(SHARES)), MOST_ROWS)


def split(X, y, seed, share):
    """Training rows of which `share` are anomalies, rows to score and their labels."""
    order = np.random.RandomState(seed).permutation(len(y))
    normals, anomalies = order[y[order] == 0], order[y[order] == 1]
    n_anomalies = round(share * n_train(y))
    train = np.concatenate([normals[: n_train(y) - n_anomalies], anomalies[:n_anomalies]])
    test = np.concatenate([normals[len(normals) // 2 :], anomalies[len(anomalies) // 2 :]])
    test = np.random.RandomState(seed).permutation(test)[:TEST_ROWS]
    return X[train], X[test], y[test]


def measure(data, method, table, share, seed):
    """Fit to contaminated rows and score the test rows."""
    return quality(METHODS[method](seed), *split(*load(data, table), seed, share))


def main():
    """Run what is missing."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_data_argument(parser)
    parser.add_argument(
        "--methods", nargs="+", choices=METHODS, default=["skvae", "IForest", "KNN"]
    )
    parser.add_argument("--shares", nargs="+", type=float, default=list(SHARES))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--jobs", type=int, default=1, help="processes, of one thread each")
    options = parser.parse_args()
    tables = [
        table
        for table in table_names(options.data, "adbench")
        if n_train(load(options.data, table)[1]) >= FEWEST_ROWS
    ]
    for method in options.methods:
        runs = [
            {"method": method, "table": table, "share": share, "seed": seed}
            for seed, share, table in product(options.seeds, options.shares, tables)
        ]
        path = RESULTS / "contamination" / f"{method}.jsonl"
        measure_missing(path, runs, partial(measure, options.data), options.jobs)


if __name__ == "__main__":
    main()
