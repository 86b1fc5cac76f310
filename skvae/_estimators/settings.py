"""Parameters that must agree with each other and with a table."""

from collections.abc import Mapping
from difflib import get_close_matches
from functools import partial
from inspect import signature

import numpy as np
import torch

from .._engine import AUTO_PRIOR, CANDIDATES, SETTINGS
from .._table import DOMAINS
from ..nn import LIKELIHOODS, PRIORS, Context, Likelihood, Posterior, Prior
from .checks import check_parameters
from .declared import rules_of

__all__ = ["check_settings", "context_of", "families_of", "listed", "with_context"]

# Noise model of each kind of column under likelihoods="auto".
AUTO = {
    "number": "heteroscedastic_student_t",
    "integer": "spike_slab",
    "boolean": "bernoulli",
    "category": "categorical",
    "ordered": "ordinal",
}
SPIKE = 0.1  # share of the cells of integers that one value has, or else none repeats
ROWS_READ = 2_000  # that tell what integers are like
# Methods that a class of the user's own must have, by its base class.
NEEDED = {Likelihood: ("featurize", "forward"), Posterior: ("forward",), Prior: ("forward",)}


def check_settings(estimator):
    """Raise for parameters out of range or in conflict, before data is touched."""
    _check_noise_models(estimator)
    check_parameters(estimator, rules_of(type(estimator)))
    for part in [*_choices(estimator.likelihoods), estimator.posterior, estimator.prior]:
        if isinstance(part, type):
            _check_part(part)
    if getattr(estimator, "calibration_groups", None) and estimator.contamination != "auto":
        raise ValueError(
            f"calibration_groups={estimator.calibration_groups!r} needs contamination='auto', a "
            f"rate of false alarms and no share of all rows. Got {estimator.contamination!r}."
        )
    recipe = estimator._recipe()
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
    some = raw.take(np.random.RandomState(0).permutation(len(raw.values))[:ROWS_READ])
    for j, name in enumerate(raw.names):
        choice = chosen.get(name, "auto")
        choice = _automatic(some, j) if choice == "auto" else choice
        if not isinstance(choice, str):
            if families.setdefault(choice.__name__, choice) is not choice:
                raise ValueError(
                    f"The 'likelihoods' parameter of {type(estimator).__name__} has two classes "
                    f"named {choice.__name__!r}. Rename one."
                )
            choice = choice.__name__
        names.append(choice)
    _check_company(estimator, families, dict(zip(raw.names, names, strict=True)))
    return families, names


def _automatic(raw, j):
    """Name of the noise model of a column under likelihoods="auto"."""
    held = raw.kinds[j]
    if held == "integer" and raw.largest_share(j) < SPIKE:
        held = max("number", "integer", key=lambda kind: _domain_of(kind).log_density(raw, j))
    return AUTO[held]


def _domain_of(held):
    return DOMAINS[LIKELIHOODS[AUTO[held]].domain]


def _check_company(estimator, families, names):
    """Raise for a column that is the only one of a noise model of several."""
    context = estimator.context or ()
    scored = {column: name for column, name in names.items() if column not in context}
    for column, name in scored.items():
        alone = families[name].alone
        if alone is not None and list(scored.values()).count(name) == 1:
            raise ValueError(
                f"Column {column!r}: the {name!r} likelihood is of at least 2 columns together. "
                "Got n_features = 1 that is scored and has it. Use "
                f"likelihoods={{{column!r}: {alone!r}}}."
            )


def context_of(estimator, raw):
    """Names of the columns that the others are given; a set."""
    context = set(estimator.context or ())
    of_parameter = f"The 'context' parameter of {type(estimator).__name__}"
    for name in estimator.context or ():
        if name not in raw.names:
            raise ValueError(
                f"{of_parameter} names the column {name!r}, which X does not have. Its columns "
                f"are {listed(raw.names)}."
            )
    if len(context) == len(raw.names):
        raise ValueError(
            f"{of_parameter} names all columns, {listed(raw.names)}: none is left to be scored. "
            "Leave out those that are to be judged."
        )
    return context


def with_context(blocks):
    """Blocks whose context is shown as by its family, and is not scored."""
    return [
        (
            partial(Context, family.as_context or family) if columns[0].is_context else family,
            columns,
        )
        for family, columns in blocks
    ]


def _choices(likelihoods):
    return likelihoods.values() if isinstance(likelihoods, Mapping) else [likelihoods]


