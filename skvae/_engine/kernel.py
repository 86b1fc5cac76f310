"""The gradient of a training step, forward and backward written out.

What autograd does in some 300 small operations takes a third of them here, and the time of a
step goes with their number. For diagonal posteriors under a standard normal or a full mixture;
autograd does the rest, and what is done here is tested against it.
"""

import math

import torch
from torch import nn
from torch.nn.functional import linear, silu, softplus

from ..nn import (
    DiagonalGaussian,
    FullMixture,
    HeteroscedasticStudentT,
    LightStudentT,
    StandardNormal,
    StudentT,
)

__all__ = ["kernel_for"]


_HALF_LOG_TAU = 0.5 * math.log(2 * math.pi)


def kernel_for(model):
    """Gradient of a model's objective, or None where only autograd has it.

    Parameters
    ----------
    model : VAE

    Returns
    -------
    kernel : Kernel or None
    """
    activations = [*list(model.encoder)[1::2], *list(model.decoder[0])[1::2]]
    are_silu = all(type(activation) is nn.SiLU for activation in activations)
    known = type(model.posterior) is DiagonalGaussian and type(model.prior) in PRIORS and are_silu
    return Kernel(model) if known else None


class Kernel:
    """Gradient of the mean of ``beta * KL - log p(x | z)`` over the rows that count.

    Parameters
    ----------
    model : VAE
        Whose parameters have gradients to be written over.
    """

    def __init__(self, model):
        self.model = model
        self.prior = PRIORS[type(model.prior)]
        kinds = [type(block) for block in model.likelihood.blocks]
        self.noise = NOISES.get(kinds[0], _Noise) if len(kinds) == 1 else _Noise

    @torch.no_grad()
    def __call__(self, x, observed, visible, eps, *, beta, trimming):
        """Write the gradient, and return the ELBO of each row.

        Parameters
        ----------
        x, observed, visible : Tensor of shape (n, n_columns)
        eps : Tensor of shape (n, latent_dim)
        beta : float
        trimming : float in [0, 1)
            Share of the rows, those with the lowest ELBO, that does not count.

        Returns
        -------
        elbo : Tensor of shape (n,)
        """
        model, k = self.model, eps.shape[1]
        head, output = model.posterior.head, model.decoder[-1]
        with torch.enable_grad():  # embeddings of levels are learned
            features = model.likelihood.featurize(x, visible)
        # z = loc + s eps, s = least + softplus(raw)
        seen, encoder = _forward(model.encoder, features.detach())
        loc, raw = linear(seen, head.weight, head.bias).split(k, dim=1)
        s = model.posterior.smallest_scale + softplus(raw)
        z = torch.addcmul(loc, s, eps)
        prior = self.prior(model.prior, z)
        inner, decoder = _forward(model.decoder[0], z)
        params = linear(inner, output.weight, output.bias)
        noise = self.noise(model.likelihood, params, x, observed)
        log_q = -(s.log() + 0.5 * eps.square()).sum(1) - k * _HALF_LOG_TAU
        elbo = noise.log_prob + prior.log_prob - log_q
        # Of each row in the mean: its gradient is that of -share * ELBO, where beta is 1.
        share = _shares(elbo, trimming)
        d_params = noise.backward(-share)
        d_inner = _backward_linear(output, inner, d_params)
        d_z = prior.backward(-beta * share)
        d_z += _backward(model.decoder[0], decoder, d_inner)
        # log q(z) = -sum log s + const: the draw moves with loc and s.
        d_s = d_z * eps - (beta * share).unsqueeze(1) / s
        d_head = torch.cat([d_z, d_s * raw.sigmoid()], 1)
        d_seen = _backward_linear(head, seen, d_head)
        d_features = _backward(model.encoder, encoder, d_seen)
        if features.requires_grad:
            features.backward(d_features)
        return elbo


def _shares(elbo, trimming):
    """Weight of each row in the mean over those that count."""
    n = len(elbo)
    if trimming == 0:
        return torch.full_like(elbo, 1 / n)
    n_counted = math.ceil((1 - trimming) * n)
    counted = elbo.topk(n_counted).indices
    return torch.zeros_like(elbo).index_fill_(0, counted, 1 / n_counted)


def _forward(mlp, x):
    """Output of an `MLP`, and what its gradient needs: inputs of layers and of activations."""
    kept, hidden = [], x
    for layer in list(mlp)[::2]:
        bent = linear(hidden, layer.weight, layer.bias)
        kept.append((layer, hidden, bent))
        hidden = silu(bent)
    return torch.cat([hidden, x], 1) if kept else x, kept


def _backward(mlp, kept, slope):
    """Gradient of the inputs of an `MLP`; writes those of its layers."""
    if not kept:
        return slope
    n_inputs = kept[0][1].shape[1]
    hidden, passed_on = slope.split([slope.shape[1] - n_inputs, n_inputs], dim=1)
    for layer, inputs, bent in reversed(kept):
        bent_slope = torch.ops.aten.silu_backward(hidden, bent)
        hidden = _backward_linear(layer, inputs, bent_slope)
    return hidden + passed_on


