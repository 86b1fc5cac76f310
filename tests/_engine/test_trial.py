"""Parts of a user's own that do not fit are named before training begins."""

import numpy as np
import pytest
import torch
from common import SMALL
from torch.distributions import Independent, Normal

from skvae import VAETransformer
from skvae.nn import DiagonalGaussian, Gaussian, Likelihood, Posterior, Prior, StandardNormal

X = np.random.default_rng(0).normal(size=(30, 2))
N = 5  # rows of a trial


class Narrow(DiagonalGaussian):
    def forward(self, hidden):
        q = super().forward(hidden)
        return type(q)(q.loc[:, :1], q.scale[:, :1])


class Untransported(Posterior):
    def __init__(self, n_hidden, latent_dim, *, generator):
        super().__init__()
        self.head = torch.nn.Linear(n_hidden, latent_dim)

    def forward(self, hidden):
        return Independent(Normal(self.head(hidden), 1.0), 1)


class Separate(Prior):
    def __init__(self, latent_dim, examples, *, generator):
        super().__init__()
        self.k = latent_dim

    def forward(self, encode):
        return Normal(torch.zeros(self.k), torch.ones(self.k))


class Wide(StandardNormal):
    def __init__(self, latent_dim, examples, *, generator):
        super().__init__(latent_dim + 1, examples, generator=generator)


class Flat(Likelihood):
    def featurize(self, x):
        return x

    def forward(self, params):
        return Normal(params[..., 0], 1.0)


class Summed(Gaussian):
    def forward(self, params):
        return Normal(params.sum(-1).sum(-1, keepdim=True).expand(-1, 3), 1.0)


class Empty(Likelihood):
    def featurize(self, x):
        return x.unsqueeze(-1)

    def forward(self, params):
        return None


def vector(x, y, generator):
    return (x - y).square().mean(1)


def nothing(x, y, generator):
    return None


def nan(x, y, generator):
    return x.mean() * float("nan")


def too_few(x, y):
    return x.mean()


PARTS = [
    (
        {"posterior": Narrow},
        ValueError,
        r"Narrow: mean must have the shape \(5, 2\).* Got \(5, 1\)",
    ),
    ({"posterior": Untransported}, TypeError, "Untransported fails on 5 rows: .*'transport'"),
    ({"prior": Separate}, ValueError, r"Separate: log_prob\(z\) must have the shape \(5,\)"),
    ({"prior": Wide}, ValueError, "Wide fails on 5 rows"),
    ({"likelihoods": Flat}, ValueError, r"Flat: featurize\(x\) must .*\(5, 2, 1\).* Got \(5, 2\)"),
    ({"likelihoods": Summed}, ValueError, "Summed fails on 5 rows"),
    ({"likelihoods": Empty}, TypeError, "Empty fails on 5 rows: .*'log_prob'"),
    (
        {"divergence": vector},
        ValueError,
        r"divergence vector must have the shape \(\).* Got \(5,\)",
    ),
    ({"divergence": nothing}, (TypeError, ValueError), "divergence nothing fails on 5 rows"),
    ({"divergence": nan}, ValueError, "divergence nan must be a finite number. Got nan"),
    ({"divergence": too_few}, TypeError, "divergence too_few fails on 5 rows: .*2 positional"),
]


@pytest.mark.parametrize(("params", "error", "message"), PARTS)
def test_a_part_that_does_not_fit_is_named(params, error, message):
    with pytest.raises(error, match=message):
        VAETransformer(**SMALL | {"max_steps": 2} | params).fit(X)


def test_a_training_without_one_finite_step_says_so():
    with pytest.raises(ValueError, match=r"Training diverged: .* Lower learning_rate_init"):
        VAETransformer(**SMALL | {"max_steps": 3}, learning_rate_init=1e300).fit(X)
