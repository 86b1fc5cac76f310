"""Does more data help? AUROC and held-out nats of fits to a thousand to half a million rows.

A detector with the defaults is fitted to normal rows of the largest tables; 10,000 other normal
rows and the anomalies (at most 10,000) are scored. With --steps 8000 fits take four times the
steps of the default budget. Results go to results/data_size.jsonl.
"""

import argparse
import time
from functools import partial
from itertools import product

import numpy as np
from datasets import add_data_argument, load
from records import RESULTS, measure_missing
from sklearn.metrics import average_precision_score, roc_auc_score

from skvae import VAEAnomalyDetector

TABLES = ("16_http", "11_donors", "32_shuttle")
SIZES = (1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 500_000)
TEST_ROWS = 10_000  # of each kind


def fit_to(data, table, rows, steps, seed):
    """AUROC, average precision, nats and seconds of a fit to some normal rows."""
    X, y = load(data, table)
    order = np.random.default_rng(seed).permutation(len(X))
    normal, odd = order[y[order] == 0], order[y[order] == 1][:TEST_ROWS]
    test, train = normal[:TEST_ROWS], normal[TEST_ROWS : TEST_ROWS + rows]
    start = time.perf_counter()
    detector = VAEAnomalyDetector(max_steps=steps, random_state=seed, device="cpu").fit(X[train])
    seconds = time.perf_counter() - start
    scores = detector.negative_elbo(X[np.concatenate([test, odd])])
    truth = np.repeat([0, 1], [len(test), len(odd)])
    return {
        "fitted_rows": len(train),
        "auroc": round(roc_auc_score(truth, scores), 5),
        "average_precision": round(average_precision_score(truth, scores), 5),
        "nats": round(-float(scores[: len(test)].mean()), 4),
        "fit_seconds": round(seconds, 2),
    }


def main():
    """Run what is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_data_argument(parser)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--sizes", nargs="+", type=int, default=SIZES)
    parser.add_argument(
        "--steps", default="auto", type=lambda text: text if text == "auto" else int(text)
    )
    options = parser.parse_args()
    runs = [
        {"table": table, "rows": rows, "steps": options.steps, "seed": seed}
        for seed, rows, table in product(options.seeds, options.sizes, TABLES)
        if not (table == "32_shuttle" and rows > 30_000)  # which has 45,586 normal rows
    ]
    measure_missing(RESULTS / "data_size.jsonl", runs, partial(fit_to, options.data))


if __name__ == "__main__":
    main()
