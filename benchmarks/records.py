"""Results as JSON lines: one record a measurement, added as it comes."""

import json
from pathlib import Path

from joblib import Parallel, delayed

RESULTS = Path(__file__).parent / "results"


def read(path):
    """All records of a file; none where there is no file."""
    return list(map(json.loads, path.read_text().splitlines())) if path.exists() else []


def measure_missing(path, runs, measure, jobs=1):
    """Append the record ``run | measure(**run)`` of each run that the file does not hold.

    Parameters
    ----------
    path : Path
        An interrupted run is resumed from what is there; delete the file to start anew.
    runs : list of dict
        What tells one measurement from another: strings and numbers.
    measure : callable, ``**run`` -> dict
    jobs : int, default=1
        Processes, of one thread each if more than one.
    """
    held = read(path)
    missing = [run for run in runs if not any(run.items() <= record.items() for record in held)]
    path.parent.mkdir(parents=True, exist_ok=True)
    records = Parallel(jobs, return_as="generator_unordered")(
        delayed(_record)(measure, run) for run in missing
    )
    with path.open("a") as file:
        for record in records:
            line = json.dumps(record)
            file.write(f"{line}\n")
            file.flush()
            print(line, flush=True)


def _record(measure, run):
    return run | measure(**run)
