"""The local FLORA as a server: recorded requests, opening and closing, and its package."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from plain_client import Client, Watched, start_body

from flora_async import testing
from flora_async.testing import FakeFlora, Garbage, Slow, VirtualClock

FOREVER = 3600.0


@pytest.fixture
async def fake(clock: VirtualClock) -> AsyncIterator[FakeFlora]:
    async with FakeFlora(case="snake", run_seconds=10.0, clock=clock) as fake:
        yield fake


async def test_requests_are_recorded_as_they_were_sent(client: Client) -> None:
    await client.start(json=start_body(), headers={"X-Test": "1"})
    await client.get("/runs/run_1")
    await client.get("/technique-runs", params={"limit": 5})
    await client.get(f"{client.fake.storage_origin}/media/run_1/output_1.png")
    await client.send("DELETE", "/runs/run_1", data=b"not json")
    start, _, history, _, other = client.fake.requests
    assert [request.operation for request in client.fake.requests] == [
        "start",
        "poll",
        "history",
        "media",
        "other",
    ]
    assert (start.method, start.path) == ("POST", "/api/v1/techniques/caption/runs")
    assert start.headers["x-test"] == "1"
    assert start.json == json.loads(start.body) == start_body()
    assert history.query["limit"] == "5"
    assert (other.method, other.body, other.json) == ("DELETE", b"not json", None)


@pytest.mark.parametrize("skew", [0, 300, -90])
async def test_dates_and_times_follow_the_clock_of_the_server(
    http: aiohttp.ClientSession, clock: VirtualClock, skew: int
) -> None:
    async with FakeFlora(case="snake", run_seconds=10.0, clock=clock, clock_skew=skew) as fake:
        client = Client(fake, http)
        fake.inject(Garbage(), on="history")
        answers = [await client.start(), await client.start("missing"), await client.get("/technique-runs")]
        answers.append(await client.get(f"{fake.storage_origin}/media/missing"))
        clock.advance(10.0)
        answers.append(await client.get(answers[0][1]["poll_url"]))
        dates = [parsedate_to_datetime(response.headers["Date"]).timestamp() for response, _ in answers]
        assert dates == [*[1_780_000_000 + skew] * 4, 1_780_000_010 + skew]
        run = answers[-1][1]
        assert (run["status"], run["created_at"] / 1000, run["completed_at"] / 1000) == ("completed", *dates[-2:])


def test_an_unstarted_server_has_no_address_and_says_what_to_do() -> None:
    with pytest.raises(RuntimeError, match="async with"):
        _ = FakeFlora().base_url


async def test_a_running_server_cannot_be_entered_again(fake: FakeFlora) -> None:
    with pytest.raises(RuntimeError, match="already running"):
        await fake.__aenter__()


async def test_a_port_in_use_is_an_error_that_leaves_nothing_open(fake: FakeFlora) -> None:
    port = int(fake.origin.rpartition(":")[2])
    second = FakeFlora(port=port)
    for _ in range(2):
        with pytest.raises(OSError, match="address already in use"):
            await second.__aenter__()
    await second.__aexit__(None, None, None)


async def test_a_storage_port_in_use_is_an_error_that_leaves_nothing_open() -> None:
    fake = FakeFlora()
    async with fake:
        port = int(fake.storage_origin.rpartition(":")[2])
    occupant = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", port)
    async with occupant:
        with pytest.raises(OSError, match="address already in use"):
            await fake.__aenter__()
    async with fake:
        assert fake.storage_origin.endswith(f":{port}")


async def test_a_closed_server_refuses_connections_and_comes_back_with_its_runs(
    http: aiohttp.ClientSession,
) -> None:
    fake = FakeFlora(case="snake")
    client = Client(fake, http)
    async with fake:
        _, run = await client.start()
    with pytest.raises(aiohttp.ClientConnectorError):
        await client.get(run["poll_url"])
    async with fake:
        response, again = await client.get(run["poll_url"])
        assert (response.status, again["run_id"]) == (200, run["run_id"])


@pytest.mark.parametrize("where", ["before", "after", "body"])
@pytest.mark.parametrize("leaves", [False, True])
async def test_closing_ends_slow_handlers_whether_their_client_waits_or_has_disconnected(
    http: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture, where: Any, *, leaves: bool
) -> None:
    before = asyncio.all_tasks()
    async with FakeFlora() as fake:
        slow = Watched(Slow(FOREVER, where=where))
        fake.inject(slow)
        task = asyncio.create_task(Client(fake, http).start())
        await slow.arrived.wait()
        if leaves:
            task.cancel()
            await asyncio.wait([task])
    await asyncio.wait([task])
    assert len(fake.runs) == (where != "before")
    assert asyncio.all_tasks() == before
    assert caplog.records == []
    if not leaves:
        assert isinstance(task.exception(), aiohttp.ClientError)


async def test_closing_does_not_wait_for_kept_alive_connections() -> None:
    async with aiohttp.ClientSession() as http, FakeFlora() as fake:
        await Client(fake, http).get("/technique-runs")


def test_every_public_name_exists_and_no_other() -> None:
    assert all(getattr(testing, name).__name__ == name for name in testing.__all__)
    with pytest.raises(AttributeError, match="no attribute 'missing'"):
        _ = testing.missing  # type: ignore[attr-defined]  # the name does not exist on purpose


def test_of_the_client_the_package_imports_only_its_table_of_routes() -> None:
    package = Path(testing.__file__).parent
    imports = {
        name for path in package.rglob("*.py") for name in re.findall(r"from (flora_async\S*)", path.read_text())
    }
    assert {name for name in imports if not name.startswith("flora_async.testing")} == {
        "flora_async._clock",
        "flora_async._http.routes",
        "flora_async._lazy",
        "flora_async._repr",
        "flora_async.webhooks",
    }


@pytest.mark.parametrize(
    ("settings", "kind", "words"),
    [
        ({"api_key": ""}, ValueError, "api_key must be printable ASCII"),
        ({"api_key": "a b"}, ValueError, "without spaces, not 'a b'"),
        ({"api_key": 5}, TypeError, "api_key must be text, not 5"),
        ({"port": -1}, ValueError, "port must be from 0 .* to 65535, not -1"),
        ({"port": 65536}, ValueError, "not 65536"),
        ({"port": "80"}, TypeError, "port must be a whole number"),
        ({"clock": VirtualClock}, TypeError, "clock must have the methods"),
        ({"run_seconds": -1}, ValueError, "run_seconds must be 0 seconds or more"),
        ({"run_seconds": float("inf")}, ValueError, "run_seconds must be finite"),
        ({"run_seconds": True}, TypeError, "run_seconds must be a number"),
    ],
    ids=repr,
)
def test_a_setting_that_no_server_can_use_is_refused_by_name(
    settings: dict[str, Any], kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind, match=words):
        FakeFlora(**settings)
