"""A uniform sample of the rows of a table of any size, in one pass and bounded memory."""

from collections import deque
from itertools import accumulate
from typing import NamedTuple

import numpy as np
import pandas as pd
from tqdm import tqdm

from .layouts import frame_of, origins, release_memory

__all__ = ["Sample", "sample_of", "with_bar"]


_SLACK = 1.25  # times the size of a sample that may be kept before the least keys are chosen


class Sample(NamedTuple):
    """Rows of a source, in random order.

    Attributes
    ----------
    X : DataFrame
    paths : list of str
        File of each row.
    places : int ndarray of shape (n,)
        Number of each row in its file, from 0.
    n_rows : int
        Of the source.
    """

    X: pd.DataFrame
    paths: list[str]
    places: np.ndarray
    n_rows: int


def sample_of(blocks, n, seed):
    """Draw rows uniformly, without replacement.

    Each row gets a random key, by its number in the source alone, and the rows of the least
    keys are kept: how rows lie in files and blocks does not matter.

    Parameters
    ----------
    blocks : iterable of Block
    n : int
        Most rows to draw.
    seed : int

    Returns
    -------
    sample : Sample

    Raises
    ------
    ValueError
        If there is no row; and as `frame_of`.

    References
    ----------
    Efraimidis and Spirakis, "Weighted random sampling with a reservoir", 2006,
    doi:10.1016/j.ipl.2005.11.003.
    """
    reservoir = _Reservoir(n, np.random.default_rng(seed))
    for block in blocks:
        reservoir.add(block)
    n_rows = reservoir.n_rows
    if n_rows == 0:
        raise ValueError("There are no rows in the source.")
    keys, kept = reservoir.least()
    order = np.argsort(keys)
    paths, places = origins(kept)
    X = frame_of(kept)
    del reservoir, kept, block  # or all rows drawn would be there three times
    X = X.take(order).reset_index(drop=True)
    release_memory()
    return Sample(X, [paths[row] for row in order], places[order], n_rows)


def with_bar(blocks, verbose):
    """Yield blocks, with a progress bar of their rows."""
    with tqdm(desc="read", unit=" rows", unit_scale=True, disable=not verbose) as bar:
        for block in blocks:
            yield block
            bar.update(len(block.places))


class _Reservoir:
    """Rows of the least keys so far."""

    def __init__(self, size, rng):
        self._size, self._rng = size, rng
        self._keys, self._blocks = [], []
        self._highest, self._n_kept, self.n_rows = 1.0, 0, 0

    def add(self, block):
        """Give keys to the rows of a block, and keep those that may be among the least."""
        keys = self._rng.random(len(block.places))
        self.n_rows += len(keys)
        self._keep(keys, block)
        if self._n_kept >= _SLACK * self._size:
            self.least()

    def least(self):
        """Keep the rows of the least keys alone; return these, and their blocks."""
        keys, blocks = np.concatenate(self._keys), deque(self._blocks)
        if len(keys) > self._size:
            self._highest = np.partition(keys, self._size)[self._size]
        ends = list(accumulate(len(each) for each in self._keys))
        self._keys, self._blocks, self._n_kept = [], [], 0
        for own in np.split(keys, ends[:-1]):
            self._keep(own, blocks.popleft())  # or all would be there twice
        return np.concatenate(self._keys), self._blocks

    def _keep(self, keys, block):
        chosen = np.flatnonzero(keys < self._highest)
        if len(chosen) > 0:
            self._keys.append(keys[chosen])
            self._blocks.append(block.take(chosen))
            self._n_kept += len(chosen)
