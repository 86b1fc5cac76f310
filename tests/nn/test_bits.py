"""Codes of bits: the enumerated sum, or a bound that rises to it as states evolve."""

from itertools import product

import numpy as np
import pytest
import torch
from common import SMALL, assert_that_states_answer
from scipy import special, stats

from skvae import VAEAnomalyDetector, VAETransformer
from skvae._table import Column
from skvae.nn import VAE, BernoulliPrior, BinaryPosterior, Gaussian, JointLikelihood, States

N_COLUMNS, N_ROWS = 5, 16
QUICK = SMALL | {"max_steps": 10, "robust_weight": 0}
BITS = {"posterior": "binary"}


def build(latent_dim, scale=0.5):
    """Linear model of bits, its loadings, and rows with their holes."""
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(N_ROWS, N_COLUMNS, generator=generator)
    model = (
        VAE(
            JointLikelihood([(Gaussian, [Column("x", "any")] * N_COLUMNS)]),
            latent_dim=latent_dim,
            hidden_layer_sizes=(),
            activation="silu",
            posterior=BinaryPosterior,
            prior=BernoulliPrior,
            examples=(rows, torch.ones_like(rows)),
            generator=generator,
        )
        .double()
        .requires_grad_(False)
    )
    model.decoder[-1].weight.copy_(torch.randn(N_COLUMNS, latent_dim, generator=generator))
    model.prior.logits.copy_(torch.randn(latent_dim, generator=generator))
    model.likelihood.blocks[0].scale.raw.fill_(scale)
    observed = torch.rand(N_ROWS, N_COLUMNS, generator=generator) < 0.8
    observed[0] = False
    return model, 2 * rows.double() * observed, observed


def log_joint(model, x, observed):
    """Log p(x, z) of all states, recomputed by scipy; (2**latent_dim, n)."""
    weight, bias = (part.numpy() for part in model.decoder[-1].parameters())
    scale = model.likelihood.blocks[0](torch.zeros(1, N_COLUMNS, 1).double()).scale.numpy()[0]
    on = special.expit(model.prior.logits.numpy())
    terms = []
    for bits in product([0, 1], repeat=model.latent_dim):
        z, mass = 2 * np.array(bits) - 1, np.where(bits, on, 1 - on).prod()
        by_cell = stats.norm(weight @ z + bias, scale).logpdf(x.numpy())
        terms.append(np.log(mass) + (by_cell * observed.numpy()).sum(-1))
    return np.array(terms)


def log_sum(terms):
    return special.logsumexp(terms, axis=0)


def bounds(model, x, observed, q):
    eps = torch.randn(7, 1, model.latent_dim, generator=torch.Generator().manual_seed(1)).double()
    terms = model.elbo(q, model.prior_distribution(), x, observed, observed, eps)
    return terms.log_weight().numpy()


@pytest.mark.parametrize("latent_dim", [1, 3, 8])
def test_every_draw_gives_the_enumerated_sum_up_to_8_bits(latent_dim):
    model, x, observed = build(latent_dim)
    got = bounds(model, x, observed, model.search(x, observed, x[:0]))
    expected = np.broadcast_to(log_sum(log_joint(model, x, observed)), got.shape)
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-9)
    assert got[0, 0] == pytest.approx(0)  # a row without a cell


def test_beyond_it_rises_with_the_generations_to_the_sum_and_never_above():
    model, x, observed = build(10, scale=1.5)
    terms, found = np.sort(log_joint(model, x, observed), axis=0), []
    for n_generations in (0, 2, 8, 32):
        model.posterior.n_generations = n_generations
        model.posterior.n_training_generations = n_generations
        got = bounds(model, x, observed, model.infer(x, observed))
        np.testing.assert_allclose(got, np.broadcast_to(got[0], got.shape), atol=1e-9)
        found.append(got[0])
    assert (np.diff(found, axis=0) >= -1e-9).all()
    best = log_sum(terms[-16:])
    assert (best < log_sum(terms)).all()
    assert (found[-1] <= best + 1e-9).all()
    assert np.median(best - found[0]) > 0.1
    assert np.median(best - found[-1]) < 0.05
    assert (best - found[-1] < 0.5).all()


def test_a_search_goes_on_where_training_ends():
    model, x, observed = build(10, scale=0.3)
    q = model.infer(x, observed)
    before, after = (
        bounds(model, x, observed, each)[0] for each in (q, model.search(x, observed, x[:0]))
    )
    assert (after >= before - 1e-9).all()
    assert (after > before + 0.01).any()


