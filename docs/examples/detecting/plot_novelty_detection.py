"""
Novelty detection
=================

Fit rows known to be normal, then ask how odd others are. Here the normal rows are benign
tumours; all that the detector is told about malignant ones is that they are not in the
training table.
"""

from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import IsolationForest
from sklearn.metrics import RocCurveDisplay
from sklearn.model_selection import train_test_split

from skvae import ScoreDistributionDisplay, VAEAnomalyDetector

X, target = load_breast_cancer(return_X_y=True, as_frame=True)
benign, malignant = X[target == 1], X[target == 0]
train, unseen = train_test_split(benign, random_state=0)

# %%
# No scaling is needed. The rows are known to be clean, so no robust member is needed
# (``robust_weight=0``). ``false_alarm_rate`` bounds the probability that a fresh benign row is
# flagged; with 27 held-out rows behind the threshold, 5 % is about as low as one can ask for.

detector = VAEAnomalyDetector(robust_weight=0, max_steps=300, false_alarm_rate=0.05, random_state=0)
detector.fit(train)
flagged = {
    name: (detector.predict(rows) == -1).mean()
    for name, rows in (("benign", unseen), ("malignant", malignant))
}
print({name: f"{share:.0%} flagged" for name, share in flagged.items()})

# %%
# Scores are in nats, the unit of log densities. A threshold in nats is drawn with them.

others = X.drop(train.index)
y = target[others.index].where(target == 1, -1)
ScoreDistributionDisplay.from_estimator(detector, others, y)

# %%
# Against an isolation forest fitted to the same rows:

forest = IsolationForest(random_state=0).fit(train)
display = RocCurveDisplay.from_predictions(y, detector.score_samples(others), name="skvae")
RocCurveDisplay.from_predictions(
    y, forest.score_samples(others), name="IsolationForest", ax=display.ax_
)
