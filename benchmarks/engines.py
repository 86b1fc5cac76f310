"""Scores of 2,000,000 x 20 rows in 20 files of Parquet: one process, processes, joblib, Ray, Dask.

Each method runs in a process of its own, from the start of Python to the last file written, on
two processors and beside the same baseline, one process. Rows a second by the clock, CPU seconds
and the largest memory (proportional set size) are of the process and all that it started. One
JSON line a run goes to results/engines.jsonl; compare ratios within a round, not values between
machines. Ray and Dask: ``pip install 'skvae[ray]' 'dask[dataframe,distributed]' psutil``.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
from records import RESULTS
from scoring import table

HERE = Path(__file__)
N_PARTS, N_COLUMNS, N_JOBS = 20, 20, 2
NAMES = [f"x{place}" for place in range(N_COLUMNS)]


def one_process(model, new, folder):
    """Score on one thread: the baseline."""
    import skvae

    skvae.score_files(model, new, folder, keep=["id"])


def score_files(model, new, folder):
    """Score by score_files with processes."""
    import skvae

    skvae.score_files(model, new, folder, keep=["id"], n_jobs=N_JOBS)


def joblib(model, new, folder):
    """Score by a loop of one's own."""
    from joblib import Parallel, delayed

    import skvae

    scorer = skvae.BlockScorer(model, keep=["id"])
    Parallel(N_JOBS)(delayed(_write)(scorer, path, folder) for path in sorted(new.iterdir()))


def _write(scorer, path, folder):
    scorer(pd.read_parquet(path)).to_parquet(folder / path.name, index=False)


def ray_files(model, new, folder):
    """Score by score_files with Ray."""
    import ray

    import skvae

    ray.init("local", num_cpus=N_JOBS, log_to_driver=False)
    skvae.score_files(model, new, folder, keep=["id"], engine="ray")


def ray_data(model, new, folder):
    """Score by Ray Data."""
    import ray

    import skvae

    ray.init("local", num_cpus=N_JOBS, log_to_driver=False)
    scorer = skvae.BlockScorer(model, keep=["id"])
    rows = ray.data.read_parquet(str(new))
    rows.map_batches(scorer, batch_format="pyarrow", batch_size=50_000).write_parquet(str(folder))


def dask_threads(model, new, folder):
    """Score by Dask in one process."""
    _dask(model, new, folder, scheduler="threads", num_workers=N_JOBS)


def dask_distributed(model, new, folder):
    """Score by Dask in a cluster of this machine."""
    from distributed import Client

    with Client(n_workers=N_JOBS, threads_per_worker=1, dashboard_address=None):
        _dask(model, new, folder)


def _dask(model, new, folder, **options):
    import dask
    import dask.dataframe as dd

    import skvae

    scorer = skvae.BlockScorer(model, keep=["id"])
    rows = dd.read_parquet(new)
    scores = rows.map_partitions(scorer, meta=scorer(rows.head(0)))
    with dask.config.set(**options):
        scores.to_parquet(folder, write_index=False)


METHODS = {
    function.__name__: function
    for function in (
        one_process,
        score_files,
        joblib,
        ray_files,
        ray_data,
        dask_threads,
        dask_distributed,
    )
}


def make(folder, n_rows):
    """Write the model and the parts."""
    import skvae

    train = pd.DataFrame(table(10_000, N_COLUMNS), columns=NAMES)
    skvae.save(skvae.VAEAnomalyDetector(random_state=0).fit(train), folder / "model.skvae")
    X = pd.DataFrame(table(n_rows, N_COLUMNS, seed=2), columns=NAMES)
    (folder / "new").mkdir()
    X.insert(0, "id", np.arange(n_rows))
    size = -(-n_rows // N_PARTS)
    for part in range(N_PARTS):
        rows = X[part * size : (part + 1) * size]
        rows.to_parquet(folder / f"new/{part:02d}.parquet", index=False)


class Watched:
    """A command whose processes are looked at while it runs."""

    def __init__(self, command):
        self._command, self._cpu, self.peak = command, {}, 0

    def run(self):
        """Run it; seconds by the clock."""
        import psutil

        start = time.perf_counter()
        environment = os.environ | {"OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0"}
        process = subprocess.Popen(self._command, env=environment, stderr=subprocess.DEVNULL)
        tree = psutil.Process(process.pid)
        while process.poll() is None:
            self._look(psutil, tree)
            time.sleep(0.25)
        if process.returncode != 0:
            raise RuntimeError(f"{self._command} ended with {process.returncode}")
        return time.perf_counter() - start

    @property
    def cpu_seconds(self):
        """Of all processes that were seen."""
        return sum(self._cpu.values())

    def _look(self, psutil, tree):
        memory = 0
        try:
            processes = [tree, *tree.children(recursive=True)]
        except psutil.Error:
            return
        for process in processes:
            try:
                times = process.cpu_times()
                memory += process.memory_full_info().pss
            except psutil.Error:  # it ended meanwhile
                continue
            self._cpu[process.pid] = times.user + times.system
        self.peak = max(self.peak, memory)


def scores(folder):
    """All scores that a method wrote, by key."""
    frames = [pd.read_parquet(path) for path in sorted(folder.glob("*.parquet"))]
    return pd.concat(frames).set_index("id").sort_index()["anomaly_score"].to_numpy()


def measured(name, options, output):
    """Let one method score, and look on."""
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir()
    command = [sys.executable, HERE, "--one", name, "--folder", options.folder]
    watched, load = Watched(command), os.getloadavg()[0]
    seconds = watched.run()
    return {
        "method": name,
        "rows": options.rows,
        "seconds": round(seconds, 1),
        "rows_per_second": round(options.rows / seconds),
        "cpu_seconds": round(watched.cpu_seconds, 1),
        "peak_mib": round(watched.peak / 2**20),
        "load_before": round(load, 1),
    }


def main():
    """Measure and write; of "--one" measure nothing and only score."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--folder", type=Path, default=Path("/tmp/skvae_engines"))
    parser.add_argument("--methods", nargs="*", default=list(METHODS))
    parser.add_argument("--one")
    options = parser.parse_args()
    output = options.folder / "scores"
    if options.one:
        METHODS[options.one](options.folder / "model.skvae", options.folder / "new", output)
        return
    shutil.rmtree(options.folder, ignore_errors=True)
    options.folder.mkdir(parents=True)
    make(options.folder, options.rows)
    expected = None
    for number in range(options.rounds):
        for name in options.methods:
            record = {"round": number} | measured(name, options, output)
            found = scores(output)
            expected = found if expected is None else expected
            line = json.dumps(record | {"same_bits": bool(np.array_equal(found, expected))})
            with (RESULTS / "engines.jsonl").open("a") as file:
                file.write(f"{line}\n")
            print(line, flush=True)


if __name__ == "__main__":
    main()
