"""Distributions that torch lacks, or has in a form too slow; densities are in nats."""

import math

import torch
from scipy import special
from torch.distributions import Distribution, Independent, Normal
from torch.distributions import NegativeBinomial as NegativeBinomialDistribution
from torch.distributions import Poisson as PoissonDistribution
from torch.nn.functional import logsigmoid

from .layers import product

__all__ = [
    "Counts",
    "DiagonalNormal",
    "FullNormal",
    "Levels",
    "MixtureDistribution",
    "NegativeBinomialWithCdf",
    "PoissonWithCdf",
    "PrecisionNormal",
    "StudentTDistribution",
    "Weighted",
    "WithAtom",
    "WithZeros",
]


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

    def marginal_log_prob(self, z):
        """Log density of each coordinate of z, in nats; (..., latent_dim)."""
        return self.base_dist.log_prob(z)

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
        self._drawn = None, None  # the draws last made, and the noise that they are of
        super().__init__(loc.shape[:-1], loc.shape[-1:], validate_args=False)

    @property
    def mean(self):
        """Expected value."""
        return self.loc

    @property
    def variance(self):
        """Of each coordinate."""
        return self.scale_tril.square().sum(-1)

    def transport(self, eps):
        """Turn standard normal noise into draws, as `DiagonalNormal.transport`."""
        z = self.loc + (self.scale_tril @ eps.unsqueeze(-1)).squeeze(-1)
        self._drawn = z, eps
        return z

    def log_prob(self, z):
        """Log density of z, in nats; (..., latent_dim) -> (...).

        Of the draws that `transport` made last it is found by their noise, and so has no
        derivative of its own by z; that of a clone has one.
        """
        drawn, eps = self._drawn
        is_unchanged = z is drawn and (z.is_inference() or z._version == 0)
        if is_unchanged:  # to solve for the noise may lose all digits
            return self._log_density(eps)
        distance = (z - self.loc).unsqueeze(-1)
        white = torch.linalg.solve_triangular(self.scale_tril, distance, upper=False)
        return self._log_density(white.squeeze(-1))

    def pairwise_log_prob(self, z):
        """Log density of each z under each of the n members; (..., latent_dim) -> (..., n).

        One matrix product with the stacked inverse factors.
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

    @property
    def mean(self):
        """Expected value."""
        return self.loc

    @property
    def variance(self):
        """Of each coordinate."""
        identity = torch.eye(self.loc.shape[-1], dtype=self.root.dtype, device=self.root.device)
        inverse = torch.linalg.solve_triangular(self.root, identity, upper=False)
        return inverse.square().sum(-2)

    def pairwise_log_prob(self, z):
        """Log density of each z under each of the n members; (..., latent_dim) -> (..., n)."""
        n, k = self.loc.shape
        whiten = self.root.mT
        centre = (whiten @ self.loc.unsqueeze(-1)).flatten()
        white = product(z, whiten.flatten(0, 1), -centre).unflatten(-1, (n, k))
        log_det = self.root.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        return -0.5 * white.square().sum(-1) + (log_det - k * _HALF_LOG_TAU)


# Nats below the largest term of a sum at which a term no longer counts in float64: less than
# that is raised to it, for exponentials that are nearly 0 take ten times as long as others.
_NEGLIGIBLE = 60.0


class MixtureDistribution(Distribution):
    """Mixture of the members of a batch of latent distributions.

    Parameters
    ----------
    components : Distribution with batch shape (n_components,)
        Has ``pairwise_log_prob``.
    log_weights : Tensor of shape (n_components,)
        Logarithms of the mixture weights.
    """

    def __init__(self, components, log_weights):
        self.components = components
        self.log_weights = log_weights
        super().__init__(event_shape=components.event_shape, validate_args=False)

    @property
    def mean(self):
        """Expected value."""
        return self.log_weights.exp() @ self.components.mean

    @property
    def variance(self):
        """Of each coordinate."""
        apart = (self.components.mean - self.mean).square()
        return self.log_weights.exp() @ (self.components.variance + apart)

    def marginal_log_prob(self, z):
        """Log density of each coordinate of z, in nats; (..., latent_dim)."""
        components = Normal(self.components.mean, self.components.stddev, validate_args=False)
        terms = components.log_prob(z.unsqueeze(-2)) + self.log_weights.unsqueeze(-1)
        return terms.logsumexp(-2)

    def log_joint(self, z):
        """Log density of each z and component, log p(z, k), in nats; (..., latent_dim) -> (..., K).

        Its logsumexp is `log_prob`, and its softmax the share of each component in z.
        """
        return self.components.pairwise_log_prob(z) + self.log_weights

    def log_prob(self, z):
        """Log density of each z, in nats; (..., latent_dim) -> (...)."""
        terms = self.log_joint(z)
        # Relative to the largest, so that squares in second derivatives are numbers in float32.
        largest = terms.detach().amax(-1, keepdim=True)
        return largest.squeeze(-1) + (terms - largest).clamp_min(-_NEGLIGIBLE).exp().sum(-1).log()


class StudentTDistribution(Distribution):
    """Student's t distribution with the same degrees of freedom for all cells.

    torch's own takes them as a tensor and computes two gamma functions for every cell.

    Parameters
    ----------
    df : float
        Degrees of freedom, more than 1.
    loc, scale : Tensor
    """

    def __init__(self, df, loc, scale):
        self.df, self.loc, self.scale = df, loc, scale
        half = (df + 1) / 2
        self._log_peak = math.lgamma(half) - math.lgamma(df / 2) - 0.5 * math.log(df * math.pi)
        super().__init__(loc.shape, validate_args=False)

    @property
    def mean(self):
        """Expected value."""
        return self.loc

    def log_prob(self, x):
        """Log density in nats."""
        t = (x - self.loc) / self.scale
        falling = 0.5 * (self.df + 1) * (t.square() / self.df).log1p()
        return self._log_peak - falling - self.scale.log()

    def cdf(self, x):
        """Probability of at most x; on the CPU."""
        t = (x - self.loc) / self.scale
        return torch.as_tensor(special.stdtr(self.df, t.numpy(force=True)))


class WithAtom(Distribution):
    """Mixture of a point mass at 0 and another distribution.

    Parameters
    ----------
    logits : Tensor
        Log odds of the point mass.
    rest : Distribution
        Continuous.
    """

    def __init__(self, logits, rest):
        self.logits, self.rest = logits, rest
        super().__init__(logits.shape, validate_args=False)

    @property
    def mean(self):
        """Expected value."""
        return logsigmoid(-self.logits).exp() * self.rest.mean

    def cdf(self, x):
        """Probability of at most x."""
        return self.logits.sigmoid() * (x >= 0) + logsigmoid(-self.logits).exp() * self.rest.cdf(x)

    def log_prob(self, x):
        """Log density where x is not 0, log mass where it is; in nats."""
        return torch.where(
            x == 0, logsigmoid(self.logits), logsigmoid(-self.logits) + self.rest.log_prob(x)
        )


class WithZeros(WithAtom):
    """`WithAtom` for counts, whose 0 may come from either part."""

    def log_prob(self, x):
        """Log mass in nats."""
        rest = logsigmoid(-self.logits) + self.rest.log_prob(x)
        return torch.where(x == 0, torch.logaddexp(logsigmoid(self.logits), rest), rest)


class PoissonWithCdf(PoissonDistribution):
    """Poisson distribution with a distribution function."""

    def cdf(self, x):
        """Probability of at most x."""
        up_to = torch.special.gammaincc(x.floor().clamp_min(0) + 1, self.rate)
        return torch.where(x >= 0, up_to, 0.0)


class NegativeBinomialWithCdf(NegativeBinomialDistribution):
    """Negative binomial distribution with a distribution function."""

    def cdf(self, x):
        """Probability of at most x; on the CPU."""
        failures = x.floor().clamp_min(0) + 1
        parts = (self.total_count, failures, (-self.logits).sigmoid())
        up_to = torch.as_tensor(special.betainc(*(part.numpy(force=True) for part in parts)))
        return torch.where(x >= 0, up_to, 0.0)


class Counts(Distribution):
    """Distribution of counts that are divided by a power of two.

    Parameters
    ----------
    counts : Distribution
    unit : Tensor of shape (c,)
    """

    def __init__(self, counts, unit):
        self.counts, self.unit = counts, unit
        super().__init__(counts.batch_shape, validate_args=False)

    @property
    def mean(self):
        """Expected value, divided like the counts."""
        return self.counts.mean / self.unit

    def cdf(self, x):
        """Probability of at most x."""
        return self.counts.cdf(x * self.unit)

    def log_prob(self, x):
        """Log mass in nats."""
        return self.counts.log_prob(x * self.unit)


class Levels(Distribution):
    """Smoothed distribution over known levels and one that stands for all unseen ones.

    Parameters
    ----------
    log_mass : Tensor of shape (..., c, n_codes)
        Before smoothing, in nats; levels from the last code on have equal masses.
    n_levels, n_observed : Tensor of shape (c,)
        Known levels, and the training cells that they were seen in.
    """

    def __init__(self, log_mass, n_levels, n_observed):
        self.log_mass, self.n_levels, self.n_observed = log_mass, n_levels, n_observed
        super().__init__(log_mass.shape[:-1], validate_args=False)

    def log_prob(self, x):
        """Log mass of the level at position x, in nats."""
        total = self.n_observed + self.n_levels + 1
        code = x.clamp(max=self.log_mass.shape[-1] - 1).long()
        code, log_mass = torch.broadcast_tensors(code.unsqueeze(-1), self.log_mass)
        known = log_mass.gather(-1, code[..., :1]).squeeze(-1)
        known = torch.where(x < self.n_levels, known, -math.inf)
        return torch.logaddexp(known + (self.n_observed / total).log(), -total.log())


class Weighted(Distribution):
    """Distribution of cells of which each counts as so many.

    Parameters
    ----------
    p : Distribution
    weight : Tensor of shape (c,)
    """

    def __init__(self, p, weight):
        self.p, self.weight = p, weight
        super().__init__(p.batch_shape, validate_args=False)

    def log_prob(self, x):
        """Log mass in nats, times the weight."""
        return self.weight * self.p.log_prob(x)
