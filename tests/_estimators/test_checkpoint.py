"""A fit that was killed, and goes on from its checkpoint."""

import json
import multiprocessing
import signal
import time

import numpy as np
import pytest
from common import SMALL
from sklearn.base import clone

from skvae import VAEAnomalyDetector, VAEClusterer, VAETransformer
from skvae._engine import Checkpoint, training

STEPS = SMALL | {"max_steps": 60, "members": ["plain", "dense"], "robust_weight": 0.5}


@pytest.fixture(scope="module")
def small(holed):
    return holed[:120]


def weights(estimator):
    models = [each.model for each in estimator.members_ if each.model is not None]
    return [value for model in models for value in model.state_dict().values()]


def assert_same_fit(a, b):
    pairs = list(zip(weights(a), weights(b), strict=True))
    assert len(pairs) > 10
    assert all(np.array_equal(x, y) for x, y in pairs)
    assert a.history_ == b.history_
    assert np.array_equal(a.calibration_scores_, b.calibration_scores_)


class Killed(BaseException):
    """Stands for a signal that nothing handles."""


@pytest.fixture
def kill_at(monkeypatch):
    """Give a function that lets the process die after so many further steps of any training."""

    def kill_at(n_steps):
        take, left = training.Training._take, [n_steps]

        def _take(self, step):
            if left[0] == 0:
                raise Killed
            left[0] -= 1
            take(self, step)

        monkeypatch.setattr(training.Training, "_take", _take)
        return lambda: monkeypatch.setattr(training.Training, "_take", take)

    return kill_at


def interrupted(estimator, X, path, kill_at, n_steps, **told):
    undo = kill_at(n_steps)
    with pytest.raises(Killed):
        estimator.fit(X, checkpoint=path, **told)
    undo()
    assert not hasattr(estimator, "members_")


# In the first heat, in the second, in the leader's further steps, in the robust member, in a refit.
@pytest.mark.parametrize(
    ("settings", "n_steps"),
    [
        *(({}, n) for n in (1, 27, 58, 90)),
        ({"beta": 0.5, "members": ["plain"]}, 66),
        ({"prior": "vae", "prior_params": {"after": True}, "members": ["plain"]}, 66),
        ({"prior": "vamp", "posterior": "full", "members": ["plain"]}, 40),
        ({"capacity": 2.0, "divergence": "mmd", "members": ["plain"]}, 31),
        ({"divergence": "adversarial", "members": [{"max_steps": 20}], "robust_weight": 0.0}, 11),
    ],
)
def test_a_fit_goes_on_to_the_bit(settings, n_steps, small, tmp_path, kill_at):
    parameters = STEPS | {"n_iter_no_change": 3} | settings
    path = tmp_path / "checkpoint"
    interrupted(VAEAnomalyDetector(**parameters), small, path, kill_at, n_steps)
    resumed = VAEAnomalyDetector(**parameters).fit(small, checkpoint=path)
    assert_same_fit(resumed, VAEAnomalyDetector(**parameters).fit(small))
    assert not path.exists()


