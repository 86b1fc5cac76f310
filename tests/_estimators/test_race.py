"""The race: all candidates take some steps, and the one that leads takes the others."""

import numpy as np
import pytest
from common import SMALL

from skvae import VAEAnomalyDetector, VAETransformer
from skvae._estimators.race import HEAT

LENGTHS = {"max_steps": 40, "n_iter_no_change": None}
MEMBERS = [{"beta": 50.0}, {}, {"beta": 20.0}]  # the second has the best bound by far

SETTINGS = SMALL | LENGTHS | {"members": MEMBERS}


@pytest.fixture
def model(table):
    return VAEAnomalyDetector(**SETTINGS).fit(table)


def test_the_leader_takes_all_steps_and_the_others_their_share(model):
    n_heat = round(HEAT * LENGTHS["max_steps"])
    *candidates, _ = model.members_
    assert [each.n_steps for each in candidates] == [n_heat, LENGTHS["max_steps"], n_heat]
    assert [each.weight > 0 for each in candidates] == [False, True, False]
    assert model.n_steps_ == LENGTHS["max_steps"]


def test_the_leader_is_as_if_trained_alone(table, model):
    alone = VAEAnomalyDetector(**SMALL | LENGTHS | {"members": [{}]}).fit(table)
    np.testing.assert_array_equal(alone.score_samples(table), model.score_samples(table))
    assert alone.history_ == model.history_


def test_one_candidate_takes_all_its_steps(table):
    model = VAETransformer(**SMALL | LENGTHS | {"members": [{"beta": 2.0}]}).fit(table)
    assert model.members_[0].n_steps == LENGTHS["max_steps"]


def test_a_leader_whose_training_ended_in_its_heat_takes_no_further_step(table):
    members = [{"n_iter_no_change": 1, "learning_rate_init": 1e-9}, {"beta": 50.0}]
    model = VAETransformer(**SMALL | {"max_steps": 200, "members": members}).fit(table)
    assert model.members_[0].n_steps < 200


def test_ctrl_c_in_a_heat_keeps_what_was_begun(table, monkeypatch):
    from skvae._engine import training

    take, n_taken = training.Training._take, []

    def interrupted(self, step):
        n_taken.append(step)
        if len(n_taken) == 15:
            raise KeyboardInterrupt
        take(self, step)

    monkeypatch.setattr(training.Training, "_take", interrupted)
    with pytest.warns(UserWarning, match="interrupted at step 4 of 40"):
        model = VAETransformer(**SETTINGS, robust_weight=0).fit(table)
    assert len(model.members_) == 2
    assert np.isfinite(model.score(table))
