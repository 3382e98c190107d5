"""Hold back every request of a session after a 429, until the time that FLORA named."""

import math
from typing import Final

from flora_async._clock import Clock

# Those who waited for one moment leave within a quarter of the pause after it, not all in one burst.
SPREAD: Final = 0.25


class RateLimitGate:
    """Holds back every request of a session from a 429 until the time that FLORA named.

    Args:
        clock: Time, sleep and randomness.
    """

    __slots__ = ("_clock", "_opens_at", "_spread")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._opens_at: float | None = None
        self._spread = 0.0

    @property
    def closed(self) -> bool:
        """Whether `wait` has to be asked."""
        return self._opens_at is not None

    def close(self, seconds: float) -> None:
        """Close for `seconds` from now, or leave it closed if it is for longer."""
        opens_at = self._clock.monotonic() + seconds
        if seconds > 0 and (self._opens_at is None or opens_at > self._opens_at):
            self._opens_at = opens_at
            self._spread = seconds * SPREAD

    async def wait(self, deadline: float = math.inf) -> bool:
        """Return True once requests may go out, or False when `deadline` (monotonic seconds) came first."""
        while self._opens_at is not None:
            now = self._clock.monotonic()
            if now >= self._opens_at:
                self._opens_at = None
                break
            if self._opens_at > deadline:
                await self._clock.sleep(max(deadline - now, 0.0))
                return False
            leave_at = self._opens_at + self._spread * self._clock.random()
            await self._clock.sleep(min(leave_at, deadline) - now)
        return True
