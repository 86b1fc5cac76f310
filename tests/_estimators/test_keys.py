"""Keys, and dates and numbers as text, are named at fit; what only looks alike is not."""

import warnings

import numpy as np
import pandas as pd
import pytest
from common import SMALL

from skvae import VAEAnomalyDetector, VAETransformer

RNG = np.random.default_rng(0)
N = 200
DAYS = pd.date_range("2024-01-01", periods=N)
KEY, DATE = "Nearly every row has a value of its own in 'x', as in a key", "'x' looks like dates"
COMMAS = "'x' looks like numbers with commas"
SUSPECT = {
    "text": ([f"k{i}" for i in range(N)], KEY),
    "text with holes": ([f"k{i}" if i % 3 else None for i in range(N)], KEY),
    "text that repeats a little": ([f"k{i % 190}" for i in range(N)], KEY),
    "numbers of rows": (np.arange(N), KEY),
    "numbers of rows, backwards": (np.arange(N)[::-1], KEY),
    "numbers of shuffled rows": (RNG.permutation(N) + 5_000, KEY),
    "numbers of some rows": (RNG.permutation(np.arange(int(1.3 * N)))[:N], KEY),
    "nullable numbers": (pd.array([None, *range(1, N)], dtype="Int64"), KEY),
    "seconds": (1_700_000_000 + np.cumsum(RNG.integers(1, 5_000, size=N)), KEY),
    "days": (DAYS.strftime("%Y-%m-%d"), DATE),
    "days that repeat": ((DAYS.strftime("%d.%m.%Y")[:9].tolist() * 99)[:N], DATE),
    "days of two digits": (DAYS.strftime("%m/%d/%y"), DATE),
    "moments": (DAYS.strftime("%Y-%m-%dT%H:%M:%SZ"), DATE),
    "days but for a few": ([*DAYS.strftime("%Y/%m/%d")[5:], *["unknown"] * 5], DATE),
    "decimal commas": ([f"{x:.2f}".replace(".", ",") for x in RNG.normal(size=N)], COMMAS),
    "thousands": ([f"{x:,}" for x in RNG.integers(1_000, 10**7, size=N)], COMMAS),
}
HARMLESS = {
    "amounts": np.exp(RNG.normal(10, 2, size=N)).astype(int),
    "amounts that all differ": RNG.choice(10**6, size=N, replace=False),
    "counts": RNG.poisson(3, size=N),
    "sorted counts": np.sort(RNG.poisson(3, size=N)),
    "years": 1990 + RNG.integers(30, size=N),
    "sorted days": np.repeat(np.arange(N // 2), 2),
    "floats": np.arange(float(N)),
    "levels": RNG.choice([f"level {i}" for i in range(150)], size=N),
    "addresses": RNG.choice(["10.0.0.1", "10.0.0.2", "192.168.1.20"], size=N),
    "versions": RNG.choice(["1.2.3", "2.10.12", "3.0"], size=N),
    "lists": RNG.choice(["a,b", "1,b", "1,2,", "c"], size=N),
    "ranges": RNG.choice(["0-9", "10-19", "2024", "05/2024"], size=N),
    "order": pd.Categorical(DAYS.strftime("%Y-%m-%d"), ordered=True),
    "no cell but two": [None] * (N - 2) + ["a", "b"],
}


def warned_by(X, **params):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        VAETransformer(**SMALL | {"max_steps": 1}, **params).fit(X)
    messages = [str(warning.message) for warning in caught]
    return [text for text in messages if "exclude" in text]


def with_others(x):
    return pd.DataFrame({"x": x, "other": RNG.normal(size=len(x))})


@pytest.mark.parametrize(("x", "message"), SUSPECT.values(), ids=SUSPECT)
def test_keys_and_text_that_is_no_level_are_named_with_the_way_out(x, message):
    (found,) = warned_by(with_others(x))
    assert message in found
    assert "leave it out (on the command line: --exclude x)" in found


@pytest.mark.parametrize("x", HARMLESS.values(), ids=HARMLESS)
def test_columns_that_only_look_alike_are_not_named(x):
    assert warned_by(with_others(x)) == []


def test_a_column_whose_noise_model_is_named_is_no_key():
    X = with_others(np.arange(N))
    assert warned_by(X, likelihoods={"x": "gaussian"}) == []
    assert warned_by(X, likelihoods={"other": "gaussian"}) != []


def test_chance_makes_no_key_of_few_rows():
    rng = np.random.default_rng(1)
    for n in (2, 10, 19):
        assert warned_by(pd.DataFrame({"x": range(n), "y": list(map(str, range(n)))})) == []
    tables = {f"x{i}": rng.integers(30, 60, size=20) for i in range(300)}
    assert warned_by(pd.DataFrame(tables)) == []


def test_all_keys_are_named_by_one_warning():
    X = pd.DataFrame({"id": range(N), "name": [f"n{i}" for i in range(N)], "x": RNG.normal(size=N)})
    (found,) = warned_by(X)
    assert "'id', 'name'" in found
    assert "--exclude id,name" in found


def test_folds_do_not_repeat_the_warning():
    with pytest.warns(UserWarning, match="looks like dates") as caught:
        VAEAnomalyDetector(cv=2, max_steps=1).fit(with_others(DAYS.strftime("%Y-%m-%d")))
    assert len([each for each in caught if "exclude" in str(each.message)]) == 1
