"""VAEClassifier: classes of rows, of which few need be labelled, or none of them."""

from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.special import log_softmax, logsumexp
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin
from sklearn.utils.validation import check_consistent_length, check_is_fitted, validate_data

from .._engine import automatic
from .._table import read_table
from ..nn import ClassLabel, ComponentLabel, WeightedLabel
from .base import BaseVAE
from .checks import constant, either, integer, one_of, real
from .joined import A_MODEL, check_classes, clone_for, with_class
from .labels import classes_of
from .sets import PredictsSets
from .state import undone_if_it_fails
from .transformer import VAETransformer

__all__ = ["VAEClassifier"]

LARGEST_WEIGHT = 1e4  # of a label: gradients of more say nothing of the row
LINEAR = {"hidden_layer_sizes": ()}
_MIXTURES = ("mixture", "full_mixture")
_RULES = {
    "estimator": A_MODEL,
    "labels": one_of(["latent", "prior", "decoder"]),
    "label_weight": real(0, LARGEST_WEIGHT, "right"),
    "class_prior": one_of(["empirical", "balanced"]),
    "cv": either(integer(2), constant(None)),
}


class VAEClassifier(MetaEstimatorMixin, ClassifierMixin, PredictsSets, BaseEstimator):
    """Classifier by a density of rows and classes, for few labels and for rows of no class.

    One model of all rows, labelled or not, gives a bound on log p(x, y) of each class y. Columns of
    any kind are taken as they are, and cells may be missing.

    Parameters
    ----------
    estimator : VAETransformer or VAEAnomalyDetector, default=None
        Model to fit a clone of; None for a transformer with defaults. With members="auto" a linear
        model is a candidate, too, ``{"hidden_layer_sizes": ()}``: of few rows it may be the best.
    labels : {"prior", "latent", "decoder"}, default="prior"
        What the class has to do with a row. "prior": it is a component of the prior, one normal
        of latent codes, p(y) p(z | y) p(x | z), and rows without a label are of all of them.
        "latent": it follows from the code as the columns do, p(z) p(y | z) p(x | z), under any
        prior. "decoder": the decoder is given it, p(y) p(z) p(x | z, y), which needs many labels.
    label_weight : float, default=1.0
        Times what labels count in training with "prior" and "latent", where they already make up
        for those that are missing. Scores do not have it: they remain bounds.
    class_prior : {"empirical", "balanced"}, default="empirical"
        Frequencies of the classes: those of the labelled rows, or equal ones.
    cv : int, default=None
        Folds of calibration for `predict_set`: a model fitted anew to the rows outside a fold
        scores the labelled rows within, which takes as many more fits. None leaves it to
        `calibrate`.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
    class_log_prior_ : ndarray of shape (n_classes,)
        Logarithms of the shares of the labelled rows, in nats.
    estimator_ : VAETransformer or VAEAnomalyDetector
        Fitted to the columns and the class.
    class_scores_ : dict of label to ndarray of shape (2, m)
        Of the m calibration rows of each class the bounds on log p(x, y) and log p(y | x) in nats,
        each ascending; only with `cv` or after `calibrate`.
    n_features_in_ : int
        Columns seen in `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns, where X had names that are all strings.

    See Also
    --------
    sklearn.semi_supervised.SelfTrainingClassifier : Labels rows by a classifier's own guesses.

    Notes
    -----
    With many labels of complete rows gradient boosting is the better classifier. Use this one
    where labels are few, cells are missing, or rows may be of none of the classes. A prediction
    takes one score of each class. Of the rows that are held out to judge the training, as
    `validation_fraction` of the estimator says, those without a label come first, up to half of
    these; not with "decoder", where the class is as any column.

    References
    ----------
    Kingma, Rezende, Mohamed and Welling, "Semi-supervised Learning with Deep Generative Models",
    2014, arXiv:1406.5298. Xu et al., "Probabilistic harmonization and annotation of single-cell
    transcriptomics data with deep generative models", 2021, doi:10.15252/msb.20209620, for classes
    as components. Sadinle, Lei and Wasserman, "Least Ambiguous Set-Valued Classifiers with
    Bounded Error Levels", 2019, arXiv:1609.00451, for sets by class.

    Examples
    --------
    >>> import numpy as np
    >>> from skvae import VAEClassifier, VAETransformer
    >>> rng = np.random.RandomState(0)
    >>> y = np.repeat([0, 1], 200)
    >>> X = rng.normal(size=(400, 3)) + 3 * y[:, None]
    >>> known = np.where(rng.rand(400) < 0.1, y, -1)  # nine of ten labels are lost
    >>> model = VAEClassifier(VAETransformer(max_steps=200, random_state=0)).fit(X, known)
    >>> bool(model.score(X, y) > 0.95)
    True
    """

    def __init__(
        self,
        estimator: BaseVAE | None = None,
        *,
        labels: str = "prior",
        label_weight: float = 1.0,
        class_prior: str = "empirical",
        cv: int | None = None,
    ) -> None:
        self.estimator = estimator
        self.labels = labels
        self.label_weight = label_weight
        self.class_prior = class_prior
        self.cv = cv

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Fit one model to all rows.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
            Classes; -1, as in ``sklearn.semi_supervised``, or None where it is not known.

        Returns
        -------
        self : VAEClassifier

        Raises
        ------
        ValueError, TypeError
            As ``VAETransformer.fit``, if a parameter is out of range, if y has one class alone, or
            a class that has a single row.
        """
        for name, rule in _RULES.items():
            rule.check(name, getattr(self, name), self)
        with undone_if_it_fails(self):
            self._fit(X, y)
        return self

    def _fit(self, X, y):
        read_table(X, min_rows=2)
        classes, codes = classes_of(y, self)
        check_consistent_length(X, codes)
        validate_data(self, X, skip_check_array=True)
        log_prior = np.log(np.bincount(codes[codes >= 0]) / (codes >= 0).sum())
        table = with_class(X, pd.Categorical.from_codes(codes, categories=classes))
        scores = None if self.cv is None else self._out_of_fold(X, table, codes, log_prior)
        fitted = self._fit_to(X, table)
        self.classes_, self.class_log_prior_, self.estimator_ = classes, log_prior, fitted
        self._keep_calibration(scores, codes[codes >= 0])

    def score_samples(self, X: ArrayLike) -> np.ndarray:
        """Bound on the log density of each row whatever its class, in nats.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)

        Returns
        -------
        scores : ndarray of shape (n_samples,)
            Higher is more normal.

        Raises
        ------
        sklearn.exceptions.NotFittedError, ValueError, TypeError
            As `predict_log_proba`.
        """
        if self.labels != "decoder":
            return self.estimator_.score_samples(self._table(X))
        return logsumexp(self._weighted(self._joint(X)), axis=1)

    def predict_log_proba(self, X: ArrayLike) -> np.ndarray:
        """Logarithms of `predict_proba`.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)

        Returns
        -------
        log_proba : ndarray of shape (n_samples, n_classes)

        Raises
        ------
        sklearn.exceptions.NotFittedError
            Before ``fit``.
        ValueError, TypeError
            If the columns are not those of the training table, or their values do not fit.
        """
        return log_softmax(self._weighted(self._joint(X)), axis=1)

    def predict_proba(self, X: ArrayLike) -> np.ndarray:
        """Probability of each class: an estimate, as bounds stand in for densities.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)

        Returns
        -------
        proba : ndarray of shape (n_samples, n_classes)
            In the order of `classes_`.

        Raises
        ------
        sklearn.exceptions.NotFittedError, ValueError, TypeError
            As `predict_log_proba`.
        """
        return np.exp(self.predict_log_proba(X))

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Most probable class of each row.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)

        Returns
        -------
        y : ndarray of shape (n_samples,)

        Raises
        ------
        sklearn.exceptions.NotFittedError, ValueError, TypeError
            As `predict_log_proba`.
        """
        check_is_fitted(self)
        return self.classes_[self._weighted(self._joint(X)).argmax(axis=1)]

    @property
    def table_(self):
        """How the columns are encoded, and last the class."""
        return self.estimator_.table_

    def _fit_to(self, X, table):
        """Clone of the estimator, fitted to a table with the class."""
        estimator = VAETransformer() if self.estimator is None else self.estimator
        estimator = clone_for(estimator, X, table)
        if estimator.members == "auto":
            estimator.set_params(members=[*automatic(len(table)), LINEAR])
        estimator.set_params(**_PARTS[self.labels](estimator, table, self.label_weight))
        check_classes(estimator.fit(table))
        return estimator

    def _joint(self, X):
        """Bound on log p(x, y) of each class, in nats; (n, n_classes)."""
        table = self._table(X)
        return self._joint_by(self.estimator_, table, self.class_log_prior_)

    def _joint_by(self, estimator, table, log_prior):
        name, dtype = table.columns[-1], table.dtypes.iloc[-1]
        scores = []
        for k in range(len(log_prior)):
            of_class = pd.Categorical.from_codes(np.full(len(table), k), dtype=dtype)
            scores.append(estimator.score_samples(table.assign(**{name: of_class})))
        own = log_prior if self.labels == "decoder" else 0.0  # p(y | z) has learned it
        return np.column_stack(scores) + own

    def _weighted(self, joint):
        """Joint bounds with the frequencies of classes that are asked for."""
        if self.class_prior == "empirical":
            return joint
        return joint - self.class_log_prior_ - np.log(len(self.classes_))

    def _table(self, X):
        """Columns of rows whose class is not known, and it."""
        check_is_fitted(self)
        n = len(read_table(X).values)
        validate_data(self, X, skip_check_array=True, reset=False)
        table = with_class(X, pd.Categorical([None] * n, categories=self.classes_))
        return table.set_axis(self.estimator_.feature_names_in_, axis=1)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        return tags


