"""
Posteriors of a row's code
==========================

The encoder says which latent codes a row may have. Where these lie on a curve, a normal with
independent dimensions misses them, and the bound on the row's log density is loose. Here one
number is seen for codes of two dimensions: all that is known of them is a curve.
"""

import matplotlib.pyplot as plt
import numpy as np

from skvae import VAETransformer

rng = np.random.default_rng(0)
codes = rng.normal(size=(1_000, 2))
X = np.hypot(codes[:, :1], codes[:, 1:]) + 0.05 * rng.normal(size=(1_000, 1))

posteriors = ["diagonal", "full", "flow", "refined"]
params = {"latent_dim": 2, "prior": "standard_normal", "likelihoods": "gaussian"}
params |= {"robust_weight": 0, "members": ["plain"], "max_steps": 300, "random_state": 0}
nats = [VAETransformer(posterior=name, **params).fit(X[:900]).score(X[900:]) for name in posteriors]

# %%
# Nats per held-out row: a bound each, so more is closer to the model's log density.

# sphinx_gallery_thumbnail_number = 1
figure, ax = plt.subplots(figsize=(6, 3), layout="constrained")
ax.barh(posteriors, nats)
ax.invert_yaxis()
ax.set_xlabel("nats per row")

# %%
# Where what lies behind the rows is on or off, ``posterior="binary"`` looks at all states of up to
# 8 bits, and the score is the log density itself.

on = rng.random((1_000, 3)) < 0.4
X = on @ (2 * rng.normal(size=(3, 5))) + 0.3 * rng.normal(size=(1_000, 5))
params |= {"latent_dim": 3}
bits = VAETransformer(**params | {"posterior": "binary", "prior": "auto"}).fit(X[:900])
plain = VAETransformer(**params).fit(X[:900])
print(f"binary {bits.score(X[900:]):.2f} nats, diagonal {plain.score(X[900:]):.2f} nats")

# %%
# Where rows are of a few kinds, ``posterior="quantised"`` takes each for one of a codebook's codes;
# the perplexity says how many of these are in use.

X = rng.normal(size=(6, 4))[rng.integers(6, size=1_000)] + 0.1 * rng.normal(size=(1_000, 4))
quantised = {"posterior": "quantised", "prior": "auto"}
quantised |= {"prior_params": {"n_codes": 12, "n_slots": 1}}
plain = VAETransformer(**params).fit(X[:900])
quantised = VAETransformer(**params | quantised).fit(X[:900])
perplexity = float(quantised.model_.prior.perplexity())
print(f"quantised {quantised.score(X[900:]):.2f} nats, diagonal {plain.score(X[900:]):.2f} nats")
print(f"perplexity {perplexity:.1f} of 12 codes")
