"""aiohttp sessions of our own, whose requests check their connection and start their time limit with it."""

import asyncio
import logging
import math
import select
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from functools import lru_cache
from types import TracebackType
from typing import Any, Final, Self
from urllib.request import getproxies, proxy_bypass

import aiohttp
from aiohttp.connector import Connection
from yarl import URL

from flora_async._http.addresses import MayConnect
from flora_async._http.resolver import GuardedResolver, SystemResolver

logger = logging.getLogger("flora_async")

# A queue this long, in seconds, means that a session makes more requests than its connections can carry.
_LONG_QUEUE: Final = 1.0
# How late a limit may be noticed, in seconds, so that thousands that end together are noticed together.
_SWEEP_INTERVAL: Final = 0.02
# Marks the connections of aiohttp on which a request was sent before.
_REUSED: Final = "flora_async_reused"
# aiohttp's own limit of 8 KiB is less than what proxies add, and would cost the answer to a start; in bytes.
_MAX_HEADER: Final = 64 * 1024


class StaleConnectionError(aiohttp.ClientConnectionError):
    """A pooled connection was closed, or already held an answer, before a request was written to it."""


class RecalledError(Exception):
    """A request got its connection only after all that wait for one were called back."""


class Pool:
    """An aiohttp session of ours and what is known of its connections.

    Attributes:
        session: The session.
        loop: The event loop that it belongs to.
        limits: The limits of the requests that are under way.
        next_sweep: When it is next seen which limits have ended, in seconds of the loop's clock.
        connected_at: When a request last got a connection, in seconds of the loop's clock.
        queue_time: How long that request had waited for it, in seconds.
        recalls: How often all requests that wait for a connection were called back.

    Args:
        session: The session.
        trust_env: Whether to use the environment's proxies.
        proxies: Gets the host and port of each proxy that is used.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        *,
        trust_env: bool,
        proxies: set[tuple[str | None, int | None]] | None = None,
    ) -> None:
        self.session = session
        default = getattr(session, "_default_proxy", None)
        self._proxies = set() if proxies is None else proxies
        if default is not None:
            self._proxies.add((URL(default).host, URL(default).port))
        self.loop = asyncio.get_running_loop()
        self._trust_env = trust_env
        self.limits: set[Limit] = set()
        self.next_sweep = math.inf
        self._timer: asyncio.TimerHandle | None = None
        self.connected_at = self.loop.time()
        self.queue_time = 0.0
        self.recalls = 0
        self._has_warned = proxies is not None  # transfers may queue: no poll waits for them

    def proxy(self, url: URL) -> URL | None:
        """The proxy that the environment names for a URL, if the environment is used."""
        proxy = _environment_proxy(url) if self._trust_env else None
        if proxy is not None:
            self._proxies.add((proxy.host, proxy.port))
        return proxy

    def sweep_at(self, when: float) -> None:
        """Expire limits from `when` on. One timer for all is cheaper than one for each."""
        if self._timer is not None:
            self._timer.cancel()
        self.next_sweep = when
        self._timer = self.loop.call_at(when, self._sweep)

    def _sweep(self) -> None:
        now, soonest = self.loop.time(), math.inf
        for limit in tuple(self.limits):
            ends = limit.ends_at()
            if ends <= now:
                self.limits.discard(limit)
                limit.expire()
            else:
                soonest = min(soonest, ends)
        self._timer, self.next_sweep = None, math.inf
        if soonest < math.inf:
            self.sweep_at(max(soonest, now + _SWEEP_INTERVAL))

    async def close(self) -> None:
        """Close the session."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer, self.next_sweep = None, math.inf
        await self.session.close()

    def warn_of_queue(self) -> None:
        """Warn once that the session makes more requests than its connections can carry."""
        if not self._has_warned:
            self._has_warned = True
            logger.warning(
                "Requests wait %.1f s for one of %d connections to FLORA; runs are polled less often. Allow more: "
                "FloraSession(max_connections=…)",
                self.queue_time,
                self.session.connector.limit if self.session.connector else 0,
            )


