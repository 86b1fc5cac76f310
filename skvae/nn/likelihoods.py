"""Noise models p(x_j | z): one class a family of columns.

Conventions: x holds a block of c columns of one family, in the units of the table's
encoding, with cells that are not observed filled with 0. A block turns the decoder's
parameters (..., c, n_params) into a distribution with batch shape (..., c), in nats.

A family's domain says how the table encodes its columns:

- "real": centred and scaled.
- "positive": the same after taking logarithms.
- "spiked": 0 at the value that repeats, elsewhere never 0, and bent so that far values
  come near.
- "binary": 0 and 1.
- "count": divided by the column's ``2**exponent``, a power near the mean.
- "category", "ordered": the position among the column's levels, by frequency or in their
  order; ``len(levels)`` for a level unseen in training.
"""

import math
from functools import partial
from itertools import accumulate
from typing import NamedTuple

import torch
from scipy import special
from torch import nn
from torch.distributions import Bernoulli as BernoulliDistribution
from torch.distributions import Distribution, Normal
from torch.distributions import NegativeBinomial as NegativeBinomialDistribution
from torch.distributions import Poisson as PoissonDistribution
from torch.nn.functional import logsigmoid, softplus

from .posteriors import inverse_softplus

__all__ = [
    "Bernoulli",
    "Categorical",
    "Gaussian",
    "Heteroscedastic",
    "HeteroscedasticStudentT",
    "JointLikelihood",
    "LightStudentT",
    "Likelihood",
    "LinearModel",
    "LogNormal",
    "NegativeBinomial",
    "Ordinal",
    "Poisson",
    "SpikeSlab",
    "StudentT",
    "ZeroInflated",
]


# Of quantiles: powers of two that a bracket grows by, and times that it is halved.
_MOST_DOUBLINGS, _HALVINGS = 60, 24
_LEAST_ABOVE = 0.02  # of its unit, by which a scale begins above its floor


class Likelihood(nn.Module):
    """Base class of p(x_j | z) for a block of columns of one family.

    Parameters
    ----------
    columns : sequence of Column
        Those of the block, as the table describes them: families of counts read their
        ``exponent``, families of categories their ``levels``, ``n_codes`` (the same for
        all columns of a block) and ``n_observed``.

    Attributes
    ----------
    domain : str
        How the table encodes the columns of this family.
    n_inputs : int
        Features that one column gives the encoder.
    n_params : int
        Decoder outputs that one column takes.
    robust : class or None
        Family of the same domain that stands in for this one in the robust member of a
        model; None for itself. A scale that follows the rows follows the outliers too.
    has_location : bool
        Whether the first feature of a cell and the first output of its column are a
        location in the column's unit: then a model can begin as a linear one.
    scale_floor : float
        Smallest scale of the noise in the column's unit, of families that have one.
    """

    domain = "real"
    n_inputs = 1
    n_params = 1
    robust: type | None = None
    has_location = False
    scale_floor = 0.0

    def __init__(self, columns):
        super().__init__()

    def featurize(self, x):
        """Turn each cell into what the encoder sees.

        Parameters
        ----------
        x : Tensor of shape (..., c)

        Returns
        -------
        features : Tensor of shape (..., c, n_inputs)
            0 is what the encoder sees of a hidden cell.
        """
        raise NotImplementedError

    def forward(self, params):
        """Distribution of each cell.

        Parameters
        ----------
        params : Tensor of shape (..., c, n_params)

        Returns
        -------
        p : Distribution with batch shape (..., c)
            Has ``log_prob``; for guesses ``mean``, and for intervals of numbers ``cdf``.
        """
        raise NotImplementedError

    def predict(self, average):
        """Best guess of each cell: its mean, or its mode where values have no mean.

        Parameters
        ----------
        average : callable
            Takes a function of a Distribution to the mean of its values over all that may
            have given the cell: draws of z, members of a model.

        Returns
        -------
        x : Tensor of shape (..., c)
        """
        return average(lambda p: p.mean)

    def quantile(self, average, level):
        """Smallest value at or below which a cell is with probability `level`.

        Parameters
        ----------
        average : callable
            As in `predict`.
        level : float in (0, 1)

        Returns
        -------
        x : Tensor of shape (..., c)
            Within 1e-6 of the column's unit.
        """
        start = average(lambda p: p.mean)
        return _where_reached(lambda x: average(lambda p: p.cdf(x)), level, start)

    def sample(self, params, generator):
        """Draw each cell once; (..., c, n_params) -> (..., c)."""
        raise NotImplementedError

    def start(self, scale):
        """Begin at a noise of some standard deviation; of families that have a location.

        Parameters
        ----------
        scale : Tensor of shape (c,)
            In the columns' units.

        Returns
        -------
        params : Tensor of shape (c, n_params)
            Outputs of the decoder that, with own weights set here, mean location 0 and
            this scale.
        """
        raise NotImplementedError


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

    def __init__(self, columns):
        super().__init__(columns)
        self.raw_scale = nn.Parameter(torch.zeros(len(columns)))

    def featurize(self, x):
        return x.clamp(-self.input_bound, self.input_bound).unsqueeze(-1)

    def forward(self, params):
        return Normal(params[..., 0], self._scale(params), validate_args=False)

    def sample(self, params, generator):
        loc = params[..., 0]
        return loc + self._scale(params) * _draw(torch.randn, loc.shape, loc, generator)

    def start(self, scale):
        above = (self.scale_of_normal * scale - self.scale_floor).clamp_min(_LEAST_ABOVE)
        self.raw_scale.copy_(inverse_softplus(above))
        return scale.new_zeros(len(scale), self.n_params)

    def _scale(self, params):
        return self.scale_floor + softplus(self.raw_scale)


