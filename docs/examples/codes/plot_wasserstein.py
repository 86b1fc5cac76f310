"""
Wasserstein autoencoders
========================

With ``beta=0`` and a divergence the codes of all rows together are drawn to the prior, instead of
the posterior of each row: a Wasserstein autoencoder, or with a kernel a K-VAE; the divergence of a
WAE-GAN is a critic that learns to tell codes from draws from the prior. The objective is another
one, and scores are still the ELBO: the encoder is fitted to it at the end.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer

from skvae import VAETransformer

X, y = load_breast_cancer(return_X_y=True)
shared = {"latent_dim": 2, "prior": "standard_normal", "members": ["plain"], "max_steps": 150}
shared |= {"robust_weight": 0}
wasserstein = {"beta": 0.0, "divergence_weight": 20.0, "random_state": 0}
models = {
    "VAE": VAETransformer(random_state=0, **shared),
    "WAE, sinkhorn": VAETransformer(divergence="sinkhorn", **wasserstein, **shared),
    "WAE, mmd": VAETransformer(divergence="mmd", **wasserstein, **shared),
    "WAE-GAN": VAETransformer(divergence="adversarial", **wasserstein, **shared),
    "K-VAE, kernel": VAETransformer(divergence="kernel", **wasserstein, **shared),
    "K-VAE, Stein": VAETransformer(divergence="kernel_stein", **wasserstein, **shared),
}

# %%
# Codes of the tumours, coloured by diagnosis, and the circles that hold half and 95 % of the prior.

figure, axes = plt.subplots(1, 6, figsize=(18, 4.2), sharex=True, sharey=True, layout="constrained")
angles = np.linspace(0, 2 * np.pi, 100)
for ax, (name, model) in zip(axes, models.items(), strict=True):
    codes = model.fit_transform(X)
    ax.scatter(*codes.T, c=y, cmap="viridis", s=10)
    for share in (0.5, 0.95):
        radius = np.sqrt(-2 * np.log(1 - share))
        ax.plot(radius * np.cos(angles), radius * np.sin(angles), color="0.6", lw=1)
    ax.set_title(f"{name}\n{model.score(X):.1f} nats per row")
    ax.set_aspect("equal")
