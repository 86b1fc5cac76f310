"""What all estimators share: how they are fitted and kept."""

from copy import deepcopy
from functools import partial
from os import PathLike
from typing import NamedTuple, Self

import numpy as np
import torch
from numpy.typing import ArrayLike

from .._engine import (
    ROBUST,
    Density,
    Trained,
    Trainee,
    at_rest,
    by_chunk,
    candidate_recipes,
    check_convergence,
    draws,
    kept,
    robust_recipe,
    tensors,
    untouched,
)
from .._table import TableEncoder
from .device import scoring_device, training_device
from .fingerprint import checkpoint_of
from .fit_rows import FitRows
from .holes import warn_of_columns, warn_of_empty_rows
from .keys import warn_of_keys
from .progress import CallbackSupportMixin, Progress, n_tasks, with_callbacks
from .queries import as_random_state, seed_from
from .race import race
from .settings import check_settings, context_of, families_of, with_context
from .state import State, undone_if_it_fails

__all__ = ["BaseVAE"]

_FEWEST_ROWS_TO_HOLD_OUT = 20
_REFERENCE_ROWS = 10_000  # of the training table, from which medians are taken
_NO_HISTORY: dict[str, list] = {"step": [], "train": [], "validation": []}


class _Seeds(NamedTuple):
    """Seeds of all that a training draws, in the order in which they are drawn."""

    model: int
    draws: int
    training: int
    robust_model: int
    robust_training: int


