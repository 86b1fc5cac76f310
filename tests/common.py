"""Settings and helpers that several files use."""

import os
import pickle
from copy import copy

import numpy as np
import pytest
import torch

import skvae
from skvae._cli import main
from skvae._table import DOMAINS
from skvae.nn import LIKELIHOODS, POSTERIORS, PRIORS

# Every posterior and every prior, once or more: one does not know what other it meets.
WITH_ENCODERS = [name for name, part in POSTERIORS.items() if part.has_encoder]
REAL_POSTERIORS = [name for name in WITH_ENCODERS if POSTERIORS[name].space == "real"]
REAL_PRIORS = [name for name, part in PRIORS.items() if part.space == "real"]
PARTS = [("diagonal", prior) for prior in REAL_PRIORS]
PARTS += [("full", "vamp"), ("flow", "mixture"), ("refined", "standard_normal")]
PARTS += [("free", "full_mixture"), ("binary", "bernoulli"), ("quantised", "codes")]
REAL_PARTS = [parts for parts in PARTS if POSTERIORS[parts[0]].space == "real"]
assert {posterior for posterior, _ in PARTS} == set(POSTERIORS)
# Parameters of a fit that takes a moment.
SMALL = {
    "hidden_layer_sizes": (16,),
    "init": "random",
    "members": [{}],
    "max_steps": 20,
    "random_state": 0,
}
LONGER = SMALL | {"max_steps": 60}  # where something has to have been learned
QUICK = ["--set", "max_steps=30", "--set", "hidden_layer_sizes=[16]"]  # on the command line
CONTINUOUS = [n for n, family in LIKELIHOODS.items() if DOMAINS[family.domain].is_continuous]
WEIGHTS = (0, 0.25, 1)  # of the robust member
UNEQUAL = np.array([0.2, 0.3, 0.5, 0.7, 1.0, 1.4])  # scales of noise
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


def long_run(n):
    """How often a test repeats: n times, or as often as SKVAE_CAMPAIGN says."""
    return int(os.environ.get("SKVAE_CAMPAIGN", n))


def factor_table(noise, n):
    """Rows of 6 columns: 3 factors and normal noise of the given standard deviations."""
    rng = np.random.default_rng(0)
    loadings, centre = 1.5 * rng.normal(size=(3, 6)), rng.normal(size=6)
    return centre + rng.normal(size=(n, 3)) @ loadings + noise * rng.normal(size=(n, 6))


def in_domain(X, likelihood):
    """The cells of X turned into some that the noise model can have; holes stay."""
    domain = LIKELIHOODS[likelihood].domain
    standard = (X - np.nanmean(X, axis=0)) / np.nanstd(X, axis=0)
    return {
        "real": X,
        "positive": np.exp(standard),
        "spiked": np.where(standard < -0.3, 0.0, X),
        "binary": np.where(np.isnan(X), X, standard > 0),
        "count": np.exp(1 + standard).round(),
        "category": standard.round(),
        "ordered": standard.round(),
    }[domain]


def all_scores(model, X):
    """Whatever a row gets: its bounds, the parts of its score, its code."""
    tighter = copy(model).set_params(bound="iwae").score_samples(X)
    parts = (
        model.score_samples(X),
        tighter,
        *model.explain(X, return_rest=True),
        model.transform(X),
    )
    return np.column_stack(parts)


def run(*arguments):
    """Status that the command ends with."""
    with pytest.raises(SystemExit) as raised:
        main([str(argument) for argument in arguments])
    return raised.value.code or 0


def assert_that_states_answer(model, rows, space, folder):
    """A model whose codes are states has a score without noise, and the same in any company."""
    scores, codes, path = model.score_samples(rows), model.codes(rows), folder / "states.skvae"
    np.testing.assert_array_equal(model.score_samples(rows[::-1])[::-1], scores)
    np.testing.assert_array_equal(model.score_samples(rows[7:8]), scores[7:8])
    skvae.save(model, path)
    for again in (pickle.loads(pickle.dumps(model)), skvae.load(path)):
        np.testing.assert_array_equal(again.score_samples(rows), scores)
        np.testing.assert_array_equal(again.codes(rows), codes)
    tighter = model.set_params(bound="iwae").score_samples(rows)
    np.testing.assert_allclose(tighter, scores, atol=1e-9)
    for made in (model.impute(rows), model.augment(rows), model.sample(9, random_state=0)):
        assert np.isfinite(made).all()
    with pytest.raises(ValueError, match=f"codes that are {space}"):
        model.latent_report(rows)
