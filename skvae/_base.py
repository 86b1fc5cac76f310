"""What both estimators share: the only file that sees both tables and torch."""

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from functools import partial
from inspect import signature
from numbers import Integral
from typing import Any, NamedTuple, Self

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from . import _scoring
from ._checks import (
    check_parameters,
    constant,
    either,
    integer,
    kind,
    mapping,
    one_of,
    real,
    sequence,
)
from ._members import (
    CANDIDATES,
    ROBUST,
    SETTINGS,
    Member,
    Recipe,
    Trained,
    Trainee,
    as_frame,
    candidate_recipes,
    chosen,
    robust_recipe,
    unseen,
)
from ._plain import Reader, Writer
from ._progress import CallbackSupportMixin, Progress, n_tasks, with_callbacks
from ._table import TableEncoder, read_table
from ._training import EVALUATION_SIZE, check_convergence, pass_over, train
from .nn import (
    ACTIVATIONS,
    DIVERGENCES,
    LIKELIHOODS,
    POSTERIORS,
    PRIORS,
    Likelihood,
    Posterior,
    Prior,
)

__all__ = []

# Noise model of each kind of column under likelihoods="auto".
_AUTO = {
    "number": "heteroscedastic_student_t",
    "integer": "spike_slab",
    "boolean": "bernoulli",
    "category": "categorical",
    "ordered": "ordinal",
}
_FEWEST_ROWS_TO_HOLD_OUT = 20
_CHUNK_ROWS = 16_384
# Parameters that say what there is to train: they stay while a training goes on.
_ARCHITECTURE = (
    *("latent_dim", "hidden_layer_sizes", "activation", "posterior", "prior", "prior_params"),
    *("likelihoods", "scale_floor", "min_frequency", "max_categories", "missing"),
    *("members", "robust_weight"),
)
_REFERENCE_ROWS = 10_000  # of the training table, from which medians are taken


def _part(names, base):
    """Accept a name among `names`, or a subclass of `base` in its place."""

    def is_subclass(value):
        return isinstance(value, type) and issubclass(value, base)

    return either(one_of(names), kind(f"a subclass of skvae.nn.{base.__name__}", is_subclass))


_RULES = {
    "latent_dim": either(integer(1), one_of(["auto"])),
    "hidden_layer_sizes": sequence(integer(1)),
    "activation": one_of(ACTIVATIONS),
    "likelihoods": either(
        _part(["auto", *LIKELIHOODS], Likelihood),
        mapping(_part(["auto", *LIKELIHOODS], Likelihood)),
    ),
    "min_frequency": either(integer(1), real(0, 1, "neither"), constant(None)),
    "max_categories": either(integer(1), constant(None)),
    "missing": one_of(["ignore", "model"]),
    "scale_floor": either(real(0, 1, "neither"), one_of(["auto"])),
    "posterior": _part(POSTERIORS, Posterior),
    "prior": _part(PRIORS, Prior),
    "prior_params": either(kind("a dict", lambda value: isinstance(value, dict)), constant(None)),
    "divergence": either(
        one_of(DIVERGENCES), kind("a function (x, y, generator)", callable), constant(None)
    ),
    "divergence_weight": real(0, math.inf, "left"),
    "beta": real(0, math.inf, "left"),
    "capacity": either(real(0, math.inf, "left"), constant(None)),
    "init": one_of(["linear", "random"]),
    "learning_rate_init": real(0, math.inf, "neither"),
    "batch_size": either(integer(1), one_of(["auto"])),
    "max_steps": either(integer(1), one_of(["auto"])),
    "validation_fraction": real(0, 1, "left"),
    "n_iter_no_change": either(integer(1), constant(None)),
    "members": either(
        one_of(["auto"]),
        sequence(either(one_of(CANDIDATES), kind("a dict", lambda value: isinstance(value, dict)))),
    ),
    "robust_weight": real(0, 1, "both"),
    "bound": one_of(["elbo", "iwae"]),
    "n_draws": integer(1),
    "device": kind("a str or torch.device", lambda value: isinstance(value, (str, torch.device))),
    "random_state": either(
        integer(0, 2**32),
        kind("a numpy RandomState", lambda value: isinstance(value, np.random.RandomState)),
        constant(None),
    ),
    "verbose": kind("a bool or an int", lambda value: isinstance(value, Integral)),
    "warm_start": kind("a bool", lambda value: isinstance(value, (bool, np.bool_))),
}


class _Seeds(NamedTuple):
    """Seeds of all that a training draws, in the order in which they are drawn."""

    model: int
    draws: int
    training: int
    robust_model: int
    robust_training: int


