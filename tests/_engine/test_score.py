"""Scores: the same bits in any order and company, and close to what the model says."""

import itertools
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from skvae._engine import score
from skvae._engine.blocks import block_rows, by_model
from skvae._engine.kernel import Kernel, kernel_for
from skvae._engine.score import (
    _terms_of_block,
    draws,
    elbo_terms,
    importance_bound,
    latent_moments,
    reconstruct,
)
from skvae._table import Column
from skvae.nn import LIKELIHOODS, POSTERIORS, PRIORS, VAE, JointLikelihood

N_ROWS, LATENT_DIM = 37, 3
WRITTEN_OUT = ("heteroscedastic_student_t", "spike_slab", "bernoulli", "categorical")
FAMILIES = {name: {name: 6} for name in LIKELIHOODS}
FAMILIES |= {"mixed": dict.fromkeys(LIKELIHOODS, 2), "written out": dict.fromkeys(WRITTEN_OUT, 3)}
CELLS = {"binary": lambda rng, shape: rng.integers(2, size=shape)}
CELLS |= dict.fromkeys(
    ("real", "positive", "spiked"), lambda rng, shape: 2 * rng.normal(size=shape)
)
CELLS |= dict.fromkeys(
    ("count", "category", "ordered"), lambda rng, shape: rng.integers(5, size=shape)
)
COLUMN = Column("x", "any", levels=tuple("abcd"), n_codes=3, n_observed=9)
REAL_POSTERIORS, REAL_PRIORS = (
    [name for name, part in parts.items() if part.space == "real"] for parts in (POSTERIORS, PRIORS)
)
WITH_HEADS = [name for name in REAL_POSTERIORS if not POSTERIORS[name].searches]
HEADED = [(name, "vamp" if name == "full" else "mixture") for name in WITH_HEADS[1:]]
COMBINATIONS = [
    *itertools.product(("gaussian", "mixed"), ["diagonal"], REAL_PRIORS),
    *((name, *part) for name in ("gaussian", "mixed") for part in HEADED),
    ("gaussian", "refined", "standard_normal"),
    ("mixed", "binary", "bernoulli"),
    ("gaussian", "quantised", "codes"),
    *((name, "diagonal", "vamp") for name in LIKELIHOODS if name != "gaussian"),
    *((name, "diagonal", "full_mixture") for name in FAMILIES if name not in ("gaussian", "mixed")),
]
WITH_THREE_THREADS = """
import sys, numpy, torch
torch.set_num_threads(3)  # OMP_NUM_THREADS is capped at the number of cores
import test_score
assert torch.get_num_threads() == 3
numpy.savez(sys.argv[1], **test_score.scores_of_all_combinations())
"""

every_combination = pytest.mark.parametrize("combination", COMBINATIONS, ids="-".join)


def build(families="mixed", posterior="diagonal", prior="vamp", hidden_layer_sizes=(128, 128)):
    generator = torch.Generator().manual_seed(0)
    sizes = FAMILIES[families]
    blocks = [(LIKELIHOODS[name], [COLUMN] * size) for name, size in sizes.items()]
    n_columns = sum(sizes.values())
    model = VAE(
        JointLikelihood(blocks),
        latent_dim=LATENT_DIM,
        hidden_layer_sizes=hidden_layer_sizes,
        activation="silu",
        posterior=POSTERIORS[posterior],
        prior=PRIORS[prior],
        examples=(torch.rand(50, n_columns, generator=generator), torch.ones(50, n_columns)),
        generator=generator,
    )
    return model.double().requires_grad_(False)


def table(families="mixed", n=N_ROWS):
    """Cells and which are observed; the first row is wholly missing."""
    rng = np.random.default_rng(0)
    shapes = {name: (n, size) for name, size in FAMILIES[families].items()}
    x = np.hstack([CELLS[LIKELIHOODS[name].domain](rng, shape) for name, shape in shapes.items()])
    observed = rng.random(x.shape) < 0.8
    observed[0] = False
    return np.where(observed, x, 0.0), observed


def scores(model, x, observed, n_draws=16):
    """Terms and importance-weighted bound side by side; (n, n_columns + 2)."""
    eps = draws(n_draws, model.noise_dim, seed=0)
    terms = elbo_terms(model, x, observed, eps, "cpu")
    return np.column_stack([terms, importance_bound(model, x, observed, eps, "cpu")])


