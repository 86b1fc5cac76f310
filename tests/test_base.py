"""What both estimators share: scores and their laws, and what a failed fit leaves."""

import os
import pickle
import random
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from copy import copy, deepcopy
from itertools import product

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from scipy.stats import multivariate_normal, norm
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer
from sklearn.decomposition import PCA, FactorAnalysis
from sklearn.exceptions import NotFittedError
from sklearn.metrics import roc_auc_score
from sklearn.utils.validation import check_is_fitted

from skvae import VAEAnomalyDetector, VAETransformer, _scoring, load, save
from skvae._table import DOMAINS, read_table
from skvae.nn import LIKELIHOODS, POSTERIORS, PRIORS

SMALL = {"hidden_layer_sizes": (16,), "max_steps": 60, "random_state": 0, "members": [{}]}
SMALL |= {"init": "random"}
CONTINUOUS = [n for n, family in LIKELIHOODS.items() if DOMAINS[family.domain].is_continuous]
WEIGHTS = (0, 0.25, 1)  # of the robust member
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


@pytest.fixture(scope="module")
def model(table):
    return VAETransformer(**SMALL).fit(table)


def save_and_load(model):
    with tempfile.TemporaryDirectory() as folder:
        save(model, f"{folder}/model.skvae")
        return load(f"{folder}/model.skvae")


# Oracles: a linear model is factor analysis, and its density has a closed form.


def factor_table(noise, n):
    """Rows of 6 columns: 3 factors and normal noise of the given standard deviations."""
    rng = np.random.default_rng(0)
    loadings, centre = 1.5 * rng.normal(size=(3, 6)), rng.normal(size=6)
    return centre + rng.normal(size=(n, 3)) @ loadings + noise * rng.normal(size=(n, 6))


def log_marginal(model, X):
    """Exact log density of each row under the weights of a linear model, in nats."""
    (block,), (_, decoder) = model.model_.likelihood.blocks, model.model_.decoder
    scale = block(torch.zeros(1, X.shape[1], 1)).scale
    weight, bias = decoder.weight.numpy(), decoder.bias.numpy()
    unit = np.array([column.scale * 2.0**column.exponent for column in model.table_.columns_])
    centre = np.array([column.loc * 2.0**column.exponent for column in model.table_.columns_])
    covariance = weight @ weight.T + np.diag(scale.squeeze().numpy() ** 2)
    return multivariate_normal(centre + unit * bias, np.outer(unit, unit) * covariance).logpdf(X)


UNEQUAL = np.array([0.2, 0.3, 0.5, 0.7, 1.0, 1.4])


@pytest.mark.slow
@pytest.mark.parametrize("posterior", POSTERIORS)
@pytest.mark.parametrize(("noise", "oracle"), [(UNEQUAL, FactorAnalysis), (0.6, PCA)])
def test_linear_model_scores_fresh_rows_as_factor_analysis_does(noise, oracle, posterior):
    X, fresh = np.split(factor_table(noise, 10_000), 2)
    model = VAETransformer(
        latent_dim=3,
        hidden_layer_sizes=(),
        prior="standard_normal",
        posterior=posterior,
        learning_rate_init=0.02,
        batch_size=1000,
        max_steps=2000,
        n_iter_no_change=None,
        likelihoods="gaussian",
        robust_weight=0,
        random_state=0,
    ).fit(X)
    expected = oracle(n_components=3).fit(X).score(fresh)
    assert model.score(fresh) == pytest.approx(expected, abs=0.05)
    assert (model.score_samples(fresh) - log_marginal(model, fresh)).max() <= 1e-6


def test_importance_weighted_bound_rises_with_the_draws_to_the_log_marginal():
    X = factor_table(UNEQUAL, 2000)
    model = VAETransformer(
        latent_dim=3,
        hidden_layer_sizes=(),
        prior="standard_normal",
        bound="iwae",
        learning_rate_init=0.01,
        max_steps=40,  # so few that the posterior is poor
        likelihoods="gaussian",
        robust_weight=0,
        random_state=0,
    ).fit(X)
    bounds = []
    for n_draws in (1, 4, 16, 64, 256, 1000):
        seeds = [_scoring.draws(n_draws, 3, seed) for seed in range(20)]
        bounds.append(np.mean([with_draws(model, eps).score_samples(X[:200]) for eps in seeds]))
    assert (np.diff(bounds) > 0).all()
    assert bounds[-1] == pytest.approx(log_marginal(model, X[:200]).mean(), abs=0.01)


def with_draws(model, eps):
    model = copy(model)
    model.draws_ = eps
    return model


# Units of the columns.