class BaseVAE(CallbackSupportMixin, BaseEstimator):
    """Parameters, fitting and scores that the detector and the transformer share."""

    _rules = _RULES

    def __init__(
        self,
        latent_dim: int | str = "auto",
        hidden_layer_sizes: Sequence[int] = (128,),
        activation: str = "silu",
        likelihoods: str | type | Mapping[Any, str | type] = "auto",
        min_frequency: float | None = None,
        max_categories: int | None = 100,
        missing: str = "ignore",
        scale_floor: float | str = "auto",
        posterior: str | type = "diagonal",
        prior: str | type = "full_mixture",
        prior_params: dict[str, Any] | None = None,
        divergence: str | Callable[..., Any] | None = None,
        divergence_weight: float = 1.0,
        beta: float = 1.0,
        capacity: float | None = None,
        init: str = "linear",
        learning_rate_init: float = 8e-3,
        batch_size: int | str = "auto",
        max_steps: int | str = "auto",
        validation_fraction: float = 0.1,
        n_iter_no_change: int | None = 10,
        members: str | Sequence[str | Mapping[str, Any]] = "auto",
        robust_weight: float = 0.35,
        bound: str = "elbo",
        n_draws: int = 8,
        device: Any = "auto",
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
        warm_start: bool = False,
    ) -> None:
        self.latent_dim = latent_dim
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.likelihoods = likelihoods
        self.min_frequency = min_frequency
        self.max_categories = max_categories
        self.missing = missing
        self.scale_floor = scale_floor
        self.posterior = posterior
        self.prior = prior
        self.prior_params = prior_params
        self.divergence = divergence
        self.divergence_weight = divergence_weight
        self.beta = beta
        self.capacity = capacity
        self.init = init
        self.learning_rate_init = learning_rate_init
        self.batch_size = batch_size
        self.max_steps = max_steps
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.members = members
        self.robust_weight = robust_weight
        self.bound = bound
        self.n_draws = n_draws
        self.device = device
        self.random_state = random_state
        self.verbose = verbose
        self.warm_start = warm_start

    def fit(self, X: ArrayLike, y: ArrayLike | None = None) -> Self:
        """Fit the model to the rows of a table.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
            Numbers, booleans, strings and categories; None, NaN or pd.NA where missing.
        y : array-like of shape (n_samples,), default=None
            Ignored, but by a `VAEAnomalyDetector` with ``use_labels=True``: 1 for normal
            rows, -1 for anomalies, 0 for unknown ones.

        Returns
        -------
        self : estimator
            Fitted. A fit that fails leaves every fitted attribute as it was.

        Raises
        ------
        ValueError, TypeError
            If a parameter is out of range, of a wrong kind or in conflict with another,
            if X is no dense table with at least two rows, if a column holds dates or an
            infinite number or does not fit its noise model, or if training diverges. With
            ``warm_start=True`` also as `partial_fit`.
        """
        with _undone_if_it_fails(self):
            if not self.warm_start:
                self._forget()
            self._fit(X, y)
        return self

    def partial_fit(self, X: ArrayLike, y: ArrayLike | None = None) -> Self:
        """Go on with the training by one pass over a block of rows.

        Each row counts once, at a constant learning rate, and none is held out. The first
        call also learns the encoding of the columns: their units, levels and noise models.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
            The first block should be like the others: a few thousand rows drawn at random
            from all. Levels that come later are unseen ones.
        y : array-like of shape (n_samples,), default=None
            As in `fit`; with ``use_labels=True`` a block need not hold an anomaly.

        Returns
        -------
        self : estimator
            A call that fails leaves every fitted attribute as it was.

        Raises
        ------
        ValueError, TypeError
            As `fit`. From the second call on also if X has other columns than the first
            block, or if a parameter was changed that says what there is to train, such as
            `hidden_layer_sizes`, `prior` or `likelihoods`.
        """
        with _undone_if_it_fails(self):
            self._partial_fit(X, y)
        return self

    def score_samples(self, X: ArrayLike) -> np.ndarray:
        """Bound on the log density of each row, in nats; higher is more normal.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)

        Returns
        -------
        scores : ndarray of shape (n_samples,)
            With ``bound="elbo"`` the evidence lower bound, with ``bound="iwae"`` the
            importance-weighted one, in nats and in the columns' own units: densities of
            continuous columns, masses of the others.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            Before ``fit``.
        ValueError, TypeError
            If the columns are not those of the training table, or their values no
            finite numbers that fit the noise models.
        """
        return self._by_chunk(self._scores, self._read(X))

    def negative_elbo(self, X: ArrayLike) -> np.ndarray:
        """Negative evidence lower bound of each row in nats: the anomaly score.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)

        Returns
        -------
        negative_elbo : ndarray of shape (n_samples,)
            Higher is odder, whatever `bound` is.

        Raises
        ------
        sklearn.exceptions.NotFittedError, ValueError, TypeError
            As `score_samples`.
        """
        return -self._by_chunk(self._elbo, self._read(X))

    def explain(self, X: ArrayLike) -> np.ndarray | pd.DataFrame:
        """Which columns make a row odd, in nats.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)

        Returns
        -------
        parts : ndarray or DataFrame of shape (n_samples, n_features + 2)
            One part a column: its negative log density given the latent code, relative
            to its median over training rows. Then ``kl``, the KL divergence relative to
            its median, and ``baseline``, the sum of the medians. Each row adds up to
            `negative_elbo`. A pandas DataFrame, with the index of X if it has one, where X
            is a pandas or polars DataFrame. If a column of X is called ``kl`` or
            ``baseline`` too, tell them by position: these two are the last.

        Raises
        ------
        sklearn.exceptions.NotFittedError, ValueError, TypeError
            As `score_samples`.
        """
        raw = self._read(X)
        parts = -self._by_chunk(self._terms, raw) - self.baseline_
        parts = np.column_stack([parts, np.full(len(parts), self.baseline_.sum())])
        if not raw.is_frame:
            return parts
        columns = [*raw.names, "kl", "baseline"]
        return pd.DataFrame(parts, index=_index(X), columns=columns)

    def expected(self, X: ArrayLike, coverage: float = 0.9) -> pd.DataFrame:
        """Value and interval that the model expects of each cell, given the row's others.

        Each cell is hidden in turn, and inferred from all others that are observed.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
        coverage : float in (0, 1), default=0.9
            Probability of an interval, with as much below it as above.

        Returns
        -------
        expected : DataFrame of shape (n_samples, 2 * n_features or more)
            With the index of X if it has one, and two levels of columns, ``column`` and
            ``field``. Each column of X has "expected": the value that `impute` would give
            if the cell were missing; with missing="model" the model still knows that it is
            there. A column of numbers or counts also has "lower" and
            "upper", the ends of the interval, in the column's own units; one of flags or
            levels "probability", the mass of the level observed, NaN where the cell is
            missing; by the noise model of a flag it is between 0.2 and 0.8.

        Raises
        ------
        sklearn.exceptions.NotFittedError, ValueError, TypeError
            As `score_samples`, or if coverage is no number between 0 and 1.
        NotImplementedError
            If the distribution of a noise model of the user's own lacks ``cdf``.

        Examples
        --------
        >>> import numpy as np
        >>> import pandas as pd
        >>> from skvae import VAEAnomalyDetector
        >>> size = np.random.RandomState(0).normal(170, 10, size=500)
        >>> X = pd.DataFrame({"size": size, "weight": size - 100, "tall": size > 170})
        >>> detector = VAEAnomalyDetector(random_state=0).fit(X)
        >>> odd = pd.DataFrame({"size": [180.0], "weight": [60.0], "tall": [True]})
        >>> expected = detector.expected(odd)
        >>> list(expected["weight"]), list(expected["tall"])
        (['expected', 'lower', 'upper'], ['expected', 'probability'])
        >>> bool(odd.at[0, "weight"] < expected.at[0, ("weight", "lower")])
        True
        """
        raw = self._read(X)
        real(0, 1, "neither").check("coverage", coverage, self)
        cells = self._by_chunk(partial(self._expected, coverage=coverage), raw)
        return self.table_.expected(raw, cells, _index(X))

    def score(self, X: ArrayLike, y: object = None) -> float:
        """Mean evidence lower bound of the rows, in nats; higher is better.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
        y : Ignored

        Returns
        -------
        score : float
            What a grid search without labels maximises.

        Raises
        ------
        sklearn.exceptions.NotFittedError, ValueError, TypeError
            As `score_samples`.
        """
        return float(-self.negative_elbo(X).mean())

    def sample(
        self, n_samples: int = 1, random_state: int | np.random.RandomState | None = None
    ) -> np.ndarray | pd.DataFrame:
        """Draw new rows from the main model.

        Parameters
        ----------
        n_samples : int, default=1
        random_state : int, RandomState instance or None, default=None

        Returns
        -------
        X : ndarray or DataFrame of shape (n_samples, n_features)
            In the columns' own units; a pandas DataFrame where one, or a polars one, was
            fitted, whose columns of booleans and categories hold such. An infrequent level
            that shares its probability may be drawn, an unseen one is not.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            Before ``fit``.
        TypeError, ValueError
            If n_samples is no integer of at least 1, or random_state no source of draws.
        """
        check_is_fitted(self)
        integer(1).check("n_samples", n_samples, self)
        _RULES["random_state"].check("random_state", random_state, self)
        generator = torch.Generator().manual_seed(_seed(_random_state(random_state)))
        with torch.inference_mode():
            params = self.model_.decoder(self.model_.sample_prior(n_samples, generator))
            cells = self.model_.likelihood.sample(params, generator).numpy()
        return self.table_.rows(cells)

    def impute(
        self,
        X: ArrayLike,
        n_draws: int | None = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> np.ndarray | pd.DataFrame | list[np.ndarray | pd.DataFrame]:
        """Fill the holes of a table given the other cells of each row.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
        n_draws : int, default=None
            How many filled tables to draw from the posterior predictive distribution, the
            mixture of the members'; None for one, filled by its means, by its modes in
            columns of levels.
        random_state : int, RandomState instance or None, default=None
            Source of the draws.

        Returns
        -------
        filled : ndarray or DataFrame of shape (n_samples, n_features), or a list of n_draws such
            In the container that was fitted, as `sample` gives it, and with the index of X
            if it has one; observed cells are those of X.

        Raises
        ------
        sklearn.exceptions.NotFittedError, ValueError, TypeError
            As `score_samples`, or if n_draws is no integer of at least 1, or random_state no
            source of draws.
        """
        raw = self._read(X)
        _RULES["random_state"].check("random_state", random_state, self)
        index = _index(X)
        if n_draws is None:
            return self.table_.fill(raw, self._by_chunk(self._guesses, raw), index)
        integer(1).check("n_draws", n_draws, self)
        generator = torch.Generator().manual_seed(_seed(_random_state(random_state)))
        draw = partial(self._draws_of_cells, generator=generator)
        tables = (self._by_chunk(draw, raw) for _ in range(n_draws))
        return [self.table_.fill(raw, cells, index) for cells in tables]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        return tags

    def __sklearn_is_fitted__(self):
        return hasattr(self, "model_")

    def _repr_html_inner(self):
        """Add the members to what scikit-learn shows."""
        return super()._repr_html_inner() + self._members_as_html()

    def _repr_mimebundle_(self, **kwargs):
        """Add the members to what scikit-learn shows."""
        bundle = super()._repr_mimebundle_(**kwargs)
        if "text/html" in bundle:
            bundle["text/html"] += self._members_as_html()
        return bundle

    def _members_as_html(self):
        if not self.__sklearn_is_fitted__():
            return ""
        return as_frame(self.members_).to_html(index=False, float_format="{:.4g}".format)

    def __getstate__(self):
        """Parameters, and what was fitted as plain values and arrays, without torch."""
        state = super().__getstate__()
        fitted = {name: value for name, value in state.items() if name.endswith("_")}
        writer = Writer()
        try:
            plain = {name: writer.write(value, name) for name, value in fitted.items()}
        except TypeError:  # parts of the user's own: pickle alone can hold them
            return state
        others = {name: value for name, value in state.items() if name not in fitted}
        return others | {"plain": plain, "arrays": writer.arrays}

    def __setstate__(self, state):
        """Take over what `__getstate__` returned."""
        state = dict(state)
        reader, plain = Reader(state.pop("arrays", {})), state.pop("plain", {})
        fitted = {name: reader.read(value) for name, value in plain.items()}
        super().__setstate__(state | fitted)

    @with_callbacks
    def _fit(self, X, y):
        self._check()
        device = _training_device(self)
        random_state = _random_state(self.random_state)
        raw = self._read_to_fit(X, min_rows=2)
        anomalous = self._known_anomalies(y, len(raw.values), fewest=1, fewest_others=2)
        held_out, kept = self._split(np.flatnonzero(~anomalous), random_state)
        seeds = self._seeds(random_state)
        # All rows are checked, but those held out have no part in the columns' units.
        table = self._encode_to_fit(raw, kept)
        main, robust = self._recipes(raw, len(kept), has_judges=len(held_out) > 0)
        # More rows than the steps can visit, or than judge the weights, are not looked at.
        kept = kept[: max(recipe.max_steps * recipe.batch_size for _, _, recipe in main)]
        judges = held_out[:EVALUATION_SIZE]
        fitted, judges, repelled = (table.take(rows) for rows in (kept, judges, anomalous))
        candidates = self._trainees(main, raw, fitted, seeds.model)
        self.draws_ = self._shared_draws(candidates, seeds)
        self.optimizers_ = []
        n_parts = sum(n_tasks(each.recipe.max_steps) for each in candidates) + len(robust)
        progress = Progress(
            self._init_callback_context(max_subtasks=n_parts), estimator=self, X=X, y=y
        )
        trained = []
        for each in candidates:
            ended = partial(self._as_if_ended, each, fitted, raw, held_out, anomalous)
            steps = progress.steps(each.recipe.max_steps, ended)
            parts = (fitted, judges, repelled)
            trained.append(self._train(each, *parts, device, seeds.training, steps))
            progress.end_steps(ended)
            if progress.is_stopped or not trained[-1].is_complete:
                break
        robust = self._trainees(robust, raw, fitted, seeds.robust_model)
        for each in robust:
            parts = (fitted, fitted.take(slice(0)), repelled)
            run = partial(self._train, each, *parts, device, seeds.robust_training)
            trained.append(progress.run("robust member", run))
        self._keep(trained, judges.take(unseen(judges, fitted)), fitted)
        self._set_threshold(raw, anomalous, self._unseen_scores(X, y, raw, held_out, anomalous))
        progress.end()

    def _partial_fit(self, X, y):
        self._check()
        device = _training_device(self)
        is_first = not self.__sklearn_is_fitted__()
        raw = self._read_to_fit(X, min_rows=2 if is_first else 1)
        anomalous = self._known_anomalies(y, len(raw.values), fewest=0, fewest_others=1)
        seeds = self._seeds(_random_state(self.random_state))
        rows = np.flatnonzero(~anomalous)
        table = self._encode_to_fit(raw, rows)
        fitted, repelled = table.take(rows), table.take(anomalous)
        main, robust = self._recipes(raw, len(rows), has_judges=False)
        trainees = self._trainees(main, raw, fitted, seeds.model)
        trainees += self._trainees(robust, raw, fitted, seeds.robust_model)
        if is_first:
            self.draws_ = self._shared_draws(trainees, seeds)
        states = getattr(self, "optimizers_", []) or [None] * len(trainees)
        passes = [
            pass_over(
                each.model.to(device, torch.float32),
                _tensors(fitted, device, torch.float32),
                state,
                **_training_parameters(each.recipe, repelled, device, seed),
            )
            for each, state, seed in zip(
                trainees, states, (seeds.training, seeds.robust_training), strict=False
            )
        ]
        histories = [
            {"step": [n_steps], "train": [elbo], "validation": [math.nan]}
            for elbo, n_steps, _ in passes
        ]
        trained = [Trained(*each, h, False) for each, h in zip(trainees, histories, strict=True)]
        self._keep(trained, fitted.take(slice(0)), fitted)
        self.optimizers_ = [state for _, _, state in passes]
        self._set_threshold(raw, anomalous, np.empty(0))

    def _forget(self):
        """Leave nothing that was fitted."""
        for name in [name for name in vars(self) if name.endswith("_")]:
            delattr(self, name)

    def _read_to_fit(self, X, min_rows):
        """Read a table to go on with, or one to begin with where nothing is fitted."""
        if self.__sklearn_is_fitted__():
            self._check_architecture()
            return self._read(X, min_rows)
        raw = read_table(X, min_rows=min_rows)
        validate_data(self, X, skip_check_array=True)
        return raw

    def _architecture(self):
        return {name: deepcopy(getattr(self, name)) for name in _ARCHITECTURE}

    def _check_architecture(self):
        for name, fitted in self.architecture_.items():
            value = getattr(self, name)
            if value != fitted and _as_list(value) != _as_list(fitted):
                raise ValueError(
                    f"The {name!r} parameter of {type(self).__name__} was {fitted!r} when the "
                    f"training began, and cannot be {value!r} while it goes on. Set it back, or "
                    "begin anew with fit and warm_start=False."
                )

    def _encode_to_fit(self, raw, kept):
        """Encode a table; where nothing is fitted, learn how from some of its rows."""
        if not self.__sklearn_is_fitted__():
            families, names = self._families(raw)
            encoder = TableEncoder(
                {name: family.domain for name, family in families.items()},
                min_frequency=self.min_frequency,
                max_categories=self.max_categories,
                missing=self.missing,
            )
            self.table_ = encoder.fit(raw, names).fit(raw.take(kept), names)
            self.architecture_ = self._architecture()
        return self.table_.encode(raw)

    def _recipes(self, raw, n_rows, has_judges):
        """Find the main recipes, of which one is kept, and the robust one if there is one.

        Where a training goes on they are those of the members at hand. Without rows that judge,
        the first stands for all.
        """
        recipe = Recipe.of(self)
        if self.__sklearn_is_fitted__():
            kept = [
                (each.name, each.settings, recipe._replace(**each.settings).decided(n_rows))
                for each in self.members_
                if each.model is not None
            ]
            return kept[:1], kept[1:]
        main = candidate_recipes(recipe, self.members, n_rows)
        has_robust = self.robust_weight > 0 and len(raw.values) >= _FEWEST_ROWS_TO_HOLD_OUT
        return main if has_judges else main[:1], [robust_recipe(recipe, n_rows)] * has_robust

    def _trainees(self, recipes, raw, table, seed):
        """Recipes with their models: copies of those at hand, or new ones."""
        if self.__sklearn_is_fitted__():
            models = {each.name: each.model for each in self.members_}
            return [
                Trainee(*each, deepcopy(models[each[0]]).requires_grad_(True).train())
                for each in recipes
            ]
        families, _ = self._families(raw)
        blocks = [(families[name], columns) for name, columns in self.table_.blocks()]
        robust_blocks = [(family.robust or family, columns) for family, columns in blocks]
        examples = _tensors(table.take(slice(_REFERENCE_ROWS)), "cpu", torch.float32)
        return [
            Trainee(
                *each,
                each[2].model(robust_blocks if each[0] == ROBUST else blocks, examples, seed),
            )
            for each in recipes
        ]

    def _shared_draws(self, trainees, seeds):
        """Noise for scores, wide enough for every model."""
        most_codes = max(each.model.latent_dim for each in trainees)
        return _scoring.draws(self.n_draws, most_codes, seeds.draws)

    def _seeds(self, random_state):
        """Seeds of what is drawn next, other ones for each part of a training that goes on."""
        n_steps = getattr(self, "n_steps_", 0)
        seeds = _Seeds(*(_seed(random_state) for _ in _Seeds._fields))
        return seeds._replace(
            training=seeds.training + n_steps, robust_training=seeds.robust_training + n_steps
        )

    def _note(self, history, table):
        """Append to the history of a training, in the columns' own units."""
        shift = self.table_.log_jacobian(table.values).sum(axis=1).mean()
        before = getattr(self, "history_", {"step": [], "train": [], "validation": []})
        n_before = getattr(self, "n_steps_", 0)
        self.history_ = {
            "step": before["step"] + [n_before + step for step in history["step"]],
            "train": before["train"] + [float(elbo + shift) for elbo in history["train"]],
            "validation": before["validation"]
            + [float(elbo + shift) for elbo in history["validation"]],
        }
        self.n_steps_ = max(self.history_["step"], default=0)

    def _as_if_ended(self, trainee, table, raw, held_out, anomalous):
        """Fitted attributes as if training ended with the weights that a model has now."""
        ended = _shallow_copy(self)
        copy = trainee._replace(model=deepcopy(trainee.model))
        nothing = {"step": [], "train": [], "validation": []}
        ended._keep([Trained(*copy, nothing, False)], table.take(slice(0)), table)
        ended._set_threshold(raw, anomalous, ended._by_chunk(ended._scores, raw.take(held_out)))
        return {name: value for name, value in vars(ended).items() if name.endswith("_")}

    def _keep(self, trained, judges, table):
        """Take over the candidate that is judged best, and the robust member if there is one.

        Parameters
        ----------
        trained : list of Trained
            Candidates, and then the robust member.
        judges : EncodedTable
            Held-out rows; the first candidate is kept where there are none.
        table : EncodedTable
            Fitted rows.
        """
        before = {each.name: each.n_steps for each in getattr(self, "members_", [])}
        models = [_at_rest(each.model) for each in trained]
        bounds = np.array([self._bounds_of(model, judges) for model in models])
        is_robust = np.array([each.name == ROBUST for each in trained])
        best = chosen(bounds[~is_robust])
        weights = np.where(is_robust, self.robust_weight, 0.0)
        weights[best] = 1 - weights.sum()
        self.members_ = [
            Member(
                name=each.name,
                settings=each.settings,
                model=model if i == best or is_robust[i] else None,
                weight=float(weights[i]),
                nats=float(bounds[i].mean()) if bounds[i].size else math.nan,
                n_steps=before.get(each.name, 0) + max(each.history["step"], default=0),
            )
            for i, (each, model) in enumerate(zip(trained, models, strict=True))
        ]
        if trained[best].is_complete:
            check_convergence(trained[best].history)
        self.model_ = models[best]
        self.baseline_ = -np.median(self._terms(table.take(slice(_REFERENCE_ROWS))), axis=0)
        self._note(trained[best].history, table)

    def _bounds_of(self, model, table):
        """ELBO of encoded rows under one model, in nats and the columns' own units."""
        terms = _scoring.elbo_terms(model, *table, self.draws_, scoring_device(self))
        return terms.sum(axis=1) + self.table_.log_jacobian(table.values).sum(axis=1)

    def _unseen_scores(self, X, y, raw, held_out, anomalous):
        """Scores that calibrate: none, for an estimator that flags no rows."""

    def _set_threshold(self, raw, anomalous, scores):
        """Derive a threshold from the scores of calibration rows, in an estimator that has one."""

    def _known_anomalies(self, y, n, *, fewest, fewest_others):
        """Which of n rows y says are anomalies: none, for an estimator that ignores it."""
        return np.zeros(n, dtype=bool)

    def _check(self):
        """Raise for parameters out of range or in conflict, before data is touched."""
        check_parameters(self, self._rules)
        recipe = Recipe.of(self)
        self._check_recipe(recipe)
        if len(self.members) == 0:
            raise self._wrong_members("members=[{}] is the estimator's parameters alone.")
        for settings in self.members:
            if isinstance(settings, Mapping):
                self._check_settings(settings)
                self._check_recipe(recipe._replace(**settings))

    def _check_settings(self, settings):
        for name, value in settings.items():
            if name not in SETTINGS:
                known = ", ".join(map(repr, SETTINGS))
                raise self._wrong_members(
                    f"no member has a setting {name!r}. Settings are {known}."
                )
            rule = self._rules[name]
            if not rule.accepts(value):
                raise self._wrong_members(f"{name!r} must be {rule.describe}.")

    def _wrong_members(self, why):
        names = ", ".join(map(repr, CANDIDATES))
        return ValueError(
            f"The 'members' parameter of {type(self).__name__} must be 'auto' or a list of at "
            f"least one item, names among {{{names}}} and dicts of settings. Got {self.members!r} "
            f"instead: {why}"
        )

    def _check_recipe(self, recipe):
        if recipe.capacity is not None and recipe.beta == 0:
            raise ValueError(
                f"capacity={recipe.capacity!r} has no effect with beta={recipe.beta!r}: the "
                "objective is beta * |KL - capacity|. Use beta > 0 or capacity=None."
            )
        try:
            # A prior of the user's own may need real examples: only its parameters are bound.
            is_named = recipe.prior in PRIORS
            prior = PRIORS[recipe.prior] if is_named else signature(recipe.prior).bind
            params = recipe.prior_params or {}
            prior(1, torch.zeros(1, 1), generator=torch.Generator(), **params)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"The 'prior_params' parameter of {type(self).__name__} must be a dict of "
                f"parameters of prior={recipe.prior!r}. Got {recipe.prior_params!r} instead: "
                f"{error}"
            ) from error

    def _families(self, raw):
        """Likelihood class by name, and the name of each column's."""
        chosen = self.likelihoods
        if not isinstance(chosen, dict):
            chosen = dict.fromkeys(raw.names, chosen)
        unknown = [name for name in chosen if name not in raw.names]
        if unknown:
            raise ValueError(
                f"The 'likelihoods' parameter of {type(self).__name__} names the column "
                f"{unknown[0]!r}, which X does not have. Its columns are {_listed(raw.names)}."
            )
        families, names = dict(LIKELIHOODS), []
        for name, held in zip(raw.names, raw.kinds, strict=True):
            choice = chosen.get(name, "auto")
            choice = _AUTO[held] if choice == "auto" else choice
            if not isinstance(choice, str):
                if families.setdefault(choice.__name__, choice) is not choice:
                    raise ValueError(
                        f"The 'likelihoods' parameter of {type(self).__name__} has two classes "
                        f"named {choice.__name__!r}. Rename one."
                    )
                choice = choice.__name__
            names.append(choice)
        return families, names

    def _split(self, rows, random_state):
        """Part some rows into those held out and those that the weights are fitted to."""
        n = len(rows)
        order = rows[random_state.permutation(n)]
        n_held_out = round(self.validation_fraction * n) if n >= _FEWEST_ROWS_TO_HOLD_OUT else 0
        n_held_out = min(n_held_out, n - 1)
        return order[:n_held_out], order[n_held_out:]

    def _train(self, trainee, fitted, judges, repelled, device, seed, steps=None):
        training = train(
            trainee.model.to(device, torch.float32),
            _tensors(fitted, device, torch.float32),
            _tensors(judges, device, torch.float32),
            max_steps=trainee.recipe.max_steps,
            n_iter_no_change=trainee.recipe.n_iter_no_change,
            verbose=self.verbose if trainee.name != ROBUST else 0,
            steps=steps,
            **_training_parameters(trainee.recipe, repelled, device, seed),
        )
        return Trained(*trainee, *training)

    def _read(self, X, min_rows=1):
        """Read a table and check that its columns are those that were fitted."""
        check_is_fitted(self)
        raw = read_table(X, min_rows=min_rows)
        validate_data(self, X, skip_check_array=True, reset=False)
        self.table_.check(raw)
        return raw

    def _by_chunk(self, function, raw):
        """Join what `function` returns for chunks of encoded rows: memory stays bounded."""
        starts = range(0, max(1, len(raw.values)), _CHUNK_ROWS)
        tables = (
            self.table_.encode(raw.take(slice(start, start + _CHUNK_ROWS))) for start in starts
        )
        return np.concatenate([function(table) for table in tables])

    def _terms(self, table):
        """E_q[log p(x_j | z)] by column and -KL, in nats and the columns' own units."""
        terms = self._mean(_scoring.elbo_terms, table)
        by_column = self.table_.add_by_column(terms[:, :-1])
        by_column += self.table_.log_jacobian(table.values)
        return np.column_stack([by_column, terms[:, -1]])

    def _mean(self, bound, table):
        """Weighted mean over the members of a bound of each row."""
        device = scoring_device(self)
        return sum(
            weight * bound(model, *table, self.draws_, device)
            for weight, model in self._counted_members()
        )

    def _counted_members(self):
        return [(each.weight, each.model) for each in self.members_ if each.weight > 0]

    def _guesses(self, table):
        """Guess the encoded cells given those observed."""
        device = scoring_device(self)
        return _scoring.guess(self._counted_members(), *table, self.draws_, device)

    def _expected(self, table, coverage):
        """Infer each encoded cell from the others."""
        return _scoring.expect(
            self._counted_members(),
            *table,
            self.draws_,
            scoring_device(self),
            coverage=coverage,
            have_intervals=self.table_.have_intervals(),
        )

    def _draws_of_cells(self, table, generator):
        """Draw encoded cells once from the posterior predictive distribution."""
        weights, models = zip(*self._counted_members(), strict=True)
        with torch.inference_mode():
            cells = torch.stack([_drawn_cells(model, table, generator) for model in models])
            shares = torch.tensor(weights, dtype=torch.float64)
            chosen = torch.multinomial(shares, cells.shape[1], True, generator=generator)
            return cells[chosen, torch.arange(cells.shape[1])].numpy()

    def _elbo(self, table):
        return self._terms(table).sum(axis=1)

    def _scores(self, table):
        """Compute what `score_samples` returns, for an encoded table."""
        _RULES["bound"].check("bound", self.bound, self)
        if self.bound == "elbo":
            return self._elbo(table)
        bound = self._mean(_scoring.importance_bound, table)
        return bound + self.table_.log_jacobian(table.values).sum(axis=1)


