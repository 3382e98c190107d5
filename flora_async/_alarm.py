"""Sleeping between looks at a run, and waking as soon as somebody hears that it has ended."""

import asyncio
from contextlib import AbstractContextManager, ExitStack
from typing import Final, Protocol

from flora_async._clock import Clock

# With somebody who tells of the end, looks are for the case that the news gets lost: seconds from one to the next.
_RARELY: Final = 60.0


class Wake(Protocol):
    """One who hears of the ends of runs, such as `flora_async.webhooks.WebhookReceiver`."""

    def expect(self, run_id: str) -> AbstractContextManager[asyncio.Event]:
        """An event that is set as soon as the run is known to have ended, at once if it is already."""
        ...


def check_wake(wake: object) -> None:
    """Refuse what cannot hear of runs, before anything is sent or spent.

    Raises:
        TypeError: It has no `expect`.
    """
    if wake is not None and not callable(getattr(wake, "expect", None)):
        raise TypeError(f"wake must be a WebhookReceiver, or have its method expect, not {wake!r:.60}")


class Alarm:
    """Sleeps between looks, and ends a sleep as soon as the run is heard to have ended.

    Args:
        wake: Who hears of it; None = nobody, so that every sleep is slept out.
        clock: Whose sleep it is.
    """

    __slots__ = ("_clock", "_is_heeded", "_open", "_rung", "_wake")

    def __init__(self, wake: Wake | None, clock: Clock) -> None:
        self._wake = wake
        self._clock = clock
        self._open = None if wake is None else ExitStack()
        self._rung: asyncio.Event | None = None
        self._is_heeded = False

    def set(self, name: str) -> None:
        """Expect news of this run, unless that is done already; a poll URL does not say which run it is about."""
        if self._wake is not None and self._open is not None and self._rung is None and "/" not in name:
            self._rung = self._open.enter_context(self._wake.expect(name))

    def stretched(self, pause: float) -> float:
        """The pause until the next look: a long one as long as news is expected."""
        return pause if self._wake is None or self._is_heeded or not pause else max(pause, _RARELY)

    async def sleep(self, seconds: float) -> None:
        """Sleep, or return at once when the run is heard to have ended; that is heeded once."""
        rung = self._rung
        if rung is None or self._is_heeded:
            await self._clock.sleep(seconds)
            return
        async with asyncio.TaskGroup() as group:
            asleep = group.create_task(self._clock.sleep(seconds))
            listening = group.create_task(_ring(rung))
            asleep.add_done_callback(lambda _: listening.cancel())
            listening.add_done_callback(lambda _: asleep.cancel())
        self._is_heeded = rung.is_set()

    def close(self) -> None:
        """Expect nothing any more."""
        if self._open is not None:
            self._open.close()


async def _ring(event: asyncio.Event) -> None:
    await event.wait()
