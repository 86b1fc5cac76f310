"""A table and one more column, its class, and a model of both."""

from sklearn.base import clone

from .._table import read_table, with_column
from .base import BaseVAE
from .checks import constant, either, kind
from .settings import check_settings, context_of, families_of

__all__ = ["A_MODEL", "check_classes", "clone_for", "with_class"]

_NAME = "class"
A_MODEL = either(
    kind("a VAETransformer or VAEAnomalyDetector", lambda value: isinstance(value, BaseVAE)),
    constant(None),
)


def with_class(X, cells):
    """Table with the class as its last column, as a DataFrame; `_` follows a name that is taken."""
    return with_column(X, _NAME, cells)


def clone_for(estimator, X, table, **params):
    """Clone an estimator whose parameters name columns of X, for a table of `with_class`.

    Parameters
    ----------
    estimator : BaseVAE
    X : array-like or DataFrame of shape (n, n_features)
    table : DataFrame of shape (n, n_features + 1)
    **params
        Parameters of the clone, beside those that name columns.

    Returns
    -------
    estimator : BaseVAE
        Not fitted.

    Raises
    ------
    ValueError, TypeError
        If a parameter is out of range, or names a column that X does not have.
    """
    raw = read_table(X)
    check_settings(estimator)
    families_of(estimator, raw)
    context_of(estimator, raw)
    names = dict(zip(raw.names, table.columns, strict=False))
    named = {}
    for parameter in ("context", "calibration_groups"):
        columns = getattr(estimator, parameter, None)
        if columns is not None:
            named[parameter] = [names.get(column, column) for column in columns]
    chosen = estimator.likelihoods
    if not isinstance(chosen, dict):
        chosen = dict.fromkeys(names, chosen)
    named["likelihoods"] = {names.get(column, column): choice for column, choice in chosen.items()}
    return clone(estimator).set_params(**named, **params)


def check_classes(estimator):
    """Raise where a fitted model of a table with the class took some classes as one.

    Parameters
    ----------
    estimator : BaseVAE
    """
    column = estimator.table_.columns_[-1]
    if column.n_codes < len(column.levels):
        raise ValueError(
            f"min_frequency={estimator.min_frequency} and max_categories="
            f"{estimator.max_categories} of the estimator leave {column.n_codes} of "
            f"{len(column.levels)} classes apart. Raise max_categories, or lower min_frequency."
        )
