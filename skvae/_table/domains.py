"""Domains: how the columns of some noise models are written as numbers."""

from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral
from typing import ClassVar, NamedTuple

import numpy as np

from .columns import LARGEST_WHOLE, NUMBERS, UNIT, Column
from .levels import merged, positions_of
from .units import count_unit, no_unit, positive_unit, real_unit, spiked_unit

__all__ = ["DOMAINS", "FARTHEST", "INVERSE_SINH", "LINE", "LOGARITHM"]


# A cell this many units from its column's centre is scored as if it were there: its
# square is still a number.
FARTHEST = 1e100
LARGEST_EXPONENT = 700.0  # of e, in a float64
T_QUARTILES = 1.4814  # between those of Student's t with 4 degrees of freedom


class Curve(NamedTuple):
    """A strictly rising function that columns are bent by, after centring and scaling.

    Attributes
    ----------
    straighten, bend : callable, (n,) -> (n,)
        The function, and its inverse.
    log_slope : callable, (n,) -> (n,)
        Log of the derivative of `straighten` where it has these values.
    """

    straighten: object
    bend: object
    log_slope: object


LINE = Curve(np.positive, np.positive, np.zeros_like)
LOGARITHM = Curve(
    lambda u: np.log(u.clip(1 / FARTHEST)),
    lambda w: np.exp(w.clip(-LARGEST_EXPONENT, LARGEST_EXPONENT)),
    np.negative,
)
INVERSE_SINH = Curve(
    np.arcsinh,
    lambda w: np.sinh(w.clip(-LARGEST_EXPONENT, LARGEST_EXPONENT)),
    lambda w: np.log(2.0) - np.logaddexp(w, -w),
)


def _nothing(values):
    return np.zeros(len(values), dtype=bool)


