"""Codes of bits, inferred without an encoder: states of each row that evolve."""

import torch
from torch import nn
from torch.distributions import Distribution
from torch.nn.functional import logsigmoid, one_hot

from .posteriors import Posterior
from .priors import Prior
from .states import States

__all__ = ["BernoulliPrior", "BinaryPosterior", "Bits"]


class Bits(Distribution):
    """Independent bits, each 1 or -1; masses.

    Parameters
    ----------
    logits : Tensor of shape (latent_dim,)
        Log odds of 1.
    """

    def __init__(self, logits):
        self.logits = logits
        super().__init__(event_shape=logits.shape, validate_args=False)

    def marginal_log_prob(self, z):
        """Log mass of each bit of z, in nats; (..., latent_dim)."""
        return logsigmoid(z * self.logits)

    def log_prob(self, z):
        """Log mass of each z, in nats; (..., latent_dim) -> (...)."""
        return self.marginal_log_prob(z).sum(-1)


class BernoulliPrior(Prior):
    """Independent bits, each 1 or -1, with learned probabilities.

    Parameters
    ----------
    latent_dim : int
    examples : Tensor of shape (m, n_features)
        Not used.
    generator : torch.Generator
        Not used.
    """

    space = "bits"

    def __init__(self, latent_dim, examples, *, generator):
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(latent_dim))

    def forward(self, encode):
        return Bits(self.logits)

    def sample(self, n, encode, generator, temperature=1.0):
        """Draw bits, at temperature 0 the likelier ones."""
        odds = self.logits / max(temperature, 1e-9)
        shape, like = (n, len(odds)), {"dtype": odds.dtype, "device": odds.device}
        is_on = torch.rand(shape, generator=generator, **like) < odds.sigmoid()
        return 2 * is_on.to(odds.dtype) - 1


class BinaryPosterior(Posterior):
    r"""Posterior over states of bits, without an encoder: all states, or some that evolve.

    Up to 8 bits all states are looked at, and the bound is :math:`\ln p(x)` itself. With more, 16
    states of each row are kept: in a generation four of them, two by p(x, z) and two by luck, have
    four children each that differ in one bit or two, and of all the best are kept. The bound is
    :math:`\ln \sum_z p(x, z)` over them, which no generation lowers. All rows meet the same luck.
    Generations are fewer in training, whose gradient is that of a state drawn from the shares.

    NOTE[DIFF] Drefs et al. keep the states of each row from one pass to the next; here they
    start anew, so that a model has no memory of its rows.

    References
    ----------
    Drefs, Guiraud and Lücke, "Evolutionary Variational Optimization of Generative Models", 2022,
    JMLR 23. Guiraud, Drefs and Lücke, "Direct Evolutionary Optimization of Variational
    Autoencoders with Binary Latents", 2022, arXiv:2011.13704.
    """

    space = "bits"
    has_encoder = False
    searches = True
    most_bits = 8  # of which all states are looked at
    n_states, n_parents, n_children = 16, 4, 4
    n_training_generations, n_generations = 8, 32

    def __init__(self, n_hidden, latent_dim, *, generator):
        super().__init__()
        if latent_dim <= self.most_bits:
            bits = torch.arange(2**latent_dim).unsqueeze(1) >> torch.arange(latent_dim) & 1
            self.register_buffer("start_states", 2.0 * bits - 1)
            self.n_training_generations = self.n_generations = 0
            return
        start = torch.randint(2, (self.n_states, latent_dim), generator=generator)
        self.register_buffer("start_states", 2.0 * start - 1)
        luck = torch.rand(self.n_generations, self.n_states, generator=generator)
        self.register_buffer("luck", -(-luck.log()).log())
        order = torch.rand(
            (self.n_generations, self.n_parents, latent_dim), generator=generator
        ).argsort(-1)
        # Signs that a child's bits have by its parent's; every other child differs in two.
        first, second = (
            1.0 - 2.0 * one_hot(order[..., at : at + self.n_children], latent_dim) for at in (0, 1)
        )
        second[..., ::2, :] = 1.0
        self.register_buffer("signs", (first * second).flatten(1, 2))
        highest = torch.iinfo(torch.int64).max
        self.register_buffer("keys", torch.randint(highest, (latent_dim,), generator=generator))

    def infer(self, model, x, visible):
        with torch.no_grad():
            states = self.start_states.unsqueeze(1)
            joint = self._joint(model, states, x, visible)
            states = states.expand(-1, len(x), -1)
            generations = range(self.n_training_generations)
            return self._evolved(model, states, joint, x, visible, generations)

    def search(self, model, q, x, observed, eps):
        generations = range(self.n_training_generations, self.n_generations)
        if len(generations) == 0:
            return q
        with torch.no_grad():
            joint = self._joint(model, q.z, x, observed)
            return self._evolved(model, q.z, joint, x, observed, generations)

    def _evolved(self, model, states, joint, x, observed, generations):
        """Distribution over the best states after some generations."""
        for generation in generations:
            parents = _chosen(states, self._parents(joint, generation))
            signs = self.signs[generation].unsqueeze(1)
            children = parents.repeat_interleave(self.n_children, 0) * signs
            joint = torch.cat([joint, self._joint(model, children, x, observed)])
            states = torch.cat([states, children])
            joint = torch.where(self._is_repeated(states), -torch.inf, joint)
            joint, best = joint.topk(self.n_states, 0)
            states = _chosen(states, best)
        return States.in_proportion(states, joint)

    def _parents(self, joint, generation):
        """Places of a generation's parents among the states; (n_parents, n)."""
        luck, n_half = self.luck[generation].unsqueeze(-1), self.n_parents // 2
        by_joint = (joint + luck).topk(n_half, 0).indices
        by_luck = luck.topk(n_half, 0).indices
        return torch.cat([by_joint, by_luck.expand(-1, joint.shape[1])])

    def _joint(self, model, states, x, observed):
        """Log p(x, z) of states, in nats; (..., n or 1, latent_dim) -> (..., n)."""
        return model.log_joint(model.prior_distribution(), states, x, observed)

    def _is_repeated(self, states):
        """Whether a state of a row is one before it; (n_states, n)."""
        keys = ((states > 0) * self.keys).sum(-1)
        is_equal = keys.unsqueeze(0) == keys.unsqueeze(1)  # (s, s, n)
        earlier = torch.ones_like(is_equal[..., 0]).tril(-1)
        return (is_equal & earlier.unsqueeze(-1)).any(1)


def _chosen(states, places):
    """States of each row at some places; (s, n, k), (m, n) -> (m, n, k)."""
    return states.gather(0, places.unsqueeze(-1).expand(-1, -1, states.shape[-1]))
