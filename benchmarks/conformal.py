"""Whether p-values, false alarms and selections keep their promises on real tables.

Two simulations, each of which writes one JSON line a table and setting to
results/conformal.jsonl; what is there already is not run again:

- "splits": one fit with the defaults to at most 10,000 normal rows. All other normal rows
  are split 500 times into 2,000 calibration rows, of which a share is replaced by
  anomalies, and 1,000 rows to judge along with 50 anomalies.
- "fits": many fits to few rows, calibrated by what `fit` itself leaves for it: rows that
  judged the weights, or folds. Judged are 5,000 rows that it never saw.

Ties are broken at random, but for what `predict` flags.
"""

import argparse
import warnings
from functools import partial
from itertools import product

import numpy as np
from datasets import add_data_argument, load
from records import RESULTS, measure_missing
from scipy.stats import kstest
from threadpoolctl import threadpool_limits

from skvae import VAEAnomalyDetector
from skvae._estimators.conformal import discoveries, p_values, threshold

TABLES = ["23_mammography", "32_shuttle", "16_http"]
RATES = [0.001, 0.01, 0.05, 0.1]
FDRS = [0.05, 0.1, 0.2]
CONTAMINATIONS = [0.0, 0.01, 0.05, 0.1]
SMALL = {1000: None, 100: 5}  # rows and folds of "fits"
N_SPLITS, N_CALIBRATION, N_NORMAL, N_ODD = 500, 2000, 1000, 50


def splits(data, table, contamination):
    """Record of many splits of the rows that one fit left unused."""
    X, y = load(data, table)
    rng = np.random.default_rng(0)
    normal, odd = X[y == 0], X[y == 1]
    order = rng.permutation(len(normal))
    n_fitted = min(10_000, len(normal) // 2)
    detector = VAEAnomalyDetector(random_state=0).fit(normal[order[:n_fitted]])
    unused, odd = (detector.score_samples(rows) for rows in (normal[order[n_fitted:]], odd))
    trials = [trial(unused, odd, contamination, rng) for _ in range(N_SPLITS)]
    mean, error = mean_and_error([measures for _, measures in trials])
    return {
        "n_unused": len(unused),
        "ks_p_value": kstest([p for p, _ in trials], "uniform").pvalue,
        "expected": {f"alarms {a}": expected(a, N_CALIBRATION) for a in RATES},
        "mean": mean,
        "error": error,
    }


def trial(unused, odd, contamination, rng):
    """p-value of one fresh normal row, and by name what is measured on all of them."""
    n_odd = round(contamination * N_CALIBRATION)
    rows = rng.choice(unused, N_CALIBRATION - n_odd + N_NORMAL, replace=False)
    odd = rng.choice(odd, n_odd + N_ODD, replace=False)
    calibration = np.sort(np.r_[rows[N_NORMAL:], odd[N_ODD:]])
    normal, odd = rows[:N_NORMAL], odd[:N_ODD]
    p = randomised(normal, calibration, rng)
    measures = {f"alarms {a}": np.mean(p <= a) for a in RATES}
    for a in RATES:
        measures[f"predicted {a}"] = np.mean(normal < threshold(calibration, a))
    for fdr in FDRS:
        selected = discoveries(p_values(np.r_[normal, odd], calibration), fdr)
        false = selected[:N_NORMAL].sum()
        measures[f"fdr {fdr}"] = false / max(1, selected.sum())
        measures[f"power {fdr}"] = selected[N_NORMAL:].mean()
    return p[0], measures


def randomised(scores, calibration, rng):
    """p-values whose ties are broken at random: uniform on (1, ..., m + 1) / (m + 1)."""
    below, not_above = (np.searchsorted(calibration, scores, side) for side in ("left", "right"))
    return (1 + rng.integers(below, not_above, endpoint=True)) / (1 + len(calibration))


def expected(rate, m):
    """Probability of a false alarm: the largest p-value that m rows allow up to `rate`."""
    return float(np.floor(np.round(rate * (m + 1), 9)) / (m + 1))


def fits(data, table, n_rows, n_fits):
    """Record of many fits to few rows."""
    X, y = load(data, table)
    normal = X[y == 0]
    measures = []
    for seed in range(n_fits):
        rng = np.random.default_rng(seed)
        rows = rng.permutation(len(normal))[: n_rows + 5000]
        detector = VAEAnomalyDetector(cv=SMALL[n_rows], random_state=seed).fit(
            normal[rows[:n_rows]]
        )
        m = len(detector.calibration_scores_)
        fresh = detector.score_samples(normal[rows[n_rows:]])
        p = randomised(fresh, detector.calibration_scores_, rng)
        by_rate = {f"alarms {a}": np.mean(p <= a) for a in RATES if expected(a, m)}
        measures.append(by_rate | {"mean p": p.mean()})
    mean, error = mean_and_error(measures)
    return {
        "cv": SMALL[n_rows],
        "n_calibration": m,
        "expected": {f"alarms {a}": expected(a, m) for a in RATES if expected(a, m)}
        | {"mean p": (m + 2) / (m + 1) / 2},
        "mean": mean,
        "error": error,
    }


def mean_and_error(measures):
    """Mean by name over the trials, and its standard error."""
    values = {name: [trial[name] for trial in measures] for name in measures[0]}
    mean = {name: round(float(np.mean(v)), 6) for name, v in values.items()}
    error = {
        name: round(float(np.std(v, ddof=1) / np.sqrt(len(v))), 6) for name, v in values.items()
    }
    return mean, error


def measure(data, kind, **setting):
    """Run one of the simulations on one thread."""
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {"splits": splits, "fits": fits}[kind](data, **setting)


def main():
    """Run what is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_data_argument(parser)
    parser.add_argument("--fits", type=int, default=40, help="of each table and size")
    parser.add_argument("--jobs", type=int, default=1, help="processes, of one thread each")
    options = parser.parse_args()
    runs = [
        {"kind": "splits", "table": table, "contamination": contamination}
        for table, contamination in product(TABLES, CONTAMINATIONS)
    ] + [
        {"kind": "fits", "table": table, "n_rows": n_rows, "n_fits": options.fits}
        for n_rows, table in product(SMALL, TABLES)
    ]
    measure_missing(RESULTS / "conformal.jsonl", runs, partial(measure, options.data), options.jobs)


if __name__ == "__main__":
    main()
