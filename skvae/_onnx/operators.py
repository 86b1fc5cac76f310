"""Operations that torch would refuse to translate, or translate wrongly."""

import math
from math import log, pi

import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode

__all__ = ["Translatable"]


def _lgamma(x):
    """Logarithm of the gamma function of x > 0, which ONNX lacks: Stirling's series from 8 on."""
    is_small = x < 8
    low = torch.where(is_small, x, 1.0)
    factors = low
    for i in range(1, 8):
        factors = factors * (low + i)
    high = torch.where(is_small, x + 8, x)
    series, inverse = 0.0, high.reciprocal()
    for coefficient in STIRLING[::-1]:
        series = series * inverse.square() + coefficient
    stirling = (high - 0.5) * high.log() - high + log(2 * pi) / 2 + series * inverse
    return stirling - torch.where(is_small, factors.log(), 0.0)


# Bernoulli numbers: B_2k / (2 k (2 k - 1)).
STIRLING = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156)


def _solve_triangular(factor, right, *, upper):
    """Solve factor @ x = right row by row; ONNX has no such operator."""
    n_rows = factor.shape[-1]
    rows = {}
    for i in reversed(range(n_rows)) if upper else range(n_rows):
        rest = right[..., i, :]
        for j, row in rows.items():
            rest = rest - factor[..., i, j].unsqueeze(-1) * row
        rows[i] = rest / factor[..., i, i].unsqueeze(-1)
    return torch.stack([rows[i] for i in range(n_rows)], -2)


def _logaddexp(x, y):
    return torch.maximum(x, y) + torch.log1p(torch.exp(-(x - y).abs()))


def _softplus(x):
    return torch.where(x > 20, x, torch.log1p(_clamp(x, max=20.0).exp()))  # 20 as in torch


def _silu(x, inplace=False):
    # Without a sigmoid, whose product with x older versions of onnxruntime take for an operation
    # that they lack for float64.
    return x / (1 + torch.exp(-x))


def _pad(x, widths, mode, value):
    return torch.cat([x, _full_like(x[..., : widths[1]], 0.0)], -1)


def _clamp(x, min=-math.inf, max=math.inf):
    low, high = (torch.tensor(bound, dtype=torch.float64).to(x.dtype) for bound in (min, max))
    return torch.minimum(torch.maximum(x, low), high)


def _diag_embed(diagonal):
    return diagonal.unsqueeze(-1) * _identity(diagonal)


def _full_like(x, value):
    return x.isnan().to(x.dtype) * 0 + value


def _identity(x):
    return torch.eye(x.shape[-1], dtype=x.dtype)


# Operations, as functions and as methods, for want of which torch would refuse to translate.
WRITTEN_OUT = {
    # Like `pad`, else an operator without one of its inputs, which skl2onnx cannot sort.
    "clamp": _clamp,
    "clamp_min": lambda x, low: _clamp(x, min=low),
    "diag_embed": _diag_embed,
    "diagonal": lambda x, *, dim1, dim2: (x * _identity(x)).sum(dim2),
    "expm1": lambda x: x.exp() - 1,
    "lgamma": _lgamma,
    "logaddexp": _logaddexp,
    # Torch's own translation asks for the size again, and mistakes the type of the branches.
    "squeeze": lambda x, dim: x.select(dim, 0) if x.shape[dim] == 1 else x,
    "xlogy": lambda x, y: torch.where(x == 0, 0.0, x * y.log()),
    # Torch's own translations take sizes that it has not inferred for those of the example.
    "full_like": _full_like,
    "ones_like": lambda x: _full_like(x, 1.0),
    "zeros_like": lambda x: _full_like(x, 0.0),
    # Asked by StudentT, whatever validate_args is: there are no values yet to judge.
    "_is_all_true": lambda valid: True,
}
_REPLACED = {
    getattr(owner, name): function
    for name, function in WRITTEN_OUT.items()
    for owner in (torch, torch.Tensor)
    if hasattr(owner, name)
} | {
    functional.pad: _pad,
    functional.silu: _silu,
    functional.softplus: _softplus,
    functional.logsigmoid: lambda x: -_softplus(-x),
    torch.linalg.solve_triangular: _solve_triangular,
}


class Translatable(TorchFunctionMode):
    """Computes by what ONNX has."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        return _REPLACED.get(function, function)(*args, **(kwargs or {}))
