"""VAEAnomalyDetector: what is about anomalies."""

import numpy as np
from sklearn.base import OutlierMixin
from sklearn.metrics import average_precision_score

from ._base import BaseVAE
from ._checks import either, one_of, real
from ._conformal import threshold

__all__ = ["VAEAnomalyDetector", "anomaly_average_precision"]


class VAEAnomalyDetector(OutlierMixin, BaseVAE):
    """Anomaly detector: a variational autoencoder that scores rows by their ELBO.

    The score of a row is a lower bound on the logarithm of its density under the fitted
    model, in nats and in the columns' own units. Columns need no scaling, and cells may
    be missing.

    Parameters
    ----------
    latent_dim : int or "auto", default="auto"
        Dimensions of the latent space. "auto" takes the number of columns, at most 8.
    hidden_layer_sizes : tuple of int, default=(128, 128)
        Widths of the encoder's hidden layers; the decoder has them in reverse. () makes
        both linear.
    activation : {"silu", "relu", "tanh"}, default="silu"
        Activation of the hidden layers.
    likelihoods : str, class or dict, default="auto"
        Noise model: one for all columns, or a dict of column name (position for arrays)
        to noise model, where columns left out are "auto".

        - "auto": "bernoulli" for boolean columns, "gaussian" for all others.
        - "gaussian": a normal with a learned scale per column, shared by all rows. The
          scale is at least 0.05 of the column's standard deviation (of its absolute
          value if it never varies, of 1 if it is always 0).
        - "heteroscedastic": a normal whose scale is predicted for each cell, between 0.2
          and 1 times the same unit.
        - "student_t": Student's t with 4 degrees of freedom and a learned scale per
          column, for heavy tails.
        - "bernoulli": for columns of 0 and 1.

        A subclass of `skvae.nn.Likelihood` is accepted wherever a name is.
    posterior : {"diagonal", "full"} or class, default="diagonal"
        Covariance of q(z | x): diagonal, or full through its Cholesky factor.
    prior : {"standard_normal", "mixture", "vamp"} or class, default="vamp"
        Latent density p(z): a standard normal, a learned mixture of normals, or a mixture
        of the posteriors of learned pseudo-inputs.
    prior_params : dict, default=None
        Parameters of the prior, such as ``{"n_components": 200}`` for "mixture" and
        "vamp".
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
    learning_rate_init : float, default=0.003
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
    robust : bool, default=True
        Whether to fit only rows that are not far from all others: a short fit with
        heavy-tailed noise, which ignores the fifth of each batch with the lowest ELBO,
        scores all rows, and those whose negative ELBO is above the median by more than 4
        times what is usual there are left out (from 20 rows on). The threshold is set on
        all held-out rows all the same.
    bound : {"elbo", "iwae"}, default="elbo"
        What `score_samples` returns: the evidence lower bound, or the tighter
        importance-weighted bound. `negative_elbo` and `explain` stay with the former.
    n_draws : int, default=16
        Quasi-random draws of the latent noise for scores, the same for all rows.
    device : str, default="auto"
        Where to train and score: "cpu", "cuda", "cuda:1", "mps"; "auto" takes CUDA if
        present, else the CPU. Scores are computed in float64, with "mps" on the CPU. A
        model fitted on a GPU can be pickled, and scores on the CPU where there is none.
    random_state : int, RandomState instance or None, default=None
        Source of all randomness: an int makes fits repeatable.
    verbose : int or bool, default=0
        Whether to show a progress bar.
    contamination : float or "auto", default="auto"
        A float in (0, 0.5] puts the threshold where that share of the rows passed to
        `fit` is below. "auto" puts it by `false_alarm_rate`.
    false_alarm_rate : float, default=0.01
        With ``contamination="auto"`` and m held-out rows the threshold is the k-th
        smallest of their scores, ``k = floor(false_alarm_rate * (m + 1))``: a fresh row
        that is exchangeable with the training rows is flagged with at most this
        probability. If k = 0 (fewer than 99 held-out rows at the default), it is this
        quantile of the scores of all rows passed to `fit`, and nothing is guaranteed. The
        held-out rows also choose which weights are kept, which this bound does not count.

    Attributes
    ----------
    model_ : skvae.nn.VAE
        The fitted model, float64 on the CPU.
    table_ : TableEncoder
        How columns are encoded; ``table_.columns_`` states each one's noise model.
    history_ : dict of str to list
        By ``step``: the ELBO in nats per row of the batches since the entry before,
        ``train``, and of held-out rows not left out, ``validation`` (NaN without any).
    n_steps_ : int
        Steps taken, up to the last evaluation if the fit was interrupted.
    n_left_out_ : int
        Rows that `robust` left out of the fit.
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
    n_calibration_ : int
        Held-out rows behind the threshold; 0 if it is a quantile of all rows passed to
        `fit`.

    See Also
    --------
    VAETransformer : The same model for its latent codes.
    sklearn.ensemble.IsolationForest : Detector by random splits.

    Notes
    -----
    The same fitted estimator gives a row the same score, bit by bit, whatever the other
    rows are, on one machine, device and number of threads.

    ``scoring="roc_auc"`` with y in {+1, -1} ranks by `decision_function`.
    scikit-learn's ``"average_precision"`` would measure how well the normal rows are
    found; `skvae.anomaly_average_precision` is for the anomalies.

    References
    ----------
    Kingma and Welling, "Auto-Encoding Variational Bayes", 2014, arXiv:1312.6114.
    Tomczak and Welling, "VAE with a VampPrior", 2018, arXiv:1705.07120.

    Examples
    --------
    >>> import numpy as np
    >>> from skvae import VAEAnomalyDetector
    >>> x = np.random.RandomState(0).normal(size=(500, 1))
    >>> X = np.hstack([x, 2 * x, -x]) + 0.1
    >>> detector = VAEAnomalyDetector(max_steps=1000, random_state=0).fit(X)
    >>> detector.predict([[1.1, 2.1, -0.9], [1.1, -1.9, -0.9]])
    array([ 1, -1])
    """

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
        max_steps="auto",
        validation_fraction=0.1,
        n_iter_no_change=10,
        robust=True,
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
            robust=robust,
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
        raw, held_out = super()._fit(X)
        self.n_calibration_ = 0
        share = self.contamination
        if share == "auto":
            scores = self._by_chunk(self._scores, raw.take(held_out))
            self.offset_ = threshold(scores, self.false_alarm_rate)
            if self.offset_ is not None:
                self.n_calibration_ = len(scores)
                return
            share = self.false_alarm_rate
        self.offset_ = float(np.quantile(self._by_chunk(self._scores, raw), share))


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
