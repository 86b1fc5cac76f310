"""
Reading the training curve
==========================

``history_`` records the evidence lower bound of the batches and of held-out rows, one run with too
few steps and one with enough of them.
"""

import warnings

import matplotlib.pyplot as plt
from sklearn.datasets import load_breast_cancer

from skvae import TrainingCurveDisplay, VAETransformer

X = load_breast_cancer().data
runs = {"too few steps": {"max_steps": 30}, "enough": {"max_steps": 400}}
figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
for ax, (title, params) in zip(axes, runs.items(), strict=True):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = VAETransformer(random_state=0, **params).fit(X)
    TrainingCurveDisplay.from_estimator(model, ax=ax)
    ax.set_title(f"{title}: {model.history_['validation'][-1]:.1f} nats")
    print(f"{title}: {[str(warning.message) for warning in caught]}")

# %%
# The first run says so by a ``ConvergenceWarning``: its held-out curve still rises. In the second
# the held-out rows no longer gain. Batches then keep gaining on them, which is the model learning
# its own rows by heart; the weights kept are those under which held-out rows are most likely.
