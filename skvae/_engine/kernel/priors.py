"""Log density of codes under a prior, and its gradient."""

import math

import torch

from ...nn import FullMixture, StandardNormal

__all__ = ["HALF_LOG_TAU", "PRIORS"]


HALF_LOG_TAU = 0.5 * math.log(2 * math.pi)
_LEAST_EXPONENT = -60.0  # exponentials that are nearly 0 take ten times as long as others


class _Normal:
    """Standard normal."""

    def __init__(self, prior):
        self._constant = -len(prior.loc) * HALF_LOG_TAU

    def of(self, z):
        """Log density of each code, and what its gradient needs; (k, n) -> (n,)."""
        return self._constant - 0.5 * z.square().sum(0), z

    def backward(self, z, share, _):
        """Gradient of z of the sum of ``share * log p(z)``."""
        return -share * z


class _FullMixture:
    """Mixture of normals, under the weights that it has now.

    With A the transposed root of a component's precision and c = A loc its density of z goes
    by w = A z - c; r are the components' shares in the density of each row.
    """

    def __init__(self, prior):
        self._prior = prior
        n_components, k = prior.loc.shape
        self._shape = n_components, k, -1
        self._diagonal = prior.log_diagonal.exp()
        self._root = prior.lower.tril(-1)
        self._root.diagonal(dim1=1, dim2=2).copy_(self._diagonal)
        self._whiten = self._root.mT.reshape(n_components * k, k)
        centre = torch.bmm(self._root.mT, prior.loc.unsqueeze(2))
        self._minus_centre = centre.view(-1, 1).neg_()
        log_weights = prior.logits.log_softmax(0) + prior.log_diagonal.sum(1)
        self._constant = (log_weights - k * HALF_LOG_TAU).unsqueeze(1)

    def of(self, z):
        """Log density of each code, and what its gradient needs; (k, n) -> (n,)."""
        white = torch.addmm(self._minus_centre, self._whiten, z).view(self._shape)
        terms = torch.sub(self._constant, white.square().sum(1), alpha=0.5)  # (K, n)
        top = terms.amax(0)
        shares = terms.sub_(top).clamp_min_(_LEAST_EXPONENT).exp_()
        total = shares.sum(0)
        return top + total.log(), (z, white, shares.div_(total))

    def log_shares(self, kept):
        """Log share of each component in the density of each row; (K, n)."""
        _, _, shares = kept
        return shares.log()

    def backward(self, kept, share, of_shares):
        """Gradient of z of the sum of ``share * log p(z)``; writes those of the prior.

        To it comes what has the gradient `of_shares` of the log shares, which adds up to 0 in
        each row.
        """
        (z, white, shares), prior = kept, self._prior
        shares = shares * share + of_shares
        pulled = white * shares.unsqueeze(1)  # minus the slope of white, (K, k, n)
        d_centre, pulled = pulled.sum(2), pulled.flatten(0, 1)
        # The narrow factor goes first: that takes half the time.
        of_root = torch.mm(z, pulled.T).unflatten(1, self._shape[:2]).transpose(0, 1)
        d_root = prior.loc.unsqueeze(2) * d_centre.unsqueeze(1) - of_root
        of_component = shares.sum(1)
        prior.loc.grad.copy_(torch.bmm(self._root, d_centre.unsqueeze(2)).squeeze(2))
        prior.lower.grad.copy_(d_root.tril(-1))
        d_diagonal = d_root.diagonal(dim1=1, dim2=2) * self._diagonal
        torch.add(d_diagonal, of_component.unsqueeze(1), out=prior.log_diagonal.grad)
        torch.sub(of_component, prior.logits.softmax(0) * share.sum(), out=prior.logits.grad)
        return torch.mm(self._whiten.T, pulled).neg_()


PRIORS = {StandardNormal: _Normal, FullMixture: _FullMixture}
