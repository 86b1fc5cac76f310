"""What each member of the family gives and costs, beside the defaults.

All tables of both collections, or some of them, novelty split; each part in the place of the
default's, all else as it is. Measured are held-out nats of normal rows, their mean and median,
AUROC, average precision, and processor seconds. One JSON line a part, table and seed goes to
results/parts.jsonl; what is there already is not run again. "refined" and "free" take ten times
as long as others and more.
"""

import argparse
import time
import warnings
from functools import partial
from itertools import product

import pandas as pd
from datasets import add_data_argument, load, split, table_names
from records import RESULTS, measure_missing
from sklearn.metrics import average_precision_score, roc_auc_score
from threadpoolctl import threadpool_limits

from skvae import VAEAnomalyDetector

LINEAR = {"hidden_layer_sizes": (), "prior": "standard_normal", "members": ["plain"]}
PARTS = {
    "default": {},
    "linear, one member": LINEAR | {"robust_weight": 0, "likelihoods": "gaussian"},
    'posterior="full"': {"posterior": "full"},
    'posterior="flow"': {"posterior": "flow"},
    'posterior="refined"': {"posterior": "refined"},
    'posterior="free"': {"posterior": "free"},
    'prior="standard_normal"': {"prior": "standard_normal"},
    'prior="mixture"': {"prior": "mixture"},
    'prior="vamp"': {"prior": "vamp"},
    'prior="spike_slab"': {"prior": "spike_slab"},
    'prior="vae"': {"prior": "vae"},
    'prior="vae", after': {"prior": "vae", "prior_params": {"after": True}},
    'prior="gmvae"': {"prior": "gmvae"},
    'posterior="binary", prior="bernoulli"': {"posterior": "binary", "prior": "bernoulli"},
    "beta=4": {"beta": 4.0},
    'beta=0, divergence="mmd"': {"beta": 0.0, "divergence": "mmd", "divergence_weight": 10.0},
    'divergence="adversarial"': {"divergence": "adversarial"},
    'divergence="rows_adversarial"': {"divergence": "rows_adversarial"},
    'posterior="quantised"': {"posterior": "quantised"},
}


def measure(data, part, table, seed, cap):
    """Fit with one part in the place of the default's, and score what was held out."""
    X, X_test, y = split(*load(data, table), seed, "semi", cap)
    params = dict(PARTS[part])
    if "likelihoods" in params and isinstance(X, pd.DataFrame):  # levels keep their own
        numbers = X.select_dtypes("number").columns
        params["likelihoods"] = dict.fromkeys(numbers, params["likelihoods"])
    detector = VAEAnomalyDetector(random_state=seed, device="cpu", **params)
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        start = time.process_time()
        detector.fit(X)
        fitted = time.process_time()
        scores = detector.score_samples(X_test)
        scored = time.process_time()
    return {
        "nats": round(float(scores[y == 0].mean()), 4),
        "median_nats": round(float(sorted(scores[y == 0])[(y == 0).sum() // 2]), 4),
        "auroc": round(float(roc_auc_score(y, -scores)), 5),
        "average_precision": round(float(average_precision_score(y, -scores)), 5),
        "fit_seconds": round(fitted - start, 3),
        "score_seconds": round(scored - fitted, 4),
        "rows": len(X_test),
    }


def main():
    """Run what is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_data_argument(parser)
    parser.add_argument("--tables", nargs="+", default=None, help="by default all")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--cap", type=int, default=600, help="rows of a table, at most")
    parser.add_argument("--jobs", type=int, default=1, help="processes, of one thread each")
    options = parser.parse_args()
    tables = options.tables or sorted(table_names(options.data))
    runs = [
        {"part": part, "table": table, "seed": seed, "cap": options.cap}
        for seed, table, part in product(options.seeds, tables, options.parts)
    ]
    measure_missing(RESULTS / "parts.jsonl", runs, partial(measure, options.data), options.jobs)


if __name__ == "__main__":
    main()
