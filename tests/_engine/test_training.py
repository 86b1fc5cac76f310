"""Training: the schedule, the batches, which weights are kept, and how it can end."""

import itertools
import math
import warnings

import numpy as np
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning

from skvae._engine import check_convergence, graph, step
from skvae._engine.monitor import Schedule
from skvae._engine.step import distance, noise, repulsion
from skvae._engine.training import Batches, Training, pass_over
from skvae.nn import (
    LIKELIHOODS,
    POSTERIORS,
    PRIORS,
    VAE,
    Batch,
    JointLikelihood,
    Objective,
    as_divergence,
    energy_distance,
)

N_COLUMNS, LATENT_DIM = 4, 2
SETTINGS = {
    "max_steps": 200,
    "batch_size": 64,
    "learning_rate": 0.01,
    "n_iter_no_change": None,
    "objective": Objective(),
    "verbose": 0,
}


def train(model, rows, held_out, steps=None, **settings):
    """Train by all steps, or by some."""
    run = Training(model, rows, held_out, **settings)
    run.run(range(1, settings["max_steps"] + 1) if steps is None else steps)
    run.end()
    return run.history, run.is_complete


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


def build(seed=0):
    generator = torch.Generator().manual_seed(seed)
    examples = torch.randn(9, N_COLUMNS, generator=generator)
    return VAE(
        JointLikelihood([(LIKELIHOODS["gaussian"], range(N_COLUMNS))]),
        latent_dim=LATENT_DIM,
        hidden_layer_sizes=(8,),
        activation="silu",
        posterior=POSTERIORS["diagonal"],
        prior=PRIORS["standard_normal"],
        examples=(examples, torch.ones_like(examples)),
        generator=generator,
    ).double()


def rows(n, correlation=0.99):
    """Rows of equally correlated columns, all cells observed."""
    generator = torch.Generator().manual_seed(n)
    common, own = (
        torch.randn(n, width, generator=generator, dtype=torch.float64) for width in (1, N_COLUMNS)
    )
    x = math.sqrt(correlation) * common + math.sqrt(1 - correlation) * own
    return x, torch.ones_like(x, dtype=torch.bool)


def fit(model, correlation=0.99, n_held_out=100, **settings):
    """History of a training, whether or not it converges."""
    generator = torch.Generator().manual_seed(1)
    held_out = rows(n_held_out, correlation)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        history, _ = train(
            model, rows(300, correlation), held_out, generator=generator, **SETTINGS | settings
        )
    return history


def held_out_elbo(model, n_held_out=100, correlation=0.99):
    """What `fit` noted for these weights: the noise is the first that its generator drew."""
    x, observed = rows(n_held_out, correlation)
    generator = torch.Generator().manual_seed(1)
    eps = torch.randn(16, 1, LATENT_DIM, generator=generator, dtype=torch.float64)
    return model(x, observed, observed, eps).log_weight().mean().item()


def spy(monkeypatch, module, name):
    """Record the arguments of each call of a function of a module."""
    calls, function = [], getattr(module, name)

    def recorded(*args, **kwargs):
        calls.append((args, kwargs))
        return function(*args, **kwargs)

    monkeypatch.setattr(module, name, recorded)
    return calls


def interrupt(monkeypatch, at, error=KeyboardInterrupt):
    """Let the training be interrupted in one of its steps."""
    count, function = itertools.count(1), step.noise

    def interrupted(*args):
        if next(count) == at:
            raise error
        return function(*args)

    monkeypatch.setattr(step, "noise", interrupted)


@pytest.mark.parametrize("max_steps", [1, 2, 10, 77, 2000])
def test_the_learning_rate_rises_stays_and_falls(max_steps):
    schedule = Schedule(max_steps)
    rates = np.array([schedule.rate(step) for step in range(1, max_steps + 1)])
    assert ((rates > 0) & (rates <= 1)).all()
    peak = int(rates.argmax())
    assert rates[peak] == 1
    assert (np.diff(rates[: peak + 1]) > 0).all()
    assert (np.diff(rates[peak:]) <= 0).all()
    assert peak + 1 <= max(1, math.ceil(0.05 * max_steps))
    annealing = np.array([schedule.is_annealing(step) for step in range(1, max_steps + 1)])
    assert annealing.sum() == max_steps - math.floor(0.6 * max_steps)
    assert (rates[peak:][~annealing[peak:]] == 1).all()


