"""Files: what comes back is what was saved, and nothing else comes back."""

import json
import os
import pickle
import random
import stat
from decimal import Decimal
from itertools import cycle

import joblib
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import skops.io
from common import PARTS, SMALL, long_run
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import save_file
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skvae
from skvae import VAEAnomalyDetector, VAEClassifier, VAETransformer
from skvae._files import replacing
from skvae._files.models import _checksum
from skvae.nn import FullGaussian, Gaussian, StandardNormal


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.skvae"


@pytest.fixture(scope="module")
def detector(frame):
    return VAEAnomalyDetector(**SMALL).fit(frame)


@pytest.fixture(scope="module")
def content(detector, tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "model.skvae"
    skvae.save(detector, path)
    return path.read_bytes()


def saved(estimator, path):
    skvae.save(estimator, path)
    return skvae.load(path)


def test_a_file_is_hardly_larger_than_a_pickle(detector, content):
    header = int.from_bytes(content[:8], "little")  # JSON takes more than pickle's marks
    assert len(content) - header < len(pickle.dumps(detector))


# What comes back.


# Those of "free" and "quantised", which take their time, are in tests/nn.
@pytest.mark.parametrize(
    ("posterior", "prior", "bound"),
    [
        (*parts, bound)
        for parts, bound in zip(PARTS, cycle(["elbo", "iwae"]), strict=False)
        if parts[0] not in ("free", "quantised")
    ],
)
def test_scores_are_those_of_the_estimator_saved(frame, holed, path, posterior, prior, bound):
    model = VAEAnomalyDetector(posterior=posterior, prior=prior, bound=bound, **SMALL).fit(frame)
    again = saved(model, path)
    rows = frame.assign(**dict(zip("abcde", holed.T, strict=True)))
    np.testing.assert_array_equal(again.score_samples(rows), model.score_samples(rows))
    pd.testing.assert_frame_equal(again.explain(rows), model.explain(rows), check_exact=True)
    pd.testing.assert_frame_equal(again.sample(3, random_state=0), model.sample(3, random_state=0))
    np.testing.assert_array_equal(again.predict(rows), model.predict(rows))


@pytest.mark.parametrize("likelihoods", ["heteroscedastic", {0: "student_t"}])
def test_codes_of_arrays_are_those_of_the_transformer_saved(table, path, likelihoods):
    model = VAETransformer(likelihoods=likelihoods, prior_params={"n_components": 5}, **SMALL)
    again = saved(model.fit(table), path)
    codes = model.transform(table)
    np.testing.assert_array_equal(again.transform(table), codes)
    np.testing.assert_array_equal(again.inverse_transform(codes), model.inverse_transform(codes))


def test_parameters_and_fitted_attributes_come_back(detector, path):
    again = saved(detector, path)
    assert type(again) is type(detector)
    assert again.get_params() == detector.get_params()
    assert vars(again).keys() == vars(detector).keys()
    np.testing.assert_equal(again.history_, detector.history_)
    assert again.table_.columns_ == detector.table_.columns_
    assert list(again.feature_names_in_) == list(detector.feature_names_in_)
    assert not any(parameter.requires_grad for parameter in again.model_.parameters())


@pytest.mark.parametrize(
    ("labels", "names"),
    [("latent", ["a", "other", "c"]), ("prior", [3, 5, 9]), ("decoder", [False, True, True])],
)
def test_classes_are_those_of_the_classifier_saved(frame, path, labels, names):
    y = np.array(names)[np.arange(len(frame)) % 3]
    estimator = VAEAnomalyDetector(**SMALL | {"max_steps": 5}, robust_weight=0)
    model = VAEClassifier(estimator, labels=labels).fit(frame, y).calibrate(frame, y)
    again = saved(model, path)
    assert again.get_params(deep=False).keys() == model.get_params(deep=False).keys()
    assert again.estimator.get_params() == estimator.get_params()
    assert again.classes_.dtype == model.classes_.dtype
    np.testing.assert_array_equal(again.predict_proba(frame), model.predict_proba(frame))
    sets = [fitted.predict_set(frame, error=0.3) for fitted in (again, model)]
    np.testing.assert_array_equal(*sets)
    assert list(again.class_scores_) == list(model.class_scores_)


def test_a_classifier_whose_calibration_is_no_number_is_refused(frame, path):
    estimator = VAETransformer(**SMALL | {"max_steps": 5}, robust_weight=0)
    y = np.arange(len(frame)) % 2
    model = VAEClassifier(estimator).fit(frame, y).calibrate(frame, y)
    model.class_scores_[1][0, 0] = np.nan
    skvae.save(model, path)
    with pytest.raises(ValueError, match="a calibration score of a class is no finite number"):
        skvae.load(path)


def test_parts_given_as_classes_come_back(frame, path):
    model = VAETransformer(**SMALL | {"max_steps": 5}, posterior=FullGaussian).fit(frame)
    assert saved(model, path).posterior is FullGaussian


def test_parameters_set_after_the_fit_do_not_change_the_scores(frame, path):
    model = VAEAnomalyDetector(**SMALL).fit(frame)
    model.set_params(activation="relu", hidden_layer_sizes=(3,), prior="mixture")
    np.testing.assert_array_equal(
        saved(model, path).score_samples(frame), model.score_samples(frame)
    )


@pytest.mark.parametrize(
    "cells",
    [
        pd.arrays.SparseArray([0.0, 1.0] * 50),
        pd.cut(np.arange(100.0), 3),
        pd.array([Decimal("1.5"), Decimal("2.5")] * 50, pd.ArrowDtype(pa.decimal128(4, 1))),
        pd.array(["a", "b"] * 50, pd.ArrowDtype(pa.dictionary(pa.int32(), pa.string()))),
        pd.array(["a", "b"] * 50, pd.ArrowDtype(pa.string())),
        pd.array(["a", "b"] * 50, "string[pyarrow]"),
    ],
    ids=lambda cells: str(cells.dtype),
)
def test_columns_of_any_dtype_come_back(detector, frame, path, cells):
    X = frame[:100].assign(own=cells)
    fitted = clone(detector).fit(X)
    for other in (saved(fitted, path), pickle.loads(pickle.dumps(fitted))):
        drawn = [model.sample(3, random_state=0) for model in (other, fitted)]
        pd.testing.assert_frame_equal(*drawn)
        if isinstance(cells, pd.arrays.ArrowExtensionArray | pd.arrays.ArrowStringArray):
            assert drawn[0]["own"].dtype.name in (cells.dtype.name, "float64", "category")


def test_what_was_loaded_can_be_fitted_and_saved_again(detector, frame, path):
    again = saved(saved(detector, path), path)
    np.testing.assert_array_equal(
        again.fit(frame).score_samples(frame), detector.score_samples(frame)
    )


# What is not saved.


class OwnNoise(Gaussian):
    """Noise of a user."""


class OwnPrior(StandardNormal):
    """Prior of a user."""


class OwnDetector(VAEAnomalyDetector):
    """Detector of a user."""


def own_divergence(x, y, generator):
    return (x.mean() - y.mean()).square()


@pytest.mark.parametrize(
    ("params", "named"),
    [
        ({"likelihoods": OwnNoise}, r"VAEAnomalyDetector\.likelihoods holds .*OwnNoise"),
        ({"likelihoods": {"a": OwnNoise}}, r"VAEAnomalyDetector\.likelihoods holds .*OwnNoise"),
        ({"prior": OwnPrior}, r"VAEAnomalyDetector\.prior holds .*OwnPrior"),
        ({"divergence": own_divergence}, r"VAEAnomalyDetector\.divergence holds .*own_diverg"),
        ({"random_state": np.random.RandomState(0)}, r"random_state holds .*an int for random_st"),
    ],
)
def test_parts_of_ones_own_are_not_saved(frame, path, params, named):
    model = VAEAnomalyDetector(**SMALL | params).fit(frame)
    with pytest.raises(TypeError, match=named):
        skvae.save(model, path)
    assert list(path.parent.iterdir()) == []


def test_other_estimators_are_not_saved(detector, frame, path):
    with pytest.raises(TypeError, match=r"not Pipeline\. Use skops\.io\.dump or joblib"):
        skvae.save(make_pipeline(StandardScaler(), detector), path)
    with pytest.raises(TypeError, match="not OwnDetector"):
        skvae.save(OwnDetector(**SMALL).fit(frame), path)
    with pytest.raises(NotFittedError):
        skvae.save(VAEAnomalyDetector(), path)


def write_half(path):
    with replacing(path) as temporary, open(temporary, "w") as file:
        file.write("half")
        raise KeyboardInterrupt


def test_others_may_read_the_file(detector, path):
    skvae.save(detector, path)
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~mask


def test_an_interrupted_write_leaves_the_old_file(path):
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt):
        write_half(path)
    assert path.read_text() == "old"
    assert list(path.parent.iterdir()) == [path]


