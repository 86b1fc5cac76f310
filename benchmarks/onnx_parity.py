"""How near ONNX graphs come to the estimators that they were written from, and how fast they are.

One short fit a table (3 steps, for weights of any quality have to export) to at most 500 rows;
the ADBench tables, and the thyroid table of numbers, flags, categories and holes.
One JSON line a table in results/onnx.jsonl; what is there already is not run again.
"""

import argparse
import tempfile
import time
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from datasets import add_data_argument, load, table_names
from records import RESULTS, measure_missing

from skvae import VAEAnomalyDetector, export_onnx
from skvae.datasets import load_thyroid

MIXED = "thyroid0387"
STEPS = 3


def rows_of(data, table, n=500):
    """Draw some rows of a table."""
    if table == MIXED:
        return load_thyroid(return_X_y=True, as_frame=True)[0].sample(n, random_state=0)
    X, _ = load(data, table)
    return X[np.random.default_rng(0).permutation(len(X))[:n]]


def feed(session, X):
    """Cells as a graph takes them: a matrix, or a column each."""
    inputs = session.get_inputs()
    if inputs[0].name == "X":
        return {"X": np.asarray(X, dtype=np.float64)}
    kinds = {part.name: object if "string" in part.type else np.float64 for part in inputs}
    return {name: X[[name]].to_numpy(dtype=kind) for name, kind in kinds.items()}


def seconds(function, repeats=3):
    """Shortest wall-clock time of some calls."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


def measure(data, table):
    """Fit, export and score once."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    X = rows_of(data, table)
    detector = VAEAnomalyDetector(max_steps=STEPS, cv=None, random_state=0, device="cpu").fit(X)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/detector.onnx"
        start = time.perf_counter()
        export_onnx(detector, path)
        export_seconds = time.perf_counter() - start
        session = onnxruntime.InferenceSession(path, options)
        size = Path(path).stat().st_size
    cells = feed(session, X)
    expected = detector.score_samples(X)
    found, labels = session.run(["score_samples", "predict"], cells)
    difference = np.abs(found - expected) / np.maximum(np.abs(expected), 1e-12)
    own = seconds(lambda: detector.score_samples(X))
    theirs = seconds(lambda: session.run(["score_samples"], cells))
    return {
        "rows": len(X),
        "columns": X.shape[1],
        "max_relative_difference": float(difference.max()),
        "other_labels": int((labels != detector.predict(X)).sum()),
        "score_seconds": round(own, 4),
        "onnx_seconds": round(theirs, 4),
        "export_seconds": round(export_seconds, 2),
        "bytes": size,
    }


def main():
    """Measure what is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_data_argument(parser)
    options = parser.parse_args()
    runs = [{"table": table} for table in [*table_names(options.data, "adbench"), MIXED]]
    measure_missing(RESULTS / "onnx.jsonl", runs, partial(measure, options.data))


if __name__ == "__main__":
    main()
