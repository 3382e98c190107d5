"""`WebhookReceiver`: each webhook once, and whoever waits for its run woken.

It has no task of its own: all it does, it does while a delivery is answered.
"""

import asyncio
import inspect
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from flora_async._clock import SYSTEM_CLOCK, Clock
from flora_async.errors import WebhookVerificationError
from flora_async.models import RunStatus, WebhookEvent
from flora_async.webhooks._header import Headers
from flora_async.webhooks._serving import Answer, Receive, Scope, Send, aiohttp_app, refusal, serve_asgi
from flora_async.webhooks._signature import TOLERANCE, Body, check_tolerance, conceal, raw, read, usable

if TYPE_CHECKING:
    from aiohttp.web import Application

logger = logging.getLogger("flora_async")

_REMEMBERED: Final = 10_000
_ENDED: Final = (RunStatus.COMPLETED, RunStatus.FAILED)


class WebhookReceiver:
    """Receives FLORA's webhooks: verifies them, hands each event on once, and wakes those who wait for its run.

    It is an ASGI application by itself, and `aiohttp_app` is one for aiohttp; in any other framework, call `receive`.
    Whatever the path, a POST is a delivery. It is answered with 204, a second time too; with 400 when it is not proven
    to be FLORA's, 413 beyond 1 MiB, 405 for any other method, and 500 when `on_event` raised, so that FLORA delivers it
    again (FLORA's page "Webhooks": after 10 s, 1 min and 5 min). Give it to `wait_for_run` as `wake`, and the wait
    ends as soon as the delivery is here.

    Args:
        secret: The workspace's signing secret (`whsec_…`), the prefix included. It is shown in no repr, log or error.
        tolerance: How many seconds a signature may be old, or ahead of this machine's clock; None or 0 = any number.
            Default 300.
        on_event: Called with each event once, before FLORA is answered; FLORA gives up after 10 s, so it should only
            pass the event on, as `queue.put_nowait` does. It must be no coroutine function. None = nothing is called.
        remember: How many events, and how many ended runs, are known at most; the oldest are forgotten. FLORA delivers
            again for some minutes only. Default 10 000.
        clock: The time, for tests; None = the real one.

    Raises:
        ValueError: `secret`, `tolerance` or `remember` cannot be right.
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

    def __init__(
        self,
        secret: str,
        *,
        tolerance: float | None = TOLERANCE,
        on_event: Callable[[WebhookEvent], object] | None = None,
        remember: int = _REMEMBERED,
        clock: Clock | None = None,
    ) -> None:
        key = conceal(secret)
        del secret
        self._key = usable(key)
        check_tolerance(tolerance)
        if on_event is not None and (not callable(on_event) or inspect.iscoroutinefunction(on_event)):
            raise TypeError(f"on_event must be a plain function, such as queue.put_nowait, not {on_event!r:.60}")
        if isinstance(remember, bool) or not isinstance(remember, int) or remember < 1:
            raise ValueError(f"remember must be a whole number of at least 1, not {remember!r}")
        self._tolerance = tolerance
        self._on_event = on_event
        self._clock = SYSTEM_CLOCK if clock is None else clock
        self._received = _Recent(remember)
        self._ended = _Recent(remember)
        self._waiting: dict[str, dict[asyncio.Event, asyncio.AbstractEventLoop]] = {}
        # A framework with threads may deliver in several at once; while one hands its event on, the others may wake.
        self._one_delivery = threading.RLock()
        self._waiters = threading.Lock()

    def receive(self, body: Body, headers: Headers) -> Answer:
        """Receive one delivery, in any thread; nothing is awaited.

        Args:
            body: The raw body, exactly as it arrived.
            headers: The request's headers, as in `verify`.

        Returns:
            The `status` to answer with, and the `body`: empty, or JSON that says why not.

        Raises:
            TypeError: `body` or `headers` has the wrong type.

        Example:
            >>> from flora_async.webhooks import WebhookReceiver
            >>> WebhookReceiver("whsec_test").receive(b"{}", {})
            Answer(status=400, body=b'{"error": "no_header"}')
        """
        try:
            event = read(raw(body), headers, self._key, tolerance=self._tolerance, now=self._clock.time())
        except WebhookVerificationError as error:
            logger.warning("Refused a webhook: %s", error)
            return refusal(400, error.reason)
        if event.data.status in _ENDED:
            self._wake(event.data.run_id)
        with self._one_delivery:
            if event.id in self._received:
                return Answer(204)
            if self._on_event is not None:
                try:
                    self._on_event(event)
                except Exception:
                    logger.exception("on_event failed with webhook %s; FLORA is asked to deliver it again", event.id)
                    return refusal(500, "on_event_failed")
            self._received.add(event.id)
        return Answer(204)

    @contextmanager
    def expect(self, run_id: str) -> Iterator[asyncio.Event]:
        """Expect the end of a run, in a running event loop: inside the `with`, the event is set once it was delivered.

        It is set at once if the delivery has been here already. `wait_for_run(…, wake=receiver)` uses this.

        Args:
            run_id: The run's id (`run_…`).

        Yields:
            The event.

        Raises:
            RuntimeError: No event loop is running.

        Example:
            >>> from flora_async.webhooks import WebhookReceiver
            >>> with WebhookReceiver("whsec_test").expect("run_1") as delivered:
            ...     delivered.is_set()
            False
        """
        delivered, loop = asyncio.Event(), asyncio.get_running_loop()
        with self._waiters:
            if run_id in self._ended:
                delivered.set()
            self._waiting.setdefault(run_id, {})[delivered] = loop
        try:
            yield delivered
        finally:
            with self._waiters:
                events = self._waiting[run_id]
                del events[delivered]
                if not events:
                    del self._waiting[run_id]

    def aiohttp_app(self) -> "Application":
        """An application for aiohttp's server, which takes deliveries at its root, with or without a slash.

        Example:
            >>> from aiohttp import web
            >>> from flora_async.webhooks import WebhookReceiver
            >>> app = web.Application()
            >>> _ = app.add_subapp("/flora", WebhookReceiver("whsec_test").aiohttp_app())  # POST /flora
        """
        return aiohttp_app(self.receive)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve ASGI: HTTP and the server's lifespan; a websocket is refused."""
        await serve_asgi(self.receive, scope, receive, send)

    def _wake(self, run_id: str) -> None:
        with self._waiters:
            self._ended.add(run_id)
            waiting = list(self._waiting.get(run_id, {}).items())
        for delivered, loop in waiting:
            with suppress(RuntimeError):  # its loop was closed meanwhile, so nobody waits in it
                loop.call_soon_threadsafe(delivered.set)


class _Recent:
    """The last so many of those that were added."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._known: OrderedDict[str, None] = OrderedDict()

    def __contains__(self, name: str) -> bool:
        return name in self._known

    def add(self, name: str) -> None:
        self._known[name] = None
        if len(self._known) > self._limit:
            self._known.popitem(last=False)
