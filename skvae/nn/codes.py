"""Codes from a codebook: slots that each hold one of a few, and how probable their choice is."""

from numbers import Integral

import torch
from torch import nn
from torch.distributions import Distribution
from torch.nn.functional import one_hot

from .layers import linear
from .posteriors import Posterior
from .priors import Prior
from .states import States

__all__ = ["Codes", "CodesPrior", "QuantisedPosterior"]

_MOST_CODES = 2**12
_MOST_IN_ALL = 2**13  # codes of all slots: its square of logits is a quarter of a gigabyte
_STARTING_ROWS = 2_000  # of which k-means is
_PASSES = 20  # of k-means


class Codes(Distribution):
    """Points of slots beside each other, each one of a codebook's, given the slots before; masses.

    Parameters
    ----------
    codebook : Tensor of shape (n_codes, latent_dim)
        Codes of all slots beside each other.
    sizes : sequence of int
        Width of each slot; they add up to latent_dim.
    logits : Tensor of shape (n_slots, n_codes)
    slopes : Tensor of shape (n_slots, n_slots, n_codes, n_codes)
        What a code of another slot, the second axis, adds to the logits of a slot, the first; of
        slots that come later it is not used.

    Attributes
    ----------
    n_states : int
        Points that there are.
    """

    def __init__(self, codebook, sizes, logits, slopes):
        self.codes = codebook.split(list(sizes), dim=-1)
        self._logits, self._slopes = logits, slopes
        self.n_states = len(codebook) ** len(sizes)
        super().__init__(event_shape=codebook.shape[1:], validate_args=False)

    def every(self):
        """Choices that there are; int64 Tensor of shape (n_states, n_slots)."""
        n_codes = torch.arange(len(self.codes[0]), device=self._logits.device)
        choices = torch.cartesian_prod(*[n_codes] * len(self.codes))
        return choices.view(self.n_states, len(self.codes))

    def embed(self, chosen):
        """Point of a choice; (..., n_slots) -> (..., latent_dim)."""
        parts = zip(self.codes, chosen.unbind(-1), strict=True)
        return torch.cat([codes[place] for codes, place in parts], dim=-1)

    def is_repeated(self, chosen):
        """Whether another choice before it is of the same point; (..., n_slots) -> (...)."""
        equal = [(codes.unsqueeze(1) == codes).all(-1) for codes in self.codes]  # (code, code)
        has_earlier = [each.tril(-1).any(1) for each in equal]
        parts = zip(has_earlier, chosen.unbind(-1), strict=True)
        return torch.stack([repeated[place] for repeated, place in parts]).any(0)

    def distances(self, z):
        """Squared distance of the slots of z from each code; (n, latent_dim) -> (n, slot, code)."""
        parts = z.split([codes.shape[-1] for codes in self.codes], dim=-1)
        pairs = zip(parts, self.codes, strict=True)
        return torch.stack([_distances(part, codes) for part, codes in pairs], dim=-2)

    def log_mass_of_slot(self, slot, chosen):
        """Log masses of a slot's codes given those chosen before; (..., n_slots) -> (..., code)."""
        logits = self._logits[slot].expand(*chosen.shape[:-1], -1)
        for before in range(slot):
            logits = logits + self._slopes[slot, before][chosen[..., before]]
        return logits.log_softmax(-1)

    def log_mass(self, chosen):
        """Log mass of a choice, in nats; (..., n_slots) -> (...)."""
        return sum(
            self.log_mass_of_slot(slot, chosen).gather(-1, own.unsqueeze(-1)).squeeze(-1)
            for slot, own in enumerate(chosen.unbind(-1))
        )

    def log_prob(self, z):
        """Log mass of z in nats, of equal codes that of the first; (..., latent_dim) -> (...)."""
        parts = z.detach().split([codes.shape[-1] for codes in self.codes], dim=-1)
        pairs = zip(parts, self.codes, strict=True)
        is_equal = [(part.unsqueeze(-2) == codes).all(-1) for part, codes in pairs]
        chosen = torch.stack([each.byte().argmax(-1) for each in is_equal], dim=-1)
        is_known = torch.stack([each.any(-1) for each in is_equal]).all(0)
        return torch.where(is_known, self.log_mass(chosen), -torch.inf)


