"""Equal bits for equal rows, and nothing global that changes."""

import os
import pickle
import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from copy import copy, deepcopy
from itertools import cycle

import joblib
import numpy as np
import pytest
import torch
from common import PARTS, REAL_PRIORS, SMALL, all_scores, in_domain, needs_cuda

from skvae import VAEAnomalyDetector, VAETransformer
from skvae.nn import LIKELIHOODS

COMBINATIONS = [
    # Those of these, which take their time, are in tests/_engine/test_score.py, nn/test_free.py.
    *((*parts, "gaussian") for parts in PARTS if parts[0] not in ("refined", "free", "quantised")),
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


@contextmanager
def of_double_precision():
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


SET = {
    "no gradients": torch.no_grad,
    "inference": torch.inference_mode,
    "double precision": of_double_precision,
    "another device": lambda: torch.device("meta"),
    "numpy's errors": lambda: np.errstate(all="raise"),
}


@pytest.mark.parametrize(("setting", "prior"), [*zip(cycle(SET), REAL_PRIORS, strict=False)])
def test_what_is_set_around_changes_nothing(holed, prior, setting):
    rows = np.where(np.arange(holed.size).reshape(holed.shape) == 7, 1e-310, holed)

    def answers():
        params = SMALL | {"likelihoods": {2: "spike_slab"}, "prior": prior}
        model = VAETransformer(**params, divergence="mmd").fit(rows)
        model.partial_fit(rows[:100])
        codes = model.transform(rows)
        tables = (model.explain(rows), model.sample(9, random_state=0), model.impute(rows))
        return [model.score_samples(rows), codes, model.inverse_transform(codes), *tables]

    expected, before = answers(), torch.get_default_dtype()
    with SET[setting]():
        found = answers()
    assert torch.get_default_dtype() == before
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def fit_and_count_threads(X):
    VAEAnomalyDetector(max_steps=2).fit(X)
    return torch.get_num_threads()


def test_torch_keeps_to_the_threads_that_joblib_gives_a_worker(table):
    with joblib.parallel_config(backend="loky", inner_max_num_threads=1):
        counts = joblib.Parallel(2)(joblib.delayed(fit_and_count_threads)(table) for _ in range(2))
    assert counts == [1, 1]


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
