"""A model's first rows: parts of the user's own must fit together before training begins."""

from contextlib import contextmanager

import torch

from ..nn import LIKELIHOODS, POSTERIORS, PRIORS, Batch

__all__ = ["try_noise", "try_out"]

_ROWS = 5  # of a trial
_KNOWN = {*LIKELIHOODS.values(), *POSTERIORS.values(), *PRIORS.values()}


def try_noise(likelihood, x):
    """Raise ValueError, or TypeError, naming the noise model that does not fit.

    Parameters
    ----------
    likelihood : JointLikelihood
    x : Tensor of shape (n, n_columns)
    """
    rows = torch.arange(_ROWS) % len(x)
    for block, cells in zip(likelihood.blocks, x[rows].split(likelihood.sizes, -1), strict=True):
        if type(block) not in _KNOWN:
            _likelihood(block, cells)


def try_out(model, x, observed, divergence):
    """Raise ValueError, or TypeError, naming the part of a model that does not fit.

    Parameters
    ----------
    model : VAE
    x, observed : Tensor of shape (n, n_columns)
    divergence : Divergence or None
    """
    parts = {type(model.posterior), type(model.prior)}
    if parts <= _KNOWN and divergence is None:
        return
    rows = torch.arange(_ROWS) % len(x)
    with torch.no_grad():
        z = _posterior(model, x[rows], observed[rows].to(x.dtype))
        _prior(model, z)
        if divergence is not None:
            _check_divergence(divergence, Batch(x[rows], *[observed[rows]] * 2, z + 0.1), model)


def _posterior(model, x, observed):
    name, shape = type(model.posterior).__name__, (_ROWS, model.latent_dim)
    with _of(name):
        q = model.infer(x, observed)
        z = q.transport(torch.zeros(shape))
        _check_shape(f"{name}: mean", q.mean, shape)
        _check_shape(f"{name}: transport(eps)", z, shape)
        _check_shape(f"{name}: log_prob(z)", q.log_prob(z), shape[:1])
    return z


def _prior(model, z):
    name = type(model.prior).__name__
    with _of(name):
        density = model.prior_distribution().log_prob(z)
        _check_shape(f"{name}: log_prob(z)", density, z.shape[:1])


def _likelihood(block, x):
    name, (n, c) = type(block).__name__, x.shape
    with _of(name):
        features = block.featurize(x)
        _check_shape(f"{name}: featurize(x)", features, (n, c, block.n_inputs))
        density, _ = block.terms(torch.zeros(n, c, block.n_params), x, torch.ones_like(x))
        _check_shape(f"{name}: log_prob(x)", density, x.shape)


def _check_divergence(divergence, batch, model):
    name = f"The divergence {divergence}"
    with _of(name):
        generator = torch.Generator().manual_seed(0)
        distance = divergence.begin(model, 0).of_batch(batch, model, generator)
        distance = torch.as_tensor(distance)
        _check_shape(name, distance.squeeze(), ())
        if not distance.isfinite().all():
            raise _MisfitError(f"{name} must be a finite number. Got {distance}.")


class _MisfitError(ValueError):
    """A part whose result is not what the others need."""


@contextmanager
def _of(name):
    """Name the part that raises."""
    try:
        yield
    except _MisfitError:
        raise
    except Exception as error:
        kind = TypeError if isinstance(error, (TypeError, AttributeError)) else ValueError
        raise kind(f"{name} fails on {_ROWS} rows: {error}") from error


def _check_shape(what, result, shape):
    if not isinstance(result, torch.Tensor):
        raise TypeError(f"it returns {type(result).__name__}, no tensor")
    if result.shape != shape:
        raise _MisfitError(
            f"{what} must have the shape {tuple(shape)} for {_ROWS} rows. Got "
            f"{tuple(result.shape)}."
        )
