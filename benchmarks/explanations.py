"""How often the one wrong cell of a row is blamed first, and what the blame costs.

Fits the normal rows of the mixed tables (benchmarks/mixed.py) and spoils one observed cell of
each of 500 normal rows that were held out, in a column drawn among those that vary:

- "swapped": by the cell of another held-out row, with another value;
- "extreme": a number by the farther of the 0.1 % and 99.9 % quantiles of the training rows.

Each method then blames columns; what one-hot columns get is added up for the column that they
came from, and ties are broken at random. One JSON line a table, method and seed in
results/explanations.jsonl; what is there already is not run again.

The others: pip install -c constraints.txt -r benchmarks/requirements.txt
"""

import argparse
import time
import warnings
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from mixed import TABLES, encoded
from records import RESULTS, measure_missing
from sklearn.ensemble import IsolationForest
from threadpoolctl import threadpool_limits

from skvae import VAEAnomalyDetector

N_ROWS = 500
Z_95 = 1.6449  # of the ends of a 90 % interval
SMALLEST_SCALE = 0.05  # of a cell, in standard deviations of its column


class Explained:
    """skvae's `explain`."""

    def __init__(self, seed):
        self.detector = VAEAnomalyDetector(random_state=seed)

    def fit(self, frame):
        """Fit rows as they are."""
        self.detector.fit(frame)

    def blame(self, frame):
        """Return nats by column."""
        return self.detector.explain(frame)


class Unexpected(Explained):
    """Distance of each cell from what skvae expects given the others, as if normal."""

    def fit(self, frame):
        """Fit rows as they are."""
        super().fit(frame)
        self.floors = SMALLEST_SCALE * frame.std(numeric_only=True)

    def blame(self, frame):
        """Return nats by column."""
        expected = self.detector.expected(frame)
        return pd.DataFrame({name: self._nats(frame[name], expected[name]) for name in frame})

    def _nats(self, cells, expected):
        if "probability" in expected:
            return -np.log(expected["probability"])
        middle = (expected["lower"] + expected["upper"]) / 2
        scale = (expected["upper"] - expected["lower"]) / (2 * Z_95)
        return ((cells - middle) / scale.clip(lower=self.floors[cells.name] or 1.0)) ** 2 / 2


class Encoded:
    """A rival that gets columns one-hot, filled and standardised, and blames these.

    Parameters
    ----------
    model : object with ``fit``
    blame_encoded : callable, (model, X, n_fitted) -> (n, n_encoded)
    """

    def __init__(self, model, blame_encoded):
        self.columns, self.model = encoded("passthrough")[0], model
        self.blame_encoded = blame_encoded

    def fit(self, frame):
        """Fit encoded rows."""
        X = self.columns.fit_transform(frame).astype(np.float64)
        self.model.fit(X)
        one_hot = self.columns.named_transformers_["onehotencoder"]
        names = [name.split("__", 1)[1] for name in self.columns.get_feature_names_out()]
        self.sources = np.array(names, dtype=object)
        repeats = [len(levels) for levels in one_hot.categories_]
        places = self.columns.output_indices_["onehotencoder"]
        self.sources[places] = np.repeat(one_hot.feature_names_in_, repeats)

    def blame(self, frame):
        """Return blame by column: the sum over the encoded columns it gave."""
        X = self.columns.transform(frame).astype(np.float64)
        blame = pd.DataFrame(self.blame_encoded(self.model, X))
        return blame.T.groupby(self.sources).sum().T[list(frame)]


def shap_values(forest, X):
    """Shapley values towards a short path: Lundberg et al., 2020, doi:10.1038/s42256-019-0138-9."""
    import shap

    return -shap.TreeExplainer(forest).shap_values(X, check_additivity=False)


def tail_scores(model, X):
    """Return what each dimension adds to PyOD's ECOD or COPOD."""
    model.decision_function(X)
    return model.O[-len(X) :]


def squared_errors(model, X):
    """Squared reconstruction error of each dimension of PyOD's autoencoders."""
    import torch

    rows = torch.tensor(X, dtype=torch.float32)
    model.model.eval()
    with torch.inference_mode():
        output = model.model(rows)
    rebuilt = output[0] if isinstance(output, tuple) else output
    return (rows - rebuilt).square().numpy()


