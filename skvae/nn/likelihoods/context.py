"""Columns that the others are given, and that are not scored themselves."""

import torch

from .base import Likelihood

__all__ = ["Context"]


class Context(Likelihood):
    """Cells that encoder and decoder see, as another family shows them; their density is 1.

    Shape: (..., c, 0) -> batch (..., c).

    Parameters
    ----------
    family : class
        Subclass of `Likelihood`, whose features are shown.
    columns : sequence of Column

    References
    ----------
    Sohn, Lee and Yan, "Learning Structured Output Representation using Deep Conditional Generative
    Models", 2015, NeurIPS 28.
    """

    n_params = 0
    is_scored = False

    def __init__(self, family, columns):
        super().__init__(columns)
        self.shown_by = family(columns)
        self.n_inputs = self.shown_by.n_inputs

    def featurize(self, x):
        return self.shown_by.featurize(x)

    def features_of(self, params, x):
        return self.featurize(x).detach()

    def noise_weights(self):
        return []

    def forward(self, params):
        return _Given(params.new_zeros(params.shape[:-1]))

    def predict(self, average):
        return average(lambda p: p.nothing)

    def sample(self, params, generator):
        return params.new_zeros(params.shape[:-1])


class _Given:
    """What is given and so has probability 1."""

    def __init__(self, nothing):
        self.nothing = nothing  # zeros of the batch's shape

    def log_prob(self, x):
        return torch.zeros_like(self.nothing + x)
