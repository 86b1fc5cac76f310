"""
A class that nobody has seen
============================

A classifier must choose, also where no class fits. `VAEClassifier.predict_set` names all classes
that a row may be of, with a bound on how often it denies the right one; rows of none are novelties.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from skvae import VAEClassifier, VAETransformer

X, y = load_digits(return_X_y=True)
known = np.flatnonzero(y < 4)  # zeros to threes are fitted, fours are not
fit, calibrate, judge = np.array_split(np.random.default_rng(0).permutation(known), 3)
estimator = VAETransformer(likelihoods="gaussian", max_steps=400, random_state=0)
model = VAEClassifier(estimator).fit(X[fit], y[fit]).calibrate(X[calibrate], y[calibrate])
fours = np.flatnonzero(y == 4)

# %%
# Of known digits one in twenty is denied its class; most fours have an empty set.

possible = {"known digits": model.predict_set(X[judge]), "fours": model.predict_set(X[fours])}
own = possible["known digits"][np.arange(len(judge)), y[judge]]
print(f"denied their class: {1 - own.mean():.1%} of known digits")
print(f"of none: {1 - possible['fours'].any(axis=1).mean():.0%} of fours")

# %%
# The first rows, each with its set.

figure, axes = plt.subplots(2, 8, figsize=(10, 3), layout="constrained")
for row, rows, sets in zip(axes, (judge, fours), possible.values(), strict=True):
    for ax, place, each in zip(row, rows, sets, strict=False):
        ax.imshow(X[place].reshape(8, 8), cmap="Greys")
        names = model.classes_[each].tolist()
        ax.set_title(", ".join(map(str, names)) or "none", fontsize="medium")
        ax.set_axis_off()
