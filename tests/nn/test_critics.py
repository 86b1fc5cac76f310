"""Critics find the log ratio of two densities, stay bounded, and see of both sides the same."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from scipy import stats

from skvae._engine.step import AdamW
from skvae._table import Column
from skvae.nn import (
    LIKELIHOODS,
    VAE,
    Batch,
    CodeCritic,
    Context,
    Critic,
    DiagonalGaussian,
    JointLikelihood,
    RowCritic,
    StandardNormal,
    VampPrior,
    as_divergence,
    energy_distance,
)

BLOCKS = [(LIKELIHOODS[name], 2) for name in ("gaussian", "bernoulli", "categorical", "spike_slab")]
WITH_CONTEXT = [*BLOCKS, (partial(Context, LIKELIHOODS["categorical"].as_context), 1)]
KINDS = [CodeCritic(), RowCritic(), CodeCritic(()), RowCritic((7,))]
ALL = pytest.mark.parametrize("critic", KINDS)


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


def vae(blocks, latent_dim=2, prior=StandardNormal):
    """Untrained model in float64; each column has three levels."""
    generator = torch.Generator().manual_seed(1)
    column = Column("x", "any", levels=tuple("abc"), n_codes=3, n_observed=9)
    examples = torch.ones(30, sum(size for _, size in blocks))
    return VAE(
        JointLikelihood([(family, [column] * size) for family, size in blocks]),
        latent_dim=latent_dim,
        hidden_layer_sizes=(5,),
        activation="tanh",
        posterior=DiagonalGaussian,
        prior=prior,
        examples=(examples, examples),
        generator=generator,
    ).double()


def batch_of(model, n, generator):
    """Rows of 0, 1 and 2 with holes, and codes far from the prior."""
    size = (n, sum(model.likelihood.sizes))
    x = torch.randint(3, size, generator=generator).double()
    observed = (torch.rand(size, generator=generator) < 0.7).double()
    z = 2 + torch.randn(n, model.latent_dim, generator=generator, dtype=torch.float64)
    return Batch(x * observed, observed, observed, z.requires_grad_())


def weights(critic):
    return [weight.detach().clone() for weight in critic.parameters()]


@pytest.mark.parametrize("shift", [0.5, 1.0])
def test_a_linear_critic_of_two_normals_finds_their_log_ratio(shift):
    critic = CodeCritic(()).begin(vae(BLOCKS, latent_dim=1), seed=0)
    points = torch.tensor(stats.norm.ppf((np.arange(1000) + 0.5) / 1000)).unsqueeze(1)
    optimizer = AdamW(critic.parameters())
    for _ in range(150):
        optimizer.zero_grad()
        critic.own_loss(points + shift, points).backward()
        optimizer.step(0.05, 1.0)
        critic.bound()
    assert critic.logit.weight.item() == pytest.approx(shift, abs=0.02)
    assert critic.logit.bias.item() == pytest.approx(-(shift**2) / 2, abs=0.02)


def test_a_critic_that_is_sure_learns_no_more(generator):
    critic = CodeCritic(()).begin(vae(BLOCKS, latent_dim=1), seed=0)
    with torch.no_grad():
        critic.logit.weight.fill_(1.0)
    for distance, learns in [(8.0, False), (0.5, True)]:
        critic.zero_grad()
        x = torch.full((9, 1), distance, dtype=torch.float64)
        critic.own_loss(x, -x).backward()
        assert bool(critic.logit.weight.grad.any()) == learns


@ALL
def test_no_layer_has_a_singular_value_above_1(critic):
    critic = critic.begin(vae(BLOCKS), seed=0)
    matrices = [weight for weight in critic.parameters() if weight.ndim == 2]
    with torch.no_grad():
        for i, weight in enumerate(matrices):
            weight *= 10.0 if i == 0 else 0.01
    small = [weight.detach().clone() for weight in matrices[1:]]
    critic.bound()
    largest = np.linalg.svd(matrices[0].detach().numpy(), compute_uv=False)[0]
    assert largest == pytest.approx(1.0, abs=1e-9)
    assert all(map(torch.equal, matrices[1:], small))  # within the bound nothing changes


@ALL
def test_it_begins_by_its_seed_and_leaves_what_it_was_made_of(critic):
    model, before = vae(BLOCKS), torch.get_rng_state()
    begun = [critic.begin(model, seed) for seed in (3, 3, 4)]
    assert all(map(torch.equal, weights(begun[0]), weights(begun[1])))
    assert not all(map(torch.equal, weights(begun[0]), weights(begun[2])))
    assert all(map(torch.equal, weights(critic.begin(model, 4, begun[0])), weights(begun[0])))
    assert not list(critic.parameters())
    assert torch.equal(torch.get_rng_state(), before)


def test_the_weights_of_another_kind_are_not_taken_over():
    model = vae(BLOCKS)
    for other in (CodeCritic((5,)), RowCritic((7,)), CodeCritic()):
        begun = CodeCritic((7,)).begin(model, 0, other.begin(model, 1))
        assert all(map(torch.equal, weights(begun), weights(CodeCritic((7,)).begin(model, 0))))


@ALL
def test_its_own_gradient_is_no_matter_of_the_model(critic, generator):
    model = vae(WITH_CONTEXT, prior=VampPrior)
    critic, batch = critic.begin(model, seed=0), batch_of(model, 12, generator)
    critic.of_batch(batch, model, generator).backward()  # is forgotten
    model.zero_grad()
    batch.z.grad = None
    torch.manual_seed(0)
    critic.learn(batch, model, torch.Generator().manual_seed(5))
    assert all(weight.grad is None for weight in model.parameters())
    assert batch.z.grad is None
    learned = [weight.grad.clone() for weight in critic.parameters()]
    critic.zero_grad()
    pair = critic.pair(batch, model, torch.Generator().manual_seed(5))
    critic.own_loss(*(part.detach() for part in pair)).backward()
    assert all(map(torch.equal, learned, [weight.grad for weight in critic.parameters()]))


def trained(critic, model, generator, n_steps=60):
    """Critic that has seen batches of a model that stays."""
    critic = critic.begin(model, seed=0)
    optimizer = AdamW(critic.parameters())
    for _ in range(n_steps):
        critic.learn(batch_of(model, 64, generator), model, generator)
        optimizer.step(0.02, 10.0)
        critic.bound()
    return critic


def test_the_model_moves_codes_towards_the_prior(generator):
    model = vae(BLOCKS)
    critic, batch = trained(CodeCritic((16,)), model, generator), batch_of(model, 64, generator)
    near, far = torch.zeros(1, 2).double(), torch.full((1, 2), 3.0).double()
    assert critic(far) > critic(near)  # far is where the rows' codes are
    critic.of_batch(batch, model, generator).backward()
    drawn = model.sample_prior(64, generator)
    moved = batch.z.detach() - batch.z.grad / batch.z.grad.norm(dim=1, keepdim=True)
    assert energy_distance(moved, drawn) < energy_distance(batch.z.detach(), drawn)


def test_the_model_moves_its_rows_towards_those_of_training(generator):
    model = vae([(LIKELIHOODS["gaussian"], 2)])
    critic = trained(RowCritic((16,), feature_weight=0.0), model, generator)
    batch = batch_of(model, 64, generator)
    before = critic.judged(batch, model, torch.Generator().manual_seed(3))
    critic.of_batch(batch, model, generator).backward()
    with torch.no_grad():
        for weight in model.decoder.parameters():
            weight -= 0.5 * weight.grad
    assert critic.judged(batch, model, torch.Generator().manual_seed(3)) < before


def test_features_match_where_the_reconstruction_is_the_row(generator):
    model = vae([(LIKELIHOODS["gaussian"], 3)])
    critic, batch = RowCritic().begin(model, 0), batch_of(model, 9, generator)
    without = RowCritic(feature_weight=0.0).begin(model, 0)

    def excess(batch):
        losses = [
            each.of_batch(batch, model, torch.Generator().manual_seed(0))
            for each in (critic, without)
        ]
        return (losses[0] - losses[1]).item()

    with torch.no_grad():
        again = model.decode(batch.z, batch.x, batch.visible)
        features = [critic.hidden(part) for part in (batch.x, again * batch.observed)]
    squared = (features[0] - features[1]).numpy() ** 2
    assert excess(batch) == pytest.approx(squared.sum(axis=1).mean() / 2, rel=1e-9)
    assert excess(batch._replace(x=again * batch.observed)) == pytest.approx(0, abs=1e-12)


def test_both_sides_have_the_same_context_and_the_same_holes(generator):
    model = vae(WITH_CONTEXT)
    batch = batch_of(model, 40, generator)
    rows, made = RowCritic(noise=0.0).begin(model, 0).pair(batch, model, generator)
    shown = model.likelihood.shown
    assert rows[:, shown].any()
    assert torch.equal(rows[:, shown], made[:, shown])
    holes = model.likelihood.featurize(torch.ones_like(batch.x), 1 - batch.observed) != 0
    assert not rows[holes].any()
    assert not made[holes].any()
    assert not torch.equal(rows, made)


SURE = {  # outputs of a decoder that is sure of the cell
    "gaussian": ([1.5], 1.5),
    "heteroscedastic_student_t": ([1.5, -3.0], 1.5),
    "poisson": ([np.log(2.0)], 2.0),
    "bernoulli": ([40.0], 1.0),
    "categorical": ([-40.0, 0.0, -40.0], 1.0),
    "ordinal": ([-40.0], 0.0),
    "spike_slab": ([1.5, 40.0], 0.0),
}


@pytest.mark.parametrize("name", SURE)
def test_a_decoder_that_is_sure_has_the_features_of_the_cell(name):
    likelihood = vae([(LIKELIHOODS[name], 2)]).likelihood
    params, cell = SURE[name]
    params = torch.tensor([params * 2]).double().requires_grad_()
    x, observed = torch.full((1, 2), cell).double(), torch.ones(1, 2).double()
    features = likelihood.features_of(params, x, observed)
    assert torch.allclose(features, likelihood.featurize(x, observed), atol=1e-9)
    assert features.requires_grad


def test_the_features_of_levels_are_means_by_their_probabilities():
    likelihood = vae([(LIKELIHOODS["categorical"], 1)]).likelihood
    mass = torch.tensor([[0.2, 0.5, 0.3]]).double()
    features = likelihood.features_of(mass.log(), torch.zeros(1, 1), torch.ones(1, 1))
    assert torch.allclose(features, mass)  # they start one-hot


@pytest.mark.parametrize("name", ["n_seen", "shown", "pair"])
def test_what_a_critic_of_ones_own_lacks_is_named(name):
    arguments = [None] * {"n_seen": 1}.get(name, 3)
    with pytest.raises(NotImplementedError, match=f"Critic lacks the method '{name}'"):
        getattr(Critic(), name)(*arguments)


@pytest.mark.parametrize(
    ("kind", "params", "message"),
    [
        (CodeCritic, {"hidden_layer_sizes": 3}, "hidden_layer_sizes must be a seq.* Got 3"),
        (CodeCritic, {"hidden_layer_sizes": (8, 0)}, r"ints of at least 1\. Got \(8, 0\)"),
        (RowCritic, {"hidden_layer_sizes": ["a"]}, r"ints of at least 1\. Got \['a'\]"),
        (RowCritic, {"noise": -0.1}, r"noise must be a number of at least 0\. Got -0\.1"),
        (RowCritic, {"feature_weight": math.nan}, "feature_weight must be a number .* Got nan"),
        (RowCritic, {"feature_weight": "1"}, "feature_weight must be a number .* Got '1'"),
    ],
)
def test_a_wrong_parameter_of_a_critic_is_named(kind, params, message):
    with pytest.raises(ValueError, match=message):
        kind(**params)


def test_a_class_in_the_place_of_its_object_is_named():
    with pytest.raises(TypeError, match=r"divergence=RowCritic is a class\. .* as RowCritic\(\)"):
        as_divergence(RowCritic)