def test_states_are_drawn_by_their_shares():
    generator = torch.Generator().manual_seed(0)
    z = torch.tensor([[1.0, 1], [1, -1], [-1, 1], [-1, 1]]).unsqueeze(1).double()
    shares = torch.tensor([0.2, 0.5, 0.3, 0.0]).double()
    q = States(z, shares.log().unsqueeze(1))
    drawn = q.transport(torch.randn(20_000, 1, 2, generator=generator).double())
    for state, share in zip(z, shares[:3], strict=False):
        assert (drawn == state).all(-1).double().mean() == pytest.approx(share.item(), abs=0.015)
        assert q.log_prob(state).exp().item() == pytest.approx(share.item())
    assert q.log_prob(-z[0]).item() == -np.inf
    torch.testing.assert_close(q.mean, drawn.mean(0), atol=0.03, rtol=0)
    torch.testing.assert_close(q.variance, drawn.var(0), atol=0.03, rtol=0)


def test_masses_of_the_prior_add_up_and_draws_follow_them():
    generator = torch.Generator().manual_seed(0)
    prior = BernoulliPrior(3, None, generator=generator).requires_grad_(False)
    prior.logits.copy_(torch.tensor([-1.0, 0.5, 2.0]))
    every = torch.tensor(list(product([-1.0, 1.0], repeat=3)))
    assert prior(None).log_prob(every).exp().sum().item() == pytest.approx(1)
    drawn = prior.sample(20_000, None, generator)
    np.testing.assert_allclose(
        (drawn > 0).double().mean(0), special.expit([-1, 0.5, 2]), atol=0.015
    )
    assert (prior.sample(5, None, generator, 0.0) == torch.tensor([-1.0, 1.0, 1.0])).all()


MISFITS = [{"posterior": "binary", "prior": "full_mixture"}, {"prior": "bernoulli"}]
MISFITS += [{"posterior": "quantised", "prior": "full_mixture"}, {"prior": "codes"}]
MISFITS += [{"posterior": "binary", "prior": "codes"}]


@pytest.mark.parametrize("params", MISFITS)
def test_a_posterior_and_a_prior_that_do_not_fit_are_refused_by_both_names(params):
    names = {"posterior": "diagonal"} | params
    message = "posterior='{posterior}' has codes that are .*, which prior='{prior}' is not for"
    with pytest.raises(ValueError, match=message.format(**names)):
        VAEAnomalyDetector(**params).fit("no table")
    with pytest.raises(ValueError, match=message.format(**names)):
        VAEAnomalyDetector(members=[params]).fit("no table")


def test_a_divergence_is_refused():
    with pytest.raises(ValueError, match="divergence='mmd' moves codes that are real"):
        VAEAnomalyDetector(**BITS, divergence="mmd").fit("no table")


@pytest.mark.parametrize("latent_dim", ["auto", 10])
def test_what_rows_are_asked_for_is_there(holed, latent_dim, tmp_path):
    model = VAETransformer(**BITS, **QUICK, latent_dim=latent_dim).fit(holed)
    assert (np.abs(model.codes(holed[:9])) <= 1 + 1e-9).all()
    assert_that_states_answer(model, holed[:9], "bits", tmp_path)


def test_causes_that_are_on_or_off_are_found():
    rng = np.random.default_rng(0)
    loadings, on = 2 * rng.normal(size=(3, 6)), rng.random((600, 3)) < 0.4
    X = on @ loadings + 0.3 * rng.normal(size=(600, 6))
    params = {"robust_weight": 0, "members": ["plain"], "max_steps": 150, "random_state": 0}
    params |= {"latent_dim": 3, "likelihoods": "gaussian"}
    model = VAETransformer(**BITS, **params).fit(X[:500])
    plain = VAETransformer(**params).fit(X[:500])
    assert model.score(X[500:]) > plain.score(X[500:]) + 0.5
    drawn = model.sample(2_000, random_state=0)
    np.testing.assert_allclose(drawn.mean(0), X.mean(0), atol=0.5)


def test_states_are_drawn_as_they_are(table):
    model = VAETransformer(posterior="binary", prior="bernoulli", latent_dim=3, **SMALL).fit(table)
    with pytest.raises(ValueError, match=r"strength=2\.0: the posterior has codes that are bits"):
        model.augment(table[:2], strength=2.0)
    assert model.augment(table[:300], random_state=0).shape == (300, 5)