# What is not loaded.


def header_and_arrays(content, path):
    path.write_bytes(content)
    with safe_open(path, "numpy") as file:
        return file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def test_a_missing_file_is_the_systems_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        skvae.load(tmp_path / "none.skvae")
    with pytest.raises(IsADirectoryError):
        skvae.load(tmp_path)


@pytest.mark.parametrize(
    "foreign",
    [
        b"",
        b"a,b\n1,2\n",
        pickle.dumps({"a": 1}),
        bytes(100),
        b"\xff" * 100,
        b"PK\x03\x04" + bytes(50),
    ],
)
def test_foreign_files_are_refused(path, foreign):
    path.write_bytes(foreign)
    with pytest.raises(ValueError, match=r"model\.skvae is no file of skvae\.save, or truncated"):
        skvae.load(path)


def test_safetensors_of_others_are_refused(path):
    save_file({"weight": np.ones(3)}, path)
    with pytest.raises(ValueError, match="its header does not name the format"):
        skvae.load(path)


def test_an_unknown_format_is_named(content, path):
    header, arrays = header_and_arrays(content, path)
    save_file(arrays, path, header | {"skvae_format": "99", "skvae_version": "9.1"})
    with pytest.raises(ValueError, match=r"is in format 99 of skvae 9\.1; .* reads format 7"):
        skvae.load(path)


