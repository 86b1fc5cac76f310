"""False alarms, p-values and discoveries on 200 simulated tables each: what is promised holds."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import skvae
from skvae import VAEAnomalyDetector

N_TABLES, N_CALIBRATION, N_FRESH, N_ODD = 200, 60, 40, 8
RATE, FDR = 0.1, 0.2
SETTINGS = {
    "hidden_layer_sizes": (8,),
    "init": "random",
    "members": [{}],
    "max_steps": 8,
    "robust_weight": 0,
    "false_alarm_rate": RATE,
}


def normal(n, rng):
    return rng.normal(size=(n, 3)) @ [[1.0, 0.5, 0], [0, 1, 0.9], [0, 0, 1]]


def heavy_tailed(n, rng):
    return rng.standard_t(2, size=(n, 2))


def mixed(n, rng):
    group = rng.choice(list("abc"), n, p=[0.7, 0.2, 0.1])
    columns = {"group": group, "flag": rng.random(n) < 0.2, "count": rng.poisson(3, n)}
    return pd.DataFrame(columns | {"size": rng.normal(size=n) + (group == "a")})


def fitted(X, seed, tmp_path):
    share = N_CALIBRATION / len(X)
    return VAEAnomalyDetector(**SETTINGS, validation_fraction=share, random_state=seed).fit(X)


def saved_and_loaded(X, seed, tmp_path):
    skvae.save(fitted(X, seed, tmp_path), tmp_path / "model.skvae")
    return skvae.load(tmp_path / "model.skvae")


def fitted_by_blocks(X, seed, tmp_path):
    model = VAEAnomalyDetector(**SETTINGS, random_state=seed).partial_fit(X[N_CALIBRATION:])
    return model.calibrate(X[:N_CALIBRATION])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*held out.*lie", "ignore:.*threshold.*")
@pytest.mark.parametrize(
    ("draw", "way"),
    [(draw, fitted) for draw in (normal, heavy_tailed, mixed)]
    + [(normal, way) for way in (saved_and_loaded, fitted_by_blocks)],
)
def test_alarms_p_values_and_discoveries_are_as_promised(draw, way, tmp_path):
    alarms, p_values, false_shares = [], [], []
    for seed in range(N_TABLES):
        rng = np.random.default_rng(seed)
        model = way(draw(200, rng), seed, tmp_path)
        fresh = draw(N_FRESH, rng)
        alarms.append((model.predict(fresh) == -1).mean())
        p_values.append(model.p_values(fresh[:1])[0])
        far = normal(N_ODD, rng) + 50 if draw is normal else None
        if far is not None:
            found = model.detect(np.vstack([fresh, far]), fdr=FDR)
            false_shares.append(found[:N_FRESH].sum() / max(1, found.sum()))
    n_levels = N_CALIBRATION + 1
    expected = np.floor(RATE * n_levels) / n_levels
    error = np.std(alarms, ddof=1) / np.sqrt(N_TABLES)
    # Ties, and rows that lie apart and so do not calibrate, make alarms rarer, never more frequent.
    assert np.mean(alarms) < expected + 3.5 * error
    if draw is normal:
        assert np.mean(alarms) > expected - 3.5 * error
        tenths = np.bincount((10 * (np.array(p_values) - 0.5 / n_levels)).astype(int), minlength=10)
        assert stats.chisquare(tenths).pvalue > 1e-3
        share, own_error = np.mean(false_shares), np.std(false_shares) / np.sqrt(N_TABLES)
        assert share < FDR + 3.5 * own_error
