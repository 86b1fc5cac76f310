"""Training: minibatch steps on a resident table, with warm-up, annealing and early stop.

Nothing here knows about estimators or column units; all figures are nats per row in the
units of the table's encoding.
"""

import math
import warnings
from copy import deepcopy

import torch
from sklearn.exceptions import ConvergenceWarning
from tqdm import tqdm

from .monitor import WARMUP, Monitor, Schedule, diverged, finite
from .step import adam, gradient_of, update

__all__ = ["pass_over", "train"]


RAMP = 0.5  # share of max_steps over which the capacity rises
MOST_RETURNS = 4  # to the last good weights, where training left the numbers


def train(
    model,
    rows,
    held_out,
    *,
    objective,
    max_steps,
    batch_size,
    learning_rate,
    n_iter_no_change,
    generator,
    repelled=None,
    hidden_rows=0.5,
    steps=None,
    verbose=0,
):
    """Fit the weights of `model` in place.

    The learning rate rises, stays, and falls to 0 over the last 40 % of the steps. When
    the held-out ELBO has not risen for `n_iter_no_change` evaluations the fall starts at
    once; the weights kept are the best of those evaluated during it.

    Parameters
    ----------
    model : VAE
        On the device of the rows, float32.
    rows, held_out : (x, observed), each a Tensor of shape (n, n_columns)
        What the weights are fitted to, and what judges them; the latter may be empty.
    objective : Objective
        Its capacity is reached half-way.
    max_steps, batch_size : int
    learning_rate : float
        At its highest.
    n_iter_no_change : int or None
    generator : torch.Generator
        On the device of the rows.
    repelled : (x, observed), each a Tensor of shape (k, n_columns), default=None
        Rows whose ELBO is to be low.
    hidden_rows : float in [0, 1], default=0.5
        Share of the rows of which the encoder does not see some cells at first.
    steps : iterable of int, default=None
        Counts the steps from 1 on. Where it ends before `max_steps` training ends, and the
        best weights so far are kept.
    verbose : bool or int, default=0
        Whether to show a progress bar.

    Returns
    -------
    history : dict of str to list
        ``step``; ``train`` and ``validation``, the ELBO in nats per row: the mean over
        the batches since the entry before, and on (a sample of) the held-out rows, NaN
        where there are none.
    is_complete : bool
        Whether by the schedule: neither Ctrl-C nor `steps` ended it.

    Raises
    ------
    ValueError
        When the ELBO is no finite number, though training was taken up again from the last
        good weights `MOST_RETURNS` times, each time at half the rate.

    Warns
    -----
    ConvergenceWarning
        When training was taken up again, with how often.
    """
    optimizer = adam(model, learning_rate)
    schedule = Schedule(max_steps)
    gradient = gradient_of(model, objective, repelled, generator)
    ramp = (WARMUP if objective.capacity is None else RAMP) * max_steps
    monitor = Monitor(model, held_out, schedule, n_iter_no_change, ramp, generator)
    step, n_returns = 0, 0
    steps = range(1, max_steps + 1) if steps is None else steps
    bar = tqdm(steps, total=max_steps, disable=not verbose, desc="fit", unit="step")
    try:
        for step, batch in zip(bar, batches(len(rows[0]), batch_size, generator), strict=False):
            rate = learning_rate * 0.5**n_returns
            optimizer.param_groups[0]["lr"] = rate * schedule.rate(step)
            ramped, hiding = objective.ramped(min(1.0, step / ramp)), schedule.hiding(step)
            rows_of_step = rows[0][batch], rows[1][batch]
            elbo = update(optimizer, gradient, rows_of_step, ramped, hidden_rows * hiding)
            if not monitor.record(step, elbo):
                n_returns += 1
                if n_returns > MOST_RETURNS:
                    raise diverged(elbo, step)
                monitor.return_to_good()
                optimizer = adam(model, learning_rate)
            if step == schedule.end < max_steps:
                break
        is_complete = step == schedule.end
    except KeyboardInterrupt:
        is_complete = False
        message = f"Training was interrupted at step {step} of {schedule.end}"
        warnings.warn(f"{message}: the best weights so far are kept.", stacklevel=2)
    finally:
        bar.close()
    if n_returns > 0:
        warnings.warn(
            f"Training left the numbers and went back to its last good weights {n_returns} times, "
            "each time at half the learning rate. Lower learning_rate_init.",
            ConvergenceWarning,
            stacklevel=2,
        )
    monitor.restore_best()
    return monitor.history, is_complete


def pass_over(
    model,
    rows,
    optimizer_state=None,
    *,
    objective,
    batch_size,
    learning_rate,
    generator,
    repelled=None,
    hidden_rows=0.5,
):
    """Train `model` in place by one pass over some rows, at a constant learning rate.

    Parameters
    ----------
    model, rows, batch_size, learning_rate, generator, repelled, hidden_rows
        As in `train`; the pass is cut into steps of equal sizes, at most `batch_size`.
    objective : Objective
        The same from the first step on.
    optimizer_state : dict, default=None
        What the pass before returned, if there was one.

    Returns
    -------
    elbo : float
        In nats per row, mean over the rows as they were met.
    n_steps : int
    optimizer_state : dict
        On the CPU.

    Raises
    ------
    ValueError
        When the ELBO is no longer a finite number.
    """
    optimizer = adam(model, learning_rate)
    if optimizer_state is not None:
        optimizer.load_state_dict(deepcopy(optimizer_state))
        optimizer.param_groups[0]["lr"] = learning_rate
    gradient = gradient_of(model, objective, repelled, generator)
    n = len(rows[0])
    order = torch.randperm(n, generator=generator, device=generator.device)
    steps, total = order.tensor_split(math.ceil(n / batch_size)), 0.0
    for batch in steps:
        rows_of_step = rows[0][batch], rows[1][batch]
        elbo = update(optimizer, gradient, rows_of_step, objective, hidden_rows)
        total = total + len(batch) / n * elbo
    elbo = finite(total, len(steps))
    state = optimizer.state_dict()
    state["state"] = {
        place: {name: value.cpu() for name, value in moments.items()}
        for place, moments in state["state"].items()
    }
    return elbo, len(steps), state


def batches(n, batch_size, generator):
    """Endless index batches: each pass over the rows in a new random order.

    Parameters
    ----------
    n, batch_size : int
    generator : torch.Generator

    Yields
    ------
    rows : int64 Tensor of shape (min(n, batch_size),)
    """
    size = min(n, batch_size)
    order = torch.empty(0, dtype=torch.int64, device=generator.device)
    while True:
        if len(order) < size:
            fresh = torch.randperm(n, generator=generator, device=generator.device)
            order = torch.cat([order, fresh])
        yield order[:size]
        order = order[size:]