class Heteroscedastic(Gaussian):
    """Normal noise whose scale the decoder predicts for each cell.

    The scale lies between `scale_floor` and 1 in the column's unit: never above the
    column's own standard deviation, so that the model cannot call a region unknown and
    thereby everything in it normal.

    Shape: (..., c, 2) -> batch (..., c).

    References
    ----------
    Stirn et al., "Faithful Heteroscedastic Regression with Neural Networks", 2023,
    arXiv:2212.09184, for the failure that the bound prevents.
    """

    n_params = 2
    robust = Gaussian

    def __init__(self, columns):
        Likelihood.__init__(self, columns)  # without the scale that all rows share

    def start(self, scale):
        share = (self.scale_of_normal * scale - self.scale_floor) / (1 - self.scale_floor)
        logits = share.clamp(_LEAST_ABOVE, 1 - _LEAST_ABOVE).logit()
        return torch.stack([torch.zeros_like(scale), logits], dim=-1)

    def _scale(self, params):
        return self.scale_floor + (1 - self.scale_floor) * params[..., 1].sigmoid()


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
        u, v = _draw(torch.rand, (2, *loc.shape), loc, generator)
        radius = (self.df * ((1 - u).pow(-2 / self.df) - 1)).sqrt()
        return loc + self._scale(params) * radius * (2 * math.pi * v).cos()


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


class LightStudentT(StudentT):
    """Student's t noise with 20 degrees of freedom: nearly normal, with bounded influence.

    Stands in for `HeteroscedasticStudentT` in the robust member of a model, where tails as
    heavy as there would excuse the outliers, and normal ones let single cells outweigh rows.

    Shape: (..., c, 1) -> batch (..., c).
    """

    df = 20.0
    scale_of_normal = 0.955


