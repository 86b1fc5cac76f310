"""
Tuning without labels
=====================

``score`` is the mean evidence lower bound of unseen rows, a density: the better model gives
what it has not seen a higher one. So a grid search works without any label.
"""

import matplotlib.pyplot as plt
import pandas as pd
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import GridSearchCV

from skvae import VAEAnomalyDetector

X = load_breast_cancer(as_frame=True).data
grid = {"latent_dim": [2, 4, 8], "likelihoods": ["gaussian", "student_t"]}
search = GridSearchCV(
    VAEAnomalyDetector(max_steps=200, members=["plain"], random_state=0), grid, cv=2
).fit(X)
print(search.best_params_)

# %%
# Differences between scores are in nats per row: 1 nat more is a density 2.7 times as high.

results = pd.DataFrame(search.cv_results_).pivot_table(
    "mean_test_score", "param_latent_dim", "param_likelihoods"
)
_, ax = plt.subplots(layout="constrained")
for (name, scores), color in zip(results.items(), ("#0072B2", "#D55E00"), strict=True):
    ax.plot(scores.index, scores, "o-", color=color, label=name)
ax.set_xlabel("latent_dim")
ax.set_xticks(results.index)
ax.set_ylabel("ELBO of held-out rows (nats per row)")
ax.legend(title="likelihoods")
