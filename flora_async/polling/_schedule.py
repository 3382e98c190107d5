"""Decide when to poll a run next."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from flora_async._checks import check_number
from flora_async._clock import Clock
from flora_async.config import PollPolicy
from flora_async.polling._plan import MIN_GROWN_PAUSE, backoff_of, plan_for
from flora_async.polling._run_times import RunTimes

if TYPE_CHECKING:
    from flora_async.polling._plan import Plan

# A wait for a connection of at least this many seconds lengthens the pauses, which then shrink again by the factor.
_MIN_QUEUE_TIME: Final = 0.5
_EASING: Final = 0.9


class PollSchedule:
    """The pauses between polls of one run: planned where enough is known of such runs, and else growing.

    Where polls have to wait for a connection, the pauses grow until the connections suffice.

    Args:
        policy: The schedule, its pauses and their jitter.
        clock: Its `random` is used.
        run_times: How long runs took.
        subject: What the run is a run of; None = it is not known.
    """

    __slots__ = ("_clock", "_pause", "_policy", "_polls", "_run_times", "_stretched", "_subject")

    def __init__(
        self, policy: PollPolicy, clock: Clock, run_times: RunTimes | None = None, subject: str | None = None
    ) -> None:
        self._policy = policy
        self._clock = clock
        self._run_times = run_times
        self._subject = subject
        self._pause = policy.initial
        self._polls = 0
        self._stretched = 0.0

    def first(self, age: float = 0.0, estimate: float = 0.0) -> float:
        """Seconds until the first poll of a run that was not seen to have ended.

        Args:
            age: The run's age, in seconds.
            estimate: FLORA's own estimate, before which the run is not polled unless more is known of such runs.
        """
        plan = self._plan()
        if plan is not None:
            return max(plan.pause(0.0, self._jitter()) - age, 0.0)
        return max(self.next(age), estimate)

    def next(self, age: float = 0.0, queue_time: float = 0.0, *, failed: bool = False) -> float:
        """Seconds until the next poll.

        Args:
            age: The run's age, in seconds.
            queue_time: How long the last poll waited for a connection, in seconds.
            failed: Whether the last poll was not answered, so that the next one is still due.

        Raises:
            TypeError: The caller's own schedule returned something other than a number.
            ValueError: It returned a number that is negative or not finite.
            Exception: Whatever the caller's own schedule raises.
        """
        policy, schedule = self._policy, self._policy.schedule
        if callable(schedule):
            pause = _own_pause(schedule, age, self._polls)
            self._polls += 1
        elif (plan := self._plan()) is not None:
            pause = plan.pause(age, self._jitter())
            if failed:
                pause = min(pause, backoff_of(policy).pause(age))
        else:
            pause = self._pause if policy.maximum is None else min(self._pause, policy.maximum)
            self._pause = max(pause * policy.multiplier, MIN_GROWN_PAUSE if pause == 0 else 0.0)
            pause *= 1.0 + self._jitter()
        return self._stretch(pause, queue_time)

    def _plan(self) -> "Plan | None":
        policy = self._policy
        if policy.schedule != "learned" or self._subject is None or self._run_times is None:
            return None
        known = self._run_times.known(self._subject)
        return None if known is None else plan_for(known, policy.initial, policy.multiplier, policy.maximum)

    def _jitter(self) -> float:
        return self._policy.jitter * (2.0 * self._clock.random() - 1.0)

    def _stretch(self, pause: float, queue_time: float) -> float:
        if queue_time < _MIN_QUEUE_TIME and not self._stretched:
            return pause
        self._stretched = (max(self._stretched, pause) + queue_time) * _EASING
        if self._stretched <= pause:
            self._stretched = 0.0
        return max(self._stretched, pause)


def _own_pause(schedule: Callable[[float, int], float], age: float, polls: int) -> float:
    """The seconds that the caller's own schedule returns."""
    pause = schedule(age, polls)
    check_number("the pause that PollPolicy.schedule returned", pause)
    return max(float(pause), MIN_GROWN_PAUSE)
