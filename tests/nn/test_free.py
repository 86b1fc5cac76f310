"""A posterior without an encoder finds the exact one, and each row's by itself."""

import pickle

import numpy as np
import pytest
import torch
from common import REAL_PRIORS, SMALL
from scipy import stats
from test_refined import N_COLUMNS, build, scores

import skvae
from skvae import VAEAnomalyDetector, VAETransformer
from skvae.nn import PRIORS, DiagonalNormal, FreeGaussian, LinearModel

FREE = {"posterior": "free", "robust_weight": 0} | SMALL | {"max_steps": 8}


class Anywhere(FreeGaussian):
    """Begins where one says, and no more at the prior."""

    def _beginning(self, model, x):
        loc, scale = (part.expand(len(x), -1) for part in self.place)
        return DiagonalNormal(loc.contiguous(), scale.contiguous())


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_from_any_start_it_reaches_the_log_density_of_probabilistic_pca(seed):
    rng = np.random.default_rng(seed)
    loadings, noise = np.linalg.qr(rng.normal(size=(N_COLUMNS, 3)))[0] * [2.0, 1.0, 0.5], 0.4
    model = build(FreeGaussian if seed == 0 else Anywhere)
    parts = (np.zeros(N_COLUMNS), np.full(N_COLUMNS, noise), loadings, np.zeros((N_COLUMNS, 0)))
    with torch.no_grad():
        model.start(LinearModel(*map(torch.tensor, parts)))
    model.posterior.place = torch.tensor(4 * rng.normal(size=3)), torch.tensor(rng.random(3) + 0.1)
    x = 2 * rng.normal(size=(20, N_COLUMNS))
    covariance = loadings @ loadings.T + noise**2 * np.eye(N_COLUMNS)
    expected = stats.multivariate_normal(np.zeros(N_COLUMNS), covariance).logpdf(x)
    got = scores(model, x, np.ones(x.shape, dtype=bool))
    assert (got < expected + 1e-6).all()
    np.testing.assert_allclose(got, expected, atol=1e-3)


@pytest.mark.parametrize(("prior", "latent_dim"), [("full_mixture", 5), ("spike_slab", 3)])
def test_no_score_is_lower_than_at_the_start_and_none_depends_on_the_other_rows(prior, latent_dim):
    model = build(FreeGaussian, latent_dim, prior, (8,))
    rng = np.random.default_rng(0)
    observed = rng.random((24, N_COLUMNS)) < 0.8
    x = 2 * rng.normal(size=(24, N_COLUMNS)) * observed
    found = scores(model, x, observed)
    np.testing.assert_array_equal(scores(model, x[::-1], observed[::-1])[::-1], found)
    np.testing.assert_array_equal(scores(model, x[5:6], observed[5:6]), found[5:6])
    model.posterior.n_steps = 0
    assert (found - scores(model, x, observed)).min() >= 0
    assert np.median(found - scores(model, x, observed)) > 0.5


@pytest.mark.parametrize("name", [name for name in REAL_PRIORS if name != "vamp"])
def test_moments_of_a_prior_are_those_of_its_draws(name):
    generator = torch.Generator().manual_seed(0)
    prior = PRIORS[name](2, torch.zeros(1, 4), generator=generator)
    with torch.no_grad():
        p, drawn = prior(None), prior.sample(20_000, None, generator)
    tolerance = 0.5 if name == "vae" else 0.05  # there by 32 draws
    torch.testing.assert_close(p.mean, drawn.mean(0), atol=tolerance, rtol=0)
    torch.testing.assert_close(p.stddev, drawn.std(0), atol=tolerance, rtol=0)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"prior": "vamp"}, "prior='vamp' is made of .*posterior='free' has none. Use prior="),
        ({"divergence": "mmd"}, "divergence='mmd' moves codes by .*posterior='free' has none"),
        ({"prior": "codes"}, "posterior='free' has codes that are real, which prior='codes' is"),
    ],
)
def test_what_needs_an_encoder_is_refused_by_both_names(params, message):
    with pytest.raises(ValueError, match=message):
        VAEAnomalyDetector(posterior="free", **params).fit("no table")


@pytest.fixture
def quick(monkeypatch):
    """Fewer steps, for what does not hang on them."""
    monkeypatch.setattr(FreeGaussian, "n_steps", 4)
    monkeypatch.setattr(FreeGaussian, "n_training_steps", 3)


def test_a_fit_gives_all_that_rows_are_asked_for(holed, tmp_path, quick):
    model, rows = VAETransformer(**FREE, latent_dim=2).fit(holed[:60]), holed[:9]
    values, codes = model.score_samples(rows), model.codes(rows)
    skvae.save(model, tmp_path / "free.skvae")
    for again in (pickle.loads(pickle.dumps(model)), skvae.load(tmp_path / "free.skvae")):
        np.testing.assert_array_equal(again.score_samples(rows), values)
        np.testing.assert_array_equal(again.codes(rows[3:4]), codes[3:4])
    for made in (model.impute(rows), model.augment(rows), model.sample(9, random_state=0)):
        assert np.isfinite(made).all()
    with torch.no_grad():
        for weight in again.model_.encoder.parameters():
            weight.fill_(9.0)
    np.testing.assert_array_equal(again.score_samples(rows), values)
    again = again.partial_fit(holed[60:90])
    assert (again.score_samples(rows) != values).any()


def test_it_learns_and_a_class_may_stand_for_its_name(table, quick):
    params = FREE | {"latent_dim": 2, "max_steps": 20, "prior": "standard_normal"}
    model = VAETransformer(**params | {"posterior": FreeGaussian}).fit(table[:80])
    history = model.history_["validation"]
    assert history[-1] > history[0] + 0.5
    by_name = VAETransformer(**params).fit(table[:80])
    np.testing.assert_array_equal(by_name.score_samples(table[:9]), model.score_samples(table[:9]))
