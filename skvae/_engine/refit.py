"""The bound given back: an encoder fitted to the ELBO after a training by another objective.

With ``beta != 1``, a capacity or a divergence the encoder is not the one whose bound on log p(x) is
tightest, and where the KL divergence does not count it may be far from it. Scores are bounds: so
the encoder is fitted once more, to the model as it is. A divergence of rows has moved the decoder's
means: then own scales of the noise are fitted, too.
"""

import torch

from ..nn import Objective
from .training import Training

__all__ = ["refit_encoder", "spoilt"]

SHARE = 0.2  # of the steps of the training before


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
        Of `Training`.
    """
    for parameter in model.parameters():  # those of a prior that is new have none
        parameter.grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
    if not weights:
        return
    before = [part.detach().clone() for part in weights]
    training = Training(
        *(model, rows, held_out),
        objective=Objective(),
        max_steps=max(1, round(SHARE * max_steps)),
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
