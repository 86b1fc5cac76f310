"""Counts given their sum."""

import torch

from ..distributions import Counts, NegativeBinomialWithCdf
from .counts import Poisson

__all__ = ["Multinomial"]


_NOWHERE = -1e30  # log of a share that is none; of finite numbers gradients are finite


class Multinomial(Poisson):
    """Counts of a row given their sum: how it is shared out among the block's columns.

    For words, or cases by category, where shares matter and not how many there are. The decoder
    gives each column's share. Of a row with holes it is the law of the observed counts, given
    theirs.

    A cell's part of the joint mass is its Poisson log mass about the count to be expected, the sum
    times the share; the parts exceed the joint mass by the Poisson log mass of the sum about
    itself, which is the same for all rows of one sum.

    The sum itself has no density. Where cells are drawn or guessed it is distributed as those of
    the training rows: rows drawn take one of 64 quantiles of them, whatever the code is, and holes
    are negative binomial given the observed counts and the mean and variance of the sums.

    Shape: (..., c, 1) -> batch (..., c), each cell without the others.

    Attributes
    ----------
    totals : Tensor of shape (64,)
        Quantiles of the sums of training rows.

    References
    ----------
    Miao, Yu and Blunsom, "Neural Variational Inference for Text Processing", 2016,
    arXiv:1511.06038. Sibuya, Yoshimura and Shimizu, "Negative multinomial distribution", 1964,
    doi:10.1007/BF02868585, for counts of which some are known.
    """

    n_predictive = 2
    as_context = Poisson
    alone = "poisson"
    n_totals = 64
    largest_dispersion = 1e6
    smallest_total = 1e-3

    def __init__(self, columns):
        super().__init__(columns)
        self.register_buffer("totals", self.unit.sum().expand(self.n_totals).clone())

    def learn(self, x, observed):
        counts, rate = self._counted(x, observed), self._counted(x, observed).sum(0)
        rate = rate / observed.sum(0).clamp_min(1)  # of each column
        known = observed @ rate
        is_known = known > 0
        if observed.any() and not is_known.any():
            self.totals.zero_()
        if is_known.any():
            # Of holes as many as of the others, by the columns' means.
            totals = counts.sum(-1)[is_known] * (rate.sum() / known[is_known])
            middles = (torch.arange(self.n_totals, device=x.device) + 0.5) / self.n_totals
            self.totals.copy_(totals.quantile(middles.to(totals.dtype)).round())

    def forward(self, params):
        nothing = torch.zeros_like(params[..., 0])
        return self.predicted(self.predictive(params, nothing, nothing))

    def terms(self, params, x, observed):
        counts = self._counted(x, observed)
        total = counts.sum(-1, keepdim=True)
        log_share = torch.where(observed > 0, self._log_rates(params), _NOWHERE).log_softmax(-1)
        return _about(counts, log_share, total), _about(total, 0.0, total).squeeze(-1)

    def predictive(self, params, x, observed):
        share = self._log_rates(params).softmax(-1)
        mean, dispersion = self._total()
        counted = dispersion + self._counted(x, observed).sum(-1, keepdim=True)
        total = counted / (dispersion / mean + (share * observed).sum(-1, keepdim=True))
        return torch.stack([total * share, counted.expand_as(share)], dim=-1)

    def predicted(self, given):
        mean, dispersion = given.unbind(-1)
        logits = mean.log() - dispersion.log()
        counts = NegativeBinomialWithCdf(dispersion, logits=logits, validate_args=False)
        return Counts(counts, self.unit)

    def sample(self, params, generator):
        share = self._log_rates(params).softmax(-1)
        at_least = share.flip(-1).cumsum(-1).flip(-1)  # of this column and those after it
        place = torch.rand(share.shape[:-1], generator=generator, device=share.device)
        left = self.totals[(place * self.n_totals).long()]
        counts = []
        for part, rest in zip(share.unbind(-1), at_least.unbind(-1), strict=True):
            counts.append(torch.binomial(left, (part / rest).clamp(max=1.0), generator=generator))
            left = left - counts[-1]
        return torch.stack(counts, dim=-1) / self.unit

    def fill(self, params, x, observed, generator):
        mean, dispersion = self.predictive(params, x, observed).unbind(-1)
        # One factor a row: holes of a row depend on each other, too.
        rate = torch._standard_gamma(dispersion[..., :1].contiguous(), generator=generator)
        return self._drawn(mean * rate / dispersion, generator)

    def _counted(self, x, observed):
        return x * self.unit * observed

    def _log_rates(self, params):
        bound = self.largest_log_rate
        return params[..., 0].clamp(-bound, bound) + self.unit.log()

    def _total(self):
        """Mean of the sums of training rows, and their dispersion as of `NegativeBinomial`."""
        mean = self.totals.mean().clamp_min(self.smallest_total)
        more = (self.totals - mean).square().mean() - mean
        return mean, mean.square() / more.clamp_min(mean.square() / self.largest_dispersion)


def _about(counts, log_share, total):
    """Poisson log mass of counts about shares of a total, in nats; of a total of 0 it is 0."""
    log_mean = log_share + total.clamp_min(1.0).log()
    return counts * log_mean - total * torch.as_tensor(log_share).exp() - (counts + 1).lgamma()