@contextmanager
def _undone_if_it_fails(estimator):
    """Give an estimator its attributes back if anything is raised."""
    before = dict(vars(estimator))
    try:
        yield
    except BaseException:
        vars(estimator).clear()
        vars(estimator).update(before)
        raise


def _shallow_copy(estimator):
    """Copy of an estimator with the same attributes, not copies of them."""
    copied = object.__new__(type(estimator))
    vars(copied).update(vars(estimator))
    return copied


def _random_state(random_state):
    """RandomState of a parameter; None makes a fresh one, not numpy's global one."""
    return np.random.RandomState() if random_state is None else check_random_state(random_state)


def _seed(random_state):
    return int(random_state.randint(np.iinfo(np.int32).max))


def _at_rest(model):
    """Where and how a fitted model is kept and scores."""
    model.zero_grad()
    return model.to("cpu", torch.float64).eval().requires_grad_(False)


def _tensors(table, device, dtype):
    farthest = 1e-4 * math.sqrt(torch.finfo(dtype).max)  # its square in small units is a number
    values = torch.tensor(table.values.clip(-farthest, farthest), dtype=dtype, device=device)
    return values, torch.tensor(table.observed, device=device)


def _training_parameters(recipe, repelled, device, seed):
    """Name what `train` and `pass_over` both take."""
    return {
        "objective": recipe.objective(),
        "batch_size": recipe.batch_size,
        "learning_rate": recipe.learning_rate_init,
        "hidden_rows": recipe.hidden_rows,
        "repelled": _tensors(repelled, device, torch.float32) if len(repelled.values) else None,
        "generator": torch.Generator(device).manual_seed(seed),
    }


