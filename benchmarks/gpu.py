"""Seconds to fit and score a large table on a GPU and on the CPU, and the quality of both.

Normal rows lie near a bent surface, one row in a hundred is drawn from the columns' own
distributions. One JSON line a device goes to results/gpu.jsonl; what is there already is not
measured again. The first fit of a process starts the GPU's libraries: a small one comes before.
With "auto" members, chance may choose another candidate on another device: "plain" compares like
with like.
"""

import argparse
import os
import time
from itertools import product

import numpy as np
import torch
from records import RESULTS, measure_missing
from sklearn.metrics import roc_auc_score

from skvae import VAEAnomalyDetector

N_FACTORS = 6
SHARE_ODD = 0.01


def table(rows, columns, seed):
    """Rows near a bent surface, some of them with cells of others; which are the odd ones."""
    rng = np.random.default_rng(seed)
    weights = np.random.default_rng(0).normal(size=(N_FACTORS, columns))
    X = np.sin(rng.normal(size=(rows, N_FACTORS)) @ weights)
    X += 0.3 * rng.normal(size=X.shape)
    is_odd = rng.random(rows) < SHARE_ODD
    for column in X.T:
        column[is_odd] = rng.permutation(column[is_odd])
    return X, is_odd


def measure(device, members, rows, columns, passes, batch_size):
    """Seconds to fit and to score, and AUROC of the scores."""
    X, is_odd = table(rows, columns, seed=1)
    settings = {"random_state": 0, "device": device}
    VAEAnomalyDetector(**settings, max_steps=4).fit(X[:2000]).predict(X[:9])
    settings |= {"batch_size": batch_size, "max_steps": passes * rows // batch_size}
    settings["members"] = "auto" if members == "auto" else [members]
    start = time.perf_counter()
    detector = VAEAnomalyDetector(**settings).fit(X)
    fitted = time.perf_counter()
    scores = detector.negative_elbo(X)
    end = time.perf_counter()
    kept = [f"{each.name} {each.n_steps}" for each in detector.members_]
    return {
        "fit_seconds": round(fitted - start, 3),
        "score_seconds": round(end - fitted, 3),
        "auroc": round(float(roc_auc_score(is_odd, scores)), 5),
        "nats": round(float(-scores[~is_odd].mean()), 4),
        "steps": kept,
        "name": torch.cuda.get_device_name() if device == "cuda" else f"{os.cpu_count()} cores",
        "torch": torch.__version__,
    }


def main():
    """Run what is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--devices", nargs="+", default=["cuda", "cpu"])
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000])
    parser.add_argument("--members", nargs="+", default=["auto", "plain"])
    parser.add_argument("--columns", type=int, default=32)
    parser.add_argument("--passes", type=int, default=20)
    parser.add_argument("--batch-size", type=int, default=8192)
    options = parser.parse_args()
    runs = [
        {
            "device": device,
            "members": members,
            "rows": rows,
            "columns": options.columns,
            "passes": options.passes,
            "batch_size": options.batch_size,
        }
        for rows, members, device in product(options.rows, options.members, options.devices)
    ]
    measure_missing(RESULTS / "gpu.jsonl", runs, measure)


if __name__ == "__main__":
    main()