def _in_latent(estimator, table, weight):
    """Parameters with which the class follows from the latent code."""
    return _with_noise(estimator, table, WeightedLabel(ClassLabel, weight))


def _in_prior(estimator, table, weight):
    """Parameters with which classes are components of the prior."""
    n_classes = len(table.dtypes.iloc[-1].categories)
    space = estimator._recipe().posterior_class().space
    if space != "real":
        raise ValueError(
            f"labels='prior' needs codes that are real. Those of an estimator with posterior="
            f"{estimator.posterior!r} are {space}: use labels='latent' or 'decoder'."
        )
    params = {"n_components": n_classes} | (estimator.prior_params or {})
    prior = "full_mixture" if estimator.prior == "auto" else estimator.prior
    if prior not in _MIXTURES or params["n_components"] != n_classes:
        raise ValueError(
            f"labels='prior' needs a normal for each of {n_classes} classes, {_MIXTURES[0]!r} or "
            f"{_MIXTURES[1]!r}. Got an estimator with prior={estimator.prior!r} and prior_params="
            f"{estimator.prior_params!r}. Leave these out, or use labels='latent'."
        )
    label = WeightedLabel(ComponentLabel, weight)
    return _with_noise(estimator, table, label) | {"prior": prior, "prior_params": params}


def _in_decoder(estimator, table, weight):
    """Parameters with which the decoder is given the class."""
    if weight != 1:
        raise ValueError(
            f"label_weight={weight!r} has no effect with labels='decoder', where no cell is a "
            "class. Use labels='latent' or 'prior', or label_weight=1."
        )
    return {"context": [*(estimator.context or ()), table.columns[-1]]}


def _with_noise(estimator, table, label):
    return {"likelihoods": estimator.likelihoods | {table.columns[-1]: label}}


_PARTS = {"latent": _in_latent, "prior": _in_prior, "decoder": _in_decoder}
