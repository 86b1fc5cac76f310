"""Rows of rare classes, for imbalanced-learn's pipelines; the extra is ``skvae[imbalanced]``."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.utils import check_array, check_random_state
from sklearn.utils.validation import validate_data

from ._estimators import (
    A_MODEL,
    BaseVAE,
    VAETransformer,
    check_classes,
    clone_for,
    p_values,
    real,
    seed_from,
    with_class,
)
from ._table import as_pandas

try:
    from imblearn.over_sampling.base import BaseOverSampler
    from imblearn.utils import check_target_type
except ImportError as error:
    raise ImportError(
        "skvae.imbalance needs imbalanced-learn: pip install 'skvae[imbalanced]'"
    ) from error

__all__ = ["VAEOversampler"]

_MOST_ROUNDS = 50  # of draws, each of as many rows as are asked for


class VAEOversampler(BaseOverSampler):
    """Oversample classes by rows that a variational autoencoder draws, given their class.

    One model is fitted to all rows with the class as context, so that rare classes share with
    the others what columns have in common. Rows are then drawn that are like rows of the class,
    from their posteriors, and those that score lower than nearly all real ones are drawn again.
    Mixed types, and holes in the rows to learn from, are taken as they are; rows drawn have none.

    Parameters
    ----------
    sampling_strategy : float, str, dict or callable, default="auto"
        How many rows of which class, as everywhere in imbalanced-learn: "auto" makes all classes as
        frequent as the most frequent one, a float is the ratio of the two of them, a dict gives
        the rows of each afterwards.
    estimator : VAETransformer or VAEAnomalyDetector, default=None
        Model to fit a clone of, with the class as further `context` and a seed of
        `random_state`; None for a transformer with defaults.
    min_p_value : float, default=0.05
        Rows drawn that score as low as this share of the rows of their class, or lower, are left
        out; holes of the row that one is like do not count. 0 keeps all, and so does a class with
        fewer than ``1 / min_p_value - 1`` rows.
    random_state : int, RandomState instance or None, default=None

    Attributes
    ----------
    estimator_ : VAETransformer or VAEAnomalyDetector
        Fitted to the columns and the class.
    sampling_strategy_ : dict
        Rows drawn of each class.
    n_features_in_ : int
        Columns seen in `fit_resample`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns, where X had names that are all strings.

    See Also
    --------
    skvae.VAETransformer.augment : Draw rows that are like given ones.

    Notes
    -----
    A density of its own tells plausible draws from others; SMOTE has none, and conditional
    generators that sample by rejection lose rare levels. Whether a classifier gains by it is
    another question: see `docs/benchmarks.md`. Privacy is not promised.

    References
    ----------
    Sohn, Lee and Yan, "Learning Structured Output Representation using Deep Conditional Generative
    Models", 2015, NeurIPS 28. Lemaitre, Nogueira and Aridas, "Imbalanced-learn", JMLR 2017,
    arXiv:1609.06570, for the conventions.

    Examples
    --------
    >>> import numpy as np
    >>> from skvae import VAETransformer
    >>> from skvae.imbalance import VAEOversampler
    >>> rng = np.random.RandomState(0)
    >>> y = np.repeat([0, 1], [450, 50])
    >>> X = rng.normal(size=(500, 3)) + y[:, None]
    >>> sampler = VAEOversampler(estimator=VAETransformer(max_steps=100), random_state=0)
    >>> X_more, y_more = sampler.fit_resample(X, y)
    >>> np.bincount(y_more)
    array([450, 450])
    """

    def __init__(
        self,
        *,
        sampling_strategy: Any = "auto",
        estimator: BaseVAE | None = None,
        min_p_value: float = 0.05,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        super().__init__(sampling_strategy=sampling_strategy)
        self.estimator = estimator
        self.min_p_value = min_p_value
        self.random_state = random_state

    def fit_resample(self, X: ArrayLike, y: ArrayLike, **params: Any) -> Any:
        """Add rows of the classes that are to be more frequent.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
            Classes.
        **params : dict
            None.

        Returns
        -------
        X_resampled : array-like or DataFrame of shape (n_samples_new, n_features)
            The rows of X, and after them those drawn; in its container and dtypes, a pandas
            DataFrame where X is a polars one.
        y_resampled : array-like of shape (n_samples_new,)

        Raises
        ------
        ValueError, TypeError
            As ``VAETransformer.fit``, if min_p_value is no number in [0, 1), if
            sampling_strategy asks for what is no class of y, or if too few of the rows drawn score
            as high.
        """
        real(0, 1, "left").check("min_p_value", self.min_p_value, self)
        A_MODEL.check("estimator", self.estimator, self)
        frame = as_pandas(X)  # imbalanced-learn knows no other frames
        if not isinstance(y, list) and not hasattr(y, "iloc"):
            y = np.asarray(y)
        return super().fit_resample(X if frame is None else frame, y, **params)

    def _check_X_y(self, X, y):  # noqa: N802
        y, is_one_vs_all = check_target_type(y, indicate_one_vs_all=True)
        if not hasattr(X, "iloc"):
            X = check_array(X, dtype=None, ensure_all_finite=False)
        validate_data(self, X=X, y=y, reset=True, skip_check_array=True)
        return X, y, is_one_vs_all

    def _fit_resample(self, X, y):
        random_state = check_random_state(self.random_state)
        table = with_class(X, pd.Categorical(y))
        context = table.columns[-1]
        estimator = VAETransformer() if self.estimator is None else self.estimator
        estimator = clone_for(estimator, X, table, random_state=seed_from(random_state))
        given = [*(estimator.context or ()), context]
        self.estimator_ = estimator.set_params(context=given).fit(table)
        check_classes(self.estimator_)
        tables, classes = [X], [y]
        for level, n in self.sampling_strategy_.items():
            of_class = table.loc[y == level]
            tables.append(self._drawn(of_class, n, random_state).drop(columns=context))
            classes.append(np.full(n, level, dtype=y.dtype))
        return _joined(tables), np.concatenate(classes)

    def _drawn(self, of_class, n, random_state):
        """Draw n rows of a class that are plausible, each like one of its rows."""
        plausible, n_missing = [of_class[:0]], n
        own = np.sort(self.estimator_.score_samples(of_class))
        for _ in range(_MOST_ROUNDS):
            if n_missing == 0:
                break
            chosen = of_class.iloc[random_state.randint(len(of_class), size=n)]
            rows = self.estimator_.augment(chosen, random_state=seed_from(random_state))
            if self.min_p_value > 0:
                scores = self.estimator_.score_samples(rows.mask(chosen.isna().to_numpy()))
                rows = rows[p_values(scores, own) >= self.min_p_value]
            plausible.append(rows[:n_missing])
            n_missing -= len(plausible[-1])
        if n_missing > 0:
            raise ValueError(
                f"Of {n} rows to draw of the class {of_class.iloc[0, -1]}, {n_missing} score lower "
                f"than all but min_p_value={self.min_p_value} of its rows in {_MOST_ROUNDS} rounds "
                "of draws. Lower it, or fit more steps."
            )
        filled = [rows for rows in plausible if len(rows) > 0] or plausible[:1]
        return pd.concat(filled, ignore_index=True)

    def __sklearn_tags__(self):  # noqa: D105
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        tags.input_tags.sparse = False
        return tags


def _joined(tables):
    """Rows of the first table, and those of the others, in its kind and dtypes."""
    first = tables[0]
    if isinstance(first, np.ndarray):
        return np.concatenate([np.asarray(part).astype(first.dtype) for part in tables])
    others = [part.set_axis(first.columns, axis=1) for part in tables[1:]]
    return pd.concat([first, *others], ignore_index=True)