def in_domain(X, likelihood):
    """The cells of X turned into some that the noise model can have; holes stay."""
    domain = LIKELIHOODS[likelihood].domain
    standard = (X - np.nanmean(X, axis=0)) / np.nanstd(X, axis=0)
    return {
        "real": X,
        "positive": np.exp(standard),
        "spiked": np.where(standard < -0.3, 0.0, X),
        "binary": np.where(np.isnan(X), X, standard > 0),
        "count": np.exp(1 + standard).round(),
        "category": standard.round(),
        "ordered": standard.round(),
    }[domain]


def with_units_of(other, model):
    """The weights of `model` with the columns' units of `other`."""
    other = copy(other)
    other.model_, other.members_, other.draws_ = model.model_, model.members_, model.draws_
    return other


@pytest.mark.parametrize("factor", [1e-300, 7.3, 1e300])
@pytest.mark.parametrize("likelihood", CONTINUOUS)
def test_new_units_of_a_column_shift_every_score_alike(table, holed, likelihood, factor):
    table, holed = (in_domain(X, likelihood) for X in (table, holed))
    units = np.array([1.0, factor, 1.0, 1.0, 1.0])
    model = VAETransformer(likelihoods=likelihood, **SMALL).fit(table)
    refitted = clone(model).fit(table * units)
    same_weights = with_units_of(refitted, model)
    for X in (table, holed):
        expected = model.score_samples(X) - np.log(factor)
        scores = same_weights.score_samples(X * units)
        assert (np.abs(scores - expected) <= 1e-9 * np.maximum(1, np.abs(expected))).all()
        np.testing.assert_allclose(refitted.score_samples(X * units), expected, atol=0.01, rtol=0)


@pytest.mark.parametrize("constant", [0.0, 1e-3, -5.0, 1e6])
@pytest.mark.parametrize("likelihood", CONTINUOUS)
def test_value_that_departs_from_a_constant_column_is_odd(table, likelihood, constant):
    if likelihood == "log_normal":
        table, constant = in_domain(table, likelihood), abs(constant) or 1.0
    X = np.column_stack([table, np.full(len(table), constant)])
    model = VAETransformer(likelihoods=likelihood, **SMALL).fit(X)
    departing = X[:5].copy()
    departing[:, -1] += (
        20 * (constant or 1.0) if likelihood == "log_normal" else 2 * (constant or 1.0)
    )
    rise = model.negative_elbo(departing) - model.negative_elbo(X[:5])
    assert np.isfinite(rise).all()
    assert (rise > 1).all()


# Scores, explanations and samples.


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
    total = model.negative_elbo(holed)
    np.testing.assert_allclose(model.explain(holed).sum(axis=1), total, rtol=1e-9)


def test_explain_is_relative_to_what_is_normal(model, table):
    parts = model.explain(table)
    assert parts.shape == (400, 7)
    np.testing.assert_allclose(np.median(parts[:, :-1], axis=0), 0, atol=0.1)
    assert np.ptp(parts[:, -1]) == 0


def test_explain_gives_the_largest_part_to_the_odd_cell(table):
    model = VAETransformer(max_steps=300, hidden_layer_sizes=(32,), random_state=0).fit(table)
    for j in range(table.shape[1]):
        odd = table[:20].copy()
        odd[:, j] += 4 * table[:, j].std()
        by_column = model.explain(odd)[:, :-2]
        assert (by_column.argmax(axis=1) == j).mean() >= 0.9


def test_explain_of_a_dataframe_is_a_dataframe(frame):
    model = VAETransformer(**SMALL).fit(frame)
    rows = frame.iloc[[7, 3]]
    parts = model.explain(rows)
    assert list(parts.columns) == [*frame.columns, "kl", "baseline"]
    assert list(parts.index) == ["row 7", "row 3"]
    np.testing.assert_allclose(parts.sum(axis=1), model.negative_elbo(rows), rtol=1e-9)


def test_sample_gives_the_container_fitted(table, frame):
    rows = VAETransformer(**SMALL).fit(frame).sample(3, random_state=0)
    assert isinstance(rows, pd.DataFrame)
    pd.testing.assert_series_equal(rows.dtypes, frame.dtypes)
    rows = VAETransformer(**SMALL).fit(table).sample()
    assert isinstance(rows, np.ndarray)
    assert rows.shape == (1, 5)


@pytest.mark.parametrize("prior", PRIORS)
def test_samples_look_like_the_training_rows(table, prior):
    model = VAETransformer(prior=prior, max_steps=300, hidden_layer_sizes=(32,), random_state=0)
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
        ValueError, match=r"'n_samples' .* must be an int in the range \[1, inf\)\. Got 0"
    ):
        model.sample(0)


# Repeatability.

COMBINATIONS = [
    *product(POSTERIORS, PRIORS, ["gaussian"]),
    *(("diagonal", "vamp", name) for name in LIKELIHOODS if name != "gaussian"),
]


