"""
Odd for its context
===================

A load of 60 is nothing unusual, but it is at four in the morning. Columns named as ``context`` are
what the others are given: scores are of the load *given* hour and temperature.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from skvae import VAEAnomalyDetector


def hours(n, rng):
    hour, temperature = rng.integers(24, size=n).astype(float), rng.normal(12, 9, size=n)
    by_day = 10 * np.sin((hour - 8) / 24 * 2 * np.pi)
    load = 50 + by_day + 0.06 * (temperature - 15) ** 2 + rng.normal(0, 2, size=n)
    return pd.DataFrame({"hour": hour, "temperature": temperature, "load": load})


rng = np.random.default_rng(0)
train, test = hours(3_000, rng), hours(2_000, rng)

# %%
# Three in a hundred rows get the load of another hour. Each of their cells is usual.

odd = rng.random(len(test)) < 0.03
test.loc[odd, "load"] = rng.permutation(test["load"])[odd]

settings = {"max_steps": 600, "random_state": 0}
joint = VAEAnomalyDetector(**settings).fit(train)
given = VAEAnomalyDetector(context=["hour", "temperature"], **settings).fit(train)
for name, detector in (("all columns", joint), ("given the context", given)):
    print(f"{name}: AUROC {roc_auc_score(odd, detector.negative_elbo(test)):.2f}")

# %%
# What the model expects of the load at 12 degrees, and rows drawn there.

context = pd.DataFrame({"hour": np.repeat(np.arange(24.0), 20), "temperature": 12.0})
drawn = given.sample(context=context, random_state=0)
expected = given.expected(context[::20].assign(load=np.nan))["load"]

figure, ax = plt.subplots(figsize=(7, 4))
scores = given.negative_elbo(test)
points = ax.scatter(
    test["hour"], test["load"], c=scores, s=8, cmap="cividis", vmax=np.quantile(scores, 0.99)
)
ax.fill_between(range(24), expected["lower"], expected["upper"], color="tab:blue", alpha=0.3)
ax.plot(drawn["hour"] + 0.3, drawn["load"], ".", color="tab:red", markersize=2)
ax.set(xlabel="hour", ylabel="load")
figure.colorbar(points, label="anomaly score (nats)")
ax.set_title("rows by their score; expected (band) and drawn (red) at 12 degrees", fontsize=10)
figure.tight_layout()
