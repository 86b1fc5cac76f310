"""
Kinds of rows
=============

`VAEClusterer` gives each row the component of the prior that its latent code is of. Here numbers
tell one kind of rows from the others, and levels tell those apart; a tenth of the cells is missing.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from skvae import VAEClusterer

rng, n = np.random.default_rng(0), 600
kinds = rng.integers(3, size=n)
speed = np.array([30.0, 30.0, 90.0])[kinds] + 12 * rng.normal(size=n)
X = pd.DataFrame({"speed": speed, "fuel": 3 + 0.05 * speed + 0.8 * rng.normal(size=n)})
for name, levels in {"road": ["town", "field", "town"], "load": ["box", "hay", "box"]}.items():
    X[name] = np.where(rng.random(n) < 0.1, "other", np.array(levels)[kinds])
X = X.mask(rng.random(X.shape) < 0.1)

clusterer = VAEClusterer(
    n_clusters=3, members=["plain"], max_steps=200, robust_weight=0, random_state=0
).fit(X)
print(pd.crosstab(kinds, clusterer.labels_, rownames=["kind"], colnames=["cluster"]))

# %%
# Clusters by numbers and by levels. The kind itself was not fitted.

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
for k in range(clusterer.n_clusters_):
    rows = X[clusterer.labels_ == k]
    left.scatter(rows["speed"], rows["fuel"], s=12, label=f"cluster {k}")
left.set(xlabel="speed", ylabel="fuel")
left.legend()
pd.crosstab(clusterer.labels_, X["road"].fillna("missing")).plot.bar(
    stacked=True, ax=right, xlabel="cluster", ylabel="rows", rot=0
)
right.legend(title="road", loc="upper left", bbox_to_anchor=(1, 1))  # beside the bars

# %%
# The fewer cells are known, the less sure is the cluster.

row = pd.DataFrame({"speed": [25.0], "fuel": [4.0], "road": ["field"], "load": ["hay"]})
for hidden in ([], ["load"], ["load", "road"]):
    proba = clusterer.predict_proba(row.assign(**dict.fromkeys(hidden)))
    print(f"without {' and '.join(hidden) or 'holes'}: {proba[0].round(2)}")
