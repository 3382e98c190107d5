"""Decide when to poll a run next."""

from typing import Final

from flora_async._clock import Clock
from flora_async.config import PollPolicy

# A pause of 0 s would stay 0 s however often it is multiplied, and polls would never stop.
_MIN_GROWN_PAUSE: Final = 0.1
# A wait for a connection of at least this many seconds lengthens the pauses, which then shrink again by the factor.
_MIN_QUEUE_TIME: Final = 0.5
_EASING: Final = 0.9


class PollSchedule:
    """The pauses between polls of one run: growing from `initial` to `maximum`, jittered.

    Where polls have to wait for a connection, the pauses grow until the connections suffice.

    Args:
        policy: The pauses and their jitter.
        clock: Its `random` is used.
    """

    __slots__ = ("_clock", "_pause", "_policy", "_stretched")

    def __init__(self, policy: PollPolicy, clock: Clock) -> None:
        self._policy = policy
        self._clock = clock
        self._pause = policy.initial
        self._stretched = 0.0

    def next(self, queue_time: float = 0.0) -> float:
        """Seconds until the next poll, given how long the last one waited for a connection."""
        policy = self._policy
        pause = self._pause if policy.maximum is None else min(self._pause, policy.maximum)
        self._pause = max(pause * policy.multiplier, _MIN_GROWN_PAUSE if pause == 0 else 0.0)
        pause *= 1.0 + policy.jitter * (2.0 * self._clock.random() - 1.0)
        if queue_time < _MIN_QUEUE_TIME and not self._stretched:
            return pause
        self._stretched = (max(self._stretched, pause) + queue_time) * _EASING
        if self._stretched <= pause:
            self._stretched = 0.0
        return max(self._stretched, pause)
