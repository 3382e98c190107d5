"""One request, one whole answer: the only importer of aiohttp's client.

Here the key meets the network, so here it is kept out of sight; here every exception of aiohttp becomes one of ours.
"""

import asyncio
import platform
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, nullcontext
from functools import lru_cache
from typing import Any, Final, NamedTuple

import aiohttp
from aiohttp import ClientSession as ClientSession  # noqa: PLC0414 - for the session's signature
from aiohttp import TraceConfig as TraceConfig  # noqa: PLC0414 - likewise
from aiohttp.http_exceptions import HttpProcessingError
from yarl import URL

from flora_async._http.bodies import File, FileBody, Form, FormBody, JsonBody
from flora_async._http.responses import Response
from flora_async._http.routes import Label
from flora_async._version import __version__
from flora_async.errors import APIConnectionError, APITimeoutError, DecodeError

MAX_RESPONSE_BYTES: Final = 32 * 1024 * 1024
USER_AGENT: Final = f"flora-async/{__version__} (Python {platform.python_version()}; aiohttp {aiohttp.__version__})"

# Raised before a byte of the request was written, so nothing can have been started. Every other exception of
# aiohttp's leaves that open; a test fails when aiohttp grows one that has not been judged.
NEVER_SENT: Final = (
    aiohttp.ClientConnectorError,
    aiohttp.ClientHttpProxyError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.InvalidURL,
    aiohttp.NonHttpUrlClientError,
    aiohttp.ServerFingerprintMismatch,
)
# A connection that cannot be made within this fails as "never sent", and so can be tried again without any doubt.
_CONNECT_TIMEOUT: Final = 30.0
_JSON: Final = "application/json"
_FIRST_ERROR: Final = 300
_STREAM_BUFFER: Final = 1024 * 1024
_NO_PATIENCE: Final = nullcontext()  # aiohttp's own timeout does
_FAULTS: Final = (TimeoutError, aiohttp.ClientError, HttpProcessingError, OSError)


