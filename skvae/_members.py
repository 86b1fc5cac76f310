"""Members of a model: recipes, of which held-out rows choose one, and a robust one beside it.

A recipe says how a member is built and trained. Where a parameter of the estimator is
"auto", the candidates differ in what it stands for; the one whose bound on held-out rows is
best is kept, by the same bound on the same rows, and without any label.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch

from ._start import start
from .nn import DIVERGENCES, POSTERIORS, PRIORS, VAE, JointLikelihood, Objective

__all__ = [
    "CANDIDATES",
    "ROBUST",
    "SETTINGS",
    "Member",
    "Recipe",
    "Trained",
    "Trainee",
    "as_frame",
    "candidate_recipes",
    "chosen",
    "robust_recipe",
    "unseen",
]

# What "auto" stands for, by the name of a candidate; the first is the one for want of judges.
CANDIDATES: dict[str, dict[str, Any]] = {
    "cautious": {},
    "plain": {"hidden_rows": 0.1},
    "dense": {"hidden_rows": 0.1, "scale_floor": 0.02, "most_codes": 32},
}
ROBUST = "robust"  # name of the member that is not chosen among candidates
# How it differs from the main one.
_ROBUST = {
    "hidden_layer_sizes": (128, 128),
    "prior": "standard_normal",
    "prior_params": None,
    "posterior": "diagonal",
    "init": "random",
    "divergence": None,
    "beta": 1.0,
    "capacity": None,
    "learning_rate_init": 6e-3,
    "n_iter_no_change": None,
    "trimming": 0.2,
}
_ROBUST_STEPS = 100
_FEWEST_JUDGES = 20  # that differ from every fitted row
FEWEST_STEPS, MOST_STEPS = 3, 20  # a pass of "auto"
DEFAULT_FLOOR = 0.05  # of a scale
NOISE_AT_START = 1.75  # its least scale, in that floor
BATCH_SIZE = 256


class Recipe(NamedTuple):
    """How a member is built and trained: parameters of the estimator, and four of its own.

    Attributes
    ----------
    passes : int
        Over the rows at 256 rows a step, if `max_steps` is "auto": at least 3 and at most
        20 steps for each.
    most_codes : int
        The most latent dimensions that "auto" takes.
    hidden_rows : float in [0, 1]
        Share of the rows of which the encoder does not see some cells at first.
    trimming : float in [0, 1)
        Share of each batch, the rows with the lowest ELBO, that does not count.
    """

    latent_dim: int | str
    hidden_layer_sizes: Any
    activation: str
    posterior: Any
    prior: Any
    prior_params: dict[str, Any] | None
    init: str
    scale_floor: float | str
    divergence: Any
    divergence_weight: float
    beta: float
    capacity: float | None
    learning_rate_init: float
    batch_size: int | str
    max_steps: int | str
    n_iter_no_change: int | None
    passes: int = 100
    most_codes: int = 8
    hidden_rows: float = 0.5
    trimming: float = 0.0

    @classmethod
    def of(cls, estimator):
        """Make the recipe that an estimator's parameters are."""
        return cls(*(getattr(estimator, name) for name in SETTINGS))

    def undecided(self, name):
        """Return the settings of a candidate that the estimator's parameters leave open."""
        left = [
            key for key in CANDIDATES[name] if key not in SETTINGS or getattr(self, key) == "auto"
        ]
        return {key: CANDIDATES[name][key] for key in left}

    def decided(self, n_rows):
        """Decide what is left to the number of rows: of how many rows and steps."""
        batch_size = BATCH_SIZE if self.batch_size == "auto" else self.batch_size
        n_steps = self.max_steps
        if n_steps == "auto":
            most = self.passes * n_rows / BATCH_SIZE
            n_steps = int(np.clip(most, FEWEST_STEPS * self.passes, MOST_STEPS * self.passes))
        most_codes = self.most_codes if self.latent_dim == "auto" else 0
        # One linear map cannot serve both rows that are seen whole and rows that are not.
        hidden_rows = self.hidden_rows if len(self.hidden_layer_sizes) > 0 else 0.0
        decided = {"batch_size": batch_size, "max_steps": n_steps, "passes": 0}
        return self._replace(**decided, most_codes=most_codes, hidden_rows=hidden_rows)

    def model(self, blocks, examples, seed):
        """Build an untrained model.

        Parameters
        ----------
        blocks : list of (class, list of Column)
        examples : (x, observed), each a Tensor of shape (m, n_columns)
            Some training rows, on the CPU.
        seed : int

        Returns
        -------
        model : VAE
        """
        generator = torch.Generator().manual_seed(seed)
        floor = None if self.scale_floor == "auto" else self.scale_floor
        automatic = min(examples[0].shape[1], self.most_codes)
        prior = PRIORS.get(self.prior, self.prior)
        model = VAE(
            JointLikelihood(blocks, floor),
            latent_dim=automatic if self.latent_dim == "auto" else self.latent_dim,
            hidden_layer_sizes=tuple(self.hidden_layer_sizes),
            activation=self.activation,
            posterior=POSTERIORS.get(self.posterior, self.posterior),
            prior=partial(prior, **(self.prior_params or {})),
            examples=examples,
            generator=generator,
        )
        if self.init == "linear":
            floor = DEFAULT_FLOOR if floor is None else floor
            start(model, *examples, NOISE_AT_START * floor, generator, seed)
        return model

    def objective(self):
        """Say what training lowers."""
        return Objective(
            beta=self.beta,
            capacity=self.capacity,
            divergence=DIVERGENCES.get(self.divergence, self.divergence),
            divergence_weight=self.divergence_weight,
            trimming=self.trimming,
        )


