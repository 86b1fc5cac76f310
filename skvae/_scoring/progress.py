"""A bar of the parts that are done: rows a second, and the time that is left."""

import os
import time

from tqdm import tqdm

__all__ = ["shown"]


FORMAT = "{percentage:3.0f}%|{bar}| {postfix}, {remaining} left"


def shown(outcomes, parts, verbose):
    """Yield outcomes of parts, and show by their bytes how far they are."""
    sizes = {part.name: os.stat(part.path).st_size for part in parts}
    start, n_done, n_rows = time.monotonic(), 0, 0
    with tqdm(total=sum(sizes.values()), bar_format=FORMAT, disable=not verbose) as bar:
        for outcome in outcomes:
            yield outcome
            n_done, n_rows = n_done + 1, n_rows + outcome.rows
            rate = n_rows / max(time.monotonic() - start, 1e-9)
            told = f"{n_done}/{len(sizes)} parts, {n_rows:,} rows, {rate:,.0f} rows/s"
            bar.set_postfix_str(told, refresh=False)
            bar.update(sizes[outcome.part])
