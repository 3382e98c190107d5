"""Decide when to retry a request, and how long to wait; the only importer of tenacity.

A request that succeeds at once never enters tenacity, which keeps reads cheap.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar, cast

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt, stop_never

from flora_async._clock import Clock
from flora_async.config import RetryPolicy
from flora_async.errors import APIStatusError, FloraError, RateLimitError

logger = logging.getLogger("flora_async")

ResultT = TypeVar("ResultT")

# Limits the doubling of a pause only because floats are limited: 0.5 s doubled 60 times is 18 billion years.
_MAX_DOUBLINGS: Final = 60
# Requests that were asked to wait for the same moment are spread over a quarter of the pause after it.
_SPREAD: Final = 0.25


class Retrier:
    """Retries what failed for a reason that may be temporary, as a `RetryPolicy` says.

    Args:
        policy: How often and with which waits.
        clock: Time, sleep and randomness.
    """

    __slots__ = ("_clock", "_policy")

    def __init__(self, policy: RetryPolicy, clock: Clock) -> None:
        self._policy = policy
        self._clock = clock

    async def call(  # noqa: PLR0913 - each keyword is one rule about repeating
        self,
        attempt: Callable[[], Awaitable[ResultT]],
        *,
        retry_if: Callable[[FloraError], bool],
        name: object,
        min_pause: Callable[[FloraError], float] = lambda _: 0.0,
        may_pause: Callable[[float], bool] = lambda _: True,
        limited: bool = True,
        on_retry: Callable[[FloraError, int, float], None] | None = None,
    ) -> ResultT:
        """Call `attempt` until it succeeds, or raise its last error.

        Args:
            attempt: One try; each call of it is one request.
            retry_if: Whether to try again after an error.
            name: What is retried, for the log.
            min_pause: The shortest wait after an error, in seconds.
            may_pause: Whether there is time for a wait of that many seconds.
            limited: Whether the policy's `attempts` are a limit; if not, `retry_if` alone decides.
            on_retry: Called before each pause, with the error, the number of the attempt and the seconds of the pause.

        Raises:
            FloraError: The error of the last attempt.
        """
        try:
            return await attempt()
        except FloraError as error:
            failed = [error]  # it is taken out again, so that no frame keeps it
        if (limited and self._policy.attempts == 1) or not retry_if(failed[0]):
            raise failed.pop()

        async def replay_then_attempt() -> ResultT:
            # tenacity is entered only now; the failed attempt is replayed so that its count is right.
            if failed:
                raise failed.pop()
            return await attempt()

        attempts = self._policy.attempts if limited else None
        enough = stop_never if attempts is None else stop_after_attempt(attempts)
        return await AsyncRetrying(
            sleep=self._clock.sleep,
            stop=lambda state: enough(state) or not may_pause(state.upcoming_sleep),
            wait=lambda state: max(self._pause(state), min_pause(_failure(state))),
            retry=retry_if_exception(lambda error: isinstance(error, FloraError) and retry_if(error)),
            before_sleep=lambda state: _report_pause(name, state, on_retry),
            reraise=True,
        )(replay_then_attempt)

    def _pause(self, state: RetryCallState) -> float:
        doublings = min(state.attempt_number - 1, _MAX_DOUBLINGS)
        max_pause = self._policy.initial * 2.0**doublings
        if self._policy.maximum is not None:
            max_pause = min(max_pause, self._policy.maximum)
        pause = max_pause * self._clock.random()
        error = _failure(state)
        # The pause that a 429 asks for holds for every request of the session: the rate limit gate keeps it.
        if isinstance(error, APIStatusError) and not isinstance(error, RateLimitError) and error.retry_after:
            return error.retry_after + min(pause, error.retry_after * _SPREAD)
        return pause


def _failure(state: RetryCallState) -> FloraError:
    """The error that is retried, which `retry` has found to be ours."""
    return cast("FloraError", state.outcome.exception() if state.outcome else None)


def _report_pause(
    name: object, state: RetryCallState, on_retry: Callable[[FloraError, int, float], None] | None
) -> None:
    error = _failure(state)
    logger.info(
        "%s failed with %s on attempt %d; next attempt in %.2f s (request id %s)",
        name,
        outcome(error),
        state.attempt_number,
        state.upcoming_sleep,
        error.request_id,
    )
    if on_retry is not None:
        on_retry(error, state.attempt_number, state.upcoming_sleep)


def outcome(error: FloraError) -> str:
    """Name an error in the log: by its status, or else by its class."""
    return str(error.status) if isinstance(error, APIStatusError) else type(error).__name__