@pytest.fixture(scope="module")
def trained(table, holed):
    """A trained model and rows to score, by combination of parts."""
    models = {}
    for posterior, prior, likelihood in COMBINATIONS:
        X = in_domain(table, likelihood)
        rows = np.where(np.isnan(holed), np.nan, X)[:50]
        model = VAETransformer(posterior=posterior, prior=prior, likelihoods=likelihood, **SMALL)
        models[posterior, prior, likelihood] = model.fit(X), rows
    return models


def all_scores(model, X):
    """Whatever a row gets: its bounds, the parts of its score, its code."""
    tighter = copy(model).set_params(bound="iwae").score_samples(X)
    parts = (model.score_samples(X), tighter, model.explain(X), model.transform(X))
    return np.column_stack(parts)


def in_a_thread(model, X):
    with ThreadPoolExecutor(1) as executor:
        return executor.submit(all_scores, model, X).result()


WAYS = {
    "again": all_scores,
    "permuted": lambda model, X: all_scores(model, X[::-1])[::-1],
    "one by one": lambda model, X: np.vstack([all_scores(model, row[None]) for row in X]),
    "among others": lambda model, X: all_scores(model, np.vstack([X[:3]] * 99 + [X]))[-len(X) :],
    "after pickle": lambda model, X: all_scores(pickle.loads(pickle.dumps(model)), X),
    "after deepcopy": lambda model, X: all_scores(deepcopy(model), X),
    "in a thread": in_a_thread,
}


@pytest.mark.parametrize("parts", COMBINATIONS, ids="-".join)
def test_models_of_the_laws_are_trained(trained, parts):
    history = trained[parts][0].history_
    assert history["train"][-1] > history["train"][0]
    assert history["validation"][-1] > history["validation"][0]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("parts", COMBINATIONS, ids="-".join)
def test_score_repeats_bit_by_bit(trained, parts, way):
    model, X = trained[parts][0], trained[parts][1][:20]
    np.testing.assert_array_equal(WAYS[way](model, X), all_scores(model, X))


SCORE = """
import sys, joblib
models = joblib.load(sys.argv[1])
joblib.dump([model.explain(X) for model, X in models], sys.argv[1] + ".scores")
"""


@pytest.mark.parametrize(("more_threads", "tolerance"), [(0, 0), (1, 1e-9)])
def test_another_process_gives_the_same_scores(trained, tmp_path, more_threads, tolerance):
    path, models = str(tmp_path / "models"), list(trained.values())
    joblib.dump(models, path)
    threads = {"OMP_NUM_THREADS": str(torch.get_num_threads() + more_threads)}
    subprocess.run([sys.executable, "-c", SCORE, path], env=os.environ | threads, check=True)
    for (model, X), scores in zip(models, joblib.load(path + ".scores"), strict=True):
        expected = model.explain(X)
        assert (np.abs(scores - expected) <= tolerance * np.maximum(1, np.abs(expected))).all()


def test_fit_repeats_with_its_random_state_in_two_threads_too(table, holed):
    def scores(seed):
        detector = VAEAnomalyDetector(**SMALL).set_params(random_state=seed)
        return detector.fit(table).decision_function(holed)

    alone = [scores(seed) for seed in (0, 1)]
    with ThreadPoolExecutor(2) as executor:
        together = list(executor.map(scores, (0, 1)))
    np.testing.assert_array_equal(together, alone)
    assert (alone[0] != alone[1]).any()


# Torch's and numpy's global state.


def global_state():
    return [
        torch.get_rng_state().tolist(),
        repr(np.random.get_state()),  # noqa: NPY002
        random.getstate(),
        torch.get_num_threads(),
        torch.get_num_interop_threads(),
        torch.get_default_dtype(),
        torch.is_grad_enabled(),
        torch.are_deterministic_algorithms_enabled(),
        torch.distributions.Distribution._validate_args,
    ]


def test_nothing_global_changes(table):
    before = global_state()
    detector = VAEAnomalyDetector(divergence="sliced_wasserstein", **SMALL).fit(table)
    detector.predict(table)
    detector.sample(5, random_state=0)
    assert global_state() == before


@pytest.fixture
def double_precision():
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


@pytest.mark.parametrize("prior", PRIORS)
@pytest.mark.usefixtures("double_precision")
def test_any_default_dtype_of_torch_will_do(table, prior):
    detector = VAEAnomalyDetector(prior=prior, divergence="mmd", **SMALL).fit(table)
    assert np.isfinite(detector.decision_function(table)).all()
    assert detector.sample(2).dtype == np.float64


def fit_and_count_threads(X):
    VAEAnomalyDetector(max_steps=2).fit(X)
    return torch.get_num_threads()


def test_torch_keeps_to_the_threads_that_joblib_gives_a_worker(table):
    with joblib.parallel_config(backend="loky", inner_max_num_threads=1):
        counts = joblib.Parallel(2)(joblib.delayed(fit_and_count_threads)(table) for _ in range(2))
    assert counts == [1, 1]


# What a failed fit leaves behind.


def fail(*args, **kwargs):
    raise RuntimeError("by design")


