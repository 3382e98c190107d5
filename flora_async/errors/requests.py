"""What can go wrong with one request, and the root that all errors share."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from flora_async.models import Run

_LONGEST_MESSAGE = 200


class FieldError(NamedTuple):
    """One entry of FLORA's `fields` list: which request field is wrong and why."""

    field: str
    message: str


class FloraError(Exception):
    """The root of the tree drawn at the top of this module.

    Attributes:
        run: The last seen run, on every error raised while waiting; else None.
        request_id: FLORA's `request-id` of the answer behind this error, which its support asks for; else None.
    """

    run: "Run | None" = None
    request_id: str | None = None

    def __str__(self) -> str:
        """The message on one line, at most 200 characters: servers send whole pages as messages."""
        text = " ".join(super().__str__().split())
        request_id = "" if self.request_id is None else f" [{''.join(self.request_id.split())[:60]}]"
        room = _LONGEST_MESSAGE - len(request_id)
        return (text if len(text) <= room else text[: room - 1] + "…") + request_id

    def __reduce__(self) -> tuple[object, ...]:
        """Errors cross process borders with their data, whatever their constructor asks for."""
        return _rebuild, (type(self), self.args, self.__dict__)


def _rebuild(kind: type[FloraError], args: tuple[object, ...], state: dict[str, object]) -> FloraError:
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(state)
    return error


class APIConnectionError(FloraError):
    """No whole answer came back: DNS, refused, reset, TLS, or a body cut short or not readable as JSON.

    Attributes:
        sent: False when the request certainly never reached the server; True when it may have.
    """

    def __init__(self, message: str, *, sent: bool = True, request_id: str | None = None) -> None:
        super().__init__(message)
        self.sent = sent
        self.request_id = request_id


class APITimeoutError(APIConnectionError, TimeoutError):
    """No whole answer within the time given to one request, its body included.

    Attributes:
        timeout: The seconds that were given, or None when they are not known.
    """

    def __init__(self, *, timeout: float | None, sent: bool = True, request_id: str | None = None) -> None:
        given = "in time" if timeout is None else f"within {timeout:.3g} s"
        what = "FLORA did not answer" if sent else "No connection to FLORA was to be had"
        super().__init__(
            f"{what} {given}. Try again, or allow more time: FloraSession(timeout=…)", sent=sent, request_id=request_id
        )
        self.timeout = timeout


class APIStatusError(FloraError):
    """FLORA, or a proxy before it, answered with a status that is no success.

    FLORA's envelope is `{"error": {"code", "message", "fields"?}}`, as on its page "Get a technique run".

    Attributes:
        status: The HTTP status.
        code: FLORA's machine-readable code, such as `input_validation_error`; None when there is none.
        message: FLORA's sentence, or what was made of an answer that has none.
        fields: The request fields that FLORA refused.
        headers: The answer's headers, by lower-case name.
        body: The answer's raw body.
        retry_after: Seconds FLORA asked to wait, or None when it did not say.
    """

    def __init__(  # noqa: PLR0913 - one keyword for each thing that an answer says
        self,
        message: str,
        *,
        status: int,
        code: str | None = None,
        fields: Sequence[FieldError] = (),
        request_id: str | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(f"{status} {code}: {message}" if code else f"{status}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.fields = tuple(fields)
        self.request_id = request_id
        self.headers: Mapping[str, str] = dict(headers or {})
        self.body = body
        self.retry_after = retry_after


class BadRequestError(APIStatusError):
    """400: the request is not valid; `fields` names what to fix."""


class AuthenticationError(APIStatusError):
    """401: the API key is missing, wrong or revoked."""


class InsufficientCreditsError(APIStatusError):
    """402: the workspace has no credits left for this; top it up and try again."""


class PermissionDeniedError(APIStatusError):
    """403: the key is valid but may not do this."""


class NotFoundError(APIStatusError):
    """404: there is no such technique, run or path for this key."""


class ConflictError(APIStatusError):
    """409: the request contradicts the state at FLORA."""


class IdempotencyError(ConflictError):
    """409 `idempotency_duplicate`: an earlier call already used this idempotency key, so its run exists.

    Find it with `techniques.runs.list()`; nothing was started by this call.
    """


class UnprocessableEntityError(APIStatusError):
    """422, such as `idempotency_conflict`: the key was used before with another body. Nothing was started."""


class RateLimitError(APIStatusError):
    """429: too many requests for this workspace; `retry_after` says for how many seconds to hold back."""


class InternalServerError(APIStatusError):
    """5xx: the fault is on FLORA's side or in a proxy before it; trying later can work."""


class DecodeError(FloraError):
    """A successful answer has another shape than FLORA's documentation promises.

    Attributes:
        path: Where, for example `outputs[0].url`; empty for the body as a whole.
        reason: What is wrong there.
        transient: Whether asking again may help: the body as a whole is no answer of FLORA's, as a proxy's page is.
    """

    def __init__(self, path: str, reason: str, *, request_id: str | None = None, transient: bool = False) -> None:
        super().__init__(f"FLORA's answer could not be read at {path or 'its top level'}: {reason}")
        self.path = path
        self.reason = reason
        self.request_id = request_id
        self.transient = transient


class UntrustedURLError(FloraError):
    """The server named a URL that is not at FLORA's origin; it was not followed.

    Attributes:
        url: The URL as the server gave it.
    """

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(f"Not following {url[:80]!r}: {reason}")
        self.url = url
