"""What a fitted model answers: scores, explanations and samples."""

from copy import copy

import numpy as np
import pandas as pd
import pytest
from common import REAL_PRIORS, SMALL

from skvae import VAEAnomalyDetector, VAETransformer
from skvae.nn import PRIORS


def test_score_is_the_mean_elbo(model, holed):
    assert model.score(holed) == pytest.approx(-model.negative_elbo(holed).mean())
    assert model.score_samples(holed) == pytest.approx(-model.negative_elbo(holed))


def test_bound_changes_score_samples_alone(model, holed):
    tighter = copy(model).set_params(bound="iwae")
    np.testing.assert_array_equal(tighter.negative_elbo(holed), model.negative_elbo(holed))
    np.testing.assert_array_equal(tighter.explain(holed), model.explain(holed))
    assert tighter.score(holed) == model.score(holed)
    assert (tighter.score_samples(holed) >= model.score_samples(holed)).all()


@pytest.mark.parametrize("device", ["gpu", None])
def test_a_device_that_is_none_is_named_when_scoring_too(model, table, device):
    with pytest.raises(ValueError, match=rf"'device' parameter .* Got {device!r} instead"):
        copy(model).set_params(device=device).score_samples(table)


def test_explain_adds_up_to_the_anomaly_score(model, holed):
    parts, rest = model.explain(holed, return_rest=True)
    np.testing.assert_array_equal(model.explain(holed), parts)
    total = model.negative_elbo(holed)
    np.testing.assert_allclose(parts.sum(axis=1) + rest.sum(axis=1), total, rtol=1e-9)


def test_explain_is_relative_to_what_is_normal(model, table):
    parts, rest = model.explain(table, return_rest=True)
    assert parts.shape == (400, 5)
    np.testing.assert_allclose(np.median(np.c_[parts, rest[:, 0]], axis=0), 0, atol=0.1)
    assert np.ptp(rest[:, 1]) == 0


def test_explain_gives_the_largest_part_to_the_odd_cell(table):
    model = VAETransformer(max_steps=300, members=["plain"], random_state=0).fit(table)
    for j in range(table.shape[1]):
        odd = table[:20].copy()
        odd[:, j] += 4 * table[:, j].std()
        by_column = model.explain(odd)
        assert (by_column.argmax(axis=1) == j).mean() >= 0.9


def test_explain_of_a_dataframe_is_a_dataframe(frame):
    model = VAETransformer(**SMALL).fit(frame)
    rows = frame.iloc[[7, 3]]
    parts, rest = model.explain(rows, return_rest=True)
    assert list(parts.columns) == list(frame.columns)
    assert list(rest.columns) == ["kl", "baseline"]
    assert list(parts.index) == list(rest.index) == ["row 7", "row 3"]
    total = parts.sum(axis=1) + rest.sum(axis=1)
    np.testing.assert_allclose(total, model.negative_elbo(rows), rtol=1e-9)


def test_what_anyone_asks_first_of_an_explanation_is_a_column(frame):
    model = VAETransformer(**SMALL).fit(frame)
    assert set(model.explain(frame).idxmax(axis=1)) <= set(frame.columns)


def test_sample_gives_the_container_fitted(table, frame):
    rows = VAETransformer(**SMALL).fit(frame).sample(3, random_state=0)
    assert isinstance(rows, pd.DataFrame)
    pd.testing.assert_series_equal(rows.dtypes, frame.dtypes)
    rows = VAETransformer(**SMALL).fit(table).sample()
    assert isinstance(rows, np.ndarray)
    assert rows.shape == (1, 5)


# "spike_slab" has no weights that follow the codes.
@pytest.mark.parametrize("prior", [name for name in REAL_PRIORS if name != "spike_slab"])
def test_samples_look_like_the_training_rows(table, prior):
    model = VAETransformer(prior=prior, max_steps=300, members=["plain"], random_state=0)
    rows = model.fit(table).sample(2000, random_state=0)
    np.testing.assert_allclose(
        (rows.mean(axis=0) - table.mean(axis=0)) / table.std(axis=0), 0, atol=0.3
    )
    np.testing.assert_allclose(rows.std(axis=0) / table.std(axis=0), 1, atol=0.3)


def test_sample_repeats_with_its_random_state(model):
    first, again, other = (model.sample(4, random_state=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).all()


def test_a_prior_of_ones_own_gets_examples_of_the_table(table):
    class Third(PRIORS["standard_normal"]):
        def __init__(self, latent_dim, examples, *, generator):
            self.third = examples[2, 1]
            super().__init__(latent_dim, examples, generator=generator)

    model = VAETransformer(**SMALL, prior=Third).fit(table)
    assert np.isfinite(float(model.model_.prior.third))
    with pytest.raises(ValueError, match=r"must be a dict of parameters of prior=.*Third"):
        VAETransformer(**SMALL, prior=Third, prior_params={"n_components": 3}).fit(table)


@pytest.mark.parametrize("seed", [-1, 2**32, 1.5, "x", True, np.random.default_rng(0)])
def test_the_source_of_draws_is_checked(model, table, seed):
    message = r"'random_state' parameter of VAETransformer must be an int in the range \[0, 4294"
    with pytest.raises((TypeError, ValueError), match=message):
        model.sample(1, random_state=seed)
    with pytest.raises((TypeError, ValueError), match=message):
        model.impute(table, 1, random_state=seed)
    with pytest.raises((TypeError, ValueError), match=message):
        model.impute(table, random_state=seed)


@pytest.mark.parametrize("likelihood", ["poisson", "negative_binomial", "zero_inflated"])
@pytest.mark.parametrize("top", [1e25, 1e38, 1e300])
def test_counts_of_any_size_are_fitted_scored_and_drawn(likelihood, top):
    X = np.floor(np.geomspace(1, top, 80)).reshape(-1, 2)
    model = VAETransformer(**SMALL, likelihoods=likelihood).fit(X)
    assert np.isfinite(model.score_samples(X)).all()
    assert np.isfinite(model.score_samples(model.sample(20, random_state=0))).all()


def test_sample_of_no_rows_is_refused(model):
    with pytest.raises(
        ValueError, match=r"'n_samples' .* must be an int in the range \[1, 2\*\*63\)\. Got 0"
    ):
        model.sample(0)


def test_both_estimators_have_codes(model, table):
    codes = VAEAnomalyDetector(**SMALL).fit(table).codes(table)
    np.testing.assert_array_equal(codes, model.codes(table))
    np.testing.assert_array_equal(codes, model.transform(table))
