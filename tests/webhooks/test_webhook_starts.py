"""A delivery whose URL carries a start's token tells which run the start has made."""

import asyncio
import json
from collections.abc import AsyncIterator
from types import MappingProxyType
from typing import Any

import aiohttp
import pytest
from webhook_servers import SERVERS, Serve

from flora_async import FloraSession
from flora_async.testing import Drop, FakeFlora
from flora_async.webhooks import WebhookReceiver, sign

SECRET = "whsec_test"


@pytest.fixture(params=SERVERS)
def serve(request: pytest.FixtureRequest) -> Serve:
    return SERVERS[request.param]


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


def event(number: int = 1, status: str = "completed") -> bytes:
    data = {"run_id": f"run_{number}", "status": status}
    return json.dumps({"id": f"whd_{number}", "type": f"run.{status}", "data": data}).encode()


def deliver(receiver: WebhookReceiver, query: Any, number: int = 1, *, secret: str = SECRET) -> int:
    return receiver.receive(event(number), sign(event(number), secret), query=query).status


async def test_a_delivery_over_a_socket_tells_which_run_a_start_has_made(
    serve: Serve, http: aiohttp.ClientSession
) -> None:
    receiver = WebhookReceiver(SECRET)
    async with serve(receiver) as url:
        with receiver.expect_start("a b+c") as first, receiver.expect_start("t2") as second:
            headers = {"Flora-Signature": sign(event(), SECRET)}
            async with http.post(f"{url}?x=1&flora_start=a%20b%2Bc", data=event(), headers=headers) as response:
                assert response.status == 204
            assert await first == "run_1"
            assert not second.done()


async def test_a_start_whose_every_answer_is_lost_gets_its_run_from_the_delivery(
    fake: FakeFlora, flora: FloraSession, serve: Serve
) -> None:
    receiver = WebhookReceiver(fake.webhook_secret)
    fake.inject(Drop(acts=True), on="start", times=None)
    async with serve(receiver) as url:
        fake.resolve("https://hooks.example/flora", url)
        callback = "https://hooks.example/flora"
        run = await flora.run("caption", {"prompt": "a red bicycle"}, callback_url=callback, wake=receiver, timeout=10)
    assert run.adopted
    assert [run.run_id] == [started.run_id for started in fake.runs]


@pytest.mark.parametrize(
    "query",
    [
        "flora_start=t1",
        "?flora_start=t1",
        b"flora_start=t1",
        {"flora_start": "t1"},
        {"flora_start": ["t1"]},
        MappingProxyType({"flora_start": "t1"}),
    ],
    ids=["text", "with its mark", "bytes", "mapping", "mapping of lists", "proxy"],
)
async def test_the_token_is_found_in_the_query_of_any_framework(query: Any) -> None:
    receiver = WebhookReceiver(SECRET)
    assert deliver(receiver, query) == 204
    with receiver.expect_start("t1") as started:
        assert await started == "run_1"


@pytest.mark.parametrize(
    "query",
    [
        "",
        "flora_start=",
        "flora_start=t1&flora_start=t2",
        {"flora_start": 5},
        {},
        "flora_start=" + "t" * 201,
        "x" * 9000,
    ],
    ids=["none", "blank", "twice", "not text", "empty mapping", "long token", "long query"],
)
async def test_a_query_without_exactly_one_token_is_accepted_and_names_no_start(query: Any) -> None:
    receiver = WebhookReceiver(SECRET)
    assert deliver(receiver, query) == 204
    with receiver.expect("run_1") as ended, receiver.expect_start("t1") as started:
        assert (ended.is_set(), started.done()) == (True, False)
    assert len(receiver._started._announced) == 0


def test_a_query_of_another_type_is_refused() -> None:
    with pytest.raises(TypeError, match=r"^query must be text, bytes or a mapping, not int"):
        deliver(WebhookReceiver(SECRET), 5)


async def test_a_forged_delivery_names_no_run() -> None:
    receiver = WebhookReceiver(SECRET)
    with receiver.expect_start("t1") as started:
        assert deliver(receiver, "flora_start=t1", secret="whsec_guessed") == 400
        assert deliver(receiver, "flora_start=t1", number=2) == 204
        assert await started == "run_2"


async def test_a_repeated_delivery_may_be_the_first_to_carry_the_token() -> None:
    receiver = WebhookReceiver(SECRET)
    with receiver.expect_start("t1") as started:
        assert deliver(receiver, "") == deliver(receiver, "flora_start=t1") == 204
        assert await started == "run_1"


async def test_the_first_run_that_is_delivered_for_a_start_counts() -> None:
    receiver = WebhookReceiver(SECRET)
    with receiver.expect_start("t1") as early:
        for number in (1, 2):
            deliver(receiver, "flora_start=t1", number)
        with receiver.expect_start("t1") as late:
            assert (await early, await late) == ("run_1", "run_1")


async def test_a_run_that_has_not_ended_is_announced_too() -> None:
    receiver = WebhookReceiver(SECRET)
    body = event(status="running")
    with receiver.expect_start("t1") as started:
        receiver.receive(body, sign(body, SECRET), query="flora_start=t1")
        assert await started == "run_1"


async def test_the_oldest_starts_are_forgotten() -> None:
    receiver = WebhookReceiver(SECRET, remember=2)
    for number in (1, 2, 3):
        deliver(receiver, f"flora_start=t{number}", number)
    with receiver.expect_start("t1") as first, receiver.expect_start("t3") as third:
        assert (first.done(), third.done()) == (False, True)


async def test_nothing_is_left_of_an_expected_start_however_it_ends() -> None:
    receiver = WebhookReceiver(SECRET)

    async def wait() -> str:
        with receiver.expect_start("t1") as started:
            return await started

    waits = [asyncio.create_task(wait()) for _ in range(2)]
    await asyncio.sleep(0)
    waits[0].cancel()
    await asyncio.wait(waits[:1])
    deliver(receiver, "flora_start=t1")
    assert await waits[1] == "run_1"
    with receiver.expect_start("t2") as forgotten:
        pass
    assert forgotten.cancelled()
    assert receiver._started._listeners == {}


async def test_a_body_that_takes_too_long_is_answered_with_408(serve: Serve) -> None:
    receiver = WebhookReceiver(SECRET, body_timeout=0.05)
    async with serve(receiver) as url:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.split(":")[2].partition("/")[0]))
        try:
            writer.write(b"POST /flora HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nslow")
            assert b" 408 " in await reader.readuntil(b"\r\n")
            assert b'{"error": "too_slow"}' in await reader.read()
        finally:
            writer.close()
            await writer.wait_closed()


@pytest.mark.parametrize(("error", "value"), [(ValueError, 0), (ValueError, float("inf")), (TypeError, "10")])
def test_a_body_timeout_that_is_not_a_number_of_seconds_is_refused(error: type[Exception], value: Any) -> None:
    with pytest.raises(error, match=r"^body_timeout must be"):
        WebhookReceiver(SECRET, body_timeout=value)
