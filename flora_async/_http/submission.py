"""What is known of a paid start while it is under way: the rule that keeps it from being carried out twice. No I/O."""

from datetime import datetime
from typing import Final

from flora_async._http.responses import has_ended, is_transient, may_be_in_flight, may_have_acted
from flora_async.errors import APIConnectionError, ConflictError, FloraError, SubmissionUnknownError

_AN_EARLIER_ONE: Final = 2


class Submission:
    """One start over all its attempts, under one key.

    Args:
        idempotency_key: What every attempt carries.
        technique_id: What is started, for the error.
        since: When the first attempt begins.
        resend: Whether FLORA is known to heed the key here. If not, an attempt in doubt is never repeated.
        settle: Seconds to leave FLORA alone after an attempt of which nobody saw the end; None = it is not repeated.

    Attributes:
        idempotency_key: As given.
        in_doubt: Whether an attempt may have been carried out of which no answer tells.
    """

    def __init__(
        self, *, idempotency_key: str, technique_id: str | None, since: datetime, resend: bool, settle: float | None
    ) -> None:
        self.idempotency_key = idempotency_key
        self.in_doubt = False
        self._was_in_doubt = False
        self._arrived = 0
        self._technique_id = technique_id
        self._since = since
        self._resend = resend
        self._settle = settle

    def begin(self) -> None:
        """An attempt begins; nothing of it was sent yet."""
        self._was_in_doubt = self.in_doubt

    def sent(self) -> None:
        """The attempt goes out: from now on it may be carried out."""
        self.in_doubt = True

    def failed(self, error: FloraError) -> None:
        """The attempt has ended with an error."""
        self.in_doubt = self._was_in_doubt or (self.in_doubt and may_have_acted(error))
        self._arrived += not isinstance(error, APIConnectionError) or error.sent

    def may_repeat(self, error: FloraError) -> bool:
        """Whether another attempt can be made: only when this one is over, or will be by then."""
        if not is_transient(error):
            return False
        if not may_have_acted(error):
            return True
        return self._resend and not may_be_in_flight(error) and (has_ended(error) or self._settle is not None)

    def pause(self, error: FloraError) -> float:
        """The seconds that have to pass before another attempt."""
        is_open = may_have_acted(error) and not has_ended(error)
        return self._settle or 0.0 if is_open else 0.0

    def verdict(self, error: Exception) -> Exception:
        """What to raise after the last attempt: the error as it is, or that nobody knows."""
        # A 409 after an attempt of our own means that the attempt got through, whatever it looked like.
        is_our_own = isinstance(error, ConflictError) and self._arrived >= _AN_EARLIER_ONE
        if not (self.in_doubt or is_our_own):
            return error
        unknown = SubmissionUnknownError(
            idempotency_key=self.idempotency_key, technique_id=self._technique_id, since=self._since
        )
        if isinstance(error, FloraError):
            unknown.request_id, unknown.run = error.request_id, error.run
        unknown.__cause__ = error
        return unknown
