"""Noise models of numbers."""

import math

import torch
from torch import nn
from torch.distributions import Normal
from torch.nn.functional import logsigmoid, softplus

from ..distributions import StudentTDistribution, WithAtom
from ..layers import inverse_softplus
from .base import Likelihood, draw_like, with_atom

__all__ = [
    "Gaussian",
    "Heteroscedastic",
    "HeteroscedasticStudentT",
    "LightStudentT",
    "LogNormal",
    "PredictedScale",
    "SharedScale",
    "SpikeSlab",
    "StudentT",
]


_LEAST_ABOVE = 0.02  # of its unit, by which a scale begins above its floor


class SharedScale(nn.Module):
    """Scale of the noise of each column, the same for all rows: floor + softplus(raw).

    Parameters
    ----------
    n_columns : int

    Attributes
    ----------
    n_params : int
        Decoder outputs that one column takes for its scale.
    """

    n_params = 0

    def __init__(self, n_columns):
        super().__init__()
        self.raw = nn.Parameter(torch.zeros(n_columns))

    def forward(self, params, floor):
        """Scale of each cell in the column's unit; (..., c, n) -> (c,)."""
        return floor + softplus(self.raw)

    def start(self, scale, floor):
        """Let the scales begin at (c,); return the decoder's outputs for them, (c, n_params)."""
        self.raw.copy_(inverse_softplus((scale - floor).clamp_min(_LEAST_ABOVE)))
        return scale.new_zeros(len(scale), self.n_params)


class PredictedScale(nn.Module):
    """Scale of the noise of each cell, which the decoder predicts, between a floor and 1.

    Never above the column's own standard deviation, so that the model cannot call a region
    unknown and thereby everything in it normal.

    Parameters
    ----------
    n_columns : int

    References
    ----------
    Stirn et al., "Faithful Heteroscedastic Regression with Neural Networks", 2023,
    arXiv:2212.09184, for the failure that the bound prevents.
    """

    n_params = 1

    def __init__(self, n_columns):
        super().__init__()

    def forward(self, params, floor):
        """Scale of each cell in the column's unit; (..., c, n) -> (..., c)."""
        return floor + (1 - floor) * params[..., 1].sigmoid()

    def start(self, scale, floor):
        """Return the decoder's outputs for scales (c,), of shape (c, n_params)."""
        share = (scale - floor) / (1 - floor)
        return share.clamp(_LEAST_ABOVE, 1 - _LEAST_ABOVE).logit().unsqueeze(-1)


class Gaussian(Likelihood):
    """Normal noise with a learned scale per column, shared by all rows.

    The scale is at least `scale_floor` of the column's unit, so that the density of a
    column that never varies stays bounded.

    Shape: (..., c, 1) -> batch (..., c).

    References
    ----------
    Rybkin et al., "Simple and Effective VAE Training with Calibrated Decoders", 2021,
    arXiv:2006.13202, for learning the scale.
    """

    has_location = True
    scale_floor = 0.05
    input_bound = 10.0  # a single wild cell must not drown the row's other inputs
    scale_of_normal = 1.0  # where this noise comes nearest to a standard normal
    scale_kind: type[nn.Module] = SharedScale

    def __init__(self, columns):
        super().__init__(columns)
        self.scale = self.scale_kind(len(columns))

    def featurize(self, x):
        return x.clamp(-self.input_bound, self.input_bound).unsqueeze(-1)

    def forward(self, params):
        return Normal(params[..., 0], self._scale(params), validate_args=False)

    def sample(self, params, generator):
        loc = params[..., 0]
        return loc + self._scale(params) * draw_like(torch.randn, loc.shape, loc, generator)

    def start(self, scale):
        of_scale = self.scale.start(self.scale_of_normal * scale, self.scale_floor)
        others = scale.new_zeros(len(scale), self.n_params - self.scale.n_params)
        return torch.cat([others, of_scale], dim=-1)

    def _scale(self, params):
        return self.scale(params, self.scale_floor)


class Heteroscedastic(Gaussian):
    """Normal noise whose scale the decoder predicts for each cell, see `PredictedScale`.

    Shape: (..., c, 2) -> batch (..., c).
    """

    n_params = 2
    robust = Gaussian
    scale_kind = PredictedScale


