"""Members of a model: recipes, of which held-out rows choose one, and a robust one beside it.

A recipe says how a member is built and trained. Where a parameter of the estimator is
"auto", the candidates differ in what it stands for; the one whose bound on held-out rows is
best is kept, by the same bound on the same rows, and without any label.
"""

import math
from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch

from ..nn import (
    DIVERGENCES,
    POSTERIORS,
    PRIORS,
    VAE,
    JointLikelihood,
    Objective,
    as_divergence,
)
from .start import begin, follow, start
from .trial import try_noise, try_out

__all__ = [
    "AUTO_PRIOR",
    "CANDIDATES",
    "ROBUST",
    "SETTINGS",
    "Recipe",
    "automatic",
    "candidate_recipes",
    "robust_recipe",
]


# What "auto" stands for, by the name of a candidate; the first is the one for want of judges.
CANDIDATES: dict[str, dict[str, Any]] = {
    "cautious": {},
    "plain": {"hidden_rows": 0.1},
    "dense": {"hidden_rows": 0.1, "scale_floor": 0.02, "most_codes": 32},
}
# Rows from which on a candidate is none of "auto": what is left has no fewer nats then.
TOO_MANY_ROWS = {"cautious": 700, "plain": 3_000}
# Prior that "auto" stands for, by what the posterior's codes are.
AUTO_PRIOR = {"real": "full_mixture", "bits": "bernoulli", "codes": "codes"}
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
FEWEST_STEPS, MOST_STEPS = 3, 20  # a pass of "auto"
DEFAULT_FLOOR = 0.05  # of a scale
NOISE_AT_START = 1.75  # its least scale, in that floor
BATCH_SIZE = 256


class Recipe(NamedTuple):
    """How a member is built and trained: parameters of the estimator, and some of its own.

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
    n_clusters : int, "auto" or None
        Components that the prior has in the end, at clusters of the codes; None leaves it.
    experts : bool
        Whether each of these gets nets of its own.
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
    n_clusters: int | str | None = None
    experts: bool = False

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

    def posterior_class(self):
        """Class of the posterior."""
        return POSTERIORS.get(self.posterior, self.posterior)

    def with_prior(self):
        """Return the recipe with the prior by name, where "auto" leaves it to the posterior."""
        is_open = self.prior == "auto"
        return self._replace(prior=AUTO_PRIOR[self.posterior_class().space]) if is_open else self

    def decided(self, n_rows):
        """Decide what is left to the posterior, and to the number of rows: how many steps."""
        batch_size = BATCH_SIZE if self.batch_size == "auto" else self.batch_size
        n_steps = self.max_steps
        if n_steps == "auto":
            most = self.passes * n_rows / BATCH_SIZE
            n_steps = int(np.clip(most, FEWEST_STEPS * self.passes, MOST_STEPS * self.passes))
        most_codes = self.most_codes if self.latent_dim == "auto" else 0
        # One linear map cannot serve both rows that are seen whole and rows that are not.
        hidden_rows = self.hidden_rows if len(self.hidden_layer_sizes) > 0 else 0.0
        decided = {"batch_size": batch_size, "max_steps": n_steps, "passes": 0}
        return self.with_prior()._replace(**decided, most_codes=most_codes, hidden_rows=hidden_rows)

    def architecture(self):
        """Return what of the recipe says how a model is built, as something hashable."""
        return repr(self._replace(**dict.fromkeys(_OF_TRAINING)))

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
        likelihood = JointLikelihood(blocks, floor)
        try_noise(likelihood, examples[0])
        likelihood.learn(*examples)
        automatic = min(likelihood.n_scored, self.most_codes)
        model = VAE(
            likelihood,
            latent_dim=automatic if self.latent_dim == "auto" else self.latent_dim,
            hidden_layer_sizes=tuple(self.hidden_layer_sizes),
            activation=self.activation,
            posterior=self.posterior_class(),
            prior=self.prior_class(),
            examples=examples,
            generator=generator,
        )
        try_out(model, *examples, self.objective().divergence)
        if self.init == "linear":
            floor = DEFAULT_FLOOR if floor is None else floor
            start(model, *examples, NOISE_AT_START * floor, generator, seed)
        else:
            follow(model, *examples)
        begin(model, *examples, generator)
        return model

    def prior_class(self):
        """Class of the prior, with its parameters."""
        return partial(PRIORS.get(self.prior, self.prior), **(self.prior_params or {}))

    def objective(self):
        """Say what training lowers."""
        divergence = as_divergence(DIVERGENCES.get(self.divergence, self.divergence))
        return Objective(
            beta=self.beta,
            capacity=self.capacity,
            divergence=_heard(divergence, self.divergence_weight),
            divergence_weight=self.divergence_weight,
            trimming=self.trimming,
        )


def _heard(divergence, weight):
    """Divergence, or None for a critic of weight 0: there is nothing for it to learn."""
    return None if weight == 0 and divergence is not None and divergence.has_weights else divergence


# Fields that say how a model is trained, not how it is built.
_OF_TRAINING = (
    *("divergence", "divergence_weight", "beta", "capacity", "learning_rate_init", "batch_size"),
    *("max_steps", "n_iter_no_change", "passes", "hidden_rows", "trimming"),
)
SETTINGS = tuple(name for name in Recipe._fields if name not in Recipe._field_defaults)


def automatic(n_rows):
    """Names of the candidates that members="auto" stands for."""
    return [name for name in CANDIDATES if n_rows < TOO_MANY_ROWS.get(name, math.inf)]


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
    members = automatic(n_rows) if isinstance(members, str) else members
    for i, member in enumerate(members, start=1):
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
    return ROBUST, settings, decided._replace(**settings, n_clusters=None, experts=False)
