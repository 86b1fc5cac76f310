"""VAETransformer: what is about codes."""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted

from .._engine import untouched
from .._table import given_rows
from .base import BaseVAE
from .declared import documented
from .queries import row_labels

__all__ = ["VAETransformer"]


@documented
class VAETransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseVAE):
    """Latent codes of rows by a variational autoencoder.

    `transform` gives the mean of each row's posterior q(z | x), `inverse_transform` the
    row that a code stands for. Columns need no scaling, and cells may be missing. Rows
    are scored by their ELBO as `VAEAnomalyDetector` does.

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
        return self.codes(X)

    @untouched
    def inverse_transform(
        self, X: ArrayLike, *, context: ArrayLike | None = None
    ) -> np.ndarray | pd.DataFrame:
        """Rows that latent codes stand for: the decoder's best guess of each cell.

        Parameters
        ----------
        X : array-like of shape (n_samples, latent_dim)
            Latent codes.
        context : array-like or DataFrame of shape (n_samples or 1, n_context), default=None
            As in `sample`.

        Returns
        -------
        rows : ndarray or DataFrame of shape (n_samples, n_features)
            Means in the columns' own units, of flags the probability of a 1; the most
            probable level of columns of levels. A pandas DataFrame where one, or a polars
            one, was fitted, with its dtypes, so that flags are the likelier value, and with
            the index of X if it has one.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            Before ``fit``.
        ValueError
            If the codes do not have latent_dim columns of finite numbers, or the context is
            not what was fitted.
        """
        check_is_fitted(self)
        codes = check_array(X, dtype=np.float64, input_name="X")
        if codes.shape[1] != self._n_features_out:
            raise ValueError(
                f"X must hold latent codes with latent_dim={self._n_features_out} columns, "
                f"however: X.shape={codes.shape}"
            )
        given = given_rows(self.table_, context, len(codes))
        means = self._decoded(codes, given)
        return self.table_.in_container(self.table_.decode(means, given), row_labels(X))

    @property
    def _n_features_out(self):
        return self.model_.latent_dim
