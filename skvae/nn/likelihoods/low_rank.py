"""Noise that the columns of a row share."""

import math

import torch
from torch import nn
from torch.distributions import Normal

from ..layers import product
from .base import draw_like
from .numbers import Gaussian

__all__ = ["LowRank"]


class LowRank(Gaussian):
    r"""Normal noise with a full covariance, :math:`N(\mu(z), U U^\top + \mathrm{diag}\,\psi)`.

    The same for all rows: psi are the squared scales of `Gaussian`, and U has `rank` columns. The
    row's factors u, with residuals ``U @ u`` and a standard normal prior, are integrated out in
    closed form. A cell's part of the joint density is its expected log density under the
    posterior of u given the observed cells, and the parts exceed it by the KL divergence of that
    posterior from the prior. With ``rank = 0`` it is `Gaussian`.

    U starts near 0, so that it has little effect while the latent code explains what it can.

    Shape: (..., c, 1) -> batch (..., c), each cell without the others.

    Attributes
    ----------
    rank : int
        Of U, as far as there are columns. Another one in a subclass.

    References
    ----------
    Dorta et al., "Structured Uncertainty Prediction Networks", 2018, arXiv:1802.07079, for
    residuals that depend on each other; theirs are pixels, with neighbours. Tipping and Bishop,
    "Probabilistic Principal Component Analysis", 1999, doi:10.1111/1467-9868.00196.
    """

    rank = 4
    loading_at_start = 0.03  # in the columns' units
    n_predictive = 2
    robust = as_context = Gaussian
    alone = "gaussian"

    def __init__(self, columns):
        super().__init__(columns)
        c = len(columns)
        waves = torch.arange(min(self.rank, c)) * (torch.arange(c) + 0.5).unsqueeze(1)  # (c, r)
        self.loadings = nn.Parameter(self.loading_at_start * (math.pi / c * waves).cos())

    def forward(self, params):
        nothing = torch.zeros_like(params[..., 0])
        return self.predicted(self.predictive(params, nothing, nothing))

    def terms(self, params, x, observed):
        scale, away = self._scale(params), x - params[..., 0]
        u, covariance, log_det = self._factors(away, observed, scale)
        spread = self._spread(covariance) / scale.square()
        p = Normal(product(u, self.loadings), scale, validate_args=False)
        trace = (covariance * _identity(covariance)).sum((-2, -1))
        kl = (trace + u.square().sum(-1) - u.shape[-1] + log_det) / 2
        return p.log_prob(away) - spread / 2, kl

    def predictive(self, params, x, observed):
        scale, loc = self._scale(params), params[..., 0]
        u, covariance, _ = self._factors(x - loc, observed, scale)
        total = (self._spread(covariance) + scale.square()).sqrt()
        return torch.stack([loc + product(u, self.loadings), total.expand_as(loc)], dim=-1)

    def predicted(self, given):
        return Normal(given[..., 0], given[..., 1], validate_args=False)

    def sample(self, params, generator):
        nothing = torch.zeros_like(params[..., 0])
        return self.fill(params, nothing, nothing, generator)

    def fill(self, params, x, observed, generator):
        independent = super().sample(params, generator)
        mean, covariance, _ = self._factors(x - params[..., 0], observed, self._scale(params))
        eps = draw_like(torch.randn, mean.shape, mean, generator).unsqueeze(-1)
        u = mean + (torch.linalg.cholesky(covariance) @ eps).squeeze(-1)
        return independent + product(u, self.loadings)

    def _factors(self, away, observed, scale):
        """Posterior of the factors of rows, some of whose cells are observed.

        Parameters
        ----------
        away : Tensor of shape (..., n, c)
            From the location.
        observed : Tensor of shape (n, c)
        scale : Tensor of shape (c,)

        Returns
        -------
        mean : Tensor of shape (..., n, rank)
        covariance : Tensor of shape (n, rank, rank)
        log_det : Tensor of shape (n,)
            Logarithm of the determinant of its inverse.
        """
        precise = observed / scale.square()
        rank = self.loadings.shape[1]
        precision = product(precise, self._pairs().T).unflatten(-1, (rank, rank))
        covariance, log_det = _inverse(precision + _identity(precision))
        slope = product(away * precise, self.loadings.T)
        return (covariance * slope.unsqueeze(-2)).sum(-1), covariance, log_det

    def _spread(self, covariance):
        """Variance that factors of a covariance give each cell; (n, r, r) -> (n, c)."""
        return product(covariance.flatten(-2), self._pairs())

    def _pairs(self):
        """Products of the loadings of each column; (c, rank**2)."""
        return (self.loadings.unsqueeze(-1) * self.loadings.unsqueeze(-2)).flatten(1)


def _inverse(precision):
    """Inverse of small matrices, none below 1, and their log determinants, by elimination.

    Row by row it has the same bits wherever a matrix stands, and ONNX has all that it takes.
    """
    rank, log_det = precision.shape[-1], 0.0
    identity = _identity(precision)
    rest = torch.cat([precision, precision * 0 + identity], dim=-1)  # (n, r, 2 r)
    for i in range(rank):
        pivot = rest[..., i, i].clamp_min(1.0)
        log_det = log_det + pivot.log()
        row = rest[..., i, :] / pivot.unsqueeze(-1)
        # Of the row itself one less is taken than there is: what is left is `row`.
        times = rest[..., :, i] - identity[i]
        rest = rest - times.unsqueeze(-1) * row.unsqueeze(-2)
    return rest[..., rank:], log_det


def _identity(matrices):
    return torch.eye(matrices.shape[-1], dtype=matrices.dtype, device=matrices.device)
