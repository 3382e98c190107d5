"""What can go wrong with the connection to FLORA. Each fault says whether FLORA acted: created the run."""

import asyncio
from typing import Any, Literal

import attrs
from aiohttp import web

from flora_async.testing._checks import finite_seconds
from flora_async.testing._wire.answers import json_answer
from flora_async.testing._wire.exchange import Exchange

_PIECE = 64 * 1024
_DRIPS = 16


def _part_not_acted_on(drop: "Drop", attribute: "attrs.Attribute[Any]", value: int | None) -> None:
    if value is None:
        return
    if value < 0 or drop.acts:
        raise ValueError(f"{attribute.name} must be None, or 0 or more bytes for a server that does not act")


@attrs.frozen
class Drop:
    """The connection is dropped without a byte of an answer.

    Args:
        acts: Whether the server acts.
        late: Seconds for which it goes on working after the drop, before it acts, as behind a gateway that has
            failed; 0 for a server that acts before.
        reads: Bytes of the request's body after which the connection is dropped, while the rest is still on its
            way; `None` for all of them. What has not been read to its end cannot be acted on.

    Raises:
        TypeError: The time is not a number.
        ValueError: The time is negative, NaN or infinite, `reads` is negative, or the server shall act on a part.
    """

    acts: bool = attrs.field(kw_only=True)
    late: float = attrs.field(default=0.0, validator=finite_seconds, kw_only=True)
    reads: int | None = attrs.field(default=None, validator=_part_not_acted_on, kw_only=True)

    async def serve(self, exchange: Exchange) -> web.StreamResponse:
        """Drop the connection."""
        if self.late:
            exchange.abort()
            await asyncio.sleep(self.late)
        if self.acts:
            exchange.act()
        return exchange.abort()


@attrs.frozen
class Truncate:
    """Status and headers are those of a whole answer, but the connection closes after half of the body.

    Args:
        acts: Whether the server acts before that; the half of the body is a made-up one if not.
    """

    acts: bool = attrs.field(default=True, kw_only=True)

    async def serve(self, exchange: Exchange) -> web.StreamResponse:
        """Send half of an answer."""
        answer = exchange.act() if self.acts else json_answer({"run_id": "run_cut_off", "status": "pending"})
        length = len(answer.body)
        response = await exchange.stream(answer, [answer.body[: length // 2]], length=length)
        exchange.cut()
        return response


@attrs.frozen
class Cut:
    """The connection closes after so many bytes of the body, whose length was announced whole. The server acts.

    Of an answer to a `Range` request they are the first bytes of the part that was asked for, so a download that
    begins again where it was cut gets further each time.

    Args:
        after: Bytes that are sent.

    Raises:
        ValueError: It is less than 0.

    Example:
        >>> from flora_async.testing import Cut, FakeFlora
        >>> FakeFlora().inject(Cut(after=100_000), on="media", times=3)
    """

    after: int = attrs.field(validator=attrs.validators.ge(0))

    async def serve(self, exchange: Exchange) -> web.StreamResponse:
        """Send the beginning of the answer."""
        answer = exchange.act()
        response = await exchange.stream(answer, [answer.body[: self.after]], length=len(answer.body))
        exchange.cut()
        return response


@attrs.frozen
class Slow:
    """A slow server, in real time. It acts in the end, even for a client that has gone away meanwhile.

    Args:
        seconds: How long it takes.
        where: `before` it acts, `after` that but before it answers, or while it sends the `body`, whose
            status and first bytes come at once.

    Raises:
        TypeError: The time is not a number.
        ValueError: The time is negative, NaN or infinite, or `where` is something else.
    """

    seconds: float = attrs.field(validator=finite_seconds)
    where: Literal["before", "after", "body"] = attrs.field(
        default="before", validator=attrs.validators.in_(("before", "after", "body")), kw_only=True
    )

    async def serve(self, exchange: Exchange) -> web.StreamResponse:
        """Answer as usual, but slowly."""
        if self.where == "before":
            await asyncio.sleep(self.seconds)
            return exchange.send(exchange.act())
        answer = exchange.act()
        if self.where == "after":
            await asyncio.sleep(self.seconds)
            return exchange.send(answer)
        body = answer.body
        step = -(-len(body) // _DRIPS)
        pieces = [body[start : start + step] for start in range(0, len(body), step)]
        return await exchange.stream(answer, pieces, length=len(body), pause=self.seconds / len(pieces))


@attrs.frozen
class Oversize:
    """A valid JSON body of enormous size. The server acts, unless told otherwise.

    Args:
        size: Bytes of the body, at least 2.
        announce: Whether a `Content-Length` header says so beforehand; else the body comes chunked.
        acts: Whether the server acts before it answers.

    Raises:
        ValueError: The size is less than 2.
    """

    size: int = attrs.field(validator=attrs.validators.ge(2))
    announce: bool = attrs.field(default=False, kw_only=True)
    acts: bool = attrs.field(default=True, kw_only=True)

    async def serve(self, exchange: Exchange) -> web.StreamResponse:
        """Stream the body, as long as the client takes it."""
        if self.acts:
            exchange.act()
        full, rest = divmod(self.size - 2, _PIECE)
        pieces = (b'"', *[b"x" * _PIECE] * full, b"x" * rest, b'"')
        return await exchange.stream(json_answer(None), pieces, length=self.size if self.announce else None)
