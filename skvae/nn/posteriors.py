"""Approximate posteriors q(z | x): what the encoder's last layer means.

Conventions: ``forward`` maps the encoder's last hidden layer (n, n_hidden) to a
distribution with batch shape (n,) and event shape (latent_dim,); densities are in nats.
Besides ``log_prob`` and ``mean`` the distribution offers ``transport(eps)``, which turns
given noise into draws, and ``pairwise_log_prob(z)``, the density of every z under every
member of its batch: with these two a prior may be a mixture of posteriors.
"""

import math

import torch
from torch import nn
from torch.distributions import Distribution, Independent, Normal
from torch.nn.functional import linear as linear_map
from torch.nn.functional import pad, softplus

__all__ = [
    "MIN_SCALE",
    "DiagonalGaussian",
    "DiagonalNormal",
    "FullGaussian",
    "FullNormal",
    "Linear",
    "Posterior",
    "PrecisionNormal",
    "inverse_softplus",
    "linear",
]

# Of a latent dimension, whose prior scale is about 1. Below it, the matrix products of
# `pairwise_log_prob` lose their digits in float32.
MIN_SCALE = 1e-2
_HALF_LOG_TAU = 0.5 * math.log(2 * math.pi)


class DiagonalNormal(Independent):
    """Normal distribution with independent coordinates.

    Parameters
    ----------
    loc, scale : Tensor of shape (..., latent_dim)
        Mean and standard deviation of each coordinate.
    """

    def __init__(self, loc, scale):
        self.loc, self.scale = loc, scale
        base = Normal(loc, scale, validate_args=False)
        super().__init__(base, 1, validate_args=False)

    def transport(self, eps):
        """Turn standard normal noise into draws, differentiably.

        Parameters
        ----------
        eps : Tensor of shape (..., latent_dim)
            Broadcast against the batch.

        Returns
        -------
        z : Tensor of shape (..., latent_dim)
        """
        return self.loc + self.scale * eps

    def pairwise_log_prob(self, z):
        """Log density of each z under each of the n members, in nats.

        The quadratic form as one matrix product, of z**2 and z with their coefficients.

        Parameters
        ----------
        z : Tensor of shape (..., latent_dim)

        Returns
        -------
        log_prob : Tensor of shape (..., n)
        """
        precision = self.scale.square().reciprocal()
        slope = self.loc * precision
        constant = -(0.5 * self.loc * slope + self.scale.log() + _HALF_LOG_TAU).sum(-1)
        coefficients = torch.cat([-0.5 * precision, slope], dim=-1)
        return product(torch.cat([z.square(), z], dim=-1), coefficients, constant)


class FullNormal(Distribution):
    """Normal distribution given by the Cholesky factor of its covariance.

    Parameters
    ----------
    loc : Tensor of shape (..., latent_dim)
    scale_tril : Tensor of shape (..., latent_dim, latent_dim)
        Lower triangular with a positive diagonal.
    """

    def __init__(self, loc, scale_tril):
        self.loc, self.scale_tril = loc, scale_tril
        super().__init__(loc.shape[:-1], loc.shape[-1:], validate_args=False)

    @property
    def mean(self):
        """Expected value."""
        return self.loc

    def transport(self, eps):
        """Turn standard normal noise into draws, differentiably.

        Parameters
        ----------
        eps : Tensor of shape (..., latent_dim)
            Broadcast against the batch.

        Returns
        -------
        z : Tensor of shape (..., latent_dim)
        """
        return self.loc + (self.scale_tril @ eps.unsqueeze(-1)).squeeze(-1)

    def log_prob(self, z):
        """Log density of z, in nats; (..., latent_dim) -> (...)."""
        distance = (z - self.loc).unsqueeze(-1)
        white = torch.linalg.solve_triangular(self.scale_tril, distance, upper=False)
        return self._log_density(white.squeeze(-1))

    def pairwise_log_prob(self, z):
        """Log density of each z under each of the n members, in nats.

        One matrix product with the stacked inverse factors.

        Parameters
        ----------
        z : Tensor of shape (..., latent_dim)

        Returns
        -------
        log_prob : Tensor of shape (..., n)
        """
        n, k = self.loc.shape
        identity = torch.eye(k, dtype=z.dtype, device=z.device)
        whiten = torch.linalg.solve_triangular(self.scale_tril, identity, upper=False)
        centre = (whiten @ self.loc.unsqueeze(-1)).flatten()
        white = (product(z, whiten.flatten(0, 1)) - centre).unflatten(-1, (n, k))  # (..., n, k)
        return self._log_density(white)

    def _log_density(self, white):
        """Log density where the whitened distance from the mean is (..., latent_dim)."""
        log_det = self.scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        return -0.5 * (white.square() + math.log(2 * math.pi)).sum(-1) - log_det


