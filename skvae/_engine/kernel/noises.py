"""What the encoder sees of cells, and their log density given the decoder's outputs.

A class here takes the columns of one kind. It has ``features(x, visible)``, the gradient of its
features if they are learned, and ``of(outputs, x)``: the log density of each cell, and what
`backward` needs. Shapes are (c, n) of cells, (n_features, n) of features and (n_outputs, ..., n)
of the decoder's outputs, column by column: those of several draws stand beside each other.
"""

import math
from itertools import groupby

import torch
from torch.nn.functional import softplus

from ...nn import (
    Bernoulli,
    Categorical,
    Context,
    Gaussian,
    Heteroscedastic,
    HeteroscedasticStudentT,
    LightStudentT,
    LogNormal,
    OneHot,
    PredictedScale,
    SharedScale,
    SpikeSlab,
    StudentT,
)
from .layout import above_each_other, beside, by_column
from .levels import Levels
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
        self._blocks = _written_out(zip(likelihood.blocks, likelihood.sizes, strict=True))
        self._sizes = [block.n_columns for block in self._blocks]
        self._n_outputs = [block.n_outputs for block in self._blocks]
        self._n_features = [block.n_features for block in self._blocks]
        self.learns_features = any(block.learns_features for block in self._blocks)
        self.is_written_out = all(block.is_written_out for block in self._blocks)

    def features(self, x, visible):
        """Features of all columns, and what their gradient needs; (d, n) -> (n_features, n)."""
        parts = zip(self._blocks, x.split(self._sizes), visible.split(self._sizes), strict=True)
        features = [block.features(cells, shown) for block, cells, shown in parts]
        return above_each_other([feature for feature, _ in features]), [own for _, own in features]

    def features_backward(self, kept, slope):
        """Write the gradients of what turns cells into features."""
        parts = zip(self._blocks, kept, slope.split(self._n_features), strict=True)
        for block, own, part in parts:
            block.features_backward(own, part)

    def of(self, outputs, x):
        """Log density of each cell, and what its gradient needs; -> (d, ..., n)."""
        cells, outputs = x.split(self._sizes), outputs.split(self._n_outputs)
        parts = [
            block.of(output, cell)
            for block, output, cell in zip(self._blocks, outputs, cells, strict=True)
        ]
        return above_each_other([log_prob for log_prob, _ in parts]), [own for _, own in parts]

    def backward(self, kept, weight):
        """Gradient of the outputs of the sum of ``weight * log p``; writes those of the noise."""
        parts = zip(self._blocks, kept, weight.split(self._sizes), strict=True)
        slopes = [block.backward(own, part) for block, own, part in parts]
        return above_each_other(slopes)


def _written_out(sized):
    """Arithmetic of blocks, each with the number of its columns; some are taken together."""
    groups = groupby(sized, key=lambda pair: type(pair[0]))
    return [part for kind, blocks in groups for part in BLOCKS.get(kind, _Other).all_of(blocks)]


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

    learns_features, is_written_out = False, True

    def __init__(self, block, n_columns):
        self._block, self.n_columns = block, n_columns
        self.n_features = n_columns * block.n_inputs
        self.n_outputs = n_columns * block.n_params

    @classmethod
    def all_of(cls, blocks):
        """One part for each (block, number of its columns)."""
        return [cls(*block) for block in blocks]

    def features_backward(self, kept, slope):
        """Do nothing: the features have no weights."""


class _Normal(_Block):
    """Normal noise of scale s, by t = (x - m) / s."""

    def __init__(self, block, n_columns):
        super().__init__(block, n_columns)
        self._scale = SCALES[type(block.scale)](block.scale, block.scale_floor)

    def features(self, x, visible):
        bound = self._block.input_bound
        return x.clamp(-bound, bound) * visible, None

    def of(self, outputs, x):
        params = outputs.unflatten(0, (len(x), -1))
        scale, own = self._scale.of(params)
        t = (beside(x, outputs) - params[:, 0]).div_(scale)
        log_prob, kept = self._density(t)
        return log_prob.sub_(scale.log()), (t, scale, own, kept)

    def backward(self, kept, weight):
        t, scale, own, rest = kept
        # log p = f(t) - log s: its slopes are -f'(t) / s of m, and -(f'(t) t + 1) / s of s.
        pull, pull_t = self._pull(t, rest)
        weight = weight / scale
        d_scale = weight * (pull_t - 1)
        return by_column([weight * pull, *self._scale.backward(own, d_scale)])

    def _density(self, t):
        """Log density f of t, and what its slope needs."""
        return t.square().mul_(-0.5).sub_(HALF_LOG_TAU), None

    def _pull(self, t, _):
        """-f'(t), and -f'(t) t."""
        return t, t.square()


