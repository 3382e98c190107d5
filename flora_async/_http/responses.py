"""Interpret FLORA's responses, without any I/O: errors, pauses, and whether a failed attempt may have cost money.

The table of statuses is FLORA's page "Get a technique run"; RFC 9110 has the rest.
"""

import re
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

_ERROR_CLASSES: Final[Mapping[int, type[APIStatusError]]] = {
    400: BadRequestError,
    401: AuthenticationError,
    402: InsufficientCreditsError,
    403: PermissionDeniedError,
    404: NotFoundError,
    409: ConflictError,
    422: UnprocessableEntityError,
    429: RateLimitError,
}
# A header can say anything. Asking again after an hour is not a burden on any server.
_MAX_RETRY_AFTER: Final = 3600.0
_MAX_ENVELOPE: Final = 16 * 1024  # bytes; FLORA's have a few hundred
_FIRST_REDIRECT: Final = 300  # a plain number, because comparing with an enum's member is slower
# A gateway stopped waiting for FLORA: the standard status, and Cloudflare's own.
_GAVE_UP_WAITING: Final = {504, 524}
# What an error inside an answer of 200 means, by FLORA's code; any other code is a failure on FLORA's side.
_STATUS_OF_CODE: Final[Mapping[str, int]] = {
    "invalid_json": 400,
    "input_validation_error": 400,
    "unauthorized": 401,
    "invalid_api_key": 401,
    "insufficient_credits": 402,
    "paid_plan_required": 403,
    "forbidden": 403,
    "not_found": 404,
    "conflict": 409,
    "idempotency_duplicate": 409,
    "idempotency_conflict": 422,
    "rate_limited": 429,
    "service_unavailable": 503,
}
# The keys that an error envelope may have; with any other, the answer is something else, such as a failed run.
_BESIDE_AN_ERROR: Final = frozenset({"error", "meta", "ok", "request_id", "requestId", "status", "success"})


class Response(NamedTuple):
    """A complete answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def request_id(self) -> str | None:
        """FLORA's `request-id`; None where the answer is not FLORA's."""
        return self.headers.get("request-id") or None


def raise_for_status(response: Response, now: float) -> None:
    """Raise the error that an answer means; return if it is a success.

    Args:
        response: The answer.
        now: Unix time in seconds, which a Retry-After date is compared with.

    Raises:
        APIStatusError: The subclass for the status, with everything that FLORA said.
    """
    status, body = response.status, response.body
    if status < _FIRST_REDIRECT:
        implied = _status_of_error(body) if len(body) <= _MAX_ENVELOPE and b'"error"' in body else None
        if implied is None:
            return
        status = implied
    code, message, fields = _envelope(body)
    fallback = InternalServerError if status >= HTTPStatus.INTERNAL_SERVER_ERROR else APIStatusError
    error_class = _ERROR_CLASSES.get(status, fallback)
    if status == HTTPStatus.CONFLICT and code == "idempotency_duplicate":
        error_class = IdempotencyError
    if status < HTTPStatus.BAD_REQUEST:
        location = response.headers.get("location", "nowhere")
        message = f"FLORA redirected to {location[:80]!r}; the key goes nowhere but to base_url. Correct base_url."
    raise error_class(
        message or _phrase(status),
        status=status,
        code=code,
        fields=fields,
        request_id=response.request_id,
        headers={name.lower(): value for name, value in response.headers.items()},
        body=body,
        retry_after=retry_after(response.headers, now),
    )


def _envelope(body: bytes) -> tuple[str | None, str | None, list[FieldError]]:
    """Read code, message and fields, any of which may be missing: a proxy answers with HTML or nothing instead."""
    if len(body) > _MAX_ENVELOPE:
        return None, None, []
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


def _status_of_error(body: bytes) -> int | None:
    """The status that an answer of 2xx should have had, if it is FLORA's error envelope."""
    try:
        data = parse_json(body)
    except DecodeError:
        return None
    error = data.get("error") if isinstance(data, dict) and data.keys() <= _BESIDE_AN_ERROR else None
    if not isinstance(error, dict) or not (_text_or_none(error.get("code")) or _text_or_none(error.get("message"))):
        return None
    return _STATUS_OF_CODE.get(str(error.get("code")), HTTPStatus.INTERNAL_SERVER_ERROR.value)


