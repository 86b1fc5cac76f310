"""Members of a model: which of the candidates is kept, and what is known of each."""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from .recipe import ROBUST

__all__ = ["Member", "as_frame", "chosen", "kept", "unseen"]


_HASHED_ROWS = 65_536  # at a time
_FEWEST_JUDGES = 20  # that differ from every fitted row


@dataclass(frozen=True)
class Member:
    """A recipe, the model trained by it, and the model's share in every score.

    Attributes
    ----------
    name : str
        That of a candidate, "member 1", "member 2" and so on for settings of the user's, or
        "robust".
    settings : dict
        How its recipe differs from the estimator's parameters.
    model : skvae.nn.VAE or None
        float64 on the CPU; None of a candidate that was not chosen.
    weight : float
        0 for a candidate that was not chosen.
    nats : float
        Mean bound on the log density of the held-out rows, in the columns' own units; NaN
        where none is held out.
    n_steps : int
        Steps taken.
    """

    name: str
    settings: dict = field(repr=False)
    model: Any = field(repr=False)
    weight: float
    nats: float
    n_steps: int


def as_frame(members):
    """Name, nats, steps and weight of each member, as a table."""
    fields = ("name", "nats", "n_steps", "weight")
    rows = [[getattr(member, field) for field in fields] for member in members]
    return pd.DataFrame(rows, columns=["member", "held-out nats a row", "steps", "weight"])


def kept(trained, models, bounds, robust_weight, n_steps_before):
    """Members of what was trained: of the candidates the best keeps its model and a weight.

    Parameters
    ----------
    trained : list of Trained
        Candidates, and then the robust member if there is one.
    models : list of VAE
        Theirs, at rest.
    bounds : ndarray of shape (len(trained), m)
        Of the same m held-out rows, in nats.
    robust_weight : float
    n_steps_before : dict of str to int
        Steps taken by name, where a training went on.

    Returns
    -------
    members : list of Member
    best : int
        Position of the candidate that was kept.
    """
    is_robust = np.array([each.name == ROBUST for each in trained])
    best = chosen(bounds[~is_robust])
    weights = np.where(is_robust, robust_weight, 0.0)
    weights[best] = 1 - weights.sum()
    members = [
        Member(
            name=each.name,
            settings=each.settings,
            model=model if i == best or is_robust[i] else None,
            weight=float(weights[i]),
            nats=float(bounds[i].mean()) if bounds[i].size else math.nan,
            n_steps=n_steps_before.get(each.name, 0) + max(each.history["step"], default=0),
        )
        for i, (each, model) in enumerate(zip(trained, models, strict=True))
    ]
    return members, best


def chosen(bounds):
    """Position of the candidate to keep: that with the highest mean bound, or else the first.

    Parameters
    ----------
    bounds : ndarray of shape (n_candidates, m)
        Of the same m rows that no candidate was fitted to, in nats.

    Returns
    -------
    best : int
    """
    return int(np.argmax(bounds.mean(axis=1))) if bounds.size else 0


def unseen(judges, fitted):
    """Which rows equal no fitted row: a copy tells nothing of rows not yet seen.

    Parameters
    ----------
    judges, fitted : EncodedTable

    Returns
    -------
    unseen : bool ndarray of shape (len(judges.values),)
        All True where hardly any would be left.
    """
    are_unseen = ~pd.Series(_hashes(judges)).isin(_hashes(fitted)).to_numpy()
    return are_unseen if are_unseen.sum() >= _FEWEST_JUDGES else np.ones_like(are_unseen)


def _hashes(table):
    """One integer a row, other ones for rows that differ but by chance, one in 2**64."""
    rng = np.random.default_rng(0)
    factors = 2 * rng.integers(2**63, size=(2, table.values.shape[1]), dtype=np.uint64) + 1
    starts = range(0, len(table.values), _HASHED_ROWS)
    parts = [_hashes_of_chunk(table.take(slice(at, at + _HASHED_ROWS)), *factors) for at in starts]
    return np.concatenate([np.empty(0, np.uint64), *parts])


def _hashes_of_chunk(table, of_values, of_observed):
    cells = np.ascontiguousarray(table.values, dtype=np.float64).view(np.uint64)
    # The low half of a round number is 0: the high one has to reach the low bits, too.
    mixed = np.einsum("ij,j->i", cells ^ (cells >> np.uint64(32)), of_values)
    return mixed + np.einsum("ij,j->i", table.observed.astype(np.uint64), of_observed)