SETTINGS = tuple(name for name in Recipe._fields if name not in Recipe._field_defaults)


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


class Trained(NamedTuple):
    """A trainee and what came of it: `history` and `is_complete` are those of `train`."""

    name: str
    settings: dict[str, Any]
    recipe: Recipe
    model: VAE
    history: dict[str, list]
    is_complete: bool


@dataclass(frozen=True)
class Member:
    """A recipe, the model trained by it, and the model's share in every score.

    Attributes
    ----------
    name : str
        That of a candidate, "member 1", "member 2" and so on for settings of the user's, or
        "robust".
    settings : dict
        How its recipe differs from the estimator's parameters.
    model : skvae.nn.VAE or None
        float64 on the CPU; None of a candidate that was not chosen.
    weight : float
        0 for a candidate that was not chosen.
    nats : float
        Mean bound on the log density of the held-out rows, in the columns' own units; NaN
        where none is held out.
    n_steps : int
        Steps taken.
    """

    name: str
    settings: dict = field(repr=False)
    model: Any = field(repr=False)
    weight: float
    nats: float
    n_steps: int


def as_frame(members):
    """Name, nats, steps and weight of each member, as a table."""
    fields = ("name", "nats", "n_steps", "weight")
    rows = [[getattr(member, field) for field in fields] for member in members]
    return pd.DataFrame(rows, columns=["member", "held-out nats a row", "steps", "weight"])


def candidate_recipes(recipe, members, n_rows):
    """Recipes of the candidates; of those that are the same for so many rows the first.

    Parameters
    ----------
    recipe : Recipe
        That of the estimator's parameters.
    members : "auto" or sequence of (str or dict)
        Names, which decide what is "auto", and settings, which stand in for parameters.
    n_rows : int

    Returns
    -------
    candidates : list of (str, dict, Recipe)
        Name, settings, and the recipe decided.
    """
    found = {}
    for i, member in enumerate(CANDIDATES if isinstance(members, str) else members, start=1):
        own = isinstance(member, Mapping)
        settings = dict(member) if own else recipe.undecided(member)
        decided = recipe._replace(**settings).decided(n_rows)
        found.setdefault(repr(decided), (f"member {i}" if own else member, settings, decided))
    return list(found.values())


def robust_recipe(recipe, n_rows):
    """Recipe of the robust member beside one of the estimator's parameters.

    Parameters
    ----------
    recipe : Recipe
    n_rows : int

    Returns
    -------
    robust : (str, dict, Recipe)
        As `candidate_recipes` gives them.
    """
    decided = recipe._replace(**_ROBUST).decided(n_rows)
    settings = _ROBUST | {"max_steps": min(_ROBUST_STEPS, decided.max_steps)}
    return ROBUST, settings, decided._replace(**settings)


def chosen(bounds):
    """Position of the candidate to keep: that with the highest mean bound, or else the first.

    Parameters
    ----------
    bounds : ndarray of shape (n_candidates, m)
        Of the same m rows that no candidate was fitted to, in nats.

    Returns
    -------
    best : int
    """
    return int(np.argmax(bounds.mean(axis=1))) if bounds.size else 0


def unseen(judges, fitted):
    """Which rows equal no fitted row: a copy tells nothing of rows not yet seen.

    Parameters
    ----------
    judges, fitted : EncodedTable

    Returns
    -------
    unseen : bool ndarray of shape (len(judges.values),)
        All True where hardly any would be left.
    """
    seen = set(_as_bytes(fitted))
    are_unseen = np.array([row not in seen for row in _as_bytes(judges)], dtype=bool)
    return are_unseen if are_unseen.sum() >= _FEWEST_JUDGES else np.ones_like(are_unseen)


def _as_bytes(table):
    return [row.tobytes() for row in np.hstack([table.values, table.observed])]
