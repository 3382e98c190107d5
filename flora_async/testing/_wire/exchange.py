"""One request on its way to an answer, and the ways in which bytes can leave the server."""

import asyncio
from collections.abc import Callable, Iterable

import attrs
from aiohttp import web
from multidict import CIMultiDict

from flora_async.testing._wire.answers import Answer


@attrs.frozen
class Exchange:
    """A request that has arrived, what carries it out, and the connection it came on.

    Attributes:
        request: The request on its connection.
        request_id: The `request-id` of whatever is answered.
        act: Carries the request out, creates its run if it starts one, and gives the true answer.
    """

    request: web.Request
    request_id: str
    act: Callable[[], Answer]

    def send(self, answer: Answer) -> web.StreamResponse:
        """Send the whole answer."""
        return web.Response(status=answer.status, body=answer.body, headers=self._headers(answer))

    async def stream(
        self, answer: Answer, pieces: Iterable[bytes], *, length: int | None, pause: float = 0.0
    ) -> web.StreamResponse:
        """Send the head of the answer with these pieces as its body.

        Args:
            answer: Gives status and headers.
            pieces: The body, or the part of it that gets sent.
            length: The announced number of bytes; `None` for a chunked body.
            pause: Seconds of real time after each piece.
        """
        response = web.StreamResponse(status=answer.status, headers=self._headers(answer))
        if length is None:
            response.enable_chunked_encoding()
        else:
            response.content_length = length
        try:
            await response.prepare(self.request)
            for piece in pieces:
                await response.write(piece)
                await asyncio.sleep(pause)
        except ConnectionError:
            pass  # the client has gone, which is its right
        return response

    def cut(self) -> None:
        """Close the connection once what has been written is out."""
        if self.request.transport is not None:
            self.request.transport.close()

    def abort(self) -> web.StreamResponse:
        """Drop the connection now, with whatever is still to be written."""
        if self.request.transport is not None:
            self.request.transport.abort()
        return web.Response()

    def _headers(self, answer: Answer) -> CIMultiDict[str]:
        headers = CIMultiDict({"Content-Type": answer.content_type, "request-id": self.request_id})
        headers.update(answer.headers)
        return headers


async def read_body(request: web.Request, most: int | None) -> bytes:
    """The body of a request, or as much of it as has come when `most` bytes are there.

    Raises:
        ConnectionError: The client has gone before that.
    """
    if most is None:
        return await request.read()
    body = bytearray()
    async for piece in request.content.iter_any():
        body += piece
        if len(body) >= most:
            break
    return bytes(body)
