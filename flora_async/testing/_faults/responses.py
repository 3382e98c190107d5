"""What can go wrong with an answer of FLORA's. Each fault says whether FLORA acted: created the run."""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import attrs
from aiohttp import web

from flora_async.testing._checks import status_from
from flora_async.testing._wire.answers import Answer, default_code, error_answer, json_answer
from flora_async.testing._wire.exchange import Exchange


@attrs.frozen
class Status:
    """An error status in FLORA's envelope. The server has not acted, unless `acts`.

    Args:
        status: 400 to 599.
        code: The error code, by default the one FLORA most often sends with the status.
        message: The error message, by default the status' own phrase.
        retry_after: The `Retry-After` header, sent as it is: seconds, or an HTTP date. `None` for no header.
        acts: Whether the server acts before it answers.
        body: A body to send as it is, instead of the envelope.

    Raises:
        ValueError: The status is not that of an error.

    Example:
        >>> from flora_async.testing import Status
        >>> busy = Status(429, retry_after=5)
    """

    status: int = attrs.field(validator=status_from(HTTPStatus.BAD_REQUEST))
    code: str | None = attrs.field(default=None, kw_only=True)
    message: str | None = attrs.field(default=None, kw_only=True)
    retry_after: float | str | None = attrs.field(default=None, kw_only=True)
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
        return exchange.send(_after(answer, self.retry_after))


@attrs.frozen
class RetryAfter:
    """Nothing wrong, but a `Retry-After` header comes with the normal answer. The server acts.

    Args:
        value: The header, sent as it is: seconds, or an HTTP date.
    """

    value: float | str

    async def serve(self, exchange: Exchange) -> web.StreamResponse:
        """Answer as usual, with the header."""
        return exchange.send(_after(exchange.act(), self.value))


@attrs.frozen
class Headers:
    """Nothing wrong, but these headers come with the normal answer, in place of its own. The server acts.

    Args:
        headers: The headers, sent as they are.

    Example:
        >>> from flora_async.testing import Headers
        >>> rude = Headers({"Content-Disposition": 'attachment; filename="../../.bashrc"'})
    """

    headers: Mapping[str, str]

    async def serve(self, exchange: Exchange) -> web.StreamResponse:
        """Answer as usual, with the headers."""
        answer = exchange.act()
        return exchange.send(attrs.evolve(answer, headers={**answer.headers, **self.headers}))


@attrs.frozen
class Garbage:
    """A body that is not JSON, such as a proxy sends. The server acts, unless told otherwise.

    Args:
        body: What is sent.
        status: 200 to 599.
        content_type: The `Content-Type` header.
        acts: Whether the server acts before it answers.

    Raises:
        ValueError: The status is not that of a final answer.
    """

    body: bytes = b"<html><body>Please stand by.</body></html>"
    status: int = attrs.field(default=200, validator=status_from(HTTPStatus.OK), kw_only=True)
    content_type: str = attrs.field(default="text/html", kw_only=True)
    acts: bool = attrs.field(default=True, kw_only=True)

    async def serve(self, exchange: Exchange) -> web.StreamResponse:
        """Answer with the body."""
        if self.acts:
            exchange.act()
        return exchange.send(Answer(self.status, self.body, self.content_type))


@attrs.frozen
class Replace:
    """Status 200 with another JSON value in place of the true one. The server acts, unless told otherwise.

    Args:
        payload: Any JSON value; keys and values are sent as they are, in no other case.
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
class ForeignPollUrl:
    """A normal answer about one run, but with this poll URL. The server acts.

    Args:
        url: The poll URL, sent as it is.
    """

    url: str

    async def serve(self, exchange: Exchange) -> web.StreamResponse:
        """Answer as usual, with the URL."""
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
        location: Where to; `None` for the same URL again.
        status: 300 to 399.

    Raises:
        ValueError: The status is not that of a redirect.
    """

    location: str | None = None
    status: int = attrs.field(
        default=302,
        validator=attrs.validators.in_(range(HTTPStatus.MULTIPLE_CHOICES, HTTPStatus.BAD_REQUEST)),
        kw_only=True,
    )

    async def serve(self, exchange: Exchange) -> web.StreamResponse:
        """Send the client elsewhere."""
        request = exchange.request
        location = self.location or f"http://{request.host}{request.raw_path}"
        return exchange.send(Answer(self.status, b"", headers={"Location": location}))


def _after(answer: Answer, retry_after: float | str | None) -> Answer:
    return answer if retry_after is None else answer.plus(retry_after=str(retry_after))
