"""
What the threshold promises
===========================

With ``contamination="auto"`` the threshold is set on held-out rows, such that a fresh normal
row is flagged with a probability of at most ``false_alarm_rate``. Here this is counted.
"""

import matplotlib.pyplot as plt
import numpy as np

from skvae import VAEAnomalyDetector
from skvae.datasets import load_thyroid

X, y = load_thyroid(return_X_y=True, as_frame=True)
healthy = X[y == 1]
train, fresh = healthy[:3000], healthy[3000:]

# %%
# The 3,000 rows leave 300 held out, so every rate from 1 in 301 upwards can be promised.

detector = VAEAnomalyDetector(max_steps=300, random_state=0).fit(train)
print(f"{detector.n_calibration_} held-out rows, threshold at {-detector.offset_:.1f} nats")
print(f"{(detector.predict(fresh) == -1).mean():.1%} of fresh healthy rows flagged")

# %%
# The promise is about the mean over training tables: each holds other rows out, here 300. Refitting
# on different rows shows how far a single threshold may be from it.

rates = []
for seed in range(5):
    order = np.random.RandomState(seed).permutation(len(healthy))
    train, fresh = healthy.iloc[order[:1500]], healthy.iloc[order[1500:3500]]
    fitted = VAEAnomalyDetector(
        false_alarm_rate=0.05,
        validation_fraction=0.2,
        hidden_layer_sizes=(32,),
        max_steps=200,
        members=["plain"],
        random_state=seed,
    ).fit(train)
    rates.append((fitted.predict(fresh) == -1).mean())

_, ax = plt.subplots(layout="constrained")
ax.plot(range(1, 6), rates, "o", color="#0072B2", label="one fit")
ax.axhline(np.mean(rates), color="#0072B2", label="their mean")
ax.axhline(0.05, color="black", linestyle="--", label="false_alarm_rate")
ax.set_ylim(0, 0.1)
ax.yaxis.set_major_formatter("{x:.0%}")
ax.set_ylabel("fresh healthy rows flagged")
ax.set_xlabel("random split")
ax.set_xticks(range(1, 6))
ax.legend(loc="lower right")
