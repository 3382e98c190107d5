"""Limit how many runs are under way at once: fewer after a 429, then gradually more (AIMD, as in RFC 5681)."""

from typing import Final

from flora_async._clock import Clock
from flora_async.batch.results import Tally

# The limit grows by a sixteenth of the ceiling after each second without a 429, so it recovers in 16 s at any ceiling.
_QUIET: Final = 1.0
_STEPS: Final = 16


class Limiter:
    """A limit that is halved by a 429 and grows by a sixteenth of its ceiling with each quiet second.

    Args:
        ceiling: The most runs at once.
        clock: Time.
    """

    __slots__ = ("_ceiling", "_clock", "_grown_at", "_limit", "_step")

    def __init__(self, ceiling: int, clock: Clock) -> None:
        self._ceiling = ceiling
        self._clock = clock
        self._limit = ceiling
        self._step = max(ceiling // _STEPS, 1)
        self._grown_at = clock.monotonic()

    @property
    def limit(self) -> int:
        """The current limit."""
        quiet = int((self._clock.monotonic() - self._grown_at) / _QUIET)
        if quiet > 0:
            self._limit = min(self._limit + quiet * self._step, self._ceiling)
            self._grown_at += quiet * _QUIET
        return self._limit

    def cut(self, pause: float) -> None:
        """Halve the limit after a 429; further ones within its `pause` (seconds) change nothing."""
        now = self._clock.monotonic()
        if now >= self._grown_at:
            self._limit = max(self.limit // 2, 1)
            self._grown_at = now + pause

    def grows_in(self) -> float | None:
        """Seconds until the limit grows; None at the ceiling."""
        if self.limit == self._ceiling:
            return None
        return self._grown_at + _QUIET - self._clock.monotonic()


class TrafficCounter:
    """Counts the requests of a batch, and slows the batch down after a 429.

    Args:
        tally: Counts the requests.
        limiter: Limits the runs.
    """

    def __init__(self, tally: Tally, limiter: Limiter) -> None:
        self._tally = tally
        self._limiter = limiter

    def on_request(self, label: str) -> None:
        """Count a request."""
        self._tally.requests[label] += 1

    def on_rate_limit(self, pause: float) -> None:
        """Count a 429, and slow down."""
        self._tally.rate_limited += 1
        self._limiter.cut(pause)

    def on_overload(self) -> None:
        """Slow down, as a request timed out or was answered 502, 503 or 504."""
        self._limiter.cut(_QUIET)
