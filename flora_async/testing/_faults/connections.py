"""Faults of the connection. Each documents whether the server acts, that is, carries the request out."""

import asyncio
from typing import Any, Literal

import attrs
from aiohttp import web

from flora_async.testing._checks import validate_finite_seconds
from flora_async.testing._wire.answers import json_answer
from flora_async.testing._wire.exchange import Exchange, paced

_CHUNK_BYTES = 64 * 1024
_SLOW_PIECES = 16


def _validate_reads(drop: "Drop", attribute: "attrs.Attribute[Any]", value: int | None) -> None:
    if value is None:
        return
    if value < 0 or drop.acts:
        raise ValueError(f"{attribute.name} must be None, or 0 or more bytes with acts=False")


@attrs.frozen
class Drop:
    """The connection closes without any answer.

    Args:
        acts: Whether the server acts.
        late: Seconds of real time between the drop and the moment at which the server acts, as behind a gateway that
            has failed; 0 for a server that acts first.
        reads: Drop the connection after this many bytes of the request body, while the rest is still being sent; `None`
            reads the whole body. A server cannot act on a request that it has not read completely.

    Raises:
        TypeError: The time is not a number.
        ValueError: The time is negative, NaN or infinite, `reads` is negative, or `reads` is combined
            with `acts=True`.
    """

    acts: bool = attrs.field(kw_only=True)
    late: float = attrs.field(default=0.0, validator=validate_finite_seconds, kw_only=True)
    reads: int | None = attrs.field(default=None, validator=_validate_reads, kw_only=True)

    async def serve(self, exchange: Exchange) -> web.StreamResponse:
        """Close the connection."""
        if self.late:
            exchange.abort()
            await asyncio.sleep(self.late)
        if self.acts:
            exchange.act()
        return exchange.abort()


@attrs.frozen
class Truncate:
    """The connection closes after half of the body; status and headers are those of the whole answer.

    Args:
        acts: Whether the server acts; if not, the half is that of an invented answer.
    """

    acts: bool = attrs.field(default=True, kw_only=True)

    async def serve(self, exchange: Exchange) -> web.StreamResponse:
        """Send half of the answer."""
        answer = exchange.act() if self.acts else json_answer({"run_id": "run_cut_off", "status": "pending"})
        length = len(answer.body)
        response = await exchange.stream(answer, paced([answer.body[: length // 2]]), length=length)
        exchange.close()
        return response


@attrs.frozen
class Cut:
    """The connection closes after this many bytes of the body; the headers announce all of it. The server acts.

    If the request has a `Range` header, the bytes are counted from the beginning of that range, so a download that
    resumes makes progress with every attempt.

    Args:
        after: The number of bytes to send.

    Raises:
        ValueError: `after` is negative.

    Example:
        >>> from flora_async.testing import Cut, FakeFlora
        >>> FakeFlora().inject(Cut(after=100_000), on="media", times=3)
    """

    after: int = attrs.field(validator=attrs.validators.ge(0))

    async def serve(self, exchange: Exchange) -> web.StreamResponse:
        """Send the first bytes of the answer."""
        answer = exchange.act()
        response = await exchange.stream(answer, paced([answer.body[: self.after]]), length=len(answer.body))
        exchange.close()
        return response


@attrs.frozen
class Slow:
    """A slow server, in real time. It acts in the end, even if the client has disconnected by then.

    Args:
        seconds: The delay.
        where: `before` the server acts; `after` it has acted, but before it answers; or while it sends the `body`,
            whose status and first bytes are sent at once.

    Raises:
        TypeError: The time is not a number.
        ValueError: The time is negative, NaN or infinite, or `where` is not one of these.
    """

    seconds: float = attrs.field(validator=validate_finite_seconds)
    where: Literal["before", "after", "body"] = attrs.field(
        default="before", validator=attrs.validators.in_(("before", "after", "body")), kw_only=True
    )

    async def serve(self, exchange: Exchange) -> web.StreamResponse:
        """Send the regular answer slowly."""
        if self.where == "before":
            await asyncio.sleep(self.seconds)
            return exchange.send(exchange.act())
        answer = exchange.act()
        if self.where == "after":
            await asyncio.sleep(self.seconds)
            return exchange.send(answer)
        body = answer.body
        step = -(-len(body) // _SLOW_PIECES)
        pieces = [body[start : start + step] for start in range(0, len(body), step)]
        return await exchange.stream(answer, paced(pieces, self.seconds / len(pieces)), length=len(body))


@attrs.frozen
class Oversize:
    """A valid JSON body of a given size. The server acts, unless `acts` is false.

    Args:
        size: The number of bytes, at least 2.
        announce: Whether a `Content-Length` header announces the size; otherwise the body is chunked.
        acts: Whether the server acts before it answers.

    Raises:
        ValueError: The size is less than 2.
    """

    size: int = attrs.field(validator=attrs.validators.ge(2))
    announce: bool = attrs.field(default=False, kw_only=True)
    acts: bool = attrs.field(default=True, kw_only=True)

    async def serve(self, exchange: Exchange) -> web.StreamResponse:
        """Stream the body for as long as the client reads it."""
        if self.acts:
            exchange.act()
        full, rest = divmod(self.size - 2, _CHUNK_BYTES)
        pieces = (b'"', *[b"x" * _CHUNK_BYTES] * full, b"x" * rest, b'"')
        return await exchange.stream(json_answer(None), paced(pieces), length=self.size if self.announce else None)
