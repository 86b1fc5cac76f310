"""A model that scores blocks of rows wherever it is sent."""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from os import PathLike, fspath
from pathlib import Path
from tempfile import NamedTemporaryFile
from threading import Lock
from typing import Any

import numpy as np
import pandas as pd

from .._engine import one_thread
from .._files import digest_of, load
from .blocks import known_columns, p_values_of_block, scores_of_block, select

__all__ = ["BlockScorer"]


class BlockScorer:
    """Scores of blocks of rows, for engines that share out a table among processes.

    It pickles with the model in it, so that no other machine needs the file, and a process loads
    the model once, however many blocks and copies of this it is given. A block is scored on one
    thread: the engine shares out the processors. A row's score does not depend on its block, nor
    on the process, bit by bit.

    Parameters
    ----------
    path : str or path-like
        File of `save` or of ``skvae fit``, read at once.
    keep : sequence of str, default=()
        Columns of a block to copy.
    p_values : bool, default=False
        Whether to add how rarely a normal row scores as high.

    Raises
    ------
    OSError, ValueError
        As `load`; a ValueError also where the model has no p-values and they are asked for.
    TypeError
        If `keep` is no sequence of names.

    See Also
    --------
    score_files : Scores of the files of a folder.

    Notes
    -----
    Called with a block, a DataFrame, ``pyarrow.Table`` or ``RecordBatch``, it returns one of the
    same kind with as many rows: the columns to keep, ``anomaly_score`` (nats, higher is odder),
    ``flagged`` (of a detector), ``class`` and its ``probability`` (of a classifier) and ``p_value``
    (if asked for). Columns are found by their names.
    Called with an iterator of blocks, it returns one of results. Of a block without rows the result
    has none, and the same columns. A ValueError names the column and the row of the block.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np, pandas as pd
    >>> import skvae
    >>> X = pd.DataFrame(np.random.RandomState(0).normal(size=(100, 2)), columns=["a", "b"])
    >>> path = os.path.join(tempfile.mkdtemp(), "model.skvae")
    >>> skvae.save(skvae.VAEAnomalyDetector(max_steps=20, random_state=0).fit(X), path)
    >>> scorer = skvae.BlockScorer(path, keep=["a"])
    >>> list(scorer(X[:3]))
    ['a', 'anomaly_score', 'flagged']

    In engines, each with its own way to hand out blocks::

        ray.data.read_parquet("new").map_batches(scorer, batch_format="pyarrow")
        dask.dataframe.read_parquet("new").map_partitions(scorer)
        schema = "a double, anomaly_score double, flagged boolean"
        spark.read.parquet("new").mapInPandas(scorer, schema)
    """

    def __init__(
        self, path: str | PathLike[str], keep: Sequence[str] = (), p_values: bool = False
    ) -> None:
        if isinstance(keep, str):
            raise TypeError(f"keep must be a list of names. Got {keep!r}: write [{keep!r}].")
        self.path = fspath(path)
        self.keep = tuple(keep)
        self.p_values = p_values
        self._content = Path(path).read_bytes()
        self.digest, detector = _loaded(self._content, self.path)
        if p_values and not hasattr(detector, "offset_"):
            raise ValueError(
                f"{self.path} is a {type(detector).__name__}, which has no p-values: leave them "
                "out, or fit a VAEAnomalyDetector."
            )
        _remember(self.digest, detector)

    def __repr__(self) -> str:
        return f"BlockScorer({self.path!r}, keep={list(self.keep)!r}, p_values={self.p_values!r})"

    @property
    def detector(self) -> Any:
        """The model, loaded at the first use in a process."""
        with _LOCK:
            known = _MODELS.get(self.digest)
        if known is not None:
            return known
        return _remember(*_loaded(self._content, self.path))

    def __call__(self, block: Any) -> Any:
        """Score the rows of a block, or of each block of an iterator.

        Parameters
        ----------
        block : DataFrame, pyarrow.Table, pyarrow.RecordBatch, or iterator of these

        Returns
        -------
        scores : of the kind given
        """
        if isinstance(block, Iterator):
            return map(self, block)
        if isinstance(block, pd.DataFrame):
            return self._scores(block)
        if hasattr(block, "schema") and hasattr(block, "to_pandas"):
            return self._arrow_scores(block)
        raise TypeError(
            f"a block is a DataFrame or a table of Arrow, not {type(block).__name__}. In Ray Data "
            'write map_batches(..., batch_format="pyarrow").'
        )

    def _scores(self, block):
        detector, function = self.detector, p_values_of_block if self.p_values else scores_of_block
        if len(block) == 0:
            return self._no_scores(detector, block)
        with one_thread.alone():
            return function(detector, list(self.keep), block)

    def _no_scores(self, detector, block):
        known_columns(detector, self.keep, block)
        dtypes = {"anomaly_score": float}
        dtypes |= {"flagged": bool} if hasattr(detector, "offset_") else {}
        if hasattr(detector, "classes_"):
            dtypes |= {"class": detector.classes_[:0].dtype, "probability": float}
        dtypes |= {"p_value": float} if self.p_values else {}
        empty = {name: np.empty(0, dtype) for name, dtype in dtypes.items()}
        return select(block, self.keep, ()).assign(**empty)

    def _arrow_scores(self, block):
        import pyarrow

        frame = block.to_pandas(ignore_metadata=True, integer_object_nulls=True)
        scores = self._scores(frame).drop(columns=list(self.keep))
        added = [pyarrow.array(cells.to_numpy()) for _, cells in scores.items()]
        kept = [block.column(name) for name in self.keep]  # of the types that they had
        return type(block).from_arrays([*kept, *added], names=[*self.keep, *scores])


_MODELS: OrderedDict[str, Any] = OrderedDict()  # of this process, by what their files hold
_MOST = 4
_LOCK = Lock()


def _remember(digest, detector):
    """Keep a model for the next of the same file; the one used longest ago goes."""
    with _LOCK:
        detector = _MODELS.setdefault(digest, detector)
        _MODELS.move_to_end(digest)
        while len(_MODELS) > _MOST:
            _MODELS.popitem(last=False)
    return detector


def _loaded(content, path):
    """Checksum and model of a file's bytes; errors name the path that they came from."""
    with NamedTemporaryFile(suffix=".skvae") as file:
        file.write(content)
        file.flush()
        try:
            detector = load(file.name)  # which says what is wrong with it
            return digest_of(file.name), detector
        except ValueError as error:
            raise ValueError(str(error).replace(file.name, path)) from error
