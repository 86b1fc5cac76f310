"""Noise models p(x_j | z): one class a family of columns.

Conventions: x holds a block of c columns of one family, in the units of the table's
encoding ("real" columns are centred and scaled, "binary" ones are 0 and 1), with cells
that are not observed filled with 0. A block turns the decoder's parameters
(..., c, n_params) into a distribution with batch shape (..., c), in nats.
"""

import math

import torch
from torch import nn
from torch.distributions import Bernoulli as BernoulliDistribution
from torch.distributions import Normal
from torch.distributions import StudentT as StudentTDistribution
from torch.nn.functional import softplus

__all__ = ["Bernoulli", "Gaussian", "Heteroscedastic", "JointLikelihood", "Likelihood", "StudentT"]


class Likelihood(nn.Module):
    """Base class of p(x_j | z) for a block of columns of one family.

    Parameters
    ----------
    n_columns : int
        Columns in the block.

    Attributes
    ----------
    domain : {"real", "binary"}
        How the table writes the columns of this family.
    n_inputs : int
        Features that one column gives the encoder.
    n_params : int
        Decoder outputs that one column takes.
    robust : class or None
        Family of the same domain that stands in for this one in the robust member of a
        model; None for itself. A scale that follows the rows follows the outliers too.
    """

    domain = "real"
    n_inputs = 1
    n_params = 1
    robust = None

    def __init__(self, n_columns):
        super().__init__()

    def featurize(self, x):
        """Turn each cell into what the encoder sees.

        Parameters
        ----------
        x : Tensor of shape (..., c)

        Returns
        -------
        features : Tensor of shape (..., c, n_inputs)
            0 is what the encoder sees of a hidden cell.
        """
        raise NotImplementedError

    def forward(self, params):
        """Distribution of each cell.

        Parameters
        ----------
        params : Tensor of shape (..., c, n_params)

        Returns
        -------
        p : Distribution with batch shape (..., c)
            Has ``log_prob`` and ``mean``.
        """
        raise NotImplementedError

    def sample(self, params, generator):
        """Draw each cell once; (..., c, n_params) -> (..., c)."""
        raise NotImplementedError


class Gaussian(Likelihood):
    """Normal noise with a learned scale per column, shared by all rows.

    The scale is at least `scale_floor` of the column's unit, so that the density of a
    column that never varies stays bounded.

    Shape: (..., c, 1) -> batch (..., c).

    References
    ----------
    Rybkin et al., "Simple and Effective VAE Training with Calibrated Decoders", 2021,
    arXiv:2006.13202, for learning the scale.
    """

    scale_floor = 0.05
    input_bound = 10.0  # a single wild cell must not drown the row's other inputs

    def __init__(self, n_columns):
        super().__init__(n_columns)
        self.raw_scale = nn.Parameter(torch.zeros(n_columns))

    def featurize(self, x):
        return x.clamp(-self.input_bound, self.input_bound).unsqueeze(-1)

    def forward(self, params):
        return Normal(params[..., 0], self._scale(params), validate_args=False)

    def sample(self, params, generator):
        loc = params[..., 0]
        return loc + self._scale(params) * _draw(torch.randn, loc.shape, loc, generator)

    def _scale(self, params):
        return self.scale_floor + softplus(self.raw_scale)


class Heteroscedastic(Gaussian):
    """Normal noise whose scale the decoder predicts for each cell.

    The scale lies between `scale_floor` and 1 in the column's unit: never above the
    column's own standard deviation, so that the model cannot call a region unknown and
    thereby everything in it normal.

    Shape: (..., c, 2) -> batch (..., c).

    References
    ----------
    Stirn et al., "Faithful Heteroscedastic Regression with Neural Networks", 2023,
    arXiv:2212.09184, for the failure that the bound prevents.
    """

    n_params = 2
    robust = Gaussian
    scale_floor = 0.2

    def __init__(self, n_columns):
        Likelihood.__init__(self, n_columns)  # without the scale that all rows share

    def _scale(self, params):
        return self.scale_floor + (1 - self.scale_floor) * params[..., 1].sigmoid()