@pytest.mark.parametrize("step", [100, 333, 600, 1200])
def test_annealing_that_starts_early_keeps_its_share_of_the_steps(step):
    schedule = Schedule(2000)
    schedule.anneal_from(step)
    assert not schedule.is_annealing(step)
    assert schedule.is_annealing(step + 1)
    assert schedule.end - step == pytest.approx(0.4 * schedule.end, abs=1)
    assert schedule.rate(schedule.end) < schedule.rate(step)


def test_annealing_never_ends_later_than_planned():
    schedule = Schedule(100)
    schedule.anneal_from(99)
    assert schedule.end == 100


@pytest.mark.parametrize(("n", "batch_size"), [(10, 3), (10, 5), (7, 7), (5, 64), (1, 4), (100, 1)])
def test_each_pass_covers_all_rows_once(n, batch_size, generator):
    n_batches = math.ceil(4 * n / min(n, batch_size))
    batches = Batches(n, batch_size, generator)
    taken = [next(batches) for _ in range(n_batches)]
    assert {len(batch) for batch in taken} == {min(n, batch_size)}
    order = torch.cat(taken)[: 4 * n].reshape(4, n)
    assert torch.equal(order.sort(dim=1).values, torch.arange(n).expand(4, n))
    assert n < 7 or not torch.equal(order[0], order[1])


def test_training_raises_the_elbo_and_keeps_the_best_annealed_weights():
    model = build()
    history = fit(model)
    steps, elbos = np.array(history["step"]), np.array(history["validation"])
    assert steps[0] == 1
    assert steps[-1] == 200
    assert len(history["train"]) == len(steps) == len(elbos)
    assert elbos[-1] > elbos[0] + 1
    annealed = elbos[steps > 120]
    assert held_out_elbo(model) == pytest.approx(annealed.max(), rel=1e-12)


def test_weights_from_before_the_annealing_are_not_kept(monkeypatch):
    # Past step 30 the weights are thrown about, so that the best ones come before.
    def shaken(model, *args):
        if next(count) > 30:
            for weight in model.parameters():
                weight.data += 0.1 * torch.randn(weight.shape, generator=shocks)
        return noise(model, *args)

    count, shocks, model = itertools.count(1), torch.Generator().manual_seed(2), build()
    monkeypatch.setattr(step, "noise", shaken)
    history = fit(model, max_steps=50)
    steps, elbos = np.array(history["step"]), np.array(history["validation"])
    assert elbos[0] < elbos[steps > 30].max()
    assert elbos.argmax() < 30
    assert held_out_elbo(model) == pytest.approx(elbos[steps > 30].max(), rel=1e-12)


@pytest.mark.parametrize("patience", [1, 2, 4])
def test_an_elbo_that_stays_lets_the_annealing_start_early(patience):
    model = build()
    history = fit(model, correlation=0.0, max_steps=1000, n_iter_no_change=patience)
    steps, elbos = np.array(history["step"]), np.array(history["validation"])
    assert steps[-1] < 1000
    (began,) = [step for step in steps if math.ceil(step / 0.6) == steps[-1]]
    at = int(np.flatnonzero(steps == began)[0])
    assert elbos[: at + 1].argmax() == at - patience
    assert held_out_elbo(model, correlation=0.0) == pytest.approx(elbos[at + 1 :].max(), rel=1e-12)


def test_without_patience_all_steps_are_taken():
    history = fit(build(), correlation=0.0, max_steps=300, n_iter_no_change=None)
    assert history["step"][-1] == 300


def test_without_held_out_rows_all_steps_are_taken():
    history = fit(build(), n_held_out=0, max_steps=100, n_iter_no_change=1)
    assert np.isnan(history["validation"]).all()
    assert np.isfinite(history["train"]).all()
    assert history["step"][-1] == 100


def test_annealing_waits_until_the_capacity_is_reached():
    history = fit(
        build(), 0.0, max_steps=300, n_iter_no_change=1, objective=Objective(capacity=0.5)
    )
    assert history["step"][-1] >= math.ceil(150 / 0.6)


