"""Models that were trained against a critic: its word is kept apart, and scores are still nats."""

import pickle
from copy import copy
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from common import SMALL
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

import skvae
from skvae import VAEAnomalyDetector, VAETransformer
from skvae.nn import CodeCritic, RowCritic

QUICK = SMALL | {"max_steps": 10, "robust_weight": 0.0}
BOTH = pytest.mark.parametrize("divergence", ["adversarial", "rows_adversarial"])


@pytest.fixture(scope="module")
def table(table):
    return table[:150]


def weights(part):
    return [weight.clone() for weight in part.state_dict().values()]


@pytest.fixture(scope="module", params=["adversarial", "rows_adversarial"])
def fitted(request, table):
    return VAETransformer(divergence=request.param, **QUICK | {"max_steps": 30}).fit(table)


@BOTH
def test_a_critic_of_weight_0_is_none(divergence, table):
    with_it = VAETransformer(divergence=divergence, divergence_weight=0.0, **QUICK).fit(table)
    without = VAETransformer(**QUICK).fit(table)
    assert all(map(torch.equal, weights(with_it.model_), weights(without.model_)))
    assert with_it.critic_ is None


def test_the_bound_stays_near_that_of_a_model_trained_by_it(fitted, table):
    plain = VAETransformer(**QUICK | {"max_steps": 30}).fit(table)
    assert fitted.score(table) > plain.score(table) - 0.2


def test_it_is_repeatable_and_holds_its_bound(fitted, table):
    again = clone(fitted).fit(table)
    np.testing.assert_array_equal(again.critic_score(table), fitted.critic_score(table))
    np.testing.assert_array_equal(again.score_samples(table), fitted.score_samples(table))
    for weight in fitted.critic_.parameters():
        largest = np.linalg.svd(np.atleast_2d(weight.numpy()), compute_uv=False)[0]
        assert weight.ndim == 1 or largest <= 1 + 1e-5


def test_its_logits_are_of_a_row_and_of_no_other(fitted, table):
    logits = fitted.critic_score(table)
    assert logits.shape == (len(table),)
    assert np.ptp(logits) > 0
    np.testing.assert_array_equal(fitted.critic_score(table[::-1][:7]), logits[::-1][:7])


def test_files_and_pickles_keep_it(fitted, table, tmp_path):
    skvae.save(fitted, tmp_path / "model.skvae")
    for again in (skvae.load(tmp_path / "model.skvae"), pickle.loads(pickle.dumps(fitted))):
        np.testing.assert_array_equal(again.critic_score(table), fitted.critic_score(table))


def test_a_file_with_a_critic_of_another_model_is_refused(fitted, tmp_path):
    other = copy(fitted)
    other.critic_ = CodeCritic((2,)).begin(
        SimpleNamespace(latent_dim=9, parameters=fitted.model_.parameters), 0
    )
    skvae.save(other, tmp_path / "model.skvae")
    with pytest.raises(ValueError, match="holds no valid estimator"):
        skvae.load(tmp_path / "model.skvae")


def test_without_a_critic_the_way_to_one_is_named(table):
    model = VAEAnomalyDetector(divergence="mmd", **QUICK).fit(table)
    message = "VAEAnomalyDetector was fitted without a critic. Use divergence='adversarial' or"
    with pytest.raises(ValueError, match=message):
        model.critic_score(table)


def test_a_critic_that_is_given_is_no_part_of_a_fit(table):
    critic = CodeCritic(hidden_layer_sizes=(8,))
    search = GridSearchCV(
        VAETransformer(divergence=critic, **QUICK),
        {"divergence": [critic, RowCritic((4,), feature_weight=0.5)]},
        cv=2,
    ).fit(table)
    assert not list(critic.parameters())
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    models = [VAETransformer(divergence=critic, **QUICK).fit(table) for _ in range(2)]
    assert all(map(torch.equal, weights(models[0].critic_), weights(models[1].critic_)))
    assert models[0].critic_ is not models[1].critic_


@pytest.mark.parametrize("way", ["partial_fit", "fit"])
def test_a_training_that_goes_on_does_so_with_its_critic(way, table):
    model = VAETransformer(divergence="adversarial", warm_start=True, **QUICK)
    getattr(model, way)(table)
    before = weights(model.critic_)
    model.set_params(learning_rate_init=1e-9)
    getattr(model, way)(table)
    assert all(map(torch.allclose, weights(model.critic_), before, [1e-5] * 6, [1e-5] * 6))
    for other in ("rows_adversarial", None, "adversarial"):  # of other weights
        getattr(model.set_params(divergence=other), way)(table)
        assert (model.critic_ is None) == (other is None)
        assert np.isfinite(model.score(table))


def test_a_training_goes_on_where_a_member_has_a_critic_of_its_own(table):
    model = VAETransformer(**QUICK | {"members": [{"divergence": CodeCritic((4,))}]})
    model.partial_fit(table).partial_fit(table)
    model.set_params(members=[{"divergence": CodeCritic((5,))}])
    with pytest.raises(ValueError, match=r"'members' parameter .* when the training began"):
        model.partial_fit(table)


class Broken(CodeCritic):
    """Critic that leaves the numbers."""

    def own_loss(self, of_rows, of_model):
        return super().own_loss(of_rows, of_model) * float("nan")


@pytest.mark.filterwarnings("ignore:Training left the numbers")
@pytest.mark.parametrize("way", ["partial_fit", "fit"])
def test_a_critic_that_diverges_is_an_error_and_leaves_nothing(way, table):
    model = VAETransformer(divergence=Broken(), **QUICK)
    with pytest.raises(ValueError, match=r"Training diverged: .* Lower learning_rate_init"):
        getattr(model, way)(table)
    assert not hasattr(model, "model_")


def test_rows_of_all_kinds_are_drawn_given_a_context():
    rng = np.random.default_rng(0)
    kind = rng.choice(list("abc"), size=200)
    X = pd.DataFrame({"kind": kind, "size": rng.normal(size=200), "is_new": rng.random(200) < 0.3})
    X["level"] = pd.Categorical(rng.choice(["low", "high"], 200), ["low", "high"], ordered=True)
    X.loc[::7, "size"] = np.nan
    X.loc[::9, "kind"] = None
    model = VAETransformer(divergence="rows_adversarial", context=["kind"], **QUICK).fit(X)
    drawn = model.sample(5, random_state=0, context=pd.DataFrame({"kind": ["b"]}))
    assert (drawn["kind"] == "b").all()
    assert np.isfinite(model.score_samples(X)).all()
    assert np.isfinite(model.critic_score(X)).all()
