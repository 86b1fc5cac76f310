"""
Which columns make a row odd
============================

``explain`` splits each row's anomaly score into nats a column, relative to what is normal for
that column. They add up to the score.
"""

from skvae import ExplanationDisplay, ExplanationHeatmapDisplay, VAEAnomalyDetector
from skvae.datasets import load_thyroid

X, y = load_thyroid(return_X_y=True, as_frame=True)
healthy = X[y == 1]
detector = VAEAnomalyDetector(max_steps=300, random_state=0).fit(healthy[:2000])
others = X.drop(healthy.index[:2000])

# %%
# The oddest rows of the table. The numbers are the cells themselves: three patients are older
# than 65,000 years, and many have far too much TSH.

ExplanationHeatmapDisplay.from_estimator(detector, others)

# %%
# One row in detail. Each bar starts where the one below ends, from a normal row's score up to
# this row's.

ExplanationDisplay.from_estimator(detector, others, row=others.index.get_loc(3075))

# %%
# The numbers behind:

parts = detector.explain(others.loc[[3075]])
print(parts.iloc[0].round(2).nlargest(4))

# %%
# What the model expected of these cells, given the patient's others: a value, and an interval
# that holds nine healthy patients of ten like this one. Flags and levels have the probability of
# the level observed instead.

expected = detector.expected(others.loc[[3075]])
for column in ("TSH", "T3", "TT4"):
    _, low, high = expected[column].iloc[0]
    print(f"{column}: {others.at[3075, column]:g}, expected {low:.3g} to {high:.3g}")
print(expected["referral_source"])
