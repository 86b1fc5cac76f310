"""VAEAnomalyDetector: what is about anomalies."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import OutlierMixin, clone
from sklearn.metrics import average_precision_score
from sklearn.model_selection import KFold, cross_validate
from sklearn.utils.validation import check_is_fitted, column_or_1d

from ._base import BaseVAE, _random_state
from ._checks import constant, either, integer, kind, one_of, real
from ._conformal import discoveries, p_values, threshold
from .nn import LIKELIHOODS

__all__ = ["VAEAnomalyDetector", "anomaly_average_precision"]

_FOLDS = 5  # of a table too small to hold rows out


class VAEAnomalyDetector(OutlierMixin, BaseVAE):
    """Anomaly detector: a variational autoencoder that scores rows by their ELBO.

    The score of a row is a lower bound on the logarithm of its density under the fitted
    model, in nats and in the columns' own units. Columns need no scaling, and cells may
    be missing.

    Parameters
    ----------
    latent_dim : int or "auto", default="auto"
        Dimensions of the latent space. "auto" takes the number of columns, at most 8, and
        at most 32 in the member "dense".
    hidden_layer_sizes : tuple of int, default=(128,)
        Widths of the encoder's hidden layers; the decoder has them in reverse. Beside them
        the inputs pass on, so that () makes both linear. The robust member has its own.
    activation : {"silu", "relu", "tanh"}, default="silu"
        Activation of the hidden layers.
    likelihoods : str, class or dict, default="auto"
        Noise model: one for all columns, or a dict of column name (position for arrays)
        to noise model, where columns left out are "auto".

        - "auto": "bernoulli" for boolean columns, "categorical" for strings and
          categories, "ordinal" for ordered ones, "spike_slab" for integer columns of a
          DataFrame, such as counts and bytes, and "heteroscedastic_student_t" for all
          others.
        - "gaussian": a normal with a learned scale per column, shared by all rows, and at
          least `scale_floor` of the column's standard deviation (of its absolute value if
          it never varies, of 1 if it is always 0).
        - "heteroscedastic": a normal whose scale is predicted for each cell, at most the
          same unit; "gaussian" in the robust member.
        - "student_t": Student's t with 4 degrees of freedom and a learned scale per
          column, for heavy tails.
        - "heteroscedastic_student_t": such a one whose scale is predicted for each cell,
          as in "heteroscedastic"; with 20 degrees of freedom and a scale per column in the
          robust member.
        - "log_normal": a normal of the logarithm, for heavy tails of positive numbers.
        - "spike_slab": one value, the most frequent, with a probability of its own, and
          for all others a normal of the inverse hyperbolic sine of their distance from it.
        - "poisson", "negative_binomial", "zero_inflated": for counts; the second with a
          learned dispersion per column, the third also with additional zeros.
        - "bernoulli": for columns of 0 and 1. That a flag may be a mere toss of a coin,
          with probability 0.4, bounds what a single rare flag adds to a score.
        - "categorical": for levels, such as strings, with the same bound. With n cells and
          k levels in training a level seen only later has probability 1 / (n + k + 1), and
          no level has less.
        - "ordinal": for numbers or categories whose order counts; levels seen only later
          as above.

        Scores are densities in the column's own units, of counts and levels masses.
        A subclass of `skvae.nn.Likelihood` is accepted wherever a name is.
    min_frequency : int or float, default=None
        Cells, or share of the column's observed cells, below which a level is infrequent.
        All infrequent levels of a "categorical" column share one probability equally.
    max_categories : int, default=100
        Upper limit to the probabilities of a "categorical" column, of which infrequent
        levels take one; None for none.
    missing : {"ignore", "model"}, default="ignore"
        What a missing cell says. With "ignore" nothing: scores are of the observed cells.
        "model" adds to each column that has holes in training the log mass of the cell
        being missing or not, for tables where that is informative.
    scale_floor : float in (0, 1) or "auto", default="auto"
        Smallest scale of the noise of a column of numbers, in the column's standard deviation.
        "auto" takes 0.05, and 0.02 in the member "dense".
    posterior : {"diagonal", "full"} or class, default="diagonal"
        Covariance of q(z | x): diagonal, or full through its Cholesky factor.
    prior : {"standard_normal", "mixture", "full_mixture", "vamp"} or class, \
default="full_mixture"
        Latent density p(z): a standard normal, a learned mixture of normals with diagonal or
        full covariances, or a mixture of the posteriors of learned pseudo-inputs.
    prior_params : dict, default=None
        Parameters of the prior, such as ``{"n_components": 200}`` for all but the first.
    divergence : {"mmd", "sliced_wasserstein", "energy_distance"}, function or None, \
