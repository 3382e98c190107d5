"""The deadline of a call, for everything that is requested on its behalf before the start that it is about."""

import math
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

_DEADLINE: Final = ContextVar("flora_async_deadline", default=math.inf)


def current_deadline() -> float:
    """The deadline that holds here, in seconds of the monotonic clock."""
    return _DEADLINE.get()


@contextmanager
def until(deadline: float) -> Generator[None, None, None]:
    """Let no request or pause inside the `with` last longer than `deadline`, in seconds of the monotonic clock."""
    token = _DEADLINE.set(min(deadline, _DEADLINE.get()))
    try:
        yield
    finally:
        _DEADLINE.reset(token)