class Limit:
    """The time that one attempt may take, counted from the moment at which it has a connection.

    While it waits for a connection, it ends only if no request of the session has got one for that long.

    Args:
        pool: Where the connection comes from.
        seconds: The time with a connection; None = no limit.
        within: Seconds until the caller's deadline, waiting for a connection included; None = there is none.
        has_body: Whether the request may change something, so that its connection has to be checked.

    Attributes:
        connected: Whether the attempt has a connection.
        ends: When it ends, in seconds of the loop's clock, if there is no progress before.
    """

    __slots__ = (
        "_began",
        "_cancelling",
        "_deadline",
        "_expired",
        "_has_body",
        "_pool",
        "_recalls",
        "_seconds",
        "_task",
        "_token",
        "connected",
        "ends",
    )

    def __init__(self, pool: Pool, seconds: float | None, within: float | None, *, has_body: bool) -> None:
        self._pool = pool
        self._recalls = pool.recalls
        self._seconds = math.inf if seconds is None else seconds
        self._has_body = has_body
        self._began = now = pool.loop.time()
        self._deadline = math.inf if within is None else now + within
        self.ends = min(now + self._seconds, self._deadline)
        self._task: asyncio.Task[Any] | None = None
        self._expired = self.connected = False

    def __enter__(self) -> Self:
        task = self._task = asyncio.current_task()
        self._cancelling = 0 if task is None else task.cancelling()
        self._token = _LIMIT.set(self)
        pool = self._pool
        if self.ends < math.inf:
            pool.limits.add(self)
            if self.ends < pool.next_sweep:
                pool.sweep_at(self.ends)
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        _LIMIT.reset(self._token)
        del self._token  # it refers to the context, which refers back here
        task, self._task = self._task, None
        self._pool.limits.discard(self)
        if exc_type is AssertionError and self._pool.session.closed:
            # aiohttp asserts that its session is open when it is about to send a read again.
            raise StaleConnectionError("the session was closed before the request was sent")
        if self._expired and task is not None:
            was_cancelled_here = task.uncancel() <= self._cancelling
            if was_cancelled_here and exc_type is asyncio.CancelledError:
                raise TimeoutError

    def connect(self, connection: Connection) -> None:
        """Start counting: the attempt has a connection.

        Raises:
            StaleConnectionError: Data has arrived on it before the request was sent, or it has ended.
            RecalledError: The request was called back while it waited; the connection is free for another one.
        """
        pool = self._pool
        if pool.recalls != self._recalls:
            connection.release()
            raise RecalledError
        protocol: Any = connection.protocol
        if protocol is None or protocol.should_close:
            raise StaleConnectionError("the connection held data before the request was sent")
        # On a new connection, readable data may belong to the TLS handshake.
        if self._has_body and getattr(protocol, _REUSED, False) and _is_readable(protocol.transport):
            raise StaleConnectionError("the connection was closed, or held data, before the request was sent")
        setattr(protocol, _REUSED, True)
        self.connected = True
        now = pool.connected_at = pool.loop.time()
        pool.queue_time = now - self._began
        if pool.queue_time > _LONG_QUEUE:
            pool.warn_of_queue()
        self.ends = min(now + self._seconds, self._deadline)

    def renew(self) -> None:
        """Start counting again, as there was progress."""
        self.ends = min(self._pool.loop.time() + self._seconds, self._deadline)

    def ends_at(self) -> float:
        """When it ends as of now: a request in a queue that moves has more time."""
        if not self.connected and self._pool.connected_at > self._began:
            return min(self._pool.connected_at + self._seconds, self._deadline)
        return self.ends

    def expire(self) -> None:
        """End the attempt with a `TimeoutError`."""
        if self._task is not None:
            self._expired = True
            self._task.cancel()


_LIMIT: ContextVar[Limit] = ContextVar("flora_async_limit")


class ConnectedRequest(aiohttp.ClientRequest):
    """A request that checks its connection, and starts its time limit, before it is written."""

    async def send(self, conn: Connection) -> aiohttp.ClientResponse:
        """Check the connection, then send."""
        _LIMIT.get().connect(conn)
        return await super().send(conn)


