"""A prior that is a variational autoencoder of codes: two levels of them."""

import math
from numbers import Integral

import torch
from torch import nn
from torch.distributions import Distribution
from torch.nn.functional import softplus

from .distributions import DiagonalNormal
from .layers import MLP, inverse_softplus, linear
from .posteriors import DiagonalGaussian
from .priors import Prior

__all__ = ["HierarchicalNormal", "HierarchicalPrior", "check_sizes"]

_CORRELATION = 0.5**0.5  # of a code and that of its own level at the start
_POINTS = 32  # draws of a bound that is given no noise


class HierarchicalNormal(Distribution):
    r"""Codes z that have codes u: p(z | u) p(u), of which only bounds are known.

    Parameters
    ----------
    prior : HierarchicalPrior or GMVAEPrior
    """

    def __init__(self, prior):
        self.prior = prior
        super().__init__(event_shape=prior.event_shape, validate_args=False)

    @property
    def mean(self):
        """Expected value, by fixed draws of u."""
        return self.prior.decode(self.prior.points).mean.mean(0)

    @property
    def variance(self):
        """Of each coordinate, by fixed draws of u."""
        given = self.prior.decode(self.prior.points)
        return given.variance.mean(0) + given.mean.var(0, unbiased=False)

    def log_weight(self, z, eps):
        r"""Bound on log p(z) by one draw of u, whose mean over draws it is, in nats.

        :math:`\ln p(z \mid u) + \ln p(u) - \ln q(u \mid z)`.

        Parameters
        ----------
        z : Tensor of shape (..., latent_dim)
        eps : Tensor of shape (..., n_codes)
            Standard normal noise.

        Returns
        -------
        log_weight : Tensor of shape (...)
        """
        q = self.prior.infer(z)
        u = q.transport(eps)
        zeros = torch.zeros_like(u)
        log_p = DiagonalNormal(zeros, zeros + 1).log_prob(u)
        return self.prior.decode(u).log_prob(z) + log_p - q.log_prob(u)

    def log_prob(self, z):
        """Importance-weighted bound on log p(z) by fixed draws, in nats; (..., k) -> (...)."""
        points = self.prior.points
        shape = (len(points),) + (1,) * (z.dim() - 1) + points.shape[1:]
        return self.log_weight(z, points.view(shape)).logsumexp(0) - math.log(len(points))


class HierarchicalPrior(Prior):
    r"""Prior with a level of codes of its own, :math:`p(z) = \int p(u)\, N(z; f(u), \sigma^2) du`.

    It begins as the standard normal, whose bound has no noise, and is trained with the rest of
    the model, or after it: the score is a bound of a bound, looser than a density by the KL
    divergence of q(u | z) from p(u | z).

    Parameters
    ----------
    latent_dim : int
    examples : Tensor of shape (m, n_features)
        Not used.
    n_codes : int, default=None
        Dimensions of u; None for as many as z has.
    hidden_layer_sizes : sequence of int, default=(32,)
        Of the encoder of z; its decoder has them in reverse.
    after : bool, default=False
        Whether it stays standard normal while all else is trained, and is then fitted to the codes
        of that model, as Dai and Wipf's second stage. Not for `partial_fit`.
    generator : torch.Generator

    Attributes
    ----------
    noise_dim : int
        That of u.

    References
    ----------
    Rezende, Mohamed and Wierstra, "Stochastic Backpropagation and Approximate Inference in Deep
    Generative Models", 2014, arXiv:1401.4082. Dai and Wipf, "Diagnosing and Enhancing VAE
    Models", 2019, arXiv:1903.05789, for a second model of codes, trained after the first.
    """

    def __init__(
        self,
        latent_dim,
        examples,
        *,
        n_codes=None,
        hidden_layer_sizes=(32,),
        after=False,
        generator,
    ):
        super().__init__()
        if not isinstance(after, bool):
            raise TypeError(f"after must be True or False. Got {after!r}")
        self.after = after
        check_sizes([1 if n_codes is None else n_codes, *hidden_layer_sizes])
        self.noise_dim = latent_dim if n_codes is None else int(n_codes)
        self.encoder = MLP(latent_dim, hidden_layer_sizes, "silu", generator)
        self.posterior = DiagonalGaussian(
            self.encoder.n_outputs, self.noise_dim, generator=generator
        )
        hidden = MLP(self.noise_dim, hidden_layer_sizes[::-1], "silu", generator)
        self.decoder = nn.Sequential(hidden, linear(hidden.n_outputs, latent_dim, generator))
        self.raw_scale = nn.Parameter(torch.zeros(latent_dim))
        self.register_buffer("points", torch.randn(_POINTS, self.noise_dim, generator=generator))
        self._begin(latent_dim)

    @torch.no_grad()
    def _begin(self, latent_dim):
        """Let some z and u correlate, with both standard normal, and the rest be noise."""
        n = min(latent_dim, self.noise_dim)
        shared = _CORRELATION * torch.eye(self.noise_dim, latent_dim)
        rest = (1 - shared.square()).prod(1).sqrt(), (1 - shared.square()).prod(0).sqrt()
        of_hidden = (self.encoder.n_outputs - latent_dim, 0)
        slope = nn.functional.pad(shared, of_hidden)
        self.posterior.start(slope, torch.zeros(self.noise_dim), rest[0])
        output = self.decoder[-1]
        output.weight.zero_()
        output.bias.zero_()
        output.weight[:n, -self.noise_dim :][:, :n] = shared[:n, :n]
        self.raw_scale.copy_(inverse_softplus(rest[1] - DiagonalGaussian.smallest_scale))

    @property
    def event_shape(self):
        """Shape of a code z."""
        return self.raw_scale.shape

    def infer(self, z):
        """q(u | z); (..., latent_dim) -> batch (...), event (noise_dim,)."""
        return self.posterior(self.encoder(z))

    def decode(self, u):
        """p(z | u); (..., noise_dim) -> batch (...), event (latent_dim,)."""
        return DiagonalNormal(self.decoder(u), self.scale())

    def scale(self):
        """Return the standard deviation of z given u; (latent_dim,)."""
        return DiagonalGaussian.smallest_scale + softplus(self.raw_scale)

    def forward(self, encode):
        return HierarchicalNormal(self)

    def log_prob(self, p, z, eps):
        return p.log_weight(z, eps)

    def sample(self, n, encode, generator, temperature=1.0):
        like = {"dtype": self.raw_scale.dtype, "device": self.raw_scale.device}
        u = torch.randn((n, self.noise_dim), generator=generator, **like)
        eps = torch.randn((n, len(self.raw_scale)), generator=generator, **like)
        return self.decoder(u) + math.sqrt(temperature) * self.scale() * eps


def check_sizes(sizes):
    """Raise ValueError for dimensions or layers of no known size."""
    for size in sizes:
        if not isinstance(size, Integral) or isinstance(size, bool) or not 1 <= size < 2**20:
            raise ValueError(
                f"n_codes and hidden_layer_sizes must be ints in the range [1, 2**20). Got {size!r}"
            )