@pytest.mark.parametrize("experts", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_clusterer_goes_on_at_its_clusters(small, tmp_path, kill_at, experts):
    params = {"n_clusters": 3, "experts": experts, "members": ["plain"], "robust_weight": 0.0}
    model = VAEClusterer(**STEPS | params)
    interrupted(model, small, tmp_path / "c", kill_at, 70)
    resumed = clone(model).fit(small, checkpoint=tmp_path / "c")
    assert all(map(np.array_equal, weights(resumed), weights(clone(model).fit(small))))


def test_it_takes_the_steps_that_are_left(small, tmp_path, kill_at, monkeypatch):
    model = VAETransformer(**STEPS | {"members": ["plain"], "robust_weight": 0.0})
    interrupted(model, small, tmp_path / "c", kill_at, 40)
    taken, take = [], training.Training._take
    monkeypatch.setattr(
        training.Training, "_take", lambda self, step: (taken.append(step), take(self, step))
    )
    model.fit(small, checkpoint=tmp_path / "c")
    assert taken[-1] == 60
    assert 1 < taken[0] <= 41  # the state is not kept at every step


@pytest.mark.parametrize("random_state", [None, np.random.RandomState(3)])
def test_what_is_drawn_begins_as_it_did(random_state, small, tmp_path, kill_at):
    parameters = STEPS | {"random_state": random_state}
    before = VAETransformer(**parameters)
    interrupted(before, small, tmp_path / "c", kill_at, 70)
    kept = json.loads((tmp_path / "c" / "skvae-fit.json").read_text())
    drawn = np.random.RandomState()
    state = drawn.get_state(legacy=False)
    state["state"]["key"] = np.array(kept["numbers"]["0"], dtype=np.uint32)
    state["state"]["pos"] = dict(dict(kept["random_state"]["dict"])["state"]["dict"])["pos"]
    drawn.set_state(state)
    resumed = VAETransformer(**parameters).fit(small, checkpoint=tmp_path / "c")
    from_the_start = VAETransformer(**parameters | {"random_state": drawn}).fit(small)
    assert all(map(np.array_equal, weights(resumed), weights(from_the_start)))


def test_another_fit_is_refused_by_what_differs(small, tmp_path, kill_at):
    path = tmp_path / "c"
    model = VAEAnomalyDetector(**STEPS)
    interrupted(model, small, path, kill_at, 20)
    other = small.copy()
    other[7, 2] += 1e-9
    for X, settings, name in [
        (other, {}, "cells was"),
        (small[1:], {}, "number of rows was 120, and is 119 now"),
        (small, {"learning_rate_init": 0.25}, "learning_rate_init was .*, and is 0.25 now"),
    ]:
        refused = VAEAnomalyDetector(**STEPS | settings)
        with pytest.raises(ValueError, match=f"of another fit: its {name}"):
            refused.fit(X, checkpoint=path)
        assert not hasattr(refused, "members_")
    with pytest.raises(ValueError, match="its estimator was VAEAnomalyDetector, and is VAET"):
        VAETransformer(**STEPS).fit(small, checkpoint=path)
    model.set_params(verbose=0).fit(small, checkpoint=path)


def test_folders_that_are_no_checkpoint(small, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="is no checkpoint: it holds other files"):
        VAEAnomalyDetector(**STEPS).fit(small, checkpoint=tmp_path)
    with pytest.raises(NotADirectoryError):
        VAEAnomalyDetector(**STEPS).fit(small, checkpoint=tmp_path / "notes.txt")
    with pytest.raises(FileNotFoundError):
        VAEAnomalyDetector(**STEPS).fit(small, checkpoint=tmp_path / "none" / "c")
    assert (tmp_path / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("damage", [b"", b"{", b"\x10\0\0\0\0\0\0\0{}"])
def test_a_damaged_file_is_named(damage, small, tmp_path, kill_at):
    path = tmp_path / "c"
    interrupted(VAEAnomalyDetector(**STEPS), small, path, kill_at, 20)
    (path / "plain.skvae-state").write_bytes(damage)
    with pytest.raises(ValueError, match=r"plain\.skvae-state is no state of this training"):
        VAEAnomalyDetector(**STEPS).fit(small, checkpoint=path)
    (path / "skvae-fit.json").write_bytes(damage)
    with pytest.raises(ValueError, match=r"skvae-fit\.json is damaged"):
        VAEAnomalyDetector(**STEPS).fit(small, checkpoint=path)


def test_a_fit_that_is_interrupted_by_hand_may_go_on(small, tmp_path, monkeypatch):
    take = training.Training._take

    def _take(self, step):
        take(self, step)
        if step == 50:
            raise KeyboardInterrupt

    monkeypatch.setattr(training.Training, "_take", _take)
    parameters = STEPS | {"members": ["plain"]}
    with pytest.warns(UserWarning, match="interrupted at step 50 of 60"):
        VAEAnomalyDetector(**parameters).fit(small, checkpoint=tmp_path / "c")
    monkeypatch.setattr(training.Training, "_take", take)
    resumed = VAEAnomalyDetector(**parameters).fit(small, checkpoint=tmp_path / "c")
    assert_same_fit(resumed, VAEAnomalyDetector(**parameters).fit(small))


def test_writing_takes_a_twentieth_of_the_time(small, tmp_path, monkeypatch):
    clock, writes = [0.0], []
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])

    def _replace(self, name, content):
        clock[0] += 1.0
        writes.append(name)

    monkeypatch.setattr(Checkpoint, "_replace", _replace)
    take = training.Training._take

    def _take(self, step):
        clock[0] += 1.0
        take(self, step)

    monkeypatch.setattr(training.Training, "_take", _take)
    parameters = STEPS | {"members": ["plain"], "robust_weight": 0.0, "max_steps": 100}
    VAETransformer(**parameters).fit(small, checkpoint=tmp_path)
    assert 100 / 20 <= writes.count("plain.skvae-state") <= 100 / 20 + 3


