"""`FakeFlora`: the local FLORA as a server on loopback."""

import uuid
from collections.abc import Iterable
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self, get_args

from aiohttp import web

from flora_async._clock import SYSTEM_CLOCK, Clock
from flora_async.testing._server.api import Api
from flora_async.testing._server.controls import Controls
from flora_async.testing._server.deliveries import Deliveries
from flora_async.testing._server.listener import Listener
from flora_async.testing._state.models import ready_actions, ready_models
from flora_async.testing._state.projects import check_workspaces
from flora_async.testing._state.techniques import FakeTechnique, ready_techniques
from flora_async.testing._wire.exchange import Exchange, read_body
from flora_async.testing._wire.idempotency import Idempotency
from flora_async.testing._wire.key_case import KeyCase
from flora_async.testing._wire.operations import Origin, route_to
from flora_async.testing._wire.requests import RecordedRequest

_LARGEST_REQUEST = 64 * 1024**2
_LARGEST_UPLOAD = 2 * 1024**3


class FakeFlora(Controls):
    """A local FLORA: a real HTTP server with every operation of FLORA's API, which misbehaves on demand.

    It has the techniques `cctv-cam` (input `input_image`, an image URL; gives an image for 0.05 USD),
    `caption` (input `prompt`; gives a text for 0.01 USD) and `always-fails` (input `prompt`; fails with
    `safety_blocked`); the models `flux-pro`, `veo-3`, `narrator` and `storyteller`; the actions
    `rotate-image-browser` and `concat-text-browser`; and in its first workspace the project `prj_local` and
    the project folder `fld_local`. Media and uploads are on a host of their own, which takes no key. Entering
    it again after it was closed brings it back at the same addresses with all it had, like a server after an outage.

    Args:
        api_key: The only key it accepts.
        case: How it writes keys: `camel`, `snake`, or `both`, a mix of the two.
        idempotency: What it does with a key it knows: `replay` the original answer for 24 hours, and refuse
            another body with 422; or `conflict`, answer 409 for 2 hours. A key is known once its request has
            acted.
        techniques: Techniques to have instead of the three.
        run_seconds: How long a run takes of what it has from the beginning, a fifth of it pending.
        clock: What tells its runs the time, by default the machine's clock; a `VirtualClock` to move them by
            hand.
        poll_urls: Whether answers carry a `poll_url`.
        port: The port, 0 for a free one.
        workspaces: The ids of the workspaces it has.
        asset_ready_after: At how many looks an asset that was completed, or fetched from a URL, is not ready yet.
        webhook_secret: What webhooks are signed with.
        webhook_retries: Seconds between the attempts to deliver a webhook, as FLORA has them.
        webhook_scale: What those seconds are multiplied with, so that nobody has to wait.
        webhook_timeout: Seconds for one attempt, real ones.

    Attributes:
        api_key: The only key it accepts.
        webhook_secret: What webhooks are signed with.
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
        case: KeyCase = "camel",
        idempotency: Idempotency = "replay",
        techniques: Iterable[FakeTechnique] | None = None,
        run_seconds: float = 0.1,
        clock: Clock = SYSTEM_CLOCK,
        poll_urls: bool = True,
        port: int = 0,
        workspaces: Iterable[str] = ("ws_local",),
        asset_ready_after: int = 0,
        webhook_secret: str = "whsec_local",  # noqa: S107 - of a server on this machine
        webhook_retries: Iterable[float] = (10.0, 60.0, 300.0),
        webhook_scale: float = 0.001,
        webhook_timeout: float = 10.0,
    ) -> None:
        for value, choices in ((case, get_args(KeyCase)), (idempotency, get_args(Idempotency))):
            if value not in choices:
                raise ValueError(f"{value!r} is none of {', '.join(choices)}")
        ids = check_workspaces(workspaces)
        contract = Api(
            api_key=api_key,
            case=case,
            idempotency=idempotency,
            clock=clock,
            poll_urls=poll_urls,
            workspaces=ids,
            asset_ready_after=asset_ready_after,
        )
        deliveries = Deliveries(
            secret=webhook_secret,
            pauses=[seconds * webhook_scale for seconds in webhook_retries],
            timeout=webhook_timeout,
            clock=clock,
        )
        contract.book.on_open = deliveries.expect
        super().__init__(contract, deliveries)
        self.api_key = api_key
        self.webhook_secret = webhook_secret
        for technique in ready_techniques(run_seconds, *ids[:1]) if techniques is None else techniques:
            self.add_technique(technique)
        for model in ready_models(run_seconds):
            self.add_model(model)
        for action in ready_actions(run_seconds):
            self.add_action(action)
        self._api = Listener(self._serve_api, port, _LARGEST_REQUEST)
        self._storage = Listener(self._serve_storage, 0, _LARGEST_UPLOAD)

    async def __aenter__(self) -> Self:
        if self._api.is_open:
            raise RuntimeError("this FakeFlora is running already")
        environment = self._contract.environment
        environment.api = await self._api.open()
        try:
            environment.storage = await self._storage.open()
        except OSError:
            await self._api.close()
            raise
        self._deliveries.start()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._deliveries.stop)
            stack.push_async_callback(self._storage.close)
            await self._api.close()

    async def _serve_api(self, request: web.Request) -> web.StreamResponse:
        return await self._serve(request, "flora")

    async def _serve_storage(self, request: web.Request) -> web.StreamResponse:
        return await self._serve(request, "media")

    async def _serve(self, request: web.Request, origin: Origin) -> web.StreamResponse:
        route = route_to(origin, request.method, request.raw_path.partition("?")[0])
        fault = self._plan.take(route.targets)
        try:
            body = await read_body(request, getattr(fault, "reads", None))
        except ConnectionError:
            return web.Response()  # the client has gone before it had said what it wants
        recorded = RecordedRequest(
            method=request.method,
            target=request.raw_path,
            query=request.query,
            headers=request.headers,
            body=body,
            request_id=f"req_{uuid.uuid4().hex}",
            origin=origin,
            route=route,
        )
        self.requests.append(recorded)
        exchange = Exchange(request, recorded.request_id, self._contract.arrive(recorded))
        return exchange.send(exchange.act()) if fault is None else await fault.serve(exchange)