class HeteroscedasticStudentT(Heteroscedastic, StudentT):
    """Student's t noise whose scale the decoder predicts for each cell.

    The scale is that of `Heteroscedastic`, the tails are those of `StudentT`: one wild cell
    does not outweigh all others of its row, and outliers pull less on the fit.

    Shape: (..., c, 2) -> batch (..., c).

    References
    ----------
    Takahashi et al., "Student-t Variational Autoencoder for Robust Density Estimation",
    2018, doi:10.24963/ijcai.2018/374.
    """

    robust = LightStudentT


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

    def predict(self, average):
        p_spike = average(lambda p: p.logits.sigmoid())
        return torch.where(p_spike > 0.5, 0.0, average(lambda p: p.rest.mean))

    def quantile(self, average, level):
        below = average(lambda p: logsigmoid(-p.logits).exp() * p.rest.cdf(p.logits * 0))
        spike = average(lambda p: p.logits.sigmoid())
        is_spike = (below < level) & (level <= below + spike)
        return torch.where(is_spike, 0.0, super().quantile(average, level))

    def sample(self, params, generator):
        return _with_atom(super().sample(params, generator), params[..., 1], generator)


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


class Bernoulli(Likelihood):
    """Probability of a flag that is 0 or 1; the scores are masses, without units.

    With probability `noise` the flag is a toss of a coin: as the floor of a Gaussian's scale
    bounds how sharp a number may be, this bounds what one rare flag may say, to 1.4 nats
    more than a usual one. Otherwise rare flags would outweigh all numbers.

    Shape: (..., c, 1) -> batch (..., c).
    """

    domain = "binary"
    noise = 0.4

    def featurize(self, x):
        return (x - 0.5).unsqueeze(-1)

    def forward(self, params):
        return BernoulliDistribution(self._mass(params), validate_args=False)

    def sample(self, params, generator):
        p = self._mass(params)
        return (_draw(torch.rand, p.shape, p, generator) < p).to(p.dtype)

    def _mass(self, params):
        return self.noise / 2 + (1 - self.noise) * params[..., 0].sigmoid()


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


class PoissonWithCdf(PoissonDistribution):
    """Poisson distribution with a distribution function."""

    def cdf(self, x):
        """Probability of at most x."""
        up_to = torch.special.gammaincc(x.floor().clamp_min(0) + 1, self.rate)
        return torch.where(x >= 0, up_to, 0.0)


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


class NegativeBinomialWithCdf(NegativeBinomialDistribution):
    """Negative binomial distribution with a distribution function."""

    def cdf(self, x):
        """Probability of at most x; on the CPU."""
        failures = x.floor().clamp_min(0) + 1
        parts = (self.total_count, failures, (-self.logits).sigmoid())
        up_to = torch.as_tensor(special.betainc(*(part.numpy(force=True) for part in parts)))
        return torch.where(x >= 0, up_to, 0.0)


class ZeroInflated(NegativeBinomial):
    """Negative binomial counts, some of which are 0 for another reason.

    Shape: (..., c, 2) -> batch (..., c).

    References
    ----------
    Lambert, "Zero-Inflated Poisson Regression", 1992, doi:10.2307/1269547.
    """

    n_params = 2

    def sample(self, params, generator):
        return _with_atom(super().sample(params, generator), params[..., 1], generator)

    def _counts(self, params):
        return WithZeros(params[..., 1], super()._counts(params))


class WithZeros(WithAtom):
    """`WithAtom` for counts, whose 0 may come from either part."""

    def log_prob(self, x):
        """Log mass in nats."""
        rest = logsigmoid(-self.logits) + self.rest.log_prob(x)
        return torch.where(x == 0, torch.logaddexp(logsigmoid(self.logits), rest), rest)


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