def _check_noise_models(estimator):
    """Raise for a column whose noise model has a name that there is not."""
    if not isinstance(estimator.likelihoods, Mapping):
        return
    for column, name in estimator.likelihoods.items():
        if isinstance(name, str) and name not in ("auto", *LIKELIHOODS):
            raise ValueError(
                f"The 'likelihoods' parameter of {type(estimator).__name__} must be names of noise "
                f"models, or classes. Got {estimator.likelihoods!r} instead: the column {column!r} "
                f"has {name!r}.{_nearest(name, LIKELIHOODS)}"
            )


def _check_part(part):
    """Raise for a class of the user's own that lacks what its base class asks for."""
    base = next(base for base in NEEDED if issubclass(part, base))
    if base is Posterior and part.infer is not base.infer:  # which needs no other method
        return
    for name in NEEDED[base]:
        if getattr(part, name) is getattr(base, name):
            needed = " and ".join(map(repr, NEEDED[base]))
            raise TypeError(
                f"{part.__name__} lacks the method {name!r}: a subclass of skvae.nn."
                f"{base.__name__} needs {needed}."
            )
    if base is Likelihood and part.domain not in DOMAINS:
        raise ValueError(
            f"{part.__name__}.domain is {part.domain!r}, which is no domain."
            f"{_nearest(part.domain, DOMAINS)}"
        )


def _nearest(name, names):
    nearest = [f" Did you mean {match!r}?" for match in get_close_matches(str(name), names, 1)]
    return "".join([*nearest, f" There are {', '.join(map(repr, names))}."])


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
    recipe = _with_prior(recipe)
    divergence, prior = recipe.objective().divergence, PRIORS.get(recipe.prior, recipe.prior)
    _check_space(recipe, recipe.posterior_class(), prior)
    if divergence is not None and not issubclass(prior, divergence.prior or Prior):
        names = {part: name for name, part in PRIORS.items()}
        known = names.get(divergence.prior, divergence.prior.__name__)
        raise ValueError(
            f"divergence={recipe.divergence!r} knows no other prior than prior={known!r}. Got "
            f"prior={recipe.prior!r}. Use divergence='kernel_stein', which is for all."
        )
    try:
        # A prior of the user's own may need real examples: only its parameters are bound.
        is_named = recipe.prior in PRIORS
        prior = PRIORS[recipe.prior] if is_named else signature(recipe.prior).bind
        params = recipe.prior_params or {}
        latent_dim = 1 if recipe.latent_dim == "auto" else recipe.latent_dim
        prior(latent_dim, torch.zeros(1, 1), generator=torch.Generator(), **params)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"The 'prior_params' parameter of {type(estimator).__name__} must be a dict of "
            f"parameters of prior={recipe.prior!r}. Got {recipe.prior_params!r} instead: "
            f"{error}"
        ) from error


def _with_prior(recipe):
    """Recipe with the prior that "auto" stands for; raise where there is none."""
    space = recipe.posterior_class().space
    if recipe.prior == "auto" and space not in AUTO_PRIOR:
        raise ValueError(
            f"posterior={recipe.posterior!r} has codes that are {space!r}, of which prior='auto' "
            "knows no prior. Give the class of one."
        )
    return recipe.with_prior()


def _check_space(recipe, posterior, prior):
    """Raise for a posterior and a prior whose codes are not of one kind."""
    if posterior.space == prior.space:
        _check_encoder(recipe, posterior, prior)
        return
    known = [name for name, part in PRIORS.items() if part.space == posterior.space]
    raise ValueError(
        f"posterior={recipe.posterior!r} has codes that are {posterior.space}, which "
        f"prior={recipe.prior!r} is not for: its are {prior.space}. Use "
        f"{' or '.join(f'prior={name!r}' for name in known)}."
    )


def _check_encoder(recipe, posterior, prior):
    """Raise for what takes an encoder that gives real codes, where there is none."""
    if recipe.divergence is not None and posterior.space != "real":
        raise ValueError(
            f"divergence={recipe.divergence!r} moves codes that are real. Those of "
            f"posterior={recipe.posterior!r} are {posterior.space}: use divergence=None."
        )
    if posterior.has_encoder:
        return
    if prior.needs_encoder:
        raise ValueError(
            f"prior={recipe.prior!r} is made of posteriors that an encoder gives, and "
            f"posterior={recipe.posterior!r} has none. Use prior='auto' or posterior='diagonal'."
        )
    if recipe.divergence is not None:
        raise ValueError(
            f"divergence={recipe.divergence!r} moves codes by the encoder, and "
            f"posterior={recipe.posterior!r} has none. Use divergence=None or posterior='diagonal'."
        )


def listed(names):
    """Name the first ten of some names."""
    shown = ", ".join(repr(name) for name in names[:10])
    return shown if len(names) <= 10 else f"{shown} and {len(names) - 10} more"