@pytest.mark.parametrize("max_steps", [3, 5])  # 1000 raise the ELBO by several nats more
def test_an_elbo_that_still_rises_is_warned_about(max_steps, generator):
    settings = SETTINGS | {"max_steps": max_steps}
    history, is_complete = train(build(), rows(300), rows(100), generator=generator, **settings)
    assert is_complete
    with pytest.warns(ConvergenceWarning, match="held-out ELBO still rose .* Increase max_steps"):
        check_convergence(history)


@pytest.mark.parametrize("n_held_out", [0, 100])
def test_an_elbo_that_is_flat_is_not_warned_about(n_held_out, generator):
    held_out = rows(n_held_out, 0.0)
    settings = SETTINGS | {"max_steps": 400}
    history, _ = train(build(), rows(300, 0.0), held_out, generator=generator, **settings)
    check_convergence(history)


@pytest.mark.parametrize("at", [2, 57, 199])
def test_an_interrupt_keeps_the_best_weights_so_far(at, monkeypatch):
    interrupt(monkeypatch, at)
    model = build()
    with pytest.warns(UserWarning, match=f"interrupted at step {at} of 200: the best weights"):
        history = fit(model)
    elbos = [
        elbo
        for step, elbo in zip(history["step"], history["validation"], strict=True)
        if step > 120 or at < 120
    ]
    assert held_out_elbo(model) == pytest.approx(max(elbos), rel=1e-12)


def test_an_interrupt_in_the_first_step_leaves_the_weights(monkeypatch):
    interrupt(monkeypatch, at=1)
    model = build()
    with pytest.warns(UserWarning, match="interrupted at step 1"):
        history = fit(model)
    assert history == {"step": [], "train": [], "validation": []}
    assert all(map(torch.equal, model.parameters(), build().parameters()))


def test_no_other_error_is_swallowed(monkeypatch):
    interrupt(monkeypatch, at=5, error=ZeroDivisionError)
    with pytest.raises(ZeroDivisionError):
        fit(build())


def test_a_training_that_diverges_names_the_learning_rate():
    with pytest.raises(ValueError, match=r"Training diverged: the ELBO was .* learning_rate_init"):
        fit(build(), learning_rate=1e200)


def test_a_training_that_leaves_the_numbers_goes_back_and_goes_on(monkeypatch):
    # In two steps a weight is lost: training is taken up again twice, at half the rate.
    def losing(model, *args):
        if next(count) in (30, 60):
            next(model.parameters()).data.flatten()[0] = math.nan
        return noise(model, *args)

    count, model = itertools.count(1), build()
    monkeypatch.setattr(step, "noise", losing)
    generator = torch.Generator().manual_seed(1)
    with pytest.warns(ConvergenceWarning, match="good weights 2 times, .* Lower learning_rate"):
        history, is_complete = train(model, rows(300), rows(100), generator=generator, **SETTINGS)
    assert is_complete
    assert history["step"][-1] == 200
    assert np.isfinite(history["train"]).all()
    assert held_out_elbo(model) > held_out_elbo(build()) + 1


@pytest.mark.parametrize("hidden_rows", [0.0, 0.3, 1.0])
def test_hidden_cells_count_in_the_objective_but_are_not_seen(hidden_rows, monkeypatch, generator):
    model, (x, observed) = build(), rows(2000)
    observed[:, 3] = False
    x[:, 3] = 0
    seen, encode = [], model.encode
    monkeypatch.setattr(model, "encode", lambda features: encode(seen.append(features) or features))
    terms = model(x, *noise(model, x, observed, hidden_rows, generator))
    (features,) = seen
    hidden = (features == 0) & observed
    assert (terms.log_prob[observed] != 0).all()
    assert (terms.log_prob[~observed] == 0).all()
    assert torch.equal(features, x * ~hidden)
    # A share of a row's cells that is uniform in (0, 1/2) leaves all three with P = 15/32.
    assert hidden[:, :3].double().mean().item() == pytest.approx(hidden_rows / 4, abs=0.02)
    some = hidden.any(1).double().mean().item()
    assert some == pytest.approx(hidden_rows * 17 / 32, abs=0.04)


