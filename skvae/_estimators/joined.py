"""A table and one more column, its class, and a model of both."""

from sklearn.base import clone

from .._table import read_table, with_column

__all__ = ["clone_for", "with_class"]

_NAME = "class"


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
    """
    names = dict(zip(read_table(X).names, table.columns, strict=False))
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
