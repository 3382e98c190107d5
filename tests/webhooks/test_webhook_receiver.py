"""The receiver passes each webhook on once over real sockets, wakes the waits, and leaves nothing behind."""

import asyncio
import io
import json
import logging
import threading
import traceback
from collections.abc import AsyncIterator, Callable, Iterator, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import aiohttp
import pytest
from webhook_servers import SERVERS, Serve, on_aiohttp

from flora_async.testing import VirtualClock
from flora_async.webhooks import WebhookEvent, WebhookReceiver, sign

SECRET = "whsec_do-not-show-me"
MIB = 1024 * 1024


@pytest.fixture(params=SERVERS)
def serve(request: pytest.FixtureRequest) -> Serve:
    return SERVERS[request.param]


def event(number: int = 1, *, status: str = "completed", **more: Any) -> bytes:
    data = {"run_id": f"run_{number}", "run_type": "technique", "workspace_id": "ws_1", "status": status}
    return json.dumps({"id": f"whd_{number}", "type": f"run.{status}", "data": data, **more}).encode()


def signed(body: bytes, secret: str = SECRET) -> dict[str, str]:
    return {"Flora-Signature": sign(body, secret), "Content-Type": "application/json"}


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """The log, which must not show the secret; the server must not complain either."""
    caplog.set_level(logging.INFO)
    yield caplog
    records = caplog.get_records("call")
    assert SECRET not in "".join(map(logging.Formatter().format, records))
    assert [record for record in records if record.levelno > logging.INFO and record.name != "flora_async"] == []


async def deliver(
    http: aiohttp.ClientSession,
    url: str,
    body: bytes,
    headers: dict[str, str] | None = None,
    *,
    chunked: bool | None = None,
) -> tuple[int, Any]:
    headers = signed(body) if headers is None else headers
    async with http.post(url, data=io.BytesIO(body), headers=headers, chunked=chunked) as response:
        text = await response.text()
        return response.status, json.loads(text)["error"] if text else None


@pytest.mark.usefixtures("logged")
async def test_a_delivery_is_answered_without_content_and_passed_on(serve: Serve, http: aiohttp.ClientSession) -> None:
    queue: asyncio.Queue[WebhookEvent] = asyncio.Queue()
    async with serve(WebhookReceiver(SECRET, on_event=queue.put_nowait)) as url:
        assert await deliver(http, url, event(1)) == (204, None)
        assert await deliver(http, url + "/", event(2)) == (204, None)
    assert [queue.get_nowait().data.run_id for _ in range(queue.qsize())] == ["run_1", "run_2"]


@pytest.mark.usefixtures("logged")
async def test_a_repeated_delivery_is_accepted_and_not_passed_on(serve: Serve, http: aiohttp.ClientSession) -> None:
    events: list[WebhookEvent] = []
    async with serve(WebhookReceiver(SECRET, on_event=events.append)) as url:
        for _ in range(4):
            assert await deliver(http, url, event()) == (204, None)
    assert [e.id for e in events] == ["whd_1"]


async def test_deliveries_at_the_same_time_are_passed_on_once_each(serve: Serve, http: aiohttp.ClientSession) -> None:
    events: list[WebhookEvent] = []
    async with serve(WebhookReceiver(SECRET, on_event=events.append)) as url:
        answers = await asyncio.gather(*(deliver(http, url, event(i % 5)) for i in range(40)))
    assert set(answers) == {(204, None)}
    assert sorted(e.id for e in events) == [f"whd_{i}" for i in range(5)]


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({}, "no_header"),
        (signed(event(), "whsec_another"), "mismatch"),
        (signed(event(2)), "mismatch"),
        ({"Flora-Signature": sign(event(), SECRET, timestamp=1)}, "stale"),
        ({"Flora-Signature": "t=1,t=2,v1=00"}, "malformed"),
    ],
)
async def test_a_forgery_is_refused_with_a_reason_and_does_not_replace_the_real_delivery(
    serve: Serve, http: aiohttp.ClientSession, logged: pytest.LogCaptureFixture, headers: dict[str, str], reason: str
) -> None:
    events: list[WebhookEvent] = []
    async with serve(WebhookReceiver(SECRET, on_event=events.append)) as url:
        assert await deliver(http, url, event(), headers) == (400, reason)
        assert events == []
        assert [r.levelname for r in logged.records if r.name == "flora_async"] == ["WARNING"]
        assert await deliver(http, url, event()) == (204, None)
    assert len(events) == 1


