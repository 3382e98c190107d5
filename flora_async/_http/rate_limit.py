"""Pause every request of a session after a 429 for as long as FLORA asks."""

import math
from typing import Final

from flora_async._clock import Clock
from flora_async.errors import RateLimitError

# Requests that waited for the same moment are spread over a quarter of the pause after it.
SPREAD: Final = 0.25


class RateLimitGate:
    """Pauses every request of a session after a 429 for as long as FLORA asks.

    Args:
        clock: Time, sleep and randomness.

    Attributes:
        opens_at: Until when requests have to `wait`, in seconds of the monotonic clock; None = the gate is open.
        reason: The answer that closed the gate last.
    """

    __slots__ = ("_clock", "_spread", "opens_at", "reason")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.opens_at: float | None = None
        self.reason: RateLimitError | None = None
        self._spread = 0.0

    def close(self, seconds: float, reason: RateLimitError) -> None:
        """Close the gate for `seconds`, unless it is closed for longer already."""
        opens_at = self._clock.monotonic() + seconds
        if seconds > 0 and (self.opens_at is None or opens_at > self.opens_at):
            self.opens_at = opens_at
            self.reason = reason
            self._spread = seconds * SPREAD

    async def wait(self, deadline: float = math.inf) -> bool:
        """Return True once requests may be sent, or False if `deadline` (monotonic seconds) comes first."""
        while self.opens_at is not None:
            now = self._clock.monotonic()
            if now >= self.opens_at:
                self.opens_at = None
                break
            if self.opens_at > deadline:
                await self._clock.sleep(max(deadline - now, 0.0))
                return False
            leave_at = self.opens_at + self._spread * self._clock.random()
            await self._clock.sleep(min(leave_at, deadline) - now)
        return True
