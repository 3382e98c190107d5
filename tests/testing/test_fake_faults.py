"""Faults that the local FLORA produces on demand."""

import asyncio
import json
import math
from collections.abc import AsyncIterator
from datetime import timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
import pytest
from plain_client import Client, Watched, start_body

from flora_async.testing import (
    Cut,
    Drop,
    EventStream,
    FakeAction,
    FakeFlora,
    FakeModel,
    FakeTechnique,
    Fault,
    ForeignPollUrl,
    Garbage,
    Oversize,
    ProxyPage,
    RateLimit,
    Redirect,
    Replace,
    RetryAfter,
    Slow,
    Status,
    Truncate,
    VirtualClock,
)

FOREVER = 3600.0


@pytest.fixture
async def fake(clock: VirtualClock) -> AsyncIterator[FakeFlora]:
    async with FakeFlora(case="snake", run_seconds=10.0, clock=clock) as fake:
        yield fake


async def test_a_status_has_the_error_envelope_and_does_not_act(client: Client) -> None:
    client.fake.inject(Status(429, retry_after=2), on="start")
    response, error = await client.start()
    assert response.status == 429
    assert response.headers["Retry-After"] == "2"
    assert error == {"error": {"code": "rate_limited", "message": "Too Many Requests"}}
    assert client.fake.runs == ()


async def test_a_status_can_act_and_have_any_content(client: Client) -> None:
    date = "Wed, 21 Oct 2026 07:28:00 GMT"
    client.fake.inject(Status(503, code="busy", message="Later.", retry_after=date, acts=True))
    client.fake.inject(Status(500, body=b"{"))
    response, error = await client.start()
    assert (response.status, response.headers["Retry-After"]) == (503, date)
    assert error == {"error": {"code": "busy", "message": "Later."}}
    assert len(client.fake.runs) == 1
    with pytest.raises(json.JSONDecodeError):
        await client.start()
    assert len(client.fake.runs) == 1


async def test_retry_after_adds_a_header_to_the_regular_answer(client: Client) -> None:
    _, run = await client.start()
    client.fake.inject(RetryAfter(0.5), on="poll")
    response, polled = await client.get(run["poll_url"])
    assert (response.status, response.headers["Retry-After"]) == (200, "0.5")
    assert polled["run_id"] == run["run_id"]


async def test_retry_after_can_be_a_date_by_the_clock_of_the_server(client: Client) -> None:
    client.fake.inject(Status(429, retry_after=timedelta(seconds=90)))
    client.fake.inject(RetryAfter(timedelta(seconds=-1)))
    for seconds in (90, -1):
        response, _ = await client.get("/technique-runs")
        later, now = (parsedate_to_datetime(response.headers[name]) for name in ("Retry-After", "Date"))
        assert (later - now).total_seconds() == seconds


async def test_a_status_can_have_further_headers(client: Client) -> None:
    client.fake.inject(Status(503, headers={"retry-after-ms": "250", "x-should-retry": "false"}))
    response, error = await client.get("/technique-runs")
    assert (response.headers["retry-after-ms"], response.headers["x-should-retry"]) == ("250", "false")
    assert error["error"]["code"] == "service_unavailable"


@pytest.mark.parametrize("acts", [False, True])
async def test_the_page_of_a_proxy_is_html_without_a_request_id(client: Client, *, acts: bool) -> None:
    client.fake.inject(ProxyPage(404, headers={"Via": "1.1 proxy"}, acts=acts), on="start")
    response, body = await client.start()
    assert (response.status, response.content_type, body[:6]) == (404, "text/html", b"<html>")
    assert "request-id" not in response.headers
    assert response.headers["Via"] == "1.1 proxy"
    assert len(client.fake.runs) == acts


async def test_an_error_envelope_can_come_with_status_200(client: Client) -> None:
    envelope = {"error": {"code": "internal_error", "message": "Try again."}}
    client.fake.inject(Replace(envelope, acts=False), on="start")
    response, body = await client.start()
    assert (response.status, body, client.fake.runs) == (200, envelope, ())


@pytest.mark.parametrize("acts", [False, True])
async def test_a_dropped_connection_sends_nothing(client: Client, *, acts: bool) -> None:
    client.fake.inject(Drop(acts=acts), on="start")
    with pytest.raises((aiohttp.ServerDisconnectedError, aiohttp.ClientOSError)):
        await client.start()
    assert len(client.fake.runs) == acts


async def test_a_server_may_act_after_its_connection_has_dropped(client: Client) -> None:
    late = Watched(Drop(acts=True, late=0.01))
    client.fake.inject(late, on="start")
    with pytest.raises((aiohttp.ServerDisconnectedError, aiohttp.ClientOSError)):
        await client.start()
    await late.served.wait()
    assert len(client.fake.runs) == 1


