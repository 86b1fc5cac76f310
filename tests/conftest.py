"""Tables that several files fit."""

import os

# Two workers of one thread each: threads of both would wait for each other. Laws about
# threads start processes of their own.
os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import pandas as pd
import pytest
from common import QUICK, SMALL, run

from skvae import VAETransformer


@pytest.fixture(scope="session")
def table():
    """400 rows of 5 columns: two factors, in units from 0.01 to 1000."""
    rng = np.random.default_rng(0)
    loadings = np.array([[1.0, 1.0, 0.5, 0.0, -1.0], [0.0, 0.5, 1.0, 1.0, 1.0]])
    standard = rng.normal(size=(400, 2)) @ loadings + 0.3 * rng.normal(size=(400, 5))
    return standard * [0.01, 1.0, 10.0, 1000.0, 1.0] + [0.0, 1.0, 0.0, -500.0, 5.0]


@pytest.fixture(scope="session")
def holed(table):
    """`table` with a fifth of its cells missing."""
    hidden = np.random.default_rng(1).random(table.shape) < 0.2
    return np.where(hidden, np.nan, table)


@pytest.fixture(scope="session")
def labelled(table):
    """`table` with 20 anomalies, each cell 2.5 deviations off its mean, and y in {+1, -1}."""
    signs = np.random.default_rng(2).choice([-2.5, 2.5], size=(20, table.shape[1]))
    odd = table.mean(axis=0) + signs * table.std(axis=0)
    return np.vstack([table, odd]), np.repeat([1, -1], [len(table), len(odd)])


@pytest.fixture(scope="session")
def frame(table):
    """`table` as a DataFrame with names, labels for the rows, and a column of booleans."""
    X = pd.DataFrame(table, columns=list("abcde"), index=[f"row {i}" for i in range(len(table))])
    return X.assign(flag=X["b"] > 1)


@pytest.fixture(scope="session")
def model(table):
    """Fit a transformer to `table`."""
    return VAETransformer(**SMALL).fit(table)


@pytest.fixture(scope="session")
def keyed(frame):
    """`frame` with a column of keys, some cells missing."""
    X = frame.reset_index(drop=True).assign(id=[f"k{i}" for i in range(len(frame))])
    X.loc[::7, "b"] = np.nan
    return X


@pytest.fixture(scope="session")
def model_file(keyed, tmp_path_factory):
    """File of a detector that the command line fitted to `keyed` without its keys."""
    folder = tmp_path_factory.mktemp("model")
    keyed.to_csv(folder / "train.csv", index=False)
    path = folder / "model.skvae"
    assert run("fit", folder / "train.csv", "-o", path, "--exclude", "id", *QUICK) == 0
    return path
