"""Critics: divergences that learn to tell what is of training rows from what the model makes up.

A critic gives a logit, positive where it takes what it is shown for a training row's. It has
weights of its own, which move at a rate of their own: they lower the error of its verdicts.
"""

import math
from collections.abc import Sequence
from copy import deepcopy
from numbers import Integral, Real

import torch
from torch import nn
from torch.nn.functional import softplus

from .divergence import Divergence
from .divergences import energy_distance
from .layers import ACTIVATIONS, linear

__all__ = ["CodeCritic", "Critic", "RowCritic"]


class Critic(nn.Module, Divergence):
    r"""Base class of critics; one that is made has no layers before a training begins.

    Each of its linear layers has a largest singular value of at most 1, so that its logit changes
    little where what it is shown does, and a critic that is sure does not drive the model far.

    Shape: (n, n_seen) -> (n,), in logits.

    Parameters
    ----------
    hidden_layer_sizes : sequence of int, default=(64, 64)
        Without any its logit is linear.

    Attributes
    ----------
    sure : float
        Cross-entropy of its two verdicts, in nats, below which it learns no more: 2 log 2 is that
        of a toss of a coin.

    Raises
    ------
    ValueError
        If it is no sequence of ints of at least 1.

    References
    ----------
    Goodfellow et al., "Generative Adversarial Nets", 2014, arXiv:1406.2661. Miyato et al.,
    "Spectral Normalization for Generative Adversarial Networks", 2018, arXiv:1802.05957. Gouk et
    al., "Regularisation of Neural Networks by Enforcing Lipschitz Continuity", 2018,
    arXiv:1804.04368, for weights that are brought back to the bound after each step.
    """

    has_weights = True
    sure = 0.6

    def __init__(self, hidden_layer_sizes=(64, 64)):
        super().__init__()
        self.hidden_layer_sizes = _widths(hidden_layer_sizes)

    def begin(self, model, seed, before=None):
        """Make a critic with layers: new ones, or those of one `before` of the same kind."""
        critic, generator = deepcopy(self), torch.Generator().manual_seed(seed)
        width, layers = critic.n_seen(model), []
        for n_outputs in self.hidden_layer_sizes:
            layers += [linear(width, n_outputs, generator), ACTIVATIONS["silu"]()]
            width = n_outputs
        critic.hidden = nn.Sequential(*layers)
        critic.logit = linear(width, 1, generator)
        like = next(model.parameters())
        critic.to(like.device, like.dtype).bound()
        if repr(before) == repr(critic):
            critic.load_state_dict(before.state_dict())
        return critic

    def features(self, seen):
        """Last hidden layer; (n, n_seen) -> (n, n_hidden)."""
        return self.hidden(seen)

    def forward(self, seen):
        return self.logit(self.features(seen)).squeeze(-1)

    def n_seen(self, model):
        """Width of what it is shown of a row of a model."""
        raise NotImplementedError(f"{type(self).__name__} lacks the method 'n_seen'.")

    def shown(self, model, x, observed):
        """Give what it is shown of training rows; (n, n_columns) -> (n, n_seen)."""
        raise NotImplementedError(f"{type(self).__name__} lacks the method 'shown'.")

    def pair(self, batch, model, generator):
        """Give what it is to tell apart, differentiable in what the model can change of it.

        Returns
        -------
        of_rows, of_model : Tensor of shape (n, n_seen)
        """
        raise NotImplementedError(f"{type(self).__name__} lacks the method 'pair'.")

    def judged(self, batch, model, generator):
        """Energy distance of the pair: a critic's own word changes with its weights."""
        return energy_distance(*self.pair(batch, model, generator))

    def own_loss(self, of_rows, of_model):
        """Cross-entropy of its verdicts in nats, and no less than `sure`; scalar Tensor."""
        error = softplus(-self(of_rows)).mean() + softplus(self(of_model)).mean()
        return error.clamp_min(self.sure)

    def learn(self, batch, model, generator):
        """Write the gradient of its `own_loss` into its weights."""
        with torch.no_grad():
            pair = self.pair(batch._replace(z=batch.z.detach()), model, generator)
        self.zero_grad(set_to_none=False)
        self.own_loss(*pair).backward()

    @torch.no_grad()
    def bound(self):
        """Shorten each matrix whose largest singular value is above 1."""
        for weight in self.parameters():
            if weight.ndim == 2 and weight.isfinite().all():
                gram = weight.T @ weight if len(weight) > weight.shape[1] else weight @ weight.T
                weight /= torch.linalg.eigvalsh(gram)[-1].sqrt().clamp_min(1.0)

    def extra_repr(self):
        return f"hidden_layer_sizes={self.hidden_layer_sizes}"


