"""Receive webhooks: verify each delivery, pass each event on once, and wake the waits for its run or its start."""

import asyncio
import inspect
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from flora_async._cache import RecentItems
from flora_async._checks import check_count, check_number
from flora_async._clock import SYSTEM_CLOCK, Clock
from flora_async._text import printable
from flora_async.errors import WebhookVerificationError
from flora_async.models import RunStatus, WebhookEvent
from flora_async.webhooks._header import Headers
from flora_async.webhooks._query import Query, start_token
from flora_async.webhooks._serving import Answer, Receive, Scope, Send, aiohttp_app, refusal, serve_asgi
from flora_async.webhooks._signature import TOLERANCE, Body, check_tolerance, conceal, raw, read, usable

if TYPE_CHECKING:
    from aiohttp.web import Application

logger = logging.getLogger("flora_async")

_MAX_REMEMBERED: Final = 10_000
# FLORA itself gives up a delivery after 10 seconds.
_BODY_TIMEOUT: Final = 10.0
_ENDED: Final = (RunStatus.COMPLETED, RunStatus.FAILED)


class WebhookReceiver:
    """Receives FLORA's webhooks: verifies them, passes each event on once, and wakes the waits for its run.

    The receiver is an ASGI application, and `aiohttp_app` makes one for aiohttp; in any other framework, call
    `receive`. Every POST is a delivery, whatever its path. It is answered with 204, also when it is repeated; with 400
    if the signature does not verify, 405 for any other method, 408 if the body takes too long, 413 beyond 1 MiB, and
    500 if `on_event` raised, so that FLORA delivers it again (FLORA's page "Webhooks": after 10 s, 1 min and 5 min).
    Pass the receiver to `wait_for_run` as `wake`, and the wait ends as soon as the delivery arrives.

    Args:
        secret: The workspace's signing secret (`whsec_…`), with its prefix. It appears in no repr, log or error.
        tolerance: Seconds by which a signature may be older than this machine's clock, or ahead of it; None or 0 = any
            age. Default 300.
        on_event: Called once with each event, before FLORA is answered. FLORA gives up after 10 s, so it should only
            pass the event on, as `queue.put_nowait` does. It must not be a coroutine function. None = not called.
        remember: How many events, ended runs and starts are remembered; the oldest are forgotten. FLORA repeats a
            delivery for a few minutes only. Default 10 000.
        body_timeout: Seconds that the body of a request may take to arrive; None = no limit. Default 10.
        clock: The source of time, for tests; None = the system's.

    Raises:
        ValueError: An argument is out of range, or `secret` is empty or malformed.
        TypeError: An argument has the wrong type.

    Example:
        >>> from flora_async.webhooks import WebhookReceiver, sign
        >>> events = []
        >>> receiver = WebhookReceiver("whsec_test", on_event=events.append)
        >>> body = b'{"id": "whd_1", "type": "run.completed", "data": {"run_id": "run_1", "status": "completed"}}'
        >>> for _ in range(2):
        ...     status, _ = receiver.receive(body, {"Flora-Signature": sign(body, "whsec_test")})
        >>> status, len(events)
        (204, 1)
    """

    def __init__(  # noqa: PLR0913 - one keyword for each decision about a receiver
        self,
        secret: str,
        *,
        tolerance: float | None = TOLERANCE,
        on_event: Callable[[WebhookEvent], object] | None = None,
        remember: int = _MAX_REMEMBERED,
        body_timeout: float | None = _BODY_TIMEOUT,
        clock: Clock | None = None,
    ) -> None:
        key = conceal(secret)
        del secret
        self._key = usable(key)
        check_tolerance(tolerance)
        if on_event is not None and (not callable(on_event) or inspect.iscoroutinefunction(on_event)):
            raise TypeError(f"on_event must be a plain function, such as queue.put_nowait, not {on_event!r:.60}")
        check_count("remember", remember)
        if body_timeout is not None:
            check_number("body_timeout", body_timeout, exclusive=True)
        self._tolerance = tolerance
        self._on_event = on_event
        self._body_timeout = body_timeout
        self._clock = SYSTEM_CLOCK if clock is None else clock
        self._received: RecentItems[str, None] = RecentItems(remember)
        self._ended = _Announcements(remember)
        self._started = _Announcements(remember)
        # Threads may deliver at the same time. Passing an event on may take a while, and must not delay the waits.
        self._event_lock = threading.RLock()

    def __repr__(self) -> str:
        return "<WebhookReceiver>"

    def receive(self, body: Body, headers: Headers, *, query: Query = "") -> Answer:
        """Receive one delivery. It may be called in any thread, and returns at once.

        Args:
            body: The raw body, exactly as it arrived.
            headers: The request's headers, as in `verify`.
            query: The query of the requested URL, as text, bytes or the framework's mapping. It names the start that
                the run belongs to (see `expect_start`); "" = not known.

        Returns:
            The `status` to answer with, and the `body`: empty, or JSON with the reason of a refusal.

        Raises:
            TypeError: An argument has the wrong type.

        Example:
            >>> from flora_async.webhooks import WebhookReceiver
            >>> WebhookReceiver("whsec_test").receive(b"{}", {})
            Answer(status=400, body=b'{"error": "no_header"}')
        """
        token = start_token(query)
        try:
            event = read(raw(body), headers, self._key, tolerance=self._tolerance, now=self._clock.time())
        except WebhookVerificationError as error:
            logger.warning("Refused a webhook: %s", error)
            return refusal(400, error.reason)
        run_id = event.data.run_id
        if token:
            self._started.announce(token, run_id)
        if event.data.status in _ENDED:
            self._ended.announce(run_id, run_id)
        with self._event_lock:
            if event.id in self._received:
                return Answer(204)
            if self._on_event is not None:
                try:
                    self._on_event(event)
                except Exception:
                    logger.exception("on_event failed; FLORA will deliver %s again", printable(event.id))
                    return refusal(500, "on_event_failed")
            self._received[event.id] = None
        return Answer(204)

    @contextmanager
    def expect(self, run_id: str) -> Iterator[asyncio.Event]:
        """Expect the end of a run: inside the `with`, the event is set as soon as its webhook has been delivered.

        It is set at once if the webhook was delivered before. `wait_for_run(…, wake=receiver)` uses this.

        Args:
            run_id: The run's id (`run_…`).

        Yields:
            The event, which belongs to the running event loop.

        Raises:
            RuntimeError: No event loop is running.

        Example:
            >>> from flora_async.webhooks import WebhookReceiver
            >>> with WebhookReceiver("whsec_test").expect("run_1") as delivered:
            ...     delivered.is_set()
            False
        """
        delivered = asyncio.Event()
        with self._ended.listen(run_id, lambda _: delivered.set()):
            yield delivered

    @contextmanager
    def expect_start(self, token: str) -> Iterator[asyncio.Future[str]]:
        """Expect the run of a start: inside the `with`, the future gets the run's id as soon as it is delivered.

        It has the id at once if the webhook was delivered before. The token is what the start's callback URL carried
        in its query as `flora_start`, so a delivery tells which start its run belongs to even if every answer to the
        start was lost. Of several runs of one start, the first one that is delivered counts.

        Args:
            token: The token in the start's callback URL.

        Yields:
            The future, which belongs to the running event loop; it is cancelled on leaving the `with`.

        Raises:
            RuntimeError: No event loop is running.

        Example:
            >>> from flora_async.webhooks import WebhookReceiver, sign
            >>> receiver = WebhookReceiver("whsec_test")
            >>> body = b'{"id": "whd_1", "type": "run.completed", "data": {"run_id": "run_1", "status": "completed"}}'
            >>> with receiver.expect_start("t1") as started:
            ...     _ = receiver.receive(body, sign(body, "whsec_test"), query="flora_start=t1")
            ...     await started
            'run_1'
        """
        started: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        def resolve(run_id: str) -> None:
            if not started.done():
                started.set_result(run_id)

        try:
            with self._started.listen(token, resolve):
                yield started
        finally:
            started.cancel()

    def aiohttp_app(self) -> "Application":
        """Make an application for aiohttp's server, which takes deliveries at its root, with or without a slash.

        Example:
            >>> from aiohttp import web
            >>> from flora_async.webhooks import WebhookReceiver
            >>> app = web.Application()
            >>> _ = app.add_subapp("/flora", WebhookReceiver("whsec_test").aiohttp_app())  # POST /flora
        """
        return aiohttp_app(self._deliver, self._body_timeout)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve ASGI: HTTP and the server's lifespan; a websocket is refused."""
        await serve_asgi(self._deliver, scope, receive, send, self._body_timeout)

    def _deliver(self, body: bytes, headers: Headers, query: Query) -> Answer:
        return self.receive(body, headers, query=query)


