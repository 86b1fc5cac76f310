"""
Rows of a class that is not in the table
========================================

What is known of classes can stand in for rows of them. Here digits are described by the seven
segments of a display, as columns that are given as ``context``; no row is a three, and rows are
drawn for its segments all the same: zero-shot generation. A critic of rows makes it a conditional
VAE-GAN.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier

from skvae import VAETransformer

X, y = load_digits(return_X_y=True)
lit = ["abcdef", "bc", "abdeg", "abcdg", "bcfg", "acdfg", "acdefg", "abc", "abcdefg", "abcdfg"]
segments = np.array([[float(segment in digit) for segment in "abcdefg"] for digit in lit])
inner = X.std(axis=0) > 0.5  # pixels that are not always white

# %%
# Pixels, and after them the segments of each row's digit. Threes are left out.

unseen = 3
table = np.column_stack([X[:, inner], segments[y]])[y != unseen]
shared = {
    "context": list(range(inner.sum(), inner.sum() + 7)),
    "likelihoods": "gaussian",
    "prior": "standard_normal",
    "hidden_layer_sizes": (64,),
    "members": ["plain"],
    "robust_weight": 0.0,
    "max_steps": 200,
    "random_state": 0,
}
models = {
    "VAE": VAETransformer(**shared).fit(table),
    "VAE-GAN": VAETransformer(divergence="rows_adversarial", divergence_weight=30.0, **shared).fit(
        table
    ),
}

# %%
# What a classifier that knows all ten digits takes them for; ten per cent would be chance. Not
# every class follows from the others: where sevens are left out, no row is taken for one.


def draw(model, digit, n):
    images = np.zeros((n, 64))
    images[:, inner] = model.sample(n, context=segments[[digit]], random_state=0)[:, :-7]
    return images


classifier = KNeighborsClassifier(3).fit(X, y)
for name, model in models.items():
    taken_for = classifier.predict(draw(model, unseen, 300))
    print(f"{name}: {np.mean(taken_for == unseen):.0%} for a three, the class of most is", end=" ")
    print(f"{np.bincount(taken_for).argmax()}; {model.score(table):.1f} nats per row")

# %%
# Drawn threes in the first rows, and sevens, which were seen, below them.

figure, axes = plt.subplots(4, 10, figsize=(10, 4.4), layout="constrained")
for pair, digit in zip(axes.reshape(2, 2, 10), (unseen, 7), strict=True):
    for line, (name, model) in zip(pair, models.items(), strict=True):
        line[0].set_ylabel(f"{digit}, {name}")
        for ax, image in zip(line, draw(model, digit, 10), strict=True):
            ax.imshow(image.reshape(8, 8), cmap="gray_r", vmin=0, vmax=16)
            ax.set(xticks=[], yticks=[])