def _drawn_cells(model, table, generator):
    q = model.infer(*_tensors(table, "cpu", torch.float64))
    eps = torch.randn(q.mean.shape, generator=generator, dtype=torch.float64)
    return model.likelihood.sample(model.decoder(q.transport(eps)), generator)


def _training_device(estimator):
    """Find the device that `device` means, or raise where there is none."""
    with _unknown_devices_named(estimator):
        device = _device(estimator.device)
        torch.empty(1, device=device)
        return device


def scoring_device(estimator):
    """Where to score: float64 rules out MPS, and a model may outlive its GPU."""
    with _unknown_devices_named(estimator):
        device = _device(estimator.device)
    is_present = device.type == "cuda" and (device.index or 0) < torch.cuda.device_count()
    return device if is_present else torch.device("cpu")


def _device(name):
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(name)
    if device.type not in ("cpu", "cuda", "mps"):
        raise ValueError(f"skvae does not train on {device.type!r}")
    return device


@contextmanager
def _unknown_devices_named(estimator):
    """Say in one sentence what `device` can be."""
    try:
        yield
    except (AssertionError, RuntimeError, TypeError, ValueError) as error:
        raise ValueError(
            f"The 'device' parameter of {type(estimator).__name__} must be 'auto', 'cpu', 'cuda', "
            f"'cuda:N' or 'mps', and present on this machine. Got {estimator.device!r} instead: "
            f"{str(error).splitlines()[0]}"
        ) from error


def _as_list(value):
    """Make a list of a tuple: to the networks they are the same."""
    return list(value) if isinstance(value, (list, tuple)) else value


def _index(X):
    """Take the labels of the rows of a pandas DataFrame; None for other tables."""
    return X.index if hasattr(X, "iloc") else None


def _listed(names):
    shown = ", ".join(repr(name) for name in names[:10])
    return shown if len(names) <= 10 else f"{shown} and {len(names) - 10} more"