class Secret(str):
    """Text that is sent as it is but shows as `'***'` in every repr: of itself, of a dict, of a frame's locals."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


class Request(NamedTuple):
    """A request that can be sent any number of times: everything in it is built once.

    Attributes:
        label: What the counts of traffic call it: start, poll, history, technique or other.
    """

    method: str
    url: URL
    headers: Mapping[str, str]
    body: bytes | Form | File | None = None
    label: Label = "other"

    @property
    def path(self) -> str:
        """What logs and messages call this request; queries and hosts stay out of them."""
        return self.url.raw_path


class Incoming:
    """An answer whose body has not been read yet.

    Args:
        request: What it answers.
        response: The answer of aiohttp.
        idle: Seconds without a byte after which it counts as lost; None = no limit.

    Attributes:
        status: The HTTP status.
        headers: The headers, looked up without regard to case.
    """

    def __init__(self, request: Request, response: aiohttp.ClientResponse, idle: float | None) -> None:
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers
        self._request = request
        self._content = response.content
        self._idle = idle

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """The body, as it arrives.

        Raises:
            APITimeoutError: Nothing arrived for too long.
            APIConnectionError: The connection ended before the body did.
        """
        while True:
            try:
                # Not `readany`, which makes one piece of all that has come: for a large file that is another copy.
                chunk, is_over = await self._content.readchunk()
            except _FAULTS as error:
                raise _failure(self._request, error, self._idle, sent=True) from error
            if chunk:
                yield chunk
            elif not is_over:
                return


class Transport:
    """Owns or borrows an aiohttp session and sends requests through it.

    An owned session is built on first use, for the event loop that runs then, and again after `close`.

    Args:
        authorization: The value of the `Authorization` header.
        http_session: A session to borrow; it is never closed here. None = own one.
        max_connections: How many connections an owned session opens at most.
        trace_configs: aiohttp's tracing hooks for an owned session.
    """

    def __init__(
        self,
        authorization: Secret,
        *,
        http_session: ClientSession | None,
        max_connections: int,
        trace_configs: Sequence[TraceConfig],
    ) -> None:
        self._public_headers: Mapping[str, str] = {"Accept": _JSON, "User-Agent": USER_AGENT}
        self._key_headers: Mapping[str, str] = {**self._public_headers, "Authorization": authorization}
        self._authorization = authorization
        self._borrowed = http_session
        self._owned: ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._max_connections = max_connections
        self._trace_configs = list(trace_configs)
        self.closed = False

    def request(  # noqa: PLR0913 - the parts of a request
        self,
        method: str,
        url: str,
        *,
        with_key: bool = True,
        body: bytes | Form | File | None = None,
        idempotency_key: str | None = None,
        label: Label = "other",
    ) -> Request:
        """Build a request for an absolute, percent-encoded URL. `with_key` only for FLORA's own origin."""
        headers = self._key_headers if with_key else self._public_headers
        if isinstance(body, bytes):  # said here too, since a borrowed session may have a default of its own
            headers = {**headers, "Content-Type": _JSON}
        if idempotency_key is not None:
            headers = {**headers, "Idempotency-Key": idempotency_key}
        return Request(method, URL(url, encoded=True), headers, body, label)

    def media_request(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, body: Form | File | None = None
    ) -> Request:
        """Build a request for another host than FLORA's: it never carries the key."""
        # As it is stored, byte by byte: a body that was packed on the way can be neither measured nor resumed.
        plain = {"Accept": "*/*", "Accept-Encoding": "identity", "User-Agent": USER_AGENT}
        return Request(method, URL(url, encoded=True), {**plain, **(headers or {})}, body, "other")

    async def send(
        self,
        request: Request,
        *,
        timeout: float | None,  # noqa: ASYNC109 - aiohttp enforces it, body included
        on_sent: Callable[[], None] | None = None,
    ) -> Response:
        """Send a request once and read the whole answer, redirects included as answers.

        Args:
            request: What to send.
            timeout: Seconds for everything: a place in the pool, connecting, sending, the answer and its body. For a
                file, alone or in a form, seconds without any progress.
            on_sent: Called when the body of the request goes out: from then on it may be carried out.

        Raises:
            APITimeoutError: The time was not enough.
            APIConnectionError: No whole answer came back.
            DecodeError: The answer is larger than 32 MiB.
            UploadError: A file could not be read to its end.
            RuntimeError: The session is closed, or belongs to another event loop.
        """
        session = self._owned
        if session is None or self.closed or self._loop is not asyncio.get_running_loop():
            session = await self._open()
        patience, body = _body_of(request.body, on_sent, timeout)
        request_id: str | None = None
        try:
            async with (
                patience,
                session.request(
                    request.method,
                    request.url,
                    headers=request.headers,
                    data=body,
                    allow_redirects=False,
                    raise_for_status=False,
                    timeout=_client_timeout(None if isinstance(body, FormBody | FileBody) else timeout, None),
                ) as response,
            ):
                request_id = response.headers.get("request-id")
                answer = await _read(response)
                if response.status >= _FIRST_ERROR:  # no server makes us put the key into an error
                    answer = answer.replace(self._authorization.rpartition(" ")[2].encode(), b"***")
                return Response(response.status, response.headers, answer)
        except _FAULTS as error:
            problem = body.problem if isinstance(body, FormBody | FileBody) else None
            if problem is None:
                raise _failure(request, error, timeout, sent=_sent(error, body), request_id=request_id) from error
        # Outside the `except`: the problem is the cause of that error already, and a chain must not be a circle.
        raise problem

    @asynccontextmanager
    async def stream(self, request: Request, *, idle: float | None) -> AsyncGenerator[Incoming, None]:
        """Send a request once and hand out the answer while its body is still on the way.

        Args:
            request: What to send.
            idle: Seconds without a byte after which the answer counts as lost; None = no limit.

        Raises:
            APITimeoutError: No answer began in time.
            APIConnectionError: No answer began.
            RuntimeError: As `send`.
        """
        session = self._owned
        if session is None or self.closed or self._loop is not asyncio.get_running_loop():
            session = await self._open()
        async with AsyncExitStack() as stack:
            try:
                response = await stack.enter_async_context(
                    session.request(
                        request.method,
                        request.url,
                        headers=request.headers,
                        allow_redirects=False,
                        raise_for_status=False,
                        timeout=_client_timeout(None, idle),
                        read_bufsize=_STREAM_BUFFER,
                    )
                )
            except _FAULTS as error:
                raise _failure(request, error, idle, sent=_sent(error, None)) from error
            yield Incoming(request, response, idle)

    def reopen(self) -> None:
        """Allow use again after `close`."""
        self.closed = False

    async def close(self) -> None:
        """Close an owned session; leave a borrowed one alone."""
        self.closed = True
        session, self._owned, self._loop = self._owned, None, None
        if session is not None:
            await session.close()

    async def _open(self) -> ClientSession:
        if self.closed:
            raise RuntimeError("This FloraSession is closed: enter it again with `async with`, or make a new one")
        if self._borrowed is not None:
            if self._borrowed.closed:
                raise RuntimeError("The http_session given to this FloraSession is closed: keep it open while in use")
            return self._borrowed
        if self._loop is not None and not self._loop.is_closed():
            raise RuntimeError(
                "This FloraSession is in use on another event loop: close it there first, or make one session a loop"
            )
        # The loop of an earlier `asyncio.run` is gone, and with it the connections of a session nobody closed.
        gone = self._owned
        self._loop = asyncio.get_running_loop()
        self._owned = ClientSession(
            connector=aiohttp.TCPConnector(limit=self._max_connections),
            cookie_jar=aiohttp.DummyCookieJar(),
            trace_configs=self._trace_configs,
        )
        if gone is not None:
            await gone.close()
        return self._owned


