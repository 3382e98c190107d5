"""Send one request and read its whole answer; the only place where aiohttp's exceptions become ours.

The key is added to requests here, so it is masked here too: no answer and no error leaves this module with it.
"""

import asyncio
import platform
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any, Final, NamedTuple
from weakref import finalize

import aiohttp
from aiohttp import ClientSession as ClientSession  # noqa: PLC0414 - for the session's signature
from aiohttp import TraceConfig as TraceConfig  # noqa: PLC0414 - likewise
from aiohttp.http_exceptions import HttpProcessingError
from multidict import CIMultiDict
from yarl import URL

from flora_async._checks import other_loop_error
from flora_async._http.addresses import MayConnect
from flora_async._http.bodies import File, FileBody, Form, FormBody, JsonBody, prepared
from flora_async._http.connections import Limit, Pool, StaleConnectionError, open_pool, open_transfer_pool
from flora_async._http.inflate import Inflater
from flora_async._http.responses import Response
from flora_async._http.routes import Label
from flora_async._http.secrets import Redactor, Secret
from flora_async._threads import computed
from flora_async._version import __version__
from flora_async.config import ResponseLimits
from flora_async.errors import APIConnectionError, APITimeoutError, DecodeError, SessionClosedError

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
    StaleConnectionError,
)
# A connection that cannot be made within this fails as "never sent", and so can be tried again without any doubt.
_CONNECT_TIMEOUT: Final = 30.0
_JSON: Final = "application/json"
_FIRST_ERROR: Final = 300
_STREAM_BUFFER: Final = 1024 * 1024
# After so many pooled connections that cannot be used, an attempt counts as failed.
_MAX_STALE: Final = 5
_FAULTS: Final = (TimeoutError, aiohttp.ClientError, HttpProcessingError, OSError)
# What every request says, to FLORA and to hosts for files, where a body that is compressed on the way can be neither
# measured nor resumed. Explicit, since aiohttp's own default may include an encoding that `Inflater` does not know.
_HEADERS: Final = {"Accept": _JSON, "Accept-Encoding": "gzip, deflate", "User-Agent": USER_AGENT}
_NO_HEADERS: Final[Mapping[str, str]] = {}
_FILE_HEADERS: Final = {"Accept": "*/*", "Accept-Encoding": "identity", "User-Agent": USER_AGENT}


class Request(NamedTuple):
    """A request that can be sent any number of times: everything in it is built once.

    Attributes:
        headers: What it says beside the headers of every request.
        label: The category under which it is counted: start, poll, history, technique or other.
        is_transfer: Whether it goes to a host for files, and so without the key and over separate connections.
    """

    method: str
    url: URL
    headers: Mapping[str, str]
    body: bytes | Form | File | None = None
    label: Label = "other"
    is_transfer: bool = False

    def __str__(self) -> str:
        """Method and path: logs and messages leave out queries and hosts."""
        return f"{self.method} {self.url.raw_path}"


class Incoming:
    """An answer whose body has not been read yet.

    Args:
        request: What it answers.
        response: The answer of aiohttp.
        idle: Seconds without a byte after which it counts as lost; None = no limit.
        redactor: Masks the key in errors.

    Attributes:
        status: The HTTP status.
        headers: The headers, looked up without regard to case.
    """

    def __init__(
        self, request: Request, response: aiohttp.ClientResponse, idle: float | None, redactor: Redactor
    ) -> None:
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers
        self._request = request
        self._content = response.content
        self._idle = idle
        self._redactor = redactor

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """The body, as it arrives.

        Raises:
            APITimeoutError: Nothing arrived for too long.
            APIConnectionError: The connection ended before the body did.
        """
        while True:
            try:
                # Not `readany`, which joins all that has arrived: for a large file that is another copy.
                chunk, is_over = await self._content.readchunk()
            except _FAULTS as error:
                failure = _failure(self._request, error, self._idle, self._redactor, sent=True)
                cause: BaseException = error
            else:
                if chunk:
                    yield chunk
                elif not is_over:
                    return
                continue
            cause = _presentable(cause, self._redactor)
            raise failure from cause