async def test_a_repeated_header_is_refused(serve: Serve, http: aiohttp.ClientSession) -> None:
    async with (
        serve(WebhookReceiver(SECRET)) as url,
        http.post(url, data=event(), headers=[("Flora-Signature", sign(event(), SECRET))] * 2) as response,
    ):
        assert (response.status, await response.json()) == (400, {"error": "malformed"})


@pytest.mark.usefixtures("logged")
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
async def test_a_method_other_than_post_is_refused(serve: Serve, http: aiohttp.ClientSession, method: str) -> None:
    events: list[WebhookEvent] = []
    async with (
        serve(WebhookReceiver(SECRET, on_event=events.append)) as url,
        http.request(method, url, data=event(), headers=signed(event())) as response,
    ):
        assert (response.status, response.headers["Allow"]) == (405, "POST")
    assert events == []


@pytest.mark.usefixtures("logged")
@pytest.mark.parametrize("chunked", [None, True], ids=["announced", "chunked"])
async def test_a_mebibyte_is_the_largest_delivery(
    serve: Serve, http: aiohttp.ClientSession, chunked: bool | None
) -> None:
    events: list[WebhookEvent] = []
    async with serve(WebhookReceiver(SECRET, on_event=events.append)) as url:
        assert await deliver(http, url, event().ljust(MIB), chunked=chunked) == (204, None)
        assert await deliver(http, url, event(2).ljust(MIB + 1), chunked=chunked) == (413, "too_large")
    assert [e.id for e in events] == ["whd_1"]


