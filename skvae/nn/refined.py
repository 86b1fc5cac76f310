"""A posterior that is improved for each row when it is scored."""

from .ascent import ascended, better, points_of
from .posteriors import DiagonalGaussian

__all__ = ["RefinedGaussian"]


class RefinedGaussian(DiagonalGaussian):
    r"""Posterior of `DiagonalGaussian`, refined for each row that is scored.

    It is trained as that one. `search` then takes steps of natural-gradient ascent on the row's
    ELBO, whose expectation is taken over points that are exact for quadratic log densities. A
    step that does not raise it is taken back and halved. Last the start is kept if it is better
    by the noise of the scores, so that no score is lower than without refinement.

    Shape: (n, n_hidden) -> batch (n,), event (latent_dim,).

    References
    ----------
    Hjelm et al., "Iterative Refinement of the Approximate Posterior for Directed Belief
    Networks", 2016, arXiv:1511.06382. Cremer, Li and Duvenaud, "Inference Suboptimality in
    Variational Autoencoders", 2018, arXiv:1801.03558, for what it gains. Khan and Lin,
    "Conjugate-Computation Variational Inference", 2017, arXiv:1703.04265, for the steps.
    """

    searches = True
    n_steps = 30

    def __init__(self, n_hidden, latent_dim, *, generator):
        super().__init__(n_hidden, latent_dim, generator=generator)
        points = points_of(latent_dim, generator).to(self.head.weight.dtype)
        self.register_buffer("points", points)

    def search(self, model, q, x, observed, eps):
        found = ascended(model, q, x, observed, self.points, self.n_steps)
        return better(model, found, q, x, observed, eps, len(self.points))
