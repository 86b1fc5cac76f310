"""Where training starts: at factor analysis of the numbers, and a normal mixture of its codes.

Factor analysis is the best linear model there is in closed form; gradient steps go on from
there, and need not find the columns' correlations first.
"""

import warnings

import numpy as np
import torch
from sklearn.decomposition import FactorAnalysis
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

from ..nn import LinearModel
from .threads import one_thread, one_thread_of_blas

__all__ = ["begin", "factor_analysis", "follow", "of_classes", "start"]


LARGEST_PRECISE = 64  # columns up to which singular values are not drawn at random
SMALLEST_VARIANCE = 1e-4  # of a column's noise, in its unit
SMALLEST_EIGENVALUE = 1e-6  # of a covariance, in the columns' unit
REGULARIZATION = 0.02  # added to the variances of the codes' mixture
TOLERANCE = 1e-2  # nats of two rows a column, from one step to the next
CODES = 2_000  # that the mixture is fitted to
ROWS_A_NORMAL = 5  # codes for each normal of the mixture, at least


def start(model, x, observed, scale, generator, seed):
    """Let a model begin at a linear one, and its mixture prior at the codes of some rows.

    Parameters
    ----------
    model : VAE
        On the CPU, float32.
    x : Tensor of shape (n, n_columns)
        Encoded training rows, 0 where not observed.
    observed : bool Tensor of shape (n, n_columns)
    scale : float
        Of the noise in the columns' units, where there are codes enough to leave none.
    generator : torch.Generator
        Source of the noise of the codes.
    seed : int
        Of what scikit-learn draws.
    """
    with one_thread(), one_thread_of_blas():
        _start(model, x, observed, scale, generator, seed)


def _start(model, x, observed, scale, generator, seed):
    visible = observed.to(x.dtype)
    located, context = _located(model, x, visible)
    if located.shape[1] > 0:
        rest, effects = given(located, context)
        linear = *factor_analysis(rest, model.latent_dim, scale, seed), effects
        model.start(LinearModel(*(torch.tensor(part, dtype=x.dtype) for part in linear)))
    if model.prior.n_normals > 0:
        with torch.no_grad():
            rows = _rows_to_begin_at(model, x, observed)
            x, observed, visible = x[rows], observed[rows], visible[rows]
            q = model.infer(x, visible)
            codes = q.transport(torch.randn(q.mean.shape, generator=generator, dtype=x.dtype))
            mixture = _begun(model, codes.double().numpy(), x, observed, seed, generator)
            model.prior.start(*(torch.tensor(part, dtype=x.dtype) for part in mixture))


def follow(model, x, observed):
    """Let a model begin at what the context adds to the columns; parameters as in `start`."""
    located, context = _located(model, x, observed.to(x.dtype))
    if located.shape[1] > 0 and context.shape[1] > 0:
        with one_thread(), one_thread_of_blas():
            _, effects = given(located, context)
        model.follow(torch.tensor(effects, dtype=x.dtype))


def begin(model, x, observed, generator):
    """Let a posterior with codes of its own begin at training rows; parameters as in `start`."""
    with one_thread(), torch.no_grad():
        model.posterior.begin(model, x, observed.to(x.dtype), generator)


def _located(model, x, visible):
    """Cells of the columns that have a location, and features of the context."""
    features = model.likelihood.featurize(x, visible).detach().double()
    located = features[:, model.likelihood.locations()]
    return located.numpy(), features[:, model.likelihood.shown].numpy()


def given(rows, context):
    """Rows without what is linear in their context, and how it is.

    Parameters
    ----------
    rows : ndarray of shape (n, d)
    context : ndarray of shape (n, c)

    Returns
    -------
    rest : ndarray of shape (n, d)
    effects : ndarray of shape (d, c)
        By least squares, the shortest where there are several.
    """
    with_mean = np.column_stack([np.ones(len(rows)), context])
    effects = np.linalg.lstsq(with_mean, rows, rcond=None)[0][1:]
    return rows - context @ effects, effects.T


