"""Both estimators pass every check of scikit-learn, with no expected failure."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from skvae import VAEAnomalyDetector, VAETransformer

VARIANTS = [  # parts do not know each other, so that several can be tried at once
    {},
    {"posterior": "full", "prior": "mixture", "likelihoods": "student_t"},
    {"prior": "standard_normal", "likelihoods": "spike_slab", "divergence": "energy_distance"},
]


@parametrize_with_checks(
    [
        estimator(max_steps=10, **variant)
        for estimator in (VAEAnomalyDetector, VAETransformer)
        for variant in VARIANTS
    ]
    # Not the detector: to it, rows of numbers that all differ are all as odd.
    + [VAETransformer(max_steps=10, likelihoods="categorical")]
)
def test_scikit_learn_check(estimator, check):
    check(estimator)


@pytest.mark.slow
@parametrize_with_checks([VAEAnomalyDetector(), VAETransformer()])
def test_scikit_learn_check_with_the_default_budget(estimator, check):
    check(estimator)
