"""The ELBO of a batch and its gradient: encoder, draw, decoder, and all of it backward."""

import math
from functools import cached_property, partial

import torch
from torch import nn
from torch.nn.functional import silu, softplus

from ...nn import DiagonalGaussian, Likelihood, RefinedGaussian
from .layout import above_each_other
from .noises import Noise
from .priors import HALF_LOG_TAU, PRIORS

__all__ = ["Kernel", "kernel_for"]

_POSTERIORS = {DiagonalGaussian, RefinedGaussian}  # the second is trained as the first


def kernel_for(model):
    """Arithmetic of a model written out, or None where only torch's modules have it.

    Parameters
    ----------
    model : VAE

    Returns
    -------
    kernel : Kernel or None
    """
    are_independent = all(type(b).terms is Likelihood.terms for b in model.likelihood.blocks)
    activations = [*list(model.encoder)[1::2], *list(model.decoder[0])[1::2]]
    are_silu = all(type(activation) is nn.SiLU for activation in activations)
    known = type(model.posterior) in _POSTERIORS and type(model.prior) in PRIORS
    return Kernel(model) if known and are_silu and are_independent else None


class Kernel:
    """ELBO of rows, and the gradient of the mean of ``beta * KL - log p(x | z)``.

    Parameters
    ----------
    model : VAE
        To be trained, whose parameters have gradients to be written over; or at rest.

    Attributes
    ----------
    noise : Noise
    widest : int
        Largest width of a layer.
    """

    def __init__(self, model):
        self.model = model
        self.noise = Noise(model.likelihood)
        self._encoder, self._decoder = _Network(model.encoder), _Network(model.decoder[0])
        self._head = _Layer(model.posterior.head, self._encoder.sizes)
        self._output = _Layer(model.decoder[-1], self._decoder.sizes)
        self.widest = max(max(weight.shape, default=1) for weight in model.parameters())
        self._shown, self._components = model.likelihood.shown, model.likelihood.components
        self._least_scale = model.posterior.smallest_scale

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
        x, observed, visible, eps = (part.T.contiguous() for part in (x, observed, visible, eps))
        prior = self.prior()
        # z = loc + s eps, s = least + softplus(raw)
        features, of_features = self.noise.features(x, visible)
        seen, encoder = self._encoder.forward(features)
        loc, raw = self._head.forward(*seen).chunk(2)
        s = softplus(raw).add_(self._least_scale)
        z = torch.addcmul(loc, s, eps)
        inner, decoder = self._decoder.forward(above_each_other([z, *self._context(features)]))
        log_p, of_prior = prior.of(z)
        params = self._with_components(self._output.forward(*inner), prior, of_prior)
        log_prob, of_noise = self.noise.of(params, x)
        # log q(z) = -sum(log s + eps^2 / 2) - k log(2 pi) / 2
        minus_log_q = torch.addcmul(s.log(), eps, eps, value=0.5).sum(0).add_(len(z) * HALF_LOG_TAU)
        elbo = (log_prob * observed).sum(0) + log_p + minus_log_q
        # Of each row in the mean: its gradient is that of -share * ELBO, where beta is 1.
        share = _shares(elbo, trimming)
        d_params, d_components = self._parted(self.noise.backward(of_noise, -share * observed))
        self._output.backward(inner, d_params)
        of_decoder = self._decoder.backward(decoder, self._output.of_inputs(d_params))
        d_z, of_context = of_decoder().split([len(z), features[self._shown].shape[0]])
        d_z = d_z + prior.backward(of_prior, -beta * share, d_components)
        # The draw moves with loc and s, and log q(z) with s alone.
        d_s = (d_z * eps).addcdiv_(share, s, value=-beta)
        d_head = torch.cat([d_z, d_s * raw.sigmoid()])
        self._head.backward(seen, d_head)
        of_seen = self._encoder.backward(encoder, self._head.of_inputs(d_head))
        if self.noise.learns_features:
            d_features = of_seen()
            d_features[self._shown] += of_context
            self.noise.features_backward(of_features, d_features)
        return elbo

    def _context(self, features):
        """Return the features that the decoder is shown too: a list of one part, or of none."""
        shown = features[self._shown]
        return [shown] if len(shown) > 0 else []

    def _with_components(self, outputs, prior, of_prior):
        """Parameters of the noise: the decoder's outputs, and shares of the prior's components."""
        at = self._components
        if at.stop == at.start:
            return outputs
        return torch.cat([outputs[: at.start], prior.log_shares(of_prior), outputs[at.start :]])

    def _parted(self, slope):
        """Take what is of the decoder's outputs and of the prior's components apart."""
        at = self._components
        if at.stop == at.start:
            return slope, 0.0
        return torch.cat([slope[: at.start], slope[at.stop :]]), slope[at]

    def prior(self):
        """Return the prior under the weights that the model has now."""
        return PRIORS[type(self.model.prior)](self.model.prior)

    @torch.no_grad()
    def terms(self, prior, x, observed, visible, eps):
        """Terms of the ELBO of rows.

        Parameters
        ----------
        prior : object
            What `prior` returned.
        x, observed, visible : Tensor of shape (n_columns, n)
            Cells, and which are there, and which the encoder sees.
        eps : Tensor of shape (latent_dim, n_draws)
            Standard normal noise, the same for all rows.

        Returns
        -------
        log_prob : Tensor of shape (n_columns, n_draws, n)
            0 where a cell is not observed.
        minus_kl : Tensor of shape (n_draws, n)
        """
        features, _ = self.noise.features(x, visible)
        loc, raw = self._head.forward(*self._encoder.forward(features)[0]).chunk(2)
        s, eps = softplus(raw).add_(self._least_scale), eps.unsqueeze(2)
        z = torch.addcmul(loc.unsqueeze(1), s.unsqueeze(1), eps)  # (k, n_draws, n)
        codes = z.flatten(1)
        context = [part.repeat(1, eps.shape[1]) for part in self._context(features)]
        inner, _ = self._decoder.forward(above_each_other([codes, *context]))
        log_p, of_prior = prior.of(codes)
        params = self._with_components(self._output.forward(*inner), prior, of_prior)
        log_prob, _ = self.noise.of(params.unflatten(1, z.shape[1:]), x)
        of_noise = (0.5 * eps.square().sum(0)).add_(len(z) * HALF_LOG_TAU)
        minus_kl = log_p.view(z.shape[1:]).add_(s.log().sum(0)).add_(of_noise)
        return log_prob.mul_(observed.unsqueeze(1)), minus_kl


