"""
Anomalies among the training rows
=================================

Often nobody knows which rows are normal. Every score is a mean over a long fit, which learns
anomalies among the training rows, and a short trimmed one, which does not; ``robust_weight`` is
the share of the latter.
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
auroc = {0.0: [], 0.35: []}
for share in shares:
    rows = np.r_[healthy, sick[: int(share * len(healthy) / (1 - share))]]
    for weight, values in auroc.items():
        detector = VAEAnomalyDetector(
            robust_weight=weight, max_steps=300, members=["plain"], random_state=0
        )
        scores = detector.fit(X.iloc[rows]).score_samples(X.iloc[rows])
        values.append(roc_auc_score(y.iloc[rows], scores))
        print(f"{share:.0%} anomalies, robust_weight={weight}: AUROC {values[-1]:.3f}")

# %%

_, ax = plt.subplots(layout="constrained")
for weight, color in ((0.35, "#0072B2"), (0.0, "#D55E00")):
    ax.plot(shares, auroc[weight], "o-", color=color, label=f"robust_weight={weight}")
ax.set_xlabel("share of anomalies in the training table")
ax.set_ylabel("AUROC on the training table")
ax.set_xticks(shares, [f"{share:.0%}" for share in shares])
ax.legend()
