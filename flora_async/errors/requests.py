"""Errors of a single request, and the root of all errors."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from flora_async._repr import bounded
from flora_async._text import MAX_SHOWN, printable

if TYPE_CHECKING:
    from flora_async.models import Run

_MAX_REQUEST_ID = 60
_MAX_CODE = 60


class FieldError(NamedTuple):
    """One entry of FLORA's `fields` list: which request field is wrong and why.

    Attributes:
        field: The name of the field, or its path in the body.
        message: What is wrong with it.
    """

    field: str
    message: str

    def __repr__(self) -> str:
        return bounded(f"FieldError({self.field!r}, {self.message!r}", ")")


class FloraError(Exception):
    """The root of the tree of errors.

    Attributes:
        run: The last seen run, on every error raised while waiting, with the status `unknown` if only its start was
            answered; else None.
        request_id: The `request-id` of the response behind this error, which FLORA's support asks for; else None.
    """

    run: "Run | None" = None
    request_id: str | None = None

    def __str__(self) -> str:
        """The message on one line, in printable characters, at most 200 of them."""
        request_id = "" if self.request_id is None else f" [{printable(self.request_id, _MAX_REQUEST_ID)}]"
        return printable(super().__str__(), MAX_SHOWN - len(request_id)) + request_id

    def __repr__(self) -> str:
        """The class and the message as `str` shows it, in less than 200 characters."""
        return bounded(f"{type(self).__name__}({str(self)!r}", ")")

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle the error with its data, whatever its constructor takes."""
        return _rebuild, (type(self), self.args, self.__dict__)


def _rebuild(kind: type[FloraError], args: tuple[object, ...], state: dict[str, object]) -> FloraError:
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(state)
    return error


class APIConnectionError(FloraError):
    """No complete response arrived: DNS, refused or reset connection, TLS, a truncated body.

    Attributes:
        sent: False when the request certainly never reached the server; True when it may have.
    """

    def __init__(self, message: str, *, sent: bool = True, request_id: str | None = None) -> None:
        super().__init__(message)
        self.sent = sent
        self.request_id = request_id


class APITimeoutError(APIConnectionError, TimeoutError):
    """No complete response, body included, within the timeout of one request.

    Attributes:
        timeout: The timeout in seconds; None when it is not known.
    """

    def __init__(self, *, timeout: float | None, sent: bool = True, request_id: str | None = None) -> None:
        given = "in time" if timeout is None else f"within {timeout:.3g} s"
        what = "FLORA did not answer" if sent else "No connection to FLORA could be made"
        super().__init__(
            f"{what} {given}. Try again, or allow more time: FloraSession(timeout=…)", sent=sent, request_id=request_id
        )
        self.timeout = timeout


class APIStatusError(FloraError):
    """FLORA, or a proxy in front of it, returned an error status.

    FLORA's envelope is `{"error": {"code", "message", "fields"?}}`, as on its page "Get a technique run". The text
    from it is kept printable and short here; `body` has it as it was sent.

    Attributes:
        status: The HTTP status.
        code: FLORA's machine-readable code, such as `input_validation_error`; None when there is none.
        message: FLORA's message, at most 200 characters of it, or a description of a response without one.
        fields: The request fields that FLORA refused.
        headers: The response headers, by lower-case name.
        body: The raw response body.
        retry_after: Seconds that FLORA asked to wait; None when it did not ask.
    """

    def __init__(  # noqa: PLR0913 - one keyword for each part of a response
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
        message = printable(message)
        code = printable(code, _MAX_CODE) if code else None
        super().__init__(f"{status} {code}: {message}" if code else f"{status}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.fields = tuple(FieldError(printable(name), printable(why)) for name, why in fields)
        self.request_id = request_id
        self.headers: Mapping[str, str] = dict(headers or {})
        self.body = body
        self.retry_after = retry_after


class BadRequestError(APIStatusError):
    """400: the request is not valid; `fields` names what to fix."""


class AuthenticationError(APIStatusError):
    """401: the API key is missing, wrong or revoked."""


class InsufficientCreditsError(APIStatusError):
    """402: the workspace does not have enough credits; top it up and try again."""


class PermissionDeniedError(APIStatusError):
    """403: the key is valid but does not have this permission."""


class NotFoundError(APIStatusError):
    """404: this key can see no technique, run or path of that name."""


class ConflictError(APIStatusError):
    """409: the request conflicts with the current state on FLORA."""


class IdempotencyError(ConflictError):
    """409 `idempotency_duplicate`: an earlier call already used this idempotency key, so its run exists.

    This call started nothing. Find the run with `techniques.runs.list()`.
    """


class UnprocessableEntityError(APIStatusError):
    """422, such as `idempotency_conflict`: the key was used before with another body. Nothing was started."""


class RateLimitError(APIStatusError):
    """429: too many requests in this workspace; `retry_after` says how many seconds to wait."""


class InternalServerError(APIStatusError):
    """5xx: an error of FLORA, or of a proxy in front of it; trying again later can work."""


class DecodeError(FloraError):
    """A successful response cannot be read: it is not JSON, or a field that identifies the result cannot be read.

    Any other malformed value does not raise: its field has its default, and it is kept in `extra` and logged.

    Attributes:
        path: The position, for example `run_id`; empty for the body as a whole.
        reason: What is wrong there.
        transient: Whether asking again may help: the body as a whole is not a response of FLORA's, but perhaps a
            proxy's page.
    """

    def __init__(self, path: str, reason: str, *, request_id: str | None = None, transient: bool = False) -> None:
        super().__init__(f"FLORA's answer could not be read at {path or 'its top level'}: {reason}")
        self.path = printable(path)
        self.reason = printable(reason)
        self.request_id = request_id
        self.transient = transient


class UntrustedURLError(FloraError):
    """The server named a URL that is not at FLORA's origin; it was not followed.

    Attributes:
        url: The URL as the server gave it.
    """

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(f"Not following {printable(url, 80)!r}: {reason}")
        self.url = url


class SessionClosedError(FloraError, RuntimeError):
    """The session, or the aiohttp session that was lent to it, is closed. Runs that were started are still running.

    A wait that ends with it carries the last seen run: enter the session again, or make another one, and wait for
    `error.run`.

    Example:
        >>> flora = FloraSession()
        >>> await flora.close()
        >>> try:
        ...     await flora.wait_for_run("run_1")
        ... except SessionClosedError as error:
        ...     print(error)
        This FloraSession is closed: enter it again with `async with`, or make a new one
    """
