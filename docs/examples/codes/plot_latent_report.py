"""
What latent dimensions do
=========================

A report on the latent space: how many nats each dimension holds, and which columns it moves, by
how much, in their own units. Where factors are known, how well dimensions match them.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import load_breast_cancer

from skvae import LatentReportDisplay, VAETransformer

X, y = load_breast_cancer(return_X_y=True, as_frame=True)
X = X[[name for name in X if name.startswith("mean")]]
model = VAETransformer(latent_dim=5, prior="standard_normal", random_state=0).fit(X)
report = model.latent_report(X, factors=y.rename("benign"), random_state=0)
LatentReportDisplay.from_predictions(report)
plt.show()

# %%
# A dimension is in use, active, where its posterior means differ between rows.

report.dimensions.round(2)

# %%
# The KL divergence of the bound consists of what codes say of rows, of how dependent their
# dimensions are, and of how far each is from the prior.

parts = ("kl", "mutual_information", "total_correlation", "dimension_wise_kl", "prior_dependence")
{part: round(getattr(report, part), 2) for part in parts}

# %%
# One diagnosis is known. ``mig`` and ``sap`` say how far the best dimension leads the next,
# ``informativeness`` how well a forest infers it from all of them. Without known factors no
# seed's latent space is more right than another's.

report.factors.round(2)
