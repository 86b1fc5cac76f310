"""What is left after signals, full disks, other writers and threads, forks and many fits."""

import gc
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from common import SMALL, long_run

import skvae
from skvae import VAEAnomalyDetector
from skvae._engine import score

FAST = SMALL | {"max_steps": 12}
SAVE_AGAIN_AND_AGAIN = """
import sys, skvae
model = skvae.load(sys.argv[1])
print("begun", flush=True)
while True:
    skvae.save(model, sys.argv[2])
"""
SAVE_ON_A_FULL_DISK = """
import resource, sys, skvae
model = skvae.load(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, 2_000))
try:
    skvae.save(model, sys.argv[2])
except OSError as error:
    print(error.strerror)
"""


@pytest.fixture(scope="module")
def rows():
    return np.random.default_rng(0).normal(size=(120, 3))


@pytest.fixture(scope="module")
def models(rows, tmp_path_factory):
    """Two fitted detectors, and the file of each."""
    folder = tmp_path_factory.mktemp("models")
    found = []
    for seed in (0, 1):
        model = VAEAnomalyDetector(**FAST | {"random_state": seed}).fit(rows)
        skvae.save(model, folder / f"{seed}.skvae")
        found.append((model, folder / f"{seed}.skvae"))
    return found


def is_one_of(path, models, rows):
    scores = skvae.load(path).score_samples(rows)
    return any(np.array_equal(scores, model.score_samples(rows)) for model, _ in models)


slow = pytest.mark.slow  # a process of their own, which imports torch


@pytest.mark.parametrize(
    "sent",
    [signal.SIGKILL, *(pytest.param(each, marks=slow) for each in (signal.SIGTERM, signal.SIGINT))],
)
def test_a_writer_that_is_stopped_leaves_a_whole_file(sent, models, rows, tmp_path):
    path = tmp_path / "model.skvae"
    skvae.save(models[0][0], path)
    command = [sys.executable, "-c", SAVE_AGAIN_AND_AGAIN, models[1][1], path]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        process.stdout.readline()
        time.sleep(0.05 + 0.1 * np.random.default_rng(sent).random())
        process.send_signal(sent)
    assert process.returncode != 0
    assert is_one_of(path, models, rows)


@slow
def test_a_full_disk_leaves_the_old_file(models, rows, tmp_path):
    path = tmp_path / "model.skvae"
    skvae.save(models[0][0], path)
    command = [sys.executable, "-c", SAVE_ON_A_FULL_DISK, models[1][1], path]
    assert "large" in subprocess.run(command, capture_output=True, text=True).stdout
    assert os.listdir(tmp_path) == ["model.skvae"]
    assert is_one_of(path, models[:1], rows)


def test_of_two_writers_one_wins(models, rows, tmp_path):
    path = tmp_path / "model.skvae"
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda i: skvae.save(models[i % 2][0], path), range(20)))
    assert os.listdir(tmp_path) == ["model.skvae"]
    assert is_one_of(path, models, rows)


def test_ctrl_c_at_any_moment_leaves_a_fit_or_what_was_there(rows):
    rng = np.random.default_rng(0)
    start = time.perf_counter()
    model = VAEAnomalyDetector(**SMALL | {"max_steps": 40}).fit(rows)
    longest, outcomes = time.perf_counter() - start, set()
    before = model.score_samples(rows)
    for seed in range(12):
        model.set_params(random_state=seed + 1)
        signal.setitimer(signal.ITIMER_REAL, longest * rng.random())
        handler = signal.signal(signal.SIGALRM, signal.default_int_handler)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                model.fit(rows)
            signal.setitimer(signal.ITIMER_REAL, 0)
            outcomes.add("fitted")
            before = model.score_samples(rows)
        except KeyboardInterrupt:
            outcomes.add("as before")
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, handler)
        np.testing.assert_array_equal(model.score_samples(rows), before)
        assert np.isfinite(before).all()
    assert "fitted" in outcomes


def test_threads_may_score_one_model_at_the_same_time(models, rows):
    model, X = models[0][0], np.tile(rows, (20, 1))
    alone = model.score_samples(X)
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda _: model.score_samples(X), range(8)))
    for scores in together:
        np.testing.assert_array_equal(scores, alone)


def send_scores(model, X, connection):
    VAEAnomalyDetector(**FAST).fit(X)
    connection.send(model.score_samples(X))


@pytest.mark.parametrize("way", ["fork", pytest.param("spawn", marks=slow)])
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_children_score_as_their_parent(way, models, rows):
    model, X = models[0][0], np.tile(rows, (20, 1))
    n_threads = torch.get_num_threads()
    torch.set_num_threads(2)
    torch.ones(1_000_000).sin()  # by threads that no child has
    context = multiprocessing.get_context(way)
    ours, theirs = context.Pipe()
    process = context.Process(target=send_scores, args=(model, X, theirs))
    process.start()
    assert ours.poll(60)
    np.testing.assert_array_equal(ours.recv(), model.score_samples(X))
    process.join()
    torch.set_num_threads(n_threads)


def resources():
    """Threads, open files, copies in float32, signal handlers; and MiB at most so far."""
    gc.collect()
    handlers = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    counts = (threading.active_count(), len(os.listdir("/proc/self/fd")), len(score._COPIES))
    return (*counts, *handlers), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def fit_and_score(rows, n):
    for _ in range(n):
        VAEAnomalyDetector(**FAST).fit(rows).score_samples(rows)


@pytest.mark.parametrize("n", [10, pytest.param(long_run(40), marks=slow)])
def test_fits_leave_nothing_behind(n, rows):
    fit_and_score(rows, 5)
    counts, mebibytes = resources()
    fit_and_score(rows, n)
    counts_after, mebibytes_after = resources()
    assert counts_after == counts
    assert mebibytes_after - mebibytes < 20
