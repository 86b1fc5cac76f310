"""Files of fitted estimators: tensors and JSON in one file, and no code.

The file is in the safetensors format: arrays are its tensors, and all else is JSON in its
header.
"""

import hashlib
import json
from importlib.metadata import version
from os import PathLike
from pathlib import Path

import numpy as np
import pandas as pd
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as serialized
from sklearn.utils.validation import check_is_fitted

from .._engine import Reader, Writer
from .._estimators import VAEAnomalyDetector, VAEClassifier, VAEClusterer, VAETransformer
from .atomic import replacing

__all__ = ["digest_of", "load", "save"]


FORMAT = "7"
_SAVED = (VAEAnomalyDetector, VAEClassifier, VAEClusterer, VAETransformer)
ESTIMATORS = {cls.__name__: cls for cls in _SAVED}
_NESTED = "estimator"  # marks an estimator that is an attribute of another
Estimator = VAEAnomalyDetector | VAEClassifier | VAEClusterer | VAETransformer


def save(estimator: Estimator, path: str | PathLike[str]) -> None:
    """Write a fitted estimator to a file that holds tensors and JSON, and no code.

    Parameters
    ----------
    estimator : VAEAnomalyDetector, VAEClassifier, VAEClusterer or VAETransformer
        Fitted. A pipeline is saved by skops or joblib.
    path : str or path-like
        Replaced if it exists, once the new file is complete.

    Raises
    ------
    sklearn.exceptions.NotFittedError
        Before ``fit``.
    TypeError
        If it is no estimator of skvae, or a parameter or part is a class or function of
        your own, which only code could bring back.

    See Also
    --------
    load : Read the file.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np
    >>> import skvae
    >>> X = np.random.RandomState(0).normal(size=(100, 2))
    >>> detector = skvae.VAEAnomalyDetector(max_steps=50, random_state=0).fit(X)
    >>> path = os.path.join(tempfile.mkdtemp(), "model.skvae")
    >>> skvae.save(detector, path)
    >>> bool((skvae.load(path).score_samples(X) == detector.score_samples(X)).all())
    True
    """
    if ESTIMATORS.get(type(estimator).__name__) is not type(estimator):
        raise TypeError(
            f"skvae.save writes {' and '.join(ESTIMATORS)}, not {type(estimator).__name__}. Use "
            "skops.io.dump or joblib.dump."
        )
    check_is_fitted(estimator)
    writer = Writer()
    text = json.dumps(_written(estimator, writer), allow_nan=False)
    header = {
        "skvae_format": FORMAT,
        "skvae_version": version("skvae"),
        "estimator": text,
        "sha256": _checksum(text, writer.arrays),
    }
    with replacing(path) as temporary:
        # Not by save_file, which lets nobody else read the file.
        Path(temporary).write_bytes(serialized(writer.arrays, header))


def _written(estimator, writer):
    """Name of an estimator's class, and its attributes, some of which may be estimators."""
    name, attributes = type(estimator).__name__, {}
    for key, value in vars(estimator).items():
        if ESTIMATORS.get(type(value).__name__) is type(value):
            attributes[key] = {_NESTED: _written(value, writer)}
        elif key != "_skl_callbacks":  # they are code, and no part of the model
            attributes[key] = writer.write(value, f"{name}.{key}")
    return {"class": name, "attributes": attributes}


def load(path: str | PathLike[str]) -> Estimator:
    """Read an estimator that `save` wrote. No code of the file is run.

    Parameters
    ----------
    path : str or path-like

    Returns
    -------
    estimator : VAEAnomalyDetector, VAEClassifier, VAEClusterer or VAETransformer
        Its scores are those of the estimator saved, bit by bit.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is no file of `save`, of an unknown format, truncated or altered.

    See Also
    --------
    save : Write the file, with an example.
    """
    with open(path, "rb"):  # what the system has to say about the path, it says here
        pass
    try:
        with safe_open(path, "numpy") as file:
            header = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is no file of skvae.save, or truncated: {error}") from error
    if "skvae_format" not in header:
        raise ValueError(f"{path} is no file of skvae.save: its header does not name the format.")
    if header["skvae_format"] != FORMAT:
        raise ValueError(
            f"{path} is in format {header['skvae_format']} of skvae "
            f"{header.get('skvae_version', '(unknown)')}; skvae {version('skvae')} reads format "
            f"{FORMAT}. Install that version."
        )
    text = header.get("estimator", "")
    if header.get("sha256") != _checksum(text, arrays):
        raise ValueError(f"{path} was altered after it was saved: its checksum does not match.")
    try:
        return _estimator(json.loads(text), arrays)
    except Exception as error:
        raise ValueError(
            f"{path} holds no valid estimator: {type(error).__name__}: {error}"
        ) from error


