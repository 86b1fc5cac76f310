"""
Drawing new rows
================

The model is a density, so rows can be drawn from it: the quickest look at what it has learnt
to call normal.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import load_diabetes

from skvae import VAEAnomalyDetector

X = load_diabetes(as_frame=True, scaled=False).data[["age", "bmi", "bp", "s1", "s2", "s5"]]
detector = VAEAnomalyDetector(max_steps=500, random_state=0).fit(X)
drawn = detector.sample(len(X), random_state=0)

# %%
# Real patients and drawn ones, in the columns' own units.

pairs = [("age", "bp"), ("s1", "s2"), ("bmi", "s5")]
figure, axes = plt.subplots(1, 3, figsize=(12, 4), layout="constrained")
for ax, (across, up) in zip(axes, pairs, strict=True):
    for rows, color, label in ((X, "#0072B2", "real"), (drawn, "#D55E00", "drawn")):
        ax.scatter(rows[across], rows[up], s=10, alpha=0.5, color=color, label=label, lw=0)
    ax.set_xlabel(across)
    ax.set_ylabel(up)
axes[0].legend()