@pytest.mark.parametrize("early", [False, True])
def test_cells_are_hidden_less_and_less_in_the_first_half_of_the_annealing(early):
    schedule = Schedule(200)
    if early:
        schedule.anneal_from(60)
    steps = np.arange(1, schedule.end + 1)
    shares = np.array([schedule.hiding(step) for step in steps])
    assert (shares[steps <= 0.6 * schedule.end] == 1).all()
    assert (shares[steps > 0.8 * schedule.end + 1] == 0).all()
    assert (np.diff(shares) <= 0).all()


# Passes and early ends.

PASS = {
    name: value
    for name, value in SETTINGS.items()
    if name not in ("max_steps", "n_iter_no_change", "verbose")
}


@pytest.mark.parametrize(("n", "sizes"), [(1, {1}), (64, {64}), (65, {32, 33}), (300, {60})])
def test_a_pass_meets_each_row_once_in_equal_steps(monkeypatch, generator, n, sizes):
    calls = spy(monkeypatch, step, "noise")
    x, observed = rows(n)
    elbo, n_steps, _ = pass_over(build(), (x, observed), generator=generator, **PASS)
    met = [args[1] for args, _ in calls]
    assert {len(batch) for batch in met} == sizes
    assert len(met) == n_steps
    assert torch.equal(torch.cat(met).sort(dim=0).values, x.sort(dim=0).values)
    assert math.isfinite(elbo)


def test_a_pass_goes_on_with_the_state_of_the_optimizer(monkeypatch):
    def one_batch(*args, **kwargs):
        return torch.arange(50)

    monkeypatch.setattr(torch, "randperm", one_batch)
    models = [build(), build()]
    table, sources = rows(50), [torch.Generator().manual_seed(7) for _ in models]
    state = None
    for _ in range(3):
        _, _, state = pass_over(models[0], table, state, generator=sources[0], **PASS)
    optimizer = torch.optim.AdamW(models[1].parameters(), PASS["learning_rate"], weight_decay=1e-4)
    for _ in range(3):
        terms = models[1](table[0], *noise(models[1], *table, 0.5, sources[1]))
        optimizer.zero_grad()
        Objective().loss(terms).backward()
        torch.nn.utils.clip_grad_norm_(models[1].parameters(), 20.0)
        optimizer.step()
    for one, other in zip(models[0].parameters(), models[1].parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)
    assert state["n_steps"] == 3


def test_a_pass_leaves_the_state_it_was_given(generator):
    model = build()
    _, _, state = pass_over(model, rows(300), generator=generator, **PASS)
    before = state["mean"].clone()
    pass_over(model, rows(300), state, generator=generator, **PASS)
    assert torch.equal(state["mean"], before)


def test_a_pass_that_diverges_names_the_learning_rate(generator):
    settings = PASS | {"learning_rate": 1e200}
    with pytest.raises(ValueError, match=r"Training diverged: .* Lower learning_rate_init"):
        pass_over(build(), rows(300), generator=generator, **settings)


@pytest.mark.filterwarnings("error::sklearn.exceptions.ConvergenceWarning")
def test_training_ends_where_its_steps_end():
    model, generator = build(), torch.Generator().manual_seed(1)
    history, is_complete = train(
        model, rows(300), rows(100), generator=generator, steps=range(1, 41), **SETTINGS
    )
    assert not is_complete
    assert history["step"][-1] == 40
    assert held_out_elbo(model) == pytest.approx(max(history["validation"]), rel=1e-12)


# Known anomalies.


def odd_rows(n=3):
    """Rows that break the columns' correlation without being far out."""
    x = torch.tensor([1.0, -1.0, 1.0, -1.0], dtype=torch.float64).repeat(n, 1)
    return x, torch.ones_like(x, dtype=torch.bool)


def test_rows_repelled_end_far_below_the_others_which_keep_their_elbo():
    plain, repelling = build(), build()
    fit(plain, correlation=0.8, max_steps=600)
    fit(repelling, correlation=0.8, max_steps=600, repelled=odd_rows())
    x, observed = odd_rows(200)
    eps = torch.randn(200, LATENT_DIM, generator=torch.Generator().manual_seed(3)).double()
    falls = [
        held_out_elbo(model, correlation=0.8)
        - model(x, observed, observed, eps).log_weight().mean().item()
        for model in (plain, repelling)
    ]
    assert falls[1] > max(falls[0] + 1, 5)  # the margin is 6 nats
    elbos = [held_out_elbo(model, correlation=0.8) for model in (plain, repelling)]
    assert elbos[1] == pytest.approx(elbos[0], abs=0.5)


