"""What a failed fit leaves behind."""

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from skvae import VAEAnomalyDetector


def fail(*args, **kwargs):
    raise RuntimeError("by design")


@pytest.mark.parametrize("fitted", [True, False])
@pytest.mark.parametrize(
    ("broken", "params", "column"),
    [
        (None, {"max_steps": 0}, 0.0),
        (None, {"likelihoods": "bernoulli"}, 0.0),
        (None, {}, np.inf),
        ("skvae._engine.trainee.Training.run", {}, 0.0),
        ("skvae._estimators.base.draws", {}, 0.0),
        ("skvae._estimators.calibrated.threshold", {}, 0.0),
    ],
)
def test_failed_fit_leaves_the_estimator_as_it_was(
    table, monkeypatch, fitted, broken, params, column
):
    detector = VAEAnomalyDetector(max_steps=2)
    if fitted:
        detector.fit(table)
        scores = detector.decision_function(table)
    detector.set_params(**params)
    before = {name: id(value) for name, value in vars(detector).items()}
    if broken:
        monkeypatch.setattr(broken, fail)
    with pytest.raises((ValueError, RuntimeError)):
        detector.fit(np.column_stack([table[:50], np.full(50, column)]))
    assert {name: id(value) for name, value in vars(detector).items()} == before
    if fitted:
        np.testing.assert_array_equal(detector.decision_function(table), scores)
    else:
        with pytest.raises(NotFittedError):
            check_is_fitted(detector)
