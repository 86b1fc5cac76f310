"""Noise models p(x_j | z): one class a family of columns."""

from .base import Likelihood
from .context import Context
from .counts import NegativeBinomial, Poisson, ZeroInflated
from .joint import JointLikelihood, LinearModel
from .levels import (
    Bernoulli,
    Categorical,
    ClassLabel,
    ComponentLabel,
    OneHot,
    Ordinal,
    Smoothed,
    WeightedLabel,
)
from .low_rank import LowRank
from .multinomial import Multinomial
from .numbers import (
    Gaussian,
    Heteroscedastic,
    HeteroscedasticStudentT,
    LightStudentT,
    LogNormal,
    PredictedScale,
    SharedScale,
    SpikeSlab,
    StudentT,
)

__all__ = [
    "Bernoulli",
    "Categorical",
    "ClassLabel",
    "ComponentLabel",
    "Context",
    "Gaussian",
    "Heteroscedastic",
    "HeteroscedasticStudentT",
    "JointLikelihood",
    "LightStudentT",
    "Likelihood",
    "LinearModel",
    "LogNormal",
    "LowRank",
    "Multinomial",
    "NegativeBinomial",
    "OneHot",
    "Ordinal",
    "Poisson",
    "PredictedScale",
    "SharedScale",
    "Smoothed",
    "SpikeSlab",
    "StudentT",
    "WeightedLabel",
    "ZeroInflated",
]
