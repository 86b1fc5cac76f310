"""Units that columns of numbers are measured in."""

import numpy as np

__all__ = ["count_unit", "no_unit", "positive_unit", "real_unit", "spiked_unit"]


FARTHEST_IN_UNIT = 10.0  # ranges of the middle 90 % of a column, for its own unit
MOST_SORTED = 100_000  # values that the middle 90 % are found among
LARGEST_COUNT_EXPONENT = 53  # float64 tells whole numbers up to here from their neighbours
SMALLEST_SPREAD = 1e-12  # of the column's largest value; less is rounding error


def real_unit(values):
    """Exponent, mean and standard deviation, without overflow or underflow."""
    exponent, values = _near_1(values)
    if len(values) == 0:
        return 0, 0.0, 1.0, 1.0
    if values.min() == values.max():
        return exponent, float(values[0]), float(abs(values[0])) or 1.0, 1.0
    low, high = np.quantile(values[:: 1 + len(values) // MOST_SORTED], [0.05, 0.95])
    if low < high:  # a few wild cells must not make all others look alike
        farthest = FARTHEST_IN_UNIT * (high - low)
        smaller, values = _near_1(values.clip(low - farthest, high + farthest, out=values))
        exponent += smaller
    loc = float(values.mean())
    values -= loc
    scale = float(np.sqrt(np.square(values, out=values).mean()))
    return exponent, loc, max(scale, SMALLEST_SPREAD), 1.0


def positive_unit(values):
    """Geometric mean, and the standard deviation of the logarithms."""
    logs = np.log2(values[values > 0])
    if len(logs) == 0:
        return 0, 0.0, 1.0, 1.0
    exponent = round(float(logs.mean()))
    scale = 2.0 ** float((logs - exponent).mean())
    spread = float(logs.std()) * np.log(2.0)
    return exponent, 0.0, scale, spread if spread > SMALLEST_SPREAD else 1.0


def spiked_unit(values):
    """Most frequent value, median distance from it, and the spread of the others."""
    exponent, values = _near_1(values)
    if len(values) == 0:
        return 0, 0.0, 1.0, 1.0
    distinct, counts = np.unique(values, return_counts=True)
    spike = float(distinct[counts.argmax()])
    distances = values[values != spike] - spike
    if len(distances) == 0:
        return exponent, spike, abs(spike) or 1.0, 1.0
    scale = float(np.median(np.abs(distances)))
    spread = float(np.sqrt(np.square(np.arcsinh(distances / scale)).mean()))
    return exponent, spike, scale, spread


def count_unit(values):
    """Power of two near the mean: the counts stay whole numbers of it, without rounding."""
    mean = np.nanmean(values) if not np.isnan(values).all() else 0.0
    return min(max(0, int(np.frexp(mean)[1]) - 1), LARGEST_COUNT_EXPONENT), 0.0, 1.0, 1.0


def no_unit(values):
    """Leave values as they are."""
    return 0, 0.0, 1.0, 1.0


def _near_1(values):
    """Exponent of the largest value, and the values that are there divided by that power."""
    values = values[~np.isnan(values)]  # a copy
    largest = max(values.max(initial=0.0), -values.min(initial=0.0))
    exponent = int(np.frexp(largest)[1]) - 1 if largest > 0 else 0
    half = exponent // 2  # in two steps: the power itself may overflow
    values *= 2.0**-half
    values *= 2.0 ** (half - exponent)
    return exponent, values  # within [-2, 2], without any rounding
