"""The rate limit of the local FLORA."""

import math
from collections import deque

import attrs

from flora_async._repr import ShortRepr
from flora_async.testing._checks import validate_finite_seconds
from flora_async.testing._wire.answers import Answer, error_answer


@attrs.frozen
class RateLimit(ShortRepr):
    """A hard rate limit: every request beyond it is answered with 429 `rate_limited`.

    It counts the requests to the API, whatever their operation, that were not themselves refused by it.

    Args:
        requests: How many requests are accepted within any period of `seconds`.
        seconds: The period, on the server's clock.
        retry_after: Whether the 429 has a `Retry-After` header, which has the seconds, to three decimal places, until
            the next request is accepted. FLORA sends one only sometimes.

    Raises:
        TypeError: `seconds` is not a number.
        ValueError: `requests` is less than 1, or `seconds` is negative, NaN or infinite.

    Example:
        >>> from flora_async.testing import FakeFlora, RateLimit
        >>> fake = FakeFlora(rate_limit=RateLimit(5, retry_after=False))
    """

    requests: int = attrs.field(validator=attrs.validators.ge(1))
    seconds: float = attrs.field(default=1.0, validator=validate_finite_seconds)
    retry_after: bool = attrs.field(default=True, kw_only=True)


class RateLimiter:
    """Counts the accepted requests of the last period."""

    def __init__(self, limit: RateLimit) -> None:
        self._limit = limit
        self._accepted: deque[float] = deque()

    def check(self, now: float) -> Answer | None:
        """Accept a request, or return the 429 for it."""
        while self._accepted and now - self._accepted[0] >= self._limit.seconds:
            self._accepted.popleft()
        if len(self._accepted) < self._limit.requests:
            self._accepted.append(now)
            return None
        answer = error_answer(429, "rate_limited", "Too many requests.")
        if not self._limit.retry_after:
            return answer
        remaining = self._accepted[0] + self._limit.seconds - now
        return answer.with_headers({"Retry-After": f"{math.ceil(remaining * 1000) / 1000:g}"})