class CodeCritic(Critic):
    r"""Critic of latent codes, of training rows or drawn from the prior.

    Training lowers :math:`-\log D(z)` of the codes of a batch, where D is the probability that the
    critic gives to a draw from the prior.

    Parameters
    ----------
    hidden_layer_sizes : sequence of int, default=(64, 64)

    References
    ----------
    Tolstikhin et al., "Wasserstein Auto-Encoders", 2018, arXiv:1711.01558. Makhzani et al.,
    "Adversarial Autoencoders", 2016, arXiv:1511.05644.

    Examples
    --------
    >>> from skvae import VAETransformer
    >>> from skvae.nn import CodeCritic
    >>> critic = CodeCritic(hidden_layer_sizes=(32,))
    >>> VAETransformer(beta=0, divergence=critic, divergence_weight=10).divergence
    CodeCritic(hidden_layer_sizes=(32,))
    """

    def n_seen(self, model):
        return model.latent_dim

    def shown(self, model, x, observed):
        return model.infer(x, observed).mean

    def pair(self, batch, model, generator):
        with torch.no_grad():
            drawn = model.sample_prior(len(batch.z), generator)
        return batch.z, drawn

    def of_batch(self, batch, model, generator):
        return softplus(self(batch.z)).mean()


class RowCritic(Critic):
    r"""Critic of rows, of training or decoded from draws from the prior, with the context of both.

    It is shown what the encoder is: numbers, and embedded levels. Of decoded rows these are means,
    of levels by their probabilities, and holes are where the rows of the batch have them. Both get
    some noise, or it would tell levels by their being whole. Training lowers :math:`-\log D` of
    decoded rows, where D is the probability that the critic gives to a row of training, and beside
    it half the squared distance of a row and its reconstruction in the critic's last hidden layer.

    Parameters
    ----------
    hidden_layer_sizes : sequence of int, default=(64, 64)
    feature_weight : float, default=1.0
        Of that distance.
    noise : float, default=0.1
        Standard deviation.

    Raises
    ------
    ValueError
        If a number is negative or not finite, or a width no int of at least 1.

    References
    ----------
    Larsen et al., "Autoencoding beyond pixels using a learned similarity metric", 2016,
    arXiv:1512.09300. Bao et al., "CVAE-GAN: Fine-Grained Image Generation through Asymmetric
    Training", 2017, arXiv:1703.10155, for the context. Sonderby et al., "Amortised MAP Inference
    for Image Super-resolution", 2017, arXiv:1610.04490, for the noise.

    Examples
    --------
    >>> from skvae.nn import RowCritic
    >>> RowCritic(feature_weight=0.0)
    RowCritic(hidden_layer_sizes=(64, 64), feature_weight=0.0, noise=0.1)
    """

    of = "rows"

    def __init__(self, hidden_layer_sizes=(64, 64), feature_weight=1.0, noise=0.1):
        super().__init__(hidden_layer_sizes)
        _check_amounts(feature_weight=feature_weight, noise=noise)
        self.feature_weight, self.noise = feature_weight, noise

    def n_seen(self, model):
        return model.likelihood.n_features

    def shown(self, model, x, observed):
        return model.likelihood.featurize(x, observed).detach()

    def pair(self, batch, model, generator):
        x, observed = batch.x, batch.observed
        with torch.no_grad():
            z = model.sample_prior(len(batch.z), generator)
        params = model.decode(z, x, observed)
        rows = self.shown(model, x, observed), model.likelihood.features_of(params, x, observed)
        of_rows, of_model = (self._noisy(part, generator) for part in rows)
        return of_rows, of_model

    def of_batch(self, batch, model, generator):
        _, made = self.pair(batch, model, generator)
        params = model.decode(batch.z, batch.x, batch.visible)
        again = model.likelihood.features_of(params, batch.x, batch.observed)
        away = self.features(again) - self.features(self.shown(model, batch.x, batch.observed))
        match = away.square().sum(-1).mean() / 2
        return softplus(-self(made)).mean() + self.feature_weight * match

    def extra_repr(self):
        return f"{super().extra_repr()}, feature_weight={self.feature_weight}, noise={self.noise}"

    def _noisy(self, features, generator):
        shape, like = features.shape, {"dtype": features.dtype, "device": features.device}
        return features + self.noise * torch.randn(shape, generator=generator, **like)


def _widths(sizes):
    is_sequence = isinstance(sizes, Sequence)
    if not is_sequence or not all(isinstance(n, Integral) and n >= 1 for n in sizes):
        raise ValueError(
            f"hidden_layer_sizes must be a sequence of ints of at least 1. Got {sizes!r}"
        )
    return tuple(map(int, sizes))


def _check_amounts(**amounts):
    for name, value in amounts.items():
        if not isinstance(value, Real) or not 0 <= value < math.inf:
            raise ValueError(f"{name} must be a number of at least 0. Got {value!r}")
