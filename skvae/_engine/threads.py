"""How many threads work: one, unless operations are large enough to share.

Several threads wait for each other in a loop: beside another busy process that takes longer
than what they share out.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from threading import Lock, local

import torch
from threadpoolctl import threadpool_limits

__all__ = ["one_thread", "one_thread_of_blas", "threads_for"]


_SHARED_FROM = 2**26  # products of a step; with a quarter of them two threads are no faster


class _Shared:
    """A setting of the whole process, made by the first that asks and undone by the last."""

    def __init__(self, make: Callable[[], Callable[[], None]]):
        self._make, self._lock, self._n_users = make, Lock(), 0

    @contextmanager
    def __call__(self) -> Iterator[None]:
        with self._lock:
            if self._n_users == 0:
                self._undo = self._make()
            self._n_users += 1
        try:
            yield
        finally:
            with self._lock:
                self._n_users -= 1
                if self._n_users == 0:
                    self._undo()


class _OneThread:
    """Of torch, whose setting is of a thread; but threads begin at what was set last anywhere.

    Those that begin meanwhile must neither keep the 1 nor take it for what there was.
    """

    def __init__(self) -> None:
        self._lock, self._here = Lock(), local()
        self._before = [0]  # the last is what torch had before; 0 for unknown

    @contextmanager
    def __call__(self) -> Iterator[int]:
        is_inside = getattr(self._here, "is_inside", False)
        with self._lock:
            n_threads = self._before[-1] or torch.get_num_threads()
            self._before.append(n_threads)
            torch.set_num_threads(1)
        self._here.is_inside = True
        try:
            yield 1 if getattr(self._here, "is_alone", False) else n_threads
        finally:
            self._here.is_inside = is_inside
            with self._lock:
                self._before.pop()
                torch.set_num_threads(1 if is_inside else n_threads)

    @contextmanager
    def lifted(self) -> Iterator[None]:
        """As if nothing were limited here, but where this thread is to be alone."""
        if getattr(self._here, "is_alone", False):
            yield
            return
        is_inside, self._here.is_inside = getattr(self._here, "is_inside", False), False
        try:
            torch.set_num_threads(self._before[-1] or torch.get_num_threads())
            yield
        finally:
            self._here.is_inside = is_inside
            if is_inside:
                torch.set_num_threads(1)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Give no more than this thread to all that is done: others share out the processors."""
        was_alone = getattr(self._here, "is_alone", False)
        self._here.is_alone = True
        try:
            with self():
                yield
        finally:
            self._here.is_alone = was_alone


one_thread = _OneThread()
one_thread_of_blas = _Shared(lambda: threadpool_limits(1, user_api="blas").restore_original_limits)


def threads_for(n_products: int) -> AbstractContextManager[object]:
    """Let torch work on as many threads as it has where a step is large, else on one."""
    return one_thread.lifted() if n_products >= _SHARED_FROM else one_thread()