def test_the_weights_do_not_tell_that_the_process_was_killed_ten_times(small, tmp_path):
    model, path = VAEAnomalyDetector(**STEPS | {"max_steps": 200}), tmp_path / "c"
    rng, n_killed = np.random.default_rng(0), 0
    for _ in range(10):
        process = multiprocessing.get_context("fork").Process(
            target=model.fit, args=(small,), kwargs={"checkpoint": path}
        )
        process.start()
        time.sleep(0.3 * rng.random())
        process.kill()
        process.join()
        n_killed += process.exitcode == -signal.SIGKILL
    assert n_killed >= 5
    assert_same_fit(model.fit(small, checkpoint=path), clone(model).fit(small))


def test_nothing_of_others_is_removed(small, tmp_path):
    mine = tmp_path / "models"
    mine.mkdir()
    (mine / "mine.safetensors").write_text("mine")
    with pytest.raises(ValueError, match="it holds other files"):
        VAETransformer(**STEPS).fit(small, checkpoint=mine)
    assert (mine / "mine.safetensors").read_text() == "mine"
    (mine / "mine.safetensors").unlink()
    (tmp_path / "link").symlink_to(mine)
    VAETransformer(**STEPS).fit(small, checkpoint=tmp_path / "link")
    assert list(mine.iterdir()) == []  # it was there before


def test_a_folder_that_cannot_be_removed_is_left(small, tmp_path, monkeypatch):
    def rmdir(self):
        raise OSError(16, "Device or resource busy")

    monkeypatch.setattr("pathlib.Path.rmdir", rmdir)
    assert hasattr(VAETransformer(**STEPS).fit(small, checkpoint=tmp_path / "c"), "members_")


def test_data_that_look_alike_are_told_apart(small, tmp_path, kill_at):
    rng = np.random.default_rng(0)
    big, other = (2**60 + rng.integers(0, 100, (120, 1)) for _ in range(2))
    settings = STEPS | {"likelihoods": "gaussian"}
    interrupted(VAETransformer(**settings), big, tmp_path / "a", kill_at, 20)
    with pytest.raises(ValueError, match="its cells was"):
        VAETransformer(**settings).fit(other, checkpoint=tmp_path / "a")
    warm = VAETransformer(**STEPS | {"warm_start": True})
    first, second = clone(warm).fit(small), clone(warm).fit(small + 1)
    undo = kill_at(20)
    with pytest.raises(Killed):
        first.fit(small, checkpoint=tmp_path / "b")
    undo()
    with pytest.raises(ValueError, match="its model before was"):
        second.fit(small, checkpoint=tmp_path / "b")
    first.fit(small, checkpoint=tmp_path / "b")


def test_another_generator_of_the_same_kind_goes_on(small, tmp_path, kill_at):
    parameters = STEPS | {"random_state": np.random.RandomState(3)}
    interrupted(VAETransformer(**parameters), small, tmp_path / "c", kill_at, 30)
    parameters["random_state"] = np.random.RandomState(4)
    resumed = VAETransformer(**parameters).fit(small, checkpoint=tmp_path / "c")
    parameters["random_state"] = np.random.RandomState(3)
    assert all(
        map(np.array_equal, weights(resumed), weights(VAETransformer(**parameters).fit(small)))
    )
