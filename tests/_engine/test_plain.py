"""Values become JSON and arrays, and come back as they were."""

import copy
import json
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from common import SMALL

from skvae import VAETransformer
from skvae._engine.plain import Reader, Writer
from skvae.nn import Gaussian


@pytest.mark.parametrize(
    "value",
    [
        *(None, True, 3, 2.5, float("inf"), -1e-300, "text", [], [1, (2, "b")], (), {1: {"a": 2}}),
        {("a", 1): np.float32(0.5)},
        pd.CategoricalDtype(["low", "high"], ordered=True),
        pd.CategoricalDtype(pd.interval_range(0.0, 2.0, closed="left")),
        pd.BooleanDtype(),
        np.dtype("float64"),
    ],
    ids=repr,
)
def test_values_come_back(value):
    writer = Writer()
    tree = json.loads(json.dumps(writer.write(value, "it"), allow_nan=False))
    assert Reader(writer.arrays).read(tree) == value


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6.0).reshape(2, 3).T,
        np.zeros((0, 2), dtype=np.int32),
        np.array(5.0),
        np.array([True, False]),
        np.array(["a", 1, None], dtype=object),
    ],
    ids=repr,
)
def test_arrays_come_back(array):
    writer = Writer()
    again = Reader(writer.arrays).read(writer.write(array, "it"))
    assert again.dtype == array.dtype
    np.testing.assert_array_equal(again, array)


@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_the_order_in_memory_comes_back(axes):
    array = np.arange(24.0).reshape(2, 3, 4).transpose(axes)
    for value in (array, torch.from_numpy(array), array[:, None], array[..., :1]):
        writer = Writer()
        again = Reader(writer.arrays).read(writer.write(value, "it"))
        assert type(again) is type(value)
        np.testing.assert_array_equal(again, value)
        strides = (np.asarray(part).squeeze().strides for part in (again, value))
        assert len({tuple(np.argsort(steps)) for steps in strides}) == 1


def test_an_array_in_two_places_is_written_once():
    array, writer = np.ones(3), Writer()
    again = Reader(writer.arrays).read(writer.write([array, {"a": array}], "it"))
    assert len(writer.arrays) == 1
    np.testing.assert_array_equal(again[0], again[1]["a"])


# Estimators.


class OwnNoise(Gaussian):
    """Noise of a user."""


@pytest.mark.parametrize("likelihoods", ["gaussian", OwnNoise])
@pytest.mark.parametrize("way", [copy.copy, copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_an_estimator_comes_back(table, likelihoods, way):
    model = VAETransformer(likelihoods=likelihoods, **SMALL).fit(table)
    again = way(model)
    assert vars(again).keys() == vars(model).keys()
    np.testing.assert_array_equal(again.score_samples(table), model.score_samples(table))


def test_an_estimator_that_is_not_fitted_comes_back():
    again = pickle.loads(pickle.dumps(VAETransformer(beta=2.0)))
    assert again.get_params() == VAETransformer(beta=2.0).get_params()
    assert not again.__sklearn_is_fitted__()


def test_the_state_needs_no_torch_to_be_opened(table):
    state = VAETransformer(**SMALL).fit(table).__getstate__()
    assert b"torch" not in pickle.dumps(state)
