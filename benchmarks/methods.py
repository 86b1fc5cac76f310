"""Detectors of the benchmarks: name -> make(seed).

Every detector made has ``fit(X)`` and ``anomaly_scores(X)``. Rivals get standardised
columns, skvae the raw ones. PyOD is imported where it is used: pip install pyod==3.6.7.
"""

import importlib

from sklearn.covariance import EllipticEnvelope
from sklearn.ensemble import IsolationForest
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import LocalOutlierFactor
from sklearn.preprocessing import StandardScaler
from sklearn.svm import OneClassSVM

from skvae import VAEAnomalyDetector


class Skvae:
    """skvae on raw columns."""

    def __init__(self, **parameters):
        self.detector = VAEAnomalyDetector(**parameters)

    def fit(self, X):
        """Fit on raw columns."""
        self.detector.fit(X)

    def anomaly_scores(self, X):
        """Score raw columns; higher is odder."""
        return self.detector.negative_elbo(X)


class ScikitLearn:
    """A scikit-learn estimator on standardised columns."""

    def __init__(self, estimator):
        self.scaler, self.estimator = StandardScaler(), estimator

    def fit(self, X):
        """Fit on standardised columns."""
        self.estimator.fit(self.scaler.fit_transform(X))

    def anomaly_scores(self, X):
        """Score standardised columns; higher is odder."""
        return -self.estimator.score_samples(self.scaler.transform(X))


class Pyod(ScikitLearn):
    """A PyOD model, named by module and class, on standardised columns."""

    def __init__(self, module, name, **parameters):
        model = getattr(importlib.import_module(f"pyod.models.{module}"), name)
        super().__init__(model(**parameters))

    def anomaly_scores(self, X):
        """Score standardised columns; higher is odder."""
        return self.estimator.decision_function(self.scaler.transform(X))


METHODS = {
    "skvae": lambda seed: Skvae(random_state=seed),
    "IForest": lambda seed: ScikitLearn(IsolationForest(random_state=seed)),
    "LOF": lambda seed: ScikitLearn(LocalOutlierFactor(novelty=True)),
    "OCSVM": lambda seed: ScikitLearn(OneClassSVM()),
    "EllipticEnvelope": lambda seed: ScikitLearn(EllipticEnvelope(random_state=seed)),
    "GMM": lambda seed: ScikitLearn(GaussianMixture(4, reg_covar=1e-3, random_state=seed)),
    "KNN": lambda seed: Pyod("knn", "KNN"),
    "ECOD": lambda seed: Pyod("ecod", "ECOD"),
    "COPOD": lambda seed: Pyod("copod", "COPOD"),
    "HBOS": lambda seed: Pyod("hbos", "HBOS"),
    "CBLOF": lambda seed: Pyod("cblof", "CBLOF", random_state=seed),
    "PCA": lambda seed: Pyod("pca", "PCA", random_state=seed),
    "PyOD VAE": lambda seed: Pyod("vae", "VAE", random_state=seed, verbose=0),
    "PyOD AutoEncoder": lambda seed: Pyod(
        "auto_encoder", "AutoEncoder", random_state=seed, verbose=0
    ),
}
