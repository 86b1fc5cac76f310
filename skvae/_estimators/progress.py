"""Progress of a fit: what scikit-learn's callbacks hear of it, and how they stop it.

Callbacks are part of scikit-learn from 1.9 on. With an older one nobody listens.
"""

import math
from typing import Self

__all__ = ["CallbackSupportMixin", "Progress", "n_tasks", "with_callbacks"]


N_TASKS = 50  # of a training, at whose ends callbacks hear of it


class NoCallbacks:
    """Context of a task that no callback hears of."""

    def subcontext(self, task_name):
        """Return the context of a part of the task."""
        return self

    def call_on_fit_task_begin(self, **told):
        """Return the context."""
        return self

    def call_on_fit_task_end(self, **told):
        """Say that nobody stops the fit."""
        return False


try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:  # scikit-learn < 1.9

    def with_callbacks(method):
        """Return a method as it is."""
        return method

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Says that callbacks need a newer scikit-learn."""

        def set_callbacks(self, *callbacks: object) -> Self:
            """Take no callbacks.

            Parameters
            ----------
            *callbacks : object
                None at all, which is what scikit-learn passes on clones.

            Returns
            -------
            self : object

            Raises
            ------
            ImportError
                If there are any, for with this scikit-learn nobody would call them.
            """
            if callbacks:
                raise ImportError(
                    "Callbacks need scikit-learn 1.9 or newer: pip install -U scikit-learn. "
                    "With an older one verbose=1 shows a progress bar."
                )
            return self

        def _init_callback_context(self, max_subtasks=0):
            return NoCallbacks()


def n_tasks(n_steps):
    """Count the tasks of a candidate's `n_steps`."""
    return math.ceil(n_steps / _size(n_steps))


class Progress:
    """Tells callbacks of the parts of a fit as they begin and end.

    Parameters
    ----------
    context : sklearn.callback.CallbackContext
        Of the whole fit, with room for `n_tasks`.
    told : dict
        What every hook may ask for: the estimator, X and y.

    Attributes
    ----------
    is_stopped : bool
        Whether a callback has said stop.
    """

    def __init__(self, context, **told):
        self._context, self._told = context, told
        self._task, self.is_stopped = None, False
        context.call_on_fit_task_begin(**told)

    def steps(self, steps, fitted):
        """Count training steps, up to the end of a task at which a callback says stop.

        Parameters
        ----------
        steps : range of int
            Those that are left, up to the last.
        fitted : callable, () -> dict
            Fitted attributes that the estimator would have if training ended now; called
            if a callback asks for them.

        Yields
        ------
        step : int
        """
        for step in steps:
            if self._task is None:
                self._task = self._begin("steps")
            yield step
            if step % _size(steps.stop - 1) == 0 and self.end_steps(fitted):
                return

    def end_steps(self, fitted):
        """End the task that the last step belongs to; return whether a callback says stop."""
        if self._task is None:
            return False
        task, self._task = self._task, None
        stop = task.call_on_fit_task_end(**self._told, reconstruction_attributes=fitted)
        self.is_stopped = self.is_stopped or bool(stop)
        return stop

    def run(self, name, function):
        """Return what a function returns, called as one task."""
        task = self._begin(name)
        result = function()
        task.call_on_fit_task_end(**self._told)
        return result

    def end(self):
        """End the fit."""
        self._context.call_on_fit_task_end(**self._told, reconstruction_attributes={})

    def _begin(self, name):
        return self._context.subcontext(task_name=name).call_on_fit_task_begin(**self._told)


def _size(n_steps):
    """Give the steps of a task."""
    return math.ceil(n_steps / N_TASKS)
