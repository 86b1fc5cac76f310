"""How well latent dimensions and known factors of variation match, one to one."""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, mutual_info_score

__all__ = ["disentanglement", "factor_table"]

_N_BINS = 20  # of a code, and of a factor of more values
_FOREST = {"n_estimators": 50, "min_samples_leaf": 5, "oob_score": True, "random_state": 0}


def factor_table(factors: ArrayLike, n: int) -> pd.DataFrame:
    """Read known factors of n rows.

    Parameters
    ----------
    factors : array-like or DataFrame of shape (n,) or (n, n_factors)
    n : int

    Returns
    -------
    factors : DataFrame of shape (n, n_factors)

    Raises
    ------
    ValueError
        If they have other rows, or a hole or an infinite number.
    """
    frame = pd.DataFrame(factors)
    if len(frame) != n:
        raise ValueError(f"factors has {len(frame)} rows and X has {n}: pass one of each row.")
    for name, column in frame.items():
        if column.isna().any():
            row = int(np.flatnonzero(column.isna())[0])
            raise ValueError(f"The factor {name!r} is missing in row {row}: leave out such rows.")
        if pd.api.types.is_float_dtype(column) and np.isinf(column).any():
            row = int(np.flatnonzero(np.isinf(column))[0])
            raise ValueError(f"The factor {name!r} is infinite in row {row}: leave out such rows.")
    return frame.reset_index(drop=True)


def disentanglement(codes: np.ndarray, factors: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Scores of each factor, and what of it each dimension says.

    Parameters
    ----------
    codes : ndarray of shape (n, latent_dim)
    factors : DataFrame of shape (n, n_factors)
        Numbers of more than 20 values are continuous, all others levels.

    Returns
    -------
    scores : DataFrame of shape (n_factors, 4)
        ``mig``, ``sap``, and of DCI ``completeness`` and ``informativeness``.
    importance : DataFrame of shape (latent_dim, n_factors)
        Of each dimension in a random forest that infers the factor from the codes.

    Raises
    ------
    ValueError
        If a factor has one value alone.
    """
    scores, importance = {}, {}
    for name, factor in factors.items():
        if factor.nunique() == 1:
            raise ValueError(
                f"The factor {name!r} has one value alone, {factor.iloc[0]}, in the {len(factor)} "
                "rows that are compared."
            )
        forest = _forest(codes, factor)
        shares = importance[name] = forest.feature_importances_
        scores[name] = {
            "mig": _mutual_information_gap(codes, factor),
            "sap": _separated_predictability(codes, factor),
            "completeness": 1 - _entropy(shares),
            "informativeness": forest.oob_score_,
        }
    return pd.DataFrame(scores).T, pd.DataFrame(importance)


def dimension_disentanglement(importance):
    """Share of each dimension's importance that one factor has; DCI's first letter.

    Parameters
    ----------
    importance : DataFrame of shape (latent_dim, n_factors)

    Returns
    -------
    disentanglement : float
        Mean over dimensions by their importance, in [0, 1]; NaN where none has any.
    """
    weights = importance.sum(axis=1)
    if weights.sum() == 0:
        return np.nan
    of_dimension = [1 - _entropy(row / max(row.sum(), 1e-12)) for row in importance.to_numpy()]
    return float(np.average(of_dimension, weights=weights))


def _is_continuous(factor):
    return pd.api.types.is_numeric_dtype(factor) and factor.nunique() > _N_BINS


def _levels(values):
    """Positions of values among their levels, or among bins of equal counts."""
    if not _is_continuous(values):
        return pd.factorize(values)[0]
    edges = np.unique(np.quantile(values, np.linspace(0, 1, _N_BINS + 1)[1:-1]))
    return np.searchsorted(edges, values, side="right")


def _mutual_information_gap(codes, factor):
    own = _levels(factor)
    shared = [mutual_info_score(_levels(pd.Series(code)), own) for code in codes.T]
    return _gap(shared, 0.0) / mutual_info_score(own, own)


def _separated_predictability(codes, factor):
    if _is_continuous(factor):
        found = [np.nan_to_num(np.corrcoef(code, factor)[0, 1]) ** 2 for code in codes.T]
        return _gap(found, 0.0)
    own = _levels(factor)
    found = []
    for code in codes.T:
        unit = (code - code.mean()) / max(code.std(), 1e-12)
        line = LogisticRegression(class_weight="balanced").fit(unit[:, None], own)
        found.append(balanced_accuracy_score(own, line.predict(unit[:, None])))
    return _gap(found, 1 / factor.nunique())


def _gap(values, by_chance):
    """Lead of the highest over the next, or over chance where there is no other."""
    last, highest = np.sort([by_chance, *values])[-2:]
    return float(highest - last)


def _forest(codes, factor):
    from sklearn import ensemble  # whose import takes as long as all else of skvae

    if _is_continuous(factor):
        return ensemble.RandomForestRegressor(**_FOREST).fit(codes, factor)
    return ensemble.RandomForestClassifier(**_FOREST).fit(codes, _levels(factor))


def _entropy(shares):
    """Entropy of shares relative to the largest that there is; 0 of a single one, 1 of none."""
    if len(shares) == 1 or shares.sum() == 0:
        return float(shares.sum() == 0)
    positive = shares[shares > 0]
    return float(-(positive * np.log(positive)).sum() / np.log(len(shares)))