@pytest.mark.parametrize("fitted", [True, False])
@pytest.mark.parametrize(
    ("broken", "params", "column"),
    [
        (None, {"max_steps": 0}, 0.0),
        (None, {"likelihoods": "bernoulli"}, 0.0),
        (None, {}, np.inf),
        ("skvae._base.train", {}, 0.0),
        ("skvae._scoring.draws", {}, 0.0),
        ("skvae._detector.threshold", {}, 0.0),
    ],
)
def test_failed_fit_leaves_the_estimator_as_it_was(
    table, monkeypatch, fitted, broken, params, column
):
    detector = VAEAnomalyDetector(max_steps=2)
    if fitted:
        detector.fit(table)
        scores = detector.decision_function(table)
    detector.set_params(**params)
    before = {name: id(value) for name, value in vars(detector).items()}
    if broken:
        monkeypatch.setattr(broken, fail)
    with pytest.raises((ValueError, RuntimeError)):
        detector.fit(np.column_stack([table[:50], np.full(50, column)]))
    assert {name: id(value) for name, value in vars(detector).items()} == before
    if fitted:
        np.testing.assert_array_equal(detector.decision_function(table), scores)
    else:
        with pytest.raises(NotFittedError):
            check_is_fitted(detector)


# Going on with the training.


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
    **{"scale_floor": 0.1, "members": ["plain"]},
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


@pytest.mark.parametrize("broken", ["train", "pass_over"])
def test_training_that_breaks_off_changes_nothing(table, monkeypatch, broken):
    def breaks_off(model, *args, **kwargs):
        for weight in model.parameters():
            weight.data.zero_()
        raise KeyboardInterrupt

    model = VAEAnomalyDetector(**SMALL, warm_start=True).partial_fit(table)
    before, scores = fitted_state(model), model.score_samples(table)
    monkeypatch.setattr(f"skvae._base.{broken}", breaks_off)
    with pytest.raises(KeyboardInterrupt):
        (model.fit if broken == "train" else model.partial_fit)(table)
    assert fitted_state(model) == before
    np.testing.assert_array_equal(model.score_samples(table), scores)


def test_a_warm_start_continues_from_the_weights_at_hand(table):
    model = VAEAnomalyDetector(**SMALL, warm_start=True).fit(table)
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
    assert model.n_steps_ == 60 + 2 + 60


@needs_cuda
def test_training_goes_on_on_cuda(table):
    model = VAETransformer(**SMALL, device="cuda").partial_fit(table).partial_fit(table)
    moments = model.optimizers_[0]["state"][0]
    assert {value.device.type for value in moments.values()} == {"cpu"}
    assert np.isfinite(model.score(table))


# Categories and mixed tables.


@pytest.fixture(scope="module")
def mixed(frame):
    """`frame` with an index, a column of text, one of ordered sizes, one of counts, and holes."""
    size = pd.cut(frame["d"], [-np.inf, -1000, 0, np.inf], labels=["s", "m", "l"])
    text = np.where(frame["b"] > 1, "high", np.where(frame["e"] > 5, "low", "rare"))
    X = frame.assign(text=text, size=size, visits=np.exp(frame["b"]).round())
    return X.mask(np.random.default_rng(0).random(X.shape) < 0.1)


CHOSEN = {"visits": "negative_binomial", "a": "student_t"}


@pytest.fixture(scope="module")
def mixed_model(mixed):
    return VAETransformer(likelihoods=CHOSEN, **SMALL | {"max_steps": 300}).fit(mixed)


def test_noise_models_follow_the_kinds_of_columns(mixed_model):
    got = {column.name: column.likelihood for column in mixed_model.table_.columns_}
    expected = {"flag": "bernoulli", "text": "categorical", "size": "ordinal"}
    assert got == dict.fromkeys("bcde", "heteroscedastic_student_t") | CHOSEN | expected


def test_explanations_of_a_mixed_table_add_up(mixed_model, mixed):
    total = mixed_model.negative_elbo(mixed)
    assert np.isfinite(total).all()
    np.testing.assert_allclose(mixed_model.explain(mixed).sum(axis=1), total, rtol=1e-9)


def test_polars_and_pandas_tables_get_the_same_scores(mixed_model, mixed):
    X = pl.from_pandas(mixed)
    np.testing.assert_array_equal(mixed_model.negative_elbo(X), mixed_model.negative_elbo(mixed))
    parts = mixed_model.explain(X)
    assert isinstance(parts, pd.DataFrame)
    assert list(parts.columns) == [*mixed.columns, "kl", "baseline"]


