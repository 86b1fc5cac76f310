"""Clusters with nets of their own: found, scored, explained, kept and refused."""

import pickle

import numpy as np
import pytest
from common import SMALL
from sklearn.base import clone

import skvae
from skvae import VAEClusterer
from skvae.nn import ComponentLabel, Experts

QUICK = SMALL | {"init": "linear", "robust_weight": 0}


@pytest.fixture(scope="module")
def crossed():
    return rows_that_cross(0)


def rows_that_cross(seed):
    """200 rows of two kinds, of which one column rises with the others or falls; with holes."""
    rng = np.random.default_rng(seed)
    kinds, size = rng.integers(2, size=200), rng.normal(size=200)
    X = np.column_stack([size, np.where(kinds == 0, size, -size), 0.5 * size])
    X += 0.1 * rng.normal(size=X.shape)
    X[rng.random(X.shape) < 0.03] = np.nan
    return X, kinds


@pytest.fixture(scope="module")
def fitted(crossed):
    params = QUICK | {"latent_dim": 1, "max_steps": 120}
    return VAEClusterer(n_clusters=2, experts=True, **params).fit(crossed[0])


def test_each_cluster_has_nets_of_its_own_which_raise_the_bound(fitted, crossed):
    shared = clone(fitted).set_params(experts=False).fit(crossed[0])
    assert type(fitted.model_) is Experts
    assert len(fitted.model_.encoder) == len(fitted.model_.decoder) == fitted.n_clusters_ == 2
    others, _ = rows_that_cross(1)
    assert fitted.score(others) > shared.score(others) + 0.1


def test_probabilities_and_parts_of_scores_add_up_bit_by_bit_in_any_order(fitted, crossed):
    X, _ = crossed
    proba, scores = fitted.predict_proba(X), fitted.score_samples(X)
    np.testing.assert_allclose(proba.sum(axis=1), 1, atol=1e-12)
    np.testing.assert_array_equal(fitted.labels_, proba.argmax(axis=1))
    parts, rest = fitted.explain(X, return_rest=True)
    np.testing.assert_allclose(parts.sum(axis=1) + rest.sum(axis=1), -scores, atol=1e-9)
    order = np.random.default_rng(1).permutation(200)[:77]
    np.testing.assert_array_equal(fitted.score_samples(X[order]), scores[order])
    np.testing.assert_array_equal(fitted.predict_proba(X[order]), proba[order])


def test_codes_are_those_of_an_expert_and_its_share(fitted, crossed):
    X, _ = crossed
    codes, std = fitted.codes(X, return_std=True)
    assert codes.shape == std.shape == (200, 1 + 2)
    np.testing.assert_allclose(codes[:, 1:].sum(axis=1), 1, atol=1e-12)
    assert (codes[:, 1:].argmax(axis=1) == fitted.labels_).mean() > 0.9
    assert np.isfinite(std).all()


def test_rows_are_made_and_filled(fitted, crossed):
    X, _ = crossed
    drawn = fitted.sample(2_000, random_state=0)
    rising = (drawn[:, 0] * drawn[:, 1] > 0).mean()
    assert 0.25 < rising < 0.75
    assert (drawn[:, 0] * drawn[:, 2] > 0).mean() > 0.7
    filled = fitted.impute(X)
    np.testing.assert_array_equal(filled[~np.isnan(X)], X[~np.isnan(X)])
    made = fitted.impute(X, n_draws=2, random_state=0), fitted.interpolate(X[:2], X[2:4])
    made += filled, fitted.augment(X[:3], n=2, random_state=0)
    assert all(np.isfinite(each).all() for each in made)
    assert fitted.expected(X[:2]).shape[0] == 2


def test_files_and_pickles_score_alike(fitted, crossed, tmp_path):
    X, _ = crossed
    skvae.save(fitted, tmp_path / "model.skvae")
    for other in (skvae.load(tmp_path / "model.skvae"), pickle.loads(pickle.dumps(fitted))):
        np.testing.assert_array_equal(other.score_samples(X), fitted.score_samples(X))
        np.testing.assert_array_equal(other.predict_proba(X), fitted.predict_proba(X))


def test_training_that_goes_on_keeps_the_experts(fitted, crossed):
    X, _ = crossed
    later = pickle.loads(pickle.dumps(fitted)).partial_fit(X)
    assert (later.predict(X) == fitted.labels_).mean() > 0.8
    warm = pickle.loads(pickle.dumps(fitted)).set_params(warm_start=True, max_steps=5).fit(X)
    assert type(warm.model_) is type(later.model_) is Experts
    with pytest.raises(ValueError, match="'experts' parameter of VAEClusterer was True"):
        later.set_params(experts=False).partial_fit(X)


def test_one_expert_is_the_plain_model_bit_for_bit(crossed):
    X, _ = crossed
    params = QUICK | {"n_clusters": 1, "max_steps": 10}
    models = [VAEClusterer(experts=own, **params).fit(X) for own in (False, True)]
    np.testing.assert_array_equal(*(model.score_samples(X) for model in models))


def test_rows_that_all_come_to_one_expert_are_named_by_a_warning():
    params = QUICK | {"init": "random", "max_steps": 1}
    with pytest.warns(UserWarning, match="All rows are in one of 2 clusters"):
        VAEClusterer(n_clusters=2, experts=True, **params).fit(np.zeros((50, 2)))


def test_blocks_and_an_open_number_of_experts(crossed):
    X, _ = crossed
    model = VAEClusterer(n_clusters="auto", experts=True, **QUICK).partial_fit(X).partial_fit(X)
    assert len(model.model_.decoder) == model.n_clusters_ == model.predict_proba(X).shape[1]
    assert np.isfinite(model.score(X))


@pytest.mark.parametrize(
    ("params", "wrong"),
    [
        ({"posterior": "free"}, "posterior='free'"),
        ({"posterior": "refined"}, "posterior='refined'"),
        ({"prior": "gmvae"}, "prior='gmvae'"),
        ({"divergence": "mmd"}, "divergence='mmd'"),
        ({"likelihoods": {2: ComponentLabel}}, "a column whose classes"),
    ],
)
def test_what_cannot_have_experts_is_refused(crossed, params, wrong):
    X = np.column_stack([crossed[0][:, :2], crossed[1]])
    with pytest.raises(ValueError, match=f"experts=True takes a posterior .* Got {wrong}"):
        VAEClusterer(n_clusters=2, experts=True, **QUICK | params).fit(X)


def test_what_experts_cannot_say_is_refused(fitted, crossed):
    with pytest.raises(ValueError, match="codes that are experts: read them by codes"):
        fitted.latent_report(crossed[0])
    with pytest.raises(TypeError, match="'experts' parameter of VAEClusterer must be a bool"):
        VAEClusterer(experts=2).fit(crossed[0])
