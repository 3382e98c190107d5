"""`FakeFlora`: the local FLORA as a server on loopback."""

import asyncio
import uuid
from collections.abc import Iterable
from types import TracebackType
from typing import Self, get_args

from aiohttp import web

from flora_async._clock import SYSTEM_CLOCK, Clock
from flora_async.testing._case import Case
from flora_async.testing._contract import Contract
from flora_async.testing._exchange import Exchange
from flora_async.testing._faults import Fault
from flora_async.testing._idempotency import Idempotency
from flora_async.testing._plan import FaultPlan, Target
from flora_async.testing._requests import RecordedRequest
from flora_async.testing._runs import FakeRun
from flora_async.testing._techniques import FakeTechnique, ready_made

_HOST = "127.0.0.1"
_LARGEST_REQUEST = 64 * 1024**2
_SHUTDOWN_TIMEOUT = 0.1


class FakeFlora:
    """A local FLORA: a real HTTP server that starts, runs and lists technique runs, and misbehaves on demand.

    It has the techniques `cctv-cam` (input `input_image`, an image URL; gives an image for 0.05 USD),
    `caption` (input `prompt`; gives a text for 0.01 USD) and `always-fails` (input `prompt`; fails with
    `safety_blocked`). Entering it again after it was closed brings it back at the same address with its runs,
    like a server after an outage.

    Args:
        api_key: The only key it accepts.
        case: How it writes keys: `camel`, `snake`, or `both`, a mix of the two.
        idempotency: What it does with a key it knows: `replay` the original answer for 24 hours, and refuse
            another body with 422; or `conflict`, answer 409 for 2 hours. A key is known once its request has
            acted.
        techniques: Techniques to have instead of the three.
        run_seconds: How long a run of the three takes, a fifth of it pending.
        clock: What tells its runs the time, by default the machine's clock; a `VirtualClock` to move them by
            hand.
        poll_urls: Whether answers carry a `poll_url`.
        port: The port, 0 for a free one.

    Attributes:
        api_key: The only key it accepts.
        requests: Every request that has arrived, in order.

    Raises:
        ValueError: A setting is none of its choices.
        OSError: On entering, when the port is taken.

    Example:
        >>> import asyncio
        >>> from flora_async.testing import Drop, FakeFlora
        >>> async def main():
        ...     async with FakeFlora() as fake:
        ...         fake.inject(Drop(acts=True), on="start")
        ...         return fake.base_url.partition(":")[0], len(fake.runs)
        >>> asyncio.run(main())
        ('http', 0)
    """

    def __init__(  # noqa: PLR0913  each is one independent property of the server
        self,
        *,
        api_key: str = "sk_test_local",
        case: Case = "camel",
        idempotency: Idempotency = "replay",
        techniques: Iterable[FakeTechnique] | None = None,
        run_seconds: float = 0.1,
        clock: Clock = SYSTEM_CLOCK,
        poll_urls: bool = True,
        port: int = 0,
    ) -> None:
        for value, choices in ((case, get_args(Case)), (idempotency, get_args(Idempotency))):
            if value not in choices:
                raise ValueError(f"{value!r} is none of {', '.join(choices)}")
        self.api_key = api_key
        self.requests: list[RecordedRequest] = []
        self._contract = Contract(api_key=api_key, case=case, idempotency=idempotency, clock=clock, poll_urls=poll_urls)
        for technique in ready_made(run_seconds) if techniques is None else techniques:
            self.add_technique(technique)
        self._plan = FaultPlan()
        self._port = port
        self._runner: web.AppRunner | None = None
        self._handlers: set[asyncio.Task[None]] = set()

    @property
    def origin(self) -> str:
        """Scheme, host and port, such as `http://127.0.0.1:49152`; it stays when the server is closed.

        Raises:
            RuntimeError: The server has not been started yet.
        """
        if not self._contract.origin:
            raise RuntimeError("FakeFlora has no address yet: enter it with `async with`")
        return self._contract.origin

    @property
    def base_url(self) -> str:
        """The base URL for `FloraSession` or `FLORA_BASE_URL`.

        Raises:
            RuntimeError: The server has not been started yet.
        """
        return f"{self.origin}/api/v1"

    @property
    def runs(self) -> tuple[FakeRun, ...]:
        """The runs that exist, in order of creation: what has been paid for, or will be."""
        return tuple(self._contract.runs.values())

    def add_technique(self, technique: FakeTechnique) -> FakeTechnique:
        """Add a technique, or replace the one with its slug or id for runs to come; gives it back."""
        self._contract.add_technique(technique)
        return technique

    def inject(self, fault: Fault, *, on: Target = "any", times: int | None = 1, after: int = 0) -> None:
        """Let something go wrong with requests to come.

        Faults queue in the order in which they were injected: a request gets the first one that applies to
        it, and those behind that one do not see it.

        Args:
            fault: What goes wrong.
            on: The operation it happens to: `start`, `poll`, `history`, `technique`, `media`,
                `other` or `any`.
            times: How many requests it happens to; `None` for all of them.
            after: How many matching requests pass unharmed first.

        Raises:
            ValueError: `on` is no operation, `times` is less than 1, or `after` is negative.

        Example:
            >>> from flora_async.testing import FakeFlora, Status
            >>> FakeFlora().inject(Status(429, retry_after=0.01), on="poll", times=3, after=1)
        """
        self._plan.add(fault, on=on, times=times, after=after)

    def heal(self) -> None:
        """Forget every injected fault that has not happened yet."""
        self._plan.clear()

    def finish(self, run_id: str, *, error_code: str | None = None, error_message: str | None = None) -> None:
        """End a run now: as failed if there is a code or a message, else as completed.

        Raises:
            LookupError: There is no such run.
            ValueError: The run has ended already.
        """
        try:
            run = self._contract.runs[run_id]
        except KeyError:
            raise LookupError(f"there is no run {run_id!r}") from None
        run.end(error_code, error_message)

    async def __aenter__(self) -> Self:
        if self._runner is not None:
            raise RuntimeError("this FakeFlora is running already")
        app = web.Application(client_max_size=_LARGEST_REQUEST)
        app.router.add_route("*", "/{path:.*}", self._handle)
        app.on_shutdown.append(self._stop_handlers)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_TIMEOUT)
        await runner.setup()
        try:
            await web.TCPSite(runner, _HOST, self._port).start()
        except OSError:
            await runner.cleanup()
            raise
        self._runner = runner
        self._port = runner.addresses[0][1]
        self._contract.origin = f"http://{_HOST}:{self._port}"
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def _stop_handlers(self, _: web.Application) -> None:
        # aiohttp would wait for them, and forgets those whose client has gone; none may outlive the server.
        handlers = list(self._handlers)
        for task in handlers:
            task.cancel()
        await asyncio.gather(*handlers, return_exceptions=True)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self._handlers.add(request.task)
        try:
            return await self._serve(request)
        finally:
            self._handlers.discard(request.task)

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        try:
            body = await request.read()
        except ConnectionError:
            return web.Response()  # the client has gone before it had said what it wants
        recorded = RecordedRequest(
            method=request.method,
            target=request.raw_path,
            query=request.query,
            headers=request.headers,
            body=body,
            request_id=f"req_{uuid.uuid4().hex}",
        )
        self.requests.append(recorded)
        exchange = Exchange(request, recorded.request_id, self._contract.arrive(recorded))
        fault = self._plan.take(recorded.operation)
        return exchange.send(exchange.act()) if fault is None else await fault.serve(exchange)
