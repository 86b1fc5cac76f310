"""Priors p(z) over the latent space.

Conventions: ``forward(encode)`` returns one distribution with event shape (latent_dim,);
``encode`` maps features (m, n_features) to the posterior q, and only priors made of
posteriors use it. Densities are in nats. The constructor gets `examples`, the encoder's
features of some training rows, for priors that start from data.
"""

import math
from numbers import Integral

import torch
from torch import nn

from .distributions import DiagonalNormal, MixtureDistribution, PrecisionNormal

__all__ = ["FullMixture", "Mixture", "Prior", "StandardNormal", "VampPrior", "check_components"]

_MOST_COMPONENTS = 2**20


class Prior(nn.Module):
    """Base class of p(z).

    Parameters
    ----------
    latent_dim : int
    examples : Tensor of shape (m, n_features)
        Encoder features of training rows.
    generator : torch.Generator
        Source of the initial weights.

    Attributes
    ----------
    n_normals : int
        Learned normals that it is a mixture of, and can begin at; else 0.
    noise_dim : int
        Columns of noise that `log_prob` needs, beside those of the codes.
    needs_encoder : bool
        Whether it is made of posteriors that have one.
    after : bool
        Whether it stays as it begins until all else is trained, and is then fitted alone.
    space : {"real", "bits", "codes"}
        What codes are; it has to be that of the posterior.
    """

    needs_encoder = False
    n_normals = 0
    after = False
    noise_dim = 0
    space = "real"

    def forward(self, encode):
        """Distribution of z.

        Parameters
        ----------
        encode : callable, (m, n_features) -> Distribution
            The model's own q(z | features).

        Returns
        -------
        p : Distribution with event shape (latent_dim,)
        """
        raise NotImplementedError(f"{type(self).__name__} lacks the method 'forward'.")

    def log_prob(self, p, z, eps):
        """Log density of codes, or a lower bound on it by given noise; never an upper one.

        Parameters
        ----------
        p : Distribution
            What `forward` returned.
        z : Tensor of shape (..., n, latent_dim)
        eps : Tensor of shape (..., n or 1, noise_dim)
            Standard normal noise.

        Returns
        -------
        log_prob : Tensor of shape (..., n)
            In nats.
        """
        return p.log_prob(z)

    def log_joint(self, p, z, eps):
        """Log p(z, k) of codes and the components of a mixture, in nats.

        Parameters
        ----------
        p, z, eps
            As in `log_prob`.

        Returns
        -------
        log_joint : Tensor of shape (..., n, n_components)
            Its logsumexp is `log_prob`, and its softmax the share of each component in z.
        """
        return p.log_joint(z)

    def sample(self, n, encode, generator, temperature=1.0):
        """Draw n independent latent points.

        Parameters
        ----------
        n : int
        encode : callable
            As in `forward`.
        generator : torch.Generator
        temperature : float, default=1.0
            Times the variance of each component of p; 0 leaves their means.

        Returns
        -------
        z : Tensor of shape (n, latent_dim)
        """
        raise NotImplementedError(f"{type(self).__name__} lacks the method 'sample'.")

    def start(self, weights, means, covariances):
        """Begin at a mixture of normals, of which there are `n_normals`.

        Parameters
        ----------
        weights : Tensor of shape (n_normals,)
        means : Tensor of shape (n_normals, latent_dim)
        covariances : Tensor of shape (n_normals, latent_dim, latent_dim)
        """
        raise NotImplementedError(f"{type(self).__name__} lacks the method 'start'.")


class StandardNormal(Prior):
    """Standard normal prior, without parameters.

    References
    ----------
    Kingma and Welling, "Auto-Encoding Variational Bayes", 2014, arXiv:1312.6114.
    """

    def __init__(self, latent_dim, examples, *, generator):
        super().__init__()
        self.register_buffer("loc", torch.zeros(latent_dim))

    def forward(self, encode):
        return DiagonalNormal(self.loc, torch.ones_like(self.loc))

    def sample(self, n, encode, generator, temperature=1.0):
        return _normal((n, len(self.loc)), self.loc, generator, temperature)


class Mixture(Prior):
    """Learned mixture of Gaussians with diagonal covariances and learned weights.

    Parameters
    ----------
    latent_dim : int
    examples : Tensor of shape (m, n_features)
        Not used.
    n_components : int, default=20
    generator : torch.Generator

    References
    ----------
    Dilokthanakul et al., "Deep Unsupervised Clustering with Gaussian Mixture Variational
    Autoencoders", 2016, arXiv:1611.02648.
    """

    def __init__(self, latent_dim, examples, *, n_components=20, generator):
        super().__init__()
        check_components(n_components)
        self.logits = nn.Parameter(torch.zeros(n_components))
        self.loc = nn.Parameter(torch.randn((n_components, latent_dim), generator=generator))
        self.log_scale = nn.Parameter(torch.zeros(n_components, latent_dim))
        self.n_normals = n_components

    def start(self, weights, means, covariances):
        self.logits.copy_(weights.log())
        self.loc.copy_(means)
        self.log_scale.copy_(covariances.diagonal(dim1=1, dim2=2).log() / 2)

    def forward(self, encode):
        components = DiagonalNormal(self.loc, self.log_scale.exp())
        return MixtureDistribution(components, self.logits.log_softmax(0))

    def sample(self, n, encode, generator, temperature=1.0):
        chosen = torch.multinomial(self.logits.softmax(0), n, True, generator=generator)
        noise = _normal((n, self.loc.shape[1]), self.loc, generator, temperature)
        return self.loc[chosen] + self.log_scale[chosen].exp() * noise


