"""Webhooks of the local FLORA: one signed event per run, delivered until it is accepted."""

import asyncio
import json
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web
from plain_client import Client, start_body

from flora_async.testing import FakeFlora, FakeTechnique, VirtualClock
from flora_async.webhooks import unwrap

PUBLIC = "https://hooks.example/"
HOOK = f"{PUBLIC}flora?run=1"
GENERATION = {
    "type": "image",
    "prompt": "a cat",
    "workspace_id": "ws_local",
    "project_id": "prj_local",
    "callback_url": HOOK,
}


class Receiver:
    """A web server with scripted answers that records its requests."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.hangs = False
        self.url = ""
        self._arrived = asyncio.Condition()

    async def receive(self, request: web.Request) -> web.Response:
        self.requests.append((request.path_qs, dict(request.headers), await request.read()))
        async with self._arrived:
            self._arrived.notify_all()
        if self.hangs:
            await asyncio.Event().wait()
        status = self.statuses.pop(0) if self.statuses else 204
        return web.Response(status=status, headers={"Location": "/elsewhere"} if status == 302 else {})

    async def wait_for(self, count: int) -> None:
        async with self._arrived:
            await self._arrived.wait_for(lambda: len(self.requests) >= count)


@asynccontextmanager
async def serving(receiver: Receiver) -> AsyncIterator[None]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", receiver.receive)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    try:
        yield
    finally:
        await runner.cleanup()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    async with serving(receiver):
        yield receiver


@pytest.fixture
async def fake(receiver: Receiver) -> AsyncIterator[FakeFlora]:
    async with FakeFlora(case="snake", run_seconds=0.01) as fake:
        fake.resolve(PUBLIC, receiver.url)
        yield fake


async def start(client: Client, technique: str = "caption") -> str:
    _, run = await client.start(technique, json=start_body(callback_url=HOOK))
    run_id: str = run["run_id"]
    return run_id


async def until_delivered(fake: FakeFlora, attempts: int) -> None:
    """Wait for the attempts: the receiver has a request before the server has its answer."""
    while len(fake.deliveries) < attempts:
        await asyncio.sleep(0)


async def test_a_run_that_ends_has_one_event(client: Client, fake: FakeFlora, receiver: Receiver) -> None:
    run_id = await start(client)
    await until_delivered(fake, 1)
    ((path, headers, body),) = receiver.requests
    (delivery,) = fake.deliveries
    assert (path, headers["Content-Type"]) == ("/flora?run=1", "application/json")
    assert (delivery.run_id, delivery.url, delivery.body) == (run_id, HOOK, body)
    assert (delivery.status, delivery.error, delivery.is_taken) == (204, None, True)
    event = json.loads(body)
    assert event == {
        "id": headers["Flora-Webhook-Id"],
        "type": headers["Flora-Event"],
        "api_version": "2026-06-11",
        "created_at": round(fake.runs[0].ends * 1000),
        "data": {"run_id": run_id, "run_type": "technique", "workspace_id": "ws_local", "status": "completed"},
    }
    assert (event["type"], event["id"], event["id"][:4]) == ("run.completed", delivery.event_id, "whd_")
    assert unwrap(body, headers, "whsec_local").data.run_id == run_id


async def test_the_event_of_a_failed_run_has_its_error(client: Client, fake: FakeFlora, receiver: Receiver) -> None:
    await start(client, "always-fails")
    await until_delivered(fake, 1)
    _, headers, body = receiver.requests[0]
    assert headers["Flora-Event"] == "run.failed"
    data = json.loads(body)["data"]
    assert (data["status"], data["error_code"]) == ("failed", "safety_blocked")
    assert data["error_message"]


async def test_the_event_of_a_generation_has_its_run_type(client: Client, fake: FakeFlora, receiver: Receiver) -> None:
    await client.post("/generate", GENERATION)
    await until_delivered(fake, 1)
    assert json.loads(receiver.requests[0][2])["data"]["run_type"] == "generation"


async def test_nothing_is_delivered_before_the_run_ends_or_without_a_callback_url(
    client: Client, fake: FakeFlora, receiver: Receiver
) -> None:
    fake.add_technique(FakeTechnique("held", running=math.inf))
    await client.start()
    held = await start(client, "held")
    await start(client)
    await until_delivered(fake, 1)
    fake.finish(held, error_code="model_timeout")
    await until_delivered(fake, 2)
    assert [delivery.run_id for delivery in fake.deliveries] == [fake.runs[2].run_id, held]
    assert [headers["Flora-Event"] for _, headers, _ in receiver.requests] == ["run.completed", "run.failed"]


async def test_the_end_of_a_run_follows_the_clock_of_the_server(
    http: aiohttp.ClientSession, clock: VirtualClock, receiver: Receiver
) -> None:
    async with FakeFlora(case="snake", run_seconds=600, clock=clock) as fake:
        fake.resolve(PUBLIC, receiver.url)
        await start(Client(fake, http))
        clock.advance(599)
        await Client(fake, http).get("/technique-runs")
        assert not fake.deliveries
        clock.advance(1)
        await until_delivered(fake, 1)
        _, headers, body = receiver.requests[0]
        assert headers["Flora-Signature"].startswith("t=1780000600,v1=")
        assert unwrap(body, headers, fake.webhook_secret, now=clock.time()).id == fake.deliveries[0].event_id


async def test_an_event_is_delivered_unchanged_until_it_is_accepted(
    client: Client, fake: FakeFlora, receiver: Receiver
) -> None:
    receiver.statuses = [500, 302, 200, 200]
    await start(client)
    await until_delivered(fake, 3)
    assert [delivery.status for delivery in fake.deliveries] == [500, 302, 200]
    assert [delivery.is_taken for delivery in fake.deliveries] == [False, False, True]
    assert len({body for _, _, body in receiver.requests}) == 1
    assert len({headers["Flora-Webhook-Id"] for _, headers, _ in receiver.requests}) == 1
    await start(client)
    await until_delivered(fake, 4)
    assert len({delivery.event_id for delivery in fake.deliveries}) == 2


async def test_flora_gives_up_after_three_more_attempts(http: aiohttp.ClientSession, receiver: Receiver) -> None:
    receiver.statuses = [503] * 9
    async with FakeFlora(case="snake", run_seconds=0, webhook_scale=0) as fake:
        fake.resolve(PUBLIC, receiver.url)
        await start(Client(fake, http))
        while fake._deliveries._tasks:
            await asyncio.sleep(0)
        assert [delivery.status for delivery in fake.deliveries] == [503] * 4


async def test_an_attempt_without_an_answer_counts_and_records_the_reason(
    http: aiohttp.ClientSession, receiver: Receiver
) -> None:
    receiver.hangs = True
    async with FakeFlora(case="snake", run_seconds=0, webhook_retries=[0], webhook_timeout=0.3) as fake:
        client = Client(fake, http)
        await start(client)
        await until_delivered(fake, 2)
        fake.resolve(PUBLIC, receiver.url)
        await start(client)
        await until_delivered(fake, 4)
    errors = [delivery.error for delivery in fake.deliveries if delivery.status is None]
    assert errors[:2] == [f"OSError: {HOOK} cannot be resolved: map it to a local URL with FakeFlora.resolve"] * 2
    assert [str(error).partition(":")[0] for error in errors[2:]] == ["TimeoutError"] * 2
    assert len(receiver.requests) == 2


async def test_the_longest_matching_prefix_resolves_a_callback_url(
    client: Client, fake: FakeFlora, receiver: Receiver
) -> None:
    fake.resolve("https://", "http://127.0.0.1:1/")
    fake.resolve(f"{PUBLIC}flora", f"{receiver.url}deeper")
    await start(client)
    await until_delivered(fake, 1)
    assert receiver.requests[0][0] == "/deeper?run=1"


async def test_an_event_can_be_delivered_twice(client: Client, fake: FakeFlora, receiver: Receiver) -> None:
    with pytest.raises(LookupError, match="'run_1' has had no event"):
        await fake.deliver_again("run_1")
    run_id = await start(client)
    await until_delivered(fake, 1)
    again = await fake.deliver_again(run_id)
    assert fake.deliveries == (again, again)
    assert receiver.requests[0][2] == receiver.requests[1][2]


async def test_an_event_can_be_lost(client: Client, fake: FakeFlora, receiver: Receiver) -> None:
    fake.lose_deliveries()
    lost = await start(client)
    await until_delivered(fake, 1)
    assert [(delivery.run_id, delivery.status, delivery.error) for delivery in fake.deliveries] == [
        (lost, None, "lost")
    ]
    await start(client)
    await until_delivered(fake, 2)
    assert len(receiver.requests) == 1
    assert (await fake.deliver_again(lost)).is_taken


async def test_closing_cancels_deliveries_and_opening_resumes_them(
    http: aiohttp.ClientSession, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    before = asyncio.all_tasks()
    fake = FakeFlora(case="snake", run_seconds=0)
    fake.add_technique(FakeTechnique("held", running=math.inf))
    fake.resolve(PUBLIC, receiver.url)
    receiver.hangs = True
    async with fake:
        hanging = await start(Client(fake, http))
        held = await start(Client(fake, http), "held")
        await receiver.wait_for(1)
    with pytest.raises(RuntimeError, match="closed"):
        await fake.deliver_again(hanging)
    receiver.hangs = False
    async with fake:
        fake.finish(held)
        await until_delivered(fake, 2)
    assert {delivery.run_id for delivery in fake.deliveries} == {hanging, held}
    assert receiver.requests[0][2] in {body for _, _, body in receiver.requests[1:]}
    assert {task for task in asyncio.all_tasks() - before if "_follow" in repr(task)} == set()
    assert caplog.records == []


@pytest.mark.parametrize(
    ("prefix", "url"),
    [("http://hooks.example/", "http://127.0.0.1/"), ("hooks.example", "http://127.0.0.1/"), (PUBLIC, "localhost")],
)
def test_an_invalid_mapping_of_callback_urls_is_refused(prefix: str, url: str) -> None:
    with pytest.raises(ValueError, match="callback URL"):
        FakeFlora().resolve(prefix, url)
