"""Divergences of latent points from the prior: they pull the aggregate posterior towards it.

Conventions: most compare two samples. They take x (n, k) and y (m, k) and a torch.Generator for
those that draw random directions, and return a differentiable scalar >= 0 that is 0 when both are
the same. Those that know the prior's density, and need no draws, are subclasses of `Divergence`.
"""

import math

import torch

from .divergence import Divergence
from .priors import StandardNormal

__all__ = [
    "Kernel",
    "KernelStein",
    "energy_distance",
    "kernel_stein",
    "mmd",
    "normal_mmd",
    "sinkhorn",
    "sliced_wasserstein",
]

_WIDTHS = (0.25, 0.5, 1.0, 2.0, 4.0)  # of kernels, times the latent dimension
_N_DIRECTIONS = 64


class Kernel(Divergence):
    """`normal_mmd` as a divergence from a standard normal prior."""

    prior = StandardNormal

    def __call__(self, z, model, generator):
        return normal_mmd(z)


class KernelStein(Divergence):
    """`kernel_stein` as a divergence from any prior that has a density."""

    def __call__(self, z, model, generator):
        with torch.no_grad():
            p = model.prior_distribution()
        return kernel_stein(z, p.log_prob)


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
        widths = [c * x.shape[1] for c in _WIDTHS]
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


def sinkhorn(x, y, generator=None, *, blur=0.2, n_rounds=10):
    r"""Squared 2-Wasserstein distance, by debiased optimal transport with some entropy.

    :math:`S(x, y) = W(x, y) - \tfrac12 W(x, x) - \tfrac12 W(y, y)`, where W is the least mean of
    squared distances over all couplings, plus `blur` times the dimension times their entropy
    relative to independence. With less and less of it the distance itself is reached.

    Parameters
    ----------
    x : Tensor of shape (n, k)
    y : Tensor of shape (m, k)
    generator : torch.Generator, default=None
        Not used.
    blur : float, default=0.2
    n_rounds : int, default=10
        Rounds at the last entropy; the fewer, the less exact for a small `blur`.

    Returns
    -------
    divergence : Tensor, scalar

    References
    ----------
    Feydy et al., "Interpolating between Optimal Transport and MMD using Sinkhorn Divergences",
    AISTATS 2019, arXiv:1810.08278. Patrini et al., "Sinkhorn AutoEncoders", 2019,
    arXiv:1810.01118, for its use here.

    Examples
    --------
    >>> import torch
    >>> from skvae.nn import sinkhorn
    >>> round(float(sinkhorn(torch.zeros(3, 1), torch.full((3, 1), 2.0))), 4)
    4.0
    """
    entropy = blur * x.shape[1]
    of_x, of_y = _potentials(x, y, entropy, n_rounds)
    within_x, _ = _potentials(x, x, entropy, n_rounds)
    within_y, _ = _potentials(y, y, entropy, n_rounds)
    return ((of_x - within_x).mean() + (of_y - within_y).mean()).clamp_min(0)


def normal_mmd(x):
    r"""Squared maximum mean discrepancy from a standard normal, with Gaussian kernels.

    :math:`k(x, y) = \sum_s e^{-\|x - y\|^2 / 2s}` with s at five multiples of the dimension. Its
    means under the normal are known, so that no draws are needed; the unbiased estimate, which
    is on average 0 for draws from the normal, and negative for some.

    Parameters
    ----------
    x : Tensor of shape (n, k)

    Returns
    -------
    divergence : Tensor, scalar

    References
    ----------
    Gretton et al., "A Kernel Two-Sample Test", JMLR 2012; Rustamov, "Closed-form Expressions for
    Maximum Mean Discrepancy with Applications to Wasserstein Auto-Encoders", 2021,
    arXiv:1901.03227.

    Examples
    --------
    >>> import torch
    >>> from skvae.nn import normal_mmd
    >>> x = torch.randn(2000, 2, generator=torch.Generator().manual_seed(0))
    >>> bool(abs(normal_mmd(x)) < 0.01 < normal_mmd(x + 1))
    True
    """
    k, squared, norms = x.shape[1], _distances(x, x).square(), x.square().sum(-1)

    def by_width(s):
        to_normal = (s / (s + 1)) ** (k / 2) * (-norms / (2 * (s + 1))).exp()
        of_normal = (s / (s + 2)) ** (k / 2)
        return _mean_of_pairs((-squared / (2 * s)).exp()) + of_normal - 2 * to_normal.mean()

    return sum(by_width(c * k) for c in _WIDTHS)


