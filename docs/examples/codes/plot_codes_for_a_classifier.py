"""
Latent codes before a classifier
================================

``VAETransformer`` is a step of a pipeline like any other: it turns a table with holes, in any
units, into a few numbers a row without any.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline

from skvae import VAETransformer

X, y = load_wine(return_X_y=True)
X[np.random.default_rng(0).random(X.shape) < 0.2] = np.nan

# %%
# Two numbers in place of 13 columns, a fifth of whose cells are missing:

codes = VAETransformer(latent_dim=2, prior="standard_normal", max_steps=300, random_state=0)
pipeline = make_pipeline(codes, LogisticRegression())
accuracy = cross_val_score(pipeline, X, y, cv=3)
print(f"accuracy on unseen rows: {accuracy.mean():.1%}")

# %%
# The codes, coloured by cultivar, which they were not told.

Z = codes.fit_transform(X)
_, ax = plt.subplots(layout="constrained")
for cultivar, color, marker in zip(range(3), ("#0072B2", "#D55E00", "#009E73"), "os^", strict=True):
    ax.scatter(*Z[y == cultivar].T, s=20, color=color, marker=marker, label=f"cultivar {cultivar}")
ax.set_xlabel("latent dimension 0")
ax.set_ylabel("latent dimension 1")
ax.legend()
