"""A grid search with one and with two workers: two must not be slower on two cores.

Appends one JSON line a run to results/grid_search.jsonl.
"""

import json
import time
from pathlib import Path

from scoring import table
from sklearn.model_selection import GridSearchCV

from skvae import VAEAnomalyDetector

RESULTS = Path(__file__).parent / "results" / "grid_search.jsonl"


def main():
    """Measure and write."""
    X = table(5_000, 20)
    result = {}
    for n_jobs in (1, 2):
        search = GridSearchCV(
            VAEAnomalyDetector(max_steps=500, random_state=0, device="cpu"),
            {"latent_dim": [2, 5, 8]},
            cv=3,
            n_jobs=n_jobs,
            refit=False,
        )
        start = time.perf_counter()
        search.fit(X)
        result[f"n_jobs={n_jobs}"] = time.perf_counter() - start
    result["ratio"] = result["n_jobs=2"] / result["n_jobs=1"]
    print(result)
    RESULTS.parent.mkdir(exist_ok=True)
    with RESULTS.open("a") as file:
        file.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
