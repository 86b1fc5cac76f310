"""A posterior without an encoder: that of each row is found by ascent."""

import torch

from .ascent import ascended, better, points_of
from .distributions import DiagonalNormal
from .posteriors import Posterior

__all__ = ["FreeGaussian"]


class FreeGaussian(Posterior):
    r"""Posterior with independent coordinates that is found for each row, without an encoder.

    Every row begins at the prior's mean and standard deviations, and takes steps of
    natural-gradient ascent on its ELBO, as `RefinedGaussian` does: few while the model is trained,
    more when rows are scored. No score is lower than that of the beginning, and with a linear
    decoder, normal noise and a standard normal prior it is that of the best normal.

    NOTE[DIFF] Variational inference without an encoder keeps the posterior of each row from one
    pass to the next; here each begins anew, so that a model has no memory of its rows, and goes on
    with others by ``partial_fit``.

    References
    ----------
    Hoffman, Blei, Wang and Paisley, "Stochastic Variational Inference", 2013, JMLR 14, for
    inference of each row by itself. Khan and Lin, "Conjugate-Computation Variational Inference",
    2017, arXiv:1703.04265, for the steps.
    """

    has_encoder = False
    searches = True
    n_training_steps, n_steps = 8, 30

    def __init__(self, n_hidden, latent_dim, *, generator):
        super().__init__()
        points, fewest = points_of(latent_dim, generator), points_of(latent_dim, generator, 1)
        self.register_buffer("points", points.to(torch.get_default_dtype()))
        self.register_buffer("fewest_points", fewest.to(torch.get_default_dtype()))

    def infer(self, model, x, visible):
        start, points = self._beginning(model, x), self.fewest_points
        return ascended(model, start, x, visible, points, self.n_training_steps)

    def search(self, model, q, x, observed, eps):
        start = self._beginning(model, x)
        found = ascended(model, start, x, observed, self.points, self.n_steps)
        return better(model, found, start, x, observed, eps, len(self.points))

    def _beginning(self, model, x):
        """Mean and standard deviations of the prior, for each row."""
        with torch.no_grad():
            p = model.prior_distribution()
            return DiagonalNormal(*(part.expand(len(x), -1) for part in (p.mean, p.stddev)))