def open_pool(
    lent: aiohttp.ClientSession | None,
    *,
    headers: Mapping[str, str],
    max_connections: int,
    trace_configs: Sequence[aiohttp.TraceConfig],
    resend: bool,
) -> Pool:
    """Open the pool for FLORA: with connections of its own, or those of a lent session.

    Nothing else of a lent session is used: its credentials, cookies and headers are meant for other servers.

    Args:
        lent: The session whose connections, proxies and traces to use.
        headers: Those of every request.
        max_connections: How many connections of its own a pool opens at most.
        trace_configs: aiohttp's tracing hooks.
        resend: Whether aiohttp may repeat a read itself when a kept-alive connection turns out to be closed.
    """
    connector: aiohttp.BaseConnector | None
    if lent is None:
        uses_threads = aiohttp.DefaultResolver is aiohttp.ThreadedResolver  # rather than aiodns
        connector = aiohttp.TCPConnector(limit=max_connections, resolver=SystemResolver() if uses_threads else None)
    else:
        connector = lent.connector
    session = _session(
        lent,
        connector,
        connector_owner=lent is None,
        headers=headers,
        trace_configs=list(lent.trace_configs if lent else trace_configs),
        auto_decompress=False,
    )
    session._retry_connection = resend  # noqa: SLF001 - aiohttp has no argument for it
    return Pool(session, trust_env=lent is not None and lent.trust_env)


def open_transfer_pool(
    lent: aiohttp.ClientSession | None, *, headers: Mapping[str, str], max_connections: int, may_connect: MayConnect
) -> Pool:
    """Open the pool for files: it has its own connections, and of a lent session the TLS and DNS settings.

    Args:
        lent: The session whose settings and proxies to use.
        headers: Those of every request.
        max_connections: How many connections it opens at most.
        may_connect: Judges each address before it is connected to. A proxy looks up names itself.
    """
    settings: dict[str, Any] = {}
    resolver = None
    connector = None if lent is None else lent.connector
    if isinstance(connector, aiohttp.TCPConnector):
        settings = {"ssl": connector._ssl, "family": connector.family}  # noqa: SLF001 - aiohttp shows them nowhere else
        resolver = connector._resolver  # noqa: SLF001 - likewise
    proxies: set[tuple[str | None, int | None]] = set()
    guarded = GuardedResolver(
        lambda host, port, address: (host, port) in proxies or may_connect(host, port, address), resolver
    )
    session = _session(lent, aiohttp.TCPConnector(limit=max_connections, resolver=guarded, **settings), headers=headers)
    return Pool(session, trust_env=lent is not None and lent.trust_env, proxies=proxies)


def _session(
    lent: aiohttp.ClientSession | None,
    connector: aiohttp.BaseConnector | None,
    **arguments: Any,  # noqa: ANN401 - further arguments of aiohttp's
) -> aiohttp.ClientSession:
    session = aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        request_class=ConnectedRequest,
        max_line_size=_MAX_HEADER,
        max_field_size=_MAX_HEADER,
        proxy=getattr(lent, "_default_proxy", None),
        **arguments,
    )
    session._default_proxy_auth = getattr(lent, "_default_proxy_auth", None)  # noqa: SLF001 - its argument is deprecated
    return session


@lru_cache(maxsize=64)
def _environment_proxy(url: URL) -> URL | None:
    """The proxy that the environment names for a URL, as aiohttp reads it."""
    proxy = None if proxy_bypass(url.host or "") else getproxies().get(url.scheme)
    return None if proxy is None or proxy.startswith("https") else URL(proxy)


def _is_readable(transport: asyncio.Transport | None) -> bool:
    """Whether there is input that no request asked for, or the end of the connection."""
    if not hasattr(select, "poll"):  # as on Windows
        return False
    socket = None if transport is None else transport.get_extra_info("socket")
    if socket is None:
        return True
    poller = select.poll()
    poller.register(socket, select.POLLIN)
    return bool(poller.poll(0))