def test_an_unseen_level_is_odd_but_no_error(mixed_model, mixed):
    rows = mixed.dropna().iloc[:20]
    unseen = rows.assign(text="never seen", size="xxl")
    rise = mixed_model.negative_elbo(unseen) - mixed_model.negative_elbo(rows)
    assert np.isfinite(rise).all()
    assert (rise > 3).all()
    column = next(c for c in mixed_model.table_.columns_ if c.name == "text")
    floor = np.log(column.n_observed + len(column.levels) + 1)
    parts = mixed_model.explain(unseen)["text"] + mixed_model.baseline_[list(mixed).index("text")]
    np.testing.assert_allclose(parts, floor, rtol=1e-9)


def test_samples_of_a_mixed_table_hold_what_its_columns_hold(mixed_model, mixed):
    rows = mixed_model.sample(200, random_state=0)
    assert set(rows["text"]) <= {"high", "low", "rare"}
    assert rows["size"].dtype == mixed["size"].dtype
    assert rows["flag"].dtype == bool
    assert (rows["visits"] % 1 == 0).all()
    assert np.isfinite(mixed_model.score_samples(rows)).all()


def test_arrays_of_objects_are_mixed_tables_too(mixed_model, mixed):
    names = dict(enumerate(mixed.columns))
    chosen = {position: CHOSEN.get(name, "auto") for position, name in names.items()}
    chosen[list(mixed).index("size")] = "categorical"
    X = mixed.to_numpy(dtype=object)
    model = VAETransformer(likelihoods=chosen, **SMALL).fit(X)
    assert np.isfinite(model.score_samples(X)).all()
    rows = model.sample(5, random_state=0)
    assert rows.dtype == object
    assert set(rows[:, list(mixed).index("text")]) <= {"high", "low", "rare"}
    assert model.inverse_transform(model.transform(X)).shape == X.shape


def test_ten_thousand_levels_are_fitted_with_a_bounded_model():
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"id": rng.permutation(10_000).astype(str), "x": rng.normal(size=10_000)})
    model = VAETransformer(hidden_layer_sizes=(16,), max_steps=5, random_state=0).fit(X)
    assert max(max(weight.shape) for weight in model.model_.parameters()) <= 200
    assert model.score_samples(X.assign(id="new")).max() < model.score_samples(X).max()


# Missing cells: filled, and modelled.


def test_filled_tables_hold_the_observed_cells_and_no_hole(mixed_model, mixed):
    filled = mixed_model.impute(mixed)
    assert list(filled.columns) == list(mixed.columns)
    assert (filled.index == mixed.index).all()
    assert not filled.isna().any().any()
    seen = mixed.notna()
    assert (filled.astype(object).where(seen) == mixed.astype(object))[seen].all().all()
    assert filled["flag"].dtype == bool
    assert (filled["visits"] % 1 == 0).all()
    assert np.isfinite(mixed_model.score_samples(filled)).all()


def test_guesses_are_nearer_to_the_truth_than_means_and_modes(mixed_model, mixed, frame):
    hidden = mixed["c"].isna()
    error = (mixed_model.impute(mixed)["c"] - frame["c"])[hidden].abs().mean()
    assert error < 0.7 * (frame["c"].mean() - frame["c"])[hidden].abs().mean()
    hidden = mixed["flag"].isna()
    right = (mixed_model.impute(mixed)["flag"] == frame["flag"])[hidden].mean()
    assert right > max(frame["flag"].mean(), 1 - frame["flag"].mean())


def test_drawn_tables_vary_in_the_holes_alone_around_the_guess(mixed_model, mixed):
    first, *others = mixed_model.impute(mixed, n_draws=30, random_state=0)
    again = mixed_model.impute(mixed, n_draws=1, random_state=0)
    pd.testing.assert_frame_equal(again[0], first)
    hidden = mixed["c"].isna()
    draws = np.array([table["c"] for table in (first, *others)])
    assert (draws.std(axis=0)[hidden] > 0).all()
    assert (np.ptp(draws, axis=0)[~hidden] == 0).all()
    error = draws.mean(axis=0)[hidden] - mixed_model.impute(mixed)["c"][hidden]
    assert np.abs(error).mean() < 0.5 * draws.std(axis=0)[hidden].mean()


def test_filling_a_whole_array_gives_it_back(model, table):
    np.testing.assert_array_equal(model.impute(table), table)


def test_too_few_draws_are_refused(model, table):
    with pytest.raises(ValueError, match=r"'n_draws' .* must be an int in the range \[1, inf\)"):
        model.impute(table, n_draws=0)


def test_modelled_holes_say_what_they_are_worth(table):
    X = table.copy()
    X[X[:, 1] > 1, 0] = np.nan  # missing because of another column
    ignoring = VAETransformer(max_steps=300, hidden_layer_sizes=(32,), random_state=0).fit(X)
    modelling = clone(ignoring).set_params(missing="model").fit(X)
    assert modelling.table_.masked_.tolist() == [0]
    rows = table[(table[:, 1] > 1.5) | (table[:, 1] < 0.5)]
    swapped = rows.copy()
    swapped[rows[:, 1] < 0.5, 0] = np.nan  # neither these cells missing nor those observed
    rise = modelling.explain(swapped)[:, 0]
    assert np.median(rise) > np.median(ignoring.explain(swapped)[:, 0]) + 1
    assert modelling.explain(X).shape == ignoring.explain(X).shape
    total = modelling.negative_elbo(X)
    np.testing.assert_allclose(modelling.explain(X).sum(axis=1), total, rtol=1e-9)
    assert not np.isnan(modelling.impute(X)).any()


