"""Where the time of a fit goes, and how it grows with rows, columns, candidates and draws.

Processor seconds on one thread, of the defaults but for one thing at a time. The parts of a fit
are clocked around what it calls. One JSON line a size goes to results/cost.jsonl; what is there
already is not measured again.
"""

import argparse
import time
import warnings
from collections import Counter
from contextlib import ExitStack
from unittest.mock import patch

from records import RESULTS, measure_missing
from scoring import table
from threadpoolctl import threadpool_limits

from skvae import VAEAnomalyDetector
from skvae._engine import Density, Recipe, Trainee
from skvae._engine.monitor import Monitor
from skvae._engine.training import Training
from skvae._estimators.base import BaseVAE

BASE = {"rows": 5_000, "columns": 20, "candidates": 3, "draws": 4}
SIZES = {
    "rows": [300, 1_000, 5_000, 20_000, 100_000],
    "columns": [2, 5, 20, 50, 200],
    "candidates": [1, 2, 3],
    "draws": [1, 4, 16, 64],
}
NAMES = ["plain", "dense", "cautious"]
# What a fit calls, by part.
PARTS = {
    "reading and encoding": [(BaseVAE, "_read_to_fit"), (BaseVAE, "_learn_to_encode")],
    "start": [(Recipe, "model")],
    "training": [(Training, "run")],
    "judging, within training": [(Monitor, "_judge")],
    "robust member, within training": [(Trainee, "train")],
    "scores of held-out and reference rows": [(Density, "terms")],
}


def measure(rows, columns, candidates, draws):
    """Processor seconds to fit, by part, and to score 5,000 rows."""
    X, X_test = table(rows, columns), table(5_000, columns, seed=2)
    detector = VAEAnomalyDetector(
        members=NAMES[:candidates], n_draws=draws, random_state=0, device="cpu"
    )
    clock = Counter()
    with threadpool_limits(1), warnings.catch_warnings(), ExitStack() as stack:
        warnings.simplefilter("ignore")
        for part, functions in PARTS.items():
            for owner, name in functions:
                stack.enter_context(patch.object(owner, name, timed(owner, name, part, clock)))
        start = time.process_time()
        detector.fit(X)
        fitted = time.process_time()
        detector.score_samples(X_test)
        scored = time.process_time()
    return {
        "fit_seconds": round(fitted - start, 3),
        "score_microseconds": round((scored - fitted) / len(X_test) * 1e6, 2),
        "parts": {part: round(clock[part], 3) for part in PARTS},
        "steps": sum(each.n_steps for each in detector.members_),
    }


def timed(owner, name, part, clock):
    """Wrap a function so that its processor seconds are added to clock[part]."""
    function = getattr(owner, name)

    def wrapped(*args, **kwargs):
        start = time.process_time()
        try:
            return function(*args, **kwargs)
        finally:
            clock[part] += time.process_time() - start

    return wrapped


def main():
    """Run what is missing."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    runs = [BASE | {name: size} for name, sizes in SIZES.items() for size in sizes]
    distinct = [run for i, run in enumerate(runs) if run not in runs[:i]]
    measure_missing(RESULTS / "cost.jsonl", distinct, measure)


if __name__ == "__main__":
    main()
