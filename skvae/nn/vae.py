"""The variational autoencoder: the one place that computes the ELBO."""

from typing import NamedTuple

import torch
from torch import nn
from torch.nn.functional import pad

from .layers import MLP, linear

__all__ = ["VAE", "Elbo"]


class Elbo(NamedTuple):
    """Terms of the evidence lower bound, for one draw of z per row.

    Attributes
    ----------
    log_prob : Tensor of shape (..., n, n_columns)
        log p(x_j | z) in nats, or a cell's part of the joint density, 0 where the cell is not
        observed.
    kl : Tensor of shape (..., n)
        log q(z | x) - log p(z) in nats: the KL divergence as a sample, so that with the
        exact posterior the sum of all terms is log p(x) without any noise.
    z : Tensor of shape (..., n, latent_dim)
    excess : Tensor of shape (..., n) or 0
        What the sum of ``log_prob`` exceeds log p(x | z) by in nats, where cells depend on each
        other.
    """

    log_prob: torch.Tensor
    kl: torch.Tensor
    z: torch.Tensor
    excess: torch.Tensor | int = 0

    def of_row(self):
        """Log p(x | z) in nats; (..., n)."""
        return self.log_prob.sum(-1) - self.excess

    def log_weight(self):
        """Log p(x, z) - log q(z | x) in nats: its mean over draws is the ELBO."""
        return self.of_row() - self.kl


