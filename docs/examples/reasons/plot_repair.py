"""
What to change
==============

``repair`` gives the nearest normal row: as few cells as possible of a flagged row are changed, each
to what the others say of it. Age and sex of a patient are fixed.
"""

import matplotlib.pyplot as plt
import numpy as np

from skvae import VAEAnomalyDetector
from skvae.datasets import load_thyroid

X, y = load_thyroid(return_X_y=True, as_frame=True)
healthy = X[y == 1]
detector = VAEAnomalyDetector(max_steps=300, random_state=0).fit(healthy[:3000])
patients = X[y == -1]
flagged = patients[detector.predict(patients) == -1]
repaired, cells = detector.repair(flagged, fixed=["age", "sex"], return_cells=True)

# %%
# Most rows need one change.

sizes, counts = np.unique(cells.sum(axis=1), return_counts=True)
for size, count in zip(sizes, counts, strict=True):
    print(f"{count} patients: {size} cells changed")

# %%
# The ten oddest, in words.

for row in detector.score_samples(flagged).argsort()[:10]:
    names = cells.columns[cells.iloc[row]]
    changes = [
        f"{name} {flagged[name].iloc[row]} to {np.round(repaired[name].iloc[row], 2)}"
        if isinstance(repaired[name].iloc[row], float)
        else f"{name} {flagged[name].iloc[row]} to {repaired[name].iloc[row]}"
        for name in names
    ]
    print(f"patient {flagged.index[row]}: {', '.join(changes)}")

# %%
# What is changed most often are the hormones, and they go where healthy patients have them.

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.5))
cells.sum().nlargest(8).sort_values().plot.barh(ax=left, xlabel="cells changed")
changed = cells["TSH"]
bins = np.geomspace(0.005, 600, 40)
right.hist(flagged["TSH"][changed], bins, alpha=0.6, label="before")
right.hist(repaired["TSH"][changed], bins, alpha=0.6, label="after")
right.set(xscale="log", xlabel="TSH", ylabel="patients")
right.legend()
figure.tight_layout()
