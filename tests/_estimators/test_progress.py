"""Callbacks hear of a fit, see what it has learnt, and stop it."""

import importlib.util
import sys
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

import skvae
from skvae import VAEAnomalyDetector, VAETransformer
from skvae._estimators import progress as module
from skvae._estimators.progress import NoCallbacks, Progress, n_tasks

SMALL = {
    "hidden_layer_sizes": (16,),
    "prior": "standard_normal",
    "max_steps": 100,
    "random_state": 0,
    "members": [{}],
    "init": "random",
    "n_iter_no_change": None,
}


@pytest.fixture(scope="module")
def callback():
    return pytest.importorskip("sklearn.callback", reason="callbacks need scikit-learn 1.9")


class Listener:
    """Notes what it is told, and says stop at the end of some task."""

    max_propagation_depth = None

    def __init__(self, stop_at=None):
        self.stop_at = stop_at
        self.heard, self.depths = [], Counter()

    def setup(self, estimator, context):
        self.heard.append("setup")

    def teardown(self, estimator, context):
        self.heard.append("teardown")

    def on_fit_task_begin(self, estimator, context):
        self.heard.append(f"begin {context.task_name}")

    def on_fit_task_end(self, estimator, context):
        self.heard.append(f"end {context.task_name}")
        self.depths[context.task_name, depth(context)] += 1
        return (context.task_name, context.task_id) == ("steps", self.stop_at)


class Viewer(Listener):
    """Keeps the estimators that it is shown."""

    def on_fit_task_end(self, estimator, context, *, fitted_estimator):
        self.heard.append(fitted_estimator)


def depth(context):
    return 0 if context.parent is None else 1 + depth(context.parent)


def test_callbacks_hear_of_each_part_of_a_fit(callback, table):
    listener = Listener()
    VAEAnomalyDetector(**SMALL).set_callbacks(listener).fit(table)
    steps = ["begin steps", "end steps"] * 50
    robust = ["begin robust member", "end robust member"]
    assert listener.heard == [
        *("setup", "begin fit", *steps, *robust, "end fit", "teardown"),
    ]