def test_altered_numbers_are_noticed(content, path):
    header, arrays = header_and_arrays(content, path)
    changed = {name: array.copy() for name, array in arrays.items()}
    changed["0"].flat[0] += 1
    save_file(changed, path, header)
    with pytest.raises(ValueError, match="its checksum does not match"):
        skvae.load(path)


@pytest.mark.parametrize(
    "tree",
    [
        {"module": {"class": "system", "attributes": {}}},
        {"record": {"class": "Popen", "attributes": {}}},
        {"call": "print"},
        {"__init__": "print"},
        {"tensor": ["no such", []]},
    ],
)
def test_names_that_are_not_listed_are_refused(content, path, tree):
    header, arrays = header_and_arrays(content, path)
    estimator = json.loads(header["estimator"])
    estimator["attributes"]["model_"] = tree
    write(path, estimator, arrays, header)
    with pytest.raises(ValueError, match="holds no valid estimator: KeyError"):
        skvae.load(path)


def write(path, estimator, arrays, header):
    """Write a file whose checksum is right, whatever it holds."""
    text = json.dumps(estimator)
    save_file(arrays, path, header | {"estimator": text, "sha256": _checksum(text, arrays)})


def is_clear(path):
    """Whether loading ends in a valid estimator or one clear error."""
    try:
        estimator = skvae.load(path)
    except ValueError as error:
        return str(error).startswith(str(path))
    return np.isfinite(estimator.score_samples(estimator.sample(2, random_state=0))).all()


