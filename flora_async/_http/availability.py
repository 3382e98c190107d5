"""Notice that FLORA cannot be reached, and hold starts back until it can."""

import logging
import math
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from flora_async._clock import Clock
from flora_async.errors import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    DecodeError,
    FloraError,
)

logger = logging.getLogger("flora_async")

_OVERLOADED: Final = frozenset({502, 503, 504})
# One refused connection can be chance. A gateway's error means less: a single start can get four of them.
_MAX_UNSENT: Final = 2
_MAX_FAILURES: Final = 8
# An answer that takes this many seconds tells the time well enough; a better one is kept for so long.
_QUICK: Final = 1.0
_MAX_DATE_AGE: Final = 600.0
_FIRST_PAUSE: Final = 0.5
_MAX_PAUSE: Final = 5.0


def is_overload(error: FloraError) -> bool:
    """Whether the error says that FLORA, or a gateway in front of it, has more requests than it can answer."""
    if isinstance(error, APIStatusError):
        return error.status in _OVERLOADED
    return isinstance(error, APITimeoutError) and error.sent


class Availability:
    """What a session knows about FLORA's server: whether it can be reached, and the time on its clock.

    Args:
        clock: Time, sleep and randomness.
        limit: Seconds for which starts are held back in an outage; None = no limit.
        probe: Sends a small request, whose outcome is reported here as that of every other.

    Attributes:
        down_since: Since when FLORA has been out of reach, in seconds of the monotonic clock; None = it can be reached.
        failures: How many attempts in a row have failed since FLORA last answered.
        date: The `Date` of a recent answer of FLORA's, this machine's Unix time then, and how many seconds the answer
            took; None = no answer yet.
    """

    __slots__ = ("_clock", "_is_probing", "_limit", "_probe", "_unsent", "date", "down_since", "failures")

    def __init__(self, clock: Clock, limit: float | None, probe: Callable[[], Awaitable[object]]) -> None:
        self._clock = clock
        self._limit = math.inf if limit is None else limit
        self._probe = probe
        self._unsent = 0
        self.down_since: float | None = None
        self._is_probing = False
        self.failures = 0
        self.date: tuple[str, float, float] | None = None

    def dated(self, date: str, now: float, seconds: float) -> None:
        """FLORA's answer had this `Date`; a slow answer tells the time less exactly than the one before it.

        Args:
            date: The header.
            now: This machine's Unix time.
            seconds: How long the answer took.
        """
        if self.date is None or seconds <= max(self.date[2], _QUICK) or not 0 <= now - self.date[1] <= _MAX_DATE_AGE:
            self.date = (date, now, seconds)

    def answered(self) -> None:
        """Record that FLORA answered."""
        self.failures = self._unsent = 0
        if self.down_since is not None:
            logger.info("FLORA can be reached again, after %.0f s", self._clock.monotonic() - self.down_since)
            self.down_since = None

    def failed(self, error: FloraError) -> None:
        """Record that an attempt ended with this error."""
        is_unsent = isinstance(error, APIConnectionError) and not error.sent
        if is_unsent or is_overload(error):
            self.failures += 1
            self._unsent = self._unsent + 1 if is_unsent else 0
            if self.down_since is None and (self._unsent >= _MAX_UNSENT or self.failures >= _MAX_FAILURES):
                self.down_since = self._clock.monotonic()
                logger.warning("FLORA cannot be reached; starts are held back for up to %.0f s: %s", self._limit, error)
        elif isinstance(error, APIStatusError | DecodeError):
            self.answered()

    async def wait(self, deadline: float, limit: float | None) -> None:
        """Return when FLORA can be reached, the outage has lasted for the limit, or `deadline` has come.

        Args:
            deadline: In seconds of the monotonic clock.
            limit: In seconds; None = there is none.

        Raises:
            SessionClosedError: The session was closed meanwhile.
        """
        pause = _FIRST_PAUSE
        while self.down_since is not None:
            left = min(self.down_since + (math.inf if limit is None else limit), deadline) - self._clock.monotonic()
            if left <= 0:
                return
            await self._clock.sleep(min(pause * (0.5 + self._clock.random() / 2), left))
            pause = min(pause * 2, _MAX_PAUSE)
            if self.down_since is not None and not self._is_probing:
                await self._send_probe()

    async def _send_probe(self) -> None:
        self._is_probing = True
        try:
            with suppress(APIConnectionError, APIStatusError, DecodeError):
                await self._probe()
        finally:
            self._is_probing = False
