"""Connections: a queue is not an outage, files have their own, a lent session lends nothing else, stale ones go."""

import asyncio
import gzip
import logging
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from conftest import IMAGE, OpenSession
from raw_flora import RUN, answer, raw_flora

from flora_async import (
    APIConnectionError,
    APITimeoutError,
    DecodeError,
    FloraSession,
    PollPolicy,
    RetryPolicy,
    Run,
    SessionClosedError,
)
from flora_async.testing import FakeFlora, FakeTechnique

KEY = "sk_live_S3cretKey0123456789"
ONCE = RetryPolicy(attempts=1, settle=None)


async def test_a_queue_for_connections_is_neither_a_timeout_nor_an_outage(caplog: pytest.LogCaptureFixture) -> None:
    polls: dict[str, int] = {}

    async def serve(head: bytes, _: bytes, writer: asyncio.StreamWriter) -> None:
        run_id = head.split(b" ")[1].rpartition(b"/")[2].decode()
        polls[run_id] = polls.get(run_id, 0) + 1
        await asyncio.sleep(0.02)
        writer.write(answer({"run_id": run_id, "status": "completed" if polls[run_id] > 1 else "running"}))

    poll = PollPolicy(initial=0.001, maximum=0.001, outage=0.3)
    async with (
        raw_flora(serve) as url,
        FloraSession(KEY, base_url=url, max_connections=1, timeout=0.3, poll=poll) as flora,
    ):
        runs = [Run(run_id=f"run_{number}", status="running") for number in range(60)]  # 1.2 s of a queue
        ended = await asyncio.gather(*(flora.wait_for_run(run) for run in runs))
    assert [run.status for run in ended] == ["completed"] * 60
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert "one of 1 connections" in warnings[0]


async def test_pauses_grow_with_the_queue_and_shrink_without_it() -> None:
    from flora_async.polling import PollSchedule  # noqa: PLC0415 - for this test alone
    from flora_async.testing import VirtualClock  # noqa: PLC0415 - likewise

    schedule = PollSchedule(PollPolicy(initial=1, multiplier=1, jitter=0), VirtualClock())
    assert schedule.next(queue_time=19) == pytest.approx(18)
    assert schedule.next(queue_time=2) == pytest.approx(18)
    easing = [schedule.next() for _ in range(40)]
    assert easing == sorted(easing, reverse=True)
    assert easing[-1] == 1


async def test_slow_downloads_leave_the_connections_to_flora_alone(tmp_path: Path) -> None:
    released = asyncio.Event()

    async def serve(head: bytes, _: bytes, writer: asyncio.StreamWriter) -> None:
        if b"/file" in head:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 4\r\n\r\n")
            await released.wait()
            writer.write(b"\x89PNG")
        else:
            writer.write(answer(RUN))

    async with raw_flora(serve) as url, FloraSession(KEY, base_url=url, max_connections=2) as flora:
        downloads = [asyncio.create_task(flora.download(f"{url}/file{n}", tmp_path / f"{n}.png")) for n in range(3)]
        await asyncio.sleep(0)
        assert (await flora.wait_for_run("run_1", timeout=5)).is_completed
        assert (await flora.techniques.runs.create("caption", inputs={"prompt": "x"})).run_id == "run_1"
        released.set()
        assert len(await asyncio.gather(*downloads)) == 3


class Heads(list[bytes]):
    """The heads of the requests that a server got."""

    async def __call__(self, head: bytes, _: bytes, writer: asyncio.StreamWriter) -> None:
        self.append(head)
        writer.write(answer(RUN, Set_Cookie="stolen=1"))


LENT: dict[str, Any] = {
    "headers": {"Authorization": "Bearer of-another-service", "X-Own": "own"},
    "cookies": {"own": "cookie"},
    "trust_env": True,
}


@pytest.fixture
def netrc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "netrc"
    path.write_text("default login own password own\n")
    path.chmod(0o600)
    monkeypatch.setenv("NETRC", str(path))


