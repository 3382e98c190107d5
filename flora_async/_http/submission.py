"""Track one paid start over its attempts, and decide when it is safe to send it again. No I/O.

FLORA's section "Idempotency" says what a key does; in production it suppresses a second run and is released when a
request fails, so sending again under the same key is safe once the previous attempt has ended.
"""

import math
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Final

from flora_async._http.responses import has_ended, is_transient, may_be_in_flight, may_have_acted
from flora_async._http.routes import Route
from flora_async.config import RetryPolicy
from flora_async.errors import DecodeError, FloraError, IdempotencyError, SubmissionUnknownError

# FLORA remembers a key for at least two hours. After that, the same key would start a second run, so that no attempt
# may arrive later; the margin is for inexact clocks and slow networks.
KEY_LIFETIME: Final = 7200.0
_KEY_MARGIN: Final = 300.0
# FLORA may still be working on an attempt whose end was not seen; after this many times `settle` it no longer is.
_UNSEEN_END: Final = 3.0
# How often a start in doubt is sent again at least, where `RetryPolicy.attempts` allows any repetition.
_MIN_ASKS: Final = 3


class Submission:
    """One start over all its attempts, under one key. All times are Unix seconds.

    Args:
        idempotency_key: What every attempt carries.
        policy: How it may be repeated.
        route: Says whether it costs money, and whether FLORA honors the key.
        target: What is started, for the error.
        since: When an earlier process first sent it, if one did and its outcome is not known; not finite = unknown.

    Attributes:
        idempotency_key: As given.
        in_doubt: Whether an attempt may have been carried out, although no answer says so.
        proven: Whether FLORA has said that an attempt was carried out.
        since: When the first attempt that may have been carried out was sent; None = no attempt may have.
        until: When the last such attempt ended, as far as is known.
    """

    def __init__(  # noqa: PLR0913 - what is known of a start
        self,
        *,
        idempotency_key: str,
        policy: RetryPolicy,
        route: Route,
        target: str | None = None,
        since: float | None = None,
        now: float = math.nan,
    ) -> None:
        self.idempotency_key = idempotency_key
        self.target = target
        self.in_doubt = since is not None
        self.proven = False
        self.since = since
        self.until = None if since is None else now
        # Where two attempts at once cost nothing, a repetition need not wait.
        self._settle = policy.settle if route.spends else 0.0
        self._honors_key = route.honors_key
        self._attempts = policy.attempts
        self._resolves = policy.resolve and route.spends
        self._number = 0
        self._doubt_began_with = 0 if since is not None else None
        self._time: Callable[[], float] = lambda: now
        self._attempt_began = now
        self._is_sent = False
        self._is_resumed = since is not None
        # An attempt whose end nobody saw may be carried out as late as FLORA says that it was.
        self._has_unseen_end = self._is_resumed

    @property
    def expires_at(self) -> float:
        """When the last attempt may be sent: before FLORA may forget the key of one that may have been carried out."""
        if not self.in_doubt or self.since is None:
            return math.inf
        if self._is_resumed and self._settle is None:
            return -math.inf
        # A time in the future, or one that is not known, is an unknown age: the key may be forgotten already.
        if not self.since <= self._attempt_began:
            return -math.inf
        return self.since + KEY_LIFETIME - _KEY_MARGIN

    def time_left(self, now: float) -> float:
        """The seconds in which an attempt may still be sent; infinite while nothing is in doubt.

        Raises:
            SubmissionUnknownError: There are none.
        """
        left = self.expires_at - now
        if left <= 0:
            raise self.unknown()
        return left

    @contextmanager
    def attempt(self, time: Callable[[], float]) -> Generator[None, None, None]:
        """Make one attempt inside the `with`, and learn from how it ends.

        Args:
            time: Returns the Unix time.
        """
        self._number += 1
        self._time = time
        self._attempt_began = time()
        self._is_sent = False
        if not self.in_doubt:
            self.since = self._attempt_began
        try:
            yield
        except FloraError as error:
            if isinstance(error, IdempotencyError) and self.in_doubt:
                self._was_carried_out(time())
            elif may_have_acted(error):
                self._has_unseen_end = self._has_unseen_end or may_be_in_flight(error)
                self._ended_in_doubt(time())
            raise
        except BaseException:
            self._ended_in_doubt(time())
            raise

    def sent(self) -> None:
        """Record that the attempt is on its way: from now on it may be carried out."""
        self._is_sent = True
        # The attempt may have waited for a rate limit or a connection until now.
        self._attempt_began = self._time()
        if not self.in_doubt:
            self.since = self._attempt_began

    def _was_carried_out(self, now: float) -> None:
        if self._has_unseen_end and not self.proven:
            self.until = now
        self.proven = True

    def _ended_in_doubt(self, now: float) -> None:
        if self._is_sent:
            self.in_doubt, self.until = True, now
            if self._doubt_began_with is None:
                self._doubt_began_with = self._number

    def may_repeat(self, error: FloraError) -> bool:
        """Whether another attempt can be made, once `pause` has passed."""
        if not (is_transient(error) or (self._resolves and isinstance(error, DecodeError))):
            return False
        if self.in_doubt and not self._honors_key:
            return False
        if self._settle is None and may_have_acted(error) and _has_unseen_end(error):
            return False
        return self._number < self._max_attempts

    def pause(self, error: FloraError, now: float) -> float:
        """The seconds that have to pass before another attempt."""
        if self._settle is None or not may_have_acted(error) or not _has_unseen_end(error):
            return 0.0
        if may_be_in_flight(error):
            return max(_UNSEEN_END * self._settle - (now - self._attempt_began), 0.0)
        return self._settle

    def first_pause(self, now: float) -> float:
        """The seconds that have to pass before the first attempt: what is left of those since an earlier process's."""
        if not self.in_doubt or self.since is None or self._settle is None or self.expires_at <= now:
            return 0.0
        return min(max(self.since + self._settle - now, 0.0), self._settle)

    def verdict(self, error: Exception) -> Exception:
        """Return what to raise after the last attempt: the error itself, or that the outcome is unknown."""
        if isinstance(error, SubmissionUnknownError) or not (self.in_doubt or self.proven):
            return error
        unknown = self.unknown()
        if isinstance(error, FloraError):
            unknown.request_id, unknown.run = error.request_id, error.run
        unknown.__cause__ = error
        return unknown

    def unknown(self) -> SubmissionUnknownError:
        """Build the error that says what is known of this start."""
        return SubmissionUnknownError(
            idempotency_key=self.idempotency_key,
            technique_id=self.target,
            since=_moment(self.since),
            until=None if self.until is None else _moment(self.until),
            proven=self.proven,
        )

    @property
    def _max_attempts(self) -> float:
        if self._attempts is None:
            return math.inf
        if self._doubt_began_with is None or not self._resolves or self._attempts == 1:
            return self._attempts
        return max(self._attempts, self._doubt_began_with + _MIN_ASKS)


def _has_unseen_end(error: FloraError) -> bool:
    """Whether FLORA may still be working on an attempt: it has not answered, or a gateway stopped waiting for it."""
    return may_be_in_flight(error) or not has_ended(error)


def _moment(seconds: float | None) -> datetime:
    try:
        return datetime.fromtimestamp(math.nan if seconds is None else seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return datetime.fromtimestamp(0, UTC)
