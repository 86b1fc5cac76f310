"""Parts fitted after a training: an encoder to the ELBO, a prior to codes, and nothing else."""

from functools import partial

import numpy as np
import pytest
import torch
from common import LONGER, SMALL

from skvae import VAEAnomalyDetector
from skvae._engine import refit, trainee
from skvae.nn import PRIORS

OTHERS = [
    {"beta": 4.0},
    {"beta": 0.0, "divergence": "mmd", "divergence_weight": 10.0},
    {"capacity": 3.0},
]


AFTER = {"prior": "vae", "prior_params": {"after": True, "hidden_layer_sizes": (8,)}}


@pytest.fixture
def refits(monkeypatch):
    """State dicts of models before and after each refit, and their held-out ELBOs."""
    seen = []

    def watched(fit, model, rows, held_out, name, checkpoint, **settings):
        def elbo():
            x, observed = held_out
            eps = torch.randn(8, 1, model.noise_dim, generator=torch.Generator().manual_seed(0))
            with torch.no_grad():
                return float(model(x, observed, observed, eps).log_weight().mean())

        before, elbo_before = {k: v.clone() for k, v in model.state_dict().items()}, elbo()
        fit(model, rows, held_out, name, checkpoint, **settings)
        seen.append((before, model.state_dict(), elbo_before, elbo()))

    for fit in (refit.refit_encoder, refit.fit_prior):
        monkeypatch.setattr(trainee, fit.__name__, partial(watched, fit))
    return seen


def moved(before, after):
    return {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}


def test_after_a_critic_of_rows_own_scales_of_the_noise_move_too(table, refits):
    params = SMALL | {"divergence": "rows_adversarial", "likelihoods": "gaussian", "max_steps": 20}
    VAEAnomalyDetector(robust_weight=0, **params).fit(table)
    ((before, after, elbo_before, elbo_after),) = refits
    assert moved(before, after) == {"encoder", "posterior", "likelihood"}
    assert elbo_after > elbo_before - 0.05


@pytest.mark.parametrize("prior", ["full_mixture", "vamp"])
@pytest.mark.parametrize("params", OTHERS, ids=str)
def test_only_the_encoder_moves_and_the_bound_does_not_fall(table, refits, params, prior):
    VAEAnomalyDetector(prior=prior, robust_weight=0, **SMALL, **params).fit(table)
    ((before, after, elbo_before, elbo_after),) = refits
    assert moved(before, after) == {"encoder", "posterior"}
    assert elbo_after > elbo_before - 0.05  # by other draws than those that judged


def test_a_model_trained_by_the_elbo_is_left_alone(table, refits):
    VAEAnomalyDetector(**SMALL).fit(table)
    assert refits == []


def test_scores_stay_repeatable(table):
    detector = VAEAnomalyDetector(beta=4.0, **SMALL)
    scores = [detector.fit(table).score_samples(table) for _ in range(2)]
    np.testing.assert_array_equal(*scores)


def test_a_prior_that_comes_after_is_standard_normal_until_then(table, refits):
    VAEAnomalyDetector(robust_weight=0, **SMALL | {"max_steps": 20}, **AFTER).fit(table)
    ((before, after, elbo_before, elbo_after),) = refits
    assert moved(before, after) <= {"prior"}
    assert elbo_after > elbo_before - 0.05
    start = PRIORS["vae"](5, None, hidden_layer_sizes=(8,), generator=torch.Generator())
    fixed = ("prior.posterior", "prior.decoder.1", "prior.raw_scale")
    for name, value in start.state_dict(prefix="prior.").items():
        if name.startswith(fixed):  # all that its bound depends on
            torch.testing.assert_close(before[name], value)


def test_it_is_fitted_to_the_codes_of_an_encoder_that_has_its_bound_back(refits):
    kinds = np.random.default_rng(0).integers(2, size=(300, 1))  # which a small beta lets apart
    X = 6 * kinds * [1.0, -1.0, 0.5] + np.random.default_rng(1).normal(size=(300, 3))
    VAEAnomalyDetector(robust_weight=0, beta=0.02, **LONGER, **AFTER).fit(X)
    of_encoder, of_prior = refits
    assert moved(*of_encoder[:2]) == {"encoder", "posterior"}
    assert moved(*of_prior[:2]) == {"prior"}
    assert of_prior[3] > of_prior[2] + 0.1


def test_blocks_know_no_after(table):
    detector = VAEAnomalyDetector(**SMALL, **AFTER)
    with pytest.raises(ValueError, match="partial_fit never knows"):
        detector.partial_fit(table)
    with pytest.raises(ValueError, match="after must be True or False"):
        detector.set_params(prior_params={"after": "yes"}).fit(table)
