"""What integer columns are best taken for: numbers, numbers of which one repeats, or by a rule.

Columns of the tables that are all whole become integers, as a DataFrame has them. Scored are the
tables in which "auto" takes some of them for other numbers, as the share of the most frequent value
and the length of the tail decide, beside one noise model for all of these columns. One JSON line a
choice, table, setting and seed goes to results/integers.jsonl; what is there already is not run
again.
"""

import argparse
import warnings
from functools import partial
from itertools import product

import numpy as np
import pandas as pd
from datasets import SETTINGS, add_data_argument, load, split, table_names
from records import RESULTS, measure_missing
from sklearn.metrics import average_precision_score, roc_auc_score
from threadpoolctl import threadpool_limits

from skvae import VAEAnomalyDetector

CHOICES = ("auto", "spike_slab", "heteroscedastic_student_t")


def with_integers(X):
    """Give the table as a DataFrame, and the names of its columns that are whole."""
    frame = pd.DataFrame(X).rename(columns=str)
    numbers = frame.select_dtypes("number")
    whole = [name for name in numbers if is_whole(numbers[name].dropna())]
    return frame.astype(dict.fromkeys(whole, "Int64")), whole


def is_whole(cells):
    """Whether cells of a column are integers, and not flags."""
    return len(cells) > 0 and (cells % 1 == 0).all() and cells.nunique() > 2


def differs(data, table):
    """Whether "auto" takes an integer column of a table for other numbers."""
    frame, whole = with_integers(load(data, table)[0])
    detector = VAEAnomalyDetector(max_steps=1, members=[{}], robust_weight=0, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table = detector.fit(frame[:10_000]).table_
    return any(c.likelihood != "spike_slab" for c in table.columns_ if c.name in whole)


def measure(data, choice, table, setting, seed, cap):
    """AUROC and average precision, and nats of normal rows: their mean and median."""
    X, y = load(data, table)
    frame, whole = with_integers(X)
    X_train, X_test, y = split(frame, y, seed, setting, cap)
    detector = VAEAnomalyDetector(likelihoods=dict.fromkeys(whole, choice), random_state=seed)
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scores = detector.fit(X_train).score_samples(X_test)
    return {
        "auroc": round(float(roc_auc_score(y, -scores)), 5),
        "average_precision": round(float(average_precision_score(y, -scores)), 5),
        "nats": round(float(scores[y == 0].mean()), 4),
        "median_nats": round(float(np.median(scores[y == 0])), 4),
    }


def main():
    """Run what is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_data_argument(parser)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--cap", type=int, default=3600, help="rows of a table, at most")
    parser.add_argument("--jobs", type=int, default=1, help="processes, of one thread each")
    options = parser.parse_args()
    tables = [name for name in table_names(options.data) if differs(options.data, name)]
    runs = [
        {"choice": choice, "table": table, "setting": setting, "seed": seed, "cap": options.cap}
        for seed, table in product(options.seeds, tables)
        for setting, choice in product(SETTINGS, CHOICES)
    ]
    measure_missing(RESULTS / "integers.jsonl", runs, partial(measure, options.data), options.jobs)


if __name__ == "__main__":
    main()