class Transport:
    """Sends requests through aiohttp: to FLORA over its own connections or a lent session's, to others over its own.

    Connections are opened on first use, for the event loop that runs then, and again after `close`.

    Args:
        authorization: The value of the `Authorization` header.
        http_session: A session whose connections to use; it is never closed here. None = own ones.
        max_connections: How many connections of its own it opens at most, to FLORA and for files alike.
        trace_configs: aiohttp's tracing hooks for own connections.
        may_connect: Judges the addresses of hosts for files.
        timeout: Seconds that one request may take, for connecting.
        resend: Whether a read may be repeated at once when a kept-alive connection turns out to be closed.
        limits: How much of an answer is read.

    Attributes:
        redactor: Masks the key in what a server sends.
        closed: Whether it was closed.
    """

    def __init__(  # noqa: PLR0913 - what a session says about its connections
        self,
        authorization: Secret,
        *,
        http_session: ClientSession | None,
        max_connections: int,
        trace_configs: Sequence[TraceConfig],
        may_connect: MayConnect,
        timeout: float | None = None,
        resend: bool = True,
        limits: ResponseLimits = ResponseLimits(),  # noqa: B008 - frozen
    ) -> None:
        self._key_headers: Mapping[str, str] = {"Authorization": authorization}
        self.redactor = Redactor(Secret(authorization.rpartition(" ")[2]))
        self._lent = http_session
        self._pool: Pool | None = None
        self._transfers: Pool | None = None
        self._max_connections = max_connections
        self._trace_configs = trace_configs
        self._may_connect = may_connect
        self._resend = resend
        self._limits = limits
        self._timeout, self._timeouts = timeout, _timeouts(timeout)
        self.closed = False

    @property
    def queue_time(self) -> float:
        """How long the last request to FLORA waited for a connection, in seconds."""
        return 0.0 if self._pool is None else self._pool.queue_time

    def recall(self) -> None:
        """Let each request to FLORA that still waits for a connection end with a `RecalledError`."""
        if self._pool is not None:
            self._pool.recalls += 1

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
        headers = self._key_headers if with_key else _NO_HEADERS
        if isinstance(body, bytes):
            headers = {**headers, "Content-Type": _JSON}
        if idempotency_key is not None:
            headers = {**headers, "Idempotency-Key": idempotency_key}
        return Request(method, URL(url, encoded=True), headers, body, label)

    def media_request(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, body: Form | File | None = None
    ) -> Request:
        """Build a request for another host than FLORA's: it never carries the key."""
        return Request(method, URL(url, encoded=True), headers or _NO_HEADERS, body, is_transfer=True)

    async def send(
        self,
        request: Request,
        *,
        timeout: float | None,  # noqa: ASYNC109 - the time begins with a connection
        within: float | None = None,
        on_sent: Callable[[], None] | None = None,
    ) -> Response:
        """Send a request once and read the whole answer, redirects included as answers.

        Args:
            request: What to send.
            timeout: Seconds from when there is a connection until the whole answer is read; for a file, alone or in a
                form, seconds without any progress. A request that waits for one of the connections is given up when no
                other has got one for as long.
            within: Seconds until the caller's deadline, waiting for a connection included; None = there is none.
            on_sent: Called when the body of the request is sent: from then on it may be carried out.

        Raises:
            APITimeoutError: The time was not enough.
            APIConnectionError: No whole answer came back.
            DecodeError: The answer is larger than the limits allow.
            UploadError: A file could not be read to its end.
            RecalledError: It was called back before it was sent.
            SessionClosedError: The session is closed.
            RuntimeError: It belongs to another event loop.
        """
        cause: BaseException
        response: Any = None
        headers: Any = None
        sent_id: str | None = None
        stale = 0
        while True:
            pool = _usable(self._transfers if request.is_transfer else self._pool)
            pool = pool or await self._open(for_transfers=request.is_transfer)
            limit = Limit(pool, timeout, within, has_body=request.body is not None)
            body = None if request.body is None else prepared(request.body, on_sent, limit.renew)
            request_id: str | None = None
            try:
                with limit:
                    async with pool.session.request(
                        request.method,
                        request.url,
                        headers=request.headers,
                        data=body,
                        allow_redirects=False,
                        timeout=self._timeouts if timeout == self._timeout else _timeouts(timeout),
                        proxy=pool.proxy(request.url),
                    ) as response:
                        headers = response.headers
                        sent_id = headers.get("request-id")
                        request_id = self.redactor.text(sent_id) if sent_id else None
                        answer = await self._read(response, request, request_id, limit)
                        if not self.redactor.is_clean(answer):
                            answer = await computed(self.redactor.body, answer)
                        # A success's headers need no masking: only the request id is ever shown.
                        if response.status >= _FIRST_ERROR or request_id != sent_id or b'"error"' in answer:
                            headers = CIMultiDict(self.redactor.headers(headers))
                        return Response(response.status, headers, answer)
            except StaleConnectionError as error:
                cause, stale = error, stale + 1
                if stale == _MAX_STALE:
                    break
            except _FAULTS as error:
                cause = error
                break
            except asyncio.CancelledError as error:
                error.__traceback__ = None  # the frames of aiohttp hold the head of the request
                raise
        # Outside the except block, where the exception would become the context of ours with all its frames.
        if isinstance(body, FormBody | FileBody) and body.problem is not None:
            raise body.problem
        if within is not None and (timeout is None or within < timeout):
            timeout = within
        failure = _failure(request, cause, timeout, self.redactor, sent=_sent(cause, limit, body))
        failure.request_id = request_id
        # No local of this frame may hold what the server sent.
        response = headers = sent_id = None
        cause = _presentable(cause, self.redactor)
        raise failure from cause

    @asynccontextmanager
    async def stream(self, request: Request, *, idle: float | None) -> AsyncGenerator[Incoming, None]:
        """Send a request once and hand out the answer while its body is still on the way.

        Args:
            request: What to send.
            idle: Seconds in which the answer has to begin, and without a byte after which it counts as lost; None = no
                limit.

        Raises:
            APITimeoutError: No answer began in time.
            APIConnectionError: No answer began.
            SessionClosedError: The session is closed.
            RuntimeError: It belongs to another event loop.
        """
        cause: BaseException
        stale = 0
        while True:
            pool = _usable(self._transfers) or await self._open(for_transfers=True)
            limit = Limit(pool, idle, None, has_body=False)
            try:
                with limit:
                    response = await pool.session.request(
                        request.method,
                        request.url,
                        headers=request.headers,
                        allow_redirects=False,
                        timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_TIMEOUT, sock_read=idle),
                        read_bufsize=_STREAM_BUFFER,
                        proxy=pool.proxy(request.url),
                    )
            except StaleConnectionError as error:
                cause, stale = error, stale + 1
                if stale == _MAX_STALE:
                    break
                continue
            except _FAULTS as error:
                cause = error
                break
            async with response:
                yield Incoming(request, response, idle, self.redactor)
            return
        failure = _failure(request, cause, idle, self.redactor, sent=_sent(cause, limit, None))
        cause = _presentable(cause, self.redactor)
        raise failure from cause

    async def _read(
        self, response: aiohttp.ClientResponse, request: Request, request_id: str | None, limit: Limit
    ) -> bytes:
        """Read the body, decompressed, up to a maximum size, so that a hostile answer cannot fill the memory."""
        content: Any = response.content
        name = "run" if request.label in {"start", "poll"} else "page"
        max_size: int = getattr(self._limits, name)
        first: bytes = await content.readany()
        encoding = response.headers.get("Content-Encoding")
        if content.at_eof() and encoding is None and len(first) <= max_size:
            return first
        is_stream = request.body is not None and response.content_type == "text/event-stream"
        pieces: list[bytes] = []
        size = 0
        async with aclosing(_pieces(content, first, encoding or "identity", limit if is_stream else None)) as incoming:
            async for piece in incoming:
                pieces.append(piece)
                size += len(piece)
                if size > max_size:
                    response.close()
                    reason = f"more than {max_size:,} bytes were sent; ResponseLimits({name}=…) allows more"
                    raise DecodeError("", reason, request_id=request_id)
        return b"".join(pieces)

    def reopen(self) -> None:
        """Allow use again after `close`."""
        self.closed = False

    async def close(self) -> None:
        """Close own connections; leave those of a lent session alone."""
        self.closed = True
        pools, self._pool, self._transfers = (self._pool, self._transfers), None, None
        for pool in pools:
            if pool is not None:
                await pool.close()

    def check_open(self) -> None:
        """Refuse to work with a closed session.

        Raises:
            SessionClosedError: The session is closed, or the one that was lent to it.
        """
        if self.closed:
            raise SessionClosedError("This FloraSession is closed: enter it again with `async with`, or make a new one")
        if self._lent is not None and self._lent.closed:
            raise SessionClosedError("The http_session given to this FloraSession is closed: keep it open while in use")

    async def _open(self, *, for_transfers: bool) -> Pool:
        self.check_open()
        loop = asyncio.get_running_loop()
        pools = [pool for pool in (self._pool, self._transfers) if pool is not None]
        if any(pool.loop is not loop and not pool.loop.is_closed() for pool in pools):
            raise other_loop_error()
        # A session that was not closed has lost its connections together with the loop of an earlier `asyncio.run`.
        gone = self._transfers if for_transfers else self._pool
        if for_transfers:
            pool = self._transfers = open_transfer_pool(
                self._lent,
                headers=_FILE_HEADERS,
                max_connections=self._max_connections,
                may_connect=self._may_connect,
            )
        else:
            pool = self._pool = open_pool(
                self._lent,
                headers=_HEADERS,
                max_connections=self._max_connections,
                trace_configs=self._trace_configs,
                resend=self._resend,
            )
            if self._lent is not None:  # the connections outlive this session, which then need not be closed
                finalize(self, pool.session.detach)
        if gone is not None:
            await gone.close()
        return pool


