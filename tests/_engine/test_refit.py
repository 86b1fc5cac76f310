"""After a training by another objective the encoder is fitted to the ELBO, and nothing else."""

import numpy as np
import pytest
import torch
from common import SMALL

from skvae import VAEAnomalyDetector
from skvae._engine import refit, trainee

OTHERS = [
    {"beta": 4.0},
    {"beta": 0.0, "divergence": "mmd", "divergence_weight": 10.0},
    {"capacity": 3.0},
]


@pytest.fixture
def refits(monkeypatch):
    """State dicts of models before and after each refit, and their held-out ELBOs."""
    seen, fit = [], refit.refit_encoder

    def watched(model, rows, held_out, name, checkpoint, **settings):
        def elbo():
            x, observed = held_out
            eps = torch.randn(8, 1, model.latent_dim, generator=torch.Generator().manual_seed(0))
            with torch.no_grad():
                return float(model(x, observed, observed, eps).log_weight().mean())

        before, elbo_before = {k: v.clone() for k, v in model.state_dict().items()}, elbo()
        fit(model, rows, held_out, name, checkpoint, **settings)
        seen.append((before, model.state_dict(), elbo_before, elbo()))

    monkeypatch.setattr(trainee, "refit_encoder", watched)
    return seen


def test_after_a_critic_of_rows_own_scales_of_the_noise_move_too(table, refits):
    params = SMALL | {"divergence": "rows_adversarial", "likelihoods": "gaussian", "max_steps": 20}
    VAEAnomalyDetector(robust_weight=0, **params).fit(table)
    ((before, after, elbo_before, elbo_after),) = refits
    moved = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert moved == {"encoder", "posterior", "likelihood"}
    assert elbo_after > elbo_before - 0.05


@pytest.mark.parametrize("prior", ["full_mixture", "vamp"])
@pytest.mark.parametrize("params", OTHERS, ids=str)
def test_only_the_encoder_moves_and_the_bound_does_not_fall(table, refits, params, prior):
    VAEAnomalyDetector(prior=prior, robust_weight=0, **SMALL, **params).fit(table)
    ((before, after, elbo_before, elbo_after),) = refits
    moved = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert moved == {"encoder", "posterior"}
    assert elbo_after > elbo_before - 0.05  # by other draws than those that judged


def test_a_model_trained_by_the_elbo_is_left_alone(table, refits):
    VAEAnomalyDetector(**SMALL).fit(table)
    assert refits == []


def test_scores_stay_repeatable(table):
    detector = VAEAnomalyDetector(beta=4.0, **SMALL)
    scores = [detector.fit(table).score_samples(table) for _ in range(2)]
    np.testing.assert_array_equal(*scores)