def kernel_stein(x, log_prob):
    r"""Kernel Stein discrepancy of a sample from a density, squared.

    Mean over pairs of the kernel that Stein's operator of the density makes of
    :math:`(1 + \|x - y\|^2 / c)^{-1/2}`, summed over c at five multiples of the dimension. It needs
    the gradient of the log density alone; the unbiased estimate, which is on average 0 for draws
    from the density, and negative for some.

    Parameters
    ----------
    x : Tensor of shape (n, k)
    log_prob : callable, (n, k) -> (n,)
        Log density in nats, twice differentiable.

    Returns
    -------
    divergence : Tensor, scalar

    References
    ----------
    Liu, Lee and Jordan, "A Kernelized Stein Discrepancy for Goodness-of-fit Tests", ICML 2016,
    arXiv:1602.03253. Gorham and Mackey, "Measuring Sample Quality with Kernels", 2017,
    arXiv:1703.01717, for the kernel.

    Examples
    --------
    >>> import torch
    >>> from skvae.nn import DiagonalNormal, kernel_stein
    >>> p = DiagonalNormal(torch.zeros(2), torch.ones(2))
    >>> x = torch.randn(2000, 2, generator=torch.Generator().manual_seed(0))
    >>> bool(abs(kernel_stein(x, p.log_prob)) < 0.05 < kernel_stein(x + 1, p.log_prob))
    True
    """
    with torch.enable_grad():
        x = x if x.requires_grad else x.detach().requires_grad_()
        (slope,) = torch.autograd.grad(log_prob(x).sum(), x, create_graph=True)
    k, squared = x.shape[1], _distances(x, x).square()
    inner = slope @ slope.T
    along = slope @ x.T
    # (x_i - x_j) . (slope_i - slope_j)
    apart = along.diagonal().unsqueeze(1) + along.diagonal() - along - along.T

    def by_width(c):
        root = (1 + squared / c).rsqrt()
        return root * inner + root**3 * (k + apart) / c - 3 * root**5 * squared / c**2

    return _mean_of_pairs(sum(by_width(multiple * k) for multiple in _WIDTHS))


def _mean_of_pairs(values):
    """Mean of a square matrix without its diagonal; 0 of a single row."""
    n = len(values)
    return (values.sum() - values.trace()) / max(1, n * (n - 1))


def _potentials(x, y, entropy, n_rounds):
    """Prices that the points of x and of y pay in the transport of one to the other.

    Sinkhorn's rounds in logarithms, from an entropy as large as the samples down to the one
    asked for. Gradients are those of the last round alone, each of its own points: at the
    optimum that is all of them.
    """
    with torch.no_grad():
        between = _distances(x, y).square()
        largest = float(between.max().clamp_min(entropy))
        if not math.isfinite(largest):
            return x.sum(1) * math.nan, y.sum(1) * math.nan
        n_halvings = math.ceil(math.log2(largest / entropy))
        entropies = [*(largest / 2**i for i in range(n_halvings)), *[entropy] * n_rounds]
        of_x, of_y = x.new_zeros(len(x)), y.new_zeros(len(y))
        for each in entropies:
            next_x = _least(between, of_y, each)
            next_y = _least(between.T, of_x, each)
            of_x, of_y = (of_x + next_x) / 2, (of_y + next_y) / 2
    return (
        _least(_distances(x, y.detach()).square(), of_y, entropy),
        _least(_distances(y, x.detach()).square(), of_x, entropy),
    )


def _least(costs, potentials, entropy):
    """Smoothed minimum over columns of what is left to pay, for each row."""
    return -entropy * (((potentials - costs) / entropy).logsumexp(1) - math.log(costs.shape[1]))


def _distances(a, b):
    # Not by a matrix product, whose rounding would part points that coincide.
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")


def _quantiles(projections, size):
    """Columns of `projections` sorted and read at `size` evenly spaced levels."""
    n = len(projections)
    levels = (2 * torch.arange(size, device=projections.device) + 1) * n // (2 * size)
    return projections.sort(dim=0).values[levels]