@pytest.mark.usefixtures("netrc")
async def test_a_lent_session_gives_neither_flora_nor_other_hosts_anything_of_its_own(tmp_path: Path) -> None:
    heads = Heads()
    async with raw_flora(heads) as url, aiohttp.ClientSession(**LENT) as http:
        async with FloraSession(KEY, base_url=url, http_session=http) as flora:
            await flora.wait_for_run("run_1")
            await flora.download(f"{url}/file.json", tmp_path / "file.json")
        assert not http.closed
        assert not [cookie for cookie in http.cookie_jar if cookie.key == "stolen"]
    to_flora, to_host = (head.decode().lower() for head in heads)
    assert f"authorization: bearer {KEY.lower()}" in to_flora
    assert "authorization" not in to_host
    assert not [head for head in (to_flora, to_host) if "own" in head or "cookie" in head]


async def test_a_lent_session_may_be_used_without_ever_closing_ours() -> None:
    async with raw_flora(Heads()) as url, aiohttp.ClientSession() as http:
        await FloraSession(KEY, base_url=url, http_session=http).wait_for_run("run_1")
        assert not http.closed


@pytest.mark.parametrize(
    "stray", [answer({"run_id": "run_stray", "status": "pending"}), b"HTTP/1.1 200 OK\r\nContent-Le"]
)
async def test_what_arrives_on_an_idle_connection_is_not_the_answer_to_the_next_request(stray: bytes) -> None:
    connections: set[asyncio.StreamWriter] = set()
    posts = 0

    async def serve(head: bytes, _: bytes, writer: asyncio.StreamWriter) -> None:
        nonlocal posts
        posts += head.startswith(b"POST")
        writer.write(answer({"run_id": f"run_{posts}", "status": "pending"}))
        if writer not in connections:
            connections.add(writer)
            await writer.drain()
            await asyncio.sleep(0)  # not in one piece with the answer before it
            writer.write(stray)

    async with raw_flora(serve) as url, FloraSession(KEY, base_url=url, retry=ONCE) as flora:
        await flora.generations.retrieve("run_0")
        assert (await flora.techniques.runs.create("caption", inputs={"prompt": "x"})).run_id == "run_1"
    assert posts == 1


async def test_attempts_of_one_also_keep_aiohttp_from_sending_a_read_again() -> None:
    gets = 0

    async def serve(_: bytes, __: bytes, writer: asyncio.StreamWriter) -> None:
        nonlocal gets
        gets += 1
        if gets > 1:
            writer.transport.abort()
        else:
            writer.write(answer(RUN))

    async with raw_flora(serve) as url, FloraSession(KEY, base_url=url, retry=ONCE) as flora:
        await flora.generations.retrieve("run_1")
        with pytest.raises(APIConnectionError):
            await flora.generations.retrieve("run_1")
    assert gets == 2


async def test_a_session_that_is_closed_before_a_read_is_sent_again_says_so() -> None:
    arrived, closed, gets = asyncio.Event(), asyncio.Event(), 0

    async def serve(_: bytes, __: bytes, writer: asyncio.StreamWriter) -> None:
        nonlocal gets
        gets += 1
        if gets == 1:
            writer.write(answer(RUN))
        else:
            arrived.set()
            await closed.wait()
            writer.transport.abort()

    async with (
        raw_flora(serve) as url,
        aiohttp.ClientSession() as http,
        FloraSession(KEY, base_url=url, http_session=http) as flora,
    ):
        await flora.generations.retrieve("run_1")
        reading = asyncio.create_task(flora.generations.retrieve("run_1"))
        await arrived.wait()
        await flora.close()
        closed.set()
        with pytest.raises(SessionClosedError):
            await reading
    assert gets == 2


@pytest.mark.parametrize("missing", [1, 4, 8, 12])
async def test_a_compressed_body_that_ends_early_is_not_whole(missing: int) -> None:
    packed = gzip.compress(b'{"models": []}')[:-missing]

    async def serve(_: bytes, __: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(packed, Content_Encoding="gzip"))

    async with raw_flora(serve) as url, FloraSession(KEY, base_url=url, retry=ONCE) as flora:
        with pytest.raises(APIConnectionError, match="ends too early"):
            await flora.request("GET", "/models")


