"""Rules for constructor parameters, and one sentence shape for every failure."""

import numbers
from collections.abc import Hashable
from typing import NamedTuple

__all__ = [
    "Rule",
    "check_parameters",
    "constant",
    "either",
    "integer",
    "is_hashable",
    "kind",
    "mapping",
    "one_of",
    "real",
    "sequence",
    "size",
]

MOST = 2**20  # of what memory is taken by: latent dimensions, units of a layer, draws


class Rule(NamedTuple):
    """What a parameter must be.

    Attributes
    ----------
    describe : str
        Completes "The 'p' parameter of C must be".
    has_kind : callable, value -> bool
        False raises TypeError.
    has_value : callable, value -> bool
        False raises ValueError; asked only if the kind is right.
    """

    describe: str
    has_kind: object
    has_value: object

    def accepts(self, value):
        """Whether kind and value are right."""
        return self.has_kind(value) and self.has_value(value)

    def check(self, name, value, estimator):
        """Raise TypeError or ValueError if a parameter of `estimator` breaks the rule."""
        if not self.accepts(value):
            error = ValueError if self.has_kind(value) else TypeError
            raise error(
                f"The {name!r} parameter of {type(estimator).__name__} must be {self.describe}. "
                f"Got {value!r} instead."
            )


def check_parameters(estimator, rules):
    """Raise for the first parameter that breaks its rule.

    Parameters
    ----------
    estimator : BaseEstimator
    rules : dict of str to Rule
        By parameter name.

    Raises
    ------
    TypeError
        If a parameter is of a wrong kind.
    ValueError
        If its value is out of range.
    """
    for name, rule in rules.items():
        rule.check(name, getattr(estimator, name), estimator)


def real(low, high, closed):
    """Require a number in a range.

    Parameters
    ----------
    low, high : float
    closed : {"left", "right", "both", "neither"}
        Which ends belong to the range.

    Returns
    -------
    rule : Rule

    Examples
    --------
    >>> real(0, 0.5, "right").describe
    'a float in the range (0, 0.5]'
    """
    left = "[" if closed in ("left", "both") else "("
    right = "]" if closed in ("right", "both") else ")"

    def inside(value):
        above = value > low or (left == "[" and value == low)
        below = value < high or (right == "]" and value == high)
        return above and below and _has_float(value)

    return Rule(f"a float in the range {left}{low}, {high}{right}", _is_real, inside)


def integer(low, high=2**63):
    """Require an integer of at least `low` and below `high`."""
    described = f"an int in the range [{low}, {'2**63' if high == 2**63 else high})"
    return Rule(described, _is_integer, lambda value: low <= value < high)


def size(low=1):
    """Require an integer that memory may be taken by."""
    return integer(low, MOST)


def one_of(names):
    """Require one of some strings."""
    listed = ", ".join(repr(name) for name in sorted(names))
    return Rule(f"a str among {{{listed}}}", _is_str, lambda value: value in names)


def sequence(rule):
    """Require a list or tuple whose items keep a rule."""
    return Rule(
        f"a list or tuple, each item {rule.describe}",
        lambda value: isinstance(value, (list, tuple)) and all(map(rule.has_kind, value)),
        lambda value: all(map(rule.has_value, value)),
    )


def mapping(rule):
    """Require a dict whose values keep a rule."""
    return Rule(
        f"a dict, each value {rule.describe}",
        lambda value: isinstance(value, dict) and all(map(rule.has_kind, value.values())),
        lambda value: all(map(rule.has_value, value.values())),
    )


def either(*rules):
    """Require what keeps any of some rules."""

    def has_value(value):
        return any(rule.accepts(value) for rule in rules)

    def has_kind(value):
        return any(rule.has_kind(value) for rule in rules)

    return Rule(" or ".join(rule.describe for rule in rules), has_kind, has_value)


def constant(value):
    """Require None, True or False."""
    return Rule(repr(value), lambda other: other is value, lambda other: True)


def is_hashable(value):
    """Whether a value may be the name of a column."""
    return isinstance(value, Hashable)


def kind(described, is_kind):
    """Require a kind of value; `is_kind` decides."""
    return Rule(described, is_kind, lambda value: True)


def _is_real(value):
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    return is_number and value == value  # NaN is not


def _has_float(value):
    try:
        float(value)
    except OverflowError:
        return False
    return True


def _is_integer(value):
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def _is_str(value):
    return isinstance(value, str)
