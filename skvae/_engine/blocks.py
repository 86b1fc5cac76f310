"""Blocks of rows of one shape, each on one thread: equal rows get equal bits."""

import math
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy

import numpy as np
import torch

from .threads import one_thread

__all__ = ["block_rows", "blockwise", "by_model", "passes"]


_BLOCK_SIZE = 2**17  # numbers of a block in the widest layer, for all draws: 1 MiB in float64
_GPU_ROWS = 4096


def by_model(function, model, x, observed, eps, device):
    """Apply a function of a model, in float64, to blocks of rows and join what it returns.

    Parameters
    ----------
    function : callable
        Of the model, its prior's distribution, cells, which are observed, and noise.
    model : VAE
        float64.
    x, observed : ndarray of shape (n, n_columns)
    eps : ndarray of shape (n_draws, 1, noise_dim)
        Or wider.
    device : str or torch.device

    Returns
    -------
    values : ndarray of shape (n, ...)
    """
    n_block = block_rows(model, len(eps), device)
    if torch.device(device).type != "cpu":
        model = deepcopy(model).to(device)
    with torch.inference_mode():
        p = model.prior_distribution()
        noise = torch.tensor(eps[..., : model.noise_dim], device=device)

    def of_block(block, seen):
        return function(model, p, block, seen, noise)

    return blockwise(of_block, x, observed, n_block=n_block, dtype=torch.float64, device=device)


def block_rows(model, n_draws, device):
    """Rows of a block: as many as keep the widest layer in a processor's cache.

    Multiples of 16, for which a matrix product treats all rows alike.
    """
    if torch.device(device).type != "cpu":
        return _GPU_ROWS
    rows = _BLOCK_SIZE // (_widest(model) * max(1, n_draws))
    return max(16, min(128, rows // 16 * 16))


def passes(model, p, block, seen, noise):
    """ELBO terms of a block, as many draws at a time as fit the widest layer."""
    q = model.search(block, seen, noise)
    size = max(1, _BLOCK_SIZE // (_widest(model) * len(block)))
    for eps in noise.split(size):  # (n, 1, latent_dim)
        yield model.elbo(q, p, block, seen, seen, eps)


def _widest(model):
    return max(max(parameter.shape, default=1) for parameter in model.parameters())


def blockwise(function, x, observed, *, n_block, dtype, device):
    """Apply a function to blocks of rows of one shape, and join what it returns.

    On the CPU a block has one thread: between more, torch would cut it at places that need not
    fall between rows.

    Parameters
    ----------
    function : callable
        Of cells and of which are observed, each a Tensor of shape (n_block, n_columns); gives a
        Tensor of shape (n_block, ...).
    x, observed : ndarray of shape (n, n_columns)
    n_block : int
        The last block is padded to as many rows.
    dtype : torch.dtype
        Of the cells.
    device : str or torch.device

    Returns
    -------
    values : float64 ndarray of shape (n, ...)
    """
    n = len(x)
    n_blocks = max(1, math.ceil(n / n_block))
    blocks = [_cut(part, n_blocks, n_block, dtype) for part in (x, observed)]

    @torch.inference_mode()
    def of_block(block, seen):
        return function(block.to(device), seen.to(device)).to("cpu", torch.float64)

    with one_thread() as n_threads:
        if n_threads == 1 or n_blocks == 1:
            values = list(map(of_block, *blocks))
        else:
            # Threads begin at what was set last anywhere, which need not be the 1.
            with ThreadPoolExecutor(n_threads, "", torch.set_num_threads, (1,)) as pool:
                values = list(pool.map(of_block, *blocks))
    return torch.cat(values).numpy()[:n]


def _cut(part, n_blocks, n_block, dtype):
    """Cut rows into blocks, the last of them padded with zeros."""
    whole = torch.zeros((n_blocks * n_block, part.shape[1]), dtype=dtype)
    whole[: len(part)] = torch.from_numpy(np.ascontiguousarray(part))
    return whole.split(n_block)
