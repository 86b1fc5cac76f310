"""Stages after a training, which fit a part of the model while all else stays.

With ``beta != 1``, a capacity or a divergence the encoder is not the one whose bound on log p(x) is
tightest, and where the KL divergence does not count it may be far from it. Scores are bounds: so
the encoder is fitted once more, to the model as it is. A divergence of rows has moved the decoder's
means: then own scales of the noise are fitted, too. A prior that is a model of codes may be fitted
to those of a model that was trained without it.
"""

import torch

from ..nn import Objective
from .training import Training

__all__ = ["fit_prior", "refit_encoder", "spoilt", "weights_before"]

SHARE = 0.2  # of the steps of the training before, for the encoder
SHARE_OF_PRIOR = 0.5


def spoilt(model, objective):
    """Weights of a model that another objective has left where the ELBO is not highest.

    Those of encoder and posterior, and of the columns' noise after a divergence of rows; a list of
    Parameter. What the decoder says of scales is not among them: no divergence is of them.
    """
    parts = [*model.encoder.parameters(), *model.posterior.parameters()]
    parts = parts if model.posterior.has_encoder else []
    if objective.divergence is None or objective.divergence.of != "rows":
        return parts
    return parts + model.likelihood.noise_weights()


def refit_encoder(model, rows, held_out, name, checkpoint, *, weights, max_steps, **settings):
    """Fit some weights to the ELBO; all others stay.

    Parameters
    ----------
    model : VAE
        Trained, on the device of the rows.
    rows, held_out : (x, observed), each a Tensor of shape (n, n_columns)
    name : str
        Of this training in the checkpoint.
    checkpoint : Checkpoint or NoCheckpoint
    weights : list of Parameter
    max_steps : int
        Of the training before.
    **settings
        Of `Training`, `generator` among them.
    """
    n_steps = max(1, round(SHARE * max_steps))
    _fit(weights, model, rows, held_out, name, checkpoint, max_steps=n_steps, **settings)


def fit_prior(model, rows, held_out, name, checkpoint, *, max_steps, **settings):
    """Fit the prior to the codes of rows, and nothing else; parameters as of `refit_encoder`.

    References
    ----------
    Dai and Wipf, "Diagnosing and Enhancing VAE Models", 2019, arXiv:1903.05789.
    """
    weights = list(model.prior.parameters())
    n_steps = max(1, round(SHARE_OF_PRIOR * max_steps))
    _fit(weights, model, rows, held_out, name, checkpoint, max_steps=n_steps, **settings)


def weights_before(model):
    """Weights that are trained before such stages: all but those of a prior that comes after."""
    if not model.prior.after:
        return None
    _with_gradients(model)
    own = {id(weight) for weight in model.prior.parameters()}
    return [weight for weight in model.parameters() if id(weight) not in own]


def _fit(weights, model, rows, held_out, name, checkpoint, **settings):
    if not weights:  # neither an encoder nor a head
        return
    _with_gradients(model)
    before = [part.detach().clone() for part in weights]
    training = Training(
        *(model, rows, held_out),
        objective=Objective(),
        n_iter_no_change=None,
        weights=weights,
        **settings,
    )
    elbo = training.judge()
    checkpoint.restore(name, training)
    checkpoint.run(name, training, training.steps())
    training.end()
    if training.judge() < elbo:  # too few rows to do better
        with torch.no_grad():
            for part, value in zip(weights, before, strict=True):
                part.copy_(value)


def _with_gradients(model):
    """Let all weights have gradients to write to: those of a prior that is new have none."""
    for weight in model.parameters():
        weight.grad = torch.zeros_like(weight) if weight.grad is None else weight.grad