class FullMixture(Prior):
    """Learned mixture of Gaussians with full covariances and learned weights.

    A component is given by the lower triangular root of its precision, so that a density
    takes one matrix product and no inverse.

    Parameters
    ----------
    latent_dim : int
    examples : Tensor of shape (m, n_features)
        Not used.
    n_components : int, default=10
    generator : torch.Generator

    References
    ----------
    Jiang et al., "Variational Deep Embedding", 2017, arXiv:1611.05148, for a mixture that
    begins at one fitted to codes; McLachlan and Peel, "Mixtures of Factor Analyzers", 2000,
    for what it is where encoder and decoder are linear.
    """

    def __init__(self, latent_dim, examples, *, n_components=10, generator):
        super().__init__()
        check_components(n_components)
        self.logits = nn.Parameter(torch.zeros(n_components))
        self.loc = nn.Parameter(torch.randn((n_components, latent_dim), generator=generator))
        self.log_diagonal = nn.Parameter(torch.zeros(n_components, latent_dim))
        self.lower = nn.Parameter(torch.zeros(n_components, latent_dim, latent_dim))
        self.n_normals = n_components

    def start(self, weights, means, covariances):
        root = torch.linalg.cholesky(covariances.double().inverse()).to(self.lower.dtype)
        self.logits.copy_(weights.log())
        self.loc.copy_(means)
        self.log_diagonal.copy_(root.diagonal(dim1=1, dim2=2).log())
        self.lower.copy_(root)

    def forward(self, encode):
        components = PrecisionNormal(self.loc, self.root())
        return MixtureDistribution(components, self.logits.log_softmax(0))

    def sample(self, n, encode, generator, temperature=1.0):
        chosen = torch.multinomial(self.logits.softmax(0), n, True, generator=generator)
        noise = _normal((n, self.loc.shape[1], 1), self.loc, generator, temperature)
        root = self.root()[chosen].mT
        return self.loc[chosen] + torch.linalg.solve_triangular(root, noise, upper=True).squeeze(-1)

    def root(self):
        """Lower triangular roots of the precisions; (n_components, latent_dim, latent_dim)."""
        return torch.diag_embed(self.log_diagonal.exp()) + self.lower.tril(-1)


class VampPrior(Prior):
    r"""Mixture of the posteriors of learned pseudo-inputs.

    :math:`p(z) = \frac1K \sum_k q(z \mid u_k)` with learned :math:`u_k`, which live in the
    encoder's feature space and start at training rows.

    Parameters
    ----------
    latent_dim : int
    examples : Tensor of shape (m, n_features)
        Where the pseudo-inputs start; drawn with replacement.
    n_components : int, default=200
        Number of pseudo-inputs.
    generator : torch.Generator

    References
    ----------
    Tomczak and Welling, "VAE with a VampPrior", 2018, arXiv:1705.07120.
    """

    needs_encoder = True

    def __init__(self, latent_dim, examples, *, n_components=200, generator):
        super().__init__()
        check_components(n_components)
        chosen = torch.randint(len(examples), (n_components,), generator=generator)
        self.pseudo_inputs = nn.Parameter(examples[chosen].clone())
        self.register_buffer("logits", torch.zeros(n_components))

    def forward(self, encode):
        return MixtureDistribution(encode(self.pseudo_inputs), self.logits.log_softmax(0))

    def sample(self, n, encode, generator, temperature=1.0):
        chosen = torch.multinomial(self.logits.softmax(0), n, True, generator=generator)
        q = encode(self.pseudo_inputs[chosen])
        return q.transport(_normal(q.mean.shape, q.mean, generator, temperature))


def check_components(n_components):
    """Raise ValueError for a number of components that cannot be."""
    is_integer = isinstance(n_components, Integral) and not isinstance(n_components, bool)
    if not is_integer or not 1 <= n_components < _MOST_COMPONENTS:
        raise ValueError(
            f"n_components must be an int in the range [1, {_MOST_COMPONENTS}). Got "
            f"{n_components!r}"
        )


def _normal(shape, like, generator, variance):
    draws = torch.randn(shape, generator=generator, dtype=like.dtype, device=like.device)
    return math.sqrt(variance) * draws
