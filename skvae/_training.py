"""Training: minibatch steps on a resident table, with warm-up, annealing and early stop.

Nothing here knows about estimators or column units; all figures are nats per row in the
units of the table's encoding.
"""

import math
import warnings
from copy import deepcopy

import torch
from sklearn.exceptions import ConvergenceWarning
from torch.nn.functional import softplus
from tqdm import tqdm

from .nn.vae import objective

__all__ = ["pass_over", "train"]

WARMUP = 0.05  # share of max_steps over which the learning rate rises
ANNEALING = 0.4  # share of all steps, at the end, over which it falls to 0
RAMP = 0.5  # share of max_steps over which the capacity rises
FALL = 2  # power of the share of the fall still ahead: flat where it ends
N_EVALUATIONS = 50
EVALUATION_SIZE = 2048  # held-out rows times draws in one evaluation
HIDDEN_ROWS = 0.5  # share of rows of which the encoder does not see some cells at first
HIDDEN_CELLS = 0.5  # largest share of cells hidden in such a row
REPELLED_ROWS = 64  # known anomalies in a step, drawn with replacement
REPELLED_BY = 3.0  # nats below the median where one may rest, times the root of the columns
FARTHEST_REPELLED = 1e4  # units from a column's centre; cells beyond are moved there
GRADIENT_NORM = 10.0  # bound on the gradient's norm, times the root of the columns


def train(
    model,
    rows,
    held_out,
    *,
    max_steps,
    batch_size,
    learning_rate,
    n_iter_no_change,
    beta,
    capacity,
    divergence,
    divergence_weight,
    generator,
    repelled=None,
    trimming=0.0,
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
    max_steps, batch_size : int
    learning_rate : float
        At its highest.
    n_iter_no_change : int or None
    beta : float
    capacity : float or None
        In nats, reached half-way.
    divergence : callable or None
    divergence_weight : float
    generator : torch.Generator
        On the device of the rows.
    repelled : (x, observed), each a Tensor of shape (k, n_columns), default=None
        Rows whose ELBO is to be low; may be empty.
    trimming : float in [0, 1), default=0
        Share of each batch, the rows with the lowest ELBO, that does not count.
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

    Raises
    ------
    ValueError
        When the ELBO is no longer a finite number.
    """
    optimizer = adam(model, learning_rate)
    schedule = Schedule(max_steps)
    ramp = WARMUP * max_steps if capacity is None else RAMP * max_steps
    monitor = Monitor(model, held_out, schedule, n_iter_no_change, ramp, generator)
    step = 0
    steps = range(1, max_steps + 1) if steps is None else steps
    bar = tqdm(steps, total=max_steps, disable=not verbose, desc="fit", unit="step")
    try:
        for step, batch in zip(bar, batches(len(rows[0]), batch_size, generator), strict=False):
            optimizer.param_groups[0]["lr"] = learning_rate * schedule.rate(step)
            elbo = update(
                model,
                optimizer,
                (rows[0][batch], rows[1][batch]),
                hidden_rows=HIDDEN_ROWS * schedule.hiding(step),
                beta=beta,
                capacity=None if capacity is None else capacity * min(1.0, step / ramp),
                divergence=divergence,
                divergence_weight=divergence_weight,
                repelled=repelled,
                trimming=trimming,
                generator=generator,
            )
            monitor.record(step, elbo)
            if step == schedule.end < max_steps:
                break
        if step == schedule.end:
            monitor.check_convergence()
    except KeyboardInterrupt:
        message = f"Training was interrupted at step {step} of {schedule.end}"
        warnings.warn(f"{message}: the best weights so far are kept.", stacklevel=2)
    finally:
        bar.close()
    monitor.restore_best()
    return monitor.history


def pass_over(
    model,
    rows,
    optimizer_state=None,
    *,
    batch_size,
    learning_rate,
    beta,
    capacity,
    divergence,
    divergence_weight,
    generator,
    repelled=None,
    trimming=0.0,
):
    """Train `model` in place by one pass over some rows, at a constant learning rate.

    Parameters
    ----------
    model, rows, batch_size, learning_rate, beta, divergence, divergence_weight, generator, \
repelled, trimming
        As in `train`; the pass is cut into steps of equal sizes, at most `batch_size`.
    optimizer_state : dict, default=None
        What the pass before returned, if there was one.
    capacity : float or None
        In nats, from the first step on.

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
    n = len(rows[0])
    order = torch.randperm(n, generator=generator, device=generator.device)
    steps, total = order.tensor_split(math.ceil(n / batch_size)), 0.0
    for batch in steps:
        elbo = update(
            model,
            optimizer,
            (rows[0][batch], rows[1][batch]),
            hidden_rows=HIDDEN_ROWS,
            beta=beta,
            capacity=capacity,
            divergence=divergence,
            divergence_weight=divergence_weight,
            repelled=repelled,
            trimming=trimming,
            generator=generator,
        )
        total = total + len(batch) / n * elbo
    elbo = finite(total, len(steps))
    state = optimizer.state_dict()
    state["state"] = {
        place: {name: value.cpu() for name, value in moments.items()}
        for place, moments in state["state"].items()
    }
    return elbo, len(steps), state


def adam(model, learning_rate):
    """Optimiser of all weights of a model."""
    return torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=1e-4, fused=True)


