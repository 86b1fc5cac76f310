"""What the encoder sees of levels, and their log mass given the decoder's outputs."""

import torch

from .layout import above_each_other, beside

__all__ = ["Levels"]


class Levels:
    """Levels, smoothed by noise and as if each had been seen once more.

    Columns with equally many codes are a block of the model. Here the codes of all columns stand
    below each other, and only what sums over those of a column goes block by block.
    """

    learns_features = is_written_out = True

    def __init__(self, blocks):
        self._blocks, sizes = zip(*blocks, strict=True)
        self._shapes = [(c, block.n_codes, -1) for block, c in blocks]
        self._code_sizes = [block.n_codes * c for block, c in blocks]
        self._feature_sizes = [block.n_inputs * c for block, c in blocks]
        self.n_columns, self.n_features = sum(sizes), sum(self._feature_sizes)
        self.n_outputs = sum(self._code_sizes)
        # Of each column, (c, 1)
        n_levels, n_observed = (
            torch.cat([getattr(block, name) for block in self._blocks]).unsqueeze(1)
            for name in ("n_levels", "n_observed")
        )
        n_codes = [block.n_codes for block, c in blocks for _ in range(c)]
        n_codes = torch.tensor(n_codes, device=n_levels.device).unsqueeze(1)
        total = n_observed + n_levels + 1
        self._n_levels, self._last = n_levels, n_codes - 1
        self._known, self._least = n_observed / total, 1 / total
        self._sharing = (n_levels - self._last).clamp_min(1)
        self._noise = self._blocks[0].noise
        self._toss = self._noise / n_codes.to(total.dtype)
        self._first = n_codes.cumsum(0) - n_codes
        # Of each output
        self._column = torch.arange(len(n_codes), device=n_codes.device)
        self._column = self._column.repeat_interleave(n_codes.squeeze(1))
        every = torch.arange(self.n_outputs, device=n_codes.device).unsqueeze(1)
        self._code = every - self._first[self._column]

    @classmethod
    def all_of(cls, blocks):
        """One part for all (block, number of its columns)."""
        return [cls(list(blocks))]

    def features(self, x, visible):
        code = torch.where((x < self._n_levels) & (visible == 1), self._code_of(x), -1)
        has_code = (code.index_select(0, self._column) == self._code).to(x.dtype)
        has_code = self._by_block(has_code)
        features = [
            torch.bmm(block.embedding.mT, has).flatten(0, 1)
            for block, has in zip(self._blocks, has_code, strict=True)
        ]
        return above_each_other(features), has_code

    def features_backward(self, has_code, slope):
        parts = zip(self._blocks, has_code, slope.split(self._feature_sizes), strict=True)
        for block, has, part in parts:
            part = part.view(len(has), block.n_inputs, -1)
            torch.bmm(has, part.mT, out=block.embedding.grad)

    def of(self, outputs, x):
        flat = [part.softmax(1).flatten(0, 1) for part in self._by_block(outputs.flatten(1))]
        masses = above_each_other(flat).view_as(outputs)
        code = self._code_of(x)
        place = beside(self._first + code, outputs)
        place = place.expand(self.n_columns, *outputs.shape[1:])
        mass = masses.gather(0, place)
        # Of the known levels, with those that share a code, and of the rest.
        share = torch.where(code == self._last, self._known / self._sharing, self._known)
        share = beside(share * (x < self._n_levels), outputs)
        toss, least = beside(self._toss, outputs), beside(self._least, outputs)
        smoothed = torch.addcmul(least, torch.add(toss, mass, alpha=1 - self._noise), share)
        return smoothed.log(), (masses, mass, place, share / smoothed)

    def backward(self, kept, weight):
        masses, mass, place, slope = kept
        # d mass_c / d logit_j = mass_c ([c = j] - mass_j)
        slope = weight * slope * mass * (1 - self._noise)
        return (masses * -slope.index_select(0, self._column)).scatter_add_(0, place, slope)

    def _by_block(self, outputs):
        """Cut (n_outputs, n) into blocks of (c, n_codes, n)."""
        parts = zip(outputs.split(self._code_sizes), self._shapes, strict=True)
        return [part.view(shape) for part, shape in parts]

    def _code_of(self, x):
        return x.long().minimum(self._last)