def factor_analysis(rows, n_components, scale, seed):
    """Mean, noise scale and loadings of factor analysis, the loadings in canonical rotation.

    With a factor for each column all that is not noise of a given scale is loadings.

    Parameters
    ----------
    rows : ndarray of shape (n, d)
    n_components : int
        Factors, as far as there are columns.
    scale : float
    seed : int

    Returns
    -------
    mean, scale : ndarray of shape (d,)
    loadings : ndarray of shape (d, k)
        With ``loadings.T @ diag(scale**-2) @ loadings`` diagonal.

    References
    ----------
    Rubin and Thayer, "EM algorithms for ML factor analysis", 1982, doi:10.1007/BF02293851.
    """
    n_columns = rows.shape[1]
    if n_components >= n_columns:
        values, vectors = _eigen(rows)
        loadings = vectors * np.sqrt((values - scale**2).clip(SMALLEST_EIGENVALUE))
        return rows.mean(axis=0), np.full(n_columns, scale), loadings
    alike = rows
    if n_columns <= LARGEST_PRECISE or not n_components < len(rows) <= 2 * n_columns:
        # All that counts of the rows is their covariance, which two rows a column have as well.
        values, vectors = _eigen(rows)
        root = np.sqrt(n_columns * values.clip(SMALLEST_EIGENVALUE)) * vectors
        alike = np.vstack([root.T, -root.T])
    model = FactorAnalysis(
        n_components,
        tol=TOLERANCE,
        svd_method="lapack" if n_columns <= LARGEST_PRECISE else "randomized",
        random_state=seed,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # training goes on from there
        model.fit(alike)
    scales = np.sqrt(model.noise_variance_.clip(SMALLEST_VARIANCE))
    loadings = model.components_.T
    _, _, rotation = np.linalg.svd(loadings / scales[:, None], full_matrices=False)
    return rows.mean(axis=0), scales, loadings @ rotation.T


def _eigen(rows):
    """Eigenvalues and eigenvectors of the covariance of rows."""
    n_columns = rows.shape[1]
    covariance = np.cov(rows, rowvar=False, bias=True).reshape(n_columns, n_columns)
    return np.linalg.eigh(covariance)


def _rows_to_begin_at(model, x, observed):
    """Choose some rows; where classes are components of the prior, those that have one first."""
    if model.likelihood.n_components == 0:
        return slice(CODES)
    return (model.likelihood.classes(x, observed) < 0).int().argsort(stable=True)[:CODES]


def _begun(model, codes, x, observed, seed, generator):
    """Mixture of codes that the prior begins at, of their classes where these are components."""
    if model.likelihood.n_components == 0:
        return _mixture(codes, model.prior.n_normals, seed, generator)
    classes = model.likelihood.classes(x, observed).numpy()
    return of_classes(codes, classes, model.prior.n_normals)


def of_classes(codes, classes, n_classes):
    """Shares, means and the common covariance of classes of codes, as discriminant analysis.

    Parameters
    ----------
    codes : ndarray of shape (n, k)
    classes : int ndarray of shape (n,)
        -1 where it is not known.
    n_classes : int

    Returns
    -------
    weights : ndarray of shape (n_classes,)
        As if each class had been seen once more.
    means : ndarray of shape (n_classes, k)
    covariances : ndarray of shape (n_classes, k, k)
    """
    is_of = classes[:, None] == np.arange(n_classes)
    n, centre = is_of.sum(axis=0), codes.mean(axis=0)
    means = (is_of.T @ codes + centre) / (n + 1)[:, None]
    rest = (codes - means[classes])[classes >= 0]
    k = codes.shape[1]
    common = (rest.T @ rest + np.cov(codes, rowvar=False).reshape(k, k)) / (len(rest) + 1)
    covariances = np.tile(common + REGULARIZATION * np.eye(k), (n_classes, 1, 1))
    return (n + 1) / (n + 1).sum(), means, covariances


def _mixture(codes, n_normals, seed, generator):
    """Weights, means and covariances of a normal mixture of codes.

    Where there are too few codes for so many normals, fewer are fitted, and share out.
    """
    n_fitted = max(1, min(n_normals, len(codes) // ROWS_A_NORMAL))
    mixture = GaussianMixture(n_fitted, reg_covar=REGULARIZATION, max_iter=50, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        mixture.fit(codes)
    chosen = np.arange(n_normals) % n_fitted
    weights = mixture.weights_[chosen] / np.bincount(chosen)[chosen]
    noise = torch.randn((n_normals, codes.shape[1], 1), generator=generator).double().numpy()
    roots = np.linalg.cholesky(mixture.covariances_)[chosen]
    apart = (roots @ noise)[..., 0] * (chosen != np.arange(n_normals))[:, None]
    return weights, mixture.means_[chosen] + apart, mixture.covariances_[chosen]
