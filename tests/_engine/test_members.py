"""Candidates are judged by held-out nats alone, and what is kept is what scores."""

import pickle

import numpy as np
import pytest

from skvae import VAEAnomalyDetector, VAETransformer, load, save
from skvae._engine import CANDIDATES, Recipe, candidate_recipes, chosen, unseen
from skvae._table.columns import EncodedTable

FAST = {"hidden_layer_sizes": (16,), "max_steps": 60, "random_state": 0}
ESTIMATORS = [VAEAnomalyDetector, VAETransformer]


@pytest.fixture(scope="module")
def fitted(table):
    return VAEAnomalyDetector(**FAST).fit(table)


def kept(model):
    return [each for each in model.members_ if each.model is not None]


def test_the_candidate_with_the_most_held_out_nats_is_kept(fitted):
    *candidates, robust = fitted.members_
    assert [each.name for each in candidates] == list(CANDIDATES)
    (best,) = [each for each in candidates if each.model is not None]
    assert best.nats == max(each.nats for each in candidates)
    assert fitted.model_ is best.model
    assert (best.weight, robust.weight, robust.name) == (0.65, 0.35, "robust")
    assert fitted.n_steps_ == best.n_steps


def test_the_nats_are_those_of_the_rows_held_out(table):
    model = VAEAnomalyDetector(**FAST, robust_weight=0, cv=None).fit(table)
    (main,) = kept(model)
    assert main.nats == pytest.approx(model.calibration_scores_.mean(), rel=1e-12)


def test_a_candidate_alone_is_what_it_is_among_others(table, fitted):
    alone = VAEAnomalyDetector(**FAST, members=[kept(fitted)[0].name]).fit(table)
    np.testing.assert_array_equal(alone.score_samples(table), fitted.score_samples(table))
    assert len(alone.members_) == 2


def test_settings_stand_in_for_parameters(table):
    settings = {"hidden_layer_sizes": (), "prior": "standard_normal", "latent_dim": 2}
    (of_settings,) = VAETransformer(
        **FAST, members=[settings], robust_weight=0
    ).fit(table).members_  # fmt: skip
    same = VAETransformer(**FAST | settings, members=[{}], robust_weight=0).fit(table)
    assert (of_settings.name, of_settings.settings) == ("member 1", settings)
    model = of_settings.model.state_dict()
    assert all((model[k] == weight).all() for k, weight in same.model_.state_dict().items())


def test_members_may_have_latent_spaces_of_their_own(table):
    members = [{"latent_dim": k, "max_steps": 1 + 59 * (k == 3)} for k in (1, 3, 5)]
    model = VAETransformer(**FAST, members=members).fit(table)
    assert model.transform(table).shape == (400, model.model_.latent_dim)
    assert np.isfinite(model.explain(table)).all()
    assert model.draws_.shape == (4, 1, 5)


@pytest.mark.parametrize("latent_dim", [1, 2])
def test_noise_is_wide_enough_for_the_robust_member(latent_dim, table):
    params = FAST | {"max_steps": 3, "members": [{"latent_dim": latent_dim}]}
    model = VAETransformer(**params).fit(table)
    widths = [each.model.latent_dim for each in model.members_]
    assert widths[0] < widths[1] == model.draws_.shape[-1]
    alone = VAETransformer(**params | {"robust_weight": 1}).fit(table)
    assert np.isfinite(alone.score_samples(table)).all()


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_copies_and_files_keep_the_members(table, estimator, tmp_path):
    model = estimator(**FAST).fit(table)
    save(model, tmp_path / "model.skvae")
    for again in (pickle.loads(pickle.dumps(model)), load(tmp_path / "model.skvae")):
        np.testing.assert_array_equal(again.score_samples(table), model.score_samples(table))
        for one, other in zip(again.members_, model.members_, strict=True):
            assert (one.name, one.settings, one.nats) == (other.name, other.settings, other.nats)


def test_training_goes_on_with_the_member_that_was_kept(table):
    model = VAEAnomalyDetector(**FAST, warm_start=True).fit(table)
    name, n_steps = kept(model)[0].name, kept(model)[0].n_steps
    model.fit(table)
    assert [each.name for each in model.members_] == [name, "robust"]
    assert model.members_[0].n_steps == n_steps + model.history_["step"][-1] - n_steps
    model.partial_fit(table)
    assert [each.name for each in model.members_] == [name, "robust"]


