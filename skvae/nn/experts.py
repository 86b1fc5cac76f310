"""Experts: a mixture of autoencoders, one for each component of a prior."""

from copy import deepcopy

import torch
from torch import nn
from torch.distributions import Distribution
from torch.nn.functional import one_hot
from torch.special import ndtr

from .posteriors import Posterior
from .vae import VAE, Elbo

__all__ = ["ExpertNormals", "ExpertPosterior", "Experts"]


class ExpertNormals(Distribution):
    """Posterior of each row over experts, and over the code that each gives it.

    A code is that of an expert, and then the share of each: 1 of the one that it is of, which
    draws have, or less in a mean.

    Parameters
    ----------
    parts : list of Distribution
        Of each expert, of batch shape (n,).
    model : Experts
    x, visible : Tensor of shape (n, n_columns)
        What the shares of experts follow from.
    """

    def __init__(self, parts, model, x, visible):
        self.parts, self.model, self.x, self.visible = parts, model, x, visible
        super().__init__(x.shape[:1], (model.latent_dim,), validate_args=False)

    def transport(self, eps):
        """Turn standard normal noise, (..., n or 1, noise_dim) or wider, into draws."""
        p = self.model.prior_distribution()
        return self.model.elbo(self, p, self.x, self.visible, self.visible, eps).z

    @property
    def mean(self):
        """Mean code of the experts by their shares, which are those at their means."""
        return self._moments()[0]

    @property
    def variance(self):
        """Of each coordinate."""
        return self._moments()[1]

    def _moments(self):
        eps, p = self.x.new_zeros(self.model.noise_dim), self.model.prior_distribution()
        shares = self.model.shares(self, p, self.x, self.visible, eps)
        mean = _mean(shares, [q.mean for q in self.parts])
        apart = [(q.mean - mean).square() for q in self.parts]
        within = [q.variance for q in self.parts]
        variance = _mean(shares, within) + _mean(shares, apart)
        return torch.cat([mean, shares], -1), torch.cat([variance, shares * (1 - shares)], -1)


class ExpertPosterior(Posterior):
    """Posterior of `Experts`: heads on their encoders.

    Parameters
    ----------
    heads : iterable of Posterior
        Each follows from what its encoder gives.
    """

    space = "experts"

    def __init__(self, heads):
        super().__init__()
        self.heads = nn.ModuleList(heads)

    def infer(self, model, x, visible):
        features = model.likelihood.featurize(x, visible)
        nets = zip(self.heads, model.encoder, strict=True)
        return ExpertNormals([head(encoder(features)) for head, encoder in nets], model, x, visible)


class Experts(VAE):
    r"""Mixture of autoencoders: each component of a prior has an encoder and a decoder of its own.

    A draw of a code from each expert bounds :math:`\ln p(x)` by :math:`\ln \sum_k w_k` with
    :math:`w_k = p(k) p(z_k | k) p_k(x | z_k) / q_k(z_k | x)`: on average at least
    :math:`\ln \sum_k \pi_k e^{ELBO_k}`, and no more than :math:`\ln p(x)`. The shares of the
    :math:`w_k` in their sum are the probabilities of the experts. What is learned of the noise of a
    column is common to all.

    Parameters
    ----------
    model : VAE
        Whose prior is a mixture: the experts begin as copies of its nets, and the bound as its own.

    References
    ----------
    Abbasnejad, Dick and van den Hengel, "Infinite Variational Autoencoder for Semi-Supervised
    Learning", 2017, arXiv:1611.07800. Ghahramani and Hinton, "The EM Algorithm for Mixtures of
    Factor Analyzers", 1996, CRG-TR-96-1, for what linear experts are.
    """

    def __init__(self, model):
        nn.Module.__init__(self)
        n_experts = model.prior.n_normals
        self.n_codes, self.latent_dim = model.latent_dim, model.latent_dim + n_experts
        self.likelihood, self.prior = model.likelihood, model.prior
        self.encoder, heads, self.decoder = (
            nn.ModuleList(deepcopy(part) for _ in range(n_experts))
            for part in (model.encoder, model.posterior, model.decoder)
        )
        self.posterior = ExpertPosterior(heads)

    @property
    def noise_dim(self):
        """Columns of noise: those of the codes of an expert, and one that chooses among experts."""
        return self.n_codes + 1

    def decode(self, z, x, visible):
        codes, shares = z[..., : self.n_codes], z[..., self.n_codes :]
        shown = self.shown(codes, x, visible)
        return _mean(shares, [decoder(shown) for decoder in self.decoder])

    def by_expert(self, q, p, x, observed, visible, eps):
        """Terms of the bound on log p(x, k) of each expert k; parameters as of `elbo`."""
        found = []
        for k, (part, decoder) in enumerate(zip(q.parts, self.decoder, strict=True)):
            z = part.transport(eps[..., : self.n_codes])
            params = decoder(self.shown(z, x, visible))
            log_prob, excess = self.likelihood.terms(params, x, observed)
            log_joint = self.prior.log_joint(p, z, eps[..., :0])
            kl = part.log_prob(z) - log_joint[..., k]
            found.append(Elbo(log_prob, kl, z, excess))
        return found

    def elbo(self, q, p, x, observed, visible, eps):
        found = self.by_expert(q, p, x, observed, visible, eps)
        log_shares = _log_shares(found)
        shares = log_shares.exp()
        chosen = _chosen(shares, eps[..., self.n_codes]).to(shares.dtype)
        log_prob = _mean(shares, [each.log_prob for each in found])
        of_rows = [torch.stack([each.kl, each.excess + 0 * each.kl], dim=-1) for each in found]
        kl, excess = _mean(shares, of_rows).unbind(-1)
        z = torch.cat([_mean(chosen, [each.z for each in found]), chosen], dim=-1)
        return Elbo(log_prob, kl + (shares * log_shares).sum(-1), z, excess)

    def shares(self, q, p, x, observed, eps):
        return _log_shares(self.by_expert(q, p, x, observed, observed, eps)).exp()

    def sample_prior(self, n, generator, temperature=1.0):
        codes = super().sample_prior(n, generator, temperature)
        shares = self.prior_distribution().log_joint(codes).softmax(-1)
        chosen = torch.multinomial(shares, 1, generator=generator).squeeze(-1)
        return torch.cat([codes, one_hot(chosen, shares.shape[-1]).to(codes.dtype)], dim=-1)


def _mean(shares, values):
    """Mean by the shares of experts of what each gives, (..., n, m); added up one by one."""
    return sum(share * value for share, value in zip(shares.split(1, -1), values, strict=True))


def _log_shares(found):
    """Logarithms of the shares of experts in the sum of their weights; (..., n, n_experts)."""
    return torch.stack([each.log_weight() for each in found], dim=-1).log_softmax(-1)


def _chosen(shares, eps):
    """Choose experts by standard normal noise, (..., n or 1); one-hot, (..., n, n_experts)."""
    up_to = shares.cumsum(-1)
    u = ndtr(eps).unsqueeze(-1) * up_to[..., -1:]
    return one_hot((u > up_to).sum(-1), shares.shape[-1])
