"""Where to train and to score."""

from contextlib import contextmanager

import torch

__all__ = ["scoring_device", "training_device"]


def training_device(estimator):
    """Find the device that `device` means, or raise where there is none."""
    with _unknown_devices_named(estimator):
        device = _device(estimator.device)
        torch.empty(1, device=device)
        return device


def scoring_device(estimator):
    """Where to score: float64 rules out MPS, and a model may outlive its GPU."""
    with _unknown_devices_named(estimator):
        device = _device(estimator.device)
    is_present = device.type == "cuda" and (device.index or 0) < torch.cuda.device_count()
    return device if is_present else torch.device("cpu")


def _device(name):
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(name)
    if device.type not in ("cpu", "cuda", "mps"):
        raise ValueError(f"skvae does not train on {device.type!r}")
    return device


@contextmanager
def _unknown_devices_named(estimator):
    """Say in one sentence what `device` can be."""
    try:
        yield
    except (AssertionError, RuntimeError, TypeError, ValueError) as error:
        raise ValueError(
            f"The 'device' parameter of {type(estimator).__name__} must be 'auto', 'cpu', 'cuda', "
            f"'cuda:N' or 'mps', and present on this machine. Got {estimator.device!r} instead: "
            f"{str(error).splitlines()[0]}"
        ) from error
