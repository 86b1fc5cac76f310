"""What the encoder sees of cells, and their log density given the decoder's outputs.

A block's class here has ``features(x, visible)``, the gradient of its features if they are
learned, and ``of(params, x)``: the log density of each cell, and what `backward` needs. Shapes
are (c, n) of cells, (c, n_inputs, n) of features and (c, n_params, ..., n) of the decoder's
outputs: those of several draws stand beside each other.
"""

import math

import torch
from torch.nn.functional import softplus

from ...nn import (
    Bernoulli,
    Categorical,
    Gaussian,
    Heteroscedastic,
    HeteroscedasticStudentT,
    LightStudentT,
    LogNormal,
    PredictedScale,
    SharedScale,
    SpikeSlab,
    StudentT,
)
from .priors import HALF_LOG_TAU

__all__ = ["Noise"]


class Noise:
    """All columns: the blocks of a joint likelihood, one above the other.

    Parameters
    ----------
    likelihood : JointLikelihood

    Attributes
    ----------
    is_written_out : bool
        Whether no block is left to torch's modules and autograd.
    learns_features : bool
        Whether any block learns what it shows of a cell.
    """

    def __init__(self, likelihood):
        self._blocks = [BLOCKS.get(type(block), _Other)(block) for block in likelihood.blocks]
        self._sizes = likelihood.sizes
        of_blocks = list(zip(likelihood.blocks, likelihood.sizes, strict=True))
        self._n_params = [block.n_params * c for block, c in of_blocks]
        self._n_features = [block.n_inputs * c for block, c in of_blocks]
        self.learns_features = any(block.learns_features for block in self._blocks)
        self.is_written_out = all(type(block) in BLOCKS for block in likelihood.blocks)

    def features(self, x, visible):
        """Features of all columns, and what their gradient needs; (d, n) -> (n_features, n)."""
        parts = zip(self._blocks, x.split(self._sizes), visible.split(self._sizes), strict=True)
        features = [block.features(cells, shown) for block, cells, shown in parts]
        return _above_each_other([feature.flatten(0, 1) for feature, _ in features]), features

    def features_backward(self, kept, slope):
        """Write the gradients of what turns cells into features."""
        parts = zip(self._blocks, kept, slope.split(self._n_features), strict=True)
        for block, (feature, own), part in parts:
            block.features_backward(own, part.view_as(feature))

    def of(self, params, x):
        """Log density of each cell, and what its gradient needs; -> (d, ..., n)."""
        cells, outputs = x.split(self._sizes), params.split(self._n_params)
        parts = [
            block.of(output.unflatten(0, (len(cell), -1)), cell)
            for block, output, cell in zip(self._blocks, outputs, cells, strict=True)
        ]
        return _above_each_other([log_prob for log_prob, _ in parts]), [own for _, own in parts]

    def backward(self, kept, weight):
        """Gradient of the outputs of the sum of ``weight * log p``; writes those of the noise."""
        parts = zip(self._blocks, kept, weight.split(self._sizes), strict=True)
        slopes = [block.backward(own, part).flatten(0, 1) for block, own, part in parts]
        return _above_each_other(slopes)


class _Shared:
    """Scale of a column, floor + softplus(raw)."""

    def __init__(self, scale, floor):
        self._raw, self._floor = scale.raw, floor

    def of(self, params):
        """Scale of each cell, as far as it differs, and what its gradient needs."""
        shape = (-1,) + (1,) * (params.dim() - 2)
        return (self._floor + softplus(self._raw)).view(shape), None

    def backward(self, _, slope):
        """Write the gradient of the scale; the decoder has no output for it."""
        torch.mul(slope.sum(1), self._raw.sigmoid(), out=self._raw.grad)
        return []


class _Predicted:
    """Scale of a cell, floor + (1 - floor) sigmoid(raw), which the decoder gives."""

    def __init__(self, _, floor):
        self._floor = floor

    def of(self, params):
        """Scale of each cell, and what its gradient needs."""
        share = params[:, 1].sigmoid()
        return (share * (1 - self._floor)).add_(self._floor), share

    def backward(self, share, slope):
        """Gradient of the decoder's output for the scale."""
        return [torch.ops.aten.sigmoid_backward(slope * (1 - self._floor), share)]


