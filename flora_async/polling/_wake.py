"""Sleep between polls, and wake as soon as a webhook says that the run has ended."""

import asyncio
from contextlib import AbstractContextManager, ExitStack
from typing import Final, Protocol

from flora_async._clock import Clock, sleep_or

# Seconds between polls while a webhook is expected: they are only needed in case it gets lost.
_POLL_INTERVAL: Final = 60.0


class Wake(Protocol):
    """Learns when runs end, such as `flora_async.webhooks.WebhookReceiver`."""

    def expect(self, run_id: str) -> AbstractContextManager[asyncio.Event]:
        """An event that is set as soon as the run is known to have ended, at once if it already has."""
        ...


def check_wake(wake: object, callback_url: object = "") -> None:
    """Refuse an object that cannot be used as `wake`, before anything is sent or spent.

    Args:
        wake: What was passed.
        callback_url: Where FLORA delivers to, for a start.

    Raises:
        TypeError: It has no `expect`.
        ValueError: It was passed without a callback URL.
    """
    if wake is not None and not callable(getattr(wake, "expect", None)):
        raise TypeError(f"wake must be a WebhookReceiver, or have its method expect, not {wake!r:.60}")
    if wake is not None and callback_url is None:
        raise ValueError("wake needs callback_url: without it FLORA makes no delivery that could wake the wait")


class WakeableSleep:
    """Sleeps between polls, and ends a sleep as soon as the run is known to have ended.

    Args:
        wake: Learns when the run ends; None = every sleep lasts its whole time.
        clock: Measures the sleep.
    """

    __slots__ = ("_clock", "_event", "_has_woken", "_stack", "_wake")

    def __init__(self, wake: Wake | None, clock: Clock) -> None:
        self._wake = wake
        self._clock = clock
        self._stack = None if wake is None else ExitStack()
        self._event: asyncio.Event | None = None
        self._has_woken = False

    def expect(self, run_id: str) -> None:
        """Expect the end of this run, unless it is expected already or only its poll URL is known."""
        if self._wake is not None and self._stack is not None and self._event is None and "/" not in run_id:
            self._event = self._stack.enter_context(self._wake.expect(run_id))

    def stretch(self, pause: float) -> float:
        """The pause until the next poll: a long one while a webhook is expected."""
        return pause if self._wake is None or self._has_woken or not pause else max(pause, _POLL_INTERVAL)

    async def sleep(self, seconds: float) -> None:
        """Sleep, or return early, once, when the run is known to have ended."""
        event = self._event
        if event is None or self._has_woken:
            await self._clock.sleep(seconds)
            return
        self._has_woken = await sleep_or(self._clock, seconds, event)

    def close(self) -> None:
        """Stop expecting the run."""
        if self._stack is not None:
            self._stack.close()
