"""Time, sleep and randomness as one parameter, so that waiting can be tested without waiting."""

import asyncio
import random
import time
from collections.abc import Callable
from typing import Final, Protocol

_METHODS: Final = ("monotonic", "time", "random", "sleep")


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


def check_clock(clock: object) -> None:
    """Refuse what is not a clock.

    Raises:
        TypeError: A method is missing.
    """
    if isinstance(clock, type) or not all(callable(getattr(clock, name, None)) for name in _METHODS):
        raise TypeError(f"clock must have the methods {', '.join(_METHODS)}, as VirtualClock has, not {clock!r:.60}")


class SystemClock:
    """The machine's own clock and the event loop's own sleep."""

    __slots__ = ()

    monotonic = staticmethod(time.monotonic)
    time = staticmethod(time.time)
    random = staticmethod(random.random)
    sleep = staticmethod(asyncio.sleep)


SYSTEM_CLOCK = SystemClock()


def steady_time(clock: Clock) -> Callable[[], float]:
    """Unix time from now on, which runs at least as fast as the monotonic clock, even if the machine's is set back."""
    began, began_monotonic = clock.time(), clock.monotonic()
    return lambda: began + max(clock.time() - began, clock.monotonic() - began_monotonic)


async def sleep_or(clock: Clock, seconds: float, event: asyncio.Event) -> bool:
    """Sleep until `event` is set, for `seconds` at most, and say whether it is."""
    async with asyncio.TaskGroup() as group:
        asleep = group.create_task(clock.sleep(seconds))
        waiting = group.create_task(_wait(event))
        asleep.add_done_callback(lambda _: waiting.cancel())
        waiting.add_done_callback(lambda _: asleep.cancel())
    return event.is_set()


async def _wait(event: asyncio.Event) -> None:
    await event.wait()
