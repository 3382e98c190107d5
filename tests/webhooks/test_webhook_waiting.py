"""Waiting with webhooks: from FLORA's delivery over a real server to the end of the wait, with one poll."""

import asyncio
import math

import aiohttp
import pytest
from conftest import OpenSession
from webhook_servers import SERVERS, Serve

from flora_async import FloraSession, Hooks, Run
from flora_async.testing import FakeFlora, FakeTechnique, VirtualClock
from flora_async.webhooks import WebhookEvent, WebhookReceiver, sign

CALLBACK = "https://hooks.example/flora"
PROMPT = {"prompt": "a red bicycle"}


@pytest.fixture(params=SERVERS)
def serve(request: pytest.FixtureRequest) -> Serve:
    return SERVERS[request.param]


async def start(flora: FloraSession, technique: str = "caption") -> Run:
    return await flora.techniques.runs.create(technique, inputs=PROMPT, callback_url=CALLBACK)


def polls(fake: FakeFlora) -> int:
    return sum(request.operation == "poll" for request in fake.requests)


@pytest.mark.parametrize(("technique", "status"), [("caption", "completed"), ("always-fails", "failed")])
async def test_a_wait_ends_with_the_delivery_and_one_poll(
    fake: FakeFlora, flora: FloraSession, serve: Serve, technique: str, status: str
) -> None:
    receiver = WebhookReceiver(fake.webhook_secret)
    async with serve(receiver) as url:
        fake.resolve(CALLBACK, url)
        run = await flora.wait_for_run(await start(flora, technique), wake=receiver)
    assert run.status == status
    assert polls(fake) == 1


async def test_hooks_are_told_of_the_end_that_a_delivery_shows(
    fake: FakeFlora, session_on: OpenSession, serve: Serve
) -> None:
    ended: list[tuple[Run | None, int]] = []
    receiver = WebhookReceiver(fake.webhook_secret)
    async with serve(receiver) as url:
        fake.resolve(CALLBACK, url)
        flora = session_on(fake, hooks=Hooks(on_run_end=lambda event: ended.append((event.run, event.polls))))
        run = await flora.run("caption", PROMPT, callback_url=CALLBACK, wake=receiver)
    assert ended == [(run, 1)]


async def test_runs_that_are_waited_for_together_are_polled_once_each(
    fake: FakeFlora, flora: FloraSession, serve: Serve
) -> None:
    receiver = WebhookReceiver(fake.webhook_secret)
    async with serve(receiver) as url:
        fake.resolve(CALLBACK, url)
        waits = (flora.run("caption", PROMPT, callback_url=CALLBACK, wake=receiver) for _ in range(20))
        runs = await asyncio.gather(*waits)
    assert all(run.is_completed for run in runs)
    assert polls(fake) == len({run.run_id for run in runs}) == 20
    assert receiver._ended._listeners == {}


async def test_a_delivery_before_the_wait_began_ends_it_at_once(
    fake: FakeFlora, flora: FloraSession, serve: Serve
) -> None:
    receiver = WebhookReceiver(fake.webhook_secret)
    async with serve(receiver) as url:
        fake.resolve(CALLBACK, url)
        run = await start(flora)
        while not fake.deliveries:
            await asyncio.sleep(0.001)
        assert (await flora.wait_for_run(run, wake=receiver)).is_completed
    assert polls(fake) == 1


async def test_a_forged_delivery_wakes_no_wait(fake: FakeFlora, flora: FloraSession, serve: Serve) -> None:
    fake.add_technique(FakeTechnique("endless", running=math.inf))
    receiver = WebhookReceiver(fake.webhook_secret)
    async with serve(receiver) as url, aiohttp.ClientSession() as http:
        fake.resolve(CALLBACK, url)
        run = await start(flora, "endless")
        waiting = asyncio.create_task(flora.wait_for_run(run, wake=receiver))
        body = (
            f'{{"id": "whd_forged", "type": "run.completed",'
            f' "data": {{"run_id": "{run.run_id}", "status": "completed"}}}}'
        ).encode()
        async with http.post(url, data=body, headers={"Flora-Signature": sign(body, "whsec_guessed")}) as response:
            assert response.status == 400
        fake.finish(run.run_id)
        assert (await waiting).is_completed
    assert polls(fake) == 1


async def test_a_delivery_that_came_too_early_does_not_end_the_wait(
    fake: FakeFlora, flora: FloraSession, serve: Serve
) -> None:
    fake.add_technique(FakeTechnique("endless", running=math.inf))
    receiver = WebhookReceiver(fake.webhook_secret)
    async with serve(receiver) as url, aiohttp.ClientSession() as http:
        run = await start(flora, "endless")
        waiting = asyncio.create_task(flora.wait_for_run(run, wake=receiver))
        body = f'{{"id": "whd_1", "type": "x", "data": {{"run_id": "{run.run_id}", "status": "completed"}}}}'.encode()
        async with http.post(url, data=body, headers={"Flora-Signature": sign(body, fake.webhook_secret)}) as response:
            assert response.status == 204
        while polls(fake) < 3:  # from here on it is watched as without webhooks
            await asyncio.sleep(0.001)
        fake.finish(run.run_id)
        assert (await waiting).is_completed


async def test_a_wait_ends_even_if_the_event_is_not_passed_on(session_on: OpenSession, serve: Serve) -> None:
    queue: asyncio.Queue[WebhookEvent] = asyncio.Queue(maxsize=1)
    receiver = WebhookReceiver("whsec_local", on_event=queue.put_nowait)
    async with FakeFlora(webhook_retries=[5.0] * 1000) as fake, serve(receiver) as url:
        fake.resolve(CALLBACK, url)
        flora = session_on(fake)
        await flora.wait_for_run(await start(flora), wake=receiver)
        run = await flora.wait_for_run(await start(flora), wake=receiver)
        assert polls(fake) == 2
        assert queue.get_nowait().data.run_id != run.run_id
        assert (await queue.get()).data.run_id == run.run_id  # delivered again, as it could not be handed on
        assert [delivery.status for delivery in fake.deliveries][:2] == [204, 500]


@pytest.mark.parametrize(("seconds", "minutes"), [(30, 1), (90, 2), (600, 10)])
async def test_a_lost_delivery_costs_less_than_a_minute(session_on: OpenSession, seconds: int, minutes: int) -> None:
    clock = VirtualClock()
    receiver = WebhookReceiver("whsec_local", clock=clock)
    async with FakeFlora(clock=clock, run_seconds=seconds) as fake:
        fake.lose_deliveries()
        flora = session_on(fake, clock=clock)
        run = await start(flora)
        began = clock.monotonic()
        assert (await flora.wait_for_run(run, wake=receiver, timeout=3600)).is_completed
        assert clock.monotonic() - began == minutes * 60
        assert polls(fake) == minutes
    assert receiver._ended._listeners == {}


async def test_a_wait_that_is_cancelled_leaves_nothing_behind(fake: FakeFlora, flora: FloraSession) -> None:
    receiver = WebhookReceiver(fake.webhook_secret)
    run = await start(flora)
    before = asyncio.all_tasks()
    waiting = asyncio.create_task(flora.wait_for_run(run, wake=receiver))
    while not receiver._ended._listeners:
        await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    assert waiting.cancelled()
    assert receiver._ended._listeners == {}
    assert asyncio.all_tasks() - before <= {t for t in asyncio.all_tasks() if "aiohttp/web" in repr(t)}