@pytest.mark.parametrize("n", [2, 19])
def test_without_rows_that_judge_the_first_is_taken(table, n):
    model = VAETransformer(**FAST).fit(table[:n])
    assert [each.name for each in model.members_] == ["cautious"]
    assert np.isnan(model.members_[0].nats)


def test_mixed_columns_holes_and_labels_are_judged_too(frame, holed):
    X = frame.assign(a=holed[:, 0], text=np.where(frame["b"] > 0, "x", None))
    y = np.repeat([0, -1], [380, 20])
    model = VAEAnomalyDetector(**FAST, use_labels=True).fit(X, y)
    assert np.isfinite([each.nats for each in model.members_]).all()


def test_the_page_of_an_estimator_shows_its_members(fitted):
    for page in (fitted._repr_html_(), fitted._repr_mimebundle_()["text/html"]):
        assert all(f"<td>{name}</td>" in page for name in [*CANDIDATES, "robust"])
        assert "held-out nats a row" in page
    assert "held-out nats" not in VAETransformer()._repr_html_()


# Recipes.


def recipes(members="auto", n_rows=500, **parameters):
    return candidate_recipes(Recipe.of(VAEAnomalyDetector(**parameters)), members, n_rows)


def test_names_decide_only_what_is_open():
    floors = {name: recipe.scale_floor for name, _, recipe in recipes()}
    assert floors == {"cautious": "auto", "plain": "auto", "dense": 0.02}
    assert {recipe.scale_floor for _, _, recipe in recipes(scale_floor=0.1)} == {0.1}
    assert {recipe.most_codes for _, _, recipe in recipes(latent_dim=3)} == {0}


def test_equal_recipes_are_trained_once():
    assert [name for name, _, _ in recipes([{}, "cautious", {"beta": 1.0}])] == ["member 1"]
    assert len(recipes(scale_floor=0.1, latent_dim=3)) == 2


@pytest.mark.parametrize(
    ("posterior", "prior"),
    [("diagonal", "full_mixture"), ("binary", "bernoulli"), ("quantised", "codes")],
)
def test_the_prior_is_that_of_the_codes_unless_it_is_named(posterior, prior):
    settings = {"posterior": posterior}
    for found in (recipes(**settings), recipes([settings])):
        assert {recipe.prior for _, _, recipe in found} == {prior}
    ((_, _, named),) = recipes([{**settings, "prior": "vamp"}])
    assert named.prior == "vamp"


@pytest.mark.parametrize(
    ("names", "sizes"),
    [(list(CANDIDATES), (20, 699)), (["plain", "dense"], (700, 2999)), (["dense"], (3000, 10**6))],
)
def test_of_many_rows_there_are_fewer_candidates(names, sizes):
    for n in sizes:
        assert [name for name, _, _ in recipes(n_rows=n)] == names
        assert [name for name, _, _ in recipes(list(CANDIDATES), n_rows=n)] == list(CANDIDATES)


@pytest.mark.parametrize(
    ("n", "expected"), [(10, 300), (768, 300), (1024, 400), (5120, 2000), (10**6, 2000)]
)
def test_auto_steps_are_a_hundred_passes_within_bounds(n, expected):
    assert {recipe.max_steps for _, _, recipe in recipes(n_rows=n)} == {expected}
    assert {recipe.max_steps for _, _, recipe in recipes(n_rows=n, max_steps=7)} == {7}


@pytest.mark.parametrize(
    ("means", "expected"), [([1, 3, 2], 1), ([2, 2, 1], 0), ([-np.inf, -5, -6], 1)]
)
def test_the_highest_mean_is_chosen_and_of_equals_the_first(means, expected):
    assert chosen(np.repeat(np.array(means, float)[:, None], 4, axis=1)) == expected
    assert chosen(np.empty((3, 0))) == 0


def test_copies_of_fitted_rows_do_not_judge():
    values = np.arange(60.0).reshape(30, 2)
    table = EncodedTable(values, np.ones_like(values, dtype=bool))
    fitted = table.take(slice(0, 8))
    np.testing.assert_array_equal(unseen(table, fitted), np.arange(30) >= 8)
    assert unseen(table, table.take(slice(0, 20))).all()  # hardly any would be left
    holes = table._replace(observed=values > 5)
    assert unseen(holes, fitted)[:3].all()  # a hole is no 0
