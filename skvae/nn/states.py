"""Posteriors over a few states, whose shares make the bound the log of a sum."""

import torch
from torch.distributions import Distribution
from torch.special import ndtr

__all__ = ["States"]


class States(Distribution):
    """Distribution over a few states, other ones for each row.

    Where the shares are in proportion to p(x, z), log p(x, z) - log q(z) is the same for every
    state, the log of the sum of p(x, z) over them: a bound on log p(x) without any noise.

    Parameters
    ----------
    z : Tensor of shape (n_states, n, latent_dim)
    log_share : Tensor of shape (n_states, n)
        Log masses in nats, which add up to 1; minus infinity for a state that occurs twice.
    """

    def __init__(self, z, log_share):
        self.z, self.log_share = z, log_share
        super().__init__(z.shape[1:2], z.shape[2:], validate_args=False)

    @classmethod
    def in_proportion(cls, z, log_joint):
        """Make the one whose shares go by log p(x, z) in nats; of shapes as above."""
        by_row = log_joint.T.contiguous()  # equal rows, equal bits
        return cls(z, (by_row - by_row.logsumexp(-1, keepdim=True)).T)

    @property
    def mean(self):
        """Expected value."""
        # Added up state by state: the order within a sum may depend on the position.
        return sum(self.log_share.exp().unsqueeze(-1) * self.z)

    @property
    def variance(self):
        """Of each coordinate."""
        return sum(self.log_share.exp().unsqueeze(-1) * (self.z - self.mean).square())

    def transport(self, eps):
        """Choose states by the first column of standard normal noise, (..., n or 1, k)."""
        up_to = self.log_share.exp().cumsum(0)  # (n_states, n)
        u = ndtr(eps[..., 0]) * up_to[-1]
        chosen = (u.unsqueeze(-2) > up_to).sum(-2)  # (..., n)
        return self.z[chosen, torch.arange(len(self.z[0]), device=chosen.device)]

    def log_prob(self, z):
        """Log mass of z, in nats; (..., n, latent_dim) -> (..., n)."""
        is_equal = (z.unsqueeze(-3) == self.z).all(-1)
        return torch.where(is_equal, self.log_share, -torch.inf).amax(-2)
