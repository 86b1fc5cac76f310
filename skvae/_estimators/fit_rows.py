"""Rows of the table that is fitted, encoded when they are asked for."""

from typing import Any, NamedTuple

import numpy as np

from .._engine import CHUNK_ROWS, EVALUATION_SIZE, TrainingRows, unseen
from .._table import EncodedTable, RawTable, TableEncoder

__all__ = ["FitRows"]


class FitRows(NamedTuple):
    """Rows of the table that is fitted, and what each is for.

    Attributes
    ----------
    raw : RawTable
        All of them.
    encoder : TableEncoder
        Fitted.
    kept, held_out : int ndarray
        Positions of those that the weights are fitted to, and that judge and calibrate.
    anomalous : bool ndarray of shape (n,)
        Known anomalies.
    families : dict of str to class
        Noise models by name.
    X, y : array-like
        As passed to `fit`; X is None where no further fits are made.
    """

    raw: RawTable
    encoder: TableEncoder
    kept: np.ndarray
    held_out: np.ndarray
    anomalous: np.ndarray
    families: dict[str, type]
    X: Any
    y: Any

    def training(self, n_most):
        """Rows for a training that can visit so many: no more are looked at, or judge."""
        places = self.kept[:n_most], self.held_out[:EVALUATION_SIZE], np.flatnonzero(self.anomalous)
        fitted, judges, repelled = map(self.take, places)
        return TrainingRows(fitted, judges.take(unseen(judges, fitted)), repelled)

    def take(self, places):
        """Encode some of the rows, given by their positions, a chunk at a time.

        Parameters
        ----------
        places : int ndarray

        Returns
        -------
        table : EncodedTable
        """
        n = len(places)
        nothing = self.encoder.encode(self.raw.take(places[:0]))
        whole = EncodedTable(*(np.empty((n, *part.shape[1:]), part.dtype) for part in nothing))
        for at in range(0, n, CHUNK_ROWS):
            chunk = slice(at, at + CHUNK_ROWS)
            encoded = self.encoder.encode(self.raw.take(places[chunk]))
            whole.values[chunk], whole.observed[chunk] = encoded
        return whole
