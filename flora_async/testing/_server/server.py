"""`FakeFlora`: a local FLORA that listens on loopback."""

import asyncio
import uuid
from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self, get_args

from aiohttp import web

from flora_async._clock import SYSTEM_CLOCK, Clock
from flora_async.testing._checks import check_settings, non_negative_seconds
from flora_async.testing._faults.queue import Fault, FaultQueue
from flora_async.testing._server.api import Api
from flora_async.testing._server.deliveries import Deliveries, FakeDelivery
from flora_async.testing._server.listener import Listener
from flora_async.testing._server.loop_thread import LoopThread
from flora_async.testing._state.asset import FakeAsset, UploadMethod
from flora_async.testing._state.environment import Environment, SkewedClock
from flora_async.testing._state.models import FakeAction, FakeModel, default_actions, default_models
from flora_async.testing._state.outcomes import Outcome
from flora_async.testing._state.projects import check_workspaces
from flora_async.testing._state.runs import FakeRun
from flora_async.testing._state.techniques import FakeTechnique, default_techniques
from flora_async.testing._wire.exchange import Exchange, read_request_body
from flora_async.testing._wire.idempotency import Idempotency
from flora_async.testing._wire.key_case import KeyCase
from flora_async.testing._wire.operations import API, Origin, match_route
from flora_async.testing._wire.rate_limit import RateLimit
from flora_async.testing._wire.requests import RecordedRequest

_MAX_REQUEST_BYTES = 64 * 1024**2
_MAX_UPLOAD_BYTES = 2 * 1024**3


