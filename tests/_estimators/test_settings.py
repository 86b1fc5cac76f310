"""Parts that must be what they are asked to be, said before data is touched."""

import numpy as np
import pytest

from skvae import VAEAnomalyDetector
from skvae.nn import Gaussian, Likelihood, Posterior, Prior


class Misspelt(Gaussian):
    domain = "rael"


class WithoutForward(Likelihood):
    def featurize(self, x):
        return x.unsqueeze(-1)


class Blank(Posterior):
    pass


class Empty(Prior):
    pass


class Elsewhere(Posterior):
    space = "circles"

    def forward(self, hidden):
        return hidden


WRONG = {
    "domain": (
        {"likelihoods": Misspelt},
        ValueError,
        r"Misspelt\.domain is 'rael', which is no domain\. Did you mean 'real'\? There are 'real'",
    ),
    "method": (
        {"likelihoods": {0: WithoutForward}},
        TypeError,
        r"WithoutForward lacks the method 'forward': .* skvae\.nn\.Likelihood needs 'featurize'",
    ),
    "posterior": ({"posterior": Blank}, TypeError, r"Blank lacks .* skvae\.nn\.Posterior needs"),
    "space": (
        {"posterior": Elsewhere},
        ValueError,
        "has codes that are 'circles', of which prior='auto' knows no prior. Give the class of one",
    ),
    "prior": ({"prior": Empty}, TypeError, r"Empty lacks the method 'forward': .*Prior needs"),
    "size of a prior": (
        {
            "posterior": "quantised",
            "latent_dim": 3,
            "prior_params": {"n_codes": 4096, "n_slots": 3},
        },
        ValueError,
        r"'prior_params' parameter .*: 3 slots of n_codes=4096 are 12,288 codes, .* at most 8,192",
    ),
    "noise model": (
        {"likelihoods": {"age": "gausian"}},
        ValueError,
        r"the column 'age' has 'gausian'\. Did you mean 'gaussian'\? There are ",
    ),
}


@pytest.mark.parametrize(("params", "error", "message"), WRONG.values(), ids=WRONG)
def test_a_wrong_part_is_named_with_what_there_is(params, error, message):
    with pytest.raises(error, match=message):
        VAEAnomalyDetector(**params).fit(object())


def test_a_method_that_only_some_calls_need_is_named_by_them():
    class WithoutSample(Gaussian):
        sample = Likelihood.sample

    model = VAEAnomalyDetector(likelihoods=WithoutSample, members=["plain"], max_steps=2)
    model.fit(np.random.default_rng(0).normal(size=(30, 2)))
    with pytest.raises(NotImplementedError, match="WithoutSample lacks the method 'sample'"):
        model.sample()