def forest(seed):
    """IsolationForest and its Shapley values."""
    return Encoded(IsolationForest(random_state=seed), shap_values)


def ecod(seed):
    """PyOD's ECOD."""
    from pyod.models.ecod import ECOD

    return Encoded(ECOD(), tail_scores)


def copod(seed):
    """PyOD's COPOD."""
    from pyod.models.copod import COPOD

    return Encoded(COPOD(), tail_scores)


def auto_encoder(seed):
    """PyOD's AutoEncoder, which would itself divide a column that never varies by 0."""
    from pyod.models.auto_encoder import AutoEncoder

    return Encoded(AutoEncoder(preprocessing=False, random_state=seed, verbose=0), squared_errors)


def vae(seed):
    """PyOD's VAE."""
    from pyod.models.vae import VAE

    return Encoded(VAE(preprocessing=False, random_state=seed, verbose=0), squared_errors)


METHODS = {
    "skvae explain": Explained,
    "skvae expected": Unexpected,
    "SHAP on IForest": forest,
    "ECOD": ecod,
    "COPOD": copod,
    "PyOD AutoEncoder": auto_encoder,
    "PyOD VAE": vae,
}


def swapped(name, cell, train, held_out, rng):
    """Another value of the column among the held-out rows, or None."""
    others = held_out[name].dropna()
    others = others[others != cell]
    return others.iloc[rng.integers(len(others))] if len(others) else None


def extreme(name, cell, train, held_out, rng):
    """Give the farther of two quantiles of a column of numbers, or None."""
    if not pd.api.types.is_numeric_dtype(train[name]) or train[name].dtype == bool:
        return None
    ends = train[name].quantile([0.001, 0.999], interpolation="nearest")
    value = max(ends, key=lambda end: abs(end - cell))
    return None if value == cell else value


SPOILERS = {"swapped": swapped, "extreme": extreme}


def spoiled(frame, train, spoil, rng):
    """Rows with one wrong cell each, and the positions of these."""
    rows = frame.iloc[rng.permutation(len(frame))[:N_ROWS]].reset_index(drop=True)
    varying = np.flatnonzero([train[name].nunique() > 1 for name in train])
    wrong = np.empty(len(rows), dtype=int)
    for i in range(len(rows)):
        value = None
        while value is None:
            j = rng.choice(varying)
            if pd.notna(rows.iat[i, j]):
                value = spoil(rows.columns[j], rows.iat[i, j], train, frame, rng)
        rows.iat[i, j] = value
        wrong[i] = j
    return rows, wrong


def places(blame, wrong, rng):
    """Place of the wrong cell among its row's columns, from 0; ties at random."""
    blame = np.nan_to_num(blame.to_numpy(dtype=np.float64), nan=-np.inf)  # holes are not blamed
    order = np.lexsort((rng.random(blame.shape), -blame), axis=1)
    return (order == wrong[:, None]).argmax(axis=1)


def measure(data, table, method, seed):
    """Fit once and blame both kinds of spoiled rows."""
    train, test, odd = TABLES[table](data, seed)
    rng = np.random.default_rng(seed)
    sets = {kind: spoiled(test[~odd], train, spoil, rng) for kind, spoil in SPOILERS.items()}
    explainer = METHODS[method](seed)
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        start = time.perf_counter()
        explainer.fit(train)
        record = {"fit_seconds": round(time.perf_counter() - start, 3), "columns": train.shape[1]}
        start = time.perf_counter()
        blames = {kind: explainer.blame(rows) for kind, (rows, _) in sets.items()}
        record["explain_seconds"] = round(time.perf_counter() - start, 3)
    for kind, (_, wrong) in sets.items():
        place = places(blames[kind], wrong, np.random.default_rng(seed))
        record |= {f"{kind} first": float((place < 1).mean())}
        record |= {f"{kind} among 3": float((place < 3).mean())}
    return record


def main():
    """Run what is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--data", type=Path, default=Path("../shared/data"), help="as for benchmarks/mixed.py"
    )
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=list(TABLES))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    options = parser.parse_args()
    runs = [
        {"table": table, "method": method, "seed": seed}
        for table, method, seed in product(options.tables, options.methods, options.seeds)
    ]
    measure_missing(RESULTS / "explanations.jsonl", runs, partial(measure, options.data))


if __name__ == "__main__":
    main()