SCALES = {SharedScale: _Shared, PredictedScale: _Predicted}


class _Block:
    """What the written-out blocks share: features that nothing is learned of."""

    learns_features = False

    def __init__(self, block):
        self._block = block

    def features_backward(self, kept, slope):
        """Do nothing: the features have no weights."""


class _Normal(_Block):
    """Normal noise of scale s, by t = (x - m) / s."""

    def __init__(self, block):
        super().__init__(block)
        self._scale = SCALES[type(block.scale)](block.scale, block.scale_floor)

    def features(self, x, visible):
        bound = self._block.input_bound
        return (x.clamp(-bound, bound) * visible).unsqueeze(1), None

    def of(self, params, x):
        scale, own = self._scale.of(params)
        t = (_beside(x, params) - params[:, 0]).div_(scale)
        log_prob, kept = self._density(t)
        return log_prob.sub_(scale.log()), (t, scale, own, kept)

    def backward(self, kept, weight):
        t, scale, own, rest = kept
        # log p = f(t) - log s: its slopes are -f'(t) / s of m, and -(f'(t) t + 1) / s of s.
        pull, pull_t = self._pull(t, rest)
        weight = weight / scale
        d_scale = weight * (pull_t - 1)
        return torch.stack([weight * pull, *self._scale.backward(own, d_scale)], 1)

    def _density(self, t):
        """Log density f of t, and what its slope needs."""
        return t.square().mul_(-0.5).sub_(HALF_LOG_TAU), None

    def _pull(self, t, _):
        """-f'(t), and -f'(t) t."""
        return t, t.square()


class _StudentT(_Normal):
    """Student's t, whose log density goes by u = 1 + t^2 / df."""

    def __init__(self, block):
        super().__init__(block)
        self._df, self._half = block.df, (block.df + 1) / 2
        log_beta = math.lgamma(self._half) - math.lgamma(block.df / 2)
        self._peak = log_beta - 0.5 * math.log(block.df * math.pi)

    def _density(self, t):
        u = t.square().div_(self._df).add_(1)
        return u.log().mul_(-self._half).add_(self._peak), u

    def _pull(self, t, u):
        df = self._df
        inverse = u.reciprocal()
        # t^2 / u = df (1 - 1 / u)
        return (t * inverse).mul_((df + 1) / df), (1 - inverse).mul_(df + 1)


class _SpikeSlab(_Normal):
    """The value 0 with log odds l, and normal noise for all others."""

    def features(self, x, visible):
        (feature, _), at_spike = super().features(x, visible), (x == 0).to(x.dtype)
        return torch.stack([feature.squeeze(1), (at_spike - 0.5) * visible], 1), None

    def of(self, params, x):
        log_odds, at_spike = params[:, 1], _beside(x == 0, params)
        slab, kept = super().of(params, x)
        log_prob = torch.where(at_spike, log_odds, slab) - softplus(log_odds)
        return log_prob, (log_odds, at_spike, kept)

    def backward(self, kept, weight):
        log_odds, at_spike, kept = kept
        d_loc = super().backward(kept, weight * ~at_spike)
        d_log_odds = weight * (at_spike.to(weight.dtype) - log_odds.sigmoid())
        return torch.cat([d_loc, d_log_odds.unsqueeze(1)], 1)


class _Bernoulli(_Block):
    """A flag, or with probability `noise` the toss of a coin."""

    def features(self, x, visible):
        return ((x - 0.5) * visible).unsqueeze(1), None

    def of(self, params, x):
        noise, share = self._block.noise, params[:, 0].sigmoid()
        p = torch.add(share * (1 - noise), noise / 2)
        is_set = _beside(x == 1, params)
        mass = torch.where(is_set, p, 1 - p)
        return mass.log(), (share, is_set, mass)

    def backward(self, kept, weight):
        share, is_set, mass = kept
        slope = torch.where(is_set, weight, -weight) * (1 - self._block.noise) / mass
        return torch.ops.aten.sigmoid_backward(slope, share).unsqueeze(1)