class Categorical(Likelihood):
    """Probability of each level of a category, known or not.

    The decoder gives the first `n_codes` levels, the most frequent ones, a probability
    each; the last of these probabilities is for all levels from there on, which share it
    equally. With probability `noise` the level is any of these alike, as in `Bernoulli`.
    Then all are smoothed as if each level, and one that stands for all unseen ones, had been
    seen once more: with n cells and k levels in training an unseen level has
    mass 1 / (n + k + 1), and no level has less. The encoder sees an unseen level as a hole.

    Shape: (..., c, n_codes) -> batch (..., c).

    References
    ----------
    Guo and Berkhahn, "Entity Embeddings of Categorical Variables", 2016, arXiv:1604.06737.
    """

    domain = "category"
    noise = 0.4
    largest_embedding = 32

    def __init__(self, columns):
        super().__init__(columns)
        self.n_codes = self.n_params = columns[0].n_codes
        self.n_inputs = min(self.n_codes, self.largest_embedding)
        # The most frequent levels start one-hot, the others at 0.
        embedding = torch.eye(self.n_codes, self.n_inputs).repeat(len(columns), 1, 1)
        self.embedding = nn.Parameter(embedding)
        self._note_levels(columns)

    def featurize(self, x):
        code = x.clamp(max=self.n_codes - 1).long()
        known = (x < self.n_levels).unsqueeze(-1)
        return self.embedding[torch.arange(x.shape[-1], device=x.device), code] * known

    def forward(self, params):
        log_mass = self._noisy(self._log_masses(params))
        is_shared = torch.arange(self.n_codes, device=params.device) == self.n_codes - 1
        log_mass = log_mass - is_shared * self._n_sharing().log().unsqueeze(-1)
        return Levels(log_mass, self.n_levels, self.n_observed)

    def predict(self, average):
        mass = average(lambda p: p.log_mass.exp())
        return mass.argmax(-1).to(mass.dtype)

    def sample(self, params, generator):
        log_mass = self._noisy(self._log_masses(params))
        uniform = _draw(torch.rand, log_mass.shape, log_mass, generator)
        code = (log_mass - (-uniform.log()).log()).argmax(-1)  # Gumbel's trick
        n_sharing = self._n_sharing()
        place = (_draw(torch.rand, code.shape, params, generator) * n_sharing).floor()
        return code + place.minimum(n_sharing - 1) * (code == self.n_codes - 1)

    def _log_masses(self, params):
        """Log probability of each code, in nats; (..., c, n_params) -> (..., c, n_codes)."""
        return params.log_softmax(-1)

    def _noisy(self, log_mass):
        uniform = torch.full_like(log_mass, math.log(self.noise / self.n_codes))
        return torch.logaddexp(log_mass + math.log(1 - self.noise), uniform)

    def _n_sharing(self):
        return (self.n_levels - self.n_codes + 1).clamp_min(1)

    def _note_levels(self, columns):
        self.register_buffer("n_levels", torch.tensor([float(len(c.levels)) for c in columns]))
        self.register_buffer("n_observed", torch.tensor([float(c.n_observed) for c in columns]))


class Ordinal(Categorical):
    """Probability of ordered levels, by learned cuts on a line: proportional odds.

    Smoothed as `Categorical` is; no levels share a probability.

    Shape: (..., c, 1) -> batch (..., c).

    References
    ----------
    McCullagh, "Regression Models for Ordinal Data", 1980,
    doi:10.1111/j.2517-6161.1980.tb01109.x.
    """

    domain = "ordered"
    width = 6.0  # of the line that the cuts divide at first
    smallest_gap = 1e-4

    def __init__(self, columns):
        Likelihood.__init__(self, columns)  # without an embedding
        self.n_codes = columns[0].n_codes
        n_cuts = self.n_codes - 1
        gap = self.width / max(1, n_cuts - 1)
        self.raw_first = nn.Parameter(torch.full((len(columns), min(1, n_cuts)), -self.width / 2))
        self.raw_gaps = nn.Parameter(
            torch.full((len(columns), max(0, n_cuts - 1)), gap + math.log(-math.expm1(-gap)))
        )
        self._note_levels(columns)

    def featurize(self, x):
        middle = (self.n_levels - 1) / 2
        place = (x - middle) / (middle + 0.5)
        return torch.where(x < self.n_levels, place, 0.0).unsqueeze(-1)

    def _log_masses(self, params):
        gaps = self.smallest_gap + softplus(self.raw_gaps)
        below = torch.cat([self.raw_first, gaps], -1).cumsum(-1) - params  # (..., c, n_cuts)
        end = torch.zeros_like(params)
        # log(s(b) - s(a)) = log s(b) + log s(-a) + log(1 - exp(a - b)) for the sigmoid s.
        between = torch.log(-torch.expm1(-gaps)).expand_as(below[..., 1:])
        left = torch.cat([end, logsigmoid(-below)], -1)
        right = torch.cat([logsigmoid(below), end], -1)
        return left + right + torch.cat([end, between, end], -1)[..., : self.n_codes]


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