default=None
        Divergence between a batch's draws of z and the prior, added to the objective.
    divergence_weight : float, default=1.0
        Its weight.
    beta : float, default=1.0
        Weight of the KL divergence in the objective. Training only: scores have weight 1.
    capacity : float, default=None
        KL divergence in nats to aim at: the objective has ``beta * |KL - C|`` with C
        rising linearly to `capacity` over the first half of the steps.
    init : {"linear", "random"}, default="linear"
        Where the weights start: "linear" at factor analysis of the columns that are numbers,
        and a mixture prior at a mixture of its codes; "random" at random.
    learning_rate_init : float, default=0.008
        Highest learning rate; it rises over the first 5 % of the steps and falls to 0
        over the last 40 %.
    batch_size : int or "auto", default="auto"
        Rows in a step. "auto" takes 256, or all rows if there are fewer.
    max_steps : int or "auto", default="auto"
        Optimiser steps. "auto" takes 100 passes over the rows at 256 rows a step, at least
        300 and at most 2,000 steps.
    validation_fraction : float, default=0.1
        Share of the rows held out to judge the weights and to set the threshold; none
        under 20 rows.
    n_iter_no_change : int, default=10
        Evaluations, of which there are 50 in `max_steps`, without a rise of the held-out
        ELBO after which the learning rate starts to fall early; None for never.
    members : "auto" or list of (str or dict), default="auto"
        Candidates, each trained on the same rows; the one with the best bound on the rows
        held out is kept. A name decides on what the parameters leave open: "cautious" hides
        cells of half of the rows from the encoder at first, "plain" of a tenth, and so does
        "dense", with a `scale_floor` of 0.02 and up to 32 latent dimensions where these are
        "auto". A dict has parameters of the model or its training that stand in for the
        estimator's own, such as ``{"hidden_layer_sizes": ()}``. "auto" is all names. The first
        is kept where no rows are held out, as in `partial_fit`. ``members=[{}]`` trains the
        estimator's parameters alone.
    robust_weight : float, default=0.35
        Share in every score of a second member, from 20 rows on: a short fit of two layers
        of 128 units with a standard normal prior that ignores the fifth of each batch with
        the lowest ELBO, so that it describes the bulk of the rows alone. 0 leaves it out:
        best where every training row is normal. 1 scores by it alone: best where many are
        not.
    bound : {"elbo", "iwae"}, default="elbo"
        What `score_samples` returns: the evidence lower bound, or the tighter
        importance-weighted bound. `negative_elbo` and `explain` stay with the former.
    n_draws : int, default=8
        Quasi-random draws of the latent noise for scores, the same for all rows.
    device : str, default="auto"
        Where to train and score: "cpu", "cuda", "cuda:1", "mps"; "auto" takes CUDA if
        present, else the CPU. Scores are computed in float64, with "mps" on the CPU. A
        model fitted on a GPU can be pickled, and scores on the CPU where there is none.
    random_state : int, RandomState instance or None, default=None
        Source of all randomness: an int makes fits repeatable.
    verbose : int or bool, default=0
        Whether to show a progress bar.
    warm_start : bool, default=False
        Whether `fit` continues from the weights and the encoding at hand. A row held out now
        may have been fitted before then, unless `random_state` is an int and X the same.
    contamination : float or "auto", default="auto"
        A float in (0, 0.5] puts the threshold where that share of the rows passed to
        `fit` is below. "auto" puts it by `false_alarm_rate`.
    false_alarm_rate : float, default=0.01
        With ``contamination="auto"`` and m calibration rows the threshold is the k-th
        smallest of their scores, ``k = floor(false_alarm_rate * (m + 1))``: rows whose
        p-value is at most this rate are flagged, of fresh rows that are exchangeable with
        the training rows at most this share. If k = 0 (fewer than 99 calibration rows at
        the default), it is this quantile of the scores of all rows passed to `fit`, and
        nothing is guaranteed.
    cv : int, "auto" or None, default="auto"
        Folds of cross-calibration, for tables of which few rows can be held out: a model
        fitted anew to the rows outside a fold scores those within, so that every row of
        the table calibrates; it takes as many more fits. None: the rows held out
        calibrate. "auto" takes 5 folds where the table is too small to hold any out, else
        None.
    use_labels : bool, default=False
        Whether `fit` heeds y: 1 for normal rows, -1 for anomalies, of which there must be
        some, 0 for rows of which it is not known. Known anomalies are pushed towards a low
        ELBO, and neither held out nor fitted otherwise; all other rows are treated alike.
        Without it y is ignored.

    Attributes
    ----------
    model_ : skvae.nn.VAE
        The main model, float64 on the CPU.
    members_ : list of Member
        Candidates and the robust member: ``name``, ``settings``, ``model`` (None of a candidate
        that was not kept), ``weight``, ``nats`` (mean bound of the held-out rows, in the
        columns' own units) and ``n_steps``. Scores are weighted means of their bounds.
    table_ : TableEncoder
        How columns are encoded; ``table_.columns_`` states each one's noise model.
    history_ : dict of str to list
        By ``step``: the ELBO in nats per row of the batches since the entry before,
        ``train``, and of held-out rows, ``validation`` (NaN without any). A
        pandas.DataFrame takes it as it is.
    n_steps_ : int
        Steps taken, up to the last evaluation if the fit was interrupted; with those before
        if training went on.
    architecture_ : dict
        Parameters that cannot change while a training goes on, as they were at its start.
    optimizers_ : list of dict
        State of each member's optimiser after `partial_fit`, to go on with; [] after `fit`.
    draws_ : ndarray of shape (n_draws, 1, latent_dim)
        Standard normal noise shared by all scores.
    baseline_ : ndarray of shape (n_features + 1,)
        Medians over (at most 10,000) fitted rows of the parts of `explain`, in nats.
    n_features_in_ : int
        Columns seen in `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns, where X had names that are all strings.
    offset_ : float
        Threshold in nats: rows with ``score_samples`` below it are anomalies.
    calibration_scores_ : ndarray of shape (m,)
        Scores of the calibration rows, behind `p_values`, in nats and ascending.
    n_calibration_ : int
        Calibration rows behind the threshold; 0 if it is a quantile of all rows passed to
        `fit`.

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

    _rules = BaseVAE._rules | {
        "contamination": either(one_of(["auto"]), real(0, 0.5, "right")),
        "false_alarm_rate": real(0, 1, "neither"),
        "cv": either(integer(2), one_of(["auto"]), constant(None)),
        "use_labels": kind("a bool", lambda value: isinstance(value, (bool, np.bool_))),
    }

    def __init__(
        self,
        latent_dim: int | str = "auto",
        hidden_layer_sizes: Sequence[int] = (128,),
        activation: str = "silu",
        likelihoods: str | type | Mapping[Any, str | type] = "auto",
        min_frequency: float | None = None,
        max_categories: int | None = 100,
        missing: str = "ignore",
        scale_floor: float | str = "auto",
        posterior: str | type = "diagonal",
        prior: str | type = "full_mixture",
        prior_params: dict[str, Any] | None = None,
        divergence: str | Callable[..., Any] | None = None,
        divergence_weight: float = 1.0,
        beta: float = 1.0,
        capacity: float | None = None,
        init: str = "linear",
        learning_rate_init: float = 8e-3,
        batch_size: int | str = "auto",
        max_steps: int | str = "auto",
        validation_fraction: float = 0.1,
        n_iter_no_change: int | None = 10,
        members: str | Sequence[str | Mapping[str, Any]] = "auto",
        robust_weight: float = 0.35,
        bound: str = "elbo",
        n_draws: int = 8,
        device: Any = "auto",
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
        warm_start: bool = False,
        contamination: float | str = "auto",
        false_alarm_rate: float = 0.01,
        cv: int | str | None = "auto",
        use_labels: bool = False,
    ) -> None:
        super().__init__(
            latent_dim=latent_dim,
            hidden_layer_sizes=hidden_layer_sizes,
            activation=activation,
            likelihoods=likelihoods,
            min_frequency=min_frequency,
            max_categories=max_categories,
            missing=missing,
            scale_floor=scale_floor,
            posterior=posterior,
            prior=prior,
            prior_params=prior_params,
            divergence=divergence,
            divergence_weight=divergence_weight,
            beta=beta,
            capacity=capacity,
            init=init,
            learning_rate_init=learning_rate_init,
            batch_size=batch_size,
            max_steps=max_steps,
            validation_fraction=validation_fraction,
            n_iter_no_change=n_iter_no_change,
            members=members,
            robust_weight=robust_weight,
            bound=bound,
            n_draws=n_draws,
            device=device,
            random_state=random_state,
            verbose=verbose,
            warm_start=warm_start,
        )
        self.contamination = contamination
        self.false_alarm_rate = false_alarm_rate
        self.cv = cv
        self.use_labels = use_labels

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
            ``score_samples(X) - offset_``.

        Raises
        ------
        sklearn.exceptions.NotFittedError, ValueError, TypeError
            As `score_samples`; and ValueError if `bound` is another one than that which
            `offset_` belongs to.
        """
        self._check_bound()
        return self.score_samples(X) - self.offset_

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
        self._check_bound()
        scores = self.score_samples(X)
        if len(self.calibration_scores_) == 0:
            raise ValueError(
                f"No row calibrates this {type(self).__name__}, which was fitted with "
                f"validation_fraction={self.validation_fraction!r} and cv={self.cv!r}, or by "
                "partial_fit. Call calibrate(X_normal), or fit with cv=5."
            )
        return p_values(scores, self.calibration_scores_)

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
        return discoveries(self.p_values(X), fdr)

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
        self._rules["false_alarm_rate"].check("false_alarm_rate", self.false_alarm_rate, self)
        scores = np.sort(self.score_samples(X))
        offset = threshold(scores, self.false_alarm_rate)
        if offset is None:
            raise ValueError(
                f"A false_alarm_rate of {self.false_alarm_rate!r} needs at least "
                f"{int(np.ceil(1 / self.false_alarm_rate)) - 1} calibration rows. Got "
                f"{len(scores)}. Pass more, or raise false_alarm_rate to 1 / {len(scores) + 1}."
            )
        self.calibration_scores_, self.n_calibration_, self.offset_ = scores, len(scores), offset
        self.calibrated_bound_ = self.bound
        return self

    def _check_bound(self):
        check_is_fitted(self)
        if self.bound != self.calibrated_bound_:
            raise ValueError(
                f"The threshold and p-values are for bound={self.calibrated_bound_!r}. Got "
                f"bound={self.bound!r}: set it back, call calibrate(X_normal), or fit anew."
            )

    def _set_threshold(self, raw, anomalous, scores):
        self.calibration_scores_ = np.sort(scores)
        by_rate = self.contamination == "auto"
        share = self.false_alarm_rate if by_rate else self.contamination
        offset = threshold(self.calibration_scores_, share) if by_rate else None
        self.n_calibration_ = 0 if offset is None else len(self.calibration_scores_)
        if offset is None:
            rows = raw.take(~anomalous) if by_rate else raw
            offset = float(np.quantile(self._by_chunk(self._scores, rows), share))
        self.offset_, self.calibrated_bound_ = offset, self.bound

    def _unseen_scores(self, X, y, raw, held_out, anomalous):
        """Scores of calibration rows, none by a model that was fitted to them."""
        n_folds = self.cv
        if n_folds == "auto":
            too_small = len(held_out) == 0 and self.validation_fraction > 0
            n_folds = _FOLDS if too_small else None
        rows = np.flatnonzero(~anomalous)
        if n_folds is None or len(rows) < 3:
            return self._by_chunk(self._scores, raw.take(held_out))
        random_state = _random_state(self.random_state)
        folds = KFold(min(n_folds, len(rows)), shuffle=True, random_state=random_state)
        tests = [rows[test] for _, test in folds.split(rows)]
        families, names = self._families(raw)
        chosen = [name if name in LIKELIHOODS else families[name] for name in names]
        likelihoods = dict(zip(raw.names, chosen, strict=True))  # a fold may lack what decides
        fits = cross_validate(
            clone(self).set_callbacks().set_params(cv=None, likelihoods=likelihoods),
            X,
            y if self.use_labels else None,
            cv=[(np.delete(np.arange(len(anomalous)), test), test) for test in tests],
            scoring=lambda *_: 0.0,  # below, and once
            return_estimator=True,
        )["estimator"]
        pairs = zip(fits, tests, strict=True)
        return np.concatenate([fit._by_chunk(fit._scores, raw.take(test)) for fit, test in pairs])

    def _known_anomalies(self, y, n, *, fewest, fewest_others):
        if not self.use_labels:
            return super()._known_anomalies(y, n, fewest=fewest, fewest_others=fewest_others)
        if y is None and fewest:
            raise ValueError("With use_labels=True fit needs y. Pass it, or use_labels=False.")
        y = np.full(n, 0) if y is None else column_or_1d(y)
        labels = list({repr(label): label for label in y.tolist()}.values())  # one NaN of many
        if not set(labels) <= {1, -1, 0} or np.sum(y == -1) < fewest:
            at_least = ", with at least one -1" if fewest else ""
            is_0_and_1 = set(labels) <= {1, 0}
            remedy = " If 1 stands for an anomaly, pass np.where(y == 1, -1, 0)."
            raise ValueError(
                "With use_labels=True y must be 1 for normal rows, -1 for anomalies and 0 for "
                f"unknown ones{at_least}. Got the values {labels[:10]}.{remedy * is_0_and_1}"
            )
        if len(y) != n or n - np.sum(y == -1) < fewest_others:
            raise ValueError(
                f"y must label each row of X, and at least {fewest_others} as no anomaly. Got "
                f"{len(y)} labels, {np.sum(y == -1)} of them -1, for {n} rows."
            )
        return y == -1


def anomaly_average_precision(estimator: Any, X: ArrayLike, y: ArrayLike) -> float:
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
