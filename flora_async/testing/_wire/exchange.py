"""A request on its connection, and the ways to answer it."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing
from email.utils import formatdate

import attrs
from aiohttp import web
from multidict import CIMultiDict

from flora_async._clock import Clock
from flora_async.testing._wire.answers import Answer


@attrs.frozen
class Exchange:
    """A request that has arrived, the function that carries it out, and its connection.

    Attributes:
        request: The request on its connection.
        request_id: The `request-id` header of the answer.
        clock: The server's clock, which the `Date` header follows.
        act: Carries the request out, which creates its run if it starts one, and returns the regular answer.
        follow: Yields answers about the run in the answer to a start, the last one when it has ended.
    """

    request: web.Request
    request_id: str
    clock: Clock
    act: Callable[[], Answer]
    follow: Callable[[Answer], AsyncGenerator[Answer, None]]

    def send(self, answer: Answer) -> web.StreamResponse:
        """Send a complete answer."""
        return web.Response(status=answer.status, body=answer.body, headers=self._headers(answer))

    def http_date(self, seconds: float = 0.0) -> str:
        """Return the server's time, or that many seconds later, as an HTTP date."""
        return formatdate(self.clock.time() + seconds, usegmt=True)

    async def stream(
        self, answer: Answer, pieces: AsyncGenerator[bytes, None], *, length: int | None
    ) -> web.StreamResponse:
        """Send the head of the answer and then these pieces as its body.

        Args:
            answer: Provides the status and the headers.
            pieces: The body, or the part of it to send.
            length: The announced number of bytes; `None` for a chunked body.
        """
        response = web.StreamResponse(status=answer.status, headers=self._headers(answer))
        if length is None:
            response.enable_chunked_encoding()
        else:
            response.content_length = length
        try:
            await response.prepare(self.request)
            async with aclosing(pieces):
                async for piece in pieces:
                    await response.write(piece)
        except ConnectionError:
            pass  # the client has closed the connection, as it is free to do
        return response

    def close(self) -> None:
        """Close the connection after everything written so far has been sent."""
        if self.request.transport is not None:
            self.request.transport.close()

    def abort(self) -> web.StreamResponse:
        """Close the connection at once and discard what has not been sent yet."""
        if self.request.transport is not None:
            self.request.transport.abort()
        return web.Response()

    def _headers(self, answer: Answer) -> CIMultiDict[str]:
        headers = CIMultiDict({"Content-Type": answer.content_type, "Date": self.http_date()})
        if answer.from_flora:
            headers["request-id"] = self.request_id
        headers.update(answer.headers)
        return headers


async def paced(pieces: Iterable[bytes], pause: float = 0.0) -> AsyncGenerator[bytes, None]:
    """Yield the pieces with so many seconds of real time after each of them."""
    for piece in pieces:
        yield piece
        await asyncio.sleep(pause)


async def read_request_body(request: web.Request, max_bytes: int | None) -> bytes:
    """Read the body of a request, or stop once at least `max_bytes` have arrived.

    Raises:
        ConnectionError: The client has closed the connection before that.
    """
    if max_bytes is None:
        return await request.read()
    body = bytearray()
    async for piece in request.content.iter_any():
        body += piece
        if len(body) >= max_bytes:
            break
    return bytes(body)