class StudentT(Gaussian):
    """Student's t noise with a learned scale per column: heavy tails.

    Shape: (..., c, 1) -> batch (..., c).

    References
    ----------
    Lange, Little and Taylor, "Robust Statistical Modeling Using the t Distribution",
    1989, doi:10.1080/01621459.1989.10478852, who recommend 4 degrees of freedom. Bailey,
    "Polar generation of random variates with the t-distribution", 1994,
    doi:10.1090/S0025-5718-1994-1219702-8, for the sampler.
    """

    df = 4.0

    def forward(self, params):
        scale = self._scale(params)
        return StudentTDistribution(self.df, params[..., 0], scale, validate_args=False)

    def sample(self, params, generator):
        loc = params[..., 0]
        u, v = _draw(torch.rand, (2, *loc.shape), loc, generator)
        radius = (self.df * ((1 - u).pow(-2 / self.df) - 1)).sqrt()
        return loc + self._scale(params) * radius * (2 * math.pi * v).cos()


class Bernoulli(Likelihood):
    """Probability of a flag that is 0 or 1; the scores are masses, without units.

    Shape: (..., c, 1) -> batch (..., c).
    """

    domain = "binary"

    def featurize(self, x):
        return (x - 0.5).unsqueeze(-1)

    def forward(self, params):
        return BernoulliDistribution(logits=params[..., 0], validate_args=False)

    def sample(self, params, generator):
        p = params[..., 0].sigmoid()
        return (_draw(torch.rand, p.shape, p, generator) < p).to(p.dtype)


class JointLikelihood(nn.Module):
    """Product of the likelihoods of all columns, which come grouped by family.

    Parameters
    ----------
    families : sequence of (class, int)
        A likelihood class and the number of its columns, in the order of the columns.

    Attributes
    ----------
    n_features : int
        Width of the encoder's input.
    n_params : int
        Width of the decoder's output.
    """

    def __init__(self, families):
        super().__init__()
        self.sizes = [size for _, size in families]
        self.blocks = nn.ModuleList(family(size) for family, size in families)
        self._param_sizes = [b.n_params * c for b, c in zip(self.blocks, self.sizes, strict=True)]
        self.n_params = sum(self._param_sizes)
        self.n_features = sum(b.n_inputs * c for b, c in zip(self.blocks, self.sizes, strict=True))

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

    def log_prob(self, params, x, observed):
        """Log density of each cell in nats, exactly 0 where not observed.

        Parameters
        ----------
        params : Tensor of shape (..., n_params)
            The decoder's output.
        x, observed : Tensor of shape (..., n_columns)
            Cells, filled with 0 where `observed` is 0.

        Returns
        -------
        log_prob : Tensor of shape (..., n_columns)
        """
        cells = x.split(self.sizes, dim=-1)
        terms = [
            p.log_prob(cell) for p, cell in zip(self._distributions(params), cells, strict=True)
        ]
        # Masked after the density of a filled cell: NaN times 0 would still be NaN, and
        # so would be its gradient.
        return torch.cat(terms, dim=-1) * observed

    def mean(self, params):
        """Compute the expected value of each cell; (..., n_params) -> (..., n_columns)."""
        return torch.cat([p.mean for p in self._distributions(params)], dim=-1)

    def sample(self, params, generator):
        """Draw each cell once; (..., n_params) -> (..., n_columns)."""
        draws = [
            block.sample(part, generator)
            for block, part in zip(self.blocks, self._split(params), strict=True)
        ]
        return torch.cat(draws, dim=-1)

    def _distributions(self, params):
        return [b(part) for b, part in zip(self.blocks, self._split(params), strict=True)]

    def _split(self, params):
        """Cut the decoder's output into blocks of (..., c, n_params)."""
        parts = params.split(self._param_sizes, dim=-1)
        return [p.unflatten(-1, (c, -1)) for p, c in zip(parts, self.sizes, strict=True)]


def _draw(draw, shape, like, generator):
    return draw(shape, generator=generator, dtype=like.dtype, device=like.device)
