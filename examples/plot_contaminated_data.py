"""
Anomalies among the training rows
=================================

Often nobody knows which rows are normal. With ``robust=True``, the default, a short fit with
heavy-tailed noise first finds rows that are far from all others and leaves them out.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.metrics import roc_auc_score

from skvae import VAEAnomalyDetector
from skvae.datasets import load_thyroid

X, y = load_thyroid(return_X_y=True, as_frame=True)
random_state = np.random.RandomState(0)
healthy = random_state.permutation(np.flatnonzero(y == 1))[:1500]
sick = random_state.permutation(np.flatnonzero(y == -1))

# %%
# Training tables with more and more patients who have a condition, without a word about who
# they are. The detectors rank the training rows themselves.

shares = [0.02, 0.1, 0.2]
auroc = {True: [], False: []}
for share in shares:
    rows = np.r_[healthy, sick[: int(share * len(healthy) / (1 - share))]]
    for robust, values in auroc.items():
        detector = VAEAnomalyDetector(robust=robust, max_steps=300, random_state=0)
        scores = detector.fit(X.iloc[rows]).score_samples(X.iloc[rows])
        values.append(roc_auc_score(y.iloc[rows], scores))
        left_out = f"{detector.n_left_out_} left out" if robust else ""
        print(f"{share:.0%} anomalies, robust={robust}: AUROC {values[-1]:.3f} {left_out}")

# %%

_, ax = plt.subplots(layout="constrained")
for robust, color in ((True, "#0072B2"), (False, "#D55E00")):
    ax.plot(shares, auroc[robust], "o-", color=color, label=f"robust={robust}")
ax.set_xlabel("share of anomalies in the training table")
ax.set_ylabel("AUROC on the training table")
ax.set_xticks(shares, [f"{share:.0%}" for share in shares])
ax.legend()