@lru_cache(maxsize=16)
def _client_timeout(total: float | None, idle: float | None) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=total, sock_connect=_CONNECT_TIMEOUT, sock_read=idle)


def _body_of(
    content: bytes | Form | File | None, on_sent: Callable[[], None] | None, timeout: float | None
) -> tuple[AbstractAsyncContextManager[object], JsonBody | FormBody | FileBody | None]:
    """What to send, and its time limit: that of a file starts again with each chunk."""
    if not isinstance(content, Form | File):
        return _NO_PATIENCE, None if content is None else JsonBody(content, on_sent)
    patience = asyncio.timeout(timeout)

    def renew() -> None:
        if timeout is not None and not patience.expired():
            patience.reschedule(asyncio.get_running_loop().time() + timeout)

    body = FormBody(content, on_sent, renew) if isinstance(content, Form) else FileBody(content, on_sent, renew)
    return patience, body


def _sent(error: BaseException, body: JsonBody | FormBody | FileBody | None) -> bool:
    """Whether the server may have got the request. Until its body is written, a request with a body does nothing."""
    return not isinstance(error, NEVER_SENT) and (body is None or body.written)


def _failure(
    request: Request, error: BaseException, timeout: float | None, *, sent: bool, request_id: str | None = None
) -> APIConnectionError:
    """What an exception of aiohttp's means: the one place where they become ours."""
    if isinstance(error, TimeoutError):
        return APITimeoutError(timeout=timeout, sent=sent, request_id=request_id)
    why = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return APIConnectionError(f"{request.method} {request.path} failed: {why}", sent=sent, request_id=request_id)


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """The body, decompressed, up to the cap: a hostile answer may not fill the memory."""
    content: Any = response.content
    first: bytes = await content.readany()
    if content.at_eof() and len(first) <= MAX_RESPONSE_BYTES:
        return first
    chunks, size = [first], len(first)
    while size <= MAX_RESPONSE_BYTES:
        chunk: bytes = await content.readany()
        if not chunk:
            return b"".join(chunks)
        chunks.append(chunk)
        size += len(chunk)
    response.close()
    raise DecodeError(
        "",
        f"more than {MAX_RESPONSE_BYTES >> 20} MiB were sent",
        request_id=response.headers.get("request-id"),
    )
