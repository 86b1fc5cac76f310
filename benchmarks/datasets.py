"""Tables of the benchmarks and how they are split."""

from pathlib import Path

import numpy as np

SETTINGS = ("semi", "unsup")


def add_data_argument(parser):
    """Let a script take the folder of the tables as ``--data``."""
    parser.add_argument(
        "--data",
        type=Path,
        default=Path("../shared/data"),
        help="folder with adbench/*.npz, from the folder adbench/datasets/Classical of "
        "https://github.com/Minqi824/ADBench (Han et al., 2022)",
    )


def table_names(data):
    """Names of the ADBench tables in the folder `data`, shortest name first."""
    names = [path.stem for path in (data / "adbench").glob("*.npz")]
    if not names:
        raise FileNotFoundError(f"no table in {data / 'adbench'}: see --help for where to get them")
    return sorted(names, key=lambda name: int(name.split("_")[0]))


def load(data, name):
    """X (n, d) and y (n,) of a table; 1 is an anomaly."""
    with np.load(data / "adbench" / f"{name}.npz") as file:
        return file["X"].astype(np.float64), file["y"].astype(int)


def split(X, y, seed, setting, cap=10_000):
    """Training rows, rows to score and their labels.

    "semi" trains on half of the normal rows and scores all others; "unsup" trains on all
    rows and scores the same. Tables longer than `cap` are drawn down to it with their
    share of anomalies, at least 20 if there are.
    """
    random_state = np.random.RandomState(seed)
    if len(y) > cap:
        order = random_state.permutation(len(y))
        anomalies, normals = order[y[order] == 1], order[y[order] == 0]
        k = max(min(len(anomalies), 20), round(cap * len(anomalies) / len(y)))
        keep = np.concatenate([anomalies[:k], normals[: cap - k]])
        X, y = X[keep], y[keep]
    order = random_state.permutation(len(y))
    X, y = X[order], y[order]
    if setting == "unsup":
        return X, X, y
    normals, anomalies = np.where(y == 0)[0], np.where(y == 1)[0]
    half = len(normals) // 2
    test = np.concatenate([normals[half:], anomalies])
    return X[normals[:half]], X[test], y[test]
