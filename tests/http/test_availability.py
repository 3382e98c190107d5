"""Outages: starts wait until FLORA can be reached, for as long as the policy says; the clocks are compared."""

import asyncio
import logging
import socket
import time
from email.utils import formatdate
from typing import Any

import pytest
from conftest import SWIFT_POLL
from raw_flora import RUN, answer, raw_flora

from flora_async import APIConnectionError, FloraSession, InternalServerError, RetryPolicy, SubmissionUnknownError
from flora_async.testing import FakeFlora, Status, VirtualClock

PROMPT = {"prompt": "x"}


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


async def test_starts_wait_until_flora_can_be_reached_again(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "flora_async")
    port = free_port()
    fake = FakeFlora(port=port)
    clock = VirtualClock()
    url = f"http://127.0.0.1:{port}/api/v1"
    async with FloraSession(fake.api_key, base_url=url, clock=clock, retry=RetryPolicy(outage=None)) as flora:
        starts = [asyncio.create_task(flora.techniques.runs.create("caption", inputs=PROMPT)) for _ in range(20)]
        while clock.monotonic() < VirtualClock().monotonic() + 600:  # ten minutes of nothing
            await asyncio.sleep(0.001)
        async with fake:
            runs = await asyncio.gather(*starts)
        assert len({run.run_id for run in runs}) == len(fake.runs) == 20
    assert sum("FLORA cannot be reached" in line for line in caplog.messages) == 1
    assert sum("FLORA can be reached again" in line for line in caplog.messages) == 1


async def test_an_outage_that_lasts_longer_ends_the_starts_with_its_error() -> None:
    clock = VirtualClock()
    url = f"http://127.0.0.1:{free_port()}"
    async with FloraSession("sk_test_1", base_url=url, clock=clock, retry=RetryPolicy(outage=60)) as flora:
        began = clock.monotonic()
        for _ in range(3):
            with pytest.raises(APIConnectionError) as caught:
                await flora.techniques.runs.create("caption", inputs=PROMPT)
            assert not caught.value.sent
        assert 60 <= clock.monotonic() - began < 120


@pytest.mark.parametrize(
    "policy", [RetryPolicy(attempts=1), RetryPolicy(initial=0, outage=0)], ids=["once", "no outage"]
)
async def test_a_policy_can_have_starts_fail_at_once(policy: RetryPolicy) -> None:
    clock = VirtualClock()
    url = f"http://127.0.0.1:{free_port()}"
    async with FloraSession("sk_test_1", base_url=url, clock=clock, retry=policy) as flora:
        for _ in range(4):
            with pytest.raises(APIConnectionError):
                await flora.techniques.runs.create("caption", inputs=PROMPT)
    assert sum(clock.sleeps) == 0


async def test_gateway_errors_without_any_answer_between_them_are_an_outage(fake: FakeFlora) -> None:
    clock = VirtualClock()
    fake.inject(Status(503), on="history", times=None)
    policy = RetryPolicy(attempts=2, initial=0)
    async with FloraSession(fake.api_key, base_url=fake.base_url, clock=clock, retry=policy) as flora:
        for _ in range(4):
            with pytest.raises(InternalServerError):
                await flora.techniques.runs.list()
        assert not clock.sleeps or max(clock.sleeps) == 0
        await flora.techniques.runs.create("caption", inputs=PROMPT)
    assert max(clock.sleeps) > 0
    assert [request.operation for request in fake.requests[-2:]] == ["techniques.list", "start"]  # a probe goes first


async def test_a_cancelled_probe_is_taken_over_by_another_start() -> None:
    port = free_port()
    fake = FakeFlora(port=port)
    policy = RetryPolicy(initial=0.001, outage=30)
    async with FloraSession(fake.api_key, base_url=f"http://127.0.0.1:{port}/api/v1", retry=policy) as flora:
        starts = [asyncio.create_task(flora.techniques.runs.create("caption", inputs=PROMPT)) for _ in range(4)]
        while not flora._client._availability._is_probing:
            await asyncio.sleep(0)
        for start in starts[:3]:
            start.cancel()
        async with fake:
            await starts[3]
            assert len(fake.runs) == 1
        await asyncio.gather(*starts[:3], return_exceptions=True)


@pytest.mark.parametrize("ahead", [-7200, 0, 90])
async def test_the_clocks_are_compared_by_the_date_of_an_answer(ahead: float) -> None:
    async def serve(_: bytes, __: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(RUN, Date=formatdate(time.time() + ahead, usegmt=True)))

    async with raw_flora(serve) as url, FloraSession("sk_test_1", base_url=url, poll=SWIFT_POLL) as flora:
        unmeasured = flora._client.clock_offset
        assert unmeasured is None
        await flora.wait_for_run("run_1")
        measured = flora._client.clock_offset
        assert measured is not None
        offset, error = measured
        assert offset <= ahead + 0.1  # a Date has whole seconds, and is as old as its answer
        assert offset + error >= ahead - 0.1


class Watched:
    """Notes what an observer of requests is told."""

    def __init__(self) -> None:
        self.overloads = 0

    def on_request(self, label: str) -> None:
        pass

    def on_recall(self, label: str) -> None:
        pass

    def on_rate_limit(self) -> None:
        pass

    def on_overload(self) -> None:
        self.overloads += 1


@pytest.mark.parametrize(
    ("fault", "count"), [(Status(503), 1), (Status(502), 1), (Status(500), 0), (Status(404), 0)], ids=repr
)
async def test_an_observer_is_told_of_overload(fake: FakeFlora, flora: FloraSession, fault: Any, count: int) -> None:
    fake.inject(fault, on="poll")
    watched = Watched()
    client = flora._client.observed_by(watched)
    with pytest.raises(Exception, match=str(fault.status)):
        await client.attempt(client.poll_request("/api/v1/runs/run_1"))
    assert watched.overloads == count


async def test_a_start_in_doubt_is_not_held_back_for_longer_than_its_key_lives() -> None:
    posts = 0
    clock = VirtualClock()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal posts
        posts += (await reader.readuntil(b"\r\n\r\n")).startswith(b"POST")
        server.close()  # from now on FLORA is out of reach
        writer.transport.abort()  # and nothing tells whether a run was started

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with FloraSession("sk_test_1", base_url=url, clock=clock, retry=RetryPolicy(outage=None)) as flora:
        began = clock.monotonic()
        with pytest.raises(SubmissionUnknownError):
            await flora.techniques.runs.create("caption", inputs=PROMPT)
    assert posts == 1
    assert clock.monotonic() - began < 7200  # for so long FLORA is sure to know a key