@pytest.mark.parametrize(("factor", "expected"), [(1.0, None), (1e3, 0.0), (1e300, 0.0)])
def test_rows_that_are_far_below_already_are_not_pushed(factor, expected, generator):
    model, (x, observed) = build(), odd_rows()
    batch = rows(64)
    elbo = model(batch[0], *noise(model, *batch, 0.0, generator)).log_weight().detach()
    penalty = repulsion(model, factor * x, observed, elbo, 0.0, generator)
    penalty.backward()
    slopes = torch.cat([w.grad.flatten() for w in model.parameters() if w.grad is not None])
    assert penalty.item() > 1 if expected is None else penalty.item() == expected
    assert slopes.isfinite().all()
    assert (slopes == 0).all() == (expected is not None)


def test_the_capacity_rises_over_the_first_half_of_the_steps(monkeypatch):
    calls = spy(monkeypatch, graph, "update")
    fit(build(), max_steps=20, objective=Objective(capacity=3.0, beta=5.0))
    expected = [3.0 * min(1, step / 10) for step in range(1, 21)]
    objectives = [args[3] for args, _ in calls]
    assert [objective.capacity for objective in objectives] == pytest.approx(expected)
    assert {objective.beta for objective in objectives} == {5.0}


def test_a_capacity_is_what_the_kl_becomes():
    model = build()
    fit(model, max_steps=600, objective=Objective(capacity=4.0, beta=50.0))
    x, observed = rows(100)
    eps = torch.randn(200, 1, LATENT_DIM, generator=torch.Generator().manual_seed(3)).double()
    assert model(x, observed, observed, eps).kl.mean().item() == pytest.approx(4, abs=0.5)


OTHERS = [Objective(beta=20.0), Objective(beta=0.0, divergence=as_divergence(energy_distance))]


@pytest.mark.parametrize("objective", OTHERS)
def test_weights_are_judged_by_the_objective(objective):
    model = build()
    fit(model, max_steps=300)  # at its highest ELBO
    elbo = held_out_elbo(model)
    x, observed = rows(100)

    def loss():
        generator = torch.Generator().manual_seed(0)
        eps = torch.randn(100, LATENT_DIM, generator=generator, dtype=torch.float64)
        terms = model(x, observed, observed, eps)
        batch = Batch(x, observed, observed, terms.z)
        return objective.loss(terms, distance(model, objective, batch, generator)).item()

    before = loss()
    fit(model, max_steps=300, objective=objective)
    assert loss() < before - 0.1
    assert held_out_elbo(model) < elbo


def test_a_training_that_does_not_lower_its_objective_is_warned_about():
    calls = itertools.count()
    rising = as_divergence(lambda z, prior_z, generator: z.sum() * 0 + 100.0 * next(calls))
    settings = SETTINGS | {"max_steps": 20, "objective": Objective(divergence=rising)}
    generator = torch.Generator().manual_seed(0)
    with pytest.warns(ConvergenceWarning, match="No step of the training lowered its objective"):
        train(build(), rows(300), rows(100), generator=generator, **settings)


def test_the_divergence_compares_the_draws_of_a_batch_with_the_prior(monkeypatch):
    pairs = []

    def divergence(z, prior_z, generator):
        if z.requires_grad:  # and does not judge weights
            pairs.append((z, prior_z))
        return energy_distance(z, prior_z, generator)

    fit(build(), max_steps=3, objective=Objective(divergence=as_divergence(divergence)))
    assert len(pairs) == 3
    for z, prior_z in pairs:
        assert not prior_z.requires_grad
        assert z.shape == prior_z.shape == (64, LATENT_DIM)


def test_the_same_generator_gives_the_same_weights():
    models = [build(), build()]
    before = torch.get_rng_state()
    histories = [fit(model) for model in models]
    assert histories[0] == histories[1]
    assert all(map(torch.equal, models[0].parameters(), models[1].parameters()))
    assert torch.equal(torch.get_rng_state(), before)
