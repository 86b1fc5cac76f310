"""Training: minibatch steps on a resident table, with warm-up, annealing and early stop.

Nothing here knows about estimators or column units; all figures are nats per row in the
units of the table's encoding.
"""

import math
import warnings
from copy import deepcopy
from functools import partial

import torch
from sklearn.exceptions import ConvergenceWarning
from torch import nn
from torch.nn.functional import softplus
from tqdm import tqdm

from ._kernel import kernel_for

__all__ = ["check_convergence", "pass_over", "train"]

WARMUP = 0.05  # share of max_steps over which the learning rate rises
ANNEALING = 0.4  # share of all steps, at the end, over which it falls to 0
RAMP = 0.5  # share of max_steps over which the capacity rises
FALL = 2  # power of the share of the fall still ahead: flat where it ends
N_EVALUATIONS = 50
EVALUATION_SIZE = 2048  # held-out rows times draws in one evaluation
HIDDEN_CELLS = 0.5  # largest share of cells hidden in such a row
REPELLED_ROWS = 64  # known anomalies in a step, drawn with replacement
REPELLED_BY = 3.0  # nats below the median where one may rest, times the root of the columns
FARTHEST_REPELLED = 1e4  # units from a column's centre; cells beyond are moved there
MOST_RETURNS = 4  # to the last good weights, where training left the numbers
GRADIENT_NORM = 10.0  # bound on the gradient's norm, times the root of the columns


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


def check_convergence(history):
    """Warn if the held-out ELBO still rose in the last tenth of the steps of a `train`."""
    steps, elbos = history["step"], history["validation"]
    before = max(i for i, step in enumerate(steps) if step <= max(1, 0.9 * steps[-1]))
    gain, late = elbos[-1] - elbos[0], elbos[-1] - elbos[before]
    if late > 0.01 * gain > 0:
        warnings.warn(
            f"The held-out ELBO still rose by {late:.3g} of {gain:.3g} nats per row in the "
            "last tenth of the steps. Increase max_steps.",
            ConvergenceWarning,
            stacklevel=2,
        )


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


def adam(model, learning_rate):
    """Optimiser of all weights of a model, which become parts of one vector.

    So do their gradients: a step, and its norm, is then one operation each.
    """
    parameters = list(model.parameters())
    sizes = [parameter.numel() for parameter in parameters]
    whole = nn.Parameter(torch.cat([parameter.detach().flatten() for parameter in parameters]))
    whole.grad = torch.zeros_like(whole)
    parts = zip(parameters, whole.data.split(sizes), whole.grad.split(sizes), strict=True)
    for parameter, part, slope in parts:
        parameter.data = part.view(parameter.shape)
        parameter.grad = slope.view(parameter.shape)
    return torch.optim.AdamW([whole], lr=learning_rate, weight_decay=1e-4, fused=True)


def update(optimizer, gradient, batch, objective, hidden_rows):
    """Take one step of the optimiser; return the mean ELBO of the batch before it.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
        Of `adam`.
    gradient : callable
        Of `gradient_of`.
    batch : (x, observed), each a Tensor of shape (n, n_columns)
    objective : Objective
        With the capacity of this step.
    hidden_rows : float in [0, 1]
        As in `noise`.

    Returns
    -------
    elbo : Tensor, scalar
    """
    optimizer.zero_grad(set_to_none=False)
    elbo = gradient(*batch, objective, hidden_rows)
    (whole,) = optimizer.param_groups[0]["params"]
    clip = GRADIENT_NORM * math.sqrt(batch[0].shape[1])
    torch.nn.utils.clip_grad_norm_([whole], clip)
    optimizer.step()
    return elbo.mean()


def gradient_of(model, objective, repelled, generator):
    """Choose how gradients are made: written out where there is such a kernel, or by autograd.

    Parameters
    ----------
    model : VAE
    objective : Objective
    repelled : (x, observed) or None
    generator : torch.Generator

    Returns
    -------
    gradient : callable
        Of (x, observed, objective, hidden_rows): writes the gradient into the weights, and
        returns the ELBO of each row.
    """
    kernel = kernel_for(model)
    if kernel is not None and repelled is None and objective.is_weighted_elbo():
        return partial(_written_out, kernel, generator)
    return partial(_by_autograd, model, repelled, generator)


def _written_out(kernel, generator, x, observed, objective, hidden_rows):
    drawn = noise(kernel.model, x, observed, hidden_rows, generator)
    return kernel(x, *drawn, beta=objective.beta, trimming=objective.trimming)


def _by_autograd(model, repelled, generator, x, observed, objective, hidden_rows):
    terms = model(x, *noise(model, x, observed, hidden_rows, generator))
    elbo = terms.log_weight().detach()
    loss = objective.loss(terms, _distance(model, objective, terms.z, generator))
    if repelled is not None:
        loss = loss + repulsion(model, *repelled, elbo, hidden_rows, generator)
    loss.backward()
    return elbo


