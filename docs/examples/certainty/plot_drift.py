"""
Drift, seen in p-values
=======================

As long as fresh rows are like the calibration rows, their p-values are uniform. Blocks of rows
whose p-values are not have drifted, often long before many rows are flagged.
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import kstest

from skvae import VAEAnomalyDetector
from skvae.datasets import load_thyroid

X, y = load_thyroid(return_X_y=True, as_frame=True)
healthy = X[y == 1].sample(frac=1, random_state=0)
detector = VAEAnomalyDetector(max_steps=300, random_state=0).fit(healthy[:3000])
detector = detector.calibrate(healthy[3000:4500])

# %%
# Twelve weeks of patients. From the seventh on, a gauge reads TSH a little higher each week.

later = healthy[4500:]
week = np.arange(len(later)) * 12 // len(later) + 1
later = later.assign(TSH=later["TSH"] + np.maximum(0, week - 6))
weeks = [rows for _, rows in later.groupby(week)]
p_values = [detector.p_values(rows) for rows in weeks]
drifted = [kstest(p, "uniform").pvalue for p in p_values]
flagged = [(p <= detector.false_alarm_rate).mean() for p in p_values]
for i, (p, share) in enumerate(zip(drifted, flagged, strict=True), start=1):
    print(f"week {i:2}: {share:4.1%} flagged, uniform with p = {p:.2g}")

# %%
# The share that is flagged hardly tells; Kolmogorov and Smirnov's test of the block does. It is
# made every week, so it asks for a smaller p than 0.05: here 0.05 / 12.

_, axes = plt.subplots(2, sharex=True, layout="constrained")
axes[0].plot(range(1, 13), flagged, "o-", color="#0072B2")
axes[0].axhline(detector.false_alarm_rate, color="black", linestyle="--")
axes[0].set_ylim(0, None)
axes[0].yaxis.set_major_formatter("{x:.0%}")
axes[0].set_ylabel("rows flagged")
axes[1].semilogy(range(1, 13), drifted, "o-", color="#D55E00")
axes[1].axhline(0.05 / 12, color="black", linestyle="--")
axes[1].set_ylabel("p of uniformity")
axes[1].set_xlabel("week")
axes[1].set_xticks(range(1, 13))
