"""Checkpoints of a fit: a folder with the state of each of its trainings, to go on from.

A file is replaced once the next one is whole, and what the fit is of is written before any of them:
so a process may be killed at any moment.
"""

import json
import time
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from .plain import Reader, Writer

__all__ = ["Checkpoint", "NoCheckpoint"]

# Names of nobody else's files: what is there under them may be removed.
_FIT, _SUFFIX, _PARTIAL = "skvae-fit.json", ".skvae-state", ".skvae-partial"
_LARGEST_SHARE = 0.05  # of the time that may go into writing


class NoCheckpoint:
    """Of a fit of which nothing is kept."""

    def begin(self, random_state):
        """Return what a fit draws from."""
        return random_state

    def restore(self, name, training):
        """Leave a training at its start."""

    def run(self, name, training, steps):
        """Run a training."""
        training.run(steps)

    def remove(self):
        """Remove nothing."""


class Checkpoint(NoCheckpoint):
    """A folder in which the states of the trainings of one fit are kept.

    Parameters
    ----------
    path : str or path-like
        Folder, which is made if there is none.
    fit : dict of str to JSON value
        What the fit is of: parameters and data.

    Raises
    ------
    ValueError
        If the folder holds the checkpoint of another fit, or other files.
    """

    def __init__(self, path, fit):
        self._folder, self._fit = Path(path), fit
        self._kept = self._read_fit()
        self._is_interrupted = False
        self._begun, self._written = time.monotonic(), 0.0

    def begin(self, random_state):
        """Let what a fit draws from begin as it did when the checkpoint was begun.

        Parameters
        ----------
        random_state : RandomState

        Returns
        -------
        random_state : RandomState
            The same.
        """
        if self._kept is None:
            writer = Writer()
            state = writer.write(random_state.get_state(legacy=False), "random_state")
            numbers = {name: array.tolist() for name, array in writer.arrays.items()}
            self._kept = {"fit": self._fit, "random_state": state, "numbers": numbers}
            self._kept["is_ours"] = not self._folder.exists()
            self._folder.mkdir(exist_ok=True)
            self._replace(_FIT, json.dumps(self._kept).encode())
        else:
            numbers = self._kept["numbers"].items()
            arrays = {name: np.array(values, dtype=np.uint32) for name, values in numbers}
            random_state.set_state(Reader(arrays).read(self._kept["random_state"]))
        return random_state

    def restore(self, name, training):
        """Put a training where it was when its state was kept, if it was.

        Parameters
        ----------
        name : str
        training : Training
            At its start.

        Raises
        ------
        ValueError
            If the file is damaged.
        """
        path = self._folder / f"{name}{_SUFFIX}"
        if not path.exists():
            return
        try:
            with safe_open(path, "numpy") as file:
                arrays = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
                tree = json.loads(file.metadata()["state"])
            training.load_state(Reader(arrays).read(tree))
        except (SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
            raise ValueError(
                f"{path} is no state of this training, or damaged: {error}. Delete the folder."
            ) from error

    def run(self, name, training, steps):
        """Run a training, whose state is kept on the way.

        Parameters
        ----------
        name : str
        training : Training
        steps : iterable of int
            As `Training.run` takes them.
        """
        training.run(self._kept_on_the_way(name, training, steps))
        self._is_interrupted |= training.is_interrupted
        if training.is_judged and not training.is_interrupted:
            self._write(name, training)

    def remove(self):
        """Remove it, unless a training of it was interrupted and may go on.

        A folder that was there before stays, empty. What cannot be removed stays, too: the fit is
        done, and must not be lost for that.
        """
        if self._is_interrupted:
            return
        with suppress(OSError):
            for path in self._own():
                path.unlink(missing_ok=True)
            if self._kept["is_ours"]:
                self._folder.rmdir()

    def _kept_on_the_way(self, name, training, steps):
        for step in steps:
            yield step
            spent = time.monotonic() - self._begun
            if training.is_judged and self._written <= _LARGEST_SHARE * spent:
                self._write(name, training)

    def _write(self, name, training):
        begun, writer = time.monotonic(), Writer()
        tree = writer.write(training.state(), name)
        header = {"state": json.dumps(tree, allow_nan=False)}
        self._replace(f"{name}{_SUFFIX}", save(writer.arrays, header))
        self._written += time.monotonic() - begun

    def _replace(self, name, content):
        partial = self._folder / f"{uuid4().hex}{_PARTIAL}"
        try:
            partial.write_bytes(content)
            partial.replace(self._folder / name)
        except OSError as error:
            raise type(error)(error.errno, error.strerror, str(self._folder / name)) from error
        finally:
            partial.unlink(missing_ok=True)

    def _others(self):
        """Files but those of a writer that was killed before it had said what the fit is of."""
        return (path for path in self._folder.iterdir() if path.suffix != _PARTIAL)

    def _own(self):
        """Files that a checkpoint writes; what the fit is of goes last."""
        kept, partial = (self._folder.glob(f"*{suffix}") for suffix in (_SUFFIX, _PARTIAL))
        return [*kept, *partial, self._folder / _FIT]

    def _read_fit(self):
        """Read what the checkpoint in the folder is of; None where there is none yet."""
        path = self._folder / _FIT
        if not path.exists():
            if self._folder.exists() and any(self._others()):
                raise ValueError(f"{self._folder} is no checkpoint: it holds other files.")
            return None
        try:
            kept = json.loads(path.read_text())
            before = dict(kept["fit"])
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path} is damaged: {error}. Delete it.") from error
        for name, value in self._fit.items():
            if before.get(name) != value:
                raise ValueError(
                    f"The checkpoint in {self._folder} is of another fit: its {name} was "
                    f"{before.get(name)}, and is {value} now. Name another folder, or delete it."
                )
        return kept
