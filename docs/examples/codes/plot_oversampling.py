"""
Rows of a rare class
====================

`VAEOversampler` draws rows that are like those of a rare class, and leaves out what is less
plausible than nearly all of them. It keeps imbalanced-learn's conventions, and takes mixed types
and holes. It makes rows that look real; whether a classifier gains by them is to be measured.
"""

import matplotlib.pyplot as plt
import numpy as np
from imblearn.over_sampling import SMOTE
from sklearn.datasets import load_wine

from skvae import VAETransformer
from skvae.imbalance import VAEOversampler

X, y = load_wine(return_X_y=True, as_frame=True)
rare = np.flatnonzero(y == 2)[24:]  # half of the wines of the third cultivar are lost
X, y = X.drop(index=rare), y.drop(index=rare)
samplers = {
    "SMOTE": SMOTE(random_state=0),
    "VAEOversampler": VAEOversampler(estimator=VAETransformer(max_steps=600), random_state=0),
}

# %%
# SMOTE draws on the lines between rows of the class; the model fills the space around them, as the
# noise of the columns and the other classes have it.

figure, axes = plt.subplots(1, 2, figsize=(9, 4), sharex=True, sharey=True, layout="constrained")
across, up = "flavanoids", "color_intensity"
for ax, (name, sampler) in zip(axes, samplers.items(), strict=True):
    X_more, y_more = sampler.fit_resample(X, y)
    drawn = X_more[len(X) :]
    drawn = drawn[(y_more[len(X) :] == 2).to_numpy()]
    ax.scatter(X[across], X[up], c=y.map({0: "0.8", 1: "0.8", 2: "#D55E00"}), s=30, zorder=2)
    ax.scatter(drawn[across], drawn[up], s=12, color="#0072B2", alpha=0.6)
    ax.set_xlabel(across)
    ax.set_title(name)
axes[0].set_ylabel(up)
