"""A posterior that is improved for each row when it is scored."""

import math

import torch

from .distributions import DiagonalNormal
from .posteriors import DiagonalGaussian

__all__ = ["RefinedGaussian"]

_LEAST_PRECISION, _LARGEST_PRECISION = 1e-2, 1e4
_EQUAL_ROWS = 8  # half of the rows that a matrix product treats alike


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
        own = torch.Generator()
        own.set_state(generator.get_state())  # other parts begin as beside `DiagonalGaussian`
        n_pairs = _EQUAL_ROWS * math.ceil(latent_dim / _EQUAL_ROWS)
        directions = torch.randn(n_pairs, latent_dim, generator=own, dtype=torch.float64)
        half = math.sqrt(n_pairs) * torch.linalg.qr(directions)[0]
        # Mean 0 and covariance 1, all as far out as a draw is.
        self.register_buffer("points", torch.cat([half, -half]).to(self.head.weight.dtype))

    def search(self, model, q, x, observed, eps):
        with torch.inference_mode(False), torch.enable_grad():
            rows = x.clone(), observed.clone()
            found = self._ascend(model, rows, q.loc.clone(), q.scale.clone())
        if len(eps) == 0:
            return found
        is_better = self._bound(model, found, x, observed, eps) > self._bound(
            model, q, x, observed, eps
        )
        chosen = is_better.unsqueeze(-1)
        loc = torch.where(chosen, found.loc, q.loc)
        return DiagonalNormal(loc, torch.where(chosen, found.scale, q.scale))

    def _bound(self, model, q, x, observed, eps):
        """Sum of a row's ELBO over draws; (n,)."""
        # Added up draw by draw: the order within a sum may depend on the position.
        p = model.prior_distribution()
        parts = eps.split(len(self.points))
        return sum(
            draw
            for part in parts
            for draw in model.elbo(q, p, x, observed, observed, part).log_weight()
        )

    def _ascend(self, model, rows, loc, scale):
        """Best posterior that the steps find, by row."""
        log_joint = _LogJoint(model, rows, self.points)
        at = loc, scale.square().reciprocal()
        value, slope, curvature = log_joint(*at)
        rate = torch.ones_like(value)
        for _ in range(self.n_steps):
            loc, precision = at
            target = (-curvature).clamp(_LEAST_PRECISION, _LARGEST_PRECISION)
            precision = precision + rate * (target - precision)
            step = loc + rate * slope / precision, precision
            there = log_joint(*step)
            is_better = there[0] > value
            at = [torch.where(is_better, *pair) for pair in zip(step, at, strict=True)]
            value, slope, curvature = (
                torch.where(is_better, *pair)
                for pair in zip(there, (value, slope, curvature), strict=True)
            )
            rate = torch.where(is_better, (1.5 * rate).clamp_max(1.0), rate / 2)
        loc, precision = at
        return DiagonalNormal(loc, precision.rsqrt())


class _LogJoint:
    """ELBO of rows, without a constant, and its derivatives.

    Parameters
    ----------
    model : VAE
    rows : (x, observed), each a Tensor of shape (n, n_columns)
    points : Tensor of shape (n_points, latent_dim)
        Standard normal noise.
    """

    def __init__(self, model, rows, points):
        self._model, self._points = model, points
        # A row's points stand beside each other, a multiple of 16: equal rows get equal bits.
        self._rows = [part.repeat_interleave(len(points), 0) for part in rows]
        self._p = model.prior_distribution()

    def __call__(self, loc, precision):
        """ELBO and its derivatives by the mean; (n, k), (n, k) -> (n, 1), (n, k), (n, k).

        The second derivative is by Stein's lemma, of the first ones at the points.
        """
        scale = precision.rsqrt()
        z = torch.addcmul(loc.unsqueeze(1), scale.unsqueeze(1), self._points)  # (n, s, k)
        z = z.detach().requires_grad_()
        x, observed = self._rows
        codes = z.flatten(0, 1)
        log_joint = self._model.log_joint(self._p, codes, x, observed).unflatten(0, z.shape[:2])
        (slopes,) = torch.autograd.grad(log_joint.sum(), z)
        curvature = (slopes * self._points).mean(1) / scale
        value = log_joint.detach().mean(1, keepdim=True) + scale.log().sum(1, keepdim=True)
        return value, slopes.mean(1), curvature
