"""A training step: the gradient of a batch, and what the encoder does not see of it."""

import math
from functools import partial

import torch
from torch.nn.functional import softplus

from ..nn import Batch
from .kernel import kernel_for

__all__ = ["AdamW", "Duel", "distance", "gradient_of", "optimizer_of", "update"]


HIDDEN_CELLS = 0.5  # largest share of cells hidden in such a row
REPELLED_ROWS = 64  # known anomalies in a step, drawn with replacement
REPELLED_BY = 3.0  # nats below the median where one may rest, times the root of the columns
FARTHEST_REPELLED = 1e4  # units from a column's centre; cells beyond are moved there
WEIGHT_DECAY = 1e-4
CRITIC_RATE = 4.0  # learning rate of a critic, times that of the model
GRADIENT_NORM = 10.0  # bound on the gradient's norm, times the root of the columns


class AdamW:
    """Adam with decoupled weight decay, of weights of a model.

    They become parts of one vector, and so do their gradients: a step, and its norm, is then one
    operation each.

    Parameters
    ----------
    parameters : iterable of Parameter

    Attributes
    ----------
    weights : Tensor of shape (n_weights,)
    state : dict of str to Tensor
        Running means of the gradient and of its square, and the number of steps.

    References
    ----------
    Loshchilov and Hutter, "Decoupled Weight Decay Regularization", 2019, arXiv:1711.05101.
    """

    def __init__(self, parameters):
        parameters = list(parameters)
        sizes = [parameter.numel() for parameter in parameters]
        self.weights = torch.cat([parameter.detach().flatten() for parameter in parameters])
        self._gradient = torch.zeros_like(self.weights)
        parts = zip(parameters, self.weights.split(sizes), self._gradient.split(sizes), strict=True)
        for parameter, part, slope in parts:
            parameter.data = _laid(part, parameter.shape).copy_(parameter.detach())
            parameter.grad = _laid(slope, parameter.shape)
        self.state = {
            "mean": torch.zeros_like(self.weights),
            "square": torch.zeros_like(self.weights),
            "n_steps": torch.zeros((), device=self.weights.device),
        }

    def load_state(self, state):
        """Go on from the `state` of another, of equal size."""
        for name, value in self.state.items():
            value.copy_(state[name])

    def begin_anew(self):
        """Forget the gradients so far."""
        for value in self.state.values():
            value.zero_()

    def zero_grad(self):
        """Set the gradient to 0."""
        self._gradient.zero_()

    @torch.no_grad()
    def step(self, learning_rate, largest_norm):
        """Move the weights by their gradient, which is shortened to a norm if it is longer."""
        self.state["n_steps"] += 1
        self._move(slice(None), learning_rate, largest_norm)

    def _move(self, part, learning_rate, largest_norm):
        """Take the step of a part of the weights.

        The fused step is called as such: ``torch.optim`` imports torch's compiler, a second long.
        """
        mean, square, n_steps = self.state.values()
        gradient = self._gradient[part]
        torch._fused_adamw_(
            *([self.weights[part]], [gradient], [mean[part]], [square[part]], [], [n_steps]),
            lr=learning_rate,
            beta1=0.9,
            beta2=0.999,
            weight_decay=WEIGHT_DECAY,
            eps=1e-8,
            amsgrad=False,
            maximize=False,
            grad_scale=(gradient.norm() / largest_norm).clamp_min_(1.0).float(),
        )


def _laid(part, shape):
    """Part of a vector as a weight, its longer axis last in memory: its gradient is faster so."""
    is_tall = len(shape) == 2 and shape[0] > shape[1]
    return part.view(shape[::-1]).T if is_tall else part.view(shape)


class Duel(AdamW):
    """AdamW of a model and of its critic: one vector and one state, two gradients and two rates.

    Parameters
    ----------
    parameters : iterable of Parameter
        Of the model.
    critic : Critic
        With layers.

    References
    ----------
    Heusel et al., "GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash
    Equilibrium", 2017, arXiv:1706.08500.
    """

    def __init__(self, parameters, critic):
        parameters = list(parameters)
        super().__init__([*parameters, *critic.parameters()])
        n_weights = sum(parameter.numel() for parameter in parameters)
        self._of_model, self._of_critic = slice(n_weights), slice(n_weights, None)
        self._critic = critic

    @torch.no_grad()
    def step(self, learning_rate, largest_norm):
        """Move the weights of both, each by their own gradient; the critic keeps its bound."""
        self.state["n_steps"] += 1
        self._move(self._of_model, learning_rate, largest_norm)
        self._move(self._of_critic, CRITIC_RATE * learning_rate, largest_norm)
        self._critic.bound()


def optimizer_of(parameters, objective):
    """Choose how weights of a model are moved: alone, or beside those of a critic."""
    critic = objective.critic
    return AdamW(parameters) if critic is None else Duel(parameters, critic)


def update(optimizer, gradient, batch, objective, *, learning_rate, hidden_rows):
    """Take one step of the optimiser; return the mean ELBO of the batch before it.

    Parameters
    ----------
    optimizer : AdamW
    gradient : callable
        Of `gradient_of`.
    batch : (x, observed), each a Tensor of shape (n, n_columns)
    objective : Objective
        With the capacity of this step.
    learning_rate : float or Tensor
    hidden_rows : float or Tensor in [0, 1]
        As in `noise`.

    Returns
    -------
    elbo : Tensor, scalar
    """
    optimizer.zero_grad()
    elbo = gradient(*batch, objective, hidden_rows)
    optimizer.step(learning_rate, GRADIENT_NORM * math.sqrt(batch[0].shape[1]))
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
    is_written_out : bool
        Whether autograd has no part in it.
    """
    kernel = kernel_for(model)
    if kernel is not None and repelled is None and objective.is_weighted_elbo():
        return partial(_written_out, kernel, generator), kernel.noise.is_written_out
    return partial(_by_autograd, model, repelled, generator), False


def _written_out(kernel, generator, x, observed, objective, hidden_rows):
    drawn = noise(kernel.model, x, observed, hidden_rows, generator)
    return kernel(x, *drawn, beta=objective.beta, trimming=objective.trimming)


def _by_autograd(model, repelled, generator, x, observed, objective, hidden_rows):
    observed, visible, eps = noise(model, x, observed, hidden_rows, generator)
    terms = model(x, observed, visible, eps)
    elbo = terms.log_weight().detach()
    batch = Batch(x, observed, visible, terms.z)
    loss = objective.loss(terms, distance(model, objective, batch, generator))
    if repelled is not None:
        loss = loss + repulsion(model, *repelled, elbo, hidden_rows, generator)
    loss.backward()
    if objective.divergence is not None:
        objective.divergence.learn(batch, model, generator)
    return elbo


def distance(model, objective, batch, generator):
    """Divergence of an objective between a batch and a model; 0 where it has none."""
    if objective.divergence is None:
        return 0.0
    return objective.divergence.of_batch(batch, model, generator)


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
    eps : Tensor of shape (n, noise_dim)
    """
    n, n_columns = x.shape
    draw = partial(_feature_major, n, generator, x.dtype)
    share = HIDDEN_CELLS * draw(torch.rand, 1)
    share *= draw(torch.rand, 1) < hidden_rows
    visible = draw(torch.rand, n_columns) >= share
    observed = observed.to(x.dtype)
    return observed, visible * observed, draw(torch.randn, model.noise_dim)


def _feature_major(n, generator, dtype, draw, width):
    """Draw (n, width) numbers, those of a column beside each other in memory."""
    return draw((width, n), generator=generator, device=generator.device, dtype=dtype).T


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
