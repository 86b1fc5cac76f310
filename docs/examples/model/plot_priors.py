"""
Priors in the latent space
==========================

The prior says which latent codes are usual. A standard normal pulls all codes into one cloud; a
mixture, and a VampPrior, may follow several; "spike_slab" keeps most dimensions near 0, "vae"
gives codes a second level of codes, and "gmvae" a mixture whose components bend with it.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_wine

from skvae import LatentSpaceDisplay, VAETransformer

X, y = load_wine(return_X_y=True)
priors = ["standard_normal", "mixture", "vamp", "spike_slab", "vae", "gmvae"]
models = [
    VAETransformer(
        latent_dim=2,
        prior=prior,
        members=["plain"],
        robust_weight=0,
        max_steps=300,
        random_state=0,
    ).fit(X)
    for prior in priors
]

# %%
# Three cultivars of wine. Numbers mark which; the model was not told.

figure, axes = plt.subplots(1, 6, figsize=(24, 4), layout="constrained")
for ax, prior, model in zip(axes, priors, models, strict=True):
    LatentSpaceDisplay.from_estimator(model, X, ax=ax)
    codes = model.transform(X)
    for cultivar in range(3):
        ax.text(*np.median(codes[y == cultivar], axis=0), cultivar, fontsize="xx-large")
    ax.set_title(f"{prior}: {model.score(X):.1f} nats per row")
