"""Rows that are odd in their context alone: columns given as context, as ordinary ones, left out.

"groups": daily counts of 90 groups of different sizes; 3 % of the days to judge fell to a fifth or
rose to three times what they would have been. "weather": a load that follows hour and temperature;
3 % of the rows have the load of another row. "thyroid" and "nsl_kdd": the real tables, age and
sex, or protocol, service and flag of a connection, as context. One JSON line a trial, method and
seed goes to results/context.jsonl; what is there already is not run again.
"""

import argparse
import warnings
from functools import partial
from itertools import product

import numpy as np
import pandas as pd
from datasets import add_data_argument
from mixed import nsl_kdd, thyroid
from records import RESULTS, measure_missing
from sklearn.ensemble import IsolationForest
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder
from threadpoolctl import threadpool_limits

from skvae import VAEAnomalyDetector

SHARE_ODD = 0.03


def groups(data, seed):
    """Days of 90 groups: 400 of each to fit, 100 to judge."""
    rng = np.random.default_rng(seed)
    sizes, costs = rng.lognormal(6, 1.0, size=90), rng.lognormal(3, 0.5, size=90)

    def days(n, share):
        group = np.repeat(np.arange(90), n)
        odd = rng.random(len(group)) < share
        factor = np.where(odd, rng.choice([0.2, 3.0], size=len(group)), 1.0)
        orders = factor * sizes[group] * rng.lognormal(0, 0.15, size=len(group))
        revenue = orders * costs[group] * rng.lognormal(0, 0.1, size=len(group))
        names = [f"group {i}" for i in group]
        rows = {"group": names, "orders": orders.astype(int), "revenue": revenue.astype(int)}
        return pd.DataFrame(rows), odd

    (train, _), (test, odd) = days(400, 0.0), days(100, SHARE_ODD)
    return train, test, odd, ["group"]


def weather(data, seed):
    """Draw the loads of 5,000 hours to fit, and of 5,000 to judge."""
    rng = np.random.default_rng(seed)

    def hours(n):
        hour, temperature = rng.integers(24, size=n).astype(float), rng.normal(12, 9, size=n)
        by_day = 10 * np.sin((hour - 8) / 24 * 2 * np.pi)
        load = 50 + by_day + 0.06 * (temperature - 15) ** 2 + rng.normal(0, 2, size=n)
        return pd.DataFrame({"hour": hour, "temperature": temperature, "load": load})

    train, test = hours(5_000), hours(5_000)
    odd = rng.random(5_000) < SHARE_ODD
    test.loc[odd, "load"] = rng.permutation(test["load"])[odd]
    return train, test, odd, ["hour", "temperature"]


def patients(data, seed):
    """Fit healthy patients; judge others and those with a condition."""
    return *thyroid(data, seed), ["age", "sex"]


def connections(data, seed):
    """Fit normal connections; judge those of the test table."""
    return *nsl_kdd(data, seed), ["protocol_type", "service", "flag"]


def as_numbers():
    """Levels as numbers, and holes as -1, for IsolationForest."""
    levels = OrdinalEncoder(
        handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-1
    )
    levels.set_output(transform="pandas")
    return levels


TRIALS = {"groups": groups, "weather": weather, "thyroid": patients, "nsl_kdd": connections}
METHODS = ["context", "ordinary", "left out", "IsolationForest"]


def measure(data, trial, method, seed):
    """AUROC and average precision of one method's scores, and its held-out nats."""
    train, test, odd, context = TRIALS[trial](data, seed)
    if method == "left out":
        train, test = (rows.drop(columns=context) for rows in (train, test))
    if method == "IsolationForest":
        detector = make_pipeline(as_numbers(), IsolationForest(random_state=seed))
    else:
        given = context if method == "context" else None
        detector = VAEAnomalyDetector(context=given, device="cpu", random_state=seed)
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scores = detector.fit(train).score_samples(test)
    return {
        "auroc": round(float(roc_auc_score(odd, -scores)), 5),
        "average_precision": round(float(average_precision_score(odd, -scores)), 5),
        "nats": None if method == "IsolationForest" else round(float(scores[~odd].mean()), 4),
    }


def main():
    """Run what is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_data_argument(parser)
    parser.add_argument("--trials", nargs="+", choices=TRIALS, default=list(TRIALS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--jobs", type=int, default=1, help="processes, of one thread each")
    options = parser.parse_args()
    runs = [
        {"trial": trial, "method": method, "seed": seed}
        for seed, trial, method in product(options.seeds, options.trials, METHODS)
    ]
    measure_missing(RESULTS / "context.jsonl", runs, partial(measure, options.data), options.jobs)


if __name__ == "__main__":
    main()
