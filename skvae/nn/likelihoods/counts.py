"""Noise models of counts."""

import torch
from torch import nn
from torch.nn.functional import softplus

from ..distributions import Counts, NegativeBinomialWithCdf, PoissonWithCdf, WithZeros
from .base import Likelihood, with_atom

__all__ = ["NegativeBinomial", "Poisson", "ZeroInflated"]


class Poisson(Likelihood):
    """Counts that come independently: the variance is the mean.

    The mean lies within a factor exp(15) of the column's own.

    Shape: (..., c, 1) -> batch (..., c).
    """

    domain = "count"
    largest_log_rate = 15.0
    largest_rate_drawn = 2.0**62  # torch draws counts as int64

    def __init__(self, columns):
        super().__init__(columns)
        self.register_buffer("unit", torch.tensor([2.0**column.exponent for column in columns]))

    def featurize(self, x):
        return (torch.log1p(x * self.unit) - torch.log1p(self.unit)).unsqueeze(-1)

    def forward(self, params):
        return Counts(self._counts(params), self.unit)

    def quantile(self, average, level):
        return (super().quantile(average, level) * self.unit).floor() / self.unit

    def sample(self, params, generator):
        return self._drawn(self._rate(params), generator)

    def _drawn(self, rate, generator):
        rate = rate.clamp_max(self.largest_rate_drawn)
        return torch.poisson(rate, generator=generator) / self.unit

    def _counts(self, params):
        return PoissonWithCdf(self._rate(params), validate_args=False)

    def _rate(self, params):
        bound = self.largest_log_rate
        return params[..., 0].clamp(-bound, bound).exp() * self.unit


class NegativeBinomial(Poisson):
    """Counts whose variance exceeds the mean, by a learned dispersion per column.

    With mean m and dispersion r the variance is ``m + m**2 / r``.

    Shape: (..., c, 1) -> batch (..., c).
    """

    smallest_dispersion = 0.01

    def __init__(self, columns):
        super().__init__(columns)
        self.raw_dispersion = nn.Parameter(torch.zeros(len(columns)))

    def sample(self, params, generator):
        r = self._dispersion().expand(params.shape[:-1])
        rate = torch._standard_gamma(r, generator=generator) * self._rate(params) / r
        return self._drawn(rate, generator)

    def _counts(self, params):
        r = self._dispersion()
        logits = self._rate(params).log() - r.log()
        return NegativeBinomialWithCdf(r, logits=logits, validate_args=False)

    def _dispersion(self):
        return self.smallest_dispersion + softplus(self.raw_dispersion)


class ZeroInflated(NegativeBinomial):
    """Negative binomial counts, some of which are 0 for another reason.

    Shape: (..., c, 2) -> batch (..., c).

    References
    ----------
    Lambert, "Zero-Inflated Poisson Regression", 1992, doi:10.2307/1269547.
    """

    n_params = 2

    def sample(self, params, generator):
        return with_atom(super().sample(params, generator), params[..., 1], generator)

    def _counts(self, params):
        return WithZeros(params[..., 1], super()._counts(params))
