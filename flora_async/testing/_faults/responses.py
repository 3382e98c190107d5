"""Faults in the answer. Each documents whether the server acts, that is, carries the request out."""

import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from datetime import timedelta
from http import HTTPStatus
from typing import Any, TypeAlias

import attrs
from aiohttp import web

from flora_async.testing._checks import http_status
from flora_async.testing._state.runs import ENDED
from flora_async.testing._wire.answers import Answer, default_code, error_answer, json_answer
from flora_async.testing._wire.exchange import Exchange

RetryDelay: TypeAlias = float | str | timedelta


@attrs.frozen
class Status:
    """An error status with FLORA's error envelope. The server does not act, unless `acts`.

    Args:
        status: 400 to 599.
        code: The error code, by default the one that FLORA most often sends with the status.
        message: The error message, by default the phrase of the status.
        retry_after: The `Retry-After` header: seconds, any text, or a `timedelta`, which is added to the server's time
            and sent as an HTTP date. `None` for no header.
        headers: Further headers, such as `retry-after-ms` and `x-should-retry`.
        acts: Whether the server acts before it answers.
        body: A body to send verbatim instead of the envelope.

    Raises:
        ValueError: The status is not an error status.

    Example:
        >>> from flora_async.testing import Status
        >>> busy = Status(429, retry_after=5)
        >>> final = Status(503, headers={"x-should-retry": "false"})
    """

    status: int = attrs.field(validator=http_status(HTTPStatus.BAD_REQUEST))
    code: str | None = attrs.field(default=None, kw_only=True)
    message: str | None = attrs.field(default=None, kw_only=True)
    retry_after: RetryDelay | None = attrs.field(default=None, kw_only=True)
    headers: Mapping[str, str] = attrs.field(factory=dict, kw_only=True)
    acts: bool = attrs.field(default=False, kw_only=True)
    body: bytes | None = attrs.field(default=None, kw_only=True)

    async def serve(self, exchange: Exchange) -> web.StreamResponse:
        """Answer with the status."""
        if self.acts:
            exchange.act()
        code = self.code or default_code(self.status)
        answer = error_answer(self.status, code, self.message or HTTPStatus(self.status).phrase)
        if self.body is not None:
            answer = attrs.evolve(answer, body=self.body)
        if self.retry_after is not None:
            answer = answer.with_headers({"Retry-After": _retry_after(exchange, self.retry_after)})
        return exchange.send(answer.with_headers(self.headers))


@attrs.frozen
class ProxyPage:
    """The page of a proxy in front of FLORA: HTML without a `request-id`. The server does not act, unless `acts`.

    Args:
        status: 200 to 599.
        body: The page.
        headers: Further headers.
        acts: Whether the server acts before the proxy answers.

    Raises:
        ValueError: The status is not between 200 and 599.

    Example:
        >>> from flora_async.testing import FakeFlora, ProxyPage
        >>> FakeFlora().inject(ProxyPage(404), on="poll")
    """

    status: int = attrs.field(default=502, validator=http_status(HTTPStatus.OK))
    body: bytes = attrs.field(default=b"<html><body>The upstream server did not answer.</body></html>", kw_only=True)
    headers: Mapping[str, str] = attrs.field(factory=dict, kw_only=True)
    acts: bool = attrs.field(default=False, kw_only=True)

    async def serve(self, exchange: Exchange) -> web.StreamResponse:
        """Answer with the page."""
        if self.acts:
            exchange.act()
        return exchange.send(Answer(self.status, self.body, "text/html", headers=self.headers, from_flora=False))


@attrs.frozen
class RetryAfter:
    """The regular answer with a `Retry-After` header. The server acts.

    Args:
        value: The header, as for `Status`.
    """

    value: RetryDelay

    async def serve(self, exchange: Exchange) -> web.StreamResponse:
        """Send the regular answer with the header."""
        return exchange.send(exchange.act().with_headers({"Retry-After": _retry_after(exchange, self.value)}))


@attrs.frozen
class Headers:
    """The regular answer with these headers, which replace its own. The server acts.

    Args:
        headers: The headers, sent verbatim.

    Example:
        >>> from flora_async.testing import Headers
        >>> hostile = Headers({"Content-Disposition": 'attachment; filename="../../.bashrc"'})
    """

    headers: Mapping[str, str]

    async def serve(self, exchange: Exchange) -> web.StreamResponse:
        """Send the regular answer with the headers."""
        return exchange.send(exchange.act().with_headers(self.headers))


