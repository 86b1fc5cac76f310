"""A prior of codes of which few are on."""

import math
from numbers import Real

import torch
from torch.distributions import Distribution, Normal
from torch.nn.functional import softplus

from .priors import Prior

__all__ = ["SpikeSlabPrior", "SpikedNormal"]

_NOTHING = 80.0  # nats below which one density adds nothing to another


class SpikedNormal(Distribution):
    """Independent coordinates, each near a location, or normal with scale 1 around it.

    Parameters
    ----------
    loc : Tensor of shape (latent_dim,)
    spike : float
        Scale of a coordinate that is near it.
    on : float in (0, 1]
        Probability of scale 1.
    """

    def __init__(self, loc, spike, on):
        self.loc, self.spike, self.on = loc, spike, on
        super().__init__(event_shape=loc.shape, validate_args=False)

    @property
    def mean(self):
        """Expected value."""
        return self.loc

    @property
    def variance(self):
        """Of each coordinate."""
        return torch.full_like(self.loc, self.on + (1 - self.on) * self.spike**2)

    def marginal_log_prob(self, z):
        """Log density of each coordinate of z, in nats; (..., latent_dim)."""
        slab = Normal(self.loc, 1.0, validate_args=False).log_prob(z) + math.log(self.on)
        if self.on == 1:
            return slab
        spike = Normal(self.loc, self.spike, validate_args=False).log_prob(z)
        # Not logaddexp, whose second derivative is no number where the two are far apart.
        more = (spike + math.log1p(-self.on) - slab).clamp_min(-_NOTHING)
        return slab + softplus(more)

    def log_prob(self, z):
        """Log density of each z, in nats; (..., latent_dim) -> (...)."""
        return self.marginal_log_prob(z).sum(-1)


class SpikeSlabPrior(Prior):
    r"""Codes of which few are on: each dimension is near 0, or standard normal.

    :math:`p(z) = \prod_j (1 - \pi)\, N(z_j; 0, 0.1^2) + \pi\, N(z_j; 0, 1)`, without weights
    that are learned.

    Parameters
    ----------
    latent_dim : int
    examples : Tensor of shape (m, n_features)
        Not used.
    on : float in (0, 1], default=0.2
        Probability :math:`\pi` of a dimension to be on; with 1 it is the standard normal.
    generator : torch.Generator

    References
    ----------
    Tonolini, Jensen and Murray-Smith, "Variational Sparse Coding", UAI 2019, PMLR 115.
    """

    spike = 0.1  # standard deviation of a dimension that is off

    def __init__(self, latent_dim, examples, *, on=0.2, generator):
        super().__init__()
        if not (isinstance(on, Real) and 0 < on <= 1):
            raise ValueError(f"on must be a float in the range (0, 1]. Got {on!r}")
        self.on = float(on)
        self.register_buffer("loc", torch.zeros(latent_dim))

    def forward(self, encode):
        return SpikedNormal(self.loc, self.spike, self.on)

    def sample(self, n, encode, generator, temperature=1.0):
        shape = (n, len(self.loc))
        u = torch.rand(shape, generator=generator, dtype=self.loc.dtype, device=self.loc.device)
        scale = torch.where(u < self.on, 1.0, self.spike)
        eps = torch.randn(shape, generator=generator, dtype=u.dtype, device=u.device)
        return math.sqrt(temperature) * scale * eps
