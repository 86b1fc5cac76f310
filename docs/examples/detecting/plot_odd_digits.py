"""
Odd digits
==========

Images are tables too: a column a pixel. The oddest of the handwritten digits, and what the
model would have expected in their place.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from skvae import VAETransformer

X, y = load_digits(return_X_y=True)
model = VAETransformer(max_steps=500, random_state=0).fit(X)
oddest = np.argsort(model.score_samples(X))[:8]
expected = model.inverse_transform(model.transform(X[oddest]))
excess = model.explain(X[oddest])

# %%
# From above: the image, what is expected, and where it is odd, in nats above normal a pixel. A
# pixel that is dark in nearly all other images counts most where it is bright.

rows = {
    "observed": (X[oddest], "gray", (0, 16)),
    "expected": (expected, "gray", (0, 16)),
    "nats": (excess, "cividis", (0, np.quantile(excess, 0.99))),
}
figure, axes = plt.subplots(3, 8, figsize=(10, 4), layout="constrained")
for panels, (name, (images, cmap, (low, high))) in zip(axes, rows.items(), strict=True):
    for ax, image in zip(panels, images, strict=True):
        ax.imshow(image.reshape(8, 8), cmap=cmap, vmin=low, vmax=high)
        ax.set_xticks([])
        ax.set_yticks([])
    panels[0].set_ylabel(name)
for ax, row in zip(axes[0], oddest, strict=True):
    ax.set_title(f"a {y[row]}")