async def test_a_204_is_an_answer() -> None:
    async def serve(_: bytes, __: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")

    async with raw_flora(serve) as url, FloraSession(KEY, base_url=url, retry=ONCE) as flora:
        assert await flora.request("DELETE", "/anything") is None
        assert await flora.request("POST", "/anything") is None
        folder = await flora.workspaces.library.folders.delete("libfolder_1", workspace_id="ws_1")
    assert (folder.folder_id, folder.deleted) == ("libfolder_1", True)


async def test_a_small_answer_that_unpacks_to_a_large_run_is_refused() -> None:
    packed = gzip.compress(b'{"run_id": "run_1", "status": "completed", "outputs": [' + b"{}," * 500_000 + b"{}]}")

    async def serve(_: bytes, __: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(packed, Content_Encoding="gzip"))

    async with raw_flora(serve) as url, FloraSession(KEY, base_url=url, retry=ONCE) as flora:
        with pytest.raises(DecodeError, match="more than 1,048,576 bytes"):
            await flora.generations.retrieve("run_1")


@pytest.mark.parametrize("where", ["poll", "download"])
async def test_endless_interim_answers_end_with_the_timeout(where: str, tmp_path: Path) -> None:
    async def serve(_: bytes, __: bytes, writer: asyncio.StreamWriter) -> None:
        while not writer.is_closing():
            writer.write(b"HTTP/1.1 102 Processing\r\n\r\n")
            await writer.drain()
            await asyncio.sleep(0.001)

    async with raw_flora(serve) as url, FloraSession(KEY, base_url=url, retry=ONCE, timeout=0.1) as flora:
        job = flora.generations.retrieve("run_1") if where == "poll" else flora.download(f"{url}/x", tmp_path / "x")
        with pytest.raises(Exception, match=r"within 0\.1 s"):
            await job


async def test_a_session_that_is_closed_under_a_wait_says_so_with_the_run(
    fake: FakeFlora, session_on: OpenSession
) -> None:
    fake.add_technique(FakeTechnique("endless", running=float("inf")))
    flora = session_on(fake)
    run = await flora.techniques.runs.create("endless", inputs={"prompt": "x"})
    waiting = asyncio.create_task(flora.wait_for_run(run))
    while len(fake.requests) < 3:
        await asyncio.sleep(0.001)
    await flora.close()
    with pytest.raises(SessionClosedError, match="enter it again") as caught:
        await waiting
    assert isinstance(caught.value, RuntimeError)
    assert caught.value.run is not None
    assert caught.value.run.run_id == run.run_id
    with pytest.raises(SessionClosedError):
        await flora.techniques.runs.create("cctv-cam", inputs=IMAGE)


async def test_a_start_that_is_streamed_is_read_to_its_last_run_and_never_posted_again() -> None:
    posts = 0
    whole = b'event: run\r\ndata: {"run_id": "run_1", "status": "running"}\r\n\r\n'

    async def serve(head: bytes, _: bytes, writer: asyncio.StreamWriter) -> None:
        nonlocal posts
        posts += head.startswith(b"POST")
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nrequest-id: req_1\r\n\r\n: hello\r\n\r\n" + whole
        )
        if posts == 1:
            writer.write(b'data: {"run": {"runId": "run_1",\r\ndata: "status": "completed"}}\r\n\r\n')
        writer.close()

    async with raw_flora(serve) as url, FloraSession(KEY, base_url=url, retry=ONCE) as flora:
        create = flora.techniques.runs.create
        assert (await create("caption", inputs={"prompt": "x"}, mode="stream")).status == "completed"
        assert (await create("caption", inputs={"prompt": "x"}, mode="stream")).status == "running"
        assert posts == 2


async def test_a_second_event_loop_gets_an_error_whatever_it_asks_for(flora: FloraSession) -> None:
    await flora.techniques.runs.list()

    async def use() -> None:
        for job in (flora.wait_for_run("run_1"), flora.run("caption", {"prompt": "x"}), flora.techniques.runs.list()):
            with pytest.raises(RuntimeError, match="another event loop"):
                await job

    await asyncio.to_thread(asyncio.run, use())


async def test_a_timeout_starts_with_the_connection_and_ends_with_the_body() -> None:
    async def serve(_: bytes, __: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while not writer.is_closing():  # a drip that would last for an hour
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.01)

    async with raw_flora(serve) as url, FloraSession(KEY, base_url=url, retry=ONCE, timeout=0.1) as flora:
        with pytest.raises(APITimeoutError) as caught:
            await flora.generations.retrieve("run_1")
    assert (caught.value.sent, caught.value.timeout) == (True, 0.1)