class BaseVAE(CallbackSupportMixin, State):
    """Fitting that detector, transformer and clusterer share.

    Attributes
    ----------
    model_ : skvae.nn.VAE
        The main model, float64 on the CPU.
    members_ : list of Member
        Candidates and the robust member: ``name``, ``settings``, ``model`` (None of a candidate
        that was not kept), ``weight``, ``nats`` (mean bound of the held-out rows, in the
        columns' own units) and ``n_steps``. Scores are weighted means of their bounds.
    critic_ : skvae.nn.Critic or None
        Of the main model, float64 on the CPU, where `divergence` is one.
    table_ : TableEncoder
        How columns are encoded; ``table_.columns_`` states each one's noise model.
    history_ : dict of str to list
        By ``step``: the ELBO in nats per row of the batches since the entry before,
        ``train``, and of held-out rows, ``validation`` (NaN without any). A
        pandas.DataFrame takes it as it is.
    n_steps_ : int
        Steps taken, up to the last evaluation if the fit was interrupted; with those before
        if training went on.
    architecture_ : dict
        Parameters that cannot change while a training goes on, as they were at its start.
    optimizers_ : list of dict
        State of each member's optimiser after `partial_fit`, to go on with; [] after `fit`.
    draws_ : ndarray of shape (n_draws, 1, latent_dim), or wider
        Standard normal noise shared by all scores.
    baseline_ : ndarray of shape (n_features + 1,)
        Medians over (at most 10,000) fitted rows of the parts of `explain`, in nats.
    n_features_in_ : int
        Columns seen in `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns, where X had names that are all strings.
    """

    @untouched
    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike | None = None,
        *,
        checkpoint: str | PathLike[str] | None = None,
    ) -> Self:
        """Fit the model to the rows of a table.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
            Numbers, booleans, strings and categories; None, NaN or pd.NA where missing.
        y : array-like of shape (n_samples,), default=None
            Ignored, but by a `VAEAnomalyDetector` with ``use_labels=True``: 1 for normal
            rows, -1 for anomalies, 0 for unknown ones.
        checkpoint : str or path-like, default=None
            Folder in which to keep the state of the training on the way. A fit that was killed
            goes on from there when it is called again with the same parameters and table, and
            leads to the same weights, bit by bit, as if it had not been. The folder is removed
            at the end if it was not there before, but nothing is after Ctrl-C, which keeps the
            best weights so far. What a callback has said is not kept.

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
            ``warm_start=True`` also as `partial_fit`. If the checkpoint is of another fit, whose
            parameter or table is named, or damaged.
        OSError
            If the checkpoint cannot be written.
        """
        self._fit_from(X, y, checkpoint).remove()
        return self

    @untouched
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
        with undone_if_it_fails(self):
            self._partial_fit(X, y)
        return self

    @untouched
    def _fit_from(self, X, y, path):
        """Fit, and return the checkpoint, which is no longer needed."""
        with undone_if_it_fails(self):
            if not self.warm_start:
                self._forget()
            return self._fit(X, y, path)

    @with_callbacks
    def _fit(self, X, y, path):
        check_settings(self)
        device = training_device(self)
        raw = self._read_to_fit(X, min_rows=2)
        anomalous = self._known_anomalies(y, len(raw.values), fewest=1, fewest_others=2)
        checkpoint = checkpoint_of(self, path, raw, anomalous, device)
        random_state = checkpoint.begin(as_random_state(self.random_state))
        families, names = families_of(self, raw)
        labels = raw.values[:, [families[name].is_label for name in names]]
        has_label = (~np.isnan(labels)).any(axis=1)
        held_out, kept = self._split(np.flatnonzero(~anomalous), has_label, random_state)
        seeds = self._seeds(random_state)
        # All rows are checked, but those held out have no part in the columns' units.
        self._learn_to_encode(raw, kept, families, names)
        rows = FitRows(raw, self.table_, kept, held_out, anomalous, families, X, y)
        main, robust = self._recipes(len(anomalous), len(kept), has_judges=len(held_out) > 0)
        training = rows.training(max(each.max_steps * each.batch_size for _, _, each in main))
        main = self._trainees(main, families, training.fitted, seeds.model)
        robust = self._trainees(robust, families, training.fitted, seeds.robust_model)
        examples = tensors(training.fitted.take(slice(_REFERENCE_ROWS)), "cpu", torch.float64)
        for each in [*main, *robust]:  # models at hand have seen other rows
            each.model.likelihood.learn(*examples)
        self.draws_ = self._shared_draws([*main, *robust], seeds)
        self.optimizers_ = []
        n_parts = sum(n_tasks(each.recipe.max_steps) for each in main) + len(robust)
        progress = Progress(
            self._init_callback_context(max_subtasks=n_parts), estimator=self, X=X, y=y
        )
        on_device = training.tensors(device)
        as_if_ended = partial(self._as_if_ended, rows, training)
        trained = race(
            *(main, on_device, seeds.training, self.verbose, progress, as_if_ended, checkpoint)
        )
        for each in robust:
            run = partial(each.train, on_device, seeds.robust_training, checkpoint)
            trained.append(progress.run("robust member", run))
        outcome = self._outcome(trained, training, rows)
        vars(self).update(outcome)
        progress.end()
        return checkpoint

    def _partial_fit(self, X, y):
        check_settings(self)
        device = training_device(self)
        is_first = not self.__sklearn_is_fitted__()
        raw = self._read_to_fit(X, min_rows=2 if is_first else 1)
        anomalous = self._known_anomalies(y, len(raw.values), fewest=0, fewest_others=1)
        seeds = self._seeds(as_random_state(self.random_state))
        kept = np.flatnonzero(~anomalous)
        families, names = families_of(self, raw)
        self._learn_to_encode(raw, kept, families, names)
        rows = FitRows(raw, self.table_, kept, kept[:0], anomalous, families, None, None)
        main, robust = self._recipes(len(anomalous), len(kept), has_judges=False)
        training = rows.training(len(kept))
        trainees = self._trainees(main, families, training.fitted, seeds.model)
        trainees += self._trainees(robust, families, training.fitted, seeds.robust_model)
        if is_first:
            self.draws_ = self._shared_draws(trainees, seeds)
        states = getattr(self, "optimizers_", []) or [None] * len(trainees)
        parts = zip(trainees, (seeds.training, seeds.robust_training), states, strict=False)
        on_device = training.tensors(device)
        passed = [each.pass_over(on_device, seed, state) for each, seed, state in parts]
        outcome = self._outcome([trained for trained, _ in passed], training, rows)
        vars(self).update(outcome, optimizers_=[state for _, state in passed])

    def _as_if_ended(self, rows, training, trainee):
        """Fitted attributes as if training ended with the weights that a model has now."""
        copy = trainee._replace(model=deepcopy(trainee.model))
        trained = Trained(*copy, _NO_HISTORY, False)
        outcome = self._outcome([trained], training.unjudged(), rows._replace(X=None))
        return self._fitted() | outcome

    def _outcome(self, trained, training, rows):
        """Fitted attributes that a training leads to.

        Parameters
        ----------
        trained : list of Trained
            Candidates, and then the robust member if there is one.
        training : TrainingRows
            Its judges choose; the first candidate is kept where there are none.
        rows : FitRows
        """
        models = [at_rest(each.model) for each in trained]
        device = scoring_device(self)
        alone = [Density(self.table_, [(1.0, model)], self.draws_, device) for model in models]
        bounds = np.array([density.elbo(training.judges) for density in alone])
        before = {each.name: each.n_steps for each in getattr(self, "members_", [])}
        members, best = kept(trained, models, bounds, self.robust_weight, before)
        if trained[best].is_complete:
            check_convergence(trained[best].history)
        reference = training.fitted.take(slice(_REFERENCE_ROWS))
        return {
            "members_": members,
            "model_": models[best],
            "critic_": None if trained[best].critic is None else at_rest(trained[best].critic),
            "baseline_": -np.median(self._density(members).terms(reference), axis=0),
        } | self._continued(trained[best].history, training.fitted)

    def _continued(self, history, fitted):
        """History and steps with those of a training, in the columns' own units."""
        shift = by_chunk(
            lambda part: self.table_.log_jacobian(part.values).sum(axis=1), fitted
        ).mean()
        before, n_before = getattr(self, "history_", _NO_HISTORY), getattr(self, "n_steps_", 0)
        longer = {
            "step": before["step"] + [n_before + step for step in history["step"]],
            "train": before["train"] + [float(elbo + shift) for elbo in history["train"]],
            "validation": before["validation"]
            + [float(elbo + shift) for elbo in history["validation"]],
        }
        return {"history_": longer, "n_steps_": max(longer["step"], default=0)}

    def _known_anomalies(self, y, n, *, fewest, fewest_others):
        """Which of n rows y says are anomalies: none, for an estimator that ignores it."""
        return np.zeros(n, dtype=bool)

    def _learn_to_encode(self, raw, kept, families, names):
        """Learn how some rows of a table are encoded, where nothing is fitted.

        Parameters
        ----------
        raw : RawTable
        kept : ndarray or slice
            Rows of it that are learned from.
        families : dict of str to class
            Noise models by name.
        names : list of str
            That of each column.
        """
        if not self.__sklearn_is_fitted__():
            encoder = TableEncoder(
                {name: family.domain for name, family in families.items()},
                min_frequency=self.min_frequency,
                max_categories=self.max_categories,
                missing=self.missing,
            )
            self.table_ = encoder.fit(raw, names, kept, context_of(self, raw))
            warn_of_columns(self.table_)
            warn_of_keys(raw, self.likelihoods)
            self.architecture_ = self._architecture()
        warn_of_empty_rows(self.table_, raw)

    def _recipes(self, n_rows, n_fitted, has_judges):
        """Find the main recipes, of which one is kept, and the robust one if there is one.

        Where a training goes on they are those of the members at hand. Without rows that judge,
        the first stands for all.
        """
        recipe = self._recipe()
        if self.__sklearn_is_fitted__():
            kept = [
                (each.name, each.settings, recipe._replace(**each.settings).decided(n_fitted))
                for each in self.members_
                if each.model is not None
            ]
            return kept[:1], kept[1:]
        main = candidate_recipes(recipe, self.members, n_fitted)
        has_robust = self.robust_weight > 0 and n_rows >= _FEWEST_ROWS_TO_HOLD_OUT
        return main if has_judges else main[:1], [robust_recipe(recipe, n_fitted)] * has_robust

    def _trainees(self, recipes, families, fitted, seed):
        """Recipes with their models: copies of those at hand, or new ones."""
        if self.__sklearn_is_fitted__():
            models = {each.name: each.model for each in self.members_}
            return [
                Trainee(*each, deepcopy(models[each[0]]).requires_grad_(True).train(), self.critic_)
                for each in recipes
            ]
        blocks = [(families[name], columns) for name, columns in self.table_.blocks()]
        robust_blocks = [(family.robust or family, columns) for family, columns in blocks]
        blocks, robust_blocks = with_context(blocks), with_context(robust_blocks)
        examples = tensors(fitted.take(slice(_REFERENCE_ROWS)), "cpu", torch.float32)
        models = {}  # candidates that differ in how they are trained alone begin alike
        for name, _, recipe in recipes:
            if recipe.architecture() not in models:
                own = robust_blocks if name == ROBUST else blocks
                models[recipe.architecture()] = recipe.model(own, examples, seed)
        return [Trainee(*each, deepcopy(models[each[2].architecture()])) for each in recipes]

    def _shared_draws(self, trainees, seeds):
        """Noise for scores, wide enough for every model."""
        widest = max(each.noise_dim for each in trainees)
        return draws(self.n_draws, widest, seeds.draws)

    def _seeds(self, random_state):
        """Seeds of what is drawn next, other ones for each part of a training that goes on."""
        n_steps = getattr(self, "n_steps_", 0)
        seeds = _Seeds(*(seed_from(random_state) for _ in _Seeds._fields))
        return seeds._replace(
            training=seeds.training + n_steps, robust_training=seeds.robust_training + n_steps
        )

    def _split(self, rows, has_label, random_state):
        """Hold out some rows, and fit the others; both come in a random order.

        Rows without a label are held out first, but no more than half of these, which may be of
        a kind of their own.
        """
        n = len(rows)
        order = rows[random_state.permutation(n)]
        n_held_out = round(self.validation_fraction * n) if n >= _FEWEST_ROWS_TO_HOLD_OUT else 0
        n_held_out = min(n_held_out, n - 1)
        unlabelled = np.flatnonzero(~has_label[order])
        comes_first = np.isin(np.arange(n), unlabelled[: len(unlabelled) // 2])
        held_out = np.sort(np.argsort(~comes_first, kind="stable")[:n_held_out])
        return order[held_out], np.delete(order, held_out)