def digest_of(path):
    """Checksum of what a model's file holds: equal for equal models, whenever they were saved."""
    with safe_open(path, "numpy") as file:
        return file.metadata()["sha256"]


def _estimator(tree, arrays):
    """Rebuild an estimator, and ask it about rows of its own: all parts must fit."""
    estimator = _rebuilt(tree, Reader(arrays))
    if hasattr(estimator, "classes_"):
        rows = _check_model(estimator.estimator_)
        _check_classes(estimator, rows)
        return estimator
    rows = _check_model(estimator)
    if hasattr(estimator, "offset_"):
        _check_threshold(estimator, rows)
    if hasattr(estimator, "labels_") and not np.isfinite(estimator.predict_proba(rows)).all():
        raise ValueError("a probability of a cluster is no finite number")
    return estimator


def _rebuilt(tree, reader):
    estimator = ESTIMATORS[tree["class"]]()
    for key, value in tree["attributes"].items():
        is_nested = isinstance(value, dict) and _NESTED in value
        own = _rebuilt(value[_NESTED], reader) if is_nested else reader.read(value)
        vars(estimator)[key] = own
    return estimator


def _check_model(estimator):
    """Raise where parts of a model do not fit; return three rows that it makes."""
    sizes = [len(columns) for _, columns in estimator.table_.blocks()]
    models = [each.model for each in estimator.members_ if each.model is not None]
    if any(list(model.likelihood.sizes) != sizes for model in [estimator.model_, *models]):
        raise ValueError("the columns of its table and of a model differ")
    n_context = len(estimator.table_.context_)
    context = np.full((1, n_context), np.nan) if n_context > 0 else None
    rows = estimator.sample(3, random_state=0, context=context)
    scores = estimator.score_samples(rows)
    parts, rest = estimator.explain(rows, return_rest=True)
    sums = np.asarray(parts).sum(axis=1) + np.asarray(rest).sum(axis=1)
    for numbers in (scores, sums, estimator.codes(rows).sum(axis=1)):
        if numbers.shape != (3,) or not np.isfinite(numbers).all():
            raise ValueError(f"of three rows it makes {numbers}")
    nothing = np.full(rows.shape, np.nan)
    hidden = pd.DataFrame(nothing, columns=rows.columns) if hasattr(rows, "columns") else nothing
    estimator.impute(hidden)
    estimator.impute(hidden, n_draws=1, random_state=0)
    if estimator.critic_ is not None and not np.isfinite(estimator.critic_score(rows)).all():
        raise ValueError("what its critic says is no finite number")
    return rows


def _check_classes(estimator, rows):
    names = getattr(estimator, "feature_names_in_", range(estimator.n_features_in_))
    rows = rows.iloc[:, :-1].set_axis(names, axis=1)
    proba, n_classes = estimator.predict_proba(rows), len(estimator.classes_)
    if proba.shape != (3, n_classes) or not np.isfinite(proba).all():
        raise ValueError(f"of three rows it makes probabilities of classes {proba}")
    if not hasattr(estimator, "class_scores_"):
        return
    scores = estimator.class_scores_.values()
    if not all(len(each) == 2 and np.isfinite(each).all() for each in scores):
        raise ValueError("a calibration score of a class is no finite number")
    estimator.predict_set(rows)


def _check_threshold(estimator, rows):
    estimator.decision_function(rows)
    if not np.isfinite([estimator.offset_, *estimator.calibration_scores_]).all():
        raise ValueError("its threshold or a calibration score is no finite number")
    if len(estimator.calibration_scores_) > 0:
        estimator.p_values(rows)


def _checksum(text, arrays):
    digest = hashlib.sha256(text.encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"\n{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
