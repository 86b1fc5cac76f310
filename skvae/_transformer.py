"""VAETransformer: what is about codes."""

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted

from . import _scoring
from ._base import BaseVAE, scoring_device

__all__ = ["VAETransformer"]


class VAETransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseVAE):
    def transform(self, X):
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
        table = self._read(X)
        return _scoring.latent_means(self.model_, *table, scoring_device(self.device))

    def inverse_transform(self, X):
        """Rows that latent codes stand for: the decoder's mean of each cell.

        Parameters
        ----------
        X : array-like of shape (n_samples, latent_dim)
            Latent codes.

        Returns
        -------
        rows : ndarray of shape (n_samples, n_features)
            In the columns' own units; for flags the probability of a 1.

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
        means = _scoring.reconstruct(self.model_, codes, scoring_device(self.device))
        return self.table_.decode(means)

    @property
    def _n_features_out(self):
        return self.model_.latent_dim