def scores_in_three_ways(model, x, observed):
    """Scores of all rows together, of all rows permuted, and of every fifth row alone."""
    order = np.random.default_rng(1).permutation(len(x))
    permuted = np.empty((len(x), x.shape[1] + 2))
    permuted[order] = scores(model, x[order], observed[order])
    alone = [scores(model, x[[i]], observed[[i]]) for i in range(0, len(x), 5)]
    return scores(model, x, observed), permuted, np.concatenate(alone)


def scores_of_all_combinations():
    return {
        f"{'-'.join(combination)} {way}": array
        for combination in COMBINATIONS
        for way, array in zip(
            ("together", "permuted", "alone"),
            scores_in_three_ways(build(*combination), *table(combination[0])),
            strict=True,
        )
    }


@pytest.fixture(scope="module")
def with_three_threads(tmp_path_factory):
    """Scores of all combinations from a process with three threads."""
    path = tmp_path_factory.mktemp("scores") / "scores.npz"
    environment = os.environ | {"OMP_NUM_THREADS": "3", "OMP_WAIT_POLICY": "passive"}
    command = [sys.executable, "-c", WITH_THREE_THREADS, path]
    subprocess.run(command, check=True, env=environment, cwd=Path(__file__).parent)
    with np.load(path) as file:
        return dict(file)


@every_combination
def test_a_score_does_not_depend_on_the_other_rows(combination):
    together, permuted, alone = scores_in_three_ways(build(*combination), *table(combination[0]))
    assert np.isfinite(together).all()
    assert np.array_equal(together, permuted)
    assert np.array_equal(together[::5], alone)


