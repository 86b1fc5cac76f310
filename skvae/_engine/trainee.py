"""A recipe and a model, and the training of the one by the other."""

import math
from typing import Any, NamedTuple

import torch

from .._table import EncodedTable
from ..nn import VAE
from .recipe import Recipe
from .training import pass_over, train

__all__ = ["Trained", "Trainee", "TrainingRows", "at_rest", "tensors"]


class TrainingRows(NamedTuple):
    """Encoded rows that a training sees.

    Attributes
    ----------
    fitted : EncodedTable
        What the weights are fitted to.
    judges : EncodedTable
        Held-out rows; may be empty.
    repelled : EncodedTable
        Known anomalies; may be empty.
    """

    fitted: EncodedTable
    judges: EncodedTable
    repelled: EncodedTable

    def unjudged(self):
        """Return the same rows without the judges."""
        return self._replace(judges=self.fitted.take(slice(0)))


class Trainee(NamedTuple):
    """A recipe and a model to be trained by it.

    Attributes
    ----------
    name : str
    settings : dict
    recipe : Recipe
    model : VAE
    """

    name: str
    settings: dict[str, Any]
    recipe: Recipe
    model: VAE

    def train(self, rows, device, seed, steps=None, verbose=0):
        """Train the model in place.

        Parameters
        ----------
        rows : TrainingRows
        device : torch.device
        seed : int
        steps, verbose
            As in `training.train`.

        Returns
        -------
        trained : Trained
        """
        history, is_complete = train(
            self.model.to(device, torch.float32),
            tensors(rows.fitted, device, torch.float32),
            tensors(rows.judges, device, torch.float32),
            max_steps=self.recipe.max_steps,
            n_iter_no_change=self.recipe.n_iter_no_change,
            steps=steps,
            verbose=verbose,
            **self._shared(rows, device, seed),
        )
        return Trained(*self, history, is_complete)

    def pass_over(self, rows, device, seed, state):
        """Train the model in place by one pass over the fitted rows.

        Parameters
        ----------
        rows : TrainingRows
        device : torch.device
        seed : int
        state : dict or None
            Of the optimiser after the pass before.

        Returns
        -------
        trained : Trained
        state : dict
        """
        elbo, n_steps, state = pass_over(
            self.model.to(device, torch.float32),
            tensors(rows.fitted, device, torch.float32),
            state,
            **self._shared(rows, device, seed),
        )
        history = {"step": [n_steps], "train": [elbo], "validation": [math.nan]}
        return Trained(*self, history, False), state

    def _shared(self, rows, device, seed):
        """Name what both ways to train take."""
        repelled = rows.repelled
        return {
            "objective": self.recipe.objective(),
            "batch_size": self.recipe.batch_size,
            "learning_rate": self.recipe.learning_rate_init,
            "hidden_rows": self.recipe.hidden_rows,
            "repelled": tensors(repelled, device, torch.float32) if len(repelled.values) else None,
            "generator": torch.Generator(device).manual_seed(seed),
        }


class Trained(NamedTuple):
    """A trainee and what came of it: `history` and `is_complete` are those of `train`."""

    name: str
    settings: dict[str, Any]
    recipe: Recipe
    model: VAE
    history: dict[str, list]
    is_complete: bool


def at_rest(model):
    """Model where and how it is kept and scores: in float64 on the CPU."""
    model.zero_grad()
    return model.to("cpu", torch.float64).eval().requires_grad_(False)


def tensors(table, device, dtype):
    """Values and observed cells of an encoded table as tensors of a type on a device."""
    farthest = 1e-4 * math.sqrt(torch.finfo(dtype).max)  # its square in small units is a number
    values = torch.tensor(table.values.clip(-farthest, farthest), dtype=dtype, device=device)
    return values, torch.tensor(table.observed, device=device)
