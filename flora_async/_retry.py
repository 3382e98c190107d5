"""When to try again, and how long to wait; the only importer of tenacity.

A request that succeeds at once never enters tenacity: with thousands of polls that is what keeps a poll cheap.
"""

import logging
import math
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar, cast

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt, stop_never

from flora_async._clock import Clock
from flora_async.config import PollPolicy, RetryPolicy
from flora_async.errors import APIStatusError, FloraError, RateLimitError

logger = logging.getLogger("flora_async")

ResultT = TypeVar("ResultT")

# Those who waited for one moment leave within a quarter of the pause after it, not all in one burst.
_SPREAD: Final = 0.25
# Doubling is cut off here only because a float ends somewhere: 0.5 s doubled 60 times is older than the universe.
_MOST_DOUBLINGS: Final = 60
# A pause of 0 s would stay 0 s however often it is multiplied, and ask without end.
_LEAST_GROWN_PAUSE: Final = 0.1


class RateGate:
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
            self._spread = seconds * _SPREAD

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


class Retrier:
    """Calls again what failed for a reason that may pass, as a `RetryPolicy` says.

    Args:
        policy: How often and with which waits.
        clock: Time, sleep and randomness.
    """

    __slots__ = ("_clock", "_policy")

    def __init__(self, policy: RetryPolicy, clock: Clock) -> None:
        self._policy = policy
        self._clock = clock

    async def call(
        self,
        attempt: Callable[[], Awaitable[ResultT]],
        *,
        retry_if: Callable[[FloraError], bool],
        name: str,
        least: Callable[[FloraError], float] = lambda _: 0.0,
    ) -> ResultT:
        """The first success of `attempt`, or the last error.

        Args:
            attempt: One try; each call of it is one request.
            retry_if: Whether an error allows another try.
            name: Method and path, for the log.
            least: The shortest wait after an error, in seconds.

        Raises:
            FloraError: The error of the last attempt.
        """
        try:
            return await attempt()
        except FloraError as error:
            if self._policy.attempts == 1 or not retry_if(error):
                raise
            first = error
        first_failure: list[FloraError] = [first]
        del first

        async def replay_then_attempt() -> ResultT:
            # tenacity is entered only now; it is shown the attempt that has failed, so that its count is true.
            if first_failure:
                raise first_failure.pop()
            return await attempt()

        attempts = self._policy.attempts
        return await AsyncRetrying(
            sleep=self._clock.sleep,
            stop=stop_never if attempts is None else stop_after_attempt(attempts),
            wait=lambda state: max(self._pause(state), least(_failure(state))),
            retry=retry_if_exception(lambda error: isinstance(error, FloraError) and retry_if(error)),
            before_sleep=lambda state: _log_pause(name, state),
            reraise=True,
        )(replay_then_attempt)

    def _pause(self, state: RetryCallState) -> float:
        doublings = min(state.attempt_number - 1, _MOST_DOUBLINGS)
        longest = self._policy.initial * 2.0**doublings
        if self._policy.maximum is not None:
            longest = min(longest, self._policy.maximum)
        pause = longest * self._clock.random()
        error = _failure(state)
        # What a 429 asks for is the gate's business, as it holds for every request of the session.
        if isinstance(error, APIStatusError) and not isinstance(error, RateLimitError) and error.retry_after:
            return error.retry_after + min(pause, error.retry_after * _SPREAD)
        return pause


def _failure(state: RetryCallState) -> FloraError:
    """Why another attempt is made: it is asked for only once an error of ours has been found worth one."""
    return cast("FloraError", state.outcome.exception() if state.outcome else None)


def _log_pause(name: str, state: RetryCallState) -> None:
    error = _failure(state)
    logger.info(
        "%s failed with %s on attempt %d; next attempt in %.2f s (request id %s)",
        name,
        outcome(error),
        state.attempt_number,
        state.upcoming_sleep,
        error.request_id,
    )


def outcome(error: FloraError) -> str:
    """What the log calls an error: the status when there is one, else its kind."""
    return str(error.status) if isinstance(error, APIStatusError) else type(error).__name__


class PollSchedule:
    """The pauses between looks at one run: growing from `initial` to `maximum`, jittered.

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
        """Seconds until the next look."""
        policy = self._policy
        pause = self._pause if policy.maximum is None else min(self._pause, policy.maximum)
        self._pause = max(pause * policy.multiplier, _LEAST_GROWN_PAUSE if pause == 0 else 0.0)
        return pause * (1.0 + policy.jitter * (2.0 * self._clock.random() - 1.0))