def _backward_linear(layer, inputs, slope):
    """Gradient of the inputs of a linear layer; writes those of its weight and bias."""
    torch.mm(slope.T, inputs, out=layer.weight.grad)
    torch.sum(slope, 0, out=layer.bias.grad)
    return slope @ layer.weight


class _Normal:
    """Log density of codes under a standard normal, and its gradient."""

    def __init__(self, prior, z):
        self._z = z
        self.log_prob = -0.5 * z.square().sum(1) - z.shape[1] * _HALF_LOG_TAU

    def backward(self, share):
        """Gradient of z of the sum of ``share * log_prob``."""
        return -share.unsqueeze(1) * self._z


class _FullMixture:
    """Log density of codes under a mixture, and its gradient.

    With A the transposed root of a component's precision and c = A loc its density of z goes
    by w = A z - c; r are the components' shares in the density of each row.
    """

    def __init__(self, prior, z):
        self._prior, self._z = prior, z
        self._root = prior.root()  # (K, k, k)
        n_components, k = prior.loc.shape
        self._whiten = self._root.mT.flatten(0, 1)  # (K * k, k)
        centre = (self._root.mT @ prior.loc.unsqueeze(-1)).flatten()
        self._white = linear(z, self._whiten, -centre).unflatten(1, (n_components, k))
        constant = prior.log_diagonal.sum(1) + prior.logits.log_softmax(0) - k * _HALF_LOG_TAU
        terms = constant - 0.5 * self._white.square().sum(2)  # (n, K)
        self.log_prob = terms.logsumexp(1)
        # Exponentials that are nearly 0 take ten times as long as others.
        self._shares = (terms - self.log_prob.unsqueeze(1)).clamp_min(-60.0).exp()

    def backward(self, share):
        """Gradient of z of the sum of ``share * log_prob``; writes those of the prior."""
        prior, shares = self._prior, share.unsqueeze(1) * self._shares
        d_white = -(shares.unsqueeze(2) * self._white).flatten(1)  # (n, K * k)
        d_centre = -d_white.sum(0).view_as(prior.loc)
        d_root = (d_white.T @ self._z).view_as(self._root).mT
        d_root = d_root + prior.loc.unsqueeze(2) * d_centre.unsqueeze(1)
        of_component = shares.sum(0)
        prior.loc.grad.copy_((self._root @ d_centre.unsqueeze(2)).squeeze(2))
        prior.lower.grad.copy_(d_root.tril(-1))
        d_diagonal = d_root.diagonal(dim1=1, dim2=2) * prior.log_diagonal.exp()
        prior.log_diagonal.grad.copy_(d_diagonal + of_component.unsqueeze(1))
        prior.logits.grad.copy_(of_component - prior.logits.softmax(0) * share.sum())
        return d_white @ self._whiten


class _Noise:
    """Log density of rows given the decoder's outputs, and its gradient by autograd."""

    def __init__(self, likelihood, params, x, observed):
        self._params = params.requires_grad_()
        with torch.enable_grad():
            self._log_prob = likelihood.log_prob(params, x, observed).sum(1)
        self.log_prob = self._log_prob.detach()

    def backward(self, share):
        """Gradient of the outputs of the sum of ``share * log_prob``; adds those of the noise."""
        self._log_prob.backward(share)
        return self._params.grad


class _StudentT:
    """The same for Student's t, whose log density of t = (x - m) / s is one of u = 1 + t^2 / df."""

    def __init__(self, likelihood, params, x, observed):
        (self._block,) = likelihood.blocks
        df, self._observed = self._block.df, observed
        self._params = params.unflatten(1, (x.shape[1], -1))
        self._scale = self._block._scale(self._params)
        self._t = (x - self._params[..., 0]) / self._scale
        self._u = 1 + self._t.square() / df
        half = (df + 1) / 2
        peak = math.lgamma(half) - math.lgamma(df / 2) - 0.5 * math.log(df * math.pi)
        self.log_prob = ((peak - half * self._u.log() - self._scale.log()) * observed).sum(1)

    def backward(self, share):
        """Gradient of the outputs of the sum of ``share * log_prob``; writes that of the scale."""
        df, weight = self._block.df, share.unsqueeze(1) * self._observed
        d_loc = (df + 1) / df * self._t / (self._u * self._scale)
        d_scale = weight * (d_loc * self._t - 1 / self._scale)
        return self._with_scale(weight * d_loc, d_scale)

    def _with_scale(self, d_loc, d_scale):
        raw = self._block.scale.raw
        raw.grad.copy_(d_scale.sum(0) * raw.sigmoid())
        return d_loc


class _HeteroscedasticStudentT(_StudentT):
    """The same where the decoder gives each cell's scale, floor + (1 - floor) sigmoid(raw)."""

    def _with_scale(self, d_loc, d_scale):
        share = self._params[..., 1].sigmoid()
        slope = (1 - self._block.scale_floor) * share * (1 - share)
        return torch.stack([d_loc, d_scale * slope], dim=2).flatten(1)


PRIORS = {StandardNormal: _Normal, FullMixture: _FullMixture}
NOISES = {
    StudentT: _StudentT,
    LightStudentT: _StudentT,
    HeteroscedasticStudentT: _HeteroscedasticStudentT,
}