def update(
    model,
    optimizer,
    batch,
    *,
    hidden_rows,
    beta,
    capacity,
    divergence,
    divergence_weight,
    repelled,
    trimming,
    generator,
):
    """Take one step of the optimiser; return the mean ELBO of the batch before it.

    Parameters
    ----------
    model : VAE
    optimizer : torch.optim.Optimizer
    batch : (x, observed), each a Tensor of shape (n, n_columns)
    hidden_rows : float in [0, 1]
        As in `training_terms`.
    beta, divergence, divergence_weight, repelled, trimming, generator
        As in `train`.
    capacity : float or None
        KL divergence in nats to aim at in this step.

    Returns
    -------
    elbo : Tensor, scalar
    """
    terms = training_terms(model, *batch, hidden_rows, generator)
    penalty = 0.0
    if divergence is not None:
        with torch.no_grad():
            prior_z = model.sample_prior(len(terms.z), generator)
        penalty = divergence_weight * divergence(terms.z, prior_z, generator)
    loss = objective(terms, beta=beta, capacity=capacity, divergence=penalty, trimming=trimming)
    if repelled is not None and len(repelled[0]) > 0:
        loss = loss + repulsion(model, *repelled, terms, hidden_rows, generator)
    optimizer.zero_grad()
    loss.backward()
    clip = GRADIENT_NORM * math.sqrt(batch[0].shape[1])
    torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
    optimizer.step()
    return terms.log_weight().detach().mean()


def finite(elbo, step):
    """Give the ELBO as a float; raise ValueError where it is no finite number."""
    elbo = float(elbo)
    if not math.isfinite(elbo):
        raise ValueError(
            f"Training diverged: the ELBO was {elbo} at step {step}. Lower learning_rate_init."
        )
    return elbo


class Schedule:
    """Learning rate of each step, as a share of its highest.

    Parameters
    ----------
    max_steps : int

    Attributes
    ----------
    end : int
        Last step; comes earlier once annealing is started early.
    """

    def __init__(self, max_steps):
        self.end = max_steps
        self._warmup = max(1.0, WARMUP * max_steps)

    def rate(self, step):
        """Share at `step`, counted from 1: rises, stays at 1, falls to nearly 0."""
        left = min(1.0, (self.end - step + 1) / (ANNEALING * self.end))
        return min(step / self._warmup, left**FALL)

    def hiding(self, step):
        """Share of the hidden cells at `step`: 1, then down to 0 half-way through the fall."""
        left = (self.end - step + 1) / (ANNEALING * self.end)
        return min(1.0, max(0.0, 2 * left - 1))

    def is_annealing(self, step):
        """Whether `step` belongs to the fall at the end."""
        return step > (1 - ANNEALING) * self.end

    def anneal_from(self, step):
        """Let the fall begin after `step`."""
        self.end = min(self.end, math.ceil(step / (1 - ANNEALING)))


