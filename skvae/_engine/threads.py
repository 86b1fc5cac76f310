"""How many threads work: one, unless operations are large enough to share.

Several threads wait for each other in a loop: beside another busy process that takes longer
than what they share out.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from threading import Lock, local

import torch
from threadpoolctl import threadpool_limits

__all__ = ["one_thread", "one_thread_of_blas", "threads_for"]


_SHARED_FROM = 2**26  # products of a step; with a quarter of them two threads are no faster


class _OfProcess:
    """What the threads of a process share: one that was forked has the thread that forked alone."""

    def __init__(self) -> None:
        self._lock, self._here = Lock(), local()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forget_others)

    @property
    def _depth(self) -> int:
        """How often this thread is inside."""
        return getattr(self._here, "depth", 0)

    def _forget_others(self) -> None:
        self._lock = Lock()  # another thread may have had it


class _Shared(_OfProcess):
    """A setting of the whole process, made by the first that asks and undone by the last."""

    def __init__(self, make: Callable[[], Callable[[], None]]):
        super().__init__()
        self._make, self._n_users = make, 0

    @contextmanager
    def __call__(self) -> Iterator[None]:
        with self._lock:
            if self._n_users == 0:
                self._undo = self._make()
            self._n_users += 1
        self._here.depth = self._depth + 1
        try:
            yield
        finally:
            self._here.depth -= 1
            with self._lock:
                self._n_users -= 1
                if self._n_users == 0:
                    self._undo()

    def _forget_others(self) -> None:
        super()._forget_others()
        if self._n_users > 0 and self._depth == 0:
            self._undo()
        self._n_users = self._depth


class _OneThread(_OfProcess):
    """Of torch, whose setting is of a thread; but threads begin at what was set last anywhere.

    Those that begin meanwhile must neither keep the 1 nor take it for what there was: a thread
    that has 1 while another is inside is taken for such.
    """

    def __init__(self) -> None:
        super().__init__()
        self._before = [0]  # the last is what torch had before; 0 for unknown

    @contextmanager
    def __call__(self) -> Iterator[int]:
        is_inside, own = getattr(self._here, "is_inside", False), torch.get_num_threads()
        with self._lock:
            n_threads = own if own > 1 else self._before[-1] or own
            self._before.append(n_threads)
            torch.set_num_threads(1)
        self._here.is_inside, self._here.depth = True, self._depth + 1
        try:
            yield 1 if getattr(self._here, "is_alone", False) else n_threads
        finally:
            self._here.is_inside, self._here.depth = is_inside, self._depth - 1
            with self._lock:
                self._before.pop()
                torch.set_num_threads(1 if is_inside else n_threads)

    def _forget_others(self) -> None:
        super()._forget_others()
        del self._before[1 + self._depth :]

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
