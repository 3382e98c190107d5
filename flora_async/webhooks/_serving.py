"""A receiver as a web application: of ASGI's (its specification 3.0) and of aiohttp's."""

import json
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from flora_async.webhooks._header import Headers

if TYPE_CHECKING:
    from aiohttp.web import Application, Request, Response

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]

LARGEST_DELIVERY: Final = 1024 * 1024
_BAD_REQUEST: Final = 400
_METHOD_NOT_ALLOWED: Final = 405
_TOO_LARGE: Final = 413


class Answer(NamedTuple):
    """How to answer a delivery.

    Attributes:
        status: The HTTP status.
        body: Empty, or JSON: `{"error": reason}`.
    """

    status: int
    body: bytes = b""


Deliver: TypeAlias = Callable[[bytes, Headers], Answer]


def refusal(status: int, reason: str) -> Answer:
    """An answer that says why not, in one word for programs."""
    return Answer(status, json.dumps({"error": reason}).encode())


async def serve_asgi(deliver: Deliver, scope: Scope, receive: Receive, send: Send) -> None:
    """Serve one connection of an ASGI server.

    Raises:
        ValueError: It is of a kind that is not known here.
    """
    match scope["type"]:
        case "http":
            await _serve_http(deliver, scope, receive, send)
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


async def _serve_http(deliver: Deliver, scope: Scope, receive: Receive, send: Send) -> None:
    async def read() -> tuple[bytes, bool]:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionResetError
        return message.get("body", b""), message.get("more_body", False)

    try:
        answer = await _answer(deliver, scope["method"], scope["headers"], read)
    except ConnectionResetError:
        return  # nobody is left to answer
    headers = [(name.lower().encode(), value.encode()) for name, value in _headers(answer).items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})


def aiohttp_app(deliver: Deliver) -> "Application":
    """An application of aiohttp's, whose server is imported with the first: it takes a while."""
    from aiohttp import web  # noqa: PLC0415 - see above

    async def handle(request: "Request") -> "Response":
        async def read() -> tuple[bytes, bool]:
            chunk = await request.content.readany()
            return chunk, bool(chunk)

        try:
            answer = await _answer(deliver, request.method, request.headers, read)
        except (ConnectionError, web.RequestPayloadError):
            answer = refusal(_BAD_REQUEST, "unreadable")
        return web.Response(status=answer.status, body=answer.body, headers=_headers(answer))

    app = web.Application()
    for path in ("", "/"):
        app.router.add_route("*", path, handle)
    return app


async def _answer(
    deliver: Deliver, method: str, headers: Headers, read: Callable[[], Awaitable[tuple[bytes, bool]]]
) -> Answer:
    """Read the body, piece by piece until none is left, and deliver it."""
    if method != "POST":
        return refusal(_METHOD_NOT_ALLOWED, "method_not_allowed")
    body, more = bytearray(), True
    while more:
        chunk, more = await read()
        body += chunk
        if len(body) > LARGEST_DELIVERY:
            return refusal(_TOO_LARGE, "too_large")
    return deliver(bytes(body), headers)


def _headers(answer: Answer) -> Mapping[str, str]:
    allow = {"Allow": "POST"} if answer.status == _METHOD_NOT_ALLOWED else {}
    if not answer.body:
        return allow
    return {**allow, "Content-Type": "application/json", "Content-Length": str(len(answer.body))}
