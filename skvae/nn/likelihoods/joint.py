"""The noise models of all columns, and a linear model that they begin at."""

from functools import partial
from itertools import accumulate, compress
from typing import NamedTuple

import torch
from torch import nn

from .base import Likelihood

__all__ = ["JointLikelihood", "LinearModel"]


class LinearModel(NamedTuple):
    """Factor analysis: ``x = mean + effects @ c + loadings @ z + scale * noise``, given c.

    The loadings are turned so that ``loadings.T @ diag(scale**-2) @ loadings`` is diagonal,
    and with it the covariance of z given x.

    Attributes
    ----------
    mean, scale : Tensor of shape (n_located,)
        In the columns' units.
    loadings : Tensor of shape (n_located, k)
    effects : Tensor of shape (n_located, n_context)
        What the features of the context add to the mean.
    """

    mean: torch.Tensor
    scale: torch.Tensor
    loadings: torch.Tensor
    effects: torch.Tensor

    def posterior(self):
        """Slope (k, n_located), that of the context, intercept and scale (k,) of z given x."""
        precise = self.loadings / self.scale.square().unsqueeze(-1)
        variance = 1 / (1 + (self.loadings * precise).sum(0))
        slope = variance.unsqueeze(-1) * precise.T
        return slope, -slope @ self.effects, -slope @ self.mean, variance.sqrt()


class _Place(NamedTuple):
    """A block, and its columns among features, decoder outputs and located columns."""

    block: Likelihood
    features: slice
    params: slice
    own: slice