class _Announcements:
    """Remember the first value announced for each key, and call the listeners of the key in their own event loops."""

    def __init__(self, max_items: int) -> None:
        self._announced: RecentItems[str, str] = RecentItems(max_items)
        self._listeners: dict[str, dict[Callable[[str], object], asyncio.AbstractEventLoop]] = {}
        self._lock = threading.Lock()

    def announce(self, key: str, value: str) -> None:
        """Announce a value, from any thread."""
        with self._lock:
            if key not in self._announced:
                self._announced[key] = value
            listeners = list(self._listeners.get(key, {}).items())
        for listener, loop in listeners:
            with suppress(RuntimeError):  # its loop has been closed, and with it every wait
                loop.call_soon_threadsafe(listener, value)

    @contextmanager
    def listen(self, key: str, listener: Callable[[str], object]) -> Iterator[None]:
        """Call the listener with the value of a key: now if it was announced before, else as soon as it is."""
        loop = asyncio.get_running_loop()
        with self._lock:
            value = self._announced.get(key)
            self._listeners.setdefault(key, {})[listener] = loop
        try:
            if value is not None:
                listener(value)
            yield
        finally:
            with self._lock:
                listeners = self._listeners[key]
                del listeners[listener]
                if not listeners:
                    del self._listeners[key]