def _timeouts(timeout: float | None) -> aiohttp.ClientTimeout:
    """Return aiohttp's limits on an attempt that may take `timeout` seconds once it has a connection."""
    connect = _CONNECT_TIMEOUT if timeout is None else min(_CONNECT_TIMEOUT, timeout)
    return aiohttp.ClientTimeout(total=None, sock_connect=connect)


def _usable(pool: Pool | None) -> Pool | None:
    """The pool, unless it was closed or belongs to another event loop."""
    if pool is None or pool.session.closed or pool.loop is not asyncio.get_running_loop():
        return None
    return pool


def _sent(error: BaseException, limit: Limit, body: JsonBody | FormBody | FileBody | None) -> bool:
    """Whether the server may have got the request. Until its body is written, a request with a body does nothing."""
    return limit.connected and not isinstance(error, NEVER_SENT) and (body is None or body.written)


def _failure(
    request: Request, error: BaseException, timeout: float | None, redactor: Redactor, *, sent: bool
) -> APIConnectionError:
    """Turn an exception of aiohttp's into ours."""
    if isinstance(error, TimeoutError):
        return APITimeoutError(timeout=timeout, sent=sent)
    why = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return APIConnectionError(redactor.text(f"{request} failed: {why}"), sent=sent)


def _presentable(error: BaseException, redactor: Redactor) -> BaseException:
    """The cause of an error without its frames, which hold the head of the request, and without the key."""
    chain = [error]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) is not None and cause not in chain:
        chain.append(cause)
    for link in chain:
        link.__traceback__ = None
    texts = [f"{type(link).__name__}: {link}" for link in chain]
    if not isinstance(error, aiohttp.ClientResponseError) and all(redactor.text(text) == text for text in texts):
        return error
    return aiohttp.ClientError(redactor.text(texts[0]))  # the original has what the server sent as attributes


async def _pieces(content: Any, chunk: bytes, encoding: str, stream: Limit | None) -> AsyncGenerator[bytes, None]:  # noqa: ANN401 - aiohttp's own
    """The body after its first chunk, piece by piece. A stream of events may end early, as its start names the run."""
    try:
        inflater = None if encoding.strip().lower() in {"", "identity"} else Inflater(encoding)
        while chunk:
            if inflater is None:
                yield chunk
            else:
                for piece in inflater.unpack(chunk):
                    yield piece
                    await asyncio.sleep(0)
            if stream is not None:
                stream.renew()
            try:
                chunk = await content.readany()
            except _FAULTS:
                if stream is None:
                    raise
                return
    except ValueError as error:
        raise aiohttp.ClientPayloadError(f"the body cannot be read: {error}") from None
    if inflater is not None and not inflater.is_complete:
        raise aiohttp.ClientPayloadError("the compressed body ends too early")