def _shares(elbo, trimming):
    """Weight of each row in the mean over those that count."""
    n = len(elbo)
    if trimming == 0:
        return torch.full_like(elbo, 1 / n)
    n_counted = math.ceil((1 - trimming) * n)
    counted = elbo.topk(n_counted).indices
    return torch.zeros_like(elbo).index_fill_(0, counted, 1 / n_counted)


class _Layer:
    """A linear layer, W x + b, of x in one part or several, of some sizes, which are not joined."""

    def __init__(self, layer, sizes):
        self._weight, self._bias, self._sizes = layer.weight, layer.bias, sizes
        self._column = layer.bias.detach().unsqueeze(1)
        self._first, *self._others = layer.weight.detach().split(sizes, 1)

    def forward(self, first, *others):
        outputs = torch.addmm(self._column, self._first, first)
        for weight, part in zip(self._others, others, strict=True):
            outputs.addmm_(weight, part)
        return outputs

    def backward(self, parts, slope):
        """Write the gradients of the weight and the bias."""
        for part, grad in zip(parts, self._grads, strict=True):
            torch.mm(slope, part.T, out=grad)
        torch.sum(slope, 1, out=self._bias.grad)

    @cached_property
    def _grads(self):
        """Parts of the gradient of the weight, which stays where it is in memory."""
        return self._weight.grad.split(self._sizes, 1)

    def of_inputs(self, slope):
        """Gradient of x, whose parts are joined."""
        return torch.mm(self._weight.T, slope)


class _Network:
    """An `MLP`: layers that bend, and the inputs below the last."""

    def __init__(self, mlp):
        layers = list(mlp)[::2]
        self._layers = [_Layer(layer, [layer.in_features]) for layer in layers]
        n_inputs = layers[0].in_features if layers else mlp.n_outputs
        self.sizes = [*(layer.out_features for layer in layers[-1:]), n_inputs]  # of the outputs

    def forward(self, x):
        """Return the parts of the outputs, and what the gradient needs."""
        kept, hidden = [], x
        for layer in self._layers:
            straight = layer.forward(hidden)
            kept.append((layer, hidden, straight))
            hidden = silu(straight)
        return [hidden, x] if kept else [x], kept

    def backward(self, kept, slope):
        """Write the gradients of the layers; return a function that gives those of the inputs."""
        if not kept:
            return lambda: slope
        n_inputs = len(kept[0][1])
        of_hidden, passed_on = partial(slope.narrow, 0, 0, len(slope) - n_inputs), slope[-n_inputs:]
        for layer, inputs, straight in reversed(kept):
            bent = torch.ops.aten.silu_backward(of_hidden(), straight)
            layer.backward([inputs], bent)
            of_hidden = partial(layer.of_inputs, bent)
        return lambda: of_hidden().add_(passed_on)
