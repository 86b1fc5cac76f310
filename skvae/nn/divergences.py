"""Divergences between two samples of latent points.

Conventions: each takes samples x (n, k) and y (m, k) and a torch.Generator for those that
draw random directions, and returns a differentiable scalar >= 0 that is 0 when both
samples are the same. They pull the aggregate posterior towards the prior.
"""

import torch

__all__ = ["energy_distance", "mmd", "sliced_wasserstein"]

_MMD_WIDTHS = (0.25, 0.5, 1.0, 2.0, 4.0)  # times the latent dimension
_N_DIRECTIONS = 64


def mmd(x, y, generator=None):
    r"""Squared maximum mean discrepancy with inverse multiquadric kernels.

    :math:`k(x, y) = \sum_c \frac{c}{c + \|x - y\|^2}` with c at five multiples of the
    dimension; the biased estimate, which is never negative.

    Parameters
    ----------
    x : Tensor of shape (n, k)
    y : Tensor of shape (m, k)
    generator : torch.Generator, default=None
        Not used.

    Returns
    -------
    divergence : Tensor, scalar

    References
    ----------
    Gretton et al., "A Kernel Two-Sample Test", JMLR 2012. Tolstikhin et al.,
    "Wasserstein Auto-Encoders", 2018, arXiv:1711.01558, for the kernel.

    Examples
    --------
    >>> import torch
    >>> from skvae.nn import mmd
    >>> float(mmd(torch.zeros(3, 2), torch.zeros(4, 2)))
    0.0
    """

    def mean_kernel(a, b):
        squared = _distances(a, b).square()
        widths = [c * x.shape[1] for c in _MMD_WIDTHS]
        return sum((c / (c + squared)).mean() for c in widths)

    return (mean_kernel(x, x) + mean_kernel(y, y) - 2 * mean_kernel(x, y)).clamp_min(0)


def sliced_wasserstein(x, y, generator=None):
    """Mean squared 2-Wasserstein distance of projections on random directions.

    Samples of different size are compared at the quantiles of the larger one.

    Parameters
    ----------
    x : Tensor of shape (n, k)
    y : Tensor of shape (m, k)
    generator : torch.Generator, default=None
        Source of the directions, on the samples' device; by default one seeded with 0.

    Returns
    -------
    divergence : Tensor, scalar

    References
    ----------
    Kolouri et al., "Sliced Wasserstein Auto-Encoders", ICLR 2019, arXiv:1804.01947.

    Examples
    --------
    >>> import torch
    >>> from skvae.nn import sliced_wasserstein
    >>> float(sliced_wasserstein(torch.zeros(3, 1), torch.full((3, 1), 2.0)))
    4.0
    """
    if generator is None:
        generator = torch.Generator(device=x.device).manual_seed(0)
    shape = (x.shape[1], _N_DIRECTIONS)
    directions = torch.randn(shape, generator=generator, dtype=x.dtype, device=x.device)
    directions = directions / directions.norm(dim=0)
    size = max(len(x), len(y))
    return (_quantiles(x @ directions, size) - _quantiles(y @ directions, size)).square().mean()


def energy_distance(x, y, generator=None):
    r"""Energy distance :math:`2 E\|x - y\| - E\|x - x'\| - E\|y - y'\|`.

    The V-statistic over all pairs, which is never negative.

    Parameters
    ----------
    x : Tensor of shape (n, k)
    y : Tensor of shape (m, k)
    generator : torch.Generator, default=None
        Not used.

    Returns
    -------
    divergence : Tensor, scalar

    References
    ----------
    Szekely and Rizzo, "Energy statistics", 2013, doi:10.1016/j.jspi.2013.03.018.

    Examples
    --------
    >>> import torch
    >>> from skvae.nn import energy_distance
    >>> round(float(energy_distance(torch.zeros(3, 1), torch.ones(2, 1))), 4)
    2.0
    """
    between = _distances(x, y).mean()
    return (2 * between - _distances(x, x).mean() - _distances(y, y).mean()).clamp_min(0)


def _distances(a, b):
    # Not by a matrix product, whose rounding would part points that coincide.
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")


def _quantiles(projections, size):
    """Columns of `projections` sorted and read at `size` evenly spaced levels."""
    n = len(projections)
    levels = (2 * torch.arange(size, device=projections.device) + 1) * n // (2 * size)
    return projections.sort(dim=0).values[levels]