class FakeFlora:
    """A local FLORA: a real HTTP server with every operation of FLORA's API that fails on demand.

    A new server has the techniques `cctv-cam` (input `input_image`, an image URL; output an image; 0.05 USD), `caption`
    (input `prompt`; output a text; 0.01 USD) and `always-fails` (input `prompt`; fails with `safety_blocked`); the
    models `flux-pro`, `veo-3`, `narrator` and `storyteller`; the actions `rotate-image-browser` and
    `concat-text-browser`; and, in its first workspace, the project `prj_local` and the project folder `fld_local`.
    Media and uploads have an origin of their own, which refuses the API key.

    `async with` serves on the running event loop. `with` serves on a thread of its own, for tests without an event loop
    and for frameworks that block theirs, such as the test clients of Starlette, Django and Flask; all its methods can
    be called from any thread. A closed server can be entered again: it comes back at the same addresses with
    everything it had, like a server after an outage.

    Args:
        api_key: The only key that it accepts.
        case: The spelling of keys in its answers: `camel`, `snake`, or `both`, a mixture.
        idempotency: What it does with an idempotency key that it knows. `suppress` is production: 409
            `idempotency_duplicate` without the run, for 2 hours after the first request, for the same operation in the
            same workspace and destination; technique runs have their key in the body, generations in the header.
            `replay` is the developer site: the original answer for 24 hours, and 422 for another body. `conflict` is
            the API reference: 409 for 2 hours, wherever the key is sent. In all of them a key is known once its request
            has been carried out, and a refused request does not use its key.
        techniques: The techniques to have instead of the three above.
        run_seconds: The duration of runs of its own techniques, models and actions, a fifth of it pending.
        clock: The clock that its runs follow, by default the machine's; a `VirtualClock` to advance it by hand.
        clock_skew: Seconds by which the server is ahead of `clock`; negative if it is behind. Its times, such as
            `created_at`, and the `Date` header of every answer follow its own clock.
        poll_urls: Whether answers contain a `poll_url`.
        history_lag: Seconds on `clock` until a new run appears in the histories.
        cost_lag: Seconds on `clock` from the end of a run until `charged_cost` appears in answers about it.
        port: The port, 0 for a free one.
        workspaces: The ids of its workspaces.
        asset_ready_after: How many times an asset that was completed, or created from a URL, is polled before it is
            ready.
        upload_method: How large files are uploaded to the storage host: `POST` as a form that `upload` describes, or
            `PUT` as raw bytes to an `upload_url`.
        rate_limit: The rate limit of the API; `None` for no limit.
        webhook_secret: The secret that signs webhooks.
        webhook_retries: Seconds between the attempts to deliver a webhook, by default FLORA's.
        webhook_scale: The factor by which those seconds are multiplied, so that tests need not wait.
        webhook_timeout: Seconds of real time for one attempt.

    Attributes:
        api_key: The only key that it accepts.
        webhook_secret: The secret that signs webhooks.
        requests: Every request that has arrived, in order.

    Raises:
        ValueError: A setting has a value that it does not allow.
        OSError: The port is in use, when the server is entered.

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

    def __init__(  # noqa: PLR0913 - each is one independent property of the server
        self,
        *,
        api_key: str = "sk_test_local",
        case: KeyCase = "camel",
        idempotency: Idempotency = "suppress",
        techniques: Iterable[FakeTechnique] | None = None,
        run_seconds: float = 0.1,
        clock: Clock = SYSTEM_CLOCK,
        clock_skew: float = 0.0,
        poll_urls: bool = True,
        history_lag: float = 0.01,
        cost_lag: float = 0.0,
        port: int = 0,
        workspaces: Iterable[str] = ("ws_local",),
        asset_ready_after: int = 0,
        upload_method: UploadMethod = "POST",
        rate_limit: RateLimit | None = None,
        webhook_secret: str = "whsec_local",  # noqa: S107 - the secret of a server on this machine
        webhook_retries: Iterable[float] = (10.0, 60.0, 300.0),
        webhook_scale: float = 0.001,
        webhook_timeout: float = 10.0,
    ) -> None:
        for name, value, choices in (
            ("case", case, get_args(KeyCase)),
            ("idempotency", idempotency, get_args(Idempotency)),
            ("upload_method", upload_method, get_args(UploadMethod)),
        ):
            if value not in choices:
                raise ValueError(f"{name} must be one of {', '.join(choices)}, not {value!r}")
        check_settings(api_key=api_key, port=port, clock=clock, run_seconds=run_seconds)
        workspace_ids = check_workspaces(workspaces)
        self.api_key = api_key
        self.webhook_secret = webhook_secret
        self.requests: list[RecordedRequest] = []
        self._faults = FaultQueue()
        self._environment = Environment(
            clock=SkewedClock(clock, clock_skew),
            poll_urls=poll_urls,
            history_lag=non_negative_seconds("history_lag", history_lag),
            cost_lag=non_negative_seconds("cost_lag", cost_lag),
        )
        self._api = Api(
            environment=self._environment,
            api_key=api_key,
            case=case,
            idempotency=idempotency,
            workspaces=workspace_ids,
            asset_ready_after=asset_ready_after,
            upload_method=upload_method,
            rate_limit=rate_limit,
        )
        self._deliveries = Deliveries(
            secret=webhook_secret,
            pauses=[seconds * webhook_scale for seconds in webhook_retries],
            timeout=webhook_timeout,
            environment=self._environment,
            follows_real_time=clock is SYSTEM_CLOCK,
        )
        self._api.runs.on_create = self._deliveries.track
        for technique in default_techniques(run_seconds, *workspace_ids[:1]) if techniques is None else techniques:
            self.add_technique(technique)
        for model in default_models(run_seconds):
            self.add_model(model)
        for action in default_actions(run_seconds):
            self.add_action(action)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: LoopThread | None = None
        self._api_listener = Listener(self._serve_api, port, _MAX_REQUEST_BYTES)
        self._storage_listener = Listener(self._serve_storage, 0, _MAX_UPLOAD_BYTES)

    def __repr__(self) -> str:
        if not hasattr(self, "_storage_listener"):  # a crash reporter may ask while the constructor is at work
            return "<FakeFlora not built>"
        place = self._environment.api_origin or "not started"
        state = "open" if self._api_listener.is_open else "closed"
        return f"<FakeFlora {state} {place}, {len(self.requests)} requests, {len(self.runs)} runs>"

    async def __aenter__(self) -> Self:
        if self._api_listener.is_open:
            raise RuntimeError("this FakeFlora is already running")
        environment = self._environment
        environment.api_origin = await self._api_listener.open()
        try:
            environment.storage_origin = await self._storage_listener.open()
        except OSError:
            await self._api_listener.close()
            raise
        self._deliveries.start()
        self._loop = asyncio.get_running_loop()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._loop = None
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._deliveries.stop)
            stack.push_async_callback(self._storage_listener.close)
            await self._api_listener.close()

    def __enter__(self) -> Self:
        thread = LoopThread()
        try:
            thread.run(self.__aenter__())
        except BaseException:
            thread.close()
            raise
        self._thread = thread
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        thread, self._thread = self._thread, None
        if thread is None:
            raise RuntimeError("this FakeFlora is not running in a thread")
        try:
            thread.run(self.__aexit__(None, None, None))
        finally:
            thread.close()

    @property
    def origin(self) -> str:
        """Scheme, host and port, such as `http://127.0.0.1:49152`; they remain when the server is closed.

        Raises:
            RuntimeError: The server has not been started yet.
        """
        return self._require_started(self._environment.api_origin)

    @property
    def base_url(self) -> str:
        """The base URL for `FloraSession` or `FLORA_BASE_URL`.

        Raises:
            RuntimeError: The server has not been started yet.
        """
        return f"{self.origin}{API}"

    @property
    def storage_origin(self) -> str:
        """The origin of media and uploads, which differs from that of the API.

        Raises:
            RuntimeError: The server has not been started yet.
        """
        return self._require_started(self._environment.storage_origin)

    @property
    def runs(self) -> tuple[FakeRun, ...]:
        """The runs that exist, in order of creation. Each has been paid for, or will be if it completes."""
        return tuple(self._api.runs.runs.values())

    @property
    def assets(self) -> tuple[FakeAsset, ...]:
        """The assets that exist, in order of creation, including those that have not been uploaded yet."""
        return self._api.assets.all

    @property
    def feedback(self) -> tuple[dict[str, object], ...]:
        """The recorded feedback, as it was sent."""
        return tuple(self._api.projects.feedback)

    @property
    def deliveries(self) -> tuple[FakeDelivery, ...]:
        """Every attempt to deliver a webhook, in order."""
        return tuple(self._deliveries.log)

    def add_technique(self, technique: FakeTechnique) -> FakeTechnique:
        """Add a technique and return it; it replaces one with the same slug or id for future runs."""
        self._api.catalog.add_technique(technique)
        return technique

    def add_model(self, model: FakeModel) -> FakeModel:
        """Add a model and return it; it replaces one with the same id for future generations."""
        self._api.catalog.models[model.model_id] = model
        return model

    def add_action(self, action: FakeAction) -> FakeAction:
        """Add an action and return it; it replaces one with the same slug for future runs."""
        self._api.catalog.actions[action.action_id] = action
        return action

    def add_media(self, name: str, body: bytes, content_type: str = "application/octet-stream") -> str:
        """Serve a file from the storage host and return its URL.

        Args:
            name: The path below `/media/`. The path of an output or an asset replaces that file.
            body: The content.
            content_type: The `Content-Type` header.

        Raises:
            RuntimeError: The server has not been started yet.

        Example:
            >>> url = fake.add_media("film.mp4", bytes(8_000_000), "video/mp4")
            >>> url == f"{fake.storage_origin}/media/film.mp4"
            True
        """
        return self._require_started(self._api.storage.add(name, body, content_type))

    def inject(self, fault: Fault, *, on: str = "any", times: int | None = 1, after: int = 0) -> None:
        """Make future requests fail.

        Faults form a queue: a request meets the first fault that applies to it and is not counted by later ones.

        Args:
            fault: The fault.
            on: The requests that it applies to: `start`, `poll`, `history` or `technique` of technique runs; `media` or
                `upload` on the storage host; `asset` for all operations on assets; the name of one operation, such as
                `assets.complete`; `other` for everything but the first four; or `any`.
            times: How many requests meet it; `None` for all.
            after: How many matching requests pass first.

        Raises:
            TypeError: `fault` is not a fault.
            ValueError: `on` is not a target, `times` is less than 1, or `after` is negative.

        Example:
            >>> from flora_async.testing import FakeFlora, Status
            >>> FakeFlora().inject(Status(429, retry_after=0.01), on="poll", times=3, after=1)
        """
        self._faults.add(fault, on=on, times=times, after=after)

    def heal(self) -> None:
        """Remove every injected fault that has not happened yet."""
        self._faults.clear()

    def finish(self, run_id: str, *, error_code: str | None = None, error_message: str | None = None) -> None:
        """End a run now: as failed if there is a code or a message, otherwise as completed.

        Args:
            run_id: FLORA's id of the run (`run_…`).
            error_code: FLORA's code for the failure.
            error_message: Its message.

        Raises:
            LookupError: There is no such run.
            ValueError: The run has already ended.
        """
        try:
            run = self._api.runs.runs[run_id]
        except KeyError:
            raise LookupError(f"there is no run {run_id!r}") from None
        run.end(error_code, error_message)
        self._deliveries.notify_finished(run_id)

    def fail(  # noqa: PLR0913 - which runs, and how
        self,
        work: str | None = None,
        *,
        code: str,
        message: str | None = None,
        inputs: Mapping[str, str] | None = None,
        times: int | None = 1,
        after: int = 0,
    ) -> None:
        """Let future runs fail, with their usual duration.

        Outcomes form a queue, as faults do: a run gets the first one that applies to it.

        Args:
            work: The slug or id of the technique, model or action; `None` for any.
            code: The error code, such as `model_timeout`.
            message: The error message.
            inputs: Only runs with these values, by input id, such as the row of a batch; `None` for all. The prompt of
                a generation is the input `prompt`.
            times: How many runs fail; `None` for all.
            after: How many matching runs end as usual first.

        Raises:
            LookupError: There is no such technique, model or action.
            ValueError: It has no such input; `code` is blank; `times` is less than 1; `after` is negative.

        Example:
            >>> fake.fail("caption", code="model_timeout", inputs={"prompt": "a red bicycle"})
        """
        if not code.strip():
            raise ValueError("code must not be blank: give one of FLORA's, such as 'model_timeout'")
        outcome = Outcome(error_code=code, error_message=message)
        self._api.outcomes.plan(outcome, work, inputs, times=times, after=after)

    def produce(
        self,
        work: str | None = None,
        *,
        outputs: Mapping[str, str | bytes],
        inputs: Mapping[str, str] | None = None,
        times: int | None = None,
        after: int = 0,
    ) -> None:
        """Let future runs complete with outputs of yours.

        Args:
            work: The slug or id of the technique, model or action; `None` for any.
            outputs: The content of its outputs, output id → the text, or the bytes of the file. Other outputs are as
                usual.
            inputs: Only runs with these values, as for `fail`.
            times: How many runs; `None`, the default, for all.
            after: How many matching runs end as usual first.

        Raises:
            LookupError: There is no such technique, model or action.
            ValueError: It has no such input or output, or another type of output; `times` is less than 1; `after` is
                negative.

        Example:
            >>> fake.produce("caption", outputs={"output_1": "A bicycle, painted red."})
        """
        self._api.outcomes.plan(Outcome(outputs=outputs), work, inputs, times=times, after=after)

    def expire_uploads(self) -> None:
        """End every upload reservation now: the storage host refuses the upload, and the asset fails."""
        self._api.assets.expire_uploads()

    def fail_assets(self, times: int = 1, *, message: str = "The file could not be read.") -> None:
        """Make the next assets that are completed, or created from a URL, fail with a message.

        Args:
            times: How many assets.
            message: The message of their failure.
        """
        self._api.assets.failures_left, self._api.assets.failure_message = times, message

    def resolve(self, public_prefix: str, local_url: str) -> None:
        """Map callback URLs to a local URL, as DNS would; webhooks for other callback URLs are not delivered.

        FLORA refuses a callback URL with a private host, such as `localhost`, unless it is mapped.

        Args:
            public_prefix: The prefix of the callback URLs, such as `https://hooks.example/`.
            local_url: The replacement for the prefix, such as `http://127.0.0.1:8080/`.

        Raises:
            ValueError: The prefix does not start with `https://`, as callback URLs do, or `local_url` is not an HTTP
                URL.

        Example:
            >>> fake.resolve("https://hooks.example/", "http://127.0.0.1:8080/")
        """
        if not public_prefix.startswith("https://") or not local_url.startswith(("http://", "https://")):
            raise ValueError(
                "public_prefix must start with https://, as every callback URL does, and local_url with http:// or "
                f"https://, not {public_prefix!r} and {local_url!r}"
            )
        self._environment.callback_addresses[public_prefix] = local_url

    async def deliver_again(self, run_id: str) -> FakeDelivery:
        """Deliver the event of a run once more, whether or not the receiver has accepted it, on any event loop.

        Raises:
            LookupError: The run has had no event yet.
            RuntimeError: The server is closed.
        """
        delivery, loop = self._deliveries.redeliver(run_id), self._loop
        if loop is None or loop is asyncio.get_running_loop():
            return await delivery
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(delivery, loop))

    def lose_deliveries(self, times: int = 1) -> None:
        """Lose the events of the next runs that end: there is no attempt to deliver them."""
        self._deliveries.losses_left = times

    async def _serve_api(self, request: web.Request) -> web.StreamResponse:
        return await self._serve(request, "flora")

    async def _serve_storage(self, request: web.Request) -> web.StreamResponse:
        return await self._serve(request, "media")

    async def _serve(self, request: web.Request, origin: Origin) -> web.StreamResponse:
        route = match_route(origin, request.method, request.raw_path.partition("?")[0])
        fault = self._faults.take(route.targets)
        try:
            body = await read_request_body(request, getattr(fault, "reads", None))
        except ConnectionError:
            return web.Response()  # the client has disconnected before its request was complete
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
        exchange = Exchange(
            request, recorded.request_id, self._environment.clock, self._api.accept(recorded), self._api.follow
        )
        return exchange.send(exchange.act()) if fault is None else await fault.serve(exchange)

    @staticmethod
    def _require_started(address: str) -> str:
        if not address.startswith("http"):
            raise RuntimeError("this FakeFlora has no address yet: start it with `async with` or `with`")
        return address
