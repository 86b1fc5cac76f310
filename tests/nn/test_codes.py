"""Codes from a codebook: the enumerated sum, or a bound that further candidates never lower."""

from itertools import product

import numpy as np
import pytest
import torch
from common import SMALL, assert_that_states_answer
from scipy import special, stats
from sklearn.mixture import GaussianMixture

from skvae import VAEAnomalyDetector, VAETransformer
from skvae._table import Column
from skvae.nn import VAE, Codes, CodesPrior, Gaussian, JointLikelihood, QuantisedPosterior
from skvae.nn.codes import _k_means

N_COLUMNS, N_ROWS = 5, 16
QUICK = SMALL | {"max_steps": 10, "robust_weight": 0}
CODES = {"posterior": "quantised"}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def build(latent_dim, **params):
    """Linear model of codes, and rows with their holes."""
    generator = seeded()
    rows = torch.randn(N_ROWS, N_COLUMNS, generator=generator)
    model = (
        VAE(
            JointLikelihood([(Gaussian, [Column("x", "any")] * N_COLUMNS)]),
            latent_dim=latent_dim,
            hidden_layer_sizes=(),
            activation="silu",
            posterior=QuantisedPosterior,
            prior=lambda *args, **own: CodesPrior(*args, **own, **params),
            examples=(rows, torch.ones_like(rows)),
            generator=generator,
        )
        .double()
        .requires_grad_(False)
    )
    for weight in (model.decoder[-1].weight, model.prior.logits, model.prior.slopes):
        weight.copy_(torch.randn(weight.shape, generator=generator))
    model.likelihood.blocks[0].scale.raw.fill_(0.5)
    observed = torch.rand(N_ROWS, N_COLUMNS, generator=generator) < 0.8
    observed[0] = False
    return model, 2 * rows.double() * observed, observed


def scale_of(model):
    return model.likelihood.blocks[0](torch.zeros(1, N_COLUMNS, 1).double()).scale.numpy()[0]


def log_sum(model, x, observed):
    """Log p(x) by all pairs of codes of two slots, recomputed by scipy; (n,)."""
    weight, bias = (part.numpy() for part in model.decoder[-1].parameters())
    codebook, width = model.prior.codebook.numpy(), model.prior.sizes[0]
    logits, slopes = (part.numpy() for part in (model.prior.logits, model.prior.slopes))
    first, terms = special.log_softmax(logits[0]), []
    for one, other in product(range(len(codebook)), repeat=2):
        z = np.concatenate([codebook[one, :width], codebook[other, width:]])
        log_mass = first[one] + special.log_softmax(logits[1] + slopes[1, 0, one])[other]
        by_cell = stats.norm(weight @ z + bias, scale_of(model)).logpdf(x.numpy())
        terms.append(log_mass + (by_cell * observed.numpy()).sum(-1))
    return special.logsumexp(terms, axis=0)


def bounds(model, x, observed):
    eps = torch.randn(7, 1, model.latent_dim, generator=seeded(1)).double()
    q = model.search(x, observed, x[:0])
    terms = model.elbo(q, model.prior_distribution(), x, observed, observed, eps)
    return terms.log_weight().numpy()


@pytest.mark.parametrize(("latent_dim", "n_codes"), [(2, 1), (3, 4), (5, 16)])
def test_every_draw_gives_the_enumerated_sum_where_all_choices_are_looked_at(latent_dim, n_codes):
    model, x, observed = build(latent_dim, n_codes=n_codes)
    got = bounds(model, x, observed)
    expected = np.broadcast_to(log_sum(model, x, observed), got.shape)
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-9)
    assert got[0, 0] == pytest.approx(0)  # a row without a cell


