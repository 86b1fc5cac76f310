"""Time and memory of fits from files: of tables in a folder of parts, of growing size.

Each size is written as parts of CSV or Parquet to a temporary folder, which is removed
afterwards, and fitted by `skvae.fit_files` in a process of its own, so that the largest resident
size is its own. Results go to results/files.jsonl.
"""

import argparse
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from records import RESULTS, measure_missing
from scoring import peak_bytes, table

import skvae

PART_ROWS = 250_000
WRITERS = {"csv": pa.csv.write_csv, "parquet": pa.parquet.write_table}


def write(folder, form, rows, columns):
    """Write parts of a table of normal rows to a folder; return their bytes."""
    for number, start in enumerate(range(0, rows, PART_ROWS)):
        X = table(min(PART_ROWS, rows - start), columns, seed=number).round(6)
        arrow = pa.table({f"x{j}": X[:, j] for j in range(columns)})
        WRITERS[form](arrow, str(folder / f"part-{number:05}.{form}"))
    return sum(path.stat().st_size for path in folder.iterdir())


def fit(folder):
    """Seconds and peak memory of a fit."""
    before, start = peak_bytes(), time.perf_counter()
    detector = skvae.VAEAnomalyDetector(random_state=0, device="cpu")
    skvae.fit_files(detector, folder)
    return {
        "seconds": round(time.perf_counter() - start, 1),
        "peak_bytes": peak_bytes(),
        "bytes_before": before,
        "n_calibration": detector.n_calibration_,
    }


def measure(temporary, form, rows, columns):
    """Write a table, and fit to it in a fresh process."""
    with TemporaryDirectory(dir=temporary) as folder:
        size = write(Path(folder), form, rows, columns)
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            return {"bytes": size} | pool.submit(fit, folder).result()


def main():
    """Run what is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", nargs="+", type=int, default=[10**6, 4 * 10**6, 32 * 10**6])
    parser.add_argument("--columns", type=int, default=20)
    parser.add_argument("--formats", nargs="+", choices=WRITERS, default=list(WRITERS))
    parser.add_argument("--temporary", help="where to write, if not where the system says")
    options = parser.parse_args()
    runs = [
        {"form": form, "rows": rows, "columns": options.columns}
        for rows, form in product(options.rows, options.formats)
    ]
    measure_missing(RESULTS / "files.jsonl", runs, partial(measure, options.temporary))


if __name__ == "__main__":
    main()
