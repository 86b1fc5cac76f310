"""Noise models of flags and levels."""

import math
import sys
from dataclasses import dataclass

import torch
from torch import nn
from torch.distributions import Bernoulli as BernoulliDistribution
from torch.nn.functional import logsigmoid, softplus

from ..distributions import Levels, Weighted
from .base import Likelihood, draw_like

__all__ = [
    "Bernoulli",
    "Categorical",
    "ClassLabel",
    "ComponentLabel",
    "OneHot",
    "Ordinal",
    "Smoothed",
    "WeightedLabel",
]


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

    def features_of(self, params, x):
        return self.featurize(params[..., 0].sigmoid())

    def sample(self, params, generator):
        p = self._mass(params)
        return (draw_like(torch.rand, p.shape, p, generator) < p).to(p.dtype)

    def _mass(self, params):
        return self.noise / 2 + (1 - self.noise) * params[..., 0].sigmoid()


class Smoothed(Likelihood):
    """Probability of each level, known or not: what `Categorical` and `Ordinal` share.

    With probability `noise` the level is any of the codes alike, as in `Bernoulli`. Then all
    are smoothed as if each level, and one that stands for all unseen ones, had been seen once
    more: with n cells and k levels in training an unseen level has mass 1 / (n + k + 1), and
    no level has less. The encoder sees an unseen level as a hole. Levels from the last code on
    share its probability equally.
    """

    noise = 0.4

    def __init__(self, columns):
        super().__init__(columns)
        self.n_codes = columns[0].n_codes
        self.register_buffer("n_levels", torch.tensor([float(len(c.levels)) for c in columns]))
        self.register_buffer("n_observed", torch.tensor([float(c.n_observed) for c in columns]))

    def forward(self, params):
        log_mass = self._noisy(self._log_masses(params))
        is_shared = torch.arange(self.n_codes, device=params.device) == self.n_codes - 1
        log_mass = log_mass - is_shared * self._n_sharing().log().unsqueeze(-1)
        return Levels(log_mass, self.n_levels, self.n_observed)

    def features_of(self, params, x):
        codes = torch.arange(self.n_codes, device=params.device, dtype=params.dtype)
        each = self.featurize(codes.unsqueeze(-1).expand(-1, params.shape[-2])).detach()
        mass = self._log_masses(params).exp()  # (..., c, n_codes)
        return (mass.unsqueeze(-1) * each.transpose(0, 1)).sum(-2)

    def predict(self, average):
        mass = average(lambda p: p.log_mass.exp())
        return mass.argmax(-1).to(mass.dtype)

    def sample(self, params, generator):
        log_mass = self._noisy(self._log_masses(params))
        uniform = draw_like(torch.rand, log_mass.shape, log_mass, generator)
        code = (log_mass - (-uniform.log()).log()).argmax(-1)  # Gumbel's trick
        n_sharing = self._n_sharing()
        place = (draw_like(torch.rand, code.shape, params, generator) * n_sharing).floor()
        return code + place.minimum(n_sharing - 1) * (code == self.n_codes - 1)

    def _log_masses(self, params):
        """Log probability of each code, in nats; (..., c, n_params) -> (..., c, n_codes)."""
        raise NotImplementedError(f"{type(self).__name__} lacks the method '_log_masses'.")

    def _noisy(self, log_mass):
        uniform = torch.full_like(log_mass, math.log(self.noise / self.n_codes))
        return torch.logaddexp(log_mass + math.log(1 - self.noise), uniform)

    def _n_sharing(self):
        return (self.n_levels - self.n_codes + 1).clamp_min(1)


