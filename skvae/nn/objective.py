"""What training lowers."""

import math
from typing import NamedTuple

from .divergence import Divergence

__all__ = ["Objective"]


class Objective(NamedTuple):
    """Loss of a batch: the mean of ``beta * |KL - capacity| - log p(x | z)``, and a divergence.

    Attributes
    ----------
    beta : float
        Weight of the KL divergence.
    capacity : float or None
        KL in nats to aim at, instead of 0.
    divergence : Divergence or None
        Of the draws of z from the prior, or of rows from the model's.
    divergence_weight : float
    trimming : float in [0, 1)
        Share of the batch, the rows with the lowest ELBO, that does not count.

    References
    ----------
    Higgins et al., "beta-VAE", ICLR 2017. Burgess et al., "Understanding disentangling in
    beta-VAE", 2018, arXiv:1804.03599, for the capacity. Shen and Sanghavi, "Learning with
    Bad Training Data via Iterative Trimmed Loss Minimization", 2019, arXiv:1810.11874.
    """

    beta: float = 1.0
    capacity: float | None = None
    divergence: Divergence | None = None
    divergence_weight: float = 1.0
    trimming: float = 0.0

    @property
    def critic(self):
        """The divergence, if it has weights of its own; else None."""
        has_weights = self.divergence is not None and self.divergence.has_weights
        return self.divergence if has_weights else None

    def begun(self, model, seed, before=None):
        """Objective of one training, whose divergence is as `Divergence.begin` makes it."""
        if self.divergence is None:
            return self
        return self._replace(divergence=self.divergence.begin(model, seed, before))

    def ramped(self, share):
        """Objective of a step at which the capacity has risen to a share of itself."""
        return self if self.capacity is None else self._replace(capacity=self.capacity * share)

    def is_weighted_elbo(self):
        """Whether it is ``beta * KL - log p(x | z)`` of the rows that count, and no more."""
        return self.capacity is None and self.divergence is None

    def is_elbo(self):
        """Whether it is the ELBO itself, of the rows that count."""
        return self.is_weighted_elbo() and self.beta == 1

    def loss(self, terms, distance=0.0):
        """Compute the loss in nats per row.

        Parameters
        ----------
        terms : Elbo
            Of the rows of a batch.
        distance : Tensor or float, default=0
            Divergence between the draws of z and the prior.

        Returns
        -------
        loss : Tensor, scalar
        """
        kl, log_prob = terms.kl, terms.of_row()
        if self.trimming > 0:
            n_counted = math.ceil((1 - self.trimming) * len(kl))
            counted = (log_prob - kl).detach().topk(n_counted).indices
            kl, log_prob = kl[counted], log_prob[counted]
        kl = kl.mean()
        misfit = kl if self.capacity is None else (kl - self.capacity).abs()
        return self.beta * misfit - log_prob.mean() + self.divergence_weight * distance
