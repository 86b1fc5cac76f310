"""VAEAnomalyDetector: what is about anomalies."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import OutlierMixin
from sklearn.utils.validation import check_is_fitted

from .._engine import untouched
from .calibrated import Calibrated, offsets_of, p_values_of
from .calibration import known_anomalies, warn_of_detection
from .checks import constant, either, integer, is_hashable, kind, one_of, real, sequence
from .conformal import below_tie, discoveries, threshold
from .declared import documented, parameter
from .repair import repaired

__all__ = ["VAEAnomalyDetector"]


@documented
@dataclass(eq=False, repr=False)
class VAEAnomalyDetector(OutlierMixin, Calibrated):
    """Anomaly detector: a variational autoencoder that scores rows by their ELBO.

    The score of a row is a lower bound on the logarithm of its density under the fitted
    model, in nats and in the columns' own units. Columns need no scaling, and cells may
    be missing.

    Attributes
    ----------
    offset_ : float
        Threshold in nats: rows with ``score_samples`` below it are anomalies. Where scores are
        tied there, as those of equal rows are, it is a margin of rounding below them.
    calibration_scores_ : ndarray of shape (m,)
        Scores of the calibration rows, behind `p_values`, in nats and ascending.
    n_calibration_ : int
        Calibration rows behind the threshold; 0 if it is a quantile of all rows passed to
        `fit`.
    calibrated_bound_ : {"elbo", "iwae"}
        The `bound` that `offset_` and the calibration rows' scores belong to.
    group_scores_, group_offsets_ : dict of tuple to ndarray, and to float
        Calibration scores and threshold of each of the `calibration_groups` that has rows enough,
        by its levels, with None where a cell is missing.

    See Also
    --------
    VAETransformer : The same model for its latent codes.
    sklearn.ensemble.IsolationForest : Detector by random splits.

    Notes
    -----
    The same fitted estimator gives a row the same score, bit by bit, whatever the other
    rows are, on one machine and device.

    ``scoring="roc_auc"`` with y in {+1, -1} ranks by `decision_function`.
    scikit-learn's ``"average_precision"`` would measure how well the normal rows are
    found; `skvae.anomaly_average_precision` is for the anomalies.

    p-values are those of split-conformal prediction. With folds (`cv`) the calibration
    rows are scored by models of fewer rows than the one that scores fresh rows, so that
    p-values are rather too large than too small, but without a proof: a
    cross-conformal p-value, which has one, compares the scores of each fold's own model,
    and no single threshold on `score_samples` would agree with it.

    References
    ----------
    Kingma and Welling, "Auto-Encoding Variational Bayes", 2014, arXiv:1312.6114.
    Tomczak and Welling, "VAE with a VampPrior", 2018, arXiv:1705.07120.
    Vovk, "Cross-conformal predictors", 2015, arXiv:1208.0806.
    Barber, Candes, Ramdas and Tibshirani, "Predictive inference with the jackknife+",
    2021, arXiv:1905.02928.

    Examples
    --------
    >>> import numpy as np
    >>> from skvae import VAEAnomalyDetector
    >>> x = np.random.RandomState(0).normal(size=(500, 1))
    >>> X = np.hstack([x, 2 * x, -x]) + 0.1
    >>> detector = VAEAnomalyDetector(max_steps=300, random_state=0).fit(X)
    >>> detector.predict([[1.1, 2.1, -0.9], [1.1, -1.9, -0.9]])
    array([ 1, -1])
    """

    contamination: float | str = parameter(
        "auto",
        either(one_of(["auto"]), real(0, 0.5, "right")),
        """float or "auto"
        A float in (0, 0.5] puts the threshold where that share of the rows passed to
        `fit` is below. "auto" puts it by `false_alarm_rate`.
        """,
    )
    false_alarm_rate: float = parameter(
        0.01,
        real(0, 1, "neither"),
        """float
        With ``contamination="auto"`` and m calibration rows the threshold is the k-th
        smallest of their scores, ``k = floor(false_alarm_rate * (m + 1))``: rows whose
        p-value is at most this rate are flagged, of fresh rows that are exchangeable with
        the training rows at most this share. If k = 0 (fewer than 99 calibration rows at
        the default), it is this quantile of the scores of all rows passed to `fit`, and
        nothing is guaranteed.
        """,
    )
    cv: int | str | None = parameter(
        "auto",
        either(integer(2), one_of(["auto"]), constant(None)),
        """int, "auto" or None
        Folds of cross-calibration, for tables of which few rows can be held out: a model
        fitted anew to the rows outside a fold scores those within, so that every row of
        the table calibrates; it takes as many more fits. None: the rows held out
        calibrate. "auto" takes 5 folds where the table is too small to hold any out, else
        None.
        """,
    )
    calibration_groups: Sequence[Any] | None = parameter(
        None,
        either(constant(None), sequence(kind("a column's name, or position", is_hashable))),
        """list of column names or None
        Columns of levels (positions for arrays) by which rows are parted: each group has a
        threshold and p-values from calibration rows of its own, so that `false_alarm_rate` holds
        within it. Groups of too few take those of all rows, as a warning says. Needs
        ``contamination="auto"``.
        """,
    )
    use_labels: bool = parameter(
        False,
        kind("a bool", lambda value: isinstance(value, (bool, np.bool_))),
        """bool
        Whether `fit` heeds y: 1 for normal rows, -1 for anomalies, of which there must be
        some, 0 for rows of which it is not known. Known anomalies are pushed towards a low
        ELBO, and neither held out nor fitted otherwise; all other rows are treated alike.
        Without it y is ignored.
        """,
    )

    def fit_predict(self, X: ArrayLike, y: ArrayLike | None = None) -> np.ndarray:
        """Fit to the rows of a table, and label them.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
        y : array-like of shape (n_samples,), default=None
            As in `fit`.

        Returns
        -------
        labels : int ndarray of shape (n_samples,)
            ``fit(X, y).predict(X)``.

        Raises
        ------
        ValueError, TypeError
            As `fit`.
        """
        return self.fit(X, y).predict(X)

    def decision_function(self, X: ArrayLike) -> np.ndarray:
        """Score of each row above the threshold, in nats; negative for anomalies.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)

        Returns
        -------
        decision : ndarray of shape (n_samples,)
            ``score_samples(X) - offset_``; with `calibration_groups` the offset of a row is that
            of its group.

        Raises
        ------
        sklearn.exceptions.NotFittedError, ValueError, TypeError
            As `score_samples`; and ValueError if `bound` is another one than that which
            `offset_` belongs to.
        """
        self._check_bound()
        return self.score_samples(X) - offsets_of(self, X)

    def predict(self, X: ArrayLike) -> np.ndarray:
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
            As `decision_function`.
        """
        return np.where(self.decision_function(X) >= 0, 1, -1)

    def p_values(self, X: ArrayLike) -> np.ndarray:
        """Conformal p-value of each row: how rarely a normal row scores as low.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)

        Returns
        -------
        p_values : ndarray of shape (n_samples,)
            ``(1 + count) / (1 + m)``: the count is of those among the m calibration rows
            whose score is not above the row's. A row that is exchangeable with them has
            at most the p-value a with probability at most a.

        Raises
        ------
        sklearn.exceptions.NotFittedError, ValueError, TypeError
            As `score_samples`; and ValueError if no row calibrates, or `bound` is another
            one than that of the calibration rows' scores.

        See Also
        --------
        calibrate : Take other calibration rows.

        Notes
        -----
        Held-out rows are taken as they come. Where the training table is contaminated, so
        are they, and p-values come out too large: false alarms stay below their rate, but
        at a contamination above `false_alarm_rate` few anomalies are found. `calibrate`
        takes rows known to be normal instead.

        References
        ----------
        Bates, Candes, Lei, Romano and Sesia, "Testing for outliers with conformal
        p-values", 2023, arXiv:2104.08279.

        Examples
        --------
        >>> import numpy as np
        >>> from skvae import VAEAnomalyDetector
        >>> X = np.random.RandomState(0).normal(size=(500, 2))
        >>> detector = VAEAnomalyDetector(max_steps=50, validation_fraction=0, random_state=0)
        >>> detector = detector.fit(X[:300])
        >>> detector.calibrate(X[300:]).p_values([[9.0, -9.0]]).round(3)
        array([0.005])
        """
        return p_values_of(self, X, self.score_samples(X))

    def detect(self, X: ArrayLike, fdr: float = 0.05) -> np.ndarray:
        """Select the anomalies among some rows with a bounded share of false discoveries.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
            Rows to judge together: whether one is selected depends on the others.
        fdr : float, default=0.05
            Bound on the expected share of normal rows among those selected.

        Returns
        -------
        selected : bool ndarray of shape (n_samples,)
            By Benjamini and Hochberg's procedure on `p_values`. With m calibration rows
            it selects at least ``n_samples / (fdr * (m + 1))`` rows or none.

        Raises
        ------
        sklearn.exceptions.NotFittedError, ValueError, TypeError
            As `p_values`; and if fdr is no float in (0, 1).

        References
        ----------
        Benjamini and Hochberg, "Controlling the False Discovery Rate", 1995,
        doi:10.1111/j.2517-6161.1995.tb02031.x.

        Examples
        --------
        >>> import numpy as np
        >>> from skvae import VAEAnomalyDetector
        >>> X = np.random.RandomState(0).normal(size=(500, 2))
        >>> detector = VAEAnomalyDetector(max_steps=50, validation_fraction=0, random_state=0)
        >>> detector = detector.fit(X[:300])
        >>> detector.calibrate(X[300:]).detect([[0.0, 0.0], [9.0, -9.0], [1.0, 1.0]])
        array([False,  True, False])
        """
        real(0, 1, "neither").check("fdr", fdr, self)
        p_values = self.p_values(X)
        selected = discoveries(p_values, fdr)
        if not selected.any():
            warn_of_detection(len(p_values), len(self.calibration_scores_), fdr)
        return selected

    @untouched
    def repair(
        self,
        X: ArrayLike,
        fixed: Sequence[Any] = (),
        max_cells: int | None = None,
        return_cells: bool = False,
    ) -> Any:
        """Nearest normal rows: as few cells as possible changed until no row is flagged.

        Cells are changed one by one, each time the one whose guess from the row's other cells
        raises the bound the most, until `decision_function` is at least 0; then those are given
        back without which it is, too.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
        fixed : sequence of column names, default=()
            Columns (positions for arrays) that must not change. Context and holes never do.
        max_cells : int, default=None
            Most cells of a row that may change; None for all.
        return_cells : bool, default=False
            Whether to return which cells were changed, too.

        Returns
        -------
        repaired : ndarray or DataFrame of shape (n_samples, n_features)
            In the container that was fitted, with the index of X if it has one. Rows that are
            not flagged are as they were. A row that so many cells cannot make normal has all of
            them changed, and is flagged still.
        cells : bool ndarray or DataFrame of shape (n_samples, n_features)
            Only with ``return_cells=True``.

        Raises
        ------
        sklearn.exceptions.NotFittedError, ValueError, TypeError
            As `decision_function`; and if there is no column that `fixed` names, or max_cells is
            no integer of at least 1.

        References
        ----------
        Mothilal, Sharma and Tan, "Explaining Machine Learning Classifiers through Diverse
        Counterfactual Explanations", 2020, arXiv:1905.07697, for what such rows are good for.

        Examples
        --------
        >>> import numpy as np
        >>> from skvae import VAEAnomalyDetector
        >>> rng = np.random.RandomState(0)
        >>> x = rng.normal(size=(1000, 1))
        >>> X = np.hstack([x, 2 * x, -x]) + 0.1 * rng.normal(size=(1000, 3))
        >>> detector = VAEAnomalyDetector(max_steps=300, random_state=0).fit(X)
        >>> repaired, cells = detector.repair([[1.0, -2.0, -1.0]], return_cells=True)
        >>> cells
        array([[False,  True, False]])
        >>> detector.predict(repaired)
        array([1])
        """
        table, cells = repaired(self, X, fixed, max_cells)
        return (table, cells) if return_cells else table

    def calibrate(self, X: ArrayLike) -> Self:
        """Let given normal rows calibrate p-values and the threshold.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
            Normal rows, none of which was fitted, as those to be judged will be.

        Returns
        -------
        self : VAEAnomalyDetector
            With new `calibration_scores_`, `n_calibration_` and `offset_`; the last by
            `false_alarm_rate`, whatever `contamination` is.

        Raises
        ------
        sklearn.exceptions.NotFittedError, ValueError, TypeError
            As `score_samples`; and ValueError if there are too few rows for
            `false_alarm_rate`. Nothing has changed then.
        """
        check_is_fitted(self)
        self._check("false_alarm_rate", self.false_alarm_rate)
        unsorted = self.score_samples(X)
        scores = np.sort(unsorted)
        offset = threshold(scores, self.false_alarm_rate)
        if offset is None:
            raise ValueError(
                f"A false_alarm_rate of {self.false_alarm_rate!r} needs at least "
                f"{int(np.ceil(1 / self.false_alarm_rate)) - 1} calibration rows. Got "
                f"{len(scores)}. Pass more, or raise false_alarm_rate to 1 / {len(scores) + 1}."
            )
        rows = self.table_.encode(self._read(X))
        own = self._groups(rows, unsorted, self.false_alarm_rate, warns=True)
        self.group_scores_, self.group_offsets_ = own
        self.calibration_scores_, self.n_calibration_ = scores, len(scores)
        self.offset_ = below_tie(offset, scores)
        self.calibrated_bound_ = self.bound
        return self

    def _known_anomalies(self, y, n, *, fewest, fewest_others):
        if not self.use_labels:
            return super()._known_anomalies(y, n, fewest=fewest, fewest_others=fewest_others)
        return known_anomalies(y, n, fewest=fewest, fewest_others=fewest_others)