async def converse(url: str, *pieces: bytes, between: Callable[[], Any] | None = None) -> bytes:
    """Send pieces over a bare socket and disconnect: after the answer, or at once if no answer can come."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.split(":")[2].partition("/")[0]))
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            if between is not None:
                await between()
        return await reader.readuntil(b"\r\n") if between is not None else b""
    finally:
        writer.close()
        await writer.wait_closed()


def request(body: bytes, *, length: str) -> bytes:
    head = f"POST /flora HTTP/1.1\r\nHost: x\r\nFlora-Signature: {sign(body, SECRET)}\r\n{length}\r\n\r\n"
    return head.encode()


@pytest.mark.usefixtures("logged")
async def test_a_slow_client_does_not_delay_others(serve: Serve, http: aiohttp.ClientSession) -> None:
    events: list[WebhookEvent] = []
    async with serve(WebhookReceiver(SECRET, on_event=events.append)) as url:
        numbers = iter(range(10, 20))
        body = event()
        pieces = [request(body, length=f"Content-Length: {len(body)}"), body[:20], body[20:40], body[40:]]
        status = await converse(url, *pieces, between=lambda: deliver(http, url, event(next(numbers))))
        assert b" 204 " in status
    assert sorted(e.id for e in events) == ["whd_1", "whd_10", "whd_11", "whd_12", "whd_13"]


@pytest.mark.parametrize(
    "rest",
    [
        (f"Content-Length: {len(event())}", b""),
        (f"Content-Length: {len(event())}", event()[:-1]),
        ("Transfer-Encoding: chunked", b'5\r\n{"id"\r\n'),
    ],
    ids=["head", "part", "chunk"],
)
async def test_a_client_that_disconnects_leaves_nothing_behind(
    serve: Serve, http: aiohttp.ClientSession, logged: pytest.LogCaptureFixture, rest: tuple[str, bytes]
) -> None:
    events: list[WebhookEvent] = []
    before = asyncio.all_tasks()
    async with serve(WebhookReceiver(SECRET, on_event=events.append)) as url:
        await converse(url, request(event(), length=rest[0]) + rest[1])
        assert await deliver(http, url, event(2)) == (204, None)
    assert [e.id for e in events] == ["whd_2"]
    assert [record for record in logged.records if record.name == "flora_async"] == []
    assert asyncio.all_tasks() == before


async def test_a_body_that_cannot_be_decompressed_is_refused(http: aiohttp.ClientSession) -> None:
    async with on_aiohttp(WebhookReceiver(SECRET)) as url:
        headers = {**signed(event()), "Content-Encoding": "gzip"}
        async with http.post(url, data=event(), headers=headers) as response:
            assert (response.status, await response.json()) == (400, {"error": "unreadable"})


async def test_an_event_that_could_not_be_passed_on_is_requested_again(
    serve: Serve, http: aiohttp.ClientSession, logged: pytest.LogCaptureFixture
) -> None:
    queue: asyncio.Queue[WebhookEvent] = asyncio.Queue(maxsize=1)
    async with serve(WebhookReceiver(SECRET, on_event=queue.put_nowait)) as url:
        assert await deliver(http, url, event(1)) == (204, None)
        assert await deliver(http, url, event(2)) == (500, "on_event_failed")
        (record,) = (record for record in logged.records if record.levelno == logging.ERROR)
        assert record.name == "flora_async"
        assert record.exc_info is not None
        assert record.exc_info[0] is asyncio.QueueFull
        assert queue.get_nowait().id == "whd_1"
        assert await deliver(http, url, event(2)) == (204, None)
        assert queue.get_nowait().id == "whd_2"


async def test_a_delivery_over_a_socket_wakes_a_wait(serve: Serve, http: aiohttp.ClientSession) -> None:
    receiver = WebhookReceiver(SECRET)
    async with serve(receiver) as url:
        with receiver.expect("run_1") as delivered:
            assert (await deliver(http, url, event(), {}))[0] == 400
            assert not delivered.is_set()
            assert await deliver(http, url, event()) == (204, None)
            await delivered.wait()


async def spoken(receiver: WebhookReceiver, scope: dict[str, Any], *messages: dict[str, Any]) -> list[dict[str, Any]]:
    """The messages of the receiver to an ASGI server that sends these."""
    said: list[dict[str, Any]] = []
    pending = iter(messages)

    async def receive() -> MutableMapping[str, Any]:
        return next(pending)

    async def send(message: MutableMapping[str, Any]) -> None:
        said.append(dict(message))

    await receiver(scope, receive, send)
    assert list(pending) == []
    return said


async def test_the_lifespan_of_an_asgi_server_is_answered() -> None:
    messages: list[dict[str, Any]] = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    assert await spoken(WebhookReceiver(SECRET), {"type": "lifespan"}, *messages) == [
        {"type": "lifespan.startup.complete"},
        {"type": "lifespan.shutdown.complete"},
    ]


async def test_a_websocket_is_refused() -> None:
    said = await spoken(WebhookReceiver(SECRET), {"type": "websocket"}, {"type": "websocket.connect"})
    assert said == [{"type": "websocket.close"}]


async def test_an_unknown_protocol_is_an_error() -> None:
    with pytest.raises(ValueError, match="serves HTTP, not 'carrier-pigeon'"):
        await spoken(WebhookReceiver(SECRET), {"type": "carrier-pigeon"})


async def test_a_delivery_wakes_all_waits_for_its_run_and_no_others() -> None:
    receiver = WebhookReceiver(SECRET)
    with receiver.expect("run_1") as first, receiver.expect("run_1") as second, receiver.expect("run_2") as other:
        receiver.receive(event(), signed(event()))
        async with asyncio.timeout(5):
            await asyncio.gather(first.wait(), second.wait())
        assert not other.is_set()


@pytest.mark.parametrize("status", ["completed", "failed"])
async def test_a_delivery_before_the_wait_counts(status: str) -> None:
    receiver = WebhookReceiver(SECRET)
    body = event(status=status)
    receiver.receive(body, signed(body))
    with receiver.expect("run_1") as delivered, receiver.expect("run_2") as other:
        assert (delivered.is_set(), other.is_set()) == (True, False)


async def test_a_run_that_is_still_running_wakes_no_wait() -> None:
    events: list[WebhookEvent] = []
    receiver = WebhookReceiver(SECRET, on_event=events.append)
    body = event(status="running")
    with receiver.expect("run_1") as delivered:
        assert receiver.receive(body, signed(body)).status == 204
        await asyncio.sleep(0)
        assert not delivered.is_set()
    assert len(events) == 1


async def test_a_wait_is_woken_even_if_the_event_cannot_be_passed_on() -> None:
    def fail(_: WebhookEvent) -> None:
        raise OSError("disk full")

    receiver = WebhookReceiver(SECRET, on_event=fail)
    with receiver.expect("run_1") as delivered:
        assert receiver.receive(event(), signed(event())) == (500, b'{"error": "on_event_failed"}')
        async with asyncio.timeout(5):
            await delivered.wait()


async def test_nothing_is_left_of_a_wait_however_it_ends() -> None:
    receiver = WebhookReceiver(SECRET)

    async def wait() -> None:
        with receiver.expect("run_1") as delivered:
            await delivered.wait()

    waits = [asyncio.create_task(wait()) for _ in range(3)]
    await asyncio.sleep(0)
    assert len(receiver._ended._listeners["run_1"]) == 3
    waits[0].cancel()
    await asyncio.wait(waits[:1])
    assert waits[0].cancelled()
    assert len(receiver._ended._listeners["run_1"]) == 2
    receiver.receive(event(), signed(event()))
    await asyncio.gather(*waits[1:])
    assert receiver._ended._listeners == {}


def test_a_wait_belongs_to_an_event_loop() -> None:
    with pytest.raises(RuntimeError, match="no running event loop"), WebhookReceiver(SECRET).expect("run_1"):
        raise AssertionError("the body must not run")


async def test_a_delivery_in_another_thread_wakes_this_loop() -> None:
    receiver = WebhookReceiver(SECRET)

    async def wait() -> None:
        with receiver.expect("run_1") as delivered:
            ready.set()
            await delivered.wait()

    ready = threading.Event()
    other = threading.Thread(target=lambda: asyncio.run(wait()))
    with receiver.expect("run_1") as delivered:
        other.start()
        await asyncio.to_thread(ready.wait)
        assert (await asyncio.to_thread(receiver.receive, event(), signed(event()))).status == 204
        async with asyncio.timeout(5):
            await delivered.wait()
        await asyncio.to_thread(other.join)
    assert receiver._ended._listeners == {}


def test_a_wait_whose_loop_was_closed_does_not_disturb_deliveries() -> None:
    receiver = WebhookReceiver(SECRET)

    async def forsake() -> object:
        wait = receiver.expect("run_1")
        wait.__enter__()
        return wait

    kept = asyncio.run(forsake())
    assert kept
    assert receiver.receive(event(), signed(event())).status == 204


def test_threads_that_deliver_the_same_event_pass_it_on_once() -> None:
    events: list[str] = []
    together = threading.Barrier(8)

    def count(received: WebhookEvent) -> None:
        if received.id not in events:
            threading.Event().wait(0.01)  # room for another thread to come in between
            events.append(received.id)
        else:
            events.append("again")

    receiver = WebhookReceiver(SECRET, on_event=count)

    def job(number: int) -> int:
        together.wait()
        return receiver.receive(event(number % 2), signed(event(number % 2))).status

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(job, range(8))) == {204}
    assert sorted(events) == ["whd_0", "whd_1"]


async def test_the_oldest_are_forgotten() -> None:
    events: list[str] = []
    receiver = WebhookReceiver(SECRET, on_event=lambda e: events.append(e.id), remember=2)
    for number in (1, 2, 2, 3, 3, 2, 1):
        receiver.receive(event(number), signed(event(number)))
    assert events == ["whd_1", "whd_2", "whd_3", "whd_1"]
    with receiver.expect("run_1") as first, receiver.expect("run_2") as second, receiver.expect("run_3") as third:
        assert (first.is_set(), second.is_set(), third.is_set()) == (True, False, True)


def test_the_age_of_a_signature_is_measured_by_the_receivers_clock() -> None:
    clock = VirtualClock()
    receiver = WebhookReceiver(SECRET, clock=clock, tolerance=10)
    headers = {"Flora-Signature": sign(event(), SECRET, timestamp=clock.time())}
    assert receiver.receive(event(), headers) == (204, b"")
    clock.advance(11)
    assert receiver.receive(event(), headers) == (400, b'{"error": "stale"}')
    assert WebhookReceiver(SECRET, clock=clock, tolerance=None).receive(event(), headers).status == 204


async def say(_: WebhookEvent) -> None:
    raise AssertionError("it must not be called")


@pytest.mark.parametrize(
    ("error", "options"),
    [
        (TypeError, {"secret": None}),
        (ValueError, {"secret": ""}),
        (ValueError, {"secret": SECRET + "\n"}),
        (ValueError, {"tolerance": -1}),
        (ValueError, {"tolerance": float("nan")}),
        (TypeError, {"tolerance": "300"}),
        (TypeError, {"on_event": "print"}),
        (TypeError, {"on_event": say}),
        (ValueError, {"remember": 0}),
        (ValueError, {"remember": True}),
        (ValueError, {"remember": 1.5}),
    ],
)
def test_a_wrong_argument_is_refused_when_the_receiver_is_built(
    error: type[Exception], options: dict[str, Any]
) -> None:
    (name,) = options
    with pytest.raises(error, match=rf"^{name} ") as caught:
        WebhookReceiver(**{"secret": SECRET, **options})
    report = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    report.stack = traceback.StackSummary.from_list(report.stack[1:])  # the frame of this test knows it, of course
    assert SECRET not in "".join(report.format())


def test_the_repr_does_not_show_the_secret() -> None:
    receiver = WebhookReceiver(SECRET)
    assert SECRET not in f"{receiver} {receiver!r} {vars(receiver)}"
