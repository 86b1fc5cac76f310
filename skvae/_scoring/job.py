"""What is done with one part of a table in many files."""

import errno
from collections import Counter
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from .._files import format_of, keys_of, stem_of
from .blocks import (
    Source,
    Target,
    by_block,
    counted,
    p_values_of_block,
    scores_of_block,
    write_blocks,
)
from .ledger import Outcome, stamp
from .scorer import BlockScorer

__all__ = ["Job", "score_part"]


FULL = (errno.ENOSPC, errno.EDQUOT)
NOT_SETTINGS = ("scorer", "folder", "block_rows")


class Job(NamedTuple):
    """What is to be done with each part.

    Attributes
    ----------
    scorer : BlockScorer
    folder : str
        To write into.
    block_rows : int
        Rows read, scored and written at a time.
    input_format, output_format : {"csv", "parquet", "jsonl"} or None
        None for that of the suffix, and for that of the part.
    separator, decimal : str
        Signs of CSV, as `dialect_of` takes them.
    escape_formulas : bool
    """

    scorer: BlockScorer
    folder: str
    block_rows: int = 50_000
    input_format: str | None = None
    output_format: str | None = None
    separator: str = ","
    decimal: str = "."
    escape_formulas: bool = False

    def output_of(self, part):
        """Path of the output: that of the part below the folder, of another suffix if need be."""
        path = Path(self.folder, part.name)
        if self.output_format is None:
            return path
        return path.with_name(f"{stem_of(path.name)}.{self.output_format}")

    def settings(self):
        """All that the outputs depend on beside the inputs."""
        own = {name: value for name, value in self._asdict().items() if name not in NOT_SETTINGS}
        scorer = self.scorer
        model = {"model": scorer.digest, "keep": list(scorer.keep), "p_values": scorer.p_values}
        return model | own | {"version": version("skvae")}


def score_part(job, part):
    """Write the scores of a part, and say what became of it: a failure is told, not raised.

    Parameters
    ----------
    job : Job
    part : Part

    Returns
    -------
    outcome : Outcome
    """
    try:
        return _scored(job, part)
    except OSError as error:
        return Outcome(part.name, error=_line(error), is_full=error.errno in FULL)
    except (ImportError, TypeError, ValueError) as error:
        return Outcome(part.name, error=_line(error))


def _scored(job, part):
    before, output = stamp(part.path), job.output_of(part)
    output.parent.mkdir(parents=True, exist_ok=True)
    signs = (job.separator, job.decimal)
    source = Source(part.path, job.input_format, *signs)
    function = partial(_of_part, keys_of(part.name), _FUNCTIONS[job.scorer.p_values])
    scorer = job.scorer
    results = by_block(function, scorer.detector, scorer.keep, source, job.block_rows)
    counts = Counter()
    target = Target(str(output), _output_format(job, part), *signs, job.escape_formulas)
    write_blocks(_unchanged(counted(results, counts), part, before), target)
    return Outcome(part.name, counts["rows"], counts["flagged"], before, stamp(output))


_FUNCTIONS = {False: scores_of_block, True: p_values_of_block}


def _output_format(job, part):
    return job.output_format or format_of(part.path, job.input_format)


def _of_part(keys, function, detector, keep, block):
    """Apply a function to a block with the columns that the part's folders name."""
    new = {name: cell for name, cell in keys.items() if name not in block.columns}
    return function(detector, keep, block.assign(**new))


def _unchanged(results, part, before):
    """Yield tables, and raise at the end if the part is no longer what it was."""
    yield from results
    if stamp(part.path) != before:
        raise ValueError(f"{part.path}: it was changed while it was read. Score it again.")


def _line(error):
    return " ".join(str(error).split())
