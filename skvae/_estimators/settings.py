"""Parameters that must agree with each other and with a table."""

from collections.abc import Mapping
from inspect import signature

import torch

from .._engine import CANDIDATES, SETTINGS, Recipe
from ..nn import LIKELIHOODS, PRIORS
from .checks import check_parameters
from .parameters import rules_of

__all__ = ["check_settings", "families_of", "listed"]

# Noise model of each kind of column under likelihoods="auto".
AUTO = {
    "number": "heteroscedastic_student_t",
    "integer": "spike_slab",
    "boolean": "bernoulli",
    "category": "categorical",
    "ordered": "ordinal",
}


def check_settings(estimator):
    """Raise for parameters out of range or in conflict, before data is touched."""
    check_parameters(estimator, rules_of(type(estimator)))
    recipe = Recipe.of(estimator)
    _check_recipe(estimator, recipe)
    if len(estimator.members) == 0:
        raise _wrong_members(estimator, "members=[{}] is the estimator's parameters alone.")
    for settings in estimator.members:
        if isinstance(settings, Mapping):
            _check_member(estimator, settings)
            _check_recipe(estimator, recipe._replace(**settings))


def families_of(estimator, raw):
    """Likelihood class by name, and the name of each column's."""
    chosen = estimator.likelihoods
    if not isinstance(chosen, dict):
        chosen = dict.fromkeys(raw.names, chosen)
    unknown = [name for name in chosen if name not in raw.names]
    if unknown:
        raise ValueError(
            f"The 'likelihoods' parameter of {type(estimator).__name__} names the column "
            f"{unknown[0]!r}, which X does not have. Its columns are {listed(raw.names)}."
        )
    families, names = dict(LIKELIHOODS), []
    for name, held in zip(raw.names, raw.kinds, strict=True):
        choice = chosen.get(name, "auto")
        choice = AUTO[held] if choice == "auto" else choice
        if not isinstance(choice, str):
            if families.setdefault(choice.__name__, choice) is not choice:
                raise ValueError(
                    f"The 'likelihoods' parameter of {type(estimator).__name__} has two classes "
                    f"named {choice.__name__!r}. Rename one."
                )
            choice = choice.__name__
        names.append(choice)
    return families, names


def _check_member(estimator, settings):
    for name, value in settings.items():
        if name not in SETTINGS:
            known = ", ".join(map(repr, SETTINGS))
            raise _wrong_members(
                estimator, f"no member has a setting {name!r}. Settings are {known}."
            )
        rule = rules_of(type(estimator))[name]
        if not rule.accepts(value):
            raise _wrong_members(estimator, f"{name!r} must be {rule.describe}.")


def _wrong_members(estimator, why):
    names = ", ".join(map(repr, CANDIDATES))
    return ValueError(
        f"The 'members' parameter of {type(estimator).__name__} must be 'auto' or a list of at "
        f"least one item, names among {{{names}}} and dicts of settings. Got {estimator.members!r} "
        f"instead: {why}"
    )


def _check_recipe(estimator, recipe):
    if recipe.capacity is not None and recipe.beta == 0:
        raise ValueError(
            f"capacity={recipe.capacity!r} has no effect with beta={recipe.beta!r}: the "
            "objective is beta * |KL - capacity|. Use beta > 0 or capacity=None."
        )
    try:
        # A prior of the user's own may need real examples: only its parameters are bound.
        is_named = recipe.prior in PRIORS
        prior = PRIORS[recipe.prior] if is_named else signature(recipe.prior).bind
        params = recipe.prior_params or {}
        prior(1, torch.zeros(1, 1), generator=torch.Generator(), **params)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"The 'prior_params' parameter of {type(estimator).__name__} must be a dict of "
            f"parameters of prior={recipe.prior!r}. Got {recipe.prior_params!r} instead: "
            f"{error}"
        ) from error


def listed(names):
    """Name the first ten of some names."""
    shown = ", ".join(repr(name) for name in names[:10])
    return shown if len(names) <= 10 else f"{shown} and {len(names) - 10} more"
