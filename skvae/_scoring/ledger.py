"""What was scored into a folder, by which model and of which input: one line of JSON a part.

A part is finished if its output is whole, which its name alone says, and if the last line about
it names the model, the settings, the input and the output as they are now.
"""

import json
import os
from pathlib import Path
from typing import Any, NamedTuple

from .blocks import about

__all__ = ["Ledger", "Outcome", "stamp"]


NAME = "_skvae.jsonl"  # readers of folders of Parquet leave such names out


class Outcome(NamedTuple):
    """What became of a part.

    Attributes
    ----------
    part : str
        Its name.
    rows, flagged : int
    input, output : list of int, or None
        Sizes in bytes and times of change in ns, as `stamp` gives them; None for a failure.
    error : str or None
        Why there is no output.
    is_full : bool
        Whether the others need not be tried, for there is no room for them.
    """

    part: str
    rows: int = 0
    flagged: int = 0
    input: Any = None
    output: Any = None
    error: str | None = None
    is_full: bool = False


class Ledger:
    """The outcomes that a folder of scores has.

    Parameters
    ----------
    folder : Path
    settings : dict
        All that the outputs depend on beside the inputs; JSON.
    """

    def __init__(self, folder, settings):
        self._path, self._settings = Path(folder) / NAME, settings

    def finished(self):
        """Outcomes that hold yet, of settings that are the same, by the names of their parts."""
        last = {record["part"]: record for record in self._records()}
        return {
            name: Outcome(**{field: record[field] for field in FIELDS})
            for name, record in last.items()
            if record["settings"] == self._settings
        }

    def add(self, outcome):
        """Write down an outcome."""
        record = {field: getattr(outcome, field) for field in FIELDS} | {"settings": self._settings}
        line = f"{json.dumps(record)}\n".encode()
        with about(str(self._path)), self._path.open("ab+") as file:
            file.write(line if _ends_a_line(file) else b"\n" + line)

    def _records(self):
        if not self._path.exists():
            return
        with self._path.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                if (record := _record(line)) is not None:
                    yield record


def _ends_a_line(file):
    """Whether the last line of a file that is open to append to was written to its end."""
    if file.tell() == 0:
        return True
    file.seek(-1, os.SEEK_END)
    return file.read(1) == b"\n"


FIELDS = ("part", "rows", "flagged", "input", "output")


def _record(line):
    """Record of a line; None for one that was cut short."""
    try:
        record = json.loads(line)
    except json.JSONDecodeError:
        return None
    is_whole = isinstance(record, dict) and {*FIELDS, "settings"} <= record.keys()
    return record if is_whole else None


def stamp(path):
    """Size and time of change of a file; None where there is none."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None
    return [status.st_size, status.st_mtime_ns]