def _text_or_none(value: Any) -> str | None:  # noqa: ANN401 - any JSON value
    return value if isinstance(value, str) and value else None


def _phrase(status: int) -> str:
    try:
        return f"{HTTPStatus(status).phrase}, without FLORA's error envelope"
    except ValueError:
        return "an unknown status, without FLORA's error envelope"


def read_events(stream: bytes) -> list[bytes]:
    """The data of each event in a stream of server-sent events, the last one also where its end is missing."""
    events: list[bytes] = []
    lines: list[bytes] = []
    for line in (*re.split(rb"\r\n|\n|\r", stream), b""):
        if line.startswith(b"data:"):
            lines.append(line[5:].removeprefix(b" "))
        elif not line and lines:
            events.append(b"\n".join(lines))
            lines = []
    return events


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds that `retry-after-ms` or `Retry-After` (RFC 9110, 10.2.3: a number or a date) asks for, at most an hour.

    Args:
        headers: The answer's headers, looked up without regard to case.
        now: Unix time in seconds, which a date is compared with where the answer has no `Date` of its own.

    Returns:
        None when the header is missing or cannot be understood.
    """
    asked, milliseconds = headers.get("Retry-After"), headers.get("retry-after-ms")
    if asked is None and milliseconds is None:
        return None
    seconds = _number(milliseconds)
    if seconds is not None:
        return min(seconds / 1000, _MAX_RETRY_AFTER)
    seconds = _number(asked)
    if seconds is None:
        moment = unix_time(asked)
        if moment is None:
            return None
        answered = unix_time(headers.get("Date"))
        seconds = max(moment - (now if answered is None else answered), 0.0)
    return min(seconds, _MAX_RETRY_AFTER)


def _number(text: str | None) -> float | None:
    """A number that is not negative."""
    try:
        number = float(text or "nan")
    except ValueError:
        return None
    return number if number >= 0 else None


def unix_time(date: str | None) -> float | None:
    """The Unix time of an HTTP date; None when it cannot be read."""
    try:
        moment = parsedate_to_datetime(date or "")
        return moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()
    except (ValueError, OverflowError):
        return None


def is_transient(error: FloraError) -> bool:
    """Whether the same request may be sent again a little later: as `x-should-retry` says, or the status."""
    if isinstance(error, APIStatusError):
        advice = error.headers.get("x-should-retry", "").strip().lower()
        # A key that was used stays used, even if a header advises a retry.
        if advice == "false" or (advice == "true" and error.status != HTTPStatus.CONFLICT):
            return advice == "true"
    return may_pass(error)


def may_pass(error: FloraError) -> bool:
    """Whether the failure may be temporary."""
    if isinstance(error, APIStatusError):
        return error.status in {408, 429} or error.status >= HTTPStatus.INTERNAL_SERVER_ERROR
    if isinstance(error, DecodeError):
        return error.transient
    return isinstance(error, APIConnectionError)


def may_have_acted(error: FloraError) -> bool:
    """Whether the server may have carried out the request although this error is all that came back.

    A 4xx other than 408 is a refusal, and a request that was never sent did nothing; after any other error it may have.
    """
    if isinstance(error, APIStatusError):
        return error.status == HTTPStatus.REQUEST_TIMEOUT or error.status >= HTTPStatus.INTERNAL_SERVER_ERROR
    return not isinstance(error, APIConnectionError) or error.sent


def may_be_in_flight(error: FloraError) -> bool:
    """Whether the server may still be at work on the attempt that ended with this error.

    That is so when its end was not seen: this client stopped waiting, or a gateway did (504). Two requests in flight
    with one key may both be carried out, so after this nothing may be sent again at once.
    """
    if isinstance(error, APIStatusError):
        return error.status in _GAVE_UP_WAITING
    return isinstance(error, APITimeoutError) and error.sent


def has_ended(error: FloraError) -> bool:
    """Whether FLORA itself has answered the attempt that ended with this error, so that it has finished with it."""
    return error.request_id is not None