class StudentT(Gaussian):
    """Student's t noise with a learned scale per column: heavy tails.

    Shape: (..., c, 1) -> batch (..., c).

    References
    ----------
    Lange, Little and Taylor, "Robust Statistical Modeling Using the t Distribution",
    1989, doi:10.1080/01621459.1989.10478852, who recommend 4 degrees of freedom. Bailey,
    "Polar generation of random variates with the t-distribution", 1994,
    doi:10.1090/S0025-5718-1994-1219702-8, for the sampler.
    """

    df = 4.0
    scale_of_normal = 0.83

    def forward(self, params):
        return StudentTDistribution(self.df, params[..., 0], self._scale(params))

    def sample(self, params, generator):
        loc = params[..., 0]
        u, v = draw_like(torch.rand, (2, *loc.shape), loc, generator)
        radius = (self.df * ((1 - u).pow(-2 / self.df) - 1)).sqrt()
        return loc + self._scale(params) * radius * (2 * math.pi * v).cos()


class LightStudentT(StudentT):
    """Student's t noise with 20 degrees of freedom: nearly normal, with bounded influence.

    Stands in for `HeteroscedasticStudentT` in the robust member of a model, where tails as
    heavy as there would excuse the outliers, and normal ones let single cells outweigh rows.

    Shape: (..., c, 1) -> batch (..., c).
    """

    df = 20.0
    scale_of_normal = 0.955


class HeteroscedasticStudentT(StudentT):
    """Student's t noise whose scale the decoder predicts for each cell.

    The scale is that of `PredictedScale`, the tails are those of `StudentT`: one wild cell
    does not outweigh all others of its row, and outliers pull less on the fit.

    Shape: (..., c, 2) -> batch (..., c).

    References
    ----------
    Takahashi et al., "Student-t Variational Autoencoder for Robust Density Estimation",
    2018, doi:10.24963/ijcai.2018/374.
    """

    n_params = 2
    robust = LightStudentT
    scale_kind = PredictedScale


class LogNormal(Gaussian):
    """Normal noise on the logarithm, for heavy tails of positive numbers.

    Shape: (..., c, 1) -> batch (..., c).
    """

    domain = "positive"


class SpikeSlab(Gaussian):
    """One value with a probability of its own, and normal noise for all others.

    Far values are brought near by the inverse hyperbolic sine of their distance from the
    value that repeats, measured in the median of such distances. The density is with
    respect to length plus a point mass at that value, as large as a unit of the encoding:
    so a new unit of the column shifts all rows alike.

    Shape: (..., c, 2) -> batch (..., c).

    References
    ----------
    Mitchell and Beauchamp, "Bayesian Variable Selection in Linear Regression", 1988,
    doi:10.1080/01621459.1988.10478694, for the name. Burbidge, Magee and Robb,
    "Alternative Transformations to Handle Extreme Values of the Dependent Variable",
    1988, doi:10.1080/01621459.1988.10478575.
    """

    domain = "spiked"
    n_inputs = 2
    n_params = 2

    def featurize(self, x):
        return torch.cat([super().featurize(x), ((x == 0).to(x.dtype) - 0.5).unsqueeze(-1)], -1)

    def forward(self, params):
        return WithAtom(params[..., 1], super().forward(params))

    def features_of(self, params, x):
        spike = params[..., 1].sigmoid()
        location = super().featurize((1 - spike) * params[..., 0])
        return torch.cat([location, (spike - 0.5).unsqueeze(-1)], -1)

    def predict(self, average):
        p_spike = average(lambda p: p.logits.sigmoid())
        return torch.where(p_spike > 0.5, 0.0, average(lambda p: p.rest.mean))

    def quantile(self, average, level):
        below = average(lambda p: logsigmoid(-p.logits).exp() * p.rest.cdf(p.logits * 0))
        spike = average(lambda p: p.logits.sigmoid())
        is_spike = (below < level) & (level <= below + spike)
        return torch.where(is_spike, 0.0, super().quantile(average, level))

    def sample(self, params, generator):
        return with_atom(super().sample(params, generator), params[..., 1], generator)