@attrs.frozen
class Garbage:
    """A body that is not JSON, such as the page of a proxy. The server acts, unless `acts` is false.

    Args:
        body: The body.
        status: 200 to 599.
        content_type: The `Content-Type` header.
        acts: Whether the server acts before it answers.

    Raises:
        ValueError: The status is not between 200 and 599.
    """

    body: bytes = b"<html><body>Please stand by.</body></html>"
    status: int = attrs.field(default=200, validator=http_status(HTTPStatus.OK), kw_only=True)
    content_type: str = attrs.field(default="text/html", kw_only=True)
    acts: bool = attrs.field(default=True, kw_only=True)

    async def serve(self, exchange: Exchange) -> web.StreamResponse:
        """Answer with the body."""
        if self.acts:
            exchange.act()
        return exchange.send(Answer(self.status, self.body, self.content_type))


@attrs.frozen
class Replace:
    """Status 200 with another JSON value as its body. The server acts, unless `acts` is false.

    Args:
        payload: Any JSON value, sent verbatim: its keys are not converted to the server's `case`.
        acts: Whether the server acts before it answers.

    Raises:
        TypeError: The payload is not JSON.
    """

    payload: Any = attrs.field()
    acts: bool = attrs.field(default=True, kw_only=True)

    @payload.validator
    def _is_json(self, _: "attrs.Attribute[Any]", value: object) -> None:
        json.dumps(value)

    async def serve(self, exchange: Exchange) -> web.StreamResponse:
        """Answer with the payload."""
        if self.acts:
            exchange.act()
        return exchange.send(json_answer(self.payload))


@attrs.frozen
class EventStream:
    """The answer to a start as server-sent events: one for each status of the run, in `data` as polling answers it.

    The server acts. The stream ends with the ended run, after the time that the run takes on the server's clock. A
    refused start gets the regular answer.

    Args:
        cut: Close the connection before the event with the ended run.

    Example:
        >>> from flora_async.testing import EventStream, FakeFlora
        >>> FakeFlora().inject(EventStream(), on="start", times=None)
    """

    cut: bool = attrs.field(default=False, kw_only=True)

    async def serve(self, exchange: Exchange) -> web.StreamResponse:
        """Stream the run."""
        answer = exchange.act()
        if answer.status >= HTTPStatus.BAD_REQUEST:
            return exchange.send(answer)
        head = attrs.evolve(answer, content_type="text/event-stream").with_headers({"Cache-Control": "no-store"})
        response = await exchange.stream(head, self._events(exchange.follow(answer)), length=None)
        if self.cut:
            exchange.abort()
        return response

    async def _events(self, answers: AsyncGenerator[Answer, None]) -> AsyncGenerator[bytes, None]:
        yield b": connected\n\n"
        async with aclosing(answers):
            async for answer in answers:
                if self.cut and json.loads(answer.body)["status"] in ENDED:
                    return
                yield b"event: run\ndata: " + answer.body + b"\n\n"


@attrs.frozen
class ForeignPollUrl:
    """The regular answer about a run with this poll URL. The server acts.

    Args:
        url: The poll URL, sent verbatim.
    """

    url: str

    async def serve(self, exchange: Exchange) -> web.StreamResponse:
        """Send the regular answer with the URL."""
        answer = exchange.act()
        if answer.status < HTTPStatus.BAD_REQUEST:
            payload = json.loads(answer.body)
            names = payload.keys() & {"pollUrl", "poll_url"} or {"poll_url"}
            answer = attrs.evolve(answer, body=json.dumps(payload | dict.fromkeys(names, self.url)).encode())
        return exchange.send(answer)


@attrs.frozen
class Redirect:
    """A redirect. The server does not act.

    Args:
        location: The `Location` header; `None` for the requested URL.
        status: 300 to 399.

    Raises:
        ValueError: The status is not a redirect.
    """

    location: str | None = None
    status: int = attrs.field(
        default=302,
        validator=attrs.validators.in_(range(HTTPStatus.MULTIPLE_CHOICES, HTTPStatus.BAD_REQUEST)),
        kw_only=True,
    )

    async def serve(self, exchange: Exchange) -> web.StreamResponse:
        """Answer with the redirect."""
        request = exchange.request
        location = self.location or f"http://{request.host}{request.raw_path}"
        return exchange.send(Answer(self.status, b"", headers={"Location": location}))


def _retry_after(exchange: Exchange, delay: RetryDelay) -> str:
    return exchange.http_date(delay.total_seconds()) if isinstance(delay, timedelta) else str(delay)
