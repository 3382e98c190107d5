"""Send requests to hosts that FLORA names, from which files are downloaded and to which large ones are uploaded.

Each URL is checked before a request, and each address before a connection. The key never goes to these hosts.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from copy import copy
from http import HTTPStatus
from types import EllipsisType
from typing import Final, NamedTuple, TypeVar
from urllib.parse import urljoin

from flora_async._clock import Clock
from flora_async._http.addresses import AddressRefusedError
from flora_async._http.bodies import File, Form
from flora_async._http.responses import Response, is_transient, raise_for_status
from flora_async._http.retry import Retrier
from flora_async._http.transport import Incoming, Transport
from flora_async._http.urls import Endpoints
from flora_async.config import RetryPolicy
from flora_async.errors import FloraError, RateLimitError, UntrustedURLError

ResultT = TypeVar("ResultT")

_MAX_REDIRECTS: Final = 5
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_MAX_ERROR_BODY: Final = 64 * 1024


class StorageSettings(NamedTuple):
    """What a client to other hosts is made of besides its connections; it can be pickled, and holds no key.

    Attributes:
        endpoints: Decides which hosts may be named.
        policy: Decides how requests are retried.
        idle: Seconds without a byte after which a transfer counts as lost; None = no limit.
    """

    endpoints: Endpoints
    policy: RetryPolicy
    idle: float | None


class StorageClient:
    """Sends requests without the key to hosts that FLORA names.

    Args:
        transport: Sends them.
        endpoints: Decides which hosts may be named.
        policy: Decides how they are retried.
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
        self._policy = policy
        self._retrier = Retrier(policy, clock)

    @property
    def settings(self) -> StorageSettings:
        """The settings of the client, for one in another process."""
        return StorageSettings(self._endpoints, self._policy, self._idle)

    def with_options(self, *, policy: RetryPolicy, idle: float | EllipsisType | None) -> "StorageClient":
        """The same client with another policy, and another limit unless it is left out."""
        client = copy(self)
        client._policy, client._retrier = policy, Retrier(policy, self._clock)  # noqa: SLF001 - of this class
        if not isinstance(idle, EllipsisType):
            client._idle = idle  # noqa: SLF001 - of this class
        return client

    async def retry(self, attempt: Callable[[], Awaitable[ResultT]], name: object) -> ResultT:
        """Call `attempt` until it succeeds or fails for a reason that will not pass.

        Raises:
            FloraError: The error of the last attempt.
        """
        return await self._retrier.call(attempt, retry_if=is_transient, min_pause=_requested_pause, name=name)

    async def store(self, method: str, url: str, body: Form | File) -> None:
        """Send a file to a storage host, as a part of a form or as the whole body.

        Raises:
            UntrustedURLError: The URL may not be used; nothing was sent.
            APIStatusError: The host refused.
            FloraError: Any other error, after all retries.
        """
        request = self._transport.media_request(method, self._endpoints.media(url), body=body)

        async def attempt() -> None:
            with _naming(url):
                response = await self._transport.send(request, timeout=self._idle)
            if response.status in _REDIRECTS:
                raise UntrustedURLError(response.headers.get("location", ""), "a storage host must not redirect a file")
            raise_for_status(response, self._clock.time())

        await self.retry(attempt, request)

    @asynccontextmanager
    async def fetch(self, url: str, headers: Mapping[str, str]) -> AsyncGenerator[Incoming, None]:
        """Request a file once and yield the response, a success or 416, before its body has arrived.

        Raises:
            UntrustedURLError: The URL, or one that it redirects to, may not be followed.
            APIStatusError: The host refused.
            APIConnectionError: No response began.
        """
        for _ in range(_MAX_REDIRECTS + 1):
            request = self._transport.media_request("GET", self._endpoints.media(url), headers=headers)
            with _naming(url):
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
        raise UntrustedURLError(url, f"more than {_MAX_REDIRECTS} redirects led here")

    async def _check(self, incoming: Incoming) -> None:
        if (
            incoming.status < HTTPStatus.MULTIPLE_CHOICES
            or incoming.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
        ):
            return
        body = b""
        with suppress(TimeoutError):  # the status says enough
            async with asyncio.timeout(self._idle), aclosing(incoming.chunks()) as chunks:
                async for chunk in chunks:
                    body += chunk
                    if len(body) > _MAX_ERROR_BODY:
                        break
        raise_for_status(Response(incoming.status, incoming.headers, body), self._clock.time())


@contextmanager
def _naming(url: str) -> Generator[None, None, None]:
    """Name the URL whose host has no address that may be connected to."""
    try:
        yield
    except AddressRefusedError as error:
        raise UntrustedURLError(url, str(error)) from None


def _requested_pause(error: FloraError) -> float:
    """The pause that a host asks for with 429, which does not pause requests to FLORA."""
    return (error.retry_after or 0.0) if isinstance(error, RateLimitError) else 0.0