class _Categorical(_Block):
    """A level, smoothed by noise and as if each had been seen once more."""

    learns_features = True

    def __init__(self, block):
        super().__init__(block)
        total = block.n_observed + block.n_levels + 1
        self._known = (block.n_observed / total).unsqueeze(1)
        self._least = (1 / total).unsqueeze(1)
        self._sharing = (block.n_levels - block.n_codes + 1).clamp_min(1).unsqueeze(1)
        self._first = torch.arange(len(total), device=total.device).unsqueeze(1) * block.n_codes

    def features(self, x, visible):
        block = self._block
        code = self._code(x)
        shown = (visible * (x < block.n_levels.unsqueeze(1))).unsqueeze(1)
        levels = block.embedding.flatten(0, 1)[self._first + code].mT  # (c, n_inputs, n)
        return levels * shown, (code, shown)

    def features_backward(self, kept, slope):
        code, shown = kept
        every = torch.arange(self._block.n_codes, device=code.device).view(1, -1, 1)
        has_code = (code.unsqueeze(1) == every).to(slope.dtype)  # (c, n_codes, n)
        self._block.embedding.grad.copy_(torch.bmm(has_code, (slope * shown).mT))

    def of(self, params, x):
        block, code = self._block, self._code(x)
        masses = params.softmax(1)
        code = _beside(code, params).expand(masses[:, 0].shape).unsqueeze(1)
        mass = masses.gather(1, code)
        # Of the known levels, with those that share a code, and of the rest.
        share = torch.where(self._code(x) == block.n_codes - 1, self._sharing, 1.0)
        share = _beside(self._known * (x < block.n_levels.unsqueeze(1)) / share, params)
        noisy = torch.add(mass.squeeze(1) * (1 - block.noise), block.noise / block.n_codes)
        least = self._least.view((-1,) + (1,) * (noisy.dim() - 1))
        smoothed = share * noisy + least
        return smoothed.log(), (masses, mass, code, share / smoothed)

    def backward(self, kept, weight):
        masses, mass, code, slope = kept
        # d mass_c / d logit_j = mass_c ([c = j] - mass_j)
        slope = (weight * slope * (1 - self._block.noise)).unsqueeze(1) * mass
        return (-slope * masses).scatter_add_(1, code, slope)

    def _code(self, x):
        return x.clamp(max=self._block.n_codes - 1).long()


class _Other(_Block):
    """Any other block, by torch's modules and autograd."""

    learns_features = True

    def features(self, x, visible):
        with torch.enable_grad():  # something may be learned
            features = (self._block.featurize(x.T) * visible.T.unsqueeze(-1)).permute(1, 2, 0)
        return features.detach(), features

    def features_backward(self, features, slope):
        if features.requires_grad:
            features.backward(slope)

    def of(self, params, x):
        params = params.movedim((0, 1), (-2, -1)).contiguous().requires_grad_()
        with torch.enable_grad():
            log_prob = self._block(params).log_prob(x.T).movedim(-1, 0)
        return log_prob.detach(), (params, log_prob)

    def backward(self, kept, weight):
        params, log_prob = kept
        log_prob.backward(weight)
        return params.grad.movedim((-2, -1), (0, 1))


def _above_each_other(parts):
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _beside(cells, params):
    """Cells (c, n) as they meet outputs of several draws, (c, n_params, ..., n)."""
    return cells.view((len(cells),) + (1,) * (params.dim() - 3) + (-1,))


BLOCKS = {
    Gaussian: _Normal,
    Heteroscedastic: _Normal,
    LogNormal: _Normal,
    StudentT: _StudentT,
    LightStudentT: _StudentT,
    HeteroscedasticStudentT: _StudentT,
    SpikeSlab: _SpikeSlab,
    Bernoulli: _Bernoulli,
    Categorical: _Categorical,
}
