"""Serve a receiver as a web application: for ASGI servers (specification 3.0) and for aiohttp."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from flora_async.webhooks._header import Headers
from flora_async.webhooks._query import Query

if TYPE_CHECKING:
    from aiohttp.web import Application, Request, Response

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]

MAX_BODY_BYTES: Final = 1024 * 1024
_SHUTDOWN: Final = 0.5  # seconds for a request that is under way at the end
_BAD_REQUEST: Final = 400
_METHOD_NOT_ALLOWED: Final = 405
_TIMED_OUT: Final = 408
_TOO_LARGE: Final = 413


class Answer(NamedTuple):
    """How to answer a delivery.

    Attributes:
        status: The HTTP status.
        body: Empty, or JSON: `{"error": reason}`.
    """

    status: int
    body: bytes = b""


Deliver: TypeAlias = Callable[[bytes, Headers, Query], Answer]


class _Request(NamedTuple):
    method: str
    headers: Headers
    query: Query
    read: Callable[[], Awaitable[tuple[bytes, bool]]]
    """Read the next piece of the body, and whether there is more."""


def refusal(status: int, reason: str) -> Answer:
    """An answer with the reason of the refusal in one word."""
    return Answer(status, json.dumps({"error": reason}).encode())


async def serve_asgi(deliver: Deliver, scope: Scope, receive: Receive, send: Send, body_timeout: float | None) -> None:
    """Serve one connection of an ASGI server.

    Raises:
        ValueError: The connection is of an unknown kind.
    """
    match scope["type"]:
        case "http":
            await _serve_http(deliver, scope, receive, send, body_timeout)
        case "lifespan":
            kind = ""
            while kind != "lifespan.shutdown":
                kind = (await receive())["type"]
                await send({"type": f"{kind}.complete"})
        case "websocket":
            await receive()
            await send({"type": "websocket.close"})
        case other:
            raise ValueError(f"A WebhookReceiver serves HTTP, not {other!r:.60}")


async def _serve_http(deliver: Deliver, scope: Scope, receive: Receive, send: Send, body_timeout: float | None) -> None:
    async def read() -> tuple[bytes, bool]:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionResetError
        return message.get("body", b""), message.get("more_body", False)

    request = _Request(scope["method"], scope["headers"], scope.get("query_string", b""), read)
    try:
        answer = await _answer(deliver, request, body_timeout)
    except ConnectionResetError:
        return  # the client has gone
    headers = [(name.lower().encode(), value.encode()) for name, value in _headers(answer).items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})


def aiohttp_app(deliver: Deliver, body_timeout: float | None) -> "Application":
    """Make an application for aiohttp, whose server is slow to import and is imported only here."""
    from aiohttp import web  # noqa: PLC0415 - see above

    async def handle(request: "Request") -> "Response":
        async def read() -> tuple[bytes, bool]:
            chunk = await request.content.readany()
            return chunk, bool(chunk)

        try:
            answer = await _answer(
                deliver, _Request(request.method, request.headers, request.rel_url.raw_query_string, read), body_timeout
            )
        except (ConnectionError, web.RequestPayloadError):
            answer = refusal(_BAD_REQUEST, "unreadable")
        response = web.Response(status=answer.status, body=answer.body, headers=_headers(answer))
        if answer.status == _TIMED_OUT:
            response.force_close()
        return response

    app = web.Application()
    for path in ("", "/"):
        app.router.add_route("*", path, handle)
    return app


@asynccontextmanager
async def serve(app: "Application", host: str, port: int) -> AsyncIterator[str]:
    """Serve an application for aiohttp inside the `async with`; yields its URL. Port 0 means any free port."""
    from aiohttp import web  # noqa: PLC0415 - a web server, loaded when one is started

    runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        address = runner.addresses[0]
        yield f"http://{f'[{host}]' if ':' in host else host}:{address[1]}/"
    finally:
        await runner.cleanup()


async def _answer(deliver: Deliver, request: _Request, body_timeout: float | None) -> Answer:
    """Read the body and deliver it."""
    if request.method != "POST":
        return refusal(_METHOD_NOT_ALLOWED, "method_not_allowed")
    body, more = bytearray(), True
    deadline = asyncio.timeout(body_timeout)
    try:
        async with deadline:
            while more:
                chunk, more = await request.read()
                body += chunk
                if len(body) > MAX_BODY_BYTES:
                    return refusal(_TOO_LARGE, "too_large")
    except TimeoutError:
        if not deadline.expired():
            raise
        return refusal(_TIMED_OUT, "too_slow")
    return deliver(bytes(body), request.headers, request.query)


def _headers(answer: Answer) -> Mapping[str, str]:
    allow = {"Allow": "POST"} if answer.status == _METHOD_NOT_ALLOWED else {}
    if not answer.body:
        return allow
    return {**allow, "Content-Type": "application/json", "Content-Length": str(len(answer.body))}
