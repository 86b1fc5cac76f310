"""Approximate posteriors q(z | x): what the encoder's last layer means.

Conventions: ``forward`` maps the encoder's last hidden layer (n, n_hidden) to a
distribution with batch shape (n,) and event shape (latent_dim,); densities are in nats.
Besides ``log_prob`` and ``mean`` the distribution offers ``transport(eps)``, which turns
given noise into draws, and ``pairwise_log_prob(z)``, the density of every z under every
member of its batch: with these two a prior may be a mixture of posteriors. The certainty of codes
and the report on latent dimensions need its ``stddev`` and ``event_shape``, too.
"""

import torch
from torch import nn
from torch.nn.functional import softplus

from .distributions import DiagonalNormal, FullNormal
from .layers import inverse_softplus, linear

__all__ = ["DiagonalGaussian", "FullGaussian", "Posterior"]


class Posterior(nn.Module):
    """Base class of q(z | x).

    Parameters
    ----------
    n_hidden : int
        Width of the encoder's last hidden layer.
    latent_dim : int
    generator : torch.Generator
        Source of the initial weights.

    Attributes
    ----------
    has_encoder : bool
        Whether it follows from what the encoder gives; a prior may be made of such ones alone.
    searches : bool
        Whether `search` gives other posteriors than `infer`.
    space : {"real", "bits", "codes"}
        What codes are; it has to be that of the prior.
    """

    has_encoder = True
    searches = False
    space = "real"

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
        raise NotImplementedError(f"{type(self).__name__} lacks the method 'forward'.")

    def infer(self, model, x, visible):
        """Posterior that rows are trained by; by default that of their hidden layer.

        Parameters
        ----------
        model : VAE
        x, visible : Tensor of shape (n, n_columns)

        Returns
        -------
        q : Distribution
            As that of `forward`.
        """
        return model.encode(model.likelihood.featurize(x, visible))

    def search(self, model, q, x, observed, eps):
        """Posterior that rows are scored by; by default that of `infer`.

        Parameters
        ----------
        model : VAE
            At rest.
        q : Distribution
            What `infer` gives for the rows.
        x, observed : Tensor of shape (n, n_columns)
        eps : Tensor of shape (n_draws, 1, noise_dim)
            Noise of the scores; empty where no bound is asked for.

        Returns
        -------
        q : Distribution
            As that of `forward`.
        """
        return q

    def start(self, slope, intercept, scale):
        """Begin at ``N(slope @ hidden + intercept, scale**2)``; by default stay as drawn.

        Parameters
        ----------
        slope : Tensor of shape (latent_dim, n_hidden)
        intercept, scale : Tensor of shape (latent_dim,)
        """

    def begin(self, model, x, visible, generator):
        """Let what a model's codes are begin at training rows; by default leave it as it is.

        Parameters
        ----------
        model : VAE
            As it starts otherwise, on the CPU.
        x, visible : Tensor of shape (n, n_columns)
        generator : torch.Generator

        Raises
        ------
        ValueError
            If there are too few rows.
        """


class _Gaussian(Posterior):
    """Posterior whose head begins with a mean and a scale before its softplus.

    Attributes
    ----------
    smallest_scale : float
        Of a latent dimension, whose prior scale is about 1. Below it, the matrix products of
        `pairwise_log_prob` lose their digits in float32.
    """

    smallest_scale = 1e-2

    def start(self, slope, intercept, scale):
        k, head = len(scale), self.head
        head.weight.zero_()
        head.bias.zero_()
        head.weight[:k], head.bias[:k] = slope, intercept
        above = (scale - self.smallest_scale).clamp_min(self.smallest_scale)
        head.bias[k : 2 * k] = inverse_softplus(above)


class DiagonalGaussian(_Gaussian):
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
        return DiagonalNormal(loc, self.smallest_scale + softplus(raw_scale))


class FullGaussian(_Gaussian):
    r"""Posterior with a full covariance, :math:`N(\mu(x), L(x) L(x)^\top)`.

    The head gives the mean, the diagonal of L before a softplus, and the part of L below
    its diagonal, each row relative to what is on the diagonal: otherwise L would be too near
    to singular to be solved for where some scales are small.

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
        unit = torch.diag_embed(torch.ones_like(loc)).flatten(-2)
        unit = unit.index_copy(-1, self.lower[0] * k + self.lower[1], lower)
        scale = self.smallest_scale + softplus(raw_diagonal)
        return FullNormal(loc, scale.unsqueeze(-1) * unit.unflatten(-1, (k, k)))
