"""A recipe and a model, and the training of the one by the other."""

import math
from typing import Any, NamedTuple

import numpy as np
import torch

from ..nn import VAE, Experts
from .clusters import begin_at_clusters
from .recipe import Recipe
from .refit import fit_prior, refit_encoder, spoilt, weights_before
from .step import AdamW
from .training import Training, pass_over

__all__ = ["Trained", "Trainee", "TrainingRows", "at_rest", "tensors"]

AT_CLUSTERS = 0.5  # share of the steps that follow on a prior that begins at clusters


class TrainingRows(NamedTuple):
    """Encoded rows that a training sees, as tables or as tensors.

    Attributes
    ----------
    fitted : EncodedTable or (x, observed)
        What the weights are fitted to.
    judges : EncodedTable or (x, observed)
        Held-out rows; may be empty.
    repelled : EncodedTable or (x, observed)
        Known anomalies; may be empty.
    """

    fitted: Any
    judges: Any
    repelled: Any

    def tensors(self, device):
        """Cells and which are observed, each part a pair of tensors in float32 on a device."""
        return TrainingRows(*(tensors(part, device, torch.float32) for part in self))

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
    critic : Critic or None
        That the training before left, where one goes on.
    """

    name: str
    settings: dict[str, Any]
    recipe: Recipe
    model: VAE
    critic: Any = None

    @property
    def noise_dim(self):
        """Columns of noise that its model takes in the end."""
        return self.model.noise_dim + self.recipe.experts

    def begin(self, rows, seed, verbose=0):
        """Make a training of the model, in place, that has taken no step yet.

        Parameters
        ----------
        rows : TrainingRows
            Of tensors.
        seed : int
        verbose
            As in `Training`.

        Returns
        -------
        training : Training
        """
        shared = self._shared(rows, seed)  # moves the model to where the rows are
        return Training(
            *(self.model, rows.fitted, rows.judges),
            max_steps=self.recipe.max_steps,
            n_iter_no_change=self.recipe.n_iter_no_change,
            weights=weights_before(self.model),
            verbose=verbose,
            **shared,
        )

    def train(self, rows, seed, checkpoint):
        """Train the model in place by all its steps, without judges; parameters as in `end`.

        Returns
        -------
        trained : Trained
        """
        x, observed = rows.judges
        rows = rows._replace(judges=(x[:0], observed[:0]))
        training = self.begin(rows, seed)
        checkpoint.restore(self.name, training)
        checkpoint.run(self.name, training, training.steps())
        return self.end(training, rows, seed, checkpoint)

    def end(self, training, rows, seed, checkpoint):
        """Give the model the best weights of a training that was begun here.

        Where there are to be clusters, the prior begins at them, and the training that came to
        its end goes on. After one by another objective the encoder is fitted to the ELBO once more,
        and a prior that comes after all else is fitted then.

        Parameters
        ----------
        training : Training
        rows, seed
            As in `begin`.
        checkpoint : Checkpoint or NoCheckpoint
            Of the fit.

        Returns
        -------
        trained : Trained
        """
        training.end()
        trained = self._replace(critic=training.critic)
        if self.recipe.n_clusters is not None:
            trained = trained._at_clusters(rows, seed)
            if training.is_complete:
                critic = trained._go_on_at_clusters(rows, seed, checkpoint)
                trained = trained._replace(critic=critic)
        if not training.is_interrupted:
            trained._fit_parts(rows, seed, checkpoint)
        return Trained(*trained, training.history, training.is_complete)

    def pass_over(self, rows, seed, state):
        """Train the model in place by one pass over the fitted rows.

        Parameters
        ----------
        rows : TrainingRows
            Of tensors.
        seed : int
        state : dict or None
            Of the optimiser after the pass before.

        Returns
        -------
        trained : Trained
        state : dict
        """
        if self.model.prior.after:
            raise ValueError(
                "prior_params={'after': True} fits the prior once all else is trained, which "
                "partial_fit never knows. Use fit, or leave 'after' out."
            )
        shared = self._shared(rows, seed)
        elbo, n_steps, state = pass_over(self.model, rows.fitted, state, **shared)
        history = {"step": [n_steps], "train": [elbo], "validation": [math.nan]}
        trained = self._replace(critic=shared["objective"].critic)
        if self.recipe.n_clusters is not None:
            trained = trained._at_clusters(rows, seed)
            state = AdamW(trained.model.parameters()).state  # of other weights
        return Trained(*trained, history, False), state

    def _fit_parts(self, rows, seed, checkpoint):
        """Stages that follow, each of a part of the model."""
        recipe, device = self.recipe, rows.fitted[0].device
        objective = recipe.objective()
        settings = {
            "max_steps": recipe.max_steps,
            "batch_size": recipe.batch_size,
            "learning_rate": recipe.learning_rate_init,
            "generator": torch.Generator(device).manual_seed(seed + 1),
        }
        data = self.model, rows.fitted, rows.judges
        if not objective.is_elbo():
            refit_encoder(
                *(*data, f"{self.name} refit", checkpoint),
                weights=spoilt(self.model, objective),
                hidden_rows=recipe.hidden_rows,
                **settings,
            )
        if self.model.prior.after:
            # Of rows that are seen whole: those are scored.
            fit_prior(*data, f"{self.name} prior", checkpoint, hidden_rows=0.0, **settings)

    def _at_clusters(self, rows, seed):
        """Let the prior begin at clusters; return the trainee, with an expert for each if asked."""
        recipe = self.recipe
        begin_at_clusters(self.model, recipe.prior_class(), recipe.n_clusters, *rows.fitted, seed)
        return self._replace(model=Experts(self.model)) if recipe.experts else self

    def _go_on_at_clusters(self, rows, seed, checkpoint):
        n_steps = math.ceil(AT_CLUSTERS * self.recipe.max_steps)
        recipe = self.recipe._replace(max_steps=n_steps, n_clusters=None)
        trainee, name = self._replace(recipe=recipe), f"{self.name} at clusters"
        training = trainee.begin(rows, seed + 2)
        checkpoint.restore(name, training)
        checkpoint.run(name, training, training.steps())
        training.end()
        return training.critic

    def _shared(self, rows, seed):
        """Move the model to where the rows are; name what both ways to train take."""
        device = rows.fitted[0].device
        self.model.to(device, torch.float32)
        return {
            "objective": self.recipe.objective().begun(self.model, seed, self.critic),
            "batch_size": self.recipe.batch_size,
            "learning_rate": self.recipe.learning_rate_init,
            "hidden_rows": self.recipe.hidden_rows,
            "repelled": rows.repelled if len(rows.repelled[0]) else None,
            "generator": torch.Generator(device).manual_seed(seed),
        }


class Trained(NamedTuple):
    """A trainee and what came of it: critic, history and completeness are of its training."""

    name: str
    settings: dict[str, Any]
    recipe: Recipe
    model: VAE
    critic: Any
    history: dict[str, list]
    is_complete: bool


def at_rest(model):
    """Model, or critic, where and how it is kept and scores: in float64 on the CPU."""
    model.zero_grad()
    return model.to("cpu", torch.float64).eval().requires_grad_(False)


def tensors(table, device, dtype):
    """Values and observed cells of an encoded table as tensors of a type on a device."""
    farthest = 1e-4 * math.sqrt(torch.finfo(dtype).max)  # its square in small units is a number
    values = torch.empty(table.values.shape, dtype=dtype)
    np.clip(table.values, -farthest, farthest, out=values.numpy(), casting="same_kind")
    return values.to(device), torch.tensor(table.observed, device=device)