def _distance(model, objective, z, generator):
    if objective.divergence is None:
        return 0.0
    with torch.no_grad():
        prior_z = model.sample_prior(len(z), generator)
    return objective.divergence(z, prior_z, generator)


def finite(elbo, step):
    """Give the ELBO as a float; raise ValueError where it is no finite number."""
    elbo = float(elbo)
    if not math.isfinite(elbo):
        raise diverged(elbo, step)
    return elbo


def diverged(elbo, step):
    """Error of a training whose ELBO is no finite number."""
    return ValueError(
        f"Training diverged: the ELBO was {float(elbo)} at step {step}. Lower learning_rate_init."
    )


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
        self._good = deepcopy(model.state_dict())
        self._start = -math.inf, None

    def record(self, step, batch_elbo):
        """Note the ELBO of a batch; at every 50th part of the steps, judge the weights.

        Returns
        -------
        are_good : bool
            False where the ELBO since the last judgement, or a weight, is no finite number.
        """
        self._batch_elbos.append(batch_elbo)
        if step == 1 or step % self._every == 0 or step == self._schedule.end:
            return self._judge(step)
        return True

    def return_to_good(self):
        """Give the model the last weights that were judged and finite."""
        self._model.load_state_dict(self._good)

    def restore_best(self):
        """Give the model the best weights judged, or leave it where nothing judges.

        Those that training started from count too: there may be too few rows to do better.
        """
        start, weights = self._start
        weights = weights if start > self._best else self._weights
        if weights is not None:
            self._model.load_state_dict(weights)

    def _judge(self, step):
        batch_elbo = float(torch.stack(self._batch_elbos).mean())
        self._batch_elbos.clear()
        state = self._model.state_dict()
        if not (math.isfinite(batch_elbo) and all(w.isfinite().all() for w in state.values())):
            return False
        self._good = deepcopy(state)
        held_out_elbo = self._held_out_elbo()
        for key, value in zip(self.history, (step, batch_elbo, held_out_elbo), strict=True):
            self.history[key].append(value)
        annealing = self._schedule.is_annealing(step)
        begins_to_fall = annealing and not self._schedule.is_annealing(step - self._every)
        if step == 1:
            self._start = held_out_elbo, self._good
        if step <= self._not_before or begins_to_fall:
            self._best = -math.inf  # weights from before then no longer count
        if held_out_elbo > self._best:
            self._best, self._n_without_rise = held_out_elbo, 0
            self._weights = self._good
            return True
        self._n_without_rise += 1
        if self._n_without_rise >= self._patience and step >= self._not_before and not annealing:
            self._schedule.anneal_from(step)
        return True

    @torch.no_grad()
    def _held_out_elbo(self):
        if len(self._x) == 0:
            return math.nan
        terms = self._model(self._x, self._observed, self._observed, self._eps)
        return float(terms.log_weight().mean())


def noise(model, x, observed, hidden_rows, generator):
    """Draw what a model is given beside a batch, some of whose cells the encoder does not see.

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
    observed, visible : Tensor of shape (n, n_columns)
        1 where a cell is there, and where the encoder sees it too.
    eps : Tensor of shape (n, latent_dim)
    """
    (n, _), device = x.shape, generator.device
    shape = (n, model.latent_dim)
    eps = torch.randn(shape, generator=generator, device=device, dtype=x.dtype)
    share = HIDDEN_CELLS * torch.rand((n, 1), generator=generator, device=device)
    share *= torch.rand((n, 1), generator=generator, device=device) < hidden_rows
    visible = torch.rand(x.shape, generator=generator, device=device) >= share
    observed = observed.to(x.dtype)
    return observed, visible * observed, eps


def repulsion(model, x, observed, elbo, hidden_rows, generator):
    """Penalty in nats for rows whose ELBO is not far below the median of a batch.

    A softened hinge: nearly 0 for a row that is far below, so that nothing is gained by
    spoiling the model further, and no steeper than the ELBO itself for any row.

    Parameters
    ----------
    model : VAE
    x, observed : Tensor of shape (k, n_columns)
        Known anomalies, from which some are drawn with replacement.
    elbo : Tensor of shape (n,)
        Of the batch.
    hidden_rows : float in [0, 1]
        As in `noise`.
    generator : torch.Generator

    Returns
    -------
    penalty : Tensor, scalar
    """
    median = elbo.median()
    rows = torch.randint(len(x), (REPELLED_ROWS,), generator=generator, device=generator.device)
    x = x.clamp(-FARTHEST_REPELLED, FARTHEST_REPELLED)  # its square is a number in float32
    x, observed = x[rows], observed[rows]
    terms = model(x, *noise(model, x, observed, hidden_rows, generator))
    margin = REPELLED_BY * math.sqrt(x.shape[1])
    return softplus(terms.log_weight() - median + margin).mean()


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