@every_combination
def test_nor_does_it_with_an_odd_number_of_threads(combination, with_three_threads):
    name = "-".join(combination)
    together = with_three_threads[f"{name} together"]
    assert np.array_equal(together, with_three_threads[f"{name} permuted"])
    assert np.array_equal(together[::5], with_three_threads[f"{name} alone"])
    here = scores(build(*combination), *table(combination[0]))
    np.testing.assert_allclose(together, here, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("hidden_layer_sizes", [(), (5,), (300,)])
def test_nor_does_it_in_blocks_of_another_size(hidden_layer_sizes):
    model, (x, observed) = build(hidden_layer_sizes=hidden_layer_sizes), table(n=100)
    assert np.array_equal(
        scores(model, x, observed)[60:80], scores(model, x[60:80], observed[60:80])
    )


@pytest.mark.parametrize("hidden_layer_sizes", [(), (5,), (128,), (300,)])
def test_nor_does_it_in_a_long_table(hidden_layer_sizes):
    parts = {"prior": "full_mixture", "hidden_layer_sizes": hidden_layer_sizes}
    model, (x, observed) = build("written out", **parts), table("written out", 3_400)
    eps = draws(4, LATENT_DIM, seed=0)
    pieces = [
        slice(0, 1),
        slice(1, 900),
        slice(900, 2_040),
        slice(2_040, 3_040),
        slice(3_040, None),
    ]
    whole = elbo_terms(model, x, observed, eps, "cpu")
    parts = [elbo_terms(model, x[rows], observed[rows], eps, "cpu") for rows in pieces]
    assert np.array_equal(whole, np.concatenate(parts))
    few = np.arange(100).reshape(-1, 20)
    parts = [elbo_terms(model, x[rows], observed[rows], eps, "cpu") for rows in few]
    assert np.array_equal(whole[:100], np.concatenate(parts))


def test_nor_would_it_where_large_products_added_up_otherwise(monkeypatch):
    terms, widths = Kernel.terms, []

    def by_width(kernel, prior, x, *rest):
        widths.append(x.shape[1])
        log_prob, minus_kl = terms(kernel, prior, x, *rest)
        return log_prob, minus_kl + 1e-4 * x.shape[1]

    monkeypatch.setattr(Kernel, "terms", by_width)
    model, (x, observed) = build("written out", prior="full_mixture"), table("written out", 3_400)
    eps = draws(4, LATENT_DIM, seed=0)
    whole = elbo_terms(model, x, observed, eps, "cpu")
    for rows in (slice(3_000, 3_050), slice(3_000, 3_020)):
        few = elbo_terms(model, x[rows], observed[rows], eps, "cpu")
        assert np.array_equal(whole[rows], few)
    assert widths.count(max(widths)) == 1  # the block that told


@pytest.mark.parametrize("n_draws", [1, 5, 16, 100])
@every_combination
def test_scores_are_means_over_draws_of_what_the_model_says(combination, n_draws):
    model, (x, observed) = build(*combination), table(combination[0])
    cells, seen = torch.tensor(x), torch.tensor(observed)
    eps = torch.tensor(draws(n_draws, model.noise_dim, seed=0))
    q = model.search(cells, seen, eps)
    terms = model.elbo(q, model.prior_distribution(), cells, seen, seen, eps)
    bound = terms.log_weight().logsumexp(0) - math.log(n_draws)
    rest = -(terms.kl + terms.excess).mean(0)
    expected = [terms.log_prob.mean(0), rest[:, None], bound[:, None]]
    got = scores(model, x, observed, n_draws)
    kernel = kernel_for(model)
    single = kernel is not None and kernel.noise.is_written_out
    # Thirty steps make more of a last bit.
    tolerance = 5e-5 if single else 1e-6 if model.posterior.searches else 1e-10
    np.testing.assert_allclose(got, torch.cat(expected, dim=-1), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("far", [1e5, -1e9, 1e30])
def test_rows_with_far_cells_are_scored_in_float64(far):
    model, (x, observed) = build("student_t", prior="full_mixture"), table("student_t")
    x[7, 2], observed[7, 2] = far, True
    eps = draws(8, LATENT_DIM, seed=0)
    terms = elbo_terms(model, x, observed, eps, "cpu")
    alone = elbo_terms(model, x[7:8], observed[7:8], eps, "cpu")
    np.testing.assert_array_equal(terms[7:8], alone)
    expected = by_model(_terms_of_block, model, x, observed, eps, "cpu")
    np.testing.assert_allclose(terms[7], expected[7], rtol=1e-12)
    np.testing.assert_allclose(terms, expected, rtol=5e-5, atol=5e-5)


def test_draws_taken_in_parts_have_the_same_mean(monkeypatch):
    model, (x, observed) = build("written out", prior="full_mixture"), table("written out")
    eps = draws(16, LATENT_DIM, seed=0)
    expected = elbo_terms(model, x, observed, eps, "cpu")
    monkeypatch.setattr(score, "_LARGEST", 5 * 64 * 128)
    parts = elbo_terms(model, x, observed, eps, "cpu")
    np.testing.assert_allclose(parts, expected, rtol=1e-5, atol=1e-5)


def test_weights_that_change_change_the_scores():
    model, (x, observed) = build("gaussian", prior="full_mixture"), table("gaussian")
    before = scores(model, x, observed)
    layer = model.decoder[-1]
    for change in (
        lambda: layer.weight.data.mul_(1.5),
        lambda: layer.weight.mul_(1.5),
        lambda: setattr(layer, "weight", nn.Parameter(1.5 * layer.weight)),
    ):
        with torch.no_grad():
            change()
        after = scores(model, x, observed)
        assert (after != before).any()
        before = after


def test_a_missing_cell_adds_exactly_0():
    x, observed = table()
    assert (scores(build(), x, observed)[:, :-2][~observed] == 0).all()


@pytest.mark.parametrize("posterior", WITH_HEADS)
def test_codes_and_reconstructions_do_not_depend_on_the_other_rows(posterior):
    model, (x, observed) = build(posterior=posterior), table(n=300)
    codes = latent_moments(model, x, observed, "cpu", "mean")
    rows = reconstruct(model, codes, x, observed, "cpu")
    assert codes.shape == (300, LATENT_DIM)
    assert rows.shape == x.shape
    for part in (slice(7, 8), slice(20, 290), slice(None, None, -1)):
        assert np.array_equal(
            latent_moments(model, x[part], observed[part], "cpu", "mean"), codes[part]
        )
        assert np.array_equal(
            reconstruct(model, codes[part], x[part], observed[part], "cpu"), rows[part]
        )
    expected = model.search(torch.tensor(x), torch.tensor(observed), torch.empty(0)).mean
    np.testing.assert_allclose(codes, expected, rtol=1e-10, atol=1e-10)


def test_an_empty_table_has_no_scores():
    x, observed = table()
    eps = draws(16, LATENT_DIM, seed=0)
    assert elbo_terms(build(), x[:0], observed[:0], eps, "cpu").shape == (0, x.shape[1] + 1)
    assert importance_bound(build(), x[:0], observed[:0], eps, "cpu").shape == (0,)
    assert latent_moments(build(), x[:0], observed[:0], "cpu", "mean").shape == (0, LATENT_DIM)
    assert reconstruct(build(), np.empty((0, LATENT_DIM)), x[:0], x[:0] == 0, "cpu").shape == (
        0,
        x.shape[1],
    )


def test_the_importance_weighted_bound_rises_with_the_draws_from_the_elbo():
    model, (x, observed) = build(), table()

    def mean_bound(n_draws):
        bounds = [
            importance_bound(model, x, observed, draws(n_draws, LATENT_DIM, seed), "cpu")
            for seed in range(20)
        ]
        return np.mean(bounds)

    bounds = [mean_bound(n_draws) for n_draws in (1, 2, 64)]
    assert bounds == sorted(bounds)
    by_draw = scores(model, x, observed)
    assert (by_draw[:, -1] >= by_draw[:, :-1].sum(axis=1) - 1e-9).all()


@pytest.mark.parametrize("latent_dim", [1, 2, 3, 8, 15])
@pytest.mark.parametrize("n_draws", [16, 17, 33, 100])
def test_enough_draws_have_mean_0_and_covariance_1(n_draws, latent_dim):
    eps = draws(n_draws, latent_dim, seed=0)[:, 0]
    np.testing.assert_allclose(eps.mean(axis=0), 0, atol=1e-7)
    np.testing.assert_allclose(eps.T @ eps / n_draws, np.eye(latent_dim), atol=1e-7)


@pytest.mark.parametrize("latent_dim", [1, 2, 8, 40])
@pytest.mark.parametrize("n_draws", [1, 2, 3, 5, 16, 31])
def test_any_number_of_draws_is_repeatable(n_draws, latent_dim):
    eps = draws(n_draws, latent_dim, seed=3)
    assert eps.shape == (n_draws, 1, latent_dim)
    assert np.isfinite(eps).all()
    assert np.array_equal(eps, draws(n_draws, latent_dim, seed=3))


def test_draws_of_another_seed_are_others():
    assert not np.array_equal(draws(5, 8, seed=3), draws(5, 8, seed=4))


def test_draws_are_normal():
    assert stats.kstest(draws(512, 2, seed=0)[:, 0, 1], "norm").pvalue > 0.5


@pytest.mark.parametrize("hidden_layer_sizes", [(), (7,), (128, 128), (5000,)])
@pytest.mark.parametrize("n_draws", [0, 1, 5, 16, 10_000])
def test_blocks_are_bounded_multiples_of_16(n_draws, hidden_layer_sizes):
    rows = block_rows(build(hidden_layer_sizes=hidden_layer_sizes), n_draws, "cpu")
    assert rows % 16 == 0
    assert 16 <= rows <= 256


def test_a_part_may_have_a_scalar_weight():
    model, (x, observed) = build(), table()
    model.temperature = nn.Parameter(torch.tensor(1.0, dtype=torch.float64), requires_grad=False)
    assert np.isfinite(scores(model, x, observed)).all()


SIDE_BY_SIDE = """
from concurrent.futures import ThreadPoolExecutor
from threading import Thread
import torch
from test_score import scores_in_three_ways, build, table

torch.set_num_threads(2)
combination = ("gaussian", "diagonal", "standard_normal")
model, data = build(*combination), table(combination[0])
with ThreadPoolExecutor(4) as pool:
    list(pool.map(lambda _: scores_in_three_ways(model, *data), range(8)))
thread = Thread(target=lambda: print(torch.get_num_threads()))
thread.start()
thread.join()
"""


def test_threads_that_score_at_once_leave_torch_its_threads():
    environment = os.environ | {"OMP_NUM_THREADS": "2", "OMP_WAIT_POLICY": "passive"}
    command = [sys.executable, "-c", SIDE_BY_SIDE]
    folder = Path(__file__).parent
    done = subprocess.run(
        command, env=environment, cwd=folder, capture_output=True, text=True, check=True
    )
    assert done.stdout == "2\n"
