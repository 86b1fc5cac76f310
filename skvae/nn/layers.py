"""Layers whose weights come from a generator, and whose equal rows have equal bits."""

import math

import torch
from torch import nn
from torch.nn.functional import linear as linear_map
from torch.nn.functional import pad

__all__ = ["ACTIVATIONS", "MLP", "Linear", "inverse_softplus", "linear", "product"]


def inverse_softplus(y):
    """Return the x with ``softplus(x) = y``, for y > 0."""
    return y + torch.log(-torch.expm1(-y))


def linear(n_inputs, n_outputs, generator):
    """Linear layer drawn from `generator` alone, never from torch's global one.

    Parameters
    ----------
    n_inputs, n_outputs : int
        Width of input and output.
    generator : torch.Generator
        Source of the weights, uniform within 1 / sqrt(n_inputs) as torch's own.

    Returns
    -------
    layer : Linear
    """
    # Not by skip_init: it takes half a second once, for what else torch imports with it.
    layer = Linear(n_inputs, n_outputs, device="meta")
    layer.weight = nn.Parameter(torch.empty(n_outputs, n_inputs))
    layer.bias = nn.Parameter(torch.empty(n_outputs))
    bound = 1 / math.sqrt(n_inputs)
    nn.init.uniform_(layer.weight, -bound, bound, generator=generator)
    nn.init.uniform_(layer.bias, -bound, bound, generator=generator)
    return layer


class Linear(nn.Linear):
    """Linear layer that gives equal rows equal bits, wherever they stand (see `product`)."""

    def forward(self, x):
        return product(x, self.weight, self.bias)


def product(x, weight, bias=None):
    """Compute ``x @ weight.T + bias``, with the same bits for rows that are equal.

    With an odd inner dimension some processors' libraries add up every other row in another
    order: a column of zeros makes it even.

    Parameters
    ----------
    x : Tensor of shape (..., k)
    weight : Tensor of shape (m, k)
    bias : Tensor of shape (m,), optional

    Returns
    -------
    product : Tensor of shape (..., m)
    """
    if x.shape[-1] % 2:
        x, weight = pad(x, (0, 1)), pad(weight, (0, 1))
    return linear_map(x, weight, bias)


ACTIVATIONS = {"silu": nn.SiLU, "relu": nn.ReLU, "tanh": nn.Tanh}


class MLP(nn.Sequential):
    """Fully connected layers, each followed by an activation; the inputs pass on beside them.

    A linear layer on top so sees both, and need not learn by many bent units what is a
    straight line.

    Parameters
    ----------
    n_inputs : int
    hidden_layer_sizes : sequence of int
        Without any layer the inputs alone pass on.
    activation : {"silu", "relu", "tanh"}
    generator : torch.Generator

    Attributes
    ----------
    n_outputs : int
        Width of the last layer and of the inputs, which come last.
    """

    def __init__(self, n_inputs, hidden_layer_sizes, activation, generator):
        layers, n_outputs = [], n_inputs
        for width in hidden_layer_sizes:
            layers += [linear(n_outputs, width, generator), ACTIVATIONS[activation]()]
            n_outputs = width
        super().__init__(*layers)
        self.n_outputs = n_outputs + n_inputs if layers else n_inputs

    def forward(self, x):
        """Join the last layer and the inputs; (..., n_inputs) -> (..., n_outputs)."""
        return torch.cat([super().forward(x), x], dim=-1) if len(self) else x