def test_without_holes_there_is_nothing_to_model(model, table):
    modelling = clone(model).set_params(missing="model").fit(table)
    np.testing.assert_array_equal(modelling.score_samples(table), model.score_samples(table))


# What is expected of each cell given the others.


def test_a_linear_model_expects_normal_cells():
    X = factor_table(UNEQUAL, 500)
    params = SMALL | {"hidden_layer_sizes": (), "n_draws": 512, "likelihoods": "gaussian"}
    model = VAETransformer(latent_dim=3, robust_weight=0, **params).fit(X)
    expected = model.expected(X[:20], coverage=0.8)
    (block,), (_, decoder) = model.model_.likelihood.blocks, model.model_.decoder
    noise = block(torch.zeros(1, 6, 1)).scale[0].numpy()
    x = torch.tensor(model.table_.encode(read_table(X[:20])).values)
    for j, column in enumerate(model.table_.columns_):
        others = torch.ones_like(x)
        others[:, j] = 0
        q, weight = model.model_.infer(x, others), decoder.weight[j]
        mean = (q.mean @ weight + decoder.bias[j]).numpy()
        scale = np.sqrt((q.variance @ weight**2).numpy() + noise[j] ** 2)
        unit = column.scale * 2.0**column.exponent
        encoded = (expected[j] - column.loc * 2.0**column.exponent) / unit
        np.testing.assert_allclose(encoded["expected"], mean, atol=1e-9)
        for end, side in (("lower", -1), ("upper", 1)):
            np.testing.assert_allclose(
                (encoded[end] - mean) / scale, side * norm.ppf(0.9), rtol=0.02
            )


def test_what_is_expected_of_a_cell_is_what_fills_it_if_hidden(mixed_model, mixed):
    rows = mixed[:40]
    expected = mixed_model.expected(rows)
    assert (expected.index == rows.index).all()
    for name in mixed.columns:
        filled = mixed_model.impute(rows.assign(**{name: rows[name].mask(rows[name].notna())}))
        pd.testing.assert_series_equal(
            expected[name, "expected"], filled[name], check_names=False, rtol=1e-12
        )


def test_columns_of_numbers_have_intervals_and_others_probabilities(mixed_model, mixed):
    rows = mixed[:100]
    expected = mixed_model.expected(rows)
    assert expected.columns.names == ["column", "field"]
    for name in rows.columns:
        fields, seen = expected[name], rows[name].notna()
        if name in ("flag", "text", "size"):
            assert list(fields) == ["expected", "probability"]
            assert (fields["probability"].notna() == seen).all()
            assert fields["probability"][seen].between(0, 1).all()
        else:
            assert list(fields) == ["expected", "lower", "upper"]
            assert (fields["lower"] <= fields["upper"]).all()
            inside = rows[name].between(fields["lower"] - 1e-9, fields["upper"] + 1e-9)
            assert inside[seen].mean() > 0.75
    counts = expected["visits"]
    assert (counts % 1 == 0).all().all()


def test_probabilities_of_all_levels_add_up_to_1(mixed_model, mixed):
    rows = mixed[:20]
    for name, levels in {"flag": [True, False], "text": ["high", "low", "rare", "?"]}.items():
        tables = [rows.assign(**{name: level}) for level in levels]
        parts = [mixed_model.expected(X)[name, "probability"] for X in tables]
        np.testing.assert_allclose(sum(parts), 1, rtol=1e-9)


def test_wider_intervals_contain_narrower_ones(model, holed):
    narrow, wide = (model.expected(holed[:50], coverage=c) for c in (0.5, 0.99))
    for j in range(holed.shape[1]):
        assert (wide[j, "lower"] < narrow[j, "lower"]).all()
        assert (narrow[j, "upper"] < wide[j, "upper"]).all()


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_expected_cells_do_not_depend_on_other_rows_or_their_own_value(table, likelihood):
    X = in_domain(table, likelihood)
    model = VAETransformer(likelihoods=likelihood, **SMALL).fit(X)
    expected = model.expected(X[:30])
    assert not expected.isna().any().any()
    again = model.expected(X[29::-1])[::-1].reset_index(drop=True)
    pd.testing.assert_frame_equal(again, expected, rtol=1e-6)
    other = X[:30].copy()
    other[:, 2] = X[30:60, 2]
    fields = ["expected", *(f for f in ("lower", "upper") if f in expected[2])]
    pd.testing.assert_frame_equal(model.expected(other)[2][fields], expected[2][fields])