class Monitor:
    """Judges the weights on held-out rows: history, early annealing, best weights.

    Parameters
    ----------
    model : VAE
    held_out : (x, observed), each a Tensor of shape (m, n_columns)
    schedule : Schedule
    patience : int or None
        Evaluations without a rise after which annealing starts.
    not_before : float
        Step before which it does not, because the learning rate or the objective still rises.
    generator : torch.Generator

    Attributes
    ----------
    history : dict of str to list
    """

    def __init__(self, model, held_out, schedule, patience, not_before, generator):
        self.history = {"step": [], "train": [], "validation": []}
        self._model, self._schedule = model, schedule
        self._patience = math.inf if patience is None or len(held_out[0]) == 0 else patience
        self._not_before = not_before
        self._x, self._observed = (part[:EVALUATION_SIZE] for part in held_out)
        n_draws = max(1, min(16, EVALUATION_SIZE // max(1, len(self._x))))
        shape = (n_draws, 1, model.latent_dim)
        self._eps = torch.randn(
            shape, generator=generator, device=generator.device, dtype=self._x.dtype
        )
        self._every = math.ceil(schedule.end / N_EVALUATIONS)
        self._batch_elbos = []
        self._best, self._weights, self._n_without_rise = -math.inf, None, 0

    def record(self, step, batch_elbo):
        """Note the ELBO of a batch; at every 50th part of the steps, judge the weights."""
        self._batch_elbos.append(batch_elbo)
        if step == 1 or step % self._every == 0 or step == self._schedule.end:
            self._judge(step)

    def restore_best(self):
        """Give the model the best weights judged, or leave it where nothing judges."""
        if self._weights is not None:
            self._model.load_state_dict(self._weights)

    def check_convergence(self):
        """Warn if the held-out ELBO still rose in the last tenth of the steps."""
        steps, elbos = self.history["step"], self.history["validation"]
        before = max(i for i, step in enumerate(steps) if step <= max(1, 0.9 * steps[-1]))
        gain, late = elbos[-1] - elbos[0], elbos[-1] - elbos[before]
        if late > 0.01 * gain > 0:
            warnings.warn(
                f"The held-out ELBO still rose by {late:.3g} of {gain:.3g} nats per row in the "
                "last tenth of the steps. Increase max_steps.",
                ConvergenceWarning,
                stacklevel=2,
            )

    def _judge(self, step):
        batch_elbo = finite(torch.stack(self._batch_elbos).mean(), step)
        self._batch_elbos.clear()
        held_out_elbo = self._held_out_elbo()
        for key, value in zip(self.history, (step, batch_elbo, held_out_elbo), strict=True):
            self.history[key].append(value)
        annealing = self._schedule.is_annealing(step)
        if annealing and not self._schedule.is_annealing(step - self._every):
            self._best = -math.inf  # weights from before the fall no longer count
        if held_out_elbo > self._best:
            self._best, self._n_without_rise = held_out_elbo, 0
            self._weights = deepcopy(self._model.state_dict())
            return
        self._n_without_rise += 1
        if self._n_without_rise >= self._patience and step >= self._not_before and not annealing:
            self._schedule.anneal_from(step)

    @torch.no_grad()
    def _held_out_elbo(self):
        if len(self._x) == 0:
            return math.nan
        terms = self._model(self._x, self._observed, self._observed, self._eps)
        return float(terms.log_weight().mean())


def training_terms(model, x, observed, hidden_rows, generator):
    """ELBO terms of a batch, some of whose cells the encoder does not see.

    Hidden cells still count in the objective: the model learns to infer a row from the
    rest of its cells, and so to score rows with holes.

    Parameters
    ----------
    model : VAE
    x : Tensor of shape (n, n_columns)
    observed : bool Tensor of shape (n, n_columns)
    hidden_rows : float in [0, 1]
        Share of the rows of which some cells are hidden.
    generator : torch.Generator

    Returns
    -------
    terms : Elbo
    """
    (n, _), device = x.shape, generator.device
    shape = (n, model.latent_dim)
    eps = torch.randn(shape, generator=generator, device=device, dtype=x.dtype)
    share = HIDDEN_CELLS * torch.rand((n, 1), generator=generator, device=device)
    share *= torch.rand((n, 1), generator=generator, device=device) < hidden_rows
    visible = torch.rand(x.shape, generator=generator, device=device) >= share
    observed = observed.to(x.dtype)
    return model(x, observed, visible * observed, eps)


def repulsion(model, x, observed, terms, hidden_rows, generator):
    """Penalty in nats for rows whose ELBO is not far below the median of a batch.

    A softened hinge: nearly 0 for a row that is far below, so that nothing is gained by
    spoiling the model further, and no steeper than the ELBO itself for any row.

    Parameters
    ----------
    model : VAE
    x, observed : Tensor of shape (k, n_columns)
        Known anomalies, from which some are drawn with replacement.
    terms : Elbo
        Of the batch.
    hidden_rows : float in [0, 1]
        As in `training_terms`.
    generator : torch.Generator

    Returns
    -------
    penalty : Tensor, scalar
    """
    median = terms.log_weight().detach().median(-1).values
    rows = torch.randint(len(x), (REPELLED_ROWS,), generator=generator, device=generator.device)
    x = x.clamp(-FARTHEST_REPELLED, FARTHEST_REPELLED)  # its square is a number in float32
    repelled = training_terms(model, x[rows], observed[rows], hidden_rows, generator)
    margin = REPELLED_BY * math.sqrt(x.shape[1])
    return softplus(repelled.log_weight() - median + margin).mean()


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
