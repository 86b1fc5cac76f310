"""
The same rate of false alarms in each group
===========================================

One threshold for all flags mostly rows of the group that scatters most. ``calibration_groups`` sets
one for each, so that the rate of false alarms holds in every hospital.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from skvae import VAEAnomalyDetector


def patients(n, seed):
    """Patients of four hospitals, whose measurements scatter more from one to the next."""
    rng = np.random.default_rng(seed)
    place = rng.integers(4, size=n)
    level = rng.normal(size=n)
    noise = (0.3 + 0.3 * place)[:, None] * rng.standard_t(5, size=(n, 2))
    values = np.column_stack([level, -level]) + noise
    return pd.DataFrame(
        {"hospital": np.array(list("ABCD"))[place], "x": values[:, 0], "y": values[:, 1]}
    )


X, fresh = patients(12_000, seed=0), patients(20_000, seed=1)
gaussian = {"x": "gaussian", "y": "gaussian"}  # one scale a column, for all hospitals
shared = {"likelihoods": gaussian, "members": ["plain"], "max_steps": 300, "random_state": 0}
settings = {"validation_fraction": 0.3, "false_alarm_rate": 0.02} | shared
detectors = {
    "one threshold": VAEAnomalyDetector(**settings).fit(X),
    "a threshold for each": VAEAnomalyDetector(calibration_groups=["hospital"], **settings).fit(X),
}

# %%
# All patients are normal: each alarm is a false one, and 2 % of them are wanted.

rates = pd.DataFrame(
    {
        name: pd.Series(detector.predict(fresh) == -1).groupby(fresh["hospital"]).mean()
        for name, detector in detectors.items()
    }
)
ax = rates.plot.bar(figsize=(7, 4), color=["#999999", "#0072B2"], rot=0)
ax.axhline(0.02, color="0.2", ls="--", lw=1)
ax.set_ylabel("rate of false alarms")
plt.show()