@pytest.mark.parametrize("acts", [False, True])
async def test_a_truncated_answer_ends_in_the_middle_of_its_body(client: Client, *, acts: bool) -> None:
    client.fake.inject(Truncate(acts=acts), on="start")
    headers = {"Authorization": "Bearer sk_test_local"}
    url = f"{client.fake.base_url}/techniques/caption/runs"
    async with client.http.post(url, json=start_body(), headers=headers) as response:
        assert response.status == (201 if acts else 200)
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()
    assert len(client.fake.runs) == acts


@pytest.mark.parametrize("acts", [False, True])
async def test_garbage_is_a_body_that_is_not_json(client: Client, *, acts: bool) -> None:
    client.fake.inject(Garbage(b"<h1>Oops</h1>", status=502, acts=acts), on="start")
    response, body = await client.start()
    assert (response.status, response.content_type, body) == (502, "text/html", b"<h1>Oops</h1>")
    assert len(client.fake.runs) == acts


@pytest.mark.parametrize("acts", [False, True])
@pytest.mark.parametrize("payload", [None, [], "run", {"run_id": 5, "runId": {}}])
async def test_a_replaced_payload_is_sent_verbatim(client: Client, payload: Any, *, acts: bool) -> None:
    client.fake.inject(Replace(payload, acts=acts), on="start")
    response, body = await client.start()
    assert (response.status, body) == (200, payload)
    assert len(client.fake.runs) == acts


@pytest.mark.parametrize("case", ["camel", "snake"])
@pytest.mark.parametrize("poll_urls", [True, False])
async def test_a_foreign_poll_url_is_part_of_an_otherwise_regular_answer(
    http: aiohttp.ClientSession, case: Any, *, poll_urls: bool
) -> None:
    async with FakeFlora(case=case, poll_urls=poll_urls) as fake:
        client = Client(fake, http)
        fake.inject(ForeignPollUrl("https://evil.example/run"), times=2)
        _, run = await client.start()
        assert {run[name] for name in run.keys() & {"pollUrl", "poll_url"}} == {"https://evil.example/run"}
        assert "runId" in run or "run_id" in run
        response, error = await client.get("/runs/run_missing")
        assert (response.status, "poll_url" in error) == (404, False)


async def events_of(client: Client, technique: str = "caption") -> AsyncIterator[Any]:
    """Start a run and yield the payloads of the events in the answer."""
    url = f"{client.fake.base_url}/techniques/{technique}/runs"
    headers = {"Authorization": f"Bearer {client.fake.api_key}"}
    async with client.http.post(url, json=start_body(mode="stream"), headers=headers) as response:
        assert (response.status, response.content_type) == (201, "text/event-stream")
        async for line in response.content:
            if line.startswith(b"data: "):
                yield json.loads(line.removeprefix(b"data: "))


@pytest.mark.parametrize("case", ["camel", "snake", "both"])
async def test_an_event_stream_ends_with_the_ended_run(
    http: aiohttp.ClientSession, clock: VirtualClock, case: Any
) -> None:
    async with FakeFlora(case=case, run_seconds=10.0, clock=clock) as fake:
        fake.inject(EventStream(), on="start")
        events = []
        async for event in events_of(Client(fake, http)):
            events.append(event)
            clock.advance(5.0)
        assert [event["status"] for event in events] == ["pending", "running", "completed"]
        assert events[-1]["outputs"][0]["url"] == "Caption: a cat"
        assert len(fake.runs) == 1


async def test_an_event_stream_follows_a_run_that_the_test_ends(client: Client, fake: FakeFlora) -> None:
    fake.add_technique(FakeTechnique("held", pending=0, running=math.inf))
    fake.inject(EventStream(), on="start")
    statuses = []
    async for event in events_of(client, "held"):
        statuses.append(event["status"])
        if event["status"] == "running":
            fake.finish(event["run_id"], error_code="SERVER_ERROR")
    assert statuses == ["running", "failed"]


async def test_an_event_stream_can_be_cut_before_the_ended_run(client: Client, clock: VirtualClock) -> None:
    client.fake.inject(EventStream(cut=True), on="start")
    statuses = []
    with pytest.raises(aiohttp.ClientPayloadError):
        async for event in events_of(client):
            statuses.append(event["status"])
            clock.advance(5.0)
    assert statuses == ["pending", "running"]


async def test_a_refused_start_is_not_streamed(client: Client) -> None:
    client.fake.inject(EventStream(), on="start")
    response, error = await client.start(json=start_body(mode="fast"))
    assert (response.status, error["error"]["code"]) == (400, "input_validation_error")


