"""How cells and outputs stand: feature-major, column by column, draws beside each other."""

import torch

__all__ = ["above_each_other", "beside", "by_column"]


def above_each_other(parts):
    """Stand parts of (c, ...) below each other."""
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def by_column(parts):
    """Stand parts of (c, ...) beside each other column by column; -> (c * n_parts, ...)."""
    return parts[0] if len(parts) == 1 else torch.stack(parts, 1).flatten(0, 1)


def beside(cells, outputs):
    """Cells (c, n) as they meet outputs of several draws, (n_outputs, ..., n)."""
    return cells.view((len(cells),) + (1,) * (outputs.dim() - 2) + (-1,))
