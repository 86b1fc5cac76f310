"""Held-out nats of skvae beside other densities, on every table of numbers alone.

The novelty split: models are fitted to nine tenths of half of the normal rows, the last tenth
chooses (skvae's members; components, factors, bandwidth), and the other half of the normal rows
is scored: mean log density in nats a row and in standardised units. No row that is scored has
had any part in a fit or a choice. All rows get normal noise of 0.03 of a column's
standard deviation beforehand: without it a model could be as dense as it likes where values
repeat, and the comparison would be one of floors. The density of skvae is that of the member
chosen; the mean with the robust member, the default score, bounds it from below. One JSON
line a table, model and seed goes to results/density.jsonl; what is there already is not run
again.
"""

import argparse
import warnings
from dataclasses import replace
from functools import partial
from itertools import product

import numpy as np
from datasets import add_data_argument, is_numeric, load, split, table_names
from records import RESULTS, measure_missing
from sklearn.decomposition import FactorAnalysis
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import KernelDensity
from threadpoolctl import threadpool_limits

from skvae import VAEAnomalyDetector

NOISE = 0.03  # of a column's standard deviation


def best(models, fitted, judges):
    """Fit all models; return the one with the most nats on the rows that judge."""
    return max((model.fit(fitted) for model in models), key=lambda model: model.score(judges))


def gaussian_mixture(fitted, judges, seed):
    """Fit mixtures of normals with full covariances."""
    sizes = [k for k in (1, 5, 10, 20) if k <= len(fitted) // 2]
    return best(
        [GaussianMixture(k, reg_covar=1e-3, random_state=seed) for k in sizes], fitted, judges
    )


def factor_analysis(fitted, judges, seed):
    """Fit factor analysis."""
    factors = [k for k in (1, 2, 4, 8, 16, 32) if k < fitted.shape[1]]
    return best([FactorAnalysis(k, random_state=seed) for k in factors or [1]], fitted, judges)


def kernel_density(fitted, judges, seed):
    """Fit a normal kernel around each row."""
    widths = np.geomspace(0.03, 1, 12)
    return best([KernelDensity(bandwidth=width) for width in widths], fitted, judges)


MODELS = {
    "GaussianMixture": gaussian_mixture,
    "FactorAnalysis": factor_analysis,
    "KernelDensity": kernel_density,
}


def measure(data, table, model, seed, cap):
    """Mean nats a row of the normal test rows, and what was chosen."""
    X, y = load(data, table)
    X, X_test, y_test = (np.asarray(part, float) for part in split(X, y, seed, "semi", cap))
    noise = np.random.RandomState(seed)
    varying = X.std(axis=0) > 1e-9 * np.abs(X).max(axis=0)
    centre, unit = X[:, varying].mean(axis=0), X[:, varying].std(axis=0)
    X, normal = ((part[:, varying] - centre) / unit for part in (X, X_test[y_test == 0]))
    X, normal = (part + NOISE * noise.normal(size=part.shape) for part in (X, normal))
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if model == "skvae":
            detector = VAEAnomalyDetector(random_state=seed).fit(X)
            with_robust = detector.score(normal)
            (main,) = [each for each in detector.members_[:-1] if each.model is not None]
            detector.members_ = [replace(main, weight=1.0)]
            return {
                "nats": round(detector.score(normal), 4),
                "nats with robust member": round(with_robust, 4),
                "chosen": main.name,
            }
        order = noise.permutation(len(X))
        n_judges = max(1, round(0.1 * len(X)))
        judges, fitted = X[order[:n_judges]], X[order[n_judges:]]
        chosen = MODELS[model](fitted, judges, seed)
        return {
            "nats": round(float(chosen.score_samples(normal).mean()), 4),
            "chosen": repr(chosen),
        }


def main():
    """Run what is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_data_argument(parser)
    parser.add_argument("--models", nargs="+", default=["skvae", *MODELS])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--cap", type=int, default=3_600, help="rows of a table, at most")
    parser.add_argument("--jobs", type=int, default=1, help="processes, of one thread each")
    options = parser.parse_args()
    tables = [name for name in table_names(options.data) if is_numeric(load(options.data, name)[0])]
    runs = [
        {"table": table, "model": model, "seed": seed, "cap": options.cap}
        for seed, model, table in product(options.seeds, options.models, tables)
    ]
    path = RESULTS / "density.jsonl"
    measure_missing(path, runs, partial(measure, options.data), options.jobs)


if __name__ == "__main__":
    main()