class JointLikelihood(nn.Module):
    """Product of the likelihoods of all columns, which come grouped by family.

    Parameters
    ----------
    families : sequence of (class, sequence of Column)
        A likelihood class and its columns, in the order of the columns.
    scale_floor : float, default=None
        Smallest scale of the noise in the columns' units, in the place of the classes' own.

    Attributes
    ----------
    n_features : int
        Width of the encoder's input.
    n_params : int
        Parameters of all columns.
    components : slice
        Those that are log p(z, k) of the prior's components; the others are the decoder's outputs.
    n_components, n_decoded : int
        How many these are.
    n_scored : int
        Columns that have a density.
    shown : slice
        Features of the others, the context, which the decoder sees, too.
    """

    def __init__(self, families, scale_floor=None):
        super().__init__()
        self.sizes = [len(columns) for _, columns in families]
        self.blocks = nn.ModuleList(family(columns) for family, columns in families)
        for block in self.blocks:
            if block.has_location and scale_floor is not None:
                block.scale_floor = scale_floor
        self._param_sizes = [b.n_params * c for b, c in zip(self.blocks, self.sizes, strict=True)]
        self.n_params = sum(self._param_sizes)
        ends = list(accumulate(self._param_sizes, initial=0))
        own = [i for i, block in enumerate(self.blocks) if block.is_component]
        self._components = (ends[own[0]], ends[own[0] + 1]) if own else (0, 0)
        widths = [b.n_inputs * c for b, c in zip(self.blocks, self.sizes, strict=True)]
        self.n_features = sum(widths)
        are_given = [not block.is_scored for block in self.blocks]
        self.n_scored = sum(self.sizes) - sum(compress(self.sizes, are_given))
        first = are_given.index(True) if any(are_given) else len(widths)
        start = sum(widths[:first])
        self._shown = start, start + sum(compress(widths, are_given))

    @property
    def shown(self):
        return slice(*self._shown)

    @property
    def components(self):
        return slice(*self._components)

    @property
    def n_components(self):
        return self.components.stop - self.components.start

    @property
    def n_decoded(self):
        return self.n_params - self.n_components

    def context(self, x, visible):
        """Join what the decoder sees of cells; (..., n_columns) -> (..., n_context)."""
        return self.featurize(x, visible)[..., self.shown]

    def featurize(self, x, visible):
        """Join the encoder's features; a cell that is not visible gives zeros.

        Parameters
        ----------
        x, visible : Tensor of shape (..., n_columns)
            Cells, and 1 where the encoder may see them.

        Returns
        -------
        features : Tensor of shape (..., n_features)
        """
        cells = x.split(self.sizes, dim=-1)
        shown = visible.split(self.sizes, dim=-1)
        features = [
            (block.featurize(cell) * show.unsqueeze(-1)).flatten(-2)
            for block, cell, show in zip(self.blocks, cells, shown, strict=True)
        ]
        return torch.cat(features, dim=-1)

    def features_of(self, params, x, observed):
        """Join the features of the cells that the decoder means, and of the context as it is.

        Parameters
        ----------
        params : Tensor of shape (n, n_params)
        x, observed : Tensor of shape (n, n_columns)
            Rows with the same context and the same holes.

        Returns
        -------
        features : Tensor of shape (n, n_features)
        """
        parts = self._parts(params, x, observed)
        features = [
            (block.features_of(part, cell) * seen.unsqueeze(-1)).flatten(-2)
            for block, part, cell, seen in parts
        ]
        return torch.cat(features, dim=-1)

    def noise_weights(self):
        """Weights that say how wide the noise of the columns is; list of Parameter."""
        return [weight for block in self.blocks for weight in block.noise_weights()]

    def with_components(self, outputs, log_joint):
        """Join the decoder's outputs and log p(z, k) of the prior's components as parameters.

        Parameters
        ----------
        outputs : Tensor of shape (..., n_decoded)
        log_joint : Tensor of shape (..., n_components)

        Returns
        -------
        params : Tensor of shape (..., n_params)
        """
        before, after = outputs.tensor_split([self.components.start], dim=-1)
        return torch.cat([before, log_joint, after], dim=-1)

    def classes(self, x, observed):
        """Component that each row is said to be of, -1 where it is not; (n, n_columns) -> (n,)."""
        is_component = torch.tensor([block.is_component for block in self.blocks])
        column = is_component.repeat_interleave(torch.tensor(self.sizes))
        return torch.where(observed, x, -1.0)[:, column].squeeze(-1).long()

    def learn(self, x, observed):
        """Let each block take from some training rows what is no weight; (n, n_columns)."""
        cells, seen = (part.split(self.sizes, dim=-1) for part in (x, observed.to(x.dtype)))
        for block, *part in zip(self.blocks, cells, seen, strict=True):
            block.learn(*part)

    def terms(self, params, x, observed):
        """Log density of the cells of each row that are observed, as `Likelihood.terms` gives it.

        Parameters
        ----------
        params : Tensor of shape (..., n_params)
            The decoder's output.
        x, observed : Tensor of shape (..., n_columns)
            Cells, filled with 0 where `observed` is 0.

        Returns
        -------
        log_prob : Tensor of shape (..., n_columns)
            In nats, exactly 0 where not observed.
        excess : Tensor of shape (...) or 0
            What their sum exceeds the log density of the row by, in nats.
        """
        parts = self._parts(params, x, observed.to(x.dtype))
        terms, excess = zip(*(block.terms(*part) for block, *part in parts), strict=True)
        # Masked after the density of a filled cell: NaN times 0 would still be NaN, and
        # so would be its gradient.
        return torch.cat(terms, dim=-1) * observed, sum(excess)

    def predictive(self, params, x, observed):
        """Say how each cell is distributed, given the cells of its row that are observed.

        Parameters
        ----------
        params, x, observed : Tensor
            As in `terms`.

        Returns
        -------
        given : Tensor of shape (..., n_predictive)
            Of `Likelihood.predictive`, column by column.
        """
        parts = self._parts(params, x, observed)
        return torch.cat([block.predictive(*part).flatten(-2) for block, *part in parts], dim=-1)

    def predicted(self, given):
        """Distribution of the cells of each block, of what `predictive` gave; list."""
        sized = zip(self.blocks, self.sizes, strict=True)
        parts = self._cut(given, [block.n_predictive * c for block, c in sized])
        return [block.predicted(part) for block, part in zip(self.blocks, parts, strict=True)]

    def fill(self, params, x, observed, generator):
        """Draw each cell once, given those observed; as `terms` takes them -> (n, n_columns)."""
        parts = self._parts(params, x, observed)
        return torch.cat([block.fill(*part, generator) for block, *part in parts], dim=-1)

    def predict(self, params):
        """Best guess of each cell; (n_draws, ..., n_params) -> (..., n_columns)."""
        parts = zip(self.blocks, self.distributions(params), strict=True)
        guesses = [block.predict(partial(_mean_over_draws, p)) for block, p in parts]
        return torch.cat(guesses, dim=-1)

    def sample(self, params, generator):
        """Draw each cell once; (..., n_params) -> (..., n_columns)."""
        draws = [
            block.sample(part, generator)
            for block, part in zip(self.blocks, self._split(params), strict=True)
        ]
        return torch.cat(draws, dim=-1)

    def distributions(self, params):
        """Distribution of the cells of each block; list of batch shapes (..., c)."""
        return [b(part) for b, part in zip(self.blocks, self._split(params), strict=True)]

    def predictive_by_column(self):
        """Which of the numbers of `predictive` each column has; list of slices."""
        widths = [
            b.n_predictive for b, c in zip(self.blocks, self.sizes, strict=True) for _ in range(c)
        ]
        ends = accumulate(widths)
        return [slice(end - width, end) for end, width in zip(ends, widths, strict=True)]

    def locations(self):
        """Features that are the locations of columns; int64 Tensor of shape (n_located,)."""
        every = torch.arange(self.n_features)
        return torch.cat([every[:0], *(every[place.features] for place in self._places())])

    def start(self, weight, bias, model, latent_dim):
        """Let the columns that have a location begin at a linear model of them.

        Parameters
        ----------
        weight : Tensor of shape (n_params, n_inputs)
            Of the decoder's last layer, whose last inputs are the latent code and the context.
        bias : Tensor of shape (n_params,)
        model : LinearModel
        latent_dim : int
        """
        n_context = model.effects.shape[1]
        first = weight.shape[1] - n_context - latent_dim
        codes = slice(first, first + model.loadings.shape[1])
        for block, _, params, own in self._places():
            bias[params] = block.start(model.scale[own]).flatten()
            weight[params] = 0.0
            weight[params][:: block.n_params, codes] = model.loadings[own]
            bias[params][:: block.n_params] = model.mean[own]
        self.follow(weight, model.effects)

    def follow(self, weight, effects):
        """Let the locations of columns begin as what the context adds to them.

        Parameters
        ----------
        weight : Tensor of shape (n_params, n_inputs)
            Of the decoder's last layer, whose last inputs are the context.
        effects : Tensor of shape (n_located, n_context)
        """
        first = weight.shape[1] - effects.shape[1]
        for block, _, params, own in self._places():
            weight[params][:: block.n_params, first:] = effects[own]

    def _places(self):
        """Where each block of columns that have a location has it; an iterator of Place."""
        feature = param = located = 0
        for block, c in zip(self.blocks, self.sizes, strict=True):
            next_feature, next_param = feature + c * block.n_inputs, param + c * block.n_params
            if block.has_location:
                features = slice(feature, next_feature, block.n_inputs)
                own = slice(located, located + c)
                yield _Place(block, features, slice(param, next_param), own)
                located += c
            feature, param = next_feature, next_param

    def _parts(self, params, x, observed):
        """Each block with its parameters, its cells and which are observed; an iterator."""
        cells, seen = (part.split(self.sizes, dim=-1) for part in (x, observed))
        return zip(self.blocks, self._split(params), cells, seen, strict=True)

    def _split(self, params):
        """Cut the decoder's output into blocks of (..., c, n_params)."""
        return self._cut(params, self._param_sizes)

    def _cut(self, numbers, widths):
        """Cut numbers into blocks of some widths, each of shape (..., c, width / c)."""
        shaped = zip(numbers.split(widths, dim=-1), self.sizes, strict=True)
        return [
            part.unflatten(-1, (c, -1))
            if part.shape[-1] > 0
            else part.new_zeros(*part.shape[:-1], c, 0)
            for part, c in shaped
        ]


def _mean_over_draws(p, function):
    return function(p).mean(0)
