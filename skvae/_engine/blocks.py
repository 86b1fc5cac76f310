"""Blocks of rows of one shape, each on one thread: equal rows get equal bits."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from copy import deepcopy
from threading import Lock

import numpy as np
import torch

__all__ = ["blockwise", "passes"]


_BLOCK_SIZE = 2**17  # numbers of a block in the widest layer, for all draws: 1 MiB
_LOCK = Lock()  # torch's number of threads is one for the whole process


def block_rows(model, n_draws, device):
    """Rows of a block: as many as keep the widest layer in a processor's cache.

    Multiples of 16, for which a matrix product treats all rows alike.
    """
    if torch.device(device).type != "cpu":
        return 4096
    rows = _BLOCK_SIZE // (_widest(model) * max(1, n_draws))
    return max(16, min(128, rows // 16 * 16))


def _widest(model):
    return max(max(parameter.shape, default=1) for parameter in model.parameters())


def passes(model, p, block, seen, noise):
    """ELBO terms of a block, as many draws at a time as fit the widest layer."""
    q = model.infer(block, seen)
    size = max(1, _BLOCK_SIZE // (_widest(model) * len(block)))
    for eps in noise.split(size):  # (n, 1, latent_dim)
        yield model.elbo(q, p, block, seen, eps)


def blockwise(function, model, x, observed, eps, device):
    """Apply `function` to blocks of rows of one shape and join what it returns."""
    n, n_block = len(x), block_rows(model, len(eps), device)
    if torch.device(device).type != "cpu":
        model = deepcopy(model).to(device)

    @torch.inference_mode()
    def of_block(start):
        block, seen = (
            _padded(part[start : start + n_block], n_block, device) for part in (x, observed)
        )
        return function(model, p, block, seen, noise).cpu().numpy()[: n - start]

    with _one_thread_a_block() as n_threads, torch.inference_mode():
        p = model.prior_distribution()
        noise = torch.tensor(eps[..., : model.latent_dim], device=device)
        starts = range(0, max(n, 1), n_block)
        if len(starts) == 1:
            return of_block(0)
        with ThreadPoolExecutor(n_threads) as pool:
            return np.concatenate(list(pool.map(of_block, starts)))


@contextmanager
def _one_thread_a_block():
    """Let torch work on one thread; yield how many it had.

    Between more it would cut a block at places that need not fall between rows. Threads
    that score at once take turns, or one would take the other's 1 for what there was.
    """
    with _LOCK:
        n_threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            yield n_threads
        finally:
            torch.set_num_threads(n_threads)


def _padded(part, n_block, device):
    block = torch.zeros((n_block, part.shape[1]), dtype=torch.float64)
    block[: len(part)] = torch.from_numpy(np.ascontiguousarray(part))
    return block.to(device)
