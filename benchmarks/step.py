"""Where the time of a training step goes, and how close training and scoring come to sgemm.

Fits tables of 5,000 synthetic rows with the package's own loop on one thread, with clocks
around what the loop calls. FLOPs are those of the matrix products, counted by torch. One JSON
line a configuration goes to results/step.jsonl; delete the file to measure anew.
"""

import argparse
import time
import warnings
from collections import Counter
from contextlib import ExitStack
from itertools import product
from unittest.mock import patch

import torch
from records import RESULTS, measure_missing
from scoring import seconds, table
from threadpoolctl import threadpool_limits
from torch.utils.flop_counter import FlopCounterMode

from skvae import VAEAnomalyDetector, nn
from skvae._engine import step
from skvae._engine.kernel import Kernel
from skvae._engine.training import Training

N_ROWS, N_COLUMNS = 5_000, 20
# What the loop calls, by the part of the step that it is counted in.
PARTS = {
    "draws": [(step, "noise")],
    "gradient": [(Kernel, "__call__"), (nn.VAE, "forward"), (torch.Tensor, "backward")],
    "optimizer": [(step.AdamW, "step"), (step.AdamW, "zero_grad")],
    "step": [(Training, "run")],
}


def measure(width, batch_size, prior, n_steps):
    """Microseconds a step by part, and FLOP/s of training, scoring and matrix products."""
    X = table(N_ROWS, N_COLUMNS)
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # too few steps to converge
        flops = step_flops(detector(width, batch_size, prior, 10), X) / 10
        fitted = detector(width, batch_size, prior, n_steps)
        microseconds = step_microseconds(fitted, X, n_steps)
        with FlopCounterMode(display=False) as counter:
            fitted.score_samples(X)
        score_seconds = seconds(lambda: fitted.score_samples(X), 3)
        rates = {name: matmul_rate(getattr(torch, name)) for name in ("float32", "float64")}
    return {
        "microseconds": {part: round(value, 1) for part, value in microseconds.items()},
        "training_flops": flops / (1e-6 * microseconds["step"]),
        "scoring_flops": counter.get_total_flops() / score_seconds,
        "matmul_flops": rates,
    }


def detector(width, batch_size, prior, n_steps):
    """Make a detector that trains for exactly `n_steps` and judges nothing."""
    return VAEAnomalyDetector(
        hidden_layer_sizes=(width, width),
        batch_size=batch_size,
        prior=prior,
        max_steps=n_steps,
        validation_fraction=0.0,
        members=["plain"],
        robust_weight=0,
        device="cpu",
        random_state=0,
    )


def step_microseconds(unfitted, X, n_steps):
    """Microseconds of a training step by part; "rest" is what no part accounts for."""
    clock = Counter()
    with ExitStack() as stack:
        for part, functions in PARTS.items():
            for owner, name in functions:
                stack.enter_context(patch.object(owner, name, timed(owner, name, part, clock)))
        unfitted.fit(X)
    microseconds = {part: 1e6 * clock[part] / n_steps for part in PARTS}
    inner = sum(microseconds[part] for part in PARTS if part != "step")
    return {"rest": microseconds["step"] - inner} | microseconds


def timed(owner, name, part, clock):
    """Wrap a function so that its seconds are added to clock[part]."""
    function = getattr(owner, name)

    def wrapped(*args, **kwargs):
        start = time.perf_counter()
        try:
            return function(*args, **kwargs)
        finally:
            clock[part] += time.perf_counter() - start

    return wrapped


def step_flops(unfitted, X):
    """FLOPs of the matrix products of all training steps."""
    run, flops = Training.run, []

    def counted(*args, **kwargs):
        with FlopCounterMode(display=False) as counter:
            run(*args, **kwargs)
        flops.append(counter.get_total_flops())

    with patch.object(Training, "run", counted):
        unfitted.fit(X)
    return sum(flops)


def matmul_rate(dtype, n=1024):
    """FLOP/s of the product of two large square matrices."""
    a = torch.ones(n, n, dtype=dtype)
    return 2 * n**3 / seconds(lambda: a @ a, 20)


def main():
    """Run what is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--widths", nargs="+", type=int, default=[128, 256])
    parser.add_argument("--batch-sizes", nargs="+", type=int, default=[256, 512])
    parser.add_argument("--priors", nargs="+", default=["standard_normal", "vamp"])
    parser.add_argument("--steps", type=int, default=1_000)
    options = parser.parse_args()
    runs = [
        {"width": width, "batch_size": batch_size, "prior": prior, "n_steps": options.steps}
        for prior, width, batch_size in product(options.priors, options.widths, options.batch_sizes)
    ]
    measure_missing(RESULTS / "step.jsonl", runs, measure)


if __name__ == "__main__":
    main()
