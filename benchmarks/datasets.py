"""Tables of the benchmarks and how they are split."""

from pathlib import Path

import numpy as np
import pandas as pd

SETTINGS = ("semi", "unsup")
LARGEST_SHARE = 0.1  # of anomalies in an outlier table made from classes


def add_data_argument(parser):
    """Let a script take the folder of the tables as ``--data``."""
    parser.add_argument(
        "--data",
        type=Path,
        default=Path("../shared/data"),
        help="folder with adbench/*.npz, from the folder adbench/datasets/Classical of "
        "https://github.com/Minqi824/ADBench (Han et al., 2022), and with uci/*.csv.gz, tables "
        "of https://archive.ics.uci.edu with the flag `anomaly` in the place of their class",
    )


def table_names(data, collection=None):
    """Names of the tables in the folder `data`: of all, or of "adbench" or "uci" alone."""
    numbered = [path.stem for path in (data / "adbench").glob("*.npz")]
    names = {
        "adbench": sorted(numbered, key=lambda name: int(name.split("_")[0])),
        "uci": sorted(path.name.removesuffix(".csv.gz") for path in (data / "uci").glob("*.gz")),
    }
    chosen = names["adbench"] + names["uci"] if collection is None else names[collection]
    if not chosen:
        raise FileNotFoundError(f"no table in {data}: see --help for where to get them")
    return chosen


def load(data, name):
    """X (n, d) and y (n,) of a table; 1 is an anomaly. X is an array, of "uci" a DataFrame."""
    path = data / "adbench" / f"{name}.npz"
    if path.exists():
        with np.load(path) as file:
            return file["X"].astype(np.float64), file["y"].astype(int)
    frame = pd.read_csv(data / "uci" / f"{name}.csv.gz")
    return frame.drop(columns="anomaly"), frame["anomaly"].to_numpy(int)


def is_numeric(X):
    """Whether a table is a density of numbers: no level, no flag, no hole."""
    frame = pd.DataFrame(X)
    kinds = frame.select_dtypes("number").shape == frame.shape
    return kinds and not frame.isna().to_numpy().any()


def split(X, y, seed, setting, cap=10_000):
    """Training rows, rows to score and their labels.

    "semi" trains on half of the normal rows and scores all others; "unsup" trains on all
    rows and scores the same. Tables longer than `cap` are drawn down to it with their
    share of anomalies, at least 20 if there are. In "unsup" the anomalies of a DataFrame,
    which are classes, are drawn down to a tenth of the rows.
    """
    random_state = np.random.RandomState(seed)
    rows = np.arange(len(y))
    if len(y) > cap:
        order = random_state.permutation(len(y))
        anomalies, normals = order[y[order] == 1], order[y[order] == 0]
        k = max(min(len(anomalies), 20), round(cap * len(anomalies) / len(y)))
        rows = np.concatenate([anomalies[:k], normals[: cap - k]])
    rows = rows[random_state.permutation(len(rows))]
    normals, anomalies = rows[y[rows] == 0], rows[y[rows] == 1]
    if setting == "unsup":
        if hasattr(X, "iloc"):
            most = int(LARGEST_SHARE / (1 - LARGEST_SHARE) * len(normals))
            rows = rows[np.isin(rows, anomalies[most:], invert=True)]
        return take(X, rows), take(X, rows), y[rows]
    half = len(normals) // 2
    test = np.concatenate([normals[half:], anomalies])
    return take(X, normals[:half]), take(X, test), y[test]


def take(X, rows):
    """Return some rows of an array or a DataFrame."""
    return X.iloc[rows].reset_index(drop=True) if hasattr(X, "iloc") else X[rows]