class PrecisionNormal(Distribution):
    """Normal distribution given by the Cholesky factor of its precision.

    Parameters
    ----------
    loc : Tensor of shape (n, latent_dim)
    root : Tensor of shape (n, latent_dim, latent_dim)
        Lower triangular with a positive diagonal: the precision is ``root @ root.mT``.
    """

    def __init__(self, loc, root):
        self.loc, self.root = loc, root
        super().__init__(loc.shape[:-1], loc.shape[-1:], validate_args=False)

    def pairwise_log_prob(self, z):
        """Log density of each z under each of the n members, in nats.

        Parameters
        ----------
        z : Tensor of shape (..., latent_dim)

        Returns
        -------
        log_prob : Tensor of shape (..., n)
        """
        n, k = self.loc.shape
        whiten = self.root.mT
        centre = (whiten @ self.loc.unsqueeze(-1)).flatten()
        white = product(z, whiten.flatten(0, 1), -centre).unflatten(-1, (n, k))
        log_det = self.root.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        return -0.5 * white.square().sum(-1) + (log_det - k * _HALF_LOG_TAU)


class Posterior(nn.Module):
    """Base class of q(z | x).

    Parameters
    ----------
    n_hidden : int
        Width of the encoder's last hidden layer.
    latent_dim : int
    generator : torch.Generator
        Source of the initial weights.
    """

    def forward(self, hidden):
        """Distribution of z for each row.

        Parameters
        ----------
        hidden : Tensor of shape (n, n_hidden)

        Returns
        -------
        q : DiagonalNormal, FullNormal or alike
            Batch shape (n,), event shape (latent_dim,).
        """
        raise NotImplementedError

    def start(self, slope, intercept, scale):
        """Begin at ``N(slope @ hidden + intercept, scale**2)``; by default stay as drawn.

        Parameters
        ----------
        slope : Tensor of shape (latent_dim, n_hidden)
        intercept, scale : Tensor of shape (latent_dim,)
        """


class DiagonalGaussian(Posterior):
    r"""Posterior with independent coordinates, :math:`N(\mu(x), \mathrm{diag}\,\sigma^2(x))`.

    Shape: (n, n_hidden) -> batch (n,), event (latent_dim,).

    References
    ----------
    Kingma and Welling, "Auto-Encoding Variational Bayes", 2014, arXiv:1312.6114.
    """

    def __init__(self, n_hidden, latent_dim, *, generator):
        super().__init__()
        self.head = linear(n_hidden, 2 * latent_dim, generator)

    def forward(self, hidden):
        loc, raw_scale = self.head(hidden).chunk(2, dim=-1)
        return DiagonalNormal(loc, MIN_SCALE + softplus(raw_scale))

    def start(self, slope, intercept, scale):
        _start_head(self.head, slope, intercept, scale)


class FullGaussian(Posterior):
    r"""Posterior with a full covariance, :math:`N(\mu(x), L(x) L(x)^\top)`.

    The head gives the mean, the diagonal of L before a softplus, and the part of L below
    its diagonal.

    Shape: (n, n_hidden) -> batch (n,), event (latent_dim,).

    References
    ----------
    Kingma and Welling, "An Introduction to Variational Autoencoders", 2019,
    arXiv:1906.02691, section 2.5.1.
    """

    def __init__(self, n_hidden, latent_dim, *, generator):
        super().__init__()
        n_lower = latent_dim * (latent_dim - 1) // 2
        self.sizes = (latent_dim, latent_dim, n_lower)
        self.head = linear(n_hidden, sum(self.sizes), generator)
        self.register_buffer("lower", torch.tril_indices(latent_dim, latent_dim, -1))

    def forward(self, hidden):
        loc, raw_diagonal, lower = self.head(hidden).split(self.sizes, dim=-1)
        k = loc.shape[-1]
        diagonal = torch.diag_embed(MIN_SCALE + softplus(raw_diagonal)).flatten(-2)
        scale_tril = diagonal.index_copy(-1, self.lower[0] * k + self.lower[1], lower)
        return FullNormal(loc, scale_tril.unflatten(-1, (k, k)))

    def start(self, slope, intercept, scale):
        _start_head(self.head, slope, intercept, scale)


def _start_head(head, slope, intercept, scale):
    """Set a layer whose outputs are a mean, a scale before its softplus, and what begins at 0."""
    k = len(scale)
    head.weight.zero_()
    head.bias.zero_()
    head.weight[:k], head.bias[:k] = slope, intercept
    head.bias[k : 2 * k] = inverse_softplus((scale - MIN_SCALE).clamp_min(MIN_SCALE))


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
    layer = nn.utils.skip_init(Linear, n_inputs, n_outputs)
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
