"""What a fit is of: its parameters and its data, in short, to tell one fit from another."""

import hashlib
import re
from importlib.metadata import version

import numpy as np

from .._engine import Checkpoint, NoCheckpoint

__all__ = ["checkpoint_of"]

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


def checkpoint_of(estimator, path, raw, anomalous, device):
    """Checkpoint of a fit in a folder; one that keeps nothing where `path` is None.

    Parameters
    ----------
    estimator : BaseVAE
    path : str, path-like or None
    raw : RawTable
    anomalous : bool ndarray of shape (n,)
    device : torch.device
        Where training takes place.

    Raises
    ------
    ValueError
        As `Checkpoint`.
    """
    if path is None:
        return NoCheckpoint()
    return Checkpoint(path, _fingerprint(estimator, raw, anomalous, device))


def _fingerprint(estimator, raw, anomalous, device):
    """Parameters and data by name, as JSON values."""
    parameters = estimator.get_params(deep=False)
    del parameters["verbose"]
    return {
        "skvae": version("skvae"),
        "estimator": type(estimator).__name__,
        **{name: _ADDRESS.sub("", repr(value)) for name, value in parameters.items()},
        "device": device.type,
        "model before": _digest(*_fitted_arrays(estimator)),
        "number of rows": len(raw.values),
        "columns": repr(list(zip(raw.names, raw.kinds, strict=True))),
        "cells": _digest(raw.values, *raw.levels, *raw.exact),
        "known anomalies": _digest(anomalous),
    }


def _fitted_arrays(estimator):
    """List what a warm start goes on from: weights, noise, and medians in the columns' units."""
    models = [each.model for each in getattr(estimator, "members_", []) if each.model is not None]
    weights = [value.numpy() for model in models for value in model.state_dict().values()]
    return [*weights, getattr(estimator, "draws_", None), getattr(estimator, "baseline_", None)]


def _digest(*arrays):
    """Few letters for arrays of numbers or objects, or None; other ones for others."""
    digest = hashlib.sha256()
    for array in arrays:
        if array is None or array.dtype == object:
            digest.update(repr(None if array is None else array.tolist()).encode())
        else:
            digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()[:16]
