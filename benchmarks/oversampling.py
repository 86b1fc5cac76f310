"""A rare class oversampled: gradient boosting on rows as they are, and with rows added.

Half of each table is fitted, the other half judged by average precision of the rare class. Methods
that need numbers, or levels without holes, get the median or the most frequent level in their
place, which the others do not need. One JSON line a table, method and seed goes to
results/oversampling.jsonl; what is there already is not run again.
"""

import argparse
import warnings
from functools import partial
from itertools import product

import numpy as np
import pandas as pd
from datasets import add_data_argument, load
from imblearn.over_sampling import SMOTE, SMOTEN, SMOTENC, RandomOverSampler
from records import RESULTS, measure_missing
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import average_precision_score
from sklearn.model_selection import train_test_split
from threadpoolctl import threadpool_limits

from skvae import VAETransformer
from skvae.imbalance import VAEOversampler

# Rare classes of 2 to 6 % of numbers alone, of levels alone, and of both with holes.
TABLES = ["23_mammography", "44_Wilt", "winequality_white", "nursery", "sick"]


def filled(X):
    """Table whose holes have the column's median or most frequent level."""
    middles = {
        name: cells.median() if pd.api.types.is_numeric_dtype(cells) else cells.mode()[0]
        for name, cells in X.items()
        if cells.isna().any()
    }
    return X.fillna(middles)


def smote(X, y, seed):
    """Oversample with levels as numbers, rounded afterwards."""
    codes = X.apply(lambda cells: cells.cat.codes if cells.dtype == "category" else cells)
    rows, y = SMOTE(random_state=seed).fit_resample(codes, y)
    for name, cells in X.items():
        if cells.dtype == "category":
            levels = np.rint(rows[name]).astype(int)
            rows[name] = pd.Categorical.from_codes(levels, dtype=cells.dtype)
    return rows, y


def smote_by_kind(X, y, seed):
    """Oversample by SMOTENC, or SMOTEN where all columns are levels, SMOTE where none is."""
    are_levels = [X[name].dtype == "category" for name in X]
    if all(are_levels):
        return SMOTEN(random_state=seed).fit_resample(X, y)
    if not any(are_levels):
        return SMOTE(random_state=seed).fit_resample(X, y)
    return SMOTENC(are_levels, random_state=seed).fit_resample(X, y)


def vae(min_p_value, X, y, seed):
    """Oversample by skvae."""
    model = VAETransformer(device="cpu")
    sampler = VAEOversampler(estimator=model, min_p_value=min_p_value, random_state=seed)
    return sampler.fit_resample(X, y)


METHODS = {
    "none": lambda X, y, seed: (X, y),
    "copies": lambda X, y, seed: RandomOverSampler(random_state=seed).fit_resample(X, y),
    "SMOTE": lambda X, y, seed: smote(filled(X), y, seed),
    "SMOTENC": lambda X, y, seed: smote_by_kind(filled(X), y, seed),
    "VAEOversampler": partial(vae, 0.05),
    "VAEOversampler, all draws": partial(vae, 0.0),
}


def measure(data, table, method, seed):
    """Average precision of the rare class."""
    X, y = load(data, table)
    X = pd.DataFrame(X).rename(columns=str)
    X = X.loc[:, X.nunique() > 1]  # the classifier takes no column without a value
    levels = X.select_dtypes(exclude="number").columns
    X[levels] = X[levels].astype("category")
    X_train, X_test, y_train, y_test = train_test_split(
        X, y, test_size=0.5, stratify=y, random_state=seed
    )
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rows, classes = METHODS[method](X_train, y_train, seed)
        rows = rows.astype(dict(X.dtypes[levels]))
        model = HistGradientBoostingClassifier(
            categorical_features="from_dtype", random_state=seed
        ).fit(rows, classes)
        odds = model.predict_proba(X_test)[:, 1]
    return {"average_precision": round(float(average_precision_score(y_test, odds)), 5)}


def main():
    """Run what is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_data_argument(parser)
    parser.add_argument("--tables", nargs="+", default=TABLES)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--jobs", type=int, default=1, help="processes, of one thread each")
    options = parser.parse_args()
    runs = [
        {"table": table, "method": method, "seed": seed}
        for seed, table, method in product(options.seeds, options.tables, METHODS)
    ]
    path = RESULTS / "oversampling.jsonl"
    measure_missing(path, runs, partial(measure, options.data), options.jobs)


if __name__ == "__main__":
    main()
