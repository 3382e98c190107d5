"""What FLORA's answers mean, without any I/O: errors, waits, and what a failed attempt says about money.

The table of statuses is FLORA's page "Get a technique run"; RFC 9110 has the rest.
"""

from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Final, NamedTuple

from flora_async.errors import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    AuthenticationError,
    BadRequestError,
    ConflictError,
    DecodeError,
    FieldError,
    FloraError,
    IdempotencyError,
    InsufficientCreditsError,
    InternalServerError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    UnprocessableEntityError,
)
from flora_async.models._codec import parse_json

_KINDS: Final[Mapping[int, type[APIStatusError]]] = {
    400: BadRequestError,
    401: AuthenticationError,
    402: InsufficientCreditsError,
    403: PermissionDeniedError,
    404: NotFoundError,
    409: ConflictError,
    422: UnprocessableEntityError,
    429: RateLimitError,
}
# A header can say anything. After an hour we ask again, whatever it said: that is no burden on anybody.
_LONGEST_RETRY_AFTER: Final = 3600.0
_FIRST_REDIRECT: Final = 300  # a plain number: every answer is compared with it
# A gateway stopped waiting for FLORA: the standard's way to say so, and Cloudflare's.
_NOBODY_LISTENED: Final = {504, 524}


class Response(NamedTuple):
    """A whole answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def request_id(self) -> str | None:
        """FLORA's `request-id`."""
        return self.headers.get("request-id")


def raise_for_status(response: Response, now: float) -> None:
    """Return when the answer is a success, else raise what it means.

    Args:
        response: The answer.
        now: Unix time in seconds, which a Retry-After date is compared with.

    Raises:
        APIStatusError: The subclass for the status, with everything that FLORA said.
    """
    status = response.status
    if status < _FIRST_REDIRECT:
        return
    code, message, fields = _envelope(response.body)
    kind = _KINDS.get(status, InternalServerError if status >= HTTPStatus.INTERNAL_SERVER_ERROR else APIStatusError)
    if status == HTTPStatus.CONFLICT and code == "idempotency_duplicate":
        kind = IdempotencyError
    if status < HTTPStatus.BAD_REQUEST:
        location = response.headers.get("location", "nowhere")
        message = f"FLORA redirected to {location[:80]!r}; the key goes nowhere but to base_url. Correct base_url."
    raise kind(
        message or _phrase(status),
        status=status,
        code=code,
        fields=fields,
        request_id=response.request_id,
        headers={name.lower(): value for name, value in response.headers.items()},
        body=response.body,
        retry_after=retry_after(response.headers, now),
    )


def _envelope(body: bytes) -> tuple[str | None, str | None, list[FieldError]]:
    """Code, message and fields as far as they are there: a proxy answers with HTML or nothing instead."""
    try:
        error = parse_json(body)["error"]
        code, message, fields = error.get("code"), error.get("message"), error.get("fields")
    except (DecodeError, TypeError, KeyError, AttributeError):
        return None, None, []
    entries = fields if isinstance(fields, list) else []
    return (
        _text_or_none(code),
        _text_or_none(message),
        [
            FieldError(_text_or_none(entry.get("field")) or "", _text_or_none(entry.get("message")) or "")
            for entry in entries
            if isinstance(entry, dict)
        ],
    )


def _text_or_none(value: Any) -> str | None:  # noqa: ANN401 - any JSON value
    return value if isinstance(value, str) and value else None


def _phrase(status: int) -> str:
    try:
        return f"{HTTPStatus(status).phrase}, without FLORA's error envelope"
    except ValueError:
        return "an unknown status, without FLORA's error envelope"


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds that `Retry-After` asks for (RFC 9110, 10.2.3: a number or a date), at most an hour.

    Args:
        headers: The answer's headers, looked up without regard to case.
        now: Unix time in seconds, which a date is compared with.

    Returns:
        None when the header is missing or says nothing that can be understood.
    """
    value = headers.get("Retry-After")
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            moment = parsedate_to_datetime(value)
            seconds = max(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() - now, 0.0)
        except (ValueError, OverflowError):
            return None
    if not seconds >= 0:  # NaN and negative numbers
        return None
    return min(seconds, _LONGEST_RETRY_AFTER)


def is_transient(error: FloraError) -> bool:
    """Whether the same request can succeed a little later."""
    if isinstance(error, APIStatusError):
        return error.status in {408, 429} or error.status >= HTTPStatus.INTERNAL_SERVER_ERROR
    if isinstance(error, DecodeError):
        return error.transient
    return isinstance(error, APIConnectionError)


def may_have_acted(error: FloraError) -> bool:
    """Whether the server may have carried out the request although this error is all that came back.

    A 4xx other than 408 is a refusal; a request that never left did nothing; after anything else nobody knows.
    """
    if isinstance(error, APIStatusError):
        return error.status == HTTPStatus.REQUEST_TIMEOUT or error.status >= HTTPStatus.INTERNAL_SERVER_ERROR
    return not isinstance(error, APIConnectionError) or error.sent


def may_be_in_flight(error: FloraError) -> bool:
    """Whether the server may still be at work on the attempt that ended with this error.

    That is so when nobody saw its end: we stopped listening, or a gateway did (504). Two requests in flight with
    one key may both be carried out, so after this nothing may be sent again.
    """
    if isinstance(error, APIStatusError):
        return error.status in _NOBODY_LISTENED
    return isinstance(error, APITimeoutError) and error.sent


def has_ended(error: FloraError) -> bool:
    """Whether FLORA itself has answered the attempt that ended with this error, and so is done with it."""
    return error.request_id is not None
