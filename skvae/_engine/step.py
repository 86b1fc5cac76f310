"""A training step: the gradient of a batch, and what the encoder does not see of it."""

import math
from functools import partial

import torch
from torch import nn
from torch.nn.functional import softplus

from .kernel import kernel_for

__all__ = ["adam", "gradient_of", "update"]


HIDDEN_CELLS = 0.5  # largest share of cells hidden in such a row
REPELLED_ROWS = 64  # known anomalies in a step, drawn with replacement
REPELLED_BY = 3.0  # nats below the median where one may rest, times the root of the columns
FARTHEST_REPELLED = 1e4  # units from a column's centre; cells beyond are moved there
GRADIENT_NORM = 10.0  # bound on the gradient's norm, times the root of the columns


def adam(model, learning_rate):
    """Optimiser of all weights of a model, which become parts of one vector.

    So do their gradients: a step, and its norm, is then one operation each.
    """
    parameters = list(model.parameters())
    sizes = [parameter.numel() for parameter in parameters]
    whole = nn.Parameter(torch.cat([parameter.detach().flatten() for parameter in parameters]))
    whole.grad = torch.zeros_like(whole)
    parts = zip(parameters, whole.data.split(sizes), whole.grad.split(sizes), strict=True)
    for parameter, part, slope in parts:
        parameter.data = part.view(parameter.shape)
        parameter.grad = slope.view(parameter.shape)
    return torch.optim.AdamW([whole], lr=learning_rate, weight_decay=1e-4, fused=True)


def update(optimizer, gradient, batch, objective, hidden_rows):
    """Take one step of the optimiser; return the mean ELBO of the batch before it.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
        Of `adam`.
    gradient : callable
        Of `gradient_of`.
    batch : (x, observed), each a Tensor of shape (n, n_columns)
    objective : Objective
        With the capacity of this step.
    hidden_rows : float in [0, 1]
        As in `noise`.

    Returns
    -------
    elbo : Tensor, scalar
    """
    optimizer.zero_grad(set_to_none=False)
    elbo = gradient(*batch, objective, hidden_rows)
    (whole,) = optimizer.param_groups[0]["params"]
    clip = GRADIENT_NORM * math.sqrt(batch[0].shape[1])
    torch.nn.utils.clip_grad_norm_([whole], clip)
    optimizer.step()
    return elbo.mean()


def gradient_of(model, objective, repelled, generator):
    """Choose how gradients are made: written out where there is such a kernel, or by autograd.

    Parameters
    ----------
    model : VAE
    objective : Objective
    repelled : (x, observed) or None
    generator : torch.Generator

    Returns
    -------
    gradient : callable
        Of (x, observed, objective, hidden_rows): writes the gradient into the weights, and
        returns the ELBO of each row.
    """
    kernel = kernel_for(model)
    if kernel is not None and repelled is None and objective.is_weighted_elbo():
        return partial(_written_out, kernel, generator)
    return partial(_by_autograd, model, repelled, generator)


def _written_out(kernel, generator, x, observed, objective, hidden_rows):
    drawn = noise(kernel.model, x, observed, hidden_rows, generator)
    return kernel(x, *drawn, beta=objective.beta, trimming=objective.trimming)


def _by_autograd(model, repelled, generator, x, observed, objective, hidden_rows):
    terms = model(x, *noise(model, x, observed, hidden_rows, generator))
    elbo = terms.log_weight().detach()
    loss = objective.loss(terms, _distance(model, objective, terms.z, generator))
    if repelled is not None:
        loss = loss + repulsion(model, *repelled, elbo, hidden_rows, generator)
    loss.backward()
    return elbo


def _distance(model, objective, z, generator):
    if objective.divergence is None:
        return 0.0
    with torch.no_grad():
        prior_z = model.sample_prior(len(z), generator)
    return objective.divergence(z, prior_z, generator)


def noise(model, x, observed, hidden_rows, generator):
    """Draw what a model is given beside a batch, some of whose cells the encoder does not see.

    Hidden cells still count in the objective: the model learns to infer a row from the
    rest of its cells, and so to score rows with holes.

    Parameters
    ----------
    model : VAE
    x : Tensor of shape (n, n_columns)
    observed : bool Tensor of shape (n, n_columns)
    hidden_rows : float in [0, 1]
        Share of the rows of which some cells are hidden.
    generator : torch.Generator

    Returns
    -------
    observed, visible : Tensor of shape (n, n_columns)
        1 where a cell is there, and where the encoder sees it too.
    eps : Tensor of shape (n, latent_dim)
    """
    (n, _), device = x.shape, generator.device
    shape = (n, model.latent_dim)
    eps = torch.randn(shape, generator=generator, device=device, dtype=x.dtype)
    share = HIDDEN_CELLS * torch.rand((n, 1), generator=generator, device=device)
    share *= torch.rand((n, 1), generator=generator, device=device) < hidden_rows
    visible = torch.rand(x.shape, generator=generator, device=device) >= share
    observed = observed.to(x.dtype)
    return observed, visible * observed, eps


def repulsion(model, x, observed, elbo, hidden_rows, generator):
    """Penalty in nats for rows whose ELBO is not far below the median of a batch.

    A softened hinge: nearly 0 for a row that is far below, so that nothing is gained by
    spoiling the model further, and no steeper than the ELBO itself for any row.

    Parameters
    ----------
    model : VAE
    x, observed : Tensor of shape (k, n_columns)
        Known anomalies, from which some are drawn with replacement.
    elbo : Tensor of shape (n,)
        Of the batch.
    hidden_rows : float in [0, 1]
        As in `noise`.
    generator : torch.Generator

    Returns
    -------
    penalty : Tensor, scalar
    """
    median = elbo.median()
    rows = torch.randint(len(x), (REPELLED_ROWS,), generator=generator, device=generator.device)
    x = x.clamp(-FARTHEST_REPELLED, FARTHEST_REPELLED)  # its square is a number in float32
    x, observed = x[rows], observed[rows]
    terms = model(x, *noise(model, x, observed, hidden_rows, generator))
    margin = REPELLED_BY * math.sqrt(x.shape[1])
    return softplus(terms.log_weight() - median + margin).mean()
