"""A posterior that is bent: a normal of each row, moved by maps that have an inverse."""

import torch
from torch import nn
from torch.distributions import Distribution

from .layers import linear, product
from .posteriors import DiagonalGaussian

__all__ = ["Coupling", "FlowNormal", "FlowPosterior"]

_WIDTH = 32  # of a coupling's hidden layer
_PAIRS = 16  # of points that moments are taken over


class Coupling(nn.Module):
    r"""Map that scales and shifts every other coordinate, given those in between and the row.

    :math:`z_j \mapsto z_j\, e^{s_j} + t_j` where `kept` is 0, with :math:`s = \tanh(\cdot)`, so
    that neither the map nor its inverse leaves the numbers. It begins as the identity.

    Parameters
    ----------
    kept : Tensor of shape (latent_dim,)
        1 for the coordinates that stay, and that the others are moved by; else 0.
    n_hidden : int
        Width of the encoder's last hidden layer.
    generator : torch.Generator
        Source of the initial weights.
    """

    def __init__(self, kept, n_hidden, generator):
        super().__init__()
        self.register_buffer("kept", kept)
        self.of_row = linear(n_hidden, _WIDTH, generator)
        self.of_code = linear(len(kept), _WIDTH, generator)
        self.output = linear(_WIDTH, 2 * len(kept), generator)
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    def forward(self, z, row):
        """Move z, and give the log of the volume's growth in nats; (..., k) -> (..., k), (...)."""
        s, t = self._map(z, row)
        return z * s.exp() + t, s.sum(-1)

    def inverse(self, z, row):
        """Take `forward` back; it returns the same volume's growth."""
        s, t = self._map(z, row)
        return (z - t) * (-s).exp(), s.sum(-1)

    def _map(self, z, row):
        """Log scale and shift, 0 for the coordinates that stay, given `of_row` of the rows."""
        bent = (row + product(z * self.kept, self.of_code.weight, self.of_code.bias)).tanh()
        s, t = self.output(bent).chunk(2, dim=-1)
        moved = 1 - self.kept
        return s.tanh() * moved, t * moved


class FlowNormal(Distribution):
    """Normal distribution moved by couplings, member by member.

    Parameters
    ----------
    base : DiagonalNormal with batch shape (n,)
    couplings : sequence of Coupling
    rows : list of Tensor of shape (n, width)
        What each coupling's `of_row` makes of the rows.
    points : Tensor of shape (n_points, 1, latent_dim)
        Standard normal noise, which `mean` and `variance` are taken over.
    """

    def __init__(self, base, couplings, rows, points):
        self.base, self.couplings, self.rows, self.points = base, couplings, rows, points
        super().__init__(base.batch_shape, base.event_shape, validate_args=False)

    @property
    def mean(self):
        """Expected value, over the points."""
        # Added up point by point: the order within a sum may depend on the position.
        return sum(self.transport(self.points)) / len(self.points)

    @property
    def variance(self):
        """Of each coordinate, over the points."""
        return sum((self.transport(self.points) - self.mean).square()) / len(self.points)

    def transport(self, eps):
        """Turn standard normal noise into draws, as `DiagonalNormal.transport`."""
        z = self.base.transport(eps)
        for coupling, row in zip(self.couplings, self.rows, strict=True):
            z, _ = coupling(z, row)
        return z

    def log_prob(self, z):
        """Log density of z, in nats; (..., latent_dim) -> (...)."""
        growth = 0.0
        for coupling, row in zip(self.couplings[::-1], self.rows[::-1], strict=True):
            z, more = coupling.inverse(z, row)
            growth = growth + more
        return self.base.log_prob(z) - growth

    def pairwise_log_prob(self, z):
        """Log density of each z under each of the n members; (..., latent_dim) -> (..., n)."""
        return self.log_prob(z.unsqueeze(-2))


class FlowPosterior(DiagonalGaussian):
    r"""Posterior of `DiagonalGaussian` moved by two couplings, which also see the row.

    :math:`\ln q(z \mid x) = \ln q_0(z_0 \mid x) - \sum s`. It begins as `DiagonalGaussian`, and
    leaves the other parts of a model the initial weights that they have beside that one.

    Shape: (n, n_hidden) -> batch (n,), event (latent_dim,).

    References
    ----------
    Rezende and Mohamed, "Variational Inference with Normalizing Flows", 2015, arXiv:1505.05770.
    Dinh, Sohl-Dickstein and Bengio, "Density estimation using Real NVP", 2017,
    arXiv:1605.08803, for the couplings.
    """

    def __init__(self, n_hidden, latent_dim, *, generator):
        super().__init__(n_hidden, latent_dim, generator=generator)
        own = torch.Generator()
        own.set_state(generator.get_state())
        parity = torch.arange(latent_dim) % 2
        kept = (parity.to(self.head.weight.dtype), (1 - parity).to(self.head.weight.dtype))
        self.couplings = nn.ModuleList(Coupling(each, n_hidden, own) for each in kept)
        half = torch.randn(_PAIRS, 1, latent_dim, generator=own)
        half = half / half.square().mean(0).sqrt()
        self.register_buffer("points", torch.cat([half, -half]))

    def forward(self, hidden):
        rows = [coupling.of_row(hidden) for coupling in self.couplings]
        return FlowNormal(super().forward(hidden), list(self.couplings), rows, self.points)
