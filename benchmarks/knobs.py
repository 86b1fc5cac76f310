"""What the parameters worth turning do: quality and fit time of one change at a time.

Every fourth table by name, both settings, one thread. One JSON line a parameter, value,
table, setting and seed goes to results/knobs.jsonl; what is there already is not run again.
"""

import argparse
import json
from functools import partial
from itertools import product

from datasets import SETTINGS, add_data_argument, load, split, table_names
from methods import Skvae
from records import RESULTS, measure_missing
from run import quality

KNOBS = {
    "hidden_layer_sizes": [[64], [256], [512], [128, 128], [256, 256]],
    "max_steps": [300, 1_000, 3_000],
    "prior": ["standard_normal", "mixture", "vamp"],
    "robust_weight": [0.0, 0.35, 1.0],
}
EVERY = 4


def measure(data, knob, value, table, setting, seed):
    """Fit with one parameter set to a value, which is written as JSON, and score."""
    detector = Skvae(random_state=seed, **{knob: json.loads(value)})
    return quality(detector, *split(*load(data, table), seed, setting))


def main():
    """Run what is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_data_argument(parser)
    parser.add_argument("--knobs", nargs="+", choices=KNOBS, default=list(KNOBS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--jobs", type=int, default=1, help="processes, of one thread each")
    options = parser.parse_args()
    tables = sorted(table_names(options.data, "adbench"))[::EVERY]
    runs = [
        {"knob": knob, "value": json.dumps(value), "table": table, "setting": setting, "seed": seed}
        for seed, knob in product(options.seeds, options.knobs)
        for value, setting, table in product(KNOBS[knob], SETTINGS, tables)
    ]
    measure_missing(RESULTS / "knobs.jsonl", runs, partial(measure, options.data), options.jobs)


if __name__ == "__main__":
    main()
