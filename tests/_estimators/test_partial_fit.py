"""Going on with the training: blocks, warm starts, and what cannot change."""

import pickle
import tempfile
from copy import deepcopy

import numpy as np
import pytest
from common import LONGER, SMALL, needs_cuda

from skvae import VAEAnomalyDetector, VAETransformer, load, save


def save_and_load(model):
    with tempfile.TemporaryDirectory() as folder:
        save(model, f"{folder}/model.skvae")
        return load(f"{folder}/model.skvae")


def fitted_state(model):
    return {name: id(value) for name, value in vars(model).items() if name.endswith("_")}


@pytest.mark.parametrize("estimator", [VAEAnomalyDetector, VAETransformer])
def test_blocks_train_further_and_count_on(table, estimator):
    model = estimator(**SMALL, batch_size=20, prior="standard_normal")
    elbos = [model.partial_fit(block).score(table) for block in np.split(table, 4) * 4]
    assert elbos[0] < elbos[3] < elbos[-1]
    assert model.n_steps_ == 80
    assert model.history_["step"] == list(range(5, 81, 5))
    assert np.isnan(model.history_["validation"]).all()
    assert model.history_["train"][-1] == pytest.approx(elbos[-1], abs=2)
    assert [each.weight for each in model.members_] == [0.65, 0.35]


@pytest.mark.parametrize(
    "way", [deepcopy, lambda model: pickle.loads(pickle.dumps(model)), save_and_load]
)
def test_a_copy_goes_on_bit_by_bit(table, way):
    model = VAEAnomalyDetector(**SMALL, batch_size=50).partial_fit(table[:200])
    again = way(model)
    for one in (model, again):
        one.partial_fit(table[200:])
    np.testing.assert_array_equal(again.decision_function(table), model.decision_function(table))


def test_the_first_block_decides_on_the_encoding(frame):
    X = frame.assign(text=np.where(np.arange(len(frame)) < 200, "early", "late"))
    model = VAETransformer(**SMALL, prior="standard_normal").partial_fit(X[:200])
    columns, scores = model.table_.columns_, model.score_samples(X)
    model.partial_fit(X[200:] * 1)
    assert model.table_.columns_ is columns
    assert columns[-1].levels == ("early",)
    assert (scores != model.score_samples(X)).all()


@pytest.mark.parametrize("n", [1, 2, 19, 21])
def test_blocks_may_be_small(table, n):
    model = VAEAnomalyDetector(**SMALL).partial_fit(table[: max(2, n)]).partial_fit(table[:n])
    assert np.isfinite(model.decision_function(table)).all()
    assert len(model.members_) == (2 if n > 19 else 1)


CHANGED = {
    **{"latent_dim": 1, "hidden_layer_sizes": (8,), "activation": "tanh", "posterior": "full"},
    **{"prior": "mixture", "prior_params": {"n_components": 3}, "likelihoods": "student_t"},
    **{"min_frequency": 2, "max_categories": 7, "missing": "model", "robust_weight": 0.5},
    **{"scale_floor": 0.1, "members": ["plain"], "context": [0]},
}


@pytest.mark.parametrize("way", ["fit", "partial_fit"])
def test_what_there_is_to_train_cannot_change_on_the_way(table, way):
    model = VAEAnomalyDetector(**SMALL, warm_start=True).fit(table[:50])
    assert CHANGED.keys() == model.architecture_.keys()
    before, params = fitted_state(model), model.get_params()
    for name, value in CHANGED.items():
        model.set_params(**{name: value})
        with pytest.raises(ValueError, match=f"The '{name}' parameter .* when the training began"):
            getattr(model, way)(table)
        model.set_params(**{name: params[name]})
    assert fitted_state(model) == before
    model.set_params(hidden_layer_sizes=[16], learning_rate_init=1e-3, beta=0.5)
    getattr(model, way)(table[:50])


@pytest.mark.parametrize("way", ["fit", "partial_fit"])
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda X: X.drop(columns="a"), "feature names should match"),
        (lambda X: X.rename(columns={"a": "z"}), "feature names should match"),
        (lambda X: X.assign(a=np.inf), "'a' contains infinity"),
        (lambda X: X.assign(flag=2), "'flag': the 'bernoulli' likelihood needs values 0 and 1"),
        (lambda X: X.assign(a="text"), r"'a': the '\w+' likelihood needs numbers"),
        (lambda X: X[:0], "0 sample"),
    ],
)
def test_a_bad_block_changes_nothing(frame, way, spoil, message):
    model = VAEAnomalyDetector(**SMALL, prior="standard_normal", warm_start=True)
    model.partial_fit(frame[:100])
    before, scores = fitted_state(model), model.score_samples(frame)
    with pytest.raises(ValueError, match=message):
        getattr(model, way)(spoil(frame))
    assert fitted_state(model) == before
    np.testing.assert_array_equal(model.score_samples(frame), scores)


@pytest.mark.parametrize("broken", ["Training", "pass_over"])
def test_training_that_breaks_off_changes_nothing(table, monkeypatch, broken):
    def breaks_off(model, *args, **kwargs):
        for weight in model.parameters():
            weight.data.zero_()
        raise KeyboardInterrupt

    model = VAEAnomalyDetector(**SMALL, warm_start=True).partial_fit(table)
    before, scores = fitted_state(model), model.score_samples(table)
    monkeypatch.setattr(f"skvae._engine.trainee.{broken}", breaks_off)
    with pytest.raises(KeyboardInterrupt):
        (model.fit if broken == "Training" else model.partial_fit)(table)
    assert fitted_state(model) == before
    np.testing.assert_array_equal(model.score_samples(table), scores)


def test_a_warm_start_continues_from_the_weights_at_hand(table):
    model = VAEAnomalyDetector(**LONGER, warm_start=True).fit(table)
    cold, encoder = model.score(table), model.table_
    model.set_params(max_steps=5, learning_rate_init=1e-5).fit(table)
    assert model.score(table) == pytest.approx(cold, abs=0.2)
    assert model.table_ is encoder
    assert model.n_steps_ == 65
    assert model.history_["step"] == sorted(set(model.history_["step"]))
    model.set_params(warm_start=False).fit(table)
    assert model.n_steps_ == 5
    assert model.score(table) < cold - 0.5


def test_a_warm_start_from_nothing_is_a_fit(table):
    models = [VAEAnomalyDetector(**SMALL, warm_start=way).fit(table) for way in (True, False)]
    np.testing.assert_array_equal(*(model.decision_function(table) for model in models))


def test_passes_follow_fits_and_fits_passes(table):
    model = VAETransformer(**SMALL, warm_start=True).fit(table)
    assert model.optimizers_ == []
    model.partial_fit(table)
    assert len(model.optimizers_) == 2
    model.fit(table)
    assert model.n_steps_ == 20 + 2 + 20


@needs_cuda
def test_training_goes_on_on_cuda(table):
    model = VAETransformer(**SMALL, device="cuda").partial_fit(table).partial_fit(table)
    assert {value.device.type for value in model.optimizers_[0].values()} == {"cpu"}
    assert np.isfinite(model.score(table))