@dataclass(frozen=True, eq=False)
class Numbers:
    """Domain of columns that are numbers: centred, scaled, and bent by a curve.

    Attributes
    ----------
    needs : str
        What belongs to the domain, for the error message.
    unit : callable, (n,) -> (exponent, loc, scale, spread)
    curve : Curve
    outside : callable, (n,) -> bool ndarray
        Which values do not belong to it.
    is_continuous : bool
        Whether the noise models have densities; else they have masses.
    has_interval : bool
        Whether what is expected of a cell has an interval; else a probability.
    has_origin : bool
        Whether integers beyond 2**53 are counted from one in their middle.
    """

    needs: str
    unit: Callable
    curve: Curve = LINE
    outside: Callable = _nothing
    is_continuous: bool = True
    has_interval: bool = True
    has_origin: bool = False
    kinds: ClassVar[tuple] = NUMBERS

    @property
    def needs_of_numbers(self):
        """What belongs to the domain of numbers, for the error message."""
        return self.needs

    @property
    def takes_all(self):
        """Whether every number belongs to it."""
        return self.outside is _nothing

    @property
    def is_linear(self):
        """Whether centring and scaling is all."""
        return self.curve is LINE

    def excludes(self, raw, j):
        """Which cells of a column do not belong to it."""
        return self.outside(raw.values[:, j])

    def learn(self, raw, j, min_frequency, max_categories):
        """Say how a column is encoded; dict of fields of its `Column`."""
        origin = 0
        if self.has_origin and raw.exact[j] is not None:
            whole = sorted(int(cell) for cell in raw.exact[j] if cell is not None)
            origin = whole[len(whole) // 2] if whole else 0
        unit = self.unit(raw.numbers(j, origin))
        return {"origin": origin} | dict(zip(UNIT, unit, strict=True))

    def log_density(self, raw, j):
        """Say how well the domain suits a column: mean log density of its cells, in nats.

        Up to a constant, by Student's t with 4 degrees of freedom that has the quartiles of the
        cells as they are encoded.
        """
        unit = self.learn(raw, j, None, None)
        column = Column(raw.names[j], likelihood="", **unit)
        cells = np.ldexp(raw.numbers(j, column.origin), -column.exponent)
        cells = (cells[~np.isnan(cells)] - column.loc) / column.scale
        encoded = self.encode(cells, raw, j, column)
        low, median, high = np.quantile(encoded, [0.25, 0.5, 0.75])
        t = (encoded - median) / ((high - low) / T_QUARTILES)
        log_prob = -2.5 * np.log1p(np.square(t) / 4) - np.log(high - low)
        log_unit = np.log(column.scale) + column.exponent * np.log(2.0) + np.log(column.spread)
        return float((log_prob + self.log_slope(encoded, column)).mean() - log_unit)

    def encode(self, values, raw, j, column):
        """Bend a column's cells, which are centred and scaled; (n,) -> (n,)."""
        return self.curve.straighten(values) / column.spread

    def decode(self, values, column):
        """Undo `encode`, up to centre and scale; (n,) -> (n,)."""
        return self.curve.bend(values * column.spread)

    def log_slope(self, values, column):
        """Log of the curve's derivative where the column is encoded as values, in nats."""
        return self.curve.log_slope(values * column.spread)

    def levels_of(self, column):
        """Levels that decoded cells are positions of: none."""
        return

    def is_whole(self, column):
        """Whether guesses of cells are rounded."""
        return not self.is_continuous or column.kind == "integer"


@dataclass(frozen=True, eq=False)
class Levels:
    """Domain of columns of levels, which are written as positions among them.

    Attributes
    ----------
    needs : str
        What belongs to the domain, for the error message.
    kinds : tuple of str
        Kinds of columns that may be such.
    order : callable, counts -> positions
        Order in which the levels are numbered.
    may_share : bool
        Whether infrequent levels may share one probability.
    """

    needs: str
    kinds: tuple
    order: Callable
    may_share: bool = False

    needs_of_numbers: ClassVar[str] = (
        "numbers beyond 2**53 as integers (dtype 'Int64' where some are missing) or as text"
    )
    is_continuous: ClassVar[bool] = False
    has_interval: ClassVar[bool] = False
    takes_all: ClassVar[bool] = False
    is_linear: ClassVar[bool] = False
    curve: ClassVar[Curve] = LINE

    def excludes(self, raw, j):
        """Which cells of a column do not belong to it: those that may have been rounded."""
        if raw.levels[j] is not None or raw.exact[j] is not None:
            return _nothing(raw.values)
        return np.abs(raw.values[:, j]) > LARGEST_WHOLE

    def learn(self, raw, j, min_frequency, max_categories):
        """Levels of a column in order, and how many have a probability of their own."""
        codes, levels = raw.factorize(j)
        codes = merged(codes, levels, raw.names[j])
        counts = np.bincount(codes[codes >= 0], minlength=len(levels))
        order = self.order(counts)
        order = order[counts[order] > 0]
        n_codes = len(order)
        if self.may_share:
            least = min_frequency or 0
            least = least if isinstance(least, Integral) else least * counts.sum()
            frequent = int((counts[order] >= least).sum())
            n_codes = min(n_codes, frequent + 1, max_categories or n_codes)
        return {
            "levels": tuple(levels[order].tolist()),
            "n_codes": max(1, n_codes),
            "n_observed": int(counts.sum()),
            "n_missing": int((codes < 0).sum()),
        }

    def encode(self, values, raw, j, column):
        """Position of each cell's level among the column's; NaN where missing."""
        codes, levels = raw.factorize(j)
        positions = positions_of(levels, column.levels, column.name).astype(float)
        positions[positions < 0] = len(column.levels)
        return np.append(positions, np.nan)[codes]

    def decode(self, values, column):
        """Leave positions as they are."""
        return values

    def log_slope(self, values, column):
        """Log of the derivative of a position: none."""
        return np.zeros_like(values)

    def levels_of(self, column):
        """Levels that decoded cells are positions of."""
        return column.levels

    def is_whole(self, column):
        """Whether guesses of cells are rounded: they are levels already."""
        return False


def _by_frequency(counts):
    return np.argsort(-counts, kind="stable")


def _as_they_come(counts):
    return np.arange(len(counts))


DOMAINS = {
    "real": Numbers("numbers", real_unit, has_origin=True),
    "positive": Numbers("numbers above 0", positive_unit, LOGARITHM, lambda values: values <= 0),
    "spiked": Numbers("numbers", spiked_unit, INVERSE_SINH, has_origin=True),
    "binary": Numbers(
        "values 0 and 1",
        no_unit,
        outside=lambda values: (values != 0) & (values != 1) & ~np.isnan(values),
        is_continuous=False,
        has_interval=False,
    ),
    "count": Numbers(
        "whole numbers from 0 on",
        count_unit,
        outside=lambda values: (values < 0) | (values % 1 > 0),
        is_continuous=False,
    ),
    "category": Levels("levels", (*NUMBERS, "category", "ordered"), _by_frequency, may_share=True),
    "ordered": Levels(
        "numbers or an ordered pandas.Categorical", (*NUMBERS, "ordered"), _as_they_come
    ),
}
