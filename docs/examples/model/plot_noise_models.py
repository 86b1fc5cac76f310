"""
Choosing noise models
=====================

The noise model of a column says how its values scatter around what the model expects. Mean
scores of unseen rows are densities of the same columns in the same units, so they compare.
"""

import matplotlib.pyplot as plt

from skvae import VAEAnomalyDetector
from skvae.datasets import load_thyroid

X, y = load_thyroid(return_X_y=True, as_frame=True)
healthy = X.loc[y == 1, ["age", "TSH", "T3", "TT4", "T4U", "FTI"]]
train, unseen = healthy[:2000], healthy[2000:]
print(unseen.describe().loc[["mean", "50%", "max"]].round(1))

# %%
# TSH has a long tail: the greatest value is 90 times the median.
# Heavy-tailed noise takes such values better than a normal; the last is the default of numbers.

names = ["gaussian", "heteroscedastic", "student_t", "heteroscedastic_student_t"]
scores = {}
for name in names:
    model = VAEAnomalyDetector(
        likelihoods=name, max_steps=300, members=["plain"], random_state=0
    ).fit(train)
    scores[name] = -model.negative_elbo(unseen)

_, ax = plt.subplots(layout="constrained")
ax.boxplot(
    scores.values(),
    tick_labels=[name.replace("_stu", "\n_stu") for name in names],
    showfliers=False,
    whis=(1, 99),
    medianprops={"color": "#0072B2"},
)
ax.set_ylabel("ELBO of unseen healthy rows (nats)\nwhiskers: 1st and 99th percentile")
ax.set_xlabel("likelihoods")

# %%
# One name a column can be given as a dict; the others stay "auto".

model = VAEAnomalyDetector(
    likelihoods={"TSH": "student_t"}, max_steps=300, members=["plain"], random_state=0
)
print(model.fit(train).table_)
