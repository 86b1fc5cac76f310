"""Detectors of the benchmarks: name -> make(seed).

Every detector made has ``fit(X)`` and ``anomaly_scores(X)``. Rivals get standardised
columns, skvae the raw ones. PyOD and DeepOD are imported where they are used:
benchmarks/requirements.txt says how to install them.
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

    package = "pyod.models"

    def __init__(self, module, name, **parameters):
        model = getattr(importlib.import_module(f"{self.package}.{module}"), name)
        super().__init__(model(**parameters))

    def anomaly_scores(self, X):
        """Score standardised columns; higher is odder."""
        return self.estimator.decision_function(self.scaler.transform(X))


class PyodDeepSVDD(Pyod):
    """PyOD's DeepSVDD, which must be told the number of columns."""

    def __init__(self, **parameters):
        super().__init__("deep_svdd", "DeepSVDD", n_features=None, **parameters)

    def fit(self, X):
        """Fit on standardised columns."""
        self.estimator.n_features = X.shape[1]
        super().fit(X)


class Deepod(Pyod):
    """A DeepOD model, which has PyOD's interface, on the CPU."""

    package = "deepod.models.tabular"

    def __init__(self, module, name, **parameters):
        super().__init__(module, name, device="cpu", verbose=0, **parameters)


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
    "PyOD DeepSVDD": lambda seed: PyodDeepSVDD(random_state=seed, verbose=0),
    "LUNAR": lambda seed: Pyod("lunar", "LUNAR", random_state=seed),
    "DIF": lambda seed: Deepod("dif", "DeepIsolationForest", random_state=seed),
    "RCA": lambda seed: Deepod("rca", "RCA", random_state=seed),
    "ICL": lambda seed: Deepod("icl", "ICL", random_state=seed),
    "NeuTraL": lambda seed: Deepod("neutral", "NeuTraL", random_state=seed),
}
