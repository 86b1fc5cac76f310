"""CPU time of the demonstration's fit beside other busy processes, and alone on one thread.

One JSON line a run goes to results/load.jsonl. Threads that wait for each other in a loop show
here: beside another process they take many times the CPU time that they take alone.
"""

import argparse
import json
import multiprocessing
import os
import time
import warnings

import torch
from records import RESULTS

from skvae import VAEAnomalyDetector
from skvae.datasets import load_thyroid


def fit(n_threads, connection):
    """Fit to the demonstration's table; send seconds by the clock and of the processors."""
    if n_threads is not None:
        torch.set_num_threads(n_threads)
    X = load_thyroid(as_frame=True).data
    clock, cpu = time.perf_counter(), time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        VAEAnomalyDetector(random_state=0).fit(X)
    seconds = {"seconds": time.perf_counter() - clock, "cpu_seconds": time.process_time() - cpu}
    connection.send({name: round(value, 3) for name, value in seconds.items()})


def busy():
    """Keep a processor busy."""
    while True:
        sum(range(10_000))


def measured(context, n_threads):
    """Fit in a process of its own."""
    ours, theirs = context.Pipe()
    process = context.Process(target=fit, args=(n_threads, theirs))
    process.start()
    result = ours.recv()
    process.join()
    return result


def main():
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    for _ in range(options.repeats):
        alone = measured(context, 1)
        others = [context.Process(target=busy, daemon=True) for _ in range(os.cpu_count())]
        for other in others:
            other.start()
        beside = measured(context, None)
        for other in others:
            other.terminate()
        record = {
            "busy processes": len(others),
            "alone on one thread": alone,
            "beside": beside,
            "ratio": round(beside["cpu_seconds"] / alone["cpu_seconds"], 3),
        }
        line = json.dumps(record)
        with (RESULTS / "load.jsonl").open("a") as file:
            file.write(f"{line}\n")
        print(line, flush=True)


if __name__ == "__main__":
    main()
