"""
A report to hand on
===================

``report`` puts the scores of a table, the oddest rows and what makes them odd on one HTML page that
needs neither Python nor a network.
"""

# sphinx_gallery_thumbnail_path = '../docs/report.png'

from pathlib import Path
from tempfile import TemporaryDirectory

from skvae import VAEAnomalyDetector, report
from skvae.datasets import load_thyroid

X, y = load_thyroid(return_X_y=True, as_frame=True)
healthy = X[y == 1]
detector = VAEAnomalyDetector(max_steps=300, random_state=0).fit(healthy[:2000])
others = X.drop(healthy.index[:2000])[:2000]

# %%
# The index names the rows, so a key belongs there.

others.index = [f"patient {row}" for row in others.index]

with TemporaryDirectory() as folder:
    path = Path(folder) / "report.html"
    report(detector, others, path, title="Thyroid table")
    print(f"{path.name}: {path.stat().st_size / 1e6:.1f} MB")

# %%
# This is how it looks:
#
# .. image:: ../../report.png
#    :alt: The report: distribution of the scores, and the oddest rows with bars.
#
# Without a path the page comes back as a string. The numbers in it are those of ``explain``:

parts = detector.explain(others)
print(parts.stack().nlargest(3).round(1))
