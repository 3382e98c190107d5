"""Time, sleep and randomness as one parameter, so that waiting can be tested without waiting."""

import asyncio
import random
import time
from typing import Protocol


class Clock(Protocol):
    """What waiting needs from the world. All times are in seconds.

    `FloraSession` uses the real one; `flora_async.testing.VirtualClock` is one whose sleeps take no time.
    """

    def monotonic(self) -> float:
        """Seconds on a clock that never goes back; deadlines are measured on it."""
        ...

    def time(self) -> float:
        """Unix time in seconds; HTTP dates are compared with it."""
        ...

    def random(self) -> float:
        """A number in `[0, 1)`; jitter is drawn from it."""
        ...

    async def sleep(self, seconds: float, /) -> None:
        """Return after `seconds`, or raise at once when cancelled."""
        ...


class SystemClock:
    """The machine's own clock and the event loop's own sleep."""

    __slots__ = ()

    monotonic = staticmethod(time.monotonic)
    time = staticmethod(time.time)
    random = staticmethod(random.random)
    sleep = staticmethod(asyncio.sleep)


SYSTEM_CLOCK = SystemClock()
