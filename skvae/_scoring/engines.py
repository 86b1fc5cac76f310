"""Where parts are scored: in processes of this machine, or on the machines of a Ray cluster."""

import logging
import warnings
from concurrent.futures.process import BrokenProcessPool
from itertools import islice

from sklearn.utils.parallel import Parallel, delayed

from .._engine import one_thread
from .ledger import Outcome

__all__ = ["ENGINES"]


AHEAD = 4  # parts a processor that a cluster has been given and not finished
RETRIES = 3  # of a part whose machine or process was lost


def by_processes(function, parts, n_jobs, address):
    """Yield what a function makes of each part, in the order in which they are done.

    Parameters
    ----------
    function : callable, part -> outcome
    parts : iterable
        Asked for the next one when there is somebody to take it.
    n_jobs : int or None
        Processes, of one thread each if more than one; None for 1.
    address : None

    Raises
    ------
    ChildProcessError
        If a process was killed.
    ValueError
        If there is an address.
    """
    if address is not None:
        raise ValueError(f"The address {address} is for the engine 'ray', not 'processes'.")
    called = function if n_jobs in (1, None) else _Alone(function)
    workers = Parallel(n_jobs, prefer="processes", batch_size=1, return_as="generator_unordered")
    try:
        yield from workers(delayed(called)(part) for part in parts)
    except BrokenProcessPool as error:
        raise ChildProcessError(
            "A process was killed, as the system does where memory runs out. What is finished is "
            "kept: run it again, with fewer jobs or rows in a block."
        ) from error


class _Alone:
    """A function that is called on one thread."""

    def __init__(self, function):
        self._function = function

    def __call__(self, part):
        with one_thread.alone():
            return self._function(part)


def by_ray(function, parts, n_jobs, address):
    """As `by_processes`, on a cluster: that of the address, the one that runs here, or a new one.

    A part whose process or machine is lost is given to another.

    Parameters
    ----------
    function, parts
        As for `by_processes`.
    n_jobs : {1, None}
    address : str or None
        As ``ray.init`` takes it.

    Raises
    ------
    ConnectionError
        If there is no cluster at the address.
    ImportError
        If Ray is not installed.
    ValueError
        If another number of jobs is asked for.
    """
    if n_jobs not in (1, None):
        raise ValueError(
            f"{n_jobs} jobs are for the engine 'processes': Ray takes all processors of its "
            "cluster, as many as 'ray start --num-cpus' says."
        )
    ray = _ray()
    is_ours = not ray.is_initialized()
    if is_ours:
        _connect(ray, address)
    try:
        yield from _on_cluster(ray, function, parts)
    finally:
        if is_ours:
            ray.shutdown()


def _on_cluster(ray, function, parts):
    # One reference to all that they have in common, not a copy a part.
    call, function = _remote(ray), ray.put(_Alone(function))
    running, parts = {}, iter(parts)
    while True:
        n_processors = int(ray.cluster_resources().get("CPU", 1))  # of those that are there now
        new = list(islice(parts, max(0, AHEAD * n_processors - len(running))))
        running |= {call.remote(function, part): part for part in new}
        if not running:
            return
        done, _ = ray.wait(list(running), timeout=5)  # or it would not see who joins meanwhile
        yield from [_outcome(ray, task, running.pop(task)) for task in done]


def _remote(ray):
    @ray.remote(num_cpus=1, max_retries=RETRIES)
    def call(function, part):
        return function(part)

    return call


def _outcome(ray, task, part):
    try:
        return ray.get(task)
    except ray.exceptions.RayTaskError as error:  # the function's own
        raise error.cause from error
    except ray.exceptions.RayError as error:
        lost = f"{part.path}: its process or machine was lost {RETRIES + 1} times: {error}"
        return Outcome(part.name, error=lost)


def _connect(ray, address):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what is to change in Ray
        try:
            ray.init(address, log_to_driver=False, logging_level=logging.ERROR)
        except ConnectionError as error:
            raise ConnectionError(f"There is no Ray cluster at {address}: {error}") from error


def _ray():
    try:
        import ray
    except ImportError as error:
        raise ImportError("The engine 'ray' needs it: pip install 'skvae[ray]'") from error
    return ray


ENGINES = {"processes": by_processes, "ray": by_ray}
