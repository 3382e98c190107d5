"""When to poll a run next."""

from typing import Final

from flora_async._clock import Clock
from flora_async.config import PollPolicy

# A pause of 0 s would stay 0 s however often it is multiplied, and poll without end.
_MIN_GROWN_PAUSE: Final = 0.1


class PollSchedule:
    """The pauses between polls of one run: growing from `initial` to `maximum`, jittered.

    Args:
        policy: The numbers.
        clock: For its randomness.
    """

    __slots__ = ("_clock", "_pause", "_policy")

    def __init__(self, policy: PollPolicy, clock: Clock) -> None:
        self._policy = policy
        self._clock = clock
        self._pause = policy.initial

    def next(self) -> float:
        """Seconds until the next poll."""
        policy = self._policy
        pause = self._pause if policy.maximum is None else min(self._pause, policy.maximum)
        self._pause = max(pause * policy.multiplier, _MIN_GROWN_PAUSE if pause == 0 else 0.0)
        return pause * (1.0 + policy.jitter * (2.0 * self._clock.random() - 1.0))
