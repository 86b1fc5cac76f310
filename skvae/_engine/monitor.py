"""The schedule of a training, and what judges its weights."""

import math
import warnings

import torch
from sklearn.exceptions import ConvergenceWarning

from ..nn import Batch, Elbo
from .kernel import kernel_for
from .step import HIDDEN_CELLS

__all__ = [
    "EVALUATION_SIZE",
    "WARMUP",
    "Monitor",
    "Schedule",
    "check_convergence",
    "diverged",
    "finite",
]


WARMUP = 0.05  # share of max_steps over which the learning rate rises
ANNEALING = 0.4  # share of all steps, at the end, over which it falls to 0
FALL = 2  # power of the share of the fall still ahead: flat where it ends
N_EVALUATIONS = 50
EVALUATION_SIZE = 2048  # held-out rows times draws in one evaluation
_STATE = ("history", "highest", "_best", "_weights", "_n_without_rise", "_good", "_start")
_COMPARED = 256  # draws of them that a divergence is of: as many as of a batch


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
    weights : Tensor of shape (n_weights,)
        All of the model's, which are parts of it.
    held_out : (x, observed), each a Tensor of shape (m, n_columns)
    schedule : Schedule
    patience : int or None
        Evaluations without a rise after which annealing starts.
    not_before : float
        Step before which it does not, because the learning rate or the objective still rises.
    objective : Objective
        What the weights are judged by: the ELBO, or another that training lowers.
    generator : torch.Generator

    Attributes
    ----------
    history : dict of str to list
    highest : float
        Of the held-out ELBOs; minus infinity where there is none.
    """

    def __init__(
        self, model, weights, held_out, schedule, patience, not_before, objective, generator
    ):
        self.history = {"step": [], "train": [], "validation": []}
        self.highest = -math.inf
        self._model, self._now, self._schedule = model, weights, schedule
        self._kernel = kernel_for(model) if objective.divergence is None else None
        self._objective = objective
        self._patience = math.inf if patience is None or len(held_out[0]) == 0 else patience
        self._not_before = not_before
        self._x, self._observed = (part[:EVALUATION_SIZE] for part in held_out)
        n_draws = max(1, min(16, EVALUATION_SIZE // max(1, len(self._x))))
        shape = (n_draws, 1, model.noise_dim)
        self._eps = torch.randn(
            shape, generator=generator, device=generator.device, dtype=self._x.dtype
        )
        self._every = math.ceil(schedule.end / N_EVALUATIONS)
        self._batch_elbos = []
        self._best, self._weights, self._n_without_rise = -math.inf, None, 0
        self._good = weights.clone()
        self._start = -math.inf, None

    def state(self):
        """Return what another of the same arguments needs in order to judge on from here."""
        return {name: getattr(self, name) for name in _STATE}

    def load_state(self, state):
        """Go on from what `state` returned."""
        device = self._now.device
        for name in _STATE:
            value = state[name]
            setattr(self, name, value.to(device) if torch.is_tensor(value) else value)
        worth, weights = self._start
        self._start = worth, None if weights is None else weights.to(device)

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
        self._now.copy_(self._good)

    def restore_best(self):
        """Give the model the best weights judged, or leave it where nothing judges.

        Those that training started from count too: there may be too few rows to do better. But
        they have not learned to infer hidden cells, which counts as much as whole rows here.
        """
        (start, of_start), weights = self._start, self._weights
        if start > self._best:
            gain = start - self._best + self._with_hidden_cells(of_start)
            if weights is None or gain > self._with_hidden_cells(weights):
                weights = of_start
                self._warn_of_start()
        if weights is not None:
            self._now.copy_(weights)

    def _warn_of_start(self):
        if not self._objective.is_elbo():
            warnings.warn(
                "No step of the training lowered its objective on held-out rows, and the weights "
                "that it started from are kept. Lower learning_rate_init or divergence_weight.",
                ConvergenceWarning,
                stacklevel=2,
            )

    def _judge(self, step):
        batch_elbo = float(torch.stack(self._batch_elbos).mean())
        self._batch_elbos.clear()
        if not (math.isfinite(batch_elbo) and self._now.isfinite().all()):
            return False
        self._good = self._now.clone()
        held_out_elbo, worth = self._judged(self._observed)
        for key, value in zip(self.history, (step, batch_elbo, held_out_elbo), strict=True):
            self.history[key].append(value)
        self.highest = max(self.highest, held_out_elbo)
        annealing = self._schedule.is_annealing(step)
        begins_to_fall = annealing and not self._schedule.is_annealing(step - self._every)
        if step == 1:
            self._start = worth, self._good
        if step <= self._not_before or begins_to_fall:
            self._best = -math.inf  # weights from before then no longer count
        if worth > self._best:
            self._best, self._n_without_rise = worth, 0
            self._weights = self._good
            return True
        self._n_without_rise += 1
        if self._n_without_rise >= self._patience and step >= self._not_before and not annealing:
            self._schedule.anneal_from(step)
        return True

    def _with_hidden_cells(self, weights):
        """Worth of some weights when the encoder does not see some cells."""
        self._now.copy_(weights)
        generator = torch.Generator().manual_seed(0)
        draws = torch.rand((2, *self._x.shape), generator=generator)
        visible = (draws[0] >= HIDDEN_CELLS * draws[1, :, :1]).to(self._x.device)
        return self._judged(visible & self._observed)[1]

    def held_out_elbo(self):
        """Mean ELBO of the held-out rows; NaN where there are none."""
        return self._judged(self._observed)[0]

    @torch.no_grad()
    def _judged(self, visible):
        """Mean ELBO of the held-out rows, and how low the objective is, given visible cells."""
        if len(self._x) == 0:
            return math.nan, math.nan
        terms = self._terms(visible)
        elbo = float(terms.log_weight().mean())
        if self._objective.is_elbo():
            return elbo, elbo
        # The same draws from the prior each time.
        generator = torch.Generator(self._x.device).manual_seed(0)
        far = self._distance(visible, terms.z, generator)
        return elbo, -float(self._objective.loss(terms, far))

    def _distance(self, visible, z, generator):
        """Divergence of the first draws from the model, by what stays the same all along."""
        if self._objective.divergence is None:
            return 0.0
        rows = torch.arange(len(z), device=z.device) % len(self._x)
        parts = (part.index_select(0, rows) for part in (self._x, self._observed, visible))
        return self._objective.divergence.judged(Batch(*parts, z), self._model, generator)

    def _terms(self, visible):
        if self._kernel is None:
            terms = self._model(self._x, self._observed, visible, self._eps)
            return terms._replace(z=terms.z.flatten(0, 1)[:_COMPARED])
        x, observed, visible = (part.T for part in (self._x, self._observed, visible))
        eps = self._eps.squeeze(1).T
        kernel = self._kernel
        log_prob, minus_kl = kernel.terms(kernel.prior(), x, observed, visible, eps)
        return Elbo(log_prob.movedim(0, -1), -minus_kl, None)


def check_convergence(history):
    """Warn if the held-out ELBO still rose in the last tenth of the steps of a `train`.

    Raise ValueError where no step led to finite numbers.
    """
    steps, elbos = history["step"], history["validation"]
    if not steps:
        raise diverged(math.nan, 1)
    before = max(i for i, step in enumerate(steps) if step <= max(1, 0.9 * steps[-1]))
    gain, late = elbos[-1] - elbos[0], elbos[-1] - elbos[before]
    if late > 0.01 * gain > 0:
        warnings.warn(
            f"The held-out ELBO still rose by {late:.3g} of {gain:.3g} nats per row in the "
            "last tenth of the steps. Increase max_steps.",
            ConvergenceWarning,
            stacklevel=2,
        )


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