class _StudentT(_Normal):
    """Student's t, whose log density goes by u = df + t^2."""

    def __init__(self, block, n_columns):
        super().__init__(block, n_columns)
        self._df, self._half = block.df, (block.df + 1) / 2
        log_beta = math.lgamma(self._half) - math.lgamma(block.df / 2)
        self._constant = log_beta - 0.5 * math.log(math.pi) + 0.5 * block.df * math.log(block.df)

    def _density(self, t):
        u = t.square().add_(self._df)
        return u.log().mul_(-self._half).add_(self._constant), u

    def _pull(self, t, u):
        pull = torch.div(t, u).mul_(self._df + 1)
        return pull, pull * t


class _SpikeSlab(_Normal):
    """The value 0 with log odds l, and normal noise for all others."""

    def features(self, x, visible):
        (place, _), at_spike = super().features(x, visible), (x == 0).to(x.dtype)
        return by_column([place, (at_spike - 0.5) * visible]), None

    def of(self, outputs, x):
        log_odds, at_spike = outputs[1 :: self._block.n_params], beside(x == 0, outputs)
        slab, kept = super().of(outputs, x)
        log_prob = torch.where(at_spike, log_odds, slab) - softplus(log_odds)
        return log_prob, (log_odds, at_spike, kept)

    def backward(self, kept, weight):
        log_odds, at_spike, kept = kept
        d_loc = super().backward(kept, weight * ~at_spike)
        d_log_odds = weight * (at_spike.to(weight.dtype) - log_odds.sigmoid())
        return by_column([d_loc, d_log_odds])


class _Bernoulli(_Block):
    """A flag, or with probability `noise` the toss of a coin."""

    def features(self, x, visible):
        return (x - 0.5) * visible, None

    def of(self, outputs, x):
        noise, share = self._block.noise, outputs.sigmoid()
        p = torch.add(share * (1 - noise), noise / 2)
        is_set = beside(x == 1, outputs)
        mass = torch.where(is_set, p, 1 - p)
        return mass.log(), (share, is_set, mass)

    def backward(self, kept, weight):
        share, is_set, mass = kept
        slope = torch.where(is_set, weight, -weight) * (1 - self._block.noise) / mass
        return torch.ops.aten.sigmoid_backward(slope, share)


class _Context:
    """Cells that are shown and have the density 1; of features, the arithmetic of others."""

    n_outputs = 0

    def __init__(self, shown):
        self.n_columns, self.n_features = shown.n_columns, shown.n_features
        self.learns_features = shown.learns_features
        self.is_written_out = shown.is_written_out
        self.features, self.features_backward = shown.features, shown.features_backward

    @classmethod
    def all_of(cls, blocks):
        """Parts for all (block, number of its columns)."""
        return [cls(part) for part in _written_out((block.shown_by, c) for block, c in blocks)]

    def of(self, outputs, x):
        return outputs.new_zeros(self.n_columns, *outputs.shape[1:]), outputs

    def backward(self, outputs, weight):
        return torch.zeros_like(outputs)


class _Other(_Block):
    """Any other block, by torch's modules and autograd."""

    learns_features, is_written_out = True, False

    def features(self, x, visible):
        with torch.enable_grad():  # something may be learned
            features = (self._block.featurize(x.T) * visible.T.unsqueeze(-1)).flatten(1).T
        return features.detach(), features

    def features_backward(self, features, slope):
        if features.requires_grad:
            features.backward(slope)

    def of(self, outputs, x):
        params = outputs.unflatten(0, (len(x), -1)).movedim((0, 1), (-2, -1))
        params = params.contiguous().requires_grad_()
        with torch.enable_grad():
            log_prob = self._block(params).log_prob(x.T).movedim(-1, 0)
        return log_prob.detach(), (params, log_prob)

    def backward(self, kept, weight):
        params, log_prob = kept
        log_prob.backward(weight)
        return params.grad.movedim((-2, -1), (0, 1)).flatten(0, 1)


BLOCKS = {
    Gaussian: _Normal,
    Heteroscedastic: _Normal,
    LogNormal: _Normal,
    StudentT: _StudentT,
    LightStudentT: _StudentT,
    HeteroscedasticStudentT: _StudentT,
    SpikeSlab: _SpikeSlab,
    Bernoulli: _Bernoulli,
    Categorical: Levels,
    OneHot: Levels,
    Context: _Context,
}