class VAE(nn.Module):
    """Variational autoencoder p(z) p(x | z) with the approximate posterior q(z | x).

    Parameters
    ----------
    likelihood : JointLikelihood
    latent_dim : int
    hidden_layer_sizes : sequence of int
        Of the encoder; the decoder has them in reverse.
    activation : {"silu", "relu", "tanh"}
    posterior, prior : callable
        Class of the part, or a callable of the same arguments.
    examples : (x, observed), each a Tensor of shape (m, n_columns)
        Some training rows, for priors that start from data.
    generator : torch.Generator
        Source of the initial weights.
    """

    def __init__(
        self,
        likelihood,
        *,
        latent_dim,
        hidden_layer_sizes,
        activation,
        posterior,
        prior,
        examples,
        generator,
    ):
        super().__init__()
        self.latent_dim = latent_dim
        self.likelihood = likelihood
        self.encoder = MLP(likelihood.n_features, hidden_layer_sizes, activation, generator)
        self.posterior = posterior(self.encoder.n_outputs, latent_dim, generator=generator)
        n_shown = likelihood.shown.stop - likelihood.shown.start
        hidden = MLP(latent_dim + n_shown, hidden_layer_sizes[::-1], activation, generator)
        self.decoder = nn.Sequential(
            hidden, linear(hidden.n_outputs, likelihood.n_decoded, generator)
        )
        self.prior = prior(latent_dim, likelihood.featurize(*examples), generator=generator)
        _check_components(likelihood.n_components, self.prior)

    @property
    def noise_dim(self):
        """Columns of the noise that `elbo` takes: those of the codes, then those of the prior."""
        return self.latent_dim + self.prior.noise_dim

    @torch.no_grad()
    def start(self, model):
        """Begin at a linear model of the columns that have a location.

        What the hidden layers add to it begins at 0. A posterior that does not say how it starts
        keeps its initial weights.

        Parameters
        ----------
        model : LinearModel
        """
        slope, of_context, intercept, scale = model.posterior()
        k, n_codes = self.latent_dim, len(scale)  # further codes stay standard normal
        n_hidden = self.encoder.n_outputs - self.likelihood.n_features
        slopes = slope.new_zeros(k, self.encoder.n_outputs)
        slopes[:n_codes, n_hidden + self.likelihood.locations()] = slope
        slopes[:n_codes, n_hidden:][:, self.likelihood.shown] = of_context
        further = (0, k - n_codes)
        self.posterior.start(slopes, pad(intercept, further), pad(scale, further, value=1.0))
        self.likelihood.start(self.decoder[-1].weight, self.decoder[-1].bias, model, k)

    @torch.no_grad()
    def follow(self, effects):
        """Begin at what the context adds to the locations of columns; (n_located, n_context)."""
        self.likelihood.follow(self.decoder[-1].weight, effects)

    def encode(self, features):
        """q(z | features); (n, n_features) -> batch (n,), event (latent_dim,)."""
        return self.posterior(self.encoder(features))

    def infer(self, x, visible):
        """q(z | x), seeing the visible cells; each (n, n_columns)."""
        return self.posterior.infer(self, x, visible)

    def search(self, x, observed, eps):
        """q(z | x) that rows are scored by; as `Posterior.search`."""
        q = self.infer(x, observed)
        return self.posterior.search(self, q, x, observed, eps)

    def prior_distribution(self):
        """p(z) under the present weights."""
        return self.prior(self.encode)

    def decode(self, z, x, visible):
        """Decode latent codes, given the visible cells of the context.

        Parameters
        ----------
        z : Tensor of shape (..., n or 1, latent_dim)
        x, visible : Tensor of shape (n, n_columns)

        Returns
        -------
        params : Tensor of shape (..., n, n_params)
        """
        outputs = self.decoder(self.shown(z, x, visible))
        if self.likelihood.n_components == 0:
            return outputs
        return self.likelihood.with_components(outputs, self.prior_distribution().log_joint(z))

    def shown(self, z, x, visible):
        """Latent codes as the decoder sees them, with the context; parameters as of `decode`."""
        if self.likelihood.shown.stop == self.likelihood.shown.start:
            return z
        context = self.likelihood.context(x, visible)
        shape = (*torch.broadcast_shapes(z.shape[:-1], context.shape[:-1]), -1)
        return torch.cat([z.expand(shape), context.expand(shape)], dim=-1)

    def log_joint(self, p, z, x, observed):
        """Log p(x, z) of codes, in nats; p is the prior, (..., n, latent_dim) -> (..., n)."""
        log_prob, excess = self.likelihood.terms(self.decode(z, x, observed), x, observed)
        return log_prob.sum(-1) - excess + p.log_prob(z)

    def elbo(self, q, p, x, observed, visible, eps):
        """Terms of the evidence lower bound for given noise.

        Parameters
        ----------
        q, p : Distribution
            Posterior of each row and prior.
        x, observed, visible : Tensor of shape (n, n_columns)
        eps : Tensor of shape (..., n or 1, noise_dim)
            Standard normal noise.

        Returns
        -------
        terms : Elbo
        """
        z = q.transport(eps[..., : self.latent_dim])
        log_prob, excess = self.likelihood.terms(self.decode(z, x, visible), x, observed)
        kl = q.log_prob(z) - self.prior.log_prob(p, z, eps[..., self.latent_dim :])
        return Elbo(log_prob, kl, z, excess)

    def shares(self, q, p, x, observed, eps):
        """Probability of each component of a mixture prior, p(k | z), in a draw of each row.

        Parameters
        ----------
        q, p, x, observed, eps
            As of `elbo`.

        Returns
        -------
        shares : Tensor of shape (..., n, n_components)
        """
        z = q.transport(eps[..., : self.latent_dim])
        return self.prior.log_joint(p, z, eps[..., self.latent_dim :]).softmax(-1)

    def forward(self, x, observed, visible, eps):
        """`elbo` with the posterior of the visible cells and the model's prior."""
        return self.elbo(
            self.infer(x, visible), self.prior_distribution(), x, observed, visible, eps
        )

    def sample_prior(self, n, generator, temperature=1.0):
        """Draw n latent points from p(z), at a temperature as in `Prior.sample`."""
        return self.prior.sample(n, self.encode, generator, temperature)


def _check_components(n_components, prior):
    """Raise where a column says of which component a row is, and the prior has not as many."""
    n_normals = 0 if prior.noise_dim else prior.n_normals  # others bend, and have but a bound
    if n_components not in (0, n_normals):
        raise ValueError(
            f"A column of {n_components} classes that are components needs a prior with as many "
            f"normals, 'mixture' or 'full_mixture'. Got {type(prior).__name__} with {n_normals}. "
            "Where classes were merged, raise max_categories, or lower min_frequency."
        )
