"""A prior of clusters that need not be normal: a mixture whose normals bend with a code."""

import math

import torch
from torch import nn
from torch.distributions import Distribution

from .distributions import DiagonalNormal
from .hierarchical import HierarchicalNormal, check_sizes
from .layers import MLP, linear
from .posteriors import DiagonalGaussian
from .priors import Prior, check_components

__all__ = ["BentMixture", "GMVAEPrior"]

_BENT_AT_FIRST = 0.1  # times the initial weights: with none the bound would be flat
_POINTS = 8  # draws of a bound that is given no noise


class BentMixture(Distribution):
    """Mixture of normals with diagonal covariances, other ones for each code w.

    Parameters
    ----------
    log_weights : Tensor of shape (n_components,)
    loc, scale : Tensor of shape (..., n_components, latent_dim)
    """

    def __init__(self, log_weights, loc, scale):
        self.log_weights = log_weights
        self.components = DiagonalNormal(loc, scale)
        super().__init__(loc.shape[:-2], loc.shape[-1:], validate_args=False)

    @property
    def mean(self):
        """Expected value."""
        return self._over_components(self.components.mean)

    @property
    def variance(self):
        """Of each coordinate."""
        apart = (self.components.mean - self.mean.unsqueeze(-2)).square()
        return self._over_components(self.components.variance + apart)

    def _over_components(self, values):
        return (self.log_weights.exp().unsqueeze(-1) * values).sum(-2)

    def log_joint(self, z):
        """Log p(z, k | w) in nats; (..., latent_dim) -> (..., n_components)."""
        return self.components.log_prob(z.unsqueeze(-2)) + self.log_weights

    def log_prob(self, z):
        """Log p(z | w) in nats; (..., latent_dim) -> (...)."""
        return self.log_joint(z).logsumexp(-1)


class GMVAEPrior(Prior):
    r"""Mixture whose components bend with a code, :math:`\int p(w) \sum_k \pi_k p_k(z \mid w)\,dw`.

    :math:`p_k(z \mid w) = N(z; m_k(w), \mathrm{diag}\,s_k^2(w))` with w standard normal, so that a
    cluster need be no normal: m_k and s_k are networks. Scores take the bound

    .. math:: E_{q(w \mid z)}\Big[\ln \sum_k \pi_k p_k(z \mid w)\Big] - KL(q(w \mid z) \,\|\, p(w)).

    With m_k and s_k constant it is `Mixture`, near which it begins.

    Parameters
    ----------
    latent_dim : int
    examples : Tensor of shape (m, n_features)
        Not used.
    n_components : int, default=10
    n_codes : int, default=2
        Dimensions of w.
    hidden_layer_sizes : sequence of int, default=(32,)
        Of the encoder of z; m and s have them in reverse.
    generator : torch.Generator

    Attributes
    ----------
    noise_dim : int
        That of w.

    Notes
    -----
    There q(w) sees the row, here its code, so that the prior is a part like any other. Scales are
    at most e times wider or narrower than without w.

    References
    ----------
    Dilokthanakul et al., "Deep Unsupervised Clustering with Gaussian Mixture Variational
    Autoencoders", 2016, arXiv:1611.02648.
    """

    def __init__(
        self,
        latent_dim,
        examples,
        *,
        n_components=10,
        n_codes=2,
        hidden_layer_sizes=(32,),
        generator,
    ):
        super().__init__()
        check_components(n_components)
        check_sizes([n_codes, *hidden_layer_sizes])
        self.n_normals, self.noise_dim = n_components, int(n_codes)
        shape = (n_components, latent_dim)
        self.logits = nn.Parameter(torch.zeros(n_components))
        self.loc = nn.Parameter(torch.randn(shape, generator=generator))
        self.log_scale = nn.Parameter(torch.zeros(shape))
        self.encoder = MLP(latent_dim, hidden_layer_sizes, "silu", generator)
        self.posterior = DiagonalGaussian(
            self.encoder.n_outputs, self.noise_dim, generator=generator
        )
        hidden = MLP(self.noise_dim, hidden_layer_sizes[::-1], "silu", generator)
        output = linear(hidden.n_outputs, 2 * n_components * latent_dim, generator)
        self.decoder = nn.Sequential(hidden, output)
        self.register_buffer("points", torch.randn(_POINTS, self.noise_dim, generator=generator))
        with torch.no_grad():
            output.weight.mul_(_BENT_AT_FIRST)
            output.bias.zero_()
            nothing = torch.zeros(self.noise_dim, self.encoder.n_outputs)
            self.posterior.start(nothing, nothing[:, 0], nothing[:, 0] + 1)

    @property
    def event_shape(self):
        """Shape of a code z."""
        return self.loc.shape[1:]

    def start(self, weights, means, covariances):
        self.logits.copy_(weights.log())
        self.loc.copy_(means)
        self.log_scale.copy_(covariances.diagonal(dim1=1, dim2=2).log() / 2)

    def infer(self, z):
        """q(w | z); (..., latent_dim) -> batch (...), event (noise_dim,)."""
        return self.posterior(self.encoder(z))

    def decode(self, w):
        """p(z | w); (..., noise_dim) -> batch (...), event (latent_dim,)."""
        shift, stretch = self.decoder(w).unflatten(-1, (2, *self.loc.shape)).unbind(-3)
        scale = (self.log_scale + stretch.tanh()).exp()
        return BentMixture(self.logits.log_softmax(0), self.loc + shift, scale)

    def forward(self, encode):
        return HierarchicalNormal(self)

    def log_prob(self, p, z, eps):
        return p.log_weight(z, eps)

    def log_joint(self, p, z, eps):
        joint = self.decode(self.infer(z).transport(eps)).log_joint(z)
        return joint.log_softmax(-1) + self.log_prob(p, z, eps).unsqueeze(-1)

    def sample(self, n, encode, generator, temperature=1.0):
        like = {"dtype": self.loc.dtype, "device": self.loc.device}
        w = torch.randn((n, self.noise_dim), generator=generator, **like)
        eps = torch.randn((n, *self.event_shape), generator=generator, **like)
        chosen = torch.multinomial(self.logits.softmax(0), n, True, generator=generator)
        normals, rows = self.decode(w).components, torch.arange(n, device=self.loc.device)
        scale = math.sqrt(temperature) * normals.scale[rows, chosen]
        return normals.loc[rows, chosen] + scale * eps
