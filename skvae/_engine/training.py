"""Training: minibatch steps on a resident table, with warm-up, annealing and early stop.

Nothing here knows about estimators or column units; all figures are nats per row in the
units of the table's encoding.
"""

import math
import warnings

import torch
from sklearn.exceptions import ConvergenceWarning
from tqdm import tqdm

from .graph import steps_of
from .monitor import WARMUP, Monitor, Schedule, diverged, finite
from .step import gradient_of, optimizer_of
from .threads import threads_for

__all__ = ["Training", "pass_over"]


RAMP = 0.5  # share of max_steps over which the capacity rises
MOST_RETURNS = 4  # to the last good weights, where training left the numbers


class Training:
    """Fits the weights of a model in place, up to some step and then on.

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
        Its capacity is reached half-way. A critic of it, which has begun, is trained as well.
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
    weights : iterable of Parameter, default=None
        Those that are fitted, by default all; the others need gradients to write to.
    verbose : bool or int, default=0
        Whether to show a progress bar.

    Attributes
    ----------
    max_steps : int
    n_steps : int
        Begun so far.
    is_interrupted : bool
        Whether Ctrl-C ended it.
    history : dict of str to list
        ``step``; ``train`` and ``validation``, the ELBO in nats per row: the mean over
        the batches since the entry before, and on (a sample of) the held-out rows, NaN
        where there are none.
    """

    def __init__(
        self,
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
        weights=None,
        verbose=0,
    ):
        self._objective = objective
        self.max_steps, self._learning_rate = max_steps, learning_rate
        self._hidden_rows, self._verbose = hidden_rows, verbose
        fitted = model.parameters() if weights is None else weights
        self._optimizer = optimizer_of(fitted, objective)
        gradient, is_recordable = gradient_of(model, objective, repelled, generator)
        self._step = steps_of(
            self._optimizer, gradient, rows, generator, is_recordable=is_recordable
        )
        self._n_products = batch_size * len(self._optimizer.weights)
        self._batches, self._generator = Batches(len(rows[0]), batch_size, generator), generator
        self._schedule = Schedule(max_steps)
        self._ramp = (WARMUP if objective.capacity is None else RAMP) * max_steps
        self._monitor = Monitor(
            *(model, self._optimizer.weights, held_out),
            *(self._schedule, n_iter_no_change, self._ramp, objective, generator),
        )
        self.n_steps, self._n_returns, self.is_interrupted = 0, 0, False

    @property
    def history(self):
        return self._monitor.history

    @property
    def critic(self):
        """Critic of the objective, with the weights that it has now; None where there is none."""
        return self._objective.critic

    @property
    def is_complete(self):
        """Whether the schedule came to its end."""
        return self.n_steps == self._schedule.end and not self.is_interrupted

    @property
    def is_judged(self):
        """Whether the weights have been judged since the last step: its state is then whole."""
        return self.n_steps == max(self.history["step"], default=None)

    @property
    def held_out_elbo(self):
        """Highest so far, in nats per row and the units of the table's encoding."""
        return self._monitor.highest

    def judge(self):
        """Held-out ELBO under the weights as they are; NaN where nothing is held out."""
        return self._monitor.held_out_elbo()

    def state(self):
        """Return what a training of the same arguments needs in order to go on from here.

        Returns
        -------
        state : dict
            Of values and tensors, complete where `is_judged`.
        """
        return {
            "n_steps": self.n_steps,
            "n_returns": self._n_returns,
            "end": self._schedule.end,
            "weights": self._optimizer.weights,
            "optimizer": self._optimizer.state,
            "order": self._batches.order,
            "generator": self._generator.get_state(),
            "monitor": self._monitor.state(),
        }

    def load_state(self, state):
        """Go on from what `state` returned, which is on the CPU."""
        self.n_steps, self._n_returns = state["n_steps"], state["n_returns"]
        self._schedule.end = state["end"]
        self._optimizer.weights.copy_(state["weights"])
        self._optimizer.load_state(state["optimizer"])
        self._batches.order = state["order"].to(self._generator.device)
        self._generator.set_state(state["generator"])
        self._monitor.load_state(state["monitor"])

    def steps(self):
        """Count the steps that are left."""
        return range(self.n_steps + 1, self.max_steps + 1)

    def run(self, steps):
        """Take steps until they or the schedule end, or Ctrl-C does it.

        Parameters
        ----------
        steps : iterable of int
            Counts the steps on from those that were taken.

        Raises
        ------
        ValueError
            When the ELBO is no finite number, though training was taken up again from the last
            good weights `MOST_RETURNS` times, each time at half the rate.
        """
        if self.is_complete:
            return
        shown = {"initial": self.n_steps, "total": self.max_steps, "desc": "fit", "unit": "step"}
        try:
            bar = tqdm(steps, disable=not self._verbose, **shown)
            with bar, threads_for(self._n_products):
                for step in bar:
                    self._take(step)
                    if step == self._schedule.end:
                        break
        except KeyboardInterrupt:
            self.is_interrupted = True
            message = f"Training was interrupted at step {self.n_steps} of {self._schedule.end}"
            warnings.warn(f"{message}: the best weights so far are kept.", stacklevel=2)

    def end(self):
        """Give the model its best weights so far.

        Warns
        -----
        ConvergenceWarning
            When training was taken up again, with how often.
        """
        if self._n_returns > 0:
            warnings.warn(
                "Training left the numbers and went back to its last good weights "
                f"{self._n_returns} times, each time at half the learning rate. Lower "
                "learning_rate_init.",
                ConvergenceWarning,
                stacklevel=2,
            )
        self._monitor.restore_best()

    def _take(self, step):
        self.n_steps = step
        rate = self._learning_rate * 0.5**self._n_returns
        elbo = self._step(
            next(self._batches),
            self._objective.ramped(min(1.0, step / self._ramp)),
            rate * self._schedule.rate(step),
            self._hidden_rows * self._schedule.hiding(step),
        )
        if not self._monitor.record(step, elbo):
            self._n_returns += 1
            if self._n_returns > MOST_RETURNS:
                raise diverged(elbo, step)
            self._monitor.return_to_good()
            self._optimizer.begin_anew()


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
        As in `Training`; the pass is cut into steps of equal sizes, at most `batch_size`.
    objective : Objective
        The same from the first step on.
    optimizer_state : dict of str to Tensor, default=None
        What the pass before returned, if there was one; that of other weights does not count.

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
    optimizer = optimizer_of(model.parameters(), objective)
    if optimizer_state is not None and optimizer_state["mean"].shape == optimizer.weights.shape:
        optimizer.load_state(optimizer_state)
    gradient, _ = gradient_of(model, objective, repelled, generator)
    take = steps_of(optimizer, gradient, rows, generator, is_recordable=False)
    n = len(rows[0])
    order = torch.randperm(n, generator=generator, device=generator.device)
    steps, total = order.tensor_split(math.ceil(n / batch_size)), 0.0
    with threads_for(batch_size * len(optimizer.weights)):
        for batch in steps:
            elbo = take(batch, objective, learning_rate, hidden_rows)
            total = total + len(batch) / n * elbo
    elbo = finite(total, len(steps))
    if not optimizer.weights.isfinite().all():  # those of a critic have no part in this ELBO
        raise diverged(math.nan, len(steps))
    state = {name: value.cpu() for name, value in optimizer.state.items()}
    return elbo, len(steps), state


class Batches:
    """Endless index batches: each pass over the rows in a new random order.

    Parameters
    ----------
    n, batch_size : int
    generator : torch.Generator

    Attributes
    ----------
    order : int64 Tensor
        Rows that come next.
    """

    def __init__(self, n, batch_size, generator):
        self._n, self._size, self._generator = n, min(n, batch_size), generator
        self.order = torch.empty(0, dtype=torch.int64, device=generator.device)

    def __next__(self):
        """Positions of rows; int64 Tensor of shape (min(n, batch_size),)."""
        if len(self.order) < self._size:
            device = self._generator.device
            fresh = torch.randperm(self._n, generator=self._generator, device=device)
            self.order = torch.cat([self.order, fresh])
        batch, self.order = self.order[: self._size], self.order[self._size :]
        return batch
