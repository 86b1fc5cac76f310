"""Natural-gradient ascent of the posteriors of rows, one by one."""

import math

import torch

from .distributions import DiagonalNormal

__all__ = ["ascended", "better", "points_of"]

_LEAST_PRECISION, _LARGEST_PRECISION = 1e-2, 1e4
_EQUAL_ROWS = 8  # half of the rows that a matrix product treats alike


def points_of(latent_dim, generator, multiple=_EQUAL_ROWS):
    """Make standard normal noise over which expectations of quadratics are exact.

    Parameters
    ----------
    latent_dim : int
    generator : torch.Generator
        Left as it is.
    multiple : int, default=8
        Half of the points are so many, or twice or more times as many; 1 for as few as there can
        be, over which equal rows need not have equal bits.

    Returns
    -------
    points : Tensor of shape (n_points, latent_dim)
        Mean 0 and covariance 1, all as far out as a draw is; float64.
    """
    own = torch.Generator()
    own.set_state(generator.get_state())  # other parts begin as beside posteriors without points
    n_pairs = multiple * math.ceil(latent_dim / multiple)
    directions = torch.randn(n_pairs, latent_dim, generator=own, dtype=torch.float64)
    half = math.sqrt(n_pairs) * torch.linalg.qr(directions)[0]
    return torch.cat([half, -half])


def ascended(model, q, x, observed, points, n_steps):
    """Posteriors that steps of natural-gradient ascent on each row's ELBO lead to.

    Its expectation is taken over points. A step that does not raise it is taken back and halved.

    Parameters
    ----------
    model : VAE
    q : DiagonalNormal
        Start; batch shape (n,).
    x, observed : Tensor of shape (n, n_columns)
    points : Tensor of shape (n_points, latent_dim)
        Of `points_of`.
    n_steps : int

    Returns
    -------
    q : DiagonalNormal
        Without a gradient.

    References
    ----------
    Khan and Lin, "Conjugate-Computation Variational Inference", 2017, arXiv:1703.04265.
    """
    with torch.inference_mode(False), torch.enable_grad():
        log_joint = _LogJoint(model, (x.clone(), observed.clone()), points)
        loc, scale = (part.detach().clone() for part in (q.loc, q.scale))
        return _ascended(log_joint, loc, scale.square().reciprocal(), n_steps)


def _ascended(log_joint, loc, precision, n_steps):
    at = loc, precision
    value, slope, curvature = log_joint(*at)
    rate = torch.ones_like(value)
    for _ in range(n_steps):
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


def better(model, found, start, x, observed, eps, n_at_once):
    """Posterior of each row whose ELBO by some noise is higher, of two.

    Parameters
    ----------
    model : VAE
    found, start : DiagonalNormal
        Batch shape (n,); without noise it is the first.
    x, observed : Tensor of shape (n, n_columns)
    eps : Tensor of shape (n_draws, 1, noise_dim)
    n_at_once : int
        Draws.

    Returns
    -------
    q : DiagonalNormal
    """
    if len(eps) == 0:
        return found
    parts = eps.split(n_at_once)
    is_better = _bound(model, found, x, observed, parts) > _bound(model, start, x, observed, parts)
    chosen = is_better.unsqueeze(-1)
    loc = torch.where(chosen, found.loc, start.loc)
    return DiagonalNormal(loc, torch.where(chosen, found.scale, start.scale))


def _bound(model, q, x, observed, parts):
    """Sum of a row's ELBO over draws; (n,)."""
    # Added up draw by draw: the order within a sum may depend on the position.
    p = model.prior_distribution()
    return sum(
        draw
        for part in parts
        for draw in model.elbo(q, p, x, observed, observed, part).log_weight()
    )


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
