"""Candidates in training: each by its first steps, and by the others the one that then leads."""

import math
from functools import partial
from itertools import islice

__all__ = ["race"]

HEAT = 0.25  # share of its steps by which a candidate is compared to the others


def race(candidates, rows, seed, verbose, progress, as_if_ended, checkpoint):
    """Train candidates, until a callback or Ctrl-C ends it.

    Parameters
    ----------
    candidates : list of Trainee
    rows : TrainingRows
        Of tensors; its judges compare.
    seed : int
    verbose : int
    progress : Progress
    as_if_ended : callable
        Of a trainee: fitted attributes as if training ended with the weights that it has.
    checkpoint : Checkpoint or NoCheckpoint
        From which trainings go on, and where their states are kept.

    Returns
    -------
    trained : list of Trained
        Of the candidates that were begun.
    """
    runs, share = [], HEAT if len(candidates) > 1 else 1.0
    for each in candidates:
        training = each.begin(rows, seed, verbose)
        checkpoint.restore(each.name, training)
        runs.append(_Run(each, training, progress, partial(as_if_ended, each), checkpoint))
        if not runs[-1].go_on(math.ceil(share * each.recipe.max_steps)):
            break
    else:
        leader = max(runs, key=lambda run: run.training.held_out_elbo)
        leader.go_on(leader.trainee.recipe.max_steps)
    return [run.trainee.end(run.training, rows, seed, checkpoint) for run in runs]


class _Run:
    """A candidate in training, of whose steps callbacks hear."""

    def __init__(self, trainee, training, progress, ended, checkpoint):
        self.trainee, self.training = trainee, training
        self._progress, self._ended, self._checkpoint = progress, ended, checkpoint
        self._steps = progress.steps(training.steps(), ended)

    def go_on(self, until):
        """Train up to a step; return whether anything may follow."""
        steps = islice(self._steps, max(0, until - self.training.n_steps))
        self._checkpoint.run(self.trainee.name, self.training, steps)
        self._progress.end_steps(self._ended)
        return not (self._progress.is_stopped or self.training.is_interrupted)