class LinearModel(NamedTuple):
    """Factor analysis: ``x = mean + loadings @ z + scale * noise``, all of them normal.

    The loadings are turned so that ``loadings.T @ diag(scale**-2) @ loadings`` is diagonal,
    and with it the covariance of z given x.

    Attributes
    ----------
    mean, scale : Tensor of shape (n_located,)
        In the columns' units.
    loadings : Tensor of shape (n_located, k)
    """

    mean: torch.Tensor
    scale: torch.Tensor
    loadings: torch.Tensor

    def posterior(self):
        """Slope (k, n_located), intercept and scale (k,) of z given x."""
        precise = self.loadings / self.scale.square().unsqueeze(-1)
        variance = 1 / (1 + (self.loadings * precise).sum(0))
        slope = variance.unsqueeze(-1) * precise.T
        return slope, -slope @ self.mean, variance.sqrt()


class _Place(NamedTuple):
    """A block, and its columns among features, decoder outputs and located columns."""

    block: Likelihood
    features: slice
    params: slice
    own: slice


class JointLikelihood(nn.Module):
    """Product of the likelihoods of all columns, which come grouped by family.

    Parameters
    ----------
    families : sequence of (class, sequence of Column)
        A likelihood class and its columns, in the order of the columns.
    scale_floor : float, default=None
        Smallest scale of the noise in the columns' units, in the place of the classes' own.

    Attributes
    ----------
    n_features : int
        Width of the encoder's input.
    n_params : int
        Width of the decoder's output.
    """

    def __init__(self, families, scale_floor=None):
        super().__init__()
        self.sizes = [len(columns) for _, columns in families]
        self.blocks = nn.ModuleList(family(columns) for family, columns in families)
        for block in self.blocks:
            if block.has_location and scale_floor is not None:
                block.scale_floor = scale_floor
        self._param_sizes = [b.n_params * c for b, c in zip(self.blocks, self.sizes, strict=True)]
        self.n_params = sum(self._param_sizes)
        self.n_features = sum(b.n_inputs * c for b, c in zip(self.blocks, self.sizes, strict=True))

    def featurize(self, x, visible):
        """Join the encoder's features; a cell that is not visible gives zeros.

        Parameters
        ----------
        x, visible : Tensor of shape (..., n_columns)
            Cells, and 1 where the encoder may see them.

        Returns
        -------
        features : Tensor of shape (..., n_features)
        """
        cells = x.split(self.sizes, dim=-1)
        shown = visible.split(self.sizes, dim=-1)
        features = [
            (block.featurize(cell) * show.unsqueeze(-1)).flatten(-2)
            for block, cell, show in zip(self.blocks, cells, shown, strict=True)
        ]
        return torch.cat(features, dim=-1)

    def log_prob(self, params, x, observed):
        """Log density of each cell in nats, exactly 0 where not observed.

        Parameters
        ----------
        params : Tensor of shape (..., n_params)
            The decoder's output.
        x, observed : Tensor of shape (..., n_columns)
            Cells, filled with 0 where `observed` is 0.

        Returns
        -------
        log_prob : Tensor of shape (..., n_columns)
        """
        cells = x.split(self.sizes, dim=-1)
        terms = [
            p.log_prob(cell) for p, cell in zip(self.distributions(params), cells, strict=True)
        ]
        # Masked after the density of a filled cell: NaN times 0 would still be NaN, and
        # so would be its gradient.
        return torch.cat(terms, dim=-1) * observed

    def predict(self, params):
        """Best guess of each cell; (n_draws, ..., n_params) -> (..., n_columns)."""
        parts = zip(self.blocks, self.distributions(params), strict=True)
        guesses = [block.predict(partial(_mean_over_draws, p)) for block, p in parts]
        return torch.cat(guesses, dim=-1)

    def sample(self, params, generator):
        """Draw each cell once; (..., n_params) -> (..., n_columns)."""
        draws = [
            block.sample(part, generator)
            for block, part in zip(self.blocks, self._split(params), strict=True)
        ]
        return torch.cat(draws, dim=-1)

    def distributions(self, params):
        """Distribution of the cells of each block; list of batch shapes (..., c)."""
        return [b(part) for b, part in zip(self.blocks, self._split(params), strict=True)]

    def params_by_column(self):
        """Which of the decoder's outputs each column takes; list of slices."""
        widths = [
            b.n_params for b, c in zip(self.blocks, self.sizes, strict=True) for _ in range(c)
        ]
        ends = accumulate(widths)
        return [slice(end - width, end) for end, width in zip(ends, widths, strict=True)]

    def locations(self):
        """Features that are the locations of columns; int64 Tensor of shape (n_located,)."""
        every = torch.arange(self.n_features)
        return torch.cat([every[:0], *(every[place.features] for place in self._places())])

    def start(self, weight, bias, model, latent_dim):
        """Let the columns that have a location begin at a linear model of them.

        Parameters
        ----------
        weight : Tensor of shape (n_params, n_inputs)
            Of the decoder's last layer, whose last inputs are the latent code.
        bias : Tensor of shape (n_params,)
        model : LinearModel
        latent_dim : int
        """
        first = weight.shape[1] - latent_dim
        codes = slice(first, first + model.loadings.shape[1])
        for block, _, params, own in self._places():
            bias[params] = block.start(model.scale[own]).flatten()
            weight[params] = 0.0
            weight[params][:: block.n_params, codes] = model.loadings[own]
            bias[params][:: block.n_params] = model.mean[own]

    def _places(self):
        """Where each block of columns that have a location has it; an iterator of Place."""
        feature = param = located = 0
        for block, c in zip(self.blocks, self.sizes, strict=True):
            next_feature, next_param = feature + c * block.n_inputs, param + c * block.n_params
            if block.has_location:
                features = slice(feature, next_feature, block.n_inputs)
                own = slice(located, located + c)
                yield _Place(block, features, slice(param, next_param), own)
                located += c
            feature, param = next_feature, next_param

    def _split(self, params):
        """Cut the decoder's output into blocks of (..., c, n_params)."""
        parts = params.split(self._param_sizes, dim=-1)
        return [p.unflatten(-1, (c, -1)) for p, c in zip(parts, self.sizes, strict=True)]


def _draw(draw, shape, like, generator):
    return draw(shape, generator=generator, dtype=like.dtype, device=like.device)


def _with_atom(draws, logits, generator):
    return draws * (_draw(torch.rand, draws.shape, draws, generator) >= logits.sigmoid())


def _mean_over_draws(p, function):
    return function(p).mean(0)


def _where_reached(cdf, level, start):
    """Smallest x with ``cdf(x) >= level``: widen a bracket around `start`, and halve it."""
    low, high = start - 1, start + 1
    for exponent in range(_MOST_DOUBLINGS):
        too_high, too_low = cdf(low) >= level, cdf(high) < level
        if not (too_high | too_low).any():
            break
        low = torch.where(too_high, low - 2.0**exponent, low)
        high = torch.where(too_low, high + 2.0**exponent, high)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        is_reached = cdf(middle) >= level
        low, high = torch.where(is_reached, low, middle), torch.where(is_reached, middle, high)
    return high