FUZZING = settings(
    max_examples=long_run(200),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@FUZZING
@given(st.binary(max_size=300))
def test_any_bytes_give_a_clear_error(path, bytes_):
    path.write_bytes(bytes_)
    assert is_clear(path)


@FUZZING
@given(st.data())
def test_changed_and_cut_bytes_give_a_clear_error(content, path, data):
    changed = bytearray(content)
    for _ in range(data.draw(st.integers(0, 4))):
        position = data.draw(st.integers(0, len(changed) - 1))
        changed[position] = data.draw(st.integers(0, 255))
    path.write_bytes(changed[: data.draw(st.integers(0, len(changed)))])
    assert is_clear(path)


LEAVES = st.none() | st.booleans() | st.integers(-3, 40) | st.floats() | st.text(max_size=3)
TREES = st.recursive(
    LEAVES, lambda t: st.lists(t, max_size=2) | st.dictionaries(st.text(max_size=5), t, max_size=2)
)


@FUZZING
@given(st.integers(0, 2**32), TREES)
def test_changed_contents_give_a_clear_error(content, path, seed, tree):
    header, arrays = header_and_arrays(content, path)
    estimator = json.loads(header["estimator"])
    rng, place = random.Random(seed), estimator
    while True:
        key = rng.choice(list(place) if isinstance(place, dict) else range(len(place)))
        if not isinstance(place[key], (dict, list)) or not place[key] or rng.random() < 0.1:
            break
        place = place[key]
    place[key] = tree
    write(path, estimator, arrays, header)
    assert is_clear(path)


ALTERED = [  # what becomes of an array, and of a weight that is one number
    lambda array: array[:0],
    lambda array: np.concatenate([array, array]),
    lambda array: array.astype(np.int8),
    lambda array: array.ravel(),
    lambda array: np.full_like(array, np.nan if array.dtype.kind == "f" else 99),
    lambda array: np.full_like(array, np.finfo(array.dtype).max if array.dtype.kind == "f" else -1),
    lambda array: np.full_like(array, 1e6),
    lambda array: np.full_like(array, -1e6),
]


@pytest.mark.parametrize("altered", ALTERED)
def test_altered_arrays_give_a_clear_error_or_a_model_that_answers(content, frame, path, altered):
    header, arrays = header_and_arrays(content, path)
    for name in arrays:
        write(path, json.loads(header["estimator"]), arrays | {name: altered(arrays[name])}, header)
        try:
            model = skvae.load(path)
        except ValueError as error:
            assert str(error).startswith(str(path))  # noqa: PT017
            continue
        rows = frame.head(2)
        assert np.isfinite(model.score_samples(rows)).all()
        assert np.isfinite(model.explain(rows)).all(axis=None)
        assert np.isfinite(model.codes(rows)).all()
        model.impute(rows.mask(rows.notna()))


@pytest.mark.parametrize("field_", ["n_codes", "exponent", "loc", "levels", "likelihood"])
def test_fields_of_columns_are_of_their_types(content, path, field_):
    header, arrays = header_and_arrays(content, path)
    tree = json.loads(header["estimator"])
    columns = tree["attributes"]["table_"]["record"]["attributes"]["columns_"]
    columns[0]["record"]["attributes"][field_] = {"domain": "real"}
    write(path, tree, arrays, header)
    with pytest.raises(ValueError, match=f"holds no valid estimator: .*{field_}"):
        skvae.load(path)


# Other ways.


@pytest.mark.parametrize("way", ["pickle", "joblib", "skops"])
def test_a_pipeline_comes_back_bit_by_bit(detector, table, path, way):
    pipeline = make_pipeline(StandardScaler(), VAEAnomalyDetector(**SMALL)).fit(table)
    if way == "pickle":
        again = pickle.loads(pickle.dumps(pipeline))
    elif way == "joblib":
        joblib.dump(pipeline, path)
        again = joblib.load(path)
    else:
        skops.io.dump(pipeline, path)
        types = skops.io.get_untrusted_types(file=path)
        assert types == ["skvae._estimators.detector.VAEAnomalyDetector"]
        again = skops.io.load(path, trusted=types)
    np.testing.assert_array_equal(again.score_samples(table), pipeline.score_samples(table))
