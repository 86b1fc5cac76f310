"""
Deploying without skvae
=======================

A fitted detector becomes one ONNX graph, from the raw cells of a mixed table, numbers, flags, text
and holes, to the decision. ONNX Runtime needs neither skvae nor torch for it.
"""

import os
import tempfile

import matplotlib.pyplot as plt
import numpy as np
import onnxruntime

from skvae import VAEAnomalyDetector, export_onnx
from skvae.datasets import load_thyroid

X, y = load_thyroid(return_X_y=True, as_frame=True)
detector = VAEAnomalyDetector(max_steps=200, random_state=0).fit(X[y == 1][:2000])
path = os.path.join(tempfile.mkdtemp(), "detector.onnx")
export_onnx(detector, path)

# %%
# From here on only the file is needed. Its inputs are the columns, its outputs what the
# methods of these names give.

session = onnxruntime.InferenceSession(path)
kinds = {part.name: object if "string" in part.type else float for part in session.get_inputs()}
rows = X[-500:]
cells = {name: rows[[name]].to_numpy(dtype=kind) for name, kind in kinds.items()}
scores, labels, p = session.run(["score_samples", "predict", "p_values"], cells)
print(
    f"{np.mean(labels == -1):.1%} of the rows are flagged, the smallest p-value is {p.min():.4f}."
)

# %%
# The scores are those of the detector.

own = detector.score_samples(rows)
print(f"Largest relative difference: {np.max(np.abs(scores / own - 1)):.0e}")
figure, ax = plt.subplots(figsize=(5, 4), layout="constrained")
ax.scatter(own, scores, s=12, c=np.where(labels == -1, "#D55E00", "#0072B2"))
ax.set_xlabel("score_samples, nats")
ax.set_ylabel("ONNX Runtime, nats")
