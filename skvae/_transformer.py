"""VAETransformer: what is about codes."""

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted

from . import _scoring
from ._base import BaseVAE, scoring_device

__all__ = ["VAETransformer"]


class VAETransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseVAE):
    """Latent codes of rows by a variational autoencoder.

    `transform` gives the mean of each row's posterior q(z | x), `inverse_transform` the
    row that a code stands for. Columns need no scaling, and cells may be missing. Rows
    are scored by their ELBO as `VAEAnomalyDetector` does.

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

    See Also
    --------
    VAEAnomalyDetector : The same model with a threshold on its score.
    sklearn.decomposition.FactorAnalysis : The linear case.

    References
    ----------
    Kingma and Welling, "Auto-Encoding Variational Bayes", 2014, arXiv:1312.6114.

    Examples
    --------
    >>> import numpy as np
    >>> from skvae import VAETransformer
    >>> x = np.random.RandomState(0).normal(size=(500, 1))
    >>> X = np.hstack([x, 2 * x, -x]) + 0.1
    >>> transformer = VAETransformer(latent_dim=1, max_steps=300, random_state=0)
    >>> codes = transformer.fit_transform(X)
    >>> codes.shape
    (500, 1)
    >>> bool(abs(transformer.inverse_transform(codes) - X).mean() < 0.2)
    True
    """

    def transform(self, X: ArrayLike) -> np.ndarray:
        """Latent code of each row: the mean of its posterior q(z | x).

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)

        Returns
        -------
        codes : ndarray of shape (n_samples, latent_dim)
            In the latent space's own units; a DataFrame under ``set_output``.

        Raises
        ------
        sklearn.exceptions.NotFittedError, ValueError, TypeError
            As `score_samples`.
        """
        return self._by_chunk(self._codes, self._read(X))

    def inverse_transform(self, X: ArrayLike) -> np.ndarray:
        """Rows that latent codes stand for: the decoder's best guess of each cell.

        Parameters
        ----------
        X : array-like of shape (n_samples, latent_dim)
            Latent codes.

        Returns
        -------
        rows : ndarray of shape (n_samples, n_features)
            Means in the columns' own units, of flags the probability of a 1; the most
            probable level of columns of levels.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            Before ``fit``.
        ValueError
            If the codes do not have latent_dim columns of finite numbers.
        """
        check_is_fitted(self)
        codes = check_array(X, dtype=np.float64, input_name="X")
        if codes.shape[1] != self._n_features_out:
            raise ValueError(
                f"X must hold latent codes with latent_dim={self._n_features_out} columns, "
                f"however: X.shape={codes.shape}"
            )
        means = _scoring.reconstruct(self.model_, codes, scoring_device(self))
        return self.table_.decode(means)

    def _codes(self, table):
        return _scoring.latent_means(self.model_, *table, scoring_device(self))

    @property
    def _n_features_out(self):
        return self.model_.latent_dim