class CodesPrior(Prior):
    r"""Slots that each hold a code of a codebook: :math:`p(k) = \prod_g p(k_g \mid k_{<g})`.

    The first slot, the first of the latent dimensions, is the top level. Logits of a slot's codes
    are linear in which codes the slots before it hold: of two slots that is every distribution
    there is.

    Parameters
    ----------
    latent_dim : int
        Shared out to the slots.
    examples : Tensor of shape (m, n_features)
        Not used.
    n_codes : int, default=16
        Codes of each slot.
    n_slots : int, default=2
        At most one a latent dimension; in all at most 8,192 codes.
    generator : torch.Generator

    References
    ----------
    van den Oord, Vinyals and Kavukcuoglu, "Neural Discrete Representation Learning", 2017,
    arXiv:1711.00937. Razavi, van den Oord and Vinyals, "Generating Diverse High-Fidelity Images
    with VQ-VAE-2", 2019, arXiv:1906.00446, for levels, each given those above.
    """

    space = "codes"

    def __init__(self, latent_dim, examples, *, n_codes=16, n_slots=2, generator):
        super().__init__()
        _check_size("n_codes", n_codes)
        _check_size("n_slots", n_slots)
        slots = torch.arange(latent_dim).tensor_split(min(n_slots, latent_dim))
        self.sizes = [len(slot) for slot in slots]
        n_slots = len(slots)
        n_in_all = n_slots * n_codes
        if n_in_all > _MOST_IN_ALL:
            raise ValueError(
                f"{n_slots} slots of n_codes={n_codes} are {n_in_all:,} codes, each with a "
                f"logit given any other: at most {_MOST_IN_ALL:,} fit. Use fewer codes or slots."
            )
        self.codebook = nn.Parameter(torch.randn((n_codes, latent_dim), generator=generator))
        self.logits = nn.Parameter(torch.zeros(n_slots, n_codes))
        self.slopes = nn.Parameter(torch.zeros(n_slots, n_slots, n_codes, n_codes))

    def forward(self, encode):
        return Codes(self.codebook, self.sizes, self.logits, self.slopes)

    def sample(self, n, encode, generator, temperature=1.0):
        """Draw codes slot by slot, at temperature 0 the likeliest ones given those before."""
        p = self.forward(encode)
        return p.embed(self._chosen(p, n, generator, temperature))

    def perplexity(self):
        """Codes that are in use: exp of the entropy of each slot's codes; (n_slots,)."""
        p, generator = self.forward(None), torch.Generator().manual_seed(0)
        with torch.no_grad():
            chosen = self._chosen(p, 4_096, generator, 1.0)
            masses = [p.log_mass_of_slot(g, chosen).exp().mean(0) for g in range(len(self.sizes))]
        return torch.stack([torch.special.entr(mass).sum().exp() for mass in masses])

    def start(self, codebook, counts):
        """Begin at centres of rows, and at how many each has.

        Parameters
        ----------
        codebook : Tensor of shape (n_codes, latent_dim)
        counts : Tensor of shape (n_slots, n_codes)
        """
        self.codebook.copy_(codebook)
        self.logits.copy_((counts + 1.0).log())

    def _chosen(self, p, n, generator, temperature):
        chosen = torch.zeros((n, len(self.sizes)), dtype=torch.int64, device=self.logits.device)
        for slot in range(len(self.sizes)):
            log_mass = p.log_mass_of_slot(slot, chosen) / max(temperature, 1e-6)
            masses = log_mass.softmax(-1)
            chosen[:, slot] = torch.multinomial(masses, 1, generator=generator).squeeze(-1)
        return chosen