def test_of_one_slot_and_a_linear_decoder_it_is_a_mixture_with_tied_covariance():
    model, x, _ = build(3, n_codes=6, n_slots=1)
    weight, bias = (part.numpy() for part in model.decoder[-1].parameters())
    mixture = GaussianMixture(6, covariance_type="tied")
    mixture.weights_ = special.softmax(model.prior.logits.numpy()[0])
    mixture.means_ = model.prior.codebook.numpy() @ weight.T + bias
    mixture.covariances_ = np.diag(scale_of(model) ** 2)
    mixture.precisions_cholesky_ = np.diag(1 / scale_of(model))
    got = bounds(model, x, torch.ones_like(x))[0]
    np.testing.assert_allclose(got, mixture.score_samples(x.numpy()), atol=1e-9)


def test_further_candidates_never_lower_a_score_and_all_give_the_sum():
    model, x, observed = build(4, n_codes=8, n_slots=2)
    model.posterior.most_states, found = 63, []
    for n_candidates in (1, 2, 8, 15, 99):  # there are 14 other codes of a slot
        model.posterior.n_candidates = n_candidates
        got = bounds(model, x, observed)
        np.testing.assert_allclose(got, np.broadcast_to(got[0], got.shape), atol=1e-9)
        found.append(got[0])
    gains = np.diff([*found, log_sum(model, x, observed)], axis=0)
    assert (gains >= -1e-9).all()
    assert (gains.max(1)[[0, 1, 2, 4]] > 0.01).all()
    np.testing.assert_array_equal(found[3], found[4])


def test_candidates_are_the_nearest_codes_and_then_single_swaps_by_distance():
    model, *_ = build(2, n_codes=20)
    model.posterior.n_candidates = 4
    codebook = torch.arange(20.0).unsqueeze(1).expand(-1, 2).contiguous().double()
    p = Codes(codebook, [1, 1], model.prior.logits, model.prior.slopes)
    near = torch.tensor([[3.3, 7.1]]).double()
    found = model.posterior._candidates(p, near)[:, 0]
    assert found.tolist() == [[3, 7], [4, 7], [3, 8], [3, 6]]


def test_equal_codes_never_make_a_bound_too_high():
    model, x, observed = build(2, n_codes=4)
    expected = log_sum(model, x, observed)
    model.prior.codebook[1] = model.prior.codebook[0]
    model.prior.logits[:, 0] = 3.0
    exact = log_sum(model, x, observed)
    assert np.abs(exact - expected).max() > 0.1
    assert (bounds(model, x, observed) <= exact + 1e-9).all()


def test_masses_of_choices_add_up_and_draws_follow_them():
    prior = CodesPrior(4, None, n_codes=3, n_slots=3, generator=seeded()).requires_grad_(False)
    assert prior.sizes == [2, 1, 1]
    for weight in (prior.logits, prior.slopes):
        weight.copy_(torch.randn(weight.shape, generator=seeded(1)))
    p = prior(None)
    masses = p.log_prob(p.embed(p.every())).exp()
    assert len(masses) == p.n_states == 27
    assert masses.sum().item() == pytest.approx(1)
    assert p.log_prob(torch.zeros(4)).item() == -np.inf
    drawn = prior.sample(20_000, None, seeded())
    shares = (drawn.unsqueeze(1) == p.embed(p.every())).all(-1).float().mean(0)
    np.testing.assert_allclose(shares, masses, atol=0.015)
    likeliest = p.every()[p.log_mass_of_slot(0, p.every())[0].argmax() * 9, 0]
    assert (prior.sample(5, None, seeded(), 0.0)[:, :2] == p.codes[0][likeliest]).all()
    top = masses.view(3, 9).sum(1)
    assert prior.perplexity()[0].item() == pytest.approx(np.exp(stats.entropy(top)), rel=1e-5)
    last = masses.view(9, 3).sum(0)
    assert prior.perplexity()[2].item() == pytest.approx(np.exp(stats.entropy(last)), rel=0.02)


