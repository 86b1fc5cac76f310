"""Cells that do not fit their column's noise model, and the way out."""

import numpy as np

__all__ = ["check_cells"]


def check_cells(columns, domains, raw, is_fitting):
    """Raise ValueError for the first column with a value outside its noise model's domain.

    Parameters
    ----------
    columns : list of Column
    domains : list of Domain
    raw : RawTable
    is_fitting : bool
        Whether the noise model can still be another one.
    """
    for j, (column, domain) in enumerate(zip(columns, domains, strict=True)):
        fits = raw.kinds[j] in domain.kinds or column.levels  # any level may be unseen
        if fits and domain.takes_all:
            continue
        values = raw.values[:, j]
        wrong = domain.excludes(raw, j) if fits else ~np.isnan(values)
        if wrong.any():
            row = int(np.argmax(wrong))
            needs = domain.needs_of_numbers if fits else domain.needs
            cell = f"{values[row]:g}" if fits else repr(raw.levels[j][int(values[row])])
            raise ValueError(
                f"Column {column.name!r}: the {column.likelihood!r} likelihood needs {needs}. Got "
                f"{cell} in row {row}. "
                + (_way_out_of_fit(column.name, fits) if is_fitting else _way_out_later(fits))
            )


def _way_out_of_fit(name, are_numbers):
    """Way out for a column of training rows."""
    if are_numbers:
        return f"Use likelihoods={{{name!r}: 'gaussian'}}."
    return f"Use pandas.to_numeric if it is a number, else likelihoods={{{name!r}: 'categorical'}}."


def _way_out_later(are_numbers):
    """Way out for a column of rows to score."""
    remedy = "Make the cell missing" if are_numbers else "Use pandas.to_numeric"
    return f"{remedy}, or fit anew with rows of this kind."
