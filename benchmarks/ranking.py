"""How methods compare over tables: means, ranks and tests.

Tables of figures have one row a table of the benchmark and one column a method; higher is
better.
"""

import math

import pandas as pd
from scipy.stats import friedmanchisquare, studentized_range, wilcoxon


def mean_ranks(by_table):
    """Mean rank of each method, 1 for the best; ties share their ranks."""
    return by_table.rank(axis=1, ascending=False).mean()


def wins_ties_losses(by_table, ours):
    """Tables where `ours` is above each other method, within 0.001, and below, as text."""
    differences = -by_table.drop(columns=ours).sub(by_table[ours], axis=0).round(3)
    counts = {
        method: [(column > 0).sum(), (column == 0).sum(), (column < 0).sum()]
        for method, column in differences.items()
    }
    return pd.Series({method: "/".join(map(str, count)) for method, count in counts.items()})


def p_values(by_table, ours):
    """Two-sided p of Wilcoxon's signed-rank test of `ours` against each other method."""
    others = by_table.drop(columns=ours)
    return others.apply(lambda column: wilcoxon(by_table[ours], column).pvalue)


def friedman_p(by_table):
    """Return p of Friedman's test that all methods (three or more) are alike."""
    return friedmanchisquare(*by_table.to_numpy().T).pvalue


def critical_difference(by_table, level=0.05):
    """Difference of mean ranks from which two methods differ, by Nemenyi's test.

    References
    ----------
    Demsar, "Statistical Comparisons of Classifiers over Multiple Data Sets", JMLR 7, 2006.
    """
    n_tables, n_methods = by_table.shape
    q = studentized_range.ppf(1 - level, n_methods, math.inf) / math.sqrt(2)
    return q * math.sqrt(n_methods * (n_methods + 1) / (6 * n_tables))