def test_both_members_have_their_share_in_what_is_expected(table):
    parts = [
        VAETransformer(robust_weight=w, likelihoods="gaussian", **SMALL).fit(table) for w in WEIGHTS
    ]
    for guess in (
        lambda model: model.expected(table[:9]).xs("expected", axis=1, level=1).to_numpy(),
        lambda model: model.impute(np.where(np.eye(5) > 0, np.nan, table[:5])),
    ):
        main, both, robust = map(guess, parts)
        np.testing.assert_allclose(both, 0.75 * main + 0.25 * robust)


@pytest.mark.parametrize("coverage", [0, 1, 90])
def test_coverage_is_a_share(model, table, coverage):
    with pytest.raises(ValueError, match=r"'coverage' .* must be a float in the range \(0, 1\)"):
        model.expected(table, coverage=coverage)


# Holes, extremes and small tables.


def test_holes_hardly_change_the_ranking():
    X, y = load_breast_cancer(return_X_y=True)
    benign = np.random.default_rng(0).permutation(np.flatnonzero(y == 1))
    train, rest = np.array_split(benign, 2)
    model = VAETransformer(max_steps=300, random_state=0).fit(X[train])
    fresh = np.vstack([X[rest], X[y == 0]])
    odd = np.repeat([0, 1], [len(rest), (y == 0).sum()])
    whole = roc_auc_score(odd, model.negative_elbo(fresh))
    with_holes = [
        roc_auc_score(odd, model.negative_elbo(np.where(hidden < 0.2, np.nan, fresh)))
        for hidden in (np.random.default_rng(seed).random(fresh.shape) for seed in range(3))
    ]
    assert whole > 0.9
    assert np.mean(with_holes) == pytest.approx(whole, abs=0.02)


@pytest.mark.parametrize("likelihood", CONTINUOUS)
def test_scores_are_finite_whatever_is_missing_or_huge(table, likelihood):
    table = in_domain(table, likelihood)
    X = np.column_stack([table, np.full(len(table), np.nan)])
    model = VAETransformer(likelihoods=likelihood, **SMALL).fit(X)
    strange = np.vstack([X[:6], np.full((3, 6), np.nan)])
    lowest = 1e-250 if likelihood == "log_normal" else -1e300
    strange[np.arange(6), np.arange(6)] = [1e300, lowest, 1e-300, np.nan, 1e200, 1e300]
    scores = all_scores(model, strange)
    assert np.isfinite(scores).all()
    assert (scores[6:] == scores[6]).all()


def test_rows_without_any_cell_may_be_fitted(table):
    X = np.vstack([table, np.full((5, 5), np.nan)])
    assert np.isfinite(all_scores(VAETransformer(**SMALL).fit(X), X)).all()


@pytest.mark.parametrize(("n", "n_held_out"), [(2, 0), (19, 0), (20, 2), (100, 10)])
def test_small_tables_fit_and_hold_out_a_tenth_from_20_rows_on(table, n, n_held_out):
    detector = VAEAnomalyDetector(max_steps=20, false_alarm_rate=0.5, cv=None).fit(table[:n])
    assert detector.n_calibration_ == n_held_out
    assert np.isnan(detector.history_["validation"]).all() == (n_held_out == 0)
    assert np.isfinite(detector.score_samples(table[:1])).all()


# Bad input.


def test_one_row_is_too_few_to_fit(table):
    with pytest.raises(ValueError, match=r"1 sample.*minimum of 2 is required"):
        VAETransformer().fit(table[:1])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda X: X.drop(columns="e"), "Feature names seen at fit time, yet now missing:\n- e"),
        (lambda X: X[list("bacde")], "Feature names must be in the same order"),
        (lambda X: X.rename(columns={"e": "f"}), "Feature names unseen at fit time:\n- f"),
        (
            lambda X: X.astype({"c": str}),
            "Column 'c': the 'heteroscedastic_student_t' likelihood needs numbers. Got '.*' in",
        ),
        (lambda X: X.replace({"d": {X["d"].iloc[2]: np.inf}}), "Column 'd' contains infinity"),
        (lambda X: X.iloc[:0], "0 sample"),
    ],
)
def test_dataframe_to_score_must_be_like_the_one_fitted(frame, spoil, message):
    X = frame.drop(columns="flag")
    model = VAETransformer(max_steps=2).fit(X)
    for method in (model.score_samples, model.negative_elbo, model.explain, model.score):
        with pytest.raises(ValueError, match=message):
            method(spoil(X))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda X: X[:, :4], "X has 4 features, but VAETransformer is expecting 5 features"),
        (lambda X: X[0], "Expected 2D array, got 1D array"),
        (
            lambda X: X.astype(str),
            "Column 0: the 'heteroscedastic_student_t' likelihood needs numbers. Got '.*' in",
        ),
        (lambda X: np.where(X[2, 3] == X, -np.inf, X), "Column 3 contains infinity: -inf in row 2"),
    ],
)
def test_array_to_score_must_be_like_the_one_fitted(model, table, spoil, message):
    for method in (model.score_samples, model.negative_elbo, model.explain, model.score):
        with pytest.raises(ValueError, match=message):
            method(spoil(table))