class QuantisedPosterior(Posterior):
    r"""Posterior over codes of a codebook, near to where the encoder puts a row.

    Of at most 256 choices all are looked at, and the bound is :math:`\ln p(x)` itself. Of more, 16
    are candidates: in each slot the code that is nearest to the row, and then those that differ
    from this choice in one slot, the nearest ones first. The bound is :math:`\ln \sum_k p(x, k)`
    over them, which further candidates never lower.

    NOTE[DIFF] van den Oord et al. train the decoder by the nearest codes alone, move these to what
    was encoded, and pass the decoder's gradient on to the encoder as if it were theirs. Here all
    that scores are made of has the gradient of the bound itself, codebook included, at codes drawn
    by their share in it; the encoder has only to find candidates, and is drawn to the mean of
    the codes by their shares with the weight of the paper's commitment, 0.25. So there is no
    running mean of codes beside the weights. Codes start, at k-means, where rows are, and those
    that lose their rows are not put elsewhere; `CodesPrior.perplexity` says how many are in use.

    References
    ----------
    van den Oord, Vinyals and Kavukcuoglu, "Neural Discrete Representation Learning", 2017,
    arXiv:1711.00937.
    """

    space = "codes"
    searches = True
    most_states = 256  # of which all are looked at
    n_candidates = 16
    commitment = 0.25

    def __init__(self, n_hidden, latent_dim, *, generator):
        super().__init__()
        self.head = linear(n_hidden, latent_dim, generator)

    def start(self, slope, intercept, scale):
        self.head.weight.copy_(slope)
        self.head.bias.copy_(intercept)

    def begin(self, model, x, visible, generator):
        p = model.prior_distribution()
        n_codes = len(p.codes[0])
        if n_codes > len(x):
            raise ValueError(
                f"posterior='quantised' begins its {n_codes} codes at as many rows. Got {len(x)}, "
                f"those held out not counted. Use prior_params={{'n_codes': {len(x)}}}, or fewer."
            )
        near = self._encoded(model, x[:_STARTING_ROWS], visible[:_STARTING_ROWS])
        slots = near.split([codes.shape[-1] for codes in p.codes], dim=-1)
        centres, counts = zip(*(_k_means(slot, n_codes, generator) for slot in slots), strict=True)
        model.prior.start(torch.cat(centres, dim=-1), torch.stack(counts))

    def infer(self, model, x, visible):
        p, near = model.prior_distribution(), self._encoded(model, x, visible)
        chosen = self._candidates(p, near)
        z = p.embed(chosen)  # (s, n or 1, latent_dim)
        with torch.no_grad():
            log_joint = model.log_joint(p, z, x, visible)
        log_joint = torch.where(p.is_repeated(chosen), -torch.inf, log_joint)
        q = States.in_proportion(z.expand(-1, len(x), -1), log_joint)
        centre = torch.einsum("sn,snk->nk", q.log_share.exp(), q.z.detach())
        pull = self.commitment * (near - centre).square().sum(-1)
        return States(q.z, q.log_share + (pull - pull.detach()))  # a gradient, and exactly 0

    def _encoded(self, model, x, visible):
        return self.head(model.encoder(model.likelihood.featurize(x, visible)))

    def _candidates(self, p, near):
        """Choices to look at; (n_candidates, n or 1, n_slots)."""
        if p.n_states <= self.most_states:
            return p.every().unsqueeze(1)
        far = p.distances(near.detach())  # (n, n_slots, n_codes)
        n_slots, n_codes = far.shape[1:]
        least, nearest = far.min(-1, keepdim=True)
        further = (far - least).scatter(-1, nearest, torch.inf).flatten(1)
        n_swaps = min(self.n_candidates - 1, n_slots * (n_codes - 1))
        swaps = further.topk(n_swaps, largest=False).indices.unsqueeze(-1)  # (n, n_swaps, 1)
        nearest = nearest.mT  # (n, 1, n_slots)
        swapped = nearest.repeat(1, n_swaps, 1).scatter(-1, swaps // n_codes, swaps % n_codes)
        return torch.cat([nearest, swapped], dim=1).movedim(1, 0)


def _k_means(rows, n_codes, generator):
    """Centres of rows, and how many rows each has; (n, k) -> (n_codes, k), (n_codes,).

    A centre without a row is put where others might be.
    """
    centres = rows[torch.randint(len(rows), (1,), generator=generator)]
    for _ in range(n_codes - 1):
        far = _distances(rows, centres).amin(-1) + 1e-9  # rows may all be equal
        centres = torch.cat([centres, rows[torch.multinomial(far, 1, generator=generator)]])
    for _ in range(_PASSES):
        has = one_hot(_distances(rows, centres).argmin(-1), n_codes).to(rows.dtype)
        counts = has.sum(0)
        means = has.T @ rows / counts.clamp_min(1).unsqueeze(1)
        centres = torch.where((counts > 0).unsqueeze(1), means, centres)
    apart = rows.std(0) * torch.randn(centres.shape, generator=generator, dtype=rows.dtype)
    return centres + apart * (counts == 0).unsqueeze(1), counts


def _distances(z, codes):
    """Squared distance of each z from each code; (..., k), (m, k) -> (..., m)."""
    return (z.unsqueeze(-2) - codes).square().sum(-1)


def _check_size(name, value):
    is_integer = isinstance(value, Integral) and not isinstance(value, bool)
    if not is_integer or not 1 <= value <= _MOST_CODES:
        raise ValueError(f"{name} must be an int in the range [1, {_MOST_CODES}]. Got {value!r}")
