"""VAEAnomalyDetector: what is about anomalies."""

import numpy as np
from sklearn.base import OutlierMixin
from sklearn.metrics import average_precision_score

from ._base import BaseVAE
from ._checks import one_of, either, real
from ._conformal import threshold

__all__ = ["VAEAnomalyDetector", "anomaly_average_precision"]


class VAEAnomalyDetector(OutlierMixin, BaseVAE):
    _rules = BaseVAE._rules | {
        "contamination": either(one_of(["auto"]), real(0, 0.5, "right")),
        "false_alarm_rate": real(0, 1, "neither"),
    }

    def __init__(
        self,
        latent_dim="auto",
        hidden_layer_sizes=(128, 128),
        activation="silu",
        likelihoods="auto",
        posterior="diagonal",
        prior="vamp",
        prior_params=None,
        divergence=None,
        divergence_weight=1.0,
        beta=1.0,
        capacity=None,
        learning_rate_init=3e-3,
        batch_size="auto",
        max_steps=2000,
        validation_fraction=0.1,
        n_iter_no_change=10,
        bound="elbo",
        n_draws=16,
        device="auto",
        random_state=None,
        verbose=0,
        contamination="auto",
        false_alarm_rate=0.01,
    ):
        super().__init__(
            latent_dim=latent_dim,
            hidden_layer_sizes=hidden_layer_sizes,
            activation=activation,
            likelihoods=likelihoods,
            posterior=posterior,
            prior=prior,
            prior_params=prior_params,
            divergence=divergence,
            divergence_weight=divergence_weight,
            beta=beta,
            capacity=capacity,
            learning_rate_init=learning_rate_init,
            batch_size=batch_size,
            max_steps=max_steps,
            validation_fraction=validation_fraction,
            n_iter_no_change=n_iter_no_change,
            bound=bound,
            n_draws=n_draws,
            device=device,
            random_state=random_state,
            verbose=verbose,
        )
        self.contamination = contamination
        self.false_alarm_rate = false_alarm_rate

    def decision_function(self, X):
        """Score of each row above the threshold, in nats; negative for anomalies.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)

        Returns
        -------
        decision : ndarray of shape (n_samples,)
            ``score_samples(X) - offset_``.

        Raises
        ------
        sklearn.exceptions.NotFittedError, ValueError, TypeError
            As `score_samples`.
        """
        return self.score_samples(X) - self.offset_

    def predict(self, X):
        """Label of each row: +1 for normal, -1 for anomalous.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)

        Returns
        -------
        labels : int ndarray of shape (n_samples,)
            +1 where `decision_function` is at least 0.

        Raises
        ------
        sklearn.exceptions.NotFittedError, ValueError, TypeError
            As `score_samples`.
        """
        return np.where(self.decision_function(X) >= 0, 1, -1)

    def _fit(self, X):
        table, held_out = super()._fit(X)
        self.n_calibration_ = 0
        if self.contamination != "auto":
            self.offset_ = float(np.quantile(self._scores(table), self.contamination))
            return
        self.offset_ = threshold(self._scores(table[held_out]), self.false_alarm_rate)
        self.n_calibration_ = len(held_out)
        if self.offset_ is None:
            self.offset_ = float(np.quantile(self._scores(table), self.false_alarm_rate))
            self.n_calibration_ = 0


def anomaly_average_precision(estimator, X, y):
    """Average precision of the anomalies, as a scorer for model selection.

    Pass it as ``scoring=anomaly_average_precision``; scikit-learn's own
    ``"average_precision"`` takes +1, the normal rows, for the class to be found.

    Parameters
    ----------
    estimator : estimator with ``score_samples``
        Fitted; higher scores are more normal.
    X : array-like or DataFrame of shape (n_samples, n_features)
    y : array-like of shape (n_samples,)
        +1 for normal rows, -1 for anomalies.

    Returns
    -------
    average_precision : float
        Between the share of anomalies, for random scores, and 1.

    Raises
    ------
    ValueError
        If y is not coded as +1 and -1, or holds no anomaly.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.ensemble import IsolationForest
    >>> X = np.r_[np.zeros((20, 1)), np.full((1, 1), 9.0)]
    >>> forest = IsolationForest(random_state=0).fit(X)
    >>> anomaly_average_precision(forest, X, np.r_[np.ones(20), -1])
    1.0
    """
    y = np.asarray(y)
    labels = set(np.unique(y).tolist())
    if not labels <= {1, -1} or -1 not in labels:
        raise ValueError(
            f"y must be +1 for normal rows and -1 for anomalies, with at least one -1. Got the "
            f"values {sorted(labels)}."
        )
    return float(average_precision_score(y == -1, -estimator.score_samples(X)))