def test_codes_begin_at_k_means_whose_counts_are_those_of_their_rows():
    centres = 9 * torch.randn(5, 2, generator=seeded(3))
    kinds = torch.arange(200) % 5
    rows = centres[kinds] + 0.1 * torch.randn(200, 2, generator=seeded(1))
    found, counts = _k_means(rows, 5, seeded())
    means = torch.stack([rows[kinds == kind].mean(0) for kind in range(5)])
    order, expected = (part[part[:, 0].argsort()] for part in (found, means))
    torch.testing.assert_close(order, expected)
    assert counts.tolist() == [40.0] * 5
    found, counts = _k_means(torch.ones(9, 2), 3, seeded())
    assert counts.sum() == 9
    assert found.isfinite().all()


def test_the_encoder_is_drawn_to_the_codes_and_the_bound_is_as_without():
    model, x, observed = build(2, n_codes=20)
    model.requires_grad_(True)
    eps = torch.zeros(N_ROWS, 2).double()
    terms = model(x, observed.double(), observed.double(), eps)
    (slope,) = torch.autograd.grad(terms.kl.sum(), model.posterior.head.bias, retain_graph=True)
    with torch.no_grad():
        q, near = model.infer(x, observed), model.posterior._encoded(model, x, observed)
        torch.testing.assert_close(slope, (0.5 * (near - q.mean)).sum(0))
        np.testing.assert_allclose(terms.log_weight(), bounds(model, x, observed)[0], atol=1e-9)
    (slope,) = torch.autograd.grad(terms.of_row().sum(), model.prior.codebook)
    assert (slope != 0).any()


def test_more_codes_than_rows_are_refused(table):
    model = VAEAnomalyDetector(**CODES, prior_params={"n_codes": 40}, members=[{}])
    with pytest.raises(ValueError, match=r"its 40 codes at as many rows\. Got 27, those held out"):
        model.fit(table[:30])


@pytest.mark.parametrize("params", [{"n_codes": 0}, {"n_slots": 1.5}])
def test_sizes_that_are_none_are_refused_before_data_is_touched(params):
    (name,) = params
    with pytest.raises(ValueError, match=rf"{name} must be an int in the range \[1, 4096\]"):
        VAEAnomalyDetector(**CODES, prior_params=params).fit("no table")


def test_more_codes_than_have_room_are_refused():
    generator = torch.Generator()
    sizes = {"n_codes": 2_048, "n_slots": 8}
    with pytest.raises(ValueError, match=r"8 slots of n_codes=2048 are 16,384 codes, .* 8,192"):
        CodesPrior(8, torch.zeros(1, 1), **sizes, generator=generator)
    CodesPrior(4, torch.zeros(1, 1), **sizes | {"n_codes": 64}, generator=generator)


@pytest.mark.parametrize("n_codes", [4, 20])
def test_what_rows_are_asked_for_is_there(holed, n_codes, tmp_path):
    params = {"prior_params": {"n_codes": n_codes}, "latent_dim": 3}
    model = VAETransformer(**CODES, **QUICK, **params).fit(holed)
    assert_that_states_answer(model, holed[:9], "codes", tmp_path)


def test_regimes_are_found():
    rng = np.random.default_rng(0)
    centres, kinds = 3 * rng.normal(size=(6, 4)), rng.integers(6, size=600)
    X = centres[kinds] + 0.3 * rng.normal(size=(600, 4))
    params = {"robust_weight": 0, "members": ["plain"], "max_steps": 100, "random_state": 0}
    params |= {"latent_dim": 4, "likelihoods": "gaussian"}
    own = {"n_codes": 12, "n_slots": 1}
    model = VAETransformer(**CODES, **params, prior_params=own).fit(X[:500])
    exact = stats.norm(centres[:, None], 0.3).logpdf(X[500:]).sum(-1)
    exact = special.logsumexp(exact - np.log(6), axis=0).mean()
    assert exact - 0.5 < model.score(X[500:]) < exact + 0.1
