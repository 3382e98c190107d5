"""The deadline of a call, which every request made on its behalf observes."""

import math
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

_DEADLINE: Final = ContextVar("flora_async_deadline", default=math.inf)


def current_deadline() -> float:
    """Return the deadline of the current call, in seconds of the monotonic clock."""
    return _DEADLINE.get()


@contextmanager
def until(deadline: float) -> Generator[None, None, None]:
    """Let no request or pause inside the `with` last longer than `deadline`, in seconds of the monotonic clock."""
    token = _DEADLINE.set(min(deadline, _DEADLINE.get()))
    try:
        yield
    finally:
        _DEADLINE.reset(token)
