"""A grid search with one and with two workers: 6 candidates of 3 folds, breast cancer (569 x 30).

Appends one JSON line a run to results/grid_search.jsonl.
"""

import json
import time
import warnings
from pathlib import Path

from sklearn.datasets import load_breast_cancer
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV

from skvae import CalibrationWarning, VAEAnomalyDetector

RESULTS = Path(__file__).parent / "results" / "grid_search.jsonl"
GRID = {"latent_dim": [2, 4, 8], "learning_rate_init": [4e-3, 8e-3]}


def main():
    """Measure and write; the workers start anew, and so do their libraries."""
    for category in (CalibrationWarning, ConvergenceWarning):
        warnings.simplefilter("ignore", category)
    X, result = load_breast_cancer().data, {}
    for n_jobs in (2, 1):
        search = GridSearchCV(VAEAnomalyDetector(random_state=0), GRID, cv=3, n_jobs=n_jobs)
        start = time.perf_counter()
        search.fit(X)
        result[f"n_jobs={n_jobs}"] = round(time.perf_counter() - start, 2)
    result["ratio"] = round(result["n_jobs=2"] / result["n_jobs=1"], 3)
    print(result)
    RESULTS.parent.mkdir(exist_ok=True)
    with RESULTS.open("a") as file:
        file.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
