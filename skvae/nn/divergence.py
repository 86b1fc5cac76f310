"""What training lowers beside the ELBO: how draws, or rows, are compared with the model's own."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch

__all__ = ["Batch", "BetweenSamples", "Divergence", "as_divergence"]


class Batch(NamedTuple):
    """Rows, and a draw of the latent code of each.

    Attributes
    ----------
    x, observed, visible : Tensor of shape (n, n_columns)
        Cells, and 1 where they are there, and where the encoder saw them too.
    z : Tensor of shape (n, latent_dim)
    """

    x: torch.Tensor
    observed: torch.Tensor
    visible: torch.Tensor
    z: torch.Tensor


class Divergence:
    """Base class of divergences of latent points from the prior of a model.

    One of codes alone overrides ``__call__``; `Critic` is the base class of those that have weights
    of their own.

    Attributes
    ----------
    prior : class or None
        The only prior that it is made for.
    of : {"codes", "rows"}
        What it compares with draws from the model.
    has_weights : bool
        Whether it learns while the model does.
    """

    prior: type | None = None
    of = "codes"
    has_weights = False

    def __call__(self, z, model, generator):
        """Divergence of the draws of a batch.

        Parameters
        ----------
        z : Tensor of shape (n, latent_dim)
        model : VAE
            Its prior is taken as it is: the divergence moves z alone.
        generator : torch.Generator

        Returns
        -------
        divergence : Tensor, scalar
        """
        raise NotImplementedError(f"{type(self).__name__} lacks the method '__call__'.")

    def of_batch(self, batch, model, generator):
        """Give what training lowers: by default the divergence of the codes; scalar Tensor.

        Parameters
        ----------
        batch : Batch
        model, generator
            As in ``__call__``.
        """
        return self(batch.z, model, generator)

    def judged(self, batch, model, generator):
        """Give what weights are judged by: as `of_batch`, by a measure that stays the same."""
        return self.of_batch(batch, model, generator)

    def begin(self, model, seed, before=None):
        """Return what one training has of it: itself, unless it has weights.

        Parameters
        ----------
        model : VAE
        seed : int
            Of its first weights.
        before : Divergence, default=None
            Of the training that this one goes on from.
        """
        return self

    def learn(self, batch, model, generator):
        """Write the gradient of its own loss into its weights, if it has any."""

    def __str__(self):  # noqa: D105
        return type(self).__name__


@dataclass(frozen=True)
class BetweenSamples(Divergence):
    """Divergence from as many draws from the prior.

    Parameters
    ----------
    function : callable
        Of two samples and a generator.
    """

    function: Callable

    def __call__(self, z, model, generator):
        with torch.no_grad():
            y = model.sample_prior(len(z), generator)
        return self.function(z, y, generator)

    def __str__(self):  # noqa: D105
        return getattr(self.function, "__name__", type(self.function).__name__)


def as_divergence(divergence):
    """Make a divergence from the prior of what the estimators accept as one.

    Parameters
    ----------
    divergence : Divergence, callable or None
        A callable is one of two samples and a generator.

    Returns
    -------
    divergence : Divergence or None

    Raises
    ------
    TypeError
        If it is a class, and no object of one.
    """
    if isinstance(divergence, type) and issubclass(divergence, Divergence):
        name = divergence.__name__
        raise TypeError(f"divergence={name} is a class. Give an object of it, such as {name}().")
    if divergence is None or isinstance(divergence, Divergence):
        return divergence
    return BetweenSamples(divergence)
