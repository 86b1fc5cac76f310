"""Quality on mixed tables: numbers, flags, categories and holes, in DataFrames.

skvae gets the tables as they are; rivals a ColumnTransformer that encodes categories
one-hot and fills and standardises numbers. One JSON line a table, method and seed in
results/mixed.jsonl; what is there already is not run again.
"""

import argparse
import time
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from records import RESULTS, measure_missing
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import IsolationForest
from sklearn.impute import SimpleImputer
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.neighbors import LocalOutlierFactor, NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from threadpoolctl import threadpool_limits

from skvae import VAEAnomalyDetector


def thyroid(data, seed):
    """Fit half of the healthy patients; score the other half and all with a condition.

    UCI Machine Learning Repository, Quinlan (1987), doi:10.24432/C5D010.
    """
    frame = pd.read_csv(data / "thyroid0387.csv.gz", true_values=["t"], false_values=["f"])
    odd = (frame["diagnosis"] != "-").to_numpy()
    X = frame.drop(columns=["diagnosis", "record_id"])
    X = X.loc[:, ~X.columns.str.endswith("_measured")]
    order = np.random.RandomState(seed).permutation(len(X))
    healthy = order[~odd[order]]
    train, rest = np.array_split(healthy, [len(healthy) // 2])
    test = np.concatenate([rest, order[odd[order]]])
    return X.iloc[train], X.iloc[test], odd[test]


def nsl_kdd(data, seed):
    """Fit the normal connections of the fifth of NSL-KDD that is for training; score its test.

    Tavallaee et al., "A Detailed Analysis of the KDD CUP 99 Data Set", 2009.
    """
    train, test = (pd.read_csv(data / f"nsl_kdd_{part}.csv.gz") for part in ("train20", "test"))
    train = train[train["attack"] == "normal"]
    odd = (test["attack"] != "normal").to_numpy()
    return train.drop(columns="attack"), test.drop(columns="attack"), odd


class NeighborDistance(NearestNeighbors):
    """Distance to the fifth neighbour, negative."""

    def score_samples(self, X):
        """Score rows; higher is more normal."""
        return -self.kneighbors(X)[0][:, -1]


def encoded(estimator):
    """Pipeline of what the rivals need and a rival."""
    one_hot = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    columns = make_column_transformer(
        (numbers, make_column_selector(dtype_include="number")),
        (one_hot, make_column_selector(dtype_exclude=["number", "bool"])),
        remainder="passthrough",
    )
    return make_pipeline(columns, estimator)


TABLES = {"thyroid": thyroid, "NSL-KDD": nsl_kdd}
METHODS = {
    "skvae": lambda seed: VAEAnomalyDetector(random_state=seed),
    "IForest": lambda seed: encoded(IsolationForest(random_state=seed)),
    "LOF": lambda seed: encoded(LocalOutlierFactor(novelty=True)),
    "KNN": lambda seed: encoded(NeighborDistance(n_neighbors=5)),
}


def measure(data, table, method, seed):
    """Fit and score once; quality and seconds."""
    train, test, odd = TABLES[table](data, seed)
    detector = METHODS[method](seed)
    with threadpool_limits(1):
        start = time.perf_counter()
        detector.fit(train)
        fitted = time.perf_counter()
        scores = -detector.score_samples(test)
        scored = time.perf_counter()
    return {
        "auroc": round(float(roc_auc_score(odd, scores)), 5),
        "average_precision": round(float(average_precision_score(odd, scores)), 5),
        "fit_seconds": round(fitted - start, 4),
        "score_seconds": round(scored - fitted, 4),
    }


def main():
    """Run what is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--data",
        type=Path,
        default=Path("../shared/data"),
        help="folder with thyroid0387.csv.gz (skvae/data holds it; UCI, doi:10.24432/C5D010), "
        "and with nsl_kdd_train20.csv.gz and nsl_kdd_test.csv.gz: KDDTrain+_20Percent and "
        "KDDTest+ of https://www.unb.ca/cic/datasets/nsl.html with a header line, 41 columns "
        "and `attack`",
    )
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=list(TABLES))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    options = parser.parse_args()
    runs = [
        {"table": table, "method": method, "seed": seed}
        for table, method, seed in product(options.tables, options.methods, options.seeds)
    ]
    measure_missing(RESULTS / "mixed.jsonl", runs, partial(measure, options.data))


if __name__ == "__main__":
    main()
