"""Which configuration to make the default, judged on tables that had no part in the choice.

Each configuration is fitted to all tables in both settings. Then the tables are halved at random
500 times: the configuration that is best on one half, by the mean of AUROC and average precision
over both settings, is measured on the other half against the present defaults. A default changes
only if that difference is above 0 by its standard error over tables.

A fit serves all shares of the robust member: scores are weighted means over the members. One
JSON line a fit goes to results/choose/NAME.jsonl; what is there already is not run again.
"""

import argparse
import warnings
from copy import copy
from dataclasses import replace
from functools import partial
from itertools import product

import numpy as np
import pandas as pd
from datasets import SETTINGS, add_data_argument, load, split, table_names
from records import RESULTS, measure_missing, read
from sklearn.metrics import average_precision_score, roc_auc_score
from threadpoolctl import threadpool_limits

from skvae import VAEAnomalyDetector

CONFIGURATIONS = {
    "default": {},
    "cautious": {"members": ["cautious"]},
    "plain": {"members": ["plain"]},
    "dense": {"members": ["dense"]},
    "random start": {"members": ["plain"], "init": "random"},
    "vamp": {"members": ["plain"], "prior": "vamp", "prior_params": {"n_components": 100}},
    "full posterior": {"members": ["plain"], "posterior": "full"},
    "16 latents": {"members": ["plain"], "latent_dim": 16},
}
SHARES = (0.0, 0.2, 0.35, 0.5)  # of the robust member
N_HALVINGS = 500


def measure(data, configuration, table, setting, seed, cap):
    """AUROC and average precision by share of the robust member, and nats of its absence."""
    X, X_test, y = split(*load(data, table), seed, setting, cap)
    if X.shape[1] < CONFIGURATIONS[configuration].get("latent_dim", 1):
        configuration = "plain"  # with as many latents as columns
    detector = VAEAnomalyDetector(random_state=seed, **CONFIGURATIONS[configuration])
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        detector.fit(X)
        parts = by_share(detector, X_test)
    measures = {"nats": round(float(parts[0.0][y == 0].mean()), 4)}
    for share, scores in parts.items():
        measures[f"auroc {share}"] = round(float(roc_auc_score(y, -scores)), 5)
        measures[f"ap {share}"] = round(float(average_precision_score(y, -scores)), 5)
    kept = next(each.name for each in detector.members_ if each.model is not None)
    judged = {each.name: round(each.nats, 3) for each in detector.members_}
    return measures | {"chosen": kept, "judged": judged}


def by_share(detector, X):
    """Scores of rows with the robust member at each share."""
    kept = [each for each in detector.members_ if each.model is not None]
    main, robust = (alone(detector, each).score_samples(X) for each in (kept[0], kept[-1]))
    return {share: (1 - share) * main + share * robust for share in SHARES}


def alone(detector, member):
    """Give the same detector, which scores by one member."""
    other = copy(detector)
    other.members_ = [replace(member, weight=1.0)]
    return other


def merit(frame, share):
    """One row a table: mean of AUROC and average precision over settings and seeds."""
    value = (frame[f"auroc {share}"] + frame[f"ap {share}"]) / 2
    return value.groupby([frame["table"], frame["configuration"]]).mean().unstack()


def halvings(merits, ours, seed=0):
    """Gain on the other half of what is chosen on one, by halving; and how often each was.

    Parameters
    ----------
    merits : DataFrame
        One row a table and one column a candidate.
    ours : label of a column
        The present default.

    Returns
    -------
    gain, error : float
        Mean over the halvings of the mean gain over tables, and of its standard error.
    counts : Series
        Halvings in which each candidate was chosen.
    """
    random_state = np.random.RandomState(seed)
    gains, errors, chosen = [], [], []
    for _ in range(N_HALVINGS):
        order = random_state.permutation(len(merits))
        one, other = np.array_split(order, 2)
        best = merits.iloc[one].mean().idxmax()
        gain = merits.iloc[other][best] - merits.iloc[other][ours]
        gains.append(gain.mean())
        errors.append(gain.std(ddof=1) / np.sqrt(len(gain)))
        chosen.append(best)
    return np.mean(gains), np.mean(errors), pd.Series(chosen).value_counts()


def records(names):
    """All measurements of some configurations on the tables that all of them have."""
    frame = pd.DataFrame([r for n in names for r in read(RESULTS / "choose" / f"{n}.jsonl")])
    keys = ["table", "setting", "seed"]
    complete = frame.groupby(keys)["configuration"].transform("nunique") == len(names)
    return frame[complete]


def summary(names):
    """Means by configuration and share of the robust member, and the merit of each by table."""
    frame = records(names)
    merits, rows = {}, []
    for share in SHARES:
        by_table = merit(frame, share)
        for name in names:
            merits[name, share] = by_table[name]
            part = frame[frame["configuration"] == name]
            means = part.groupby("setting")[[f"auroc {share}", f"ap {share}"]].mean()
            rows.append(
                {"configuration": name, "robust weight": share}
                | {
                    f"{s} {m}": means.loc[s, f"{m} {share}"]
                    for s in means.index
                    for m in ("auroc", "ap")
                }
            )
    nats = frame[frame["setting"] == "semi"].pivot_table("nats", "table", "configuration")
    return pd.DataFrame(rows), pd.DataFrame(merits), nats


def main():
    """Run what is missing, and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_data_argument(parser)
    parser.add_argument("--configurations", nargs="+", default=list(CONFIGURATIONS))
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--cap", type=int, default=3600, help="rows of a table, at most")
    parser.add_argument("--jobs", type=int, default=1, help="processes, of one thread each")
    parser.add_argument("--default", default="default", help="what the others are held against")
    parser.add_argument("--robust-weight", type=float, default=0.35, help="that of the default")
    options = parser.parse_args()
    for name in options.configurations:
        runs = [
            {"configuration": name, "table": table, "setting": s, "seed": seed, "cap": options.cap}
            for seed, s, table in product(
                options.seeds, options.settings, table_names(options.data)
            )
        ]
        path = RESULTS / "choose" / f"{name}.jsonl"
        measure_missing(path, runs, partial(measure, options.data), options.jobs)
    means, merits, nats = summary(options.configurations)
    print(means.round(4).to_string(index=False))
    gains = nats.sub(nats[options.default], axis=0).describe().loc[["25%", "50%", "75%"]]
    print(f"\nnats above {options.default}, quartiles over tables\n{gains.round(2).to_string()}")
    ours = (options.default, options.robust_weight)
    gain, error, counts = halvings(merits, ours)
    print(
        f"\nchosen on one half of {len(merits)} tables, measured on the other: "
        f"{gain:+.4f} +- {error:.4f} above {ours}\n{counts.to_string()}"
    )


if __name__ == "__main__":
    main()