@pytest.mark.parametrize(
    "method",
    [
        "score_samples",
        "negative_elbo",
        "explain",
        "score",
        "decision_function",
        "predict",
        "p_values",
        "detect",
        "calibrate",
        "impute",
        "expected",
    ],
)
def test_unfitted_estimator_says_so(table, method):
    with pytest.raises(NotFittedError, match="VAEAnomalyDetector instance is not fitted yet"):
        getattr(VAEAnomalyDetector(), method)(table)
    with pytest.raises(NotFittedError, match="not fitted yet"):
        VAEAnomalyDetector().sample()


def test_likelihoods_must_name_columns_of_the_table(frame):
    message = (
        "'likelihoods' parameter of VAETransformer names the column 'g', which X does not have"
    )
    with pytest.raises(ValueError, match=message):
        VAETransformer(likelihoods={"g": "gaussian"}).fit(frame)


# CUDA.


@needs_cuda
def test_devices_agree_on_the_scores(trained):
    for model, X in trained.values():
        cpu, cuda = (all_scores(copy(model).set_params(device=d), X) for d in ("cpu", "cuda"))
        assert (np.abs(cpu - cuda) <= 1e-9 * np.maximum(1, np.abs(cpu))).all()


@needs_cuda
def test_model_fitted_on_cuda_pickles_as_cpu_tensors(table):
    model = VAETransformer(device="cuda", **SMALL).fit(table)
    assert b"cuda:0" not in pickle.dumps(model)
    assert {tensor.device.type for tensor in model.model_.state_dict().values()} == {"cpu"}
    np.testing.assert_array_equal(
        pickle.loads(pickle.dumps(model)).score_samples(table), model.score_samples(table)
    )


@pytest.fixture(scope="module")
def contaminated():
    """300 correlated rows and 15 planted far away from them, in a tight cluster."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(300, 2)) @ rng.normal(size=(2, 4)) + 0.1 * rng.normal(size=(300, 4))
    return np.vstack([rows, 0.1 * rng.normal(size=(15, 4)) + [3, -3, 3, -3]])


def test_robust_member_has_layers_and_noise_of_its_own(table):
    main, robust = (each.model for each in VAETransformer(**SMALL).fit(table).members_)
    assert [member.encoder.n_outputs - 5 for member in (main, robust)] == [16, 128]
    assert [member.likelihood.blocks[0].df for member in (main, robust)] == [4, 20]


@pytest.mark.slow
def test_robust_member_finds_what_a_long_fit_learns(contaminated):
    planted = np.arange(len(contaminated)) >= 300

    def is_odd(weight):
        model = VAEAnomalyDetector(random_state=0, robust_weight=weight).fit(contaminated)
        scores = model.negative_elbo(contaminated)
        return scores[planted].min() > np.quantile(scores[~planted], 0.99)

    assert [is_odd(weight) for weight in (0, 0.35, 1)] == [False, True, True]


@pytest.mark.parametrize("method", ["score_samples", "negative_elbo", "explain"])
@pytest.mark.parametrize("bound", ["elbo", "iwae"])
def test_scores_are_weighted_means_over_the_members(table, method, bound):
    main, both, robust = (
        getattr(VAETransformer(robust_weight=w, bound=bound, **SMALL).fit(table), method)(table)
        for w in WEIGHTS
    )
    if method == "explain":  # relative to medians of their own: compare whole rows
        main, both, robust = (parts.sum(axis=1) for parts in (main, both, robust))
    np.testing.assert_allclose(both, 0.75 * main + 0.25 * robust)


@pytest.mark.parametrize("wild", [1e6, -1e20, 1e300])
def test_one_wild_cell_does_not_blind_its_column(wild):
    table = np.random.default_rng(0).normal(size=(1000, 3))
    table[0, 0] = wild
    detector = VAEAnomalyDetector(max_steps=50, random_state=0).fit(table)
    assert detector.predict([[0, 0, 0], [100, 0, 0]]).tolist() == [1, -1]


def test_whole_numbers_are_imputed_and_drawn_whole():
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"x": rng.normal(size=100), "n": rng.poisson(4, size=100)})
    holed = X.astype(float).mask(np.arange(100)[:, None] < [0, 20])
    model = VAETransformer(**SMALL).fit(X)
    for filled in (model.sample(20), model.impute(holed), *model.impute(holed, n_draws=2)):
        assert (filled["n"] % 1 == 0).all()
        assert (filled["x"] % 1 != 0).all()
