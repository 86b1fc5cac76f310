"""Both estimators pass every check of scikit-learn, with no expected failure."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from skvae import VAEAnomalyDetector, VAETransformer

VARIANTS = [  # parts do not know each other, so that several can be tried at once
    (VAEAnomalyDetector, {}),
    (VAEAnomalyDetector, {"posterior": "full", "prior": "mixture", "likelihoods": "student_t"}),
    (
        VAETransformer,
        {"prior": "standard_normal", "likelihoods": "spike_slab", "divergence": "mmd"},
    ),
    # Not the detector: to it, rows of numbers that all differ are all as odd.
    (VAETransformer, {"likelihoods": "categorical"}),
]


@parametrize_with_checks(
    [estimator(max_steps=10, members=["plain"], **variant) for estimator, variant in VARIANTS]
)
def test_scikit_learn_check(estimator, check):
    check(with_one_noise_model(estimator, check))


@pytest.mark.slow
@parametrize_with_checks([VAEAnomalyDetector()])
def test_scikit_learn_check_with_the_default_budget(estimator, check):
    check(with_one_noise_model(estimator, check))


def with_one_noise_model(estimator, check):
    """Fix the noise model where rows of an array and of a DataFrame are to be labelled alike.

    By default whole numbers are counts in a DataFrame, and numbers in an array.
    """
    is_of_both = check.func.__name__ == "check_classifier_data_not_an_array"
    return estimator.set_params(likelihoods="student_t") if is_of_both else estimator
