"""The parts of the model, for those who add their own.

Four dicts name the parts that the estimators offer; a class (a function or a `Divergence` for a
divergence) is accepted wherever a name is.
"""

from .bits import BernoulliPrior, BinaryPosterior, Bits
from .codes import Codes, CodesPrior, QuantisedPosterior
from .critics import CodeCritic, Critic, RowCritic
from .distributions import DiagonalNormal, FullNormal, MixtureDistribution, PrecisionNormal
from .divergence import Batch, BetweenSamples, Divergence, as_divergence
from .divergences import (
    Kernel,
    KernelStein,
    energy_distance,
    kernel_stein,
    mmd,
    normal_mmd,
    sinkhorn,
    sliced_wasserstein,
)
from .experts import ExpertNormals, ExpertPosterior, Experts
from .flows import Coupling, FlowNormal, FlowPosterior
from .free import FreeGaussian
from .gmvae import BentMixture, GMVAEPrior
from .hierarchical import HierarchicalNormal, HierarchicalPrior
from .layers import ACTIVATIONS, MLP, Linear, linear
from .likelihoods import (
    Bernoulli,
    Categorical,
    ClassLabel,
    ComponentLabel,
    Context,
    Gaussian,
    Heteroscedastic,
    HeteroscedasticStudentT,
    JointLikelihood,
    LightStudentT,
    Likelihood,
    LinearModel,
    LogNormal,
    LowRank,
    Multinomial,
    NegativeBinomial,
    OneHot,
    Ordinal,
    Poisson,
    PredictedScale,
    SharedScale,
    Smoothed,
    SpikeSlab,
    StudentT,
    WeightedLabel,
    ZeroInflated,
)
from .objective import Objective
from .posteriors import DiagonalGaussian, FullGaussian, Posterior
from .priors import FullMixture, Mixture, Prior, StandardNormal, VampPrior
from .refined import RefinedGaussian
from .sparse import SpikedNormal, SpikeSlabPrior
from .states import States
from .vae import VAE, Elbo

LIKELIHOODS = {
    "gaussian": Gaussian,
    "low_rank": LowRank,
    "heteroscedastic": Heteroscedastic,
    "heteroscedastic_student_t": HeteroscedasticStudentT,
    "student_t": StudentT,
    "log_normal": LogNormal,
    "spike_slab": SpikeSlab,
    "poisson": Poisson,
    "negative_binomial": NegativeBinomial,
    "zero_inflated": ZeroInflated,
    "multinomial": Multinomial,
    "bernoulli": Bernoulli,
    "categorical": Categorical,
    "ordinal": Ordinal,
}
POSTERIORS = {
    "diagonal": DiagonalGaussian,
    "full": FullGaussian,
    "flow": FlowPosterior,
    "refined": RefinedGaussian,
    "free": FreeGaussian,
    "binary": BinaryPosterior,
    "quantised": QuantisedPosterior,
}
PRIORS = {
    "standard_normal": StandardNormal,
    "mixture": Mixture,
    "full_mixture": FullMixture,
    "vamp": VampPrior,
    "spike_slab": SpikeSlabPrior,
    "vae": HierarchicalPrior,
    "gmvae": GMVAEPrior,
    "bernoulli": BernoulliPrior,
    "codes": CodesPrior,
}
DIVERGENCES = {
    "mmd": mmd,
    "sliced_wasserstein": sliced_wasserstein,
    "energy_distance": energy_distance,
    "sinkhorn": sinkhorn,
    "kernel": Kernel(),
    "kernel_stein": KernelStein(),
    "adversarial": CodeCritic(),
    "rows_adversarial": RowCritic(),
}

__all__ = [
    "ACTIVATIONS",
    "DIVERGENCES",
    "LIKELIHOODS",
    "MLP",
    "POSTERIORS",
    "PRIORS",
    "VAE",
    "Batch",
    "BentMixture",
    "Bernoulli",
    "BernoulliPrior",
    "BetweenSamples",
    "BinaryPosterior",
    "Bits",
    "Categorical",
    "ClassLabel",
    "CodeCritic",
    "Codes",
    "CodesPrior",
    "ComponentLabel",
    "Context",
    "Coupling",
    "Critic",
    "DiagonalGaussian",
    "DiagonalNormal",
    "Divergence",
    "Elbo",
    "ExpertNormals",
    "ExpertPosterior",
    "Experts",
    "FlowNormal",
    "FlowPosterior",
    "FreeGaussian",
    "FullGaussian",
    "FullMixture",
    "FullNormal",
    "GMVAEPrior",
    "Gaussian",
    "Heteroscedastic",
    "HeteroscedasticStudentT",
    "HierarchicalNormal",
    "HierarchicalPrior",
    "JointLikelihood",
    "Kernel",
    "KernelStein",
    "LightStudentT",
    "Likelihood",
    "Linear",
    "LinearModel",
    "LogNormal",
    "LowRank",
    "Mixture",
    "MixtureDistribution",
    "Multinomial",
    "NegativeBinomial",
    "Objective",
    "OneHot",
    "Ordinal",
    "Poisson",
    "Posterior",
    "PrecisionNormal",
    "PredictedScale",
    "Prior",
    "QuantisedPosterior",
    "RefinedGaussian",
    "RowCritic",
    "SharedScale",
    "Smoothed",
    "SpikeSlab",
    "SpikeSlabPrior",
    "SpikedNormal",
    "StandardNormal",
    "States",
    "StudentT",
    "VampPrior",
    "WeightedLabel",
    "ZeroInflated",
    "as_divergence",
    "energy_distance",
    "kernel_stein",
    "linear",
    "mmd",
    "normal_mmd",
    "sinkhorn",
    "sliced_wasserstein",
]
