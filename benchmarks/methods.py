"""Detectors of the benchmarks: name -> make(seed).

Every detector made has ``fit(X)`` and ``anomaly_scores(X)``. Rivals get standardised
columns, and levels one-hot, skvae the raw ones. PyOD and DeepOD are imported where they are used:
benchmarks/requirements.txt says how to install them.
"""

import importlib

from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.covariance import EllipticEnvelope
from sklearn.ensemble import IsolationForest
from sklearn.impute import SimpleImputer
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import LocalOutlierFactor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
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


def encoder(X):
    """Make what encodes a table for rivals: numbers standardised, levels of a DataFrame one-hot.

    Holes are filled with the mean, of levels with the most frequent one; levels that occur
    once share a column.
    """
    if not hasattr(X, "iloc"):
        return StandardScaler()
    one_hot = OneHotEncoder(
        min_frequency=2, handle_unknown="infrequent_if_exist", sparse_output=False
    )
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    levels = make_pipeline(SimpleImputer(strategy="most_frequent"), one_hot)
    return make_column_transformer(
        (numbers, make_column_selector(dtype_include="number")),
        (levels, make_column_selector(dtype_exclude="number")),
    )


class ScikitLearn:
    """A scikit-learn estimator on standardised columns."""

    def __init__(self, estimator):
        self.estimator = estimator

    def fit(self, X):
        """Fit on standardised columns."""
        self.encoder = encoder(X)
        self.fit_encoded(self.encoder.fit_transform(X))

    def fit_encoded(self, X):
        """Fit on encoded columns."""
        self.estimator.fit(X)

    def anomaly_scores(self, X):
        """Score standardised columns; higher is odder."""
        return -self.estimator.score_samples(self.encoder.transform(X))


class Pyod(ScikitLearn):
    """A PyOD model, named by module and class, on standardised columns."""

    package = "pyod.models"

    def __init__(self, module, name, **parameters):
        model = getattr(importlib.import_module(f"{self.package}.{module}"), name)
        super().__init__(model(**parameters))

    def anomaly_scores(self, X):
        """Score standardised columns; higher is odder."""
        return self.estimator.decision_function(self.encoder.transform(X))


class PyodDeepSVDD(Pyod):
    """PyOD's DeepSVDD, which must be told the number of columns."""

    def __init__(self, **parameters):
        super().__init__("deep_svdd", "DeepSVDD", n_features=None, **parameters)

    def fit_encoded(self, X):
        """Fit on encoded columns."""
        self.estimator.n_features = X.shape[1]
        super().fit_encoded(X)


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
