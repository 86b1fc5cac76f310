"""What a fit is of: its parameters and its data, in short, to tell one fit from another."""

import hashlib
import re
from importlib.metadata import version

import numpy as np

from .._engine import Checkpoint, NoCheckpoint

__all__ = ["checkpoint_of"]

_ADDRESS = re.compile(r" at 0x[0-9a-f]+")


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
        "number of steps before": getattr(estimator, "n_steps_", 0),
        "number of rows": len(raw.values),
        "columns": repr(list(raw.names)),
        "cells": _digest(raw.values, repr(raw.levels)),
        "known anomalies": _digest(anomalous, ""),
    }


def _digest(array, text):
    digest = hashlib.sha256(text.encode())
    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()[:16]