async def test_a_rate_limit_refuses_every_request_beyond_it(http: aiohttp.ClientSession, clock: VirtualClock) -> None:
    async with FakeFlora(rate_limit=RateLimit(2, 1.0), clock=clock) as fake:
        client = Client(fake, http)
        media = fake.add_media("cat.txt", b"cat")
        statuses = []
        for seconds in (0, 0.25, 0, 0.5, 0.25, 0, 0.25):
            clock.advance(seconds)
            response, _ = await client.start()
            statuses.append((response.status, response.headers.get("Retry-After")))
        assert statuses == [
            (201, None),
            (201, None),
            (429, "0.75"),
            (429, "0.25"),
            (201, None),
            (429, "0.25"),
            (201, None),
        ]
        assert len(fake.runs) == 4
        assert (await client.get("/technique-runs"))[0].status == 429
        assert (await client.get(media))[0].status == 200


async def test_a_rate_limit_may_keep_its_period_to_itself(http: aiohttp.ClientSession) -> None:
    async with FakeFlora(rate_limit=RateLimit(1, 60.0, retry_after=False)) as fake:
        client = Client(fake, http)
        await client.start()
        response, error = await client.start()
        assert (response.status, error["error"]["code"]) == (429, "rate_limited")
        assert "Retry-After" not in response.headers


async def test_a_redirect_does_not_act(client: Client) -> None:
    client.fake.inject(Redirect("https://evil.example/"), on="start")
    client.fake.inject(Redirect(status=307), on="start")
    response, _ = await client.start(allow_redirects=False)
    assert (response.status, response.headers["Location"]) == (302, "https://evil.example/")
    response, _ = await client.start(allow_redirects=False)
    location = f"{client.fake.base_url}/techniques/caption/runs"
    assert (response.status, response.headers["Location"]) == (307, location)
    assert client.fake.runs == ()


@pytest.mark.parametrize("where", ["before", "after", "body"])
async def test_a_slow_answer_is_complete_in_the_end(client: Client, where: Any) -> None:
    client.fake.inject(Slow(0.01, where=where), on="start")
    response, run = await client.start()
    assert (response.status, run["run_id"]) == (201, client.fake.runs[0].run_id)


async def test_a_slow_body_starts_at_once(client: Client) -> None:
    client.fake.inject(Slow(FOREVER, where="body"), on="start")
    url = f"{client.fake.base_url}/techniques/caption/runs"
    headers = {"Authorization": "Bearer sk_test_local"}
    async with client.http.post(url, json=start_body(), headers=headers) as response:
        assert (response.status, await response.content.readany() != b"") == (201, True)
        assert len(client.fake.runs) == 1


async def test_a_slow_server_acts_even_if_the_client_has_disconnected(client: Client) -> None:
    slow = Watched(Slow(0.02))
    client.fake.inject(slow, on="start")
    task = asyncio.create_task(client.start())
    await slow.arrived.wait()
    assert client.fake.runs == ()
    task.cancel()
    await asyncio.wait([task])
    await slow.served.wait()
    assert len(client.fake.runs) == 1


@pytest.mark.parametrize("fault", [Drop(acts=True), Truncate(), Slow(0.01, where="body"), Oversize(10**6), None])
async def test_nothing_is_logged_if_the_client_disconnects_before_the_answer(
    client: Client, caplog: pytest.LogCaptureFixture, fault: Fault | None
) -> None:
    late = Watched(fault, after_client_disconnects=True)
    client.fake.inject(late)
    task = asyncio.create_task(client.start())
    await late.arrived.wait()
    task.cancel()
    await asyncio.wait([task])
    await late.served.wait()
    assert len(client.fake.runs) == 1
    assert caplog.records == []


