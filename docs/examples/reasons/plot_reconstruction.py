"""
What the model expects in each cell
===================================

A column that the others say much about lies along the line; one that they do not is expected
near its mean, and its oddness is judged on its own.
"""

from sklearn.datasets import load_diabetes

from skvae import ReconstructionDisplay, VAETransformer

X = load_diabetes(as_frame=True, scaled=False).data
model = VAETransformer(max_steps=500, random_state=0).fit(X)
ReconstructionDisplay.from_estimator(model, X)