class Categorical(Smoothed):
    """Probability of each level of a category, known or not; smoothed as `Smoothed` says.

    The decoder gives the first `n_codes` levels, the most frequent ones, a probability
    each; the last of these probabilities is for all levels from there on, which share it
    equally.

    Shape: (..., c, n_codes) -> batch (..., c).

    References
    ----------
    Guo and Berkhahn, "Entity Embeddings of Categorical Variables", 2016, arXiv:1604.06737.
    """

    domain = "category"
    largest_embedding = 32

    def __init__(self, columns):
        super().__init__(columns)
        self.n_params = self.n_codes
        self.n_inputs = min(self.n_codes, self.largest_embedding)
        # The most frequent levels start one-hot, the others at 0.
        embedding = torch.eye(self.n_codes, self.n_inputs).repeat(len(columns), 1, 1)
        self.embedding = nn.Parameter(embedding)

    def featurize(self, x):
        code = x.clamp(max=self.n_codes - 1).long()
        known = (x < self.n_levels).unsqueeze(-1)
        return self.embedding[torch.arange(x.shape[-1], device=x.device), code] * known

    def noise_weights(self):
        return []

    def _log_masses(self, params):
        return params.log_softmax(-1)


class OneHot(Categorical):
    """`Categorical` whose embedding is as wide as its codes: each has an effect of its own.

    Shape: (..., c, n_codes) -> batch (..., c).
    """

    largest_embedding = sys.maxsize


Categorical.as_context = OneHot


class ClassLabel(Smoothed):
    """Probability of a class, with hardly any noise; the encoder does not see it.

    A latent code is then inferred from the other columns alone, also in training, and the class
    from the code: what rows without a label are asked. In training a label counts as often as
    makes up for those that are missing, or few of them would say nothing of where codes lie.

    Shape: (..., c, n_codes) -> batch (..., c).

    References
    ----------
    Kingma, Rezende, Mohamed and Welling, "Semi-supervised Learning with Deep Generative Models",
    2014, arXiv:1406.5298: their M1, both parts of which are trained together here.
    """

    domain = "category"
    noise = 1e-3
    n_inputs = 0
    is_label = True

    def __init__(self, columns):
        super().__init__(columns)
        self.n_params = self.n_codes
        weights = [1 + c.n_missing / max(1, c.n_observed) for c in columns]
        self.register_buffer("weight", torch.tensor(weights), persistent=False)

    def featurize(self, x):
        return x.new_zeros(*x.shape, 0)

    def forward(self, params):
        p = super().forward(params)
        return Weighted(p, self.weight) if self.training else p

    def _log_masses(self, params):
        return params.log_softmax(-1)


class ComponentLabel(ClassLabel):
    """Probability of a class that is a component of the prior: that of the component, given z.

    Then a code and its class have the density p(z) p(y | z) = p(y) p(z | y), and a code without
    a class has the sum of these, p(z). In other respects as `ClassLabel`, which is in its place in
    the robust member of a model.

    Shape: (..., c, n_codes) -> batch (..., c).

    References
    ----------
    Xu et al., "Probabilistic harmonization and annotation of single-cell transcriptomics data
    with deep generative models", 2021, doi:10.15252/msb.20209620.
    """

    robust = ClassLabel
    is_component = True


@dataclass(frozen=True)
class WeightedLabel:
    """Family of a class whose labels count so many times as much in training.

    It stands where a class of noise models does.

    Parameters
    ----------
    family : class
        `ClassLabel` or a subclass.
    weight : float
    """

    family: type[ClassLabel]
    weight: float

    @property
    def __name__(self):
        """Name of the family, as a class has one."""
        return self.family.__name__

    @property
    def domain(self):
        """How the table encodes the column."""
        return self.family.domain

    @property
    def is_label(self):
        """As of the family."""
        return self.family.is_label

    @property
    def alone(self):
        """As of the family."""
        return self.family.alone

    @property
    def robust(self):
        """What stands in for it in the robust member of a model, with the same weight."""
        return WeightedLabel(self.family.robust or self.family, self.weight)

    def __call__(self, columns):
        block = self.family(columns)
        block.weight *= self.weight
        return block


class Ordinal(Smoothed):
    """Probability of ordered levels, by learned cuts on a line: proportional odds.

    Smoothed as `Smoothed` says; no levels share a probability.

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
        super().__init__(columns)
        n_cuts = self.n_codes - 1
        gap = self.width / max(1, n_cuts - 1)
        self.raw_first = nn.Parameter(torch.full((len(columns), min(1, n_cuts)), -self.width / 2))
        self.raw_gaps = nn.Parameter(
            torch.full((len(columns), max(0, n_cuts - 1)), gap + math.log(-math.expm1(-gap)))
        )

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