async def test_an_incomplete_request_is_neither_recorded_nor_logged(
    fake: FakeFlora, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", int(fake.origin.rpartition(":")[2]))
    writer.write(b"POST /api/v1/techniques/caption/runs HTTP/1.1\r\nHost: local\r\nContent-Length: 9\r\n\r\n{")
    await writer.drain()
    await client.get("/technique-runs")
    writer.close()
    await writer.wait_closed()
    await client.get("/technique-runs")
    assert [request.operation for request in fake.requests] == ["history", "history"]
    assert caplog.records == []


@pytest.mark.parametrize("acts", [False, True])
@pytest.mark.parametrize("announce", [False, True])
@pytest.mark.parametrize("size", [2, 3, 200_000])
async def test_an_oversized_body_is_valid_json_of_exactly_that_size(
    client: Client, size: int, *, announce: bool, acts: bool
) -> None:
    client.fake.inject(Oversize(size, announce=announce, acts=acts), on="start")
    response, body = await client.start()
    assert len(json.dumps(body)) == size
    assert response.headers.get("Content-Length") == (str(size) if announce else None)
    assert len(client.fake.runs) == acts


async def test_an_oversized_body_may_be_left_unread(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    client.fake.inject(Oversize(10**9))
    async with client.http.get(client.fake.origin) as response:
        assert await response.content.readany()
    assert (await client.get("/technique-runs"))[0].status == 200
    assert caplog.records == []


async def test_faults_happen_in_order_on_their_operation_and_then_end(client: Client) -> None:
    fake = client.fake
    fake.inject(Status(500), on="poll", times=2, after=1)
    fake.inject(Status(502), on="poll", after=1)
    fake.inject(Status(503), on="history", times=None)
    statuses = [(await client.get("/runs/run_1"))[0].status for _ in range(6)]
    # The second fault counts only the polls that the first one leaves: the first passes and the fourth fails.
    assert statuses == [404, 500, 500, 502, 404, 404]
    assert [(await client.get("/technique-runs"))[0].status for _ in range(3)] == [503, 503, 503]
    fake.heal()
    assert (await client.get("/technique-runs"))[0].status == 200


@pytest.mark.parametrize("options", [{"on": "polls"}, {"times": 0}, {"after": -1}])
def test_a_fault_that_matches_no_request_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be"):
        FakeFlora().inject(Drop(acts=True), **options)


def test_what_is_not_a_fault_is_refused() -> None:
    with pytest.raises(TypeError, match="such as Drop"):
        FakeFlora().inject(503)  # type: ignore[arg-type]  # a status is not a fault yet


@pytest.mark.parametrize(
    ("make", "options", "error"),
    [
        (Status, {"status": 200}, ValueError),
        (Garbage, {"status": 600}, ValueError),
        (Redirect, {"status": 200}, ValueError),
        (Replace, {"payload": {1, 2}}, TypeError),
        (Slow, {"seconds": math.nan}, ValueError),
        (Slow, {"seconds": math.inf}, ValueError),
        (Slow, {"seconds": -1}, ValueError),
        (Slow, {"seconds": True}, TypeError),
        (Slow, {"seconds": 1, "where": "never"}, ValueError),
        (Oversize, {"size": 1}, ValueError),
        (Cut, {"after": -1}, ValueError),
        (Drop, {"acts": False, "reads": -1}, ValueError),
        (Drop, {"acts": True, "reads": 1}, ValueError),
        (FakeTechnique, {"slug": ""}, ValueError),
        (FakeTechnique, {"slug": "t", "inputs": {"prompt": "word"}}, ValueError),
        (FakeTechnique, {"slug": "t", "optional_inputs": {"prompt": "word"}}, ValueError),
        (FakeTechnique, {"slug": "t", "running": math.nan}, ValueError),
        (FakeTechnique, {"slug": "t", "pending": "1"}, TypeError),
        (FakeTechnique, {"slug": "t", "run_cost": -1}, ValueError),
        (FakeTechnique, {"slug": "t", "allow_multiple": ["colour"]}, ValueError),
        (FakeTechnique, {"slug": "t", "accepts_element": ["colour"]}, ValueError),
        (FakeTechnique, {"slug": "t", "run_cost": math.nan}, ValueError),
        (FakeTechnique, {"slug": "t", "estimated_seconds": math.inf}, ValueError),
        (FakeModel, {"model_id": "", "type": "image"}, ValueError),
        (FakeModel, {"model_id": "m", "type": "imageUrl"}, ValueError),
        (FakeAction, {"action_id": "a", "inputs": {"image": "imageUrl"}, "outputs": {}}, ValueError),
        (FakeAction, {"action_id": "", "inputs": {}, "outputs": {}}, ValueError),
        (FakeFlora, {"workspaces": ["local"]}, ValueError),
        (FakeFlora, {"asset_ready_after": -1}, ValueError),
        (FakeFlora, {"webhook_scale": -1}, ValueError),
        (FakeFlora, {"webhook_timeout": "10"}, TypeError),
        (FakeFlora, {"case": "kebab"}, ValueError),
        (FakeFlora, {"idempotency": "never"}, ValueError),
        (FakeFlora, {"history_lag": -1}, ValueError),
        (FakeFlora, {"clock_skew": math.nan}, ValueError),
        (ProxyPage, {"status": 99}, ValueError),
        (RateLimit, {"requests": 0}, ValueError),
        (RateLimit, {"requests": 1, "seconds": math.inf}, ValueError),
        (FakeFlora, {"upload_method": "PATCH"}, ValueError),
        (FakeFlora, {"cost_lag": "1"}, TypeError),
        (FakeTechnique, {"slug": "t", "quote": -1}, ValueError),
        (FakeTechnique, {"slug": "t", "failed_cost": math.inf}, ValueError),
        (VirtualClock, {"start": math.nan}, ValueError),
        (VirtualClock, {"constant": 1.0}, ValueError),
    ],
)
def test_an_invalid_setting_is_refused_where_it_is_written(
    make: Any, options: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        make(**options)
