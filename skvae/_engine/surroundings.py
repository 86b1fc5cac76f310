"""Settings of torch and numpy as in a process where nobody has touched them, and one thread."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from typing import Any, TypeVar

import numpy as np
import torch

from .threads import one_thread

__all__ = ["untouched"]

Method = TypeVar("Method", bound=Callable[..., Any])


def untouched(method: Method) -> Method:
    """Let a method compute the same whatever is set around it.

    That is whether gradients are recorded, torch's default type and device, and what numpy
    does about overflow and the like. It has one thread, but for large steps and for blocks of
    rows: a process that was forked does not have those of torch, and waits for them for ever, as
    it does in large steps.
    """

    @wraps(method)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        with _default_settings():
            return method(*args, **kwargs)

    return wrapped  # type: ignore[return-value]


@contextmanager
def _default_settings() -> Iterator[None]:
    dtype = torch.get_default_dtype()
    with ExitStack() as stack:
        stack.enter_context(one_thread())
        stack.enter_context(np.errstate(all="warn", under="ignore"))
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        if torch.get_default_device().type != "cpu":  # a device as context slows every operation
            stack.enter_context(torch.device("cpu"))
        if dtype != torch.float32:  # of the whole process: not to be set for nothing
            stack.callback(torch.set_default_dtype, dtype)
            torch.set_default_dtype(torch.float32)
        yield
