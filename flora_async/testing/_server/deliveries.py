"""Webhook deliveries: one event for every run that ends, sent until the receiver accepts it."""

import asyncio
import json
import math
import uuid
from collections.abc import Coroutine, Iterable
from itertools import chain
from typing import Any, Final

import aiohttp
import attrs

from flora_async._repr import ShortRepr
from flora_async.testing._checks import non_negative_seconds
from flora_async.testing._state.environment import CLOCK_INTERVAL, Environment, milliseconds
from flora_async.testing._state.runs import FakeRun
from flora_async.webhooks import sign

API_VERSION: Final = "2026-06-11"


@attrs.frozen(kw_only=True)
class FakeDelivery(ShortRepr):
    """An attempt of the local FLORA to deliver a webhook.

    Attributes:
        run_id: The run that has ended.
        event_id: The id of the event, the same for every attempt.
        url: The callback URL as it was requested.
        body: The bytes of the event, the same for every attempt.
        status: The status of the receiver's answer, `None` if there was no answer.
        error: The reason why there was no answer.
    """

    run_id: str
    event_id: str
    url: str
    body: bytes = attrs.field(repr=False)
    status: int | None = None
    error: str | None = None

    @property
    def is_taken(self) -> bool:
        """Whether the receiver accepted it: its answer was any 2xx."""
        return self.status is not None and self.status // 100 == 2  # noqa: PLR2004 - the class of successful statuses


@attrs.frozen
class _Event:
    """A webhook event and its destination."""

    run_id: str
    event_id: str
    type: str
    url: str
    body: bytes

    def attempt(self, **outcome: Any) -> FakeDelivery:  # noqa: ANN401 - fields of FakeDelivery
        return FakeDelivery(run_id=self.run_id, event_id=self.event_id, url=self.url, body=self.body, **outcome)


class Deliveries:
    """Delivers the webhooks of the server. There are no tasks until a run has a callback URL.

    Args:
        secret: The secret that signs the events.
        pauses: Seconds between the attempts.
        timeout: Seconds for one attempt.
        environment: The clock, and the local URLs that replace callback URLs.
        follows_real_time: Whether that clock advances by itself.

    Attributes:
        log: The attempts, in order.
        losses_left: How many of the next events are lost.
    """

    def __init__(
        self, *, secret: str, pauses: Iterable[float], timeout: float, environment: Environment, follows_real_time: bool
    ) -> None:
        self.log: list[FakeDelivery] = []
        self.losses_left = 0
        self._secret = secret
        self._pauses = tuple(non_negative_seconds("webhook_retries", pause) for pause in pauses)
        self._timeout = aiohttp.ClientTimeout(total=non_negative_seconds("webhook_timeout", timeout))
        self._clock = environment.clock
        self._follows_real_time = follows_real_time
        self._addresses = environment.callback_addresses
        self._tracked: dict[str, FakeRun] = {}
        self._finished: dict[str, asyncio.Future[None]] = {}
        self._events: dict[str, _Event] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._http: aiohttp.ClientSession | None = None

    def track(self, run: FakeRun) -> None:
        """Deliver the event of a run once it has ended, if the run has a callback URL."""
        if run.callback_url is not None:
            self._tracked[run.run_id] = run
            self._spawn(self._follow(run))

    def notify_finished(self, run_id: str) -> None:
        """Deliver the event of a run that the test has ended, from whatever thread."""
        finished = self._finished.get(run_id)
        if finished is not None and not finished.get_loop().is_closed():
            finished.get_loop().call_soon_threadsafe(_end, finished)

    def start(self) -> None:
        """Start, and resume the deliveries that the last `stop` interrupted."""
        self._http = aiohttp.ClientSession(timeout=self._timeout)
        for run in self._tracked.values():
            self._spawn(self._follow(run))

    async def stop(self) -> None:
        """Cancel every delivery."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        http, self._http = self._http, None
        if http is not None:
            await http.close()

    async def redeliver(self, run_id: str) -> FakeDelivery:
        """Deliver the event of a run once more.

        Raises:
            LookupError: The run has had no event yet.
        """
        event = self._events.get(run_id)
        if event is None:
            raise LookupError(f"run {run_id!r} has had no event yet")
        return await self._attempt(event)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _follow(self, run: FakeRun) -> None:
        await self._until_ended(run)
        event = self._events[run.run_id] = self._events.get(run.run_id) or _event_of(run)
        if self.losses_left:
            self.losses_left -= 1
            self.log.append(event.attempt(error="lost"))
        else:
            await self._deliver(event)
        del self._tracked[run.run_id], self._finished[run.run_id]

    async def _until_ended(self, run: FakeRun) -> None:
        finished = self._finished[run.run_id] = asyncio.get_running_loop().create_future()
        while (remaining := run.ends - self._clock.time()) > 0:
            timeout = remaining if self._follows_real_time else CLOCK_INTERVAL
            await asyncio.wait([finished], timeout=None if math.isinf(timeout) else timeout)

    async def _deliver(self, event: _Event) -> None:
        for pause in chain((0.0,), self._pauses):
            await asyncio.sleep(pause)
            if (await self._attempt(event)).is_taken:
                return

    async def _attempt(self, event: _Event) -> FakeDelivery:
        try:
            delivery = event.attempt(status=await self._post(event))
        except (aiohttp.ClientError, OSError, ValueError) as error:
            delivery = event.attempt(error=f"{type(error).__name__}: {error}")
        self.log.append(delivery)
        return delivery

    async def _post(self, event: _Event) -> int:
        if self._http is None:
            raise RuntimeError("this FakeFlora is closed: enter it with `async with`")
        headers = {
            "Content-Type": "application/json",
            "Flora-Signature": sign(event.body, self._secret, timestamp=int(self._clock.time())),
            "Flora-Webhook-Id": event.event_id,
            "Flora-Event": event.type,
        }
        url = self._resolved(event.url)
        async with self._http.post(url, data=event.body, headers=headers, allow_redirects=False) as response:
            return response.status

    def _resolved(self, url: str) -> str:
        """Return the local URL for a callback URL; the longest matching prefix decides."""
        for prefix in sorted(self._addresses, key=len, reverse=True):
            if url.startswith(prefix):
                return self._addresses[prefix] + url.removeprefix(prefix)
        raise OSError(f"{url} cannot be resolved: map it to a local URL with FakeFlora.resolve")


def _end(finished: asyncio.Future[None]) -> None:
    if not finished.done():
        finished.set_result(None)


def _event_of(run: FakeRun) -> _Event:
    status, event_id = run.status_at(run.ends), f"whd_{uuid.uuid4().hex}"
    data = {
        "run_id": run.run_id,
        "run_type": run.kind,
        "workspace_id": run.workspace_id,
        "status": status,
        "error_code": run.error_code,
        "error_message": run.error_message,
    }
    payload = {
        "id": event_id,
        "type": f"run.{status}",
        "api_version": API_VERSION,
        "created_at": milliseconds(run.ends),
        "data": {name: value for name, value in data.items() if value is not None},
    }
    return _Event(run.run_id, event_id, f"run.{status}", run.callback_url or "", json.dumps(payload).encode())
