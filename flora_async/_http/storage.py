"""The client to hosts that are not FLORA's own: where files are fetched from, and where large ones are stored.

FLORA names these hosts in its answers, so each URL is checked before anything goes there; the key never does.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from http import HTTPStatus
from typing import Final, TypeVar
from urllib.parse import urljoin

from flora_async._clock import Clock
from flora_async._http.bodies import File, Form
from flora_async._http.responses import Response, is_transient, raise_for_status
from flora_async._http.retry import Retrier
from flora_async._http.transport import Incoming, Transport
from flora_async._http.urls import Endpoints
from flora_async.config import RetryPolicy
from flora_async.errors import FloraError, RateLimitError, UntrustedURLError

ResultT = TypeVar("ResultT")

_MOST_REDIRECTS: Final = 5
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_MOST_OF_AN_ERROR: Final = 64 * 1024


class StorageClient:
    """Sends requests without the key to hosts that FLORA names.

    Args:
        transport: What carries them.
        endpoints: Which hosts may be named.
        policy: How they are tried again.
        idle: Seconds without a byte after which a transfer counts as lost; None = no limit.
        clock: Time, sleep and randomness.
    """

    def __init__(
        self, transport: Transport, endpoints: Endpoints, *, policy: RetryPolicy, idle: float | None, clock: Clock
    ) -> None:
        self._transport = transport
        self._endpoints = endpoints
        self._idle = idle
        self._clock = clock
        self._retrier = Retrier(policy, clock)

    async def retry(self, attempt: Callable[[], Awaitable[ResultT]], name: str) -> ResultT:
        """The first success of `attempt`, tried again while it fails for reasons that may pass.

        Raises:
            FloraError: The error of the last attempt.
        """
        return await self._retrier.call(attempt, retry_if=is_transient, min_pause=_asked_pause, name=name)

    async def store(self, method: str, url: str, body: Form | File) -> None:
        """Send a file to a storage host, as a part of a form or as the whole body.

        Raises:
            UntrustedURLError: The URL may not be used; nothing was sent.
            APIStatusError: The host refused.
            FloraError: Any other error, after all retries.
        """
        request = self._transport.media_request(method, self._endpoints.media(url), body=body)

        async def attempt() -> None:
            response = await self._transport.send(request, timeout=self._idle)
            if response.status in _REDIRECTS:
                raise UntrustedURLError(response.headers.get("location", ""), "a storage host must not redirect a file")
            raise_for_status(response, self._clock.time())

        await self.retry(attempt, f"{method} {request.path}")

    @asynccontextmanager
    async def fetch(self, url: str, headers: Mapping[str, str]) -> AsyncGenerator[Incoming, None]:
        """Ask once for a file and hand out the answer, a success or 416, while it is on its way.

        Raises:
            UntrustedURLError: The URL, or one that it redirects to, may not be followed.
            APIStatusError: The host refused.
            APIConnectionError: No answer began.
        """
        for _ in range(_MOST_REDIRECTS + 1):
            request = self._transport.media_request("GET", self._endpoints.media(url), headers=headers)
            async with self._transport.stream(request, idle=self._idle) as incoming:
                location = incoming.headers.get("location") if incoming.status in _REDIRECTS else None
                if location is None:
                    await self._check(incoming)
                    yield incoming
                    return
            try:
                url = urljoin(url, location)
            except ValueError as error:
                raise UntrustedURLError(location, str(error)) from None
        raise UntrustedURLError(url, f"more than {_MOST_REDIRECTS} redirects led here")

    async def _check(self, incoming: Incoming) -> None:
        if (
            incoming.status < HTTPStatus.MULTIPLE_CHOICES
            or incoming.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
        ):
            return
        body = b""
        async with aclosing(incoming.chunks()) as chunks:
            async for chunk in chunks:
                body += chunk
                if len(body) > _MOST_OF_AN_ERROR:
                    break
        raise_for_status(Response(incoming.status, incoming.headers, body), self._clock.time())


def _asked_pause(error: FloraError) -> float:
    """What a host asks for with 429: FLORA's gate is not closed for it."""
    return (error.retry_after or 0.0) if isinstance(error, RateLimitError) else 0.0
