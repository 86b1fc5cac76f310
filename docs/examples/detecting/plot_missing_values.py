"""
Missing values
==============

Cells may be missing, in training and afterwards, and need no imputation: a row is scored by the
cells it has. Some cells are hidden in training too, so the model learns to infer a row from the
rest.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import IsolationForest
from sklearn.impute import SimpleImputer
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline

from skvae import VAEAnomalyDetector

X, target = load_breast_cancer(return_X_y=True)
train, test = train_test_split(np.flatnonzero(target == 1), random_state=0)
test = np.r_[test, np.flatnonzero(target == 0)]

# %%
# The same share of the cells is taken out of the training table and of the rows to be scored.

shares = [0.0, 0.3, 0.6]
auroc = {"skvae": [], "IsolationForest, means imputed": []}
for share in shares:
    hidden = np.random.default_rng(0).random(X.shape) < share
    holed = np.where(hidden, np.nan, X)
    models = (
        VAEAnomalyDetector(max_steps=300, random_state=0),
        make_pipeline(SimpleImputer(), IsolationForest(random_state=0)),
    )
    for values, model in zip(auroc.values(), models, strict=True):
        scores = model.fit(holed[train]).score_samples(holed[test])
        values.append(roc_auc_score(target[test], scores))

_, ax = plt.subplots(layout="constrained")
for (name, values), color in zip(auroc.items(), ("#0072B2", "#D55E00"), strict=True):
    ax.plot(shares, values, "o-", color=color, label=name)
ax.set_xlabel("share of cells missing")
ax.set_ylabel("AUROC, benign against malignant")
ax.xaxis.set_major_formatter("{x:.0%}")
ax.legend()
