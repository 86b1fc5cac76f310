"""Sets of the classes that rows may be of, by conformal p-values within each class."""

from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.special import log_softmax
from sklearn.base import BaseEstimator
from sklearn.model_selection import StratifiedKFold
from sklearn.utils import column_or_1d
from sklearn.utils.validation import check_consistent_length

from .checks import real
from .conformal import p_values
from .labels import are_known

__all__ = ["PredictsSets"]


class PredictsSets(BaseEstimator):
    """What a classifier with a bound on log p(x, y) says of rows of any class, or of none.

    Attributes
    ----------
    class_scores_ : dict of label to ndarray of shape (2, m)
        Of the m calibration rows of each class the bounds on log p(x, y) and log p(y | x) in nats,
        each ascending; only with `cv` or after `calibrate`.
    """

    def calibrate(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Take other calibration rows for `predict_set`, which were not fitted.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
            Their classes; rows of -1 or None do not count.

        Returns
        -------
        self : VAEClassifier

        Raises
        ------
        sklearn.exceptions.NotFittedError, ValueError, TypeError
            As `predict_log_proba`, or if y has a class that was not fitted.
        """
        joint = self._joint(X)
        given: Any = column_or_1d(y)
        check_consistent_length(X, given)
        places = np.flatnonzero(are_known(given))
        codes = pd.Index(self.classes_).get_indexer(given[places])
        if (codes < 0).any():
            unknown = given[places][codes < 0][0]
            raise ValueError(f"y has the class {unknown}, which was not fitted.")
        self._keep_calibration(_conformities(joint)[:, places, codes], codes)
        return self

    def class_p_values(self, X: ArrayLike) -> np.ndarray:
        """Conformal p-value of each class: how rarely a row of it is as odd, or as unlike it.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)

        Returns
        -------
        p_values : ndarray of shape (n_samples, n_classes)
            In the order of `classes_`. Where all are small, the row is of none of them. Twice the
            smaller of two p-values among the calibration rows of the class, that of log p(x, y),
            which is low for odd rows, and that of log p(y | x), which is for rows of others.

        Raises
        ------
        sklearn.exceptions.NotFittedError, ValueError, TypeError
            As `predict_log_proba`; and ValueError if no row calibrates.
        """
        conformities = _conformities(self._joint(X))
        if not hasattr(self, "class_scores_"):
            raise ValueError("No row calibrates: fit with cv=5, or call calibrate(X, y).")
        p = np.empty_like(conformities)
        for k, label in enumerate(self.classes_.tolist()):
            for own, scores, of_class in zip(
                p, conformities, self.class_scores_[label], strict=True
            ):
                own[:, k] = p_values(scores[:, k], of_class)
        return np.minimum(1.0, 2 * p.min(axis=0))

    def predict_set(self, X: ArrayLike, error: float = 0.05) -> np.ndarray:
        """Classes that each row may be of: all, several, one, or none, and then it is a novelty.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
        error : float in (0, 1), default=0.05
            Of fresh rows of a class, at most this share is denied it.

        Returns
        -------
        are_possible : bool ndarray of shape (n_samples, n_classes)
            In the order of `classes_`: where the conformal p-value by class exceeds `error`. A
            class with fewer than ``2 / error - 1`` calibration rows is always possible.

        Raises
        ------
        sklearn.exceptions.NotFittedError, ValueError, TypeError
            As `class_p_values`; and ValueError if error is no number between 0 and 1.
        """
        real(0, 1, "neither").check("error", error, self)
        return self.class_p_values(X) > error

    def _out_of_fold(self, X, table, codes, log_prior):
        """Conformities of the labelled rows by models that were not fitted to them."""
        places = np.flatnonzero(codes >= 0)
        of_known = codes[places]
        fewest = np.bincount(of_known).min()
        if fewest < self.cv:
            raise ValueError(
                f"cv={self.cv} needs {self.cv} labelled rows of each class, and one of them has "
                f"{fewest}. Use fewer folds, or calibrate(X, y)."
            )
        scores = np.empty((2, len(places)))
        for _, fold in StratifiedKFold(self.cv, shuffle=True, random_state=0).split(
            of_known, of_known
        ):
            is_kept = np.ones(len(table), dtype=bool)
            is_kept[places[fold]] = False
            model = self._fit_to(X, table[is_kept])
            joint = self._joint_by(model, table.iloc[places[fold]], log_prior)
            scores[:, fold] = _conformities(joint)[:, np.arange(len(fold)), of_known[fold]]
        return scores

    def _keep_calibration(self, scores, codes):
        vars(self).pop("class_scores_", None)
        if scores is not None:
            labels = enumerate(self.classes_.tolist())
            self.class_scores_ = {
                label: np.sort(scores[:, codes == k], axis=1) for k, label in labels
            }


def _conformities(joint):
    """How well each class fits each row: log p(x, y) and log p(y | x); (2, n, n_classes)."""
    return np.stack([joint, log_softmax(joint, axis=1)])