def test_a_training_that_anneals_early_ends_its_last_part(callback, table):
    listener = Listener()
    model = VAEAnomalyDetector(**SMALL | {"max_steps": 1000, "learning_rate_init": 0.1})
    model.set_params(n_iter_no_change=1, robust_weight=0).set_callbacks(listener).fit(table)
    assert model.n_steps_ < 1000
    assert listener.heard.count("begin steps") == -(-model.n_steps_ // 20)
    assert listener.heard.count("end steps") == listener.heard.count("begin steps")


def test_callbacks_change_no_bit(callback, table):
    model = VAEAnomalyDetector(**SMALL)
    heard = clone(model).set_callbacks(Listener()).fit(table)
    np.testing.assert_array_equal(
        heard.decision_function(table), model.fit(table).decision_function(table)
    )


@pytest.mark.parametrize("estimator", [VAEAnomalyDetector, VAETransformer])
def test_callbacks_see_the_estimator_as_if_the_fit_had_ended(callback, table, estimator):
    viewer = Viewer()
    model = estimator(**SMALL, validation_fraction=0, robust_weight=0)
    model.set_callbacks(viewer).fit(table)
    seen = [shown for shown in viewer.heard if not isinstance(shown, str)]
    assert len(seen) == 51
    assert seen[0].score(table) < seen[20].score(table) < seen[50].score(table)
    last = seen[49]  # the fit ends with the weights of its last step
    assert vars(last).keys() >= {name for name in vars(model) if name.endswith("_")} - {
        *("history_", "n_steps_"),
    }
    np.testing.assert_array_equal(last.score_samples(table), model.score_samples(table))
    if estimator is VAEAnomalyDetector:
        np.testing.assert_array_equal(last.predict(table), model.predict(table))


@pytest.mark.filterwarnings("error::sklearn.exceptions.ConvergenceWarning")
def test_a_callback_stops_the_main_model_but_not_the_robust_one(callback, table):
    model = VAEAnomalyDetector(**SMALL).set_callbacks(Listener(stop_at=9)).fit(table)
    assert model.n_steps_ == model.history_["step"][-1] == 20
    whole = clone(model).set_callbacks().set_params(n_iter_no_change=None).fit(table)
    robust = [fitted.members_[1].model.state_dict() for fitted in (model, whole)]
    assert all((robust[0][name] == robust[1][name]).all() for name in robust[0])


def test_a_fit_that_fails_still_tears_callbacks_down(callback, table, monkeypatch):
    def fail(*args, **kwargs):
        raise RuntimeError("by design")

    listener = Listener()
    model = VAEAnomalyDetector(**SMALL).set_callbacks(listener)
    before = dict(vars(model))
    monkeypatch.setattr("skvae._engine.trainee.Training.run", fail)
    with pytest.raises(RuntimeError, match="by design"):
        model.fit(table)
    assert listener.heard == ["setup", "begin fit", "teardown"]
    assert vars(model) == before


def test_bars_nest_under_a_search(callback, table):
    listener = Listener()
    search = GridSearchCV(VAEAnomalyDetector(**SMALL), {"latent_dim": [1, 2]}, cv=2)
    search.set_callbacks(listener).fit(table)
    # The search > its candidates and folds > their steps; the refit is a level higher.
    assert listener.depths["steps", 3] == 2 * 2 * 50
    assert listener.depths["steps", 2] == 50
    assert listener.heard.count("setup") == listener.heard.count("teardown") == 1


def test_scoring_monitor_notes_a_score_for_each_part(callback, table):
    monitor = callback.ScoringMonitor(scoring={"elbo": lambda model, X, y: model.score(X)})
    model = VAEAnomalyDetector(**SMALL).set_callbacks(monitor)
    model.fit(table, np.ones(len(table)))  # without y the monitor notes nothing
    log = monitor.get_logs().data_as_pandas
    assert len(log) == 51
    assert log["elbo"][0] == model.score(table)  # of the whole fit
    assert log["elbo"][50] > log["elbo"][1]


def test_fits_that_calibrate_are_not_heard(callback, table):
    listener = Listener()
    VAEAnomalyDetector(**SMALL | {"max_steps": 2}, cv=2).set_callbacks(listener).fit(table)
    assert listener.heard.count("begin fit") == 1


def test_callbacks_are_not_saved(callback, table, tmp_path):
    model = VAETransformer(**SMALL).set_callbacks(Listener()).fit(table)
    skvae.save(model, tmp_path / "model.skvae")
    again = skvae.load(tmp_path / "model.skvae")
    np.testing.assert_array_equal(again.transform(table), model.transform(table))
    assert vars(model).keys() - vars(again).keys() == {"_skl_callbacks"}


def test_an_older_scikit_learn_has_no_callbacks(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.callback", None)
    spec = importlib.util.spec_from_file_location("older", module.__file__)
    older = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(older)
    estimator = older.CallbackSupportMixin()
    assert estimator.set_callbacks() is estimator
    with pytest.raises(ImportError, match=r"scikit-learn 1.9 .* verbose=1 shows"):
        estimator.set_callbacks(Listener())
    progress = older.Progress(estimator._init_callback_context(max_subtasks=51), X=None)
    assert list(progress.steps(range(1, 8), dict)) == [1, 2, 3, 4, 5, 6, 7]
    assert older.with_callbacks(len)([1]) == progress.run("robust member", lambda: 1)
    progress.end()


@pytest.mark.parametrize("n_steps", [1, 49, 50, 51, 300, 2000])
def test_parts_fit_into_the_room_for_them(n_steps):
    begun = []

    class Context(NoCallbacks):
        def subcontext(self, task_name):
            begun.append(task_name)
            return self

    progress = Progress(Context())
    assert list(progress.steps(range(1, n_steps + 1), dict)) == list(range(1, n_steps + 1))
    progress.run("robust member", dict)
    assert len(begun) == n_tasks(n_steps) + 1 <= 51


def test_the_history_is_a_table(table):
    model = VAETransformer(**SMALL).fit(table)
    history = pd.DataFrame(model.history_)
    assert list(history) == ["step", "train", "validation"]
    assert history["step"].is_monotonic_increasing
    assert history["step"].iloc[-1] == model.n_steps_
