"""What the commands write of a block of rows, and of all blocks of a file together."""

import pickle
import sys
from tempfile import TemporaryFile

import numpy as np
import pandas as pd
from tqdm import tqdm

from .._estimators import largest_discovery, warn_of_detection
from .._files import dialect_of, format_of, read_table_file
from .._scoring import about, known_columns, named, together

__all__ = ["flagged_together", "oddest", "parts_of_block", "read", "repaired_block", "shown"]


def read(source, texts=()):
    """Whole table of a file; `texts` are its columns of text."""
    dialect = dialect_of(source.separator, source.decimal)
    with about(source.path):
        name = format_of(source.path, source.format)
        return read_table_file(source.path, name, texts, dialect)


def shown(results):
    """Yield tables, and count their rows by a bar where somebody looks on."""
    with tqdm(unit=" rows", unit_scale=True, disable=not sys.stderr.isatty()) as bar:
        for result in results:
            yield result
            bar.update(len(result))


def parts_of_block(detector, keep, block):
    """Say what each column adds to the scores of a block."""
    parts, rest = detector.explain(known_columns(detector, keep, block), return_rest=True)
    scores = parts.sum(axis=1) + rest.sum(axis=1)
    first = pd.DataFrame({"row": block.index, "anomaly_score": scores}, block.index)
    return together(first, block[list(keep)], parts.add_prefix("nats_"), rest)


def repaired_block(detector, keep, block, fixed, max_cells):
    """Nearest normal rows of a block, which cells were changed, and which rows are flagged yet."""
    X = known_columns(detector, keep, block)
    rows, cells = detector.repair(
        X, fixed=named(fixed, X.columns), max_cells=max_cells, return_cells=True
    )
    names = [str(column.name) for column in detector.table_.columns_]
    rows, cells = pd.DataFrame(rows).set_axis(X.index), np.asarray(cells)
    rows.columns = names
    told = [";".join(np.array(names, dtype=object)[row]) for row in cells]
    extra = {"changed": told, "flagged": detector.predict(rows.set_axis(X.columns, axis=1)) == -1}
    return together(block[list(keep)], rows, pd.DataFrame(extra, index=X.index))


def oddest(results, n):
    """Yield one table of the n rows with the highest scores."""
    oddest = []
    for result in results:
        oddest = [pd.concat([*oddest, result]).nlargest(n, "anomaly_score")]
    yield from oddest


def flagged_together(results, detector, fdr):
    """Yield the tables of all blocks, flagged by what `detect` selects among all rows.

    They wait in a temporary file meanwhile: only how often each p-value occurs is remembered.
    """
    counts, n_blocks = pd.Series(dtype=np.int64), 0
    with TemporaryFile() as waiting:
        for result in results:
            pickle.dump(result, waiting)
            n_blocks += 1
            counts = counts.add(result["p_value"].value_counts(), fill_value=0)
        counts = counts.sort_index()
        largest = largest_discovery(counts.index.to_numpy(), counts.to_numpy(), fdr)
        if largest == 0.0:
            warn_of_detection(int(counts.sum()), len(detector.calibration_scores_), fdr)
        waiting.seek(0)
        for _ in range(n_blocks):
            result = pickle.load(waiting)
            yield result.assign(flagged=result["p_value"] <= largest)
