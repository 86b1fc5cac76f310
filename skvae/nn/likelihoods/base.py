"""Noise models p(x_j | z): one class a family of columns.

Conventions: x holds a block of c columns of one family, in the units of the table's
encoding, with cells that are not observed filled with 0. A block turns the decoder's
parameters (..., c, n_params) into a distribution with batch shape (..., c), in nats.

A family's domain says how the table encodes its columns:

- "real": centred and scaled.
- "positive": the same after taking logarithms.
- "spiked": 0 at the value that repeats, elsewhere never 0, and bent so that far values
  come near.
- "binary": 0 and 1.
- "count": divided by the column's ``2**exponent``, a power near the mean.
- "category", "ordered": the position among the column's levels, by frequency or in their
  order; ``len(levels)`` for a level unseen in training.
"""

import torch
from torch import nn

__all__ = ["Likelihood", "draw_like", "with_atom"]


# Of quantiles: powers of two that a bracket grows by, and times that it is halved.
_MOST_DOUBLINGS, _HALVINGS = 60, 24


class Likelihood(nn.Module):
    """Base class of p(x_j | z) for a block of columns of one family.

    Parameters
    ----------
    columns : sequence of Column
        Those of the block, as the table describes them: families of counts read their
        ``exponent``, families of categories their ``levels``, ``n_codes`` (the same for
        all columns of a block) and ``n_observed``.

    Attributes
    ----------
    domain : str
        How the table encodes the columns of this family.
    n_inputs : int
        Features that one column gives the encoder.
    n_params : int
        Decoder outputs that one column takes.
    robust : class or None
        Family of the same domain that stands in for this one in the robust member of a
        model; None for itself. A scale that follows the rows follows the outliers too.
    as_context : class or None
        Family of the same domain that shows the columns of this one where the others are given
        them; None for itself.
    alone : str or None
        Name of the family of the same domain for a column that would be the only one of this;
        None for families whose columns are independent, given the latent code.
    has_location : bool
        Whether the first feature of a cell and the first output of its column are a
        location in the column's unit: then a model can begin as a linear one.
    is_scored : bool
        Whether its cells have a density, or the others are given them.
    is_component : bool
        Whether its parameters are no outputs of the decoder but log p(z, k) of the components of
        the prior, one for each of its codes.
    is_label : bool
        Whether its cells are labels, of which there may be few: rows without one are held out
        first.
    scale_floor : float
        Smallest scale of the noise in the column's unit, of families that have one.
    """

    domain = "real"
    n_inputs = 1
    n_params = 1
    robust: type | None = None
    as_context: type | None = None
    alone: str | None = None
    has_location = False
    is_scored = True
    is_component = False
    is_label = False
    scale_floor = 0.0

    def __init__(self, columns):
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
        raise NotImplementedError(f"{type(self).__name__} lacks the method 'featurize'.")

    def forward(self, params):
        """Distribution of each cell.

        Parameters
        ----------
        params : Tensor of shape (..., c, n_params)

        Returns
        -------
        p : Distribution with batch shape (..., c)
            Has ``log_prob``; for guesses ``mean``, and for intervals of numbers ``cdf``.
        """
        raise NotImplementedError(f"{type(self).__name__} lacks the method 'forward'.")

    def terms(self, params, x, observed):
        """Log density of the cells of each row that are observed, by cell.

        By default that of independent cells. A family whose cells depend on each other gives
        each a part of their joint density, and what the parts exceed it by.

        Parameters
        ----------
        params : Tensor of shape (..., n, c, n_params)
        x, observed : Tensor of shape (n, c)
            Cells, filled with 0 where `observed` is 0.

        Returns
        -------
        log_prob : Tensor of shape (..., n, c)
            In nats, a finite number where not observed.
        excess : Tensor of shape (..., n) or 0
            The sum of the observed cells' parts less their joint log density, in nats.
        """
        return self(params).log_prob(x), 0

    @property
    def n_predictive(self):
        """Numbers that say how one cell is distributed, given the others."""
        return self.n_params

    def predictive(self, params, x, observed):
        """Say how each cell is distributed, given the cells of its row that are observed.

        Parameters
        ----------
        params, x, observed : Tensor
            As in `terms`.

        Returns
        -------
        given : Tensor of shape (..., n, c, n_predictive)
            What `predicted` takes; by default the parameters as they are.
        """
        return params

    def predicted(self, given):
        """Distribution of each cell of which `predictive` is given; as `forward` by default."""
        return self(given)

    def predict(self, average):
        """Best guess of each cell: its mean, or its mode where values have no mean.

        Parameters
        ----------
        average : callable
            Takes a function of a Distribution to the mean of its values over all that may
            have given the cell: draws of z, members of a model.

        Returns
        -------
        x : Tensor of shape (..., c)
        """
        return average(lambda p: p.mean)

    def quantile(self, average, level):
        """Smallest value at or below which a cell is with probability `level`.

        Parameters
        ----------
        average : callable
            As in `predict`.
        level : float in (0, 1)

        Returns
        -------
        x : Tensor of shape (..., c)
            Within 1e-6 of the column's unit.
        """
        start = average(lambda p: p.mean)
        return _where_reached(lambda x: average(lambda p: p.cdf(x)), level, start)

    def features_of(self, params, x):
        """Features of the cells that the decoder means, without their noise; differentiable.

        By default those of their means. A family of levels gives the mean of their features.

        Parameters
        ----------
        params : Tensor of shape (..., c, n_params)
        x : Tensor of shape (..., c)
            The cells that a family shows which is given them.

        Returns
        -------
        features : Tensor of shape (..., c, n_inputs)
        """
        return self.featurize(self(params).mean)

    def noise_weights(self):
        """Weights that say how wide the noise is, and nothing else; list of Parameter."""
        return list(self.parameters())

    def sample(self, params, generator):
        """Draw each cell once; (..., c, n_params) -> (..., c)."""
        raise NotImplementedError(f"{type(self).__name__} lacks the method 'sample'.")

    def fill(self, params, x, observed, generator):
        """Draw each cell once, given the cells of its row that are observed.

        Parameters
        ----------
        params : Tensor of shape (n, c, n_params)
        x, observed : Tensor of shape (n, c)
            As in `terms`.
        generator : torch.Generator

        Returns
        -------
        x : Tensor of shape (n, c)
            What is drawn for observed cells counts for nothing.
        """
        return self.sample(params, generator)

    def learn(self, x, observed):
        """Take from some training rows what is no weight: nothing by default.

        Parameters
        ----------
        x, observed : Tensor of shape (n, c)
            As in `terms`.
        """

    def start(self, scale):
        """Begin at a noise of some standard deviation; of families that have a location.

        Parameters
        ----------
        scale : Tensor of shape (c,)
            In the columns' units.

        Returns
        -------
        params : Tensor of shape (c, n_params)
            Outputs of the decoder that, with own weights set here, mean location 0 and
            this scale.
        """
        raise NotImplementedError(f"{type(self).__name__} lacks the method 'start'.")


def draw_like(draw, shape, like, generator):
    """Draw by a function of torch, in the type and on the device of a tensor."""
    return draw(shape, generator=generator, dtype=like.dtype, device=like.device)


def with_atom(draws, logits, generator):
    """Put 0 in the place of some draws, each with its log odds."""
    return draws * (draw_like(torch.rand, draws.shape, draws, generator) >= logits.sigmoid())


def _where_reached(cdf, level, start):
    """Smallest x with ``cdf(x) >= level``: widen a bracket around `start`, and halve it."""
    low, high = start - 1, start + 1
    for exponent in range(_MOST_DOUBLINGS):
        too_high, too_low = cdf(low) >= level, cdf(high) < level
        if not (too_high | too_low).any():
            break
        low = torch.where(too_high, low - 2.0**exponent, low)
        high = torch.where(too_low, high + 2.0**exponent, high)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        is_reached = cdf(middle) >= level
        low, high = torch.where(is_reached, low, middle), torch.where(is_reached, middle, high)
    return high
