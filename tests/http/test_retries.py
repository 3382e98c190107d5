"""Retries: when, how often, how long between, and the pause after a 429."""

import asyncio
import logging
from datetime import timedelta
from typing import Any

import pytest
from conftest import IMAGE, OpenSession
from hypothesis import given, settings
from hypothesis import strategies as st

from flora_async import (
    APIConnectionError,
    APIStatusError,
    FloraSession,
    InternalServerError,
    NotFoundError,
    PollPolicy,
    RateLimitError,
    RetryPolicy,
)
from flora_async._http.retry import Retrier
from flora_async.polling import PollSchedule
from flora_async.testing import Drop, FakeFlora, Garbage, Slow, Status, Truncate, VirtualClock


@pytest.mark.parametrize(
    "fault",
    [Status(408), Status(429, retry_after=0), Status(500), Status(503), Drop(acts=True), Truncate(), Garbage()],
    ids=repr,
)
async def test_a_read_is_sent_again_after_what_may_pass(fake: FakeFlora, flora: FloraSession, fault: Any) -> None:
    fake.inject(fault, on="history", times=3)
    assert not (await flora.techniques.runs.list()).items


async def test_a_read_that_times_out_is_sent_again(fake: FakeFlora, session_on: OpenSession) -> None:
    fake.inject(Slow(30), on="history")
    assert not (await session_on(fake, timeout=0.05).techniques.runs.list()).items


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 409, 422])
async def test_a_refusal_is_not_sent_again(fake: FakeFlora, flora: FloraSession, status: int) -> None:
    fake.inject(Status(status), on="history", times=None)
    with pytest.raises(APIStatusError, match=str(status)):
        await flora.techniques.runs.list()
    assert len(fake.requests) == 1


@pytest.mark.parametrize("attempts", [1, 2, 5])
async def test_the_last_error_is_raised_after_the_allowed_attempts(
    fake: FakeFlora, session_on: OpenSession, attempts: int
) -> None:
    fake.inject(Status(503), on="history", times=None)
    with pytest.raises(InternalServerError) as caught:
        await session_on(fake, retry=RetryPolicy(attempts=attempts, initial=0)).techniques.runs.list()
    assert len(fake.requests) == attempts
    assert caught.value.request_id == fake.requests[-1].request_id


async def test_without_a_limit_it_goes_on(fake: FakeFlora, session_on: OpenSession) -> None:
    fake.inject(Status(503), on="history", times=30)
    await session_on(fake, retry=RetryPolicy(attempts=None, initial=0)).techniques.runs.list()
    assert len(fake.requests) == 31


async def test_waits_are_full_jitter_doubling_up_to_the_maximum(fake: FakeFlora, session_on: OpenSession) -> None:
    clock = VirtualClock(constant=0.5)
    fake.inject(Status(503), on="history", times=9)
    flora = session_on(fake, clock=clock, retry=RetryPolicy(attempts=10))
    await flora.techniques.runs.list()
    assert clock.sleeps == pytest.approx([0.25, 0.5, 1, 2, 4, 8, 15, 15, 15])


@pytest.mark.parametrize("form", ["seconds", "date"])
async def test_retry_after_is_waited_for_at_least(fake: FakeFlora, session_on: OpenSession, form: str) -> None:
    clock = VirtualClock(constant=0.0)
    fake.inject(Status(503, retry_after=40 if form == "seconds" else timedelta(seconds=40)), on="history")
    await session_on(fake, clock=clock).techniques.runs.list()
    assert clock.sleeps == pytest.approx([40], abs=1)  # a date has whole seconds


@pytest.mark.parametrize(("asked", "pause"), [(None, 5.0), (7, 7.0), (0, 0.0), (999999, 3600.0)])
async def test_one_429_pauses_every_request_of_the_session(
    fake: FakeFlora, session_on: OpenSession, asked: float | None, pause: float
) -> None:
    clock = VirtualClock(constant=0.0)
    flora = session_on(fake, clock=clock, retry=RetryPolicy(attempts=1))
    fake.inject(Status(429, retry_after=asked), on="history")
    with pytest.raises(RateLimitError):
        await flora.techniques.runs.list()
    began = clock.monotonic()
    await flora.techniques.runs.create("cctv-cam", inputs=IMAGE)
    assert clock.monotonic() - began == pytest.approx(pause)
    assert sum(clock.sleeps) == pytest.approx(pause)


async def test_a_retry_is_logged_with_all_that_support_asks_for(
    fake: FakeFlora, flora: FloraSession, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "flora_async")
    fake.inject(Status(503), on="history")
    await flora.techniques.runs.list(workspace_id="ws_secret")
    (retried,) = [record.getMessage() for record in caplog.records if record.levelno == logging.INFO]
    for words in ("GET /api/v1/technique-runs", "503", "attempt 1", "next attempt in", fake.requests[0].request_id):
        assert words in retried
    answered = [record.getMessage() for record in caplog.records if record.levelno == logging.DEBUG][-1]
    assert answered == f"GET /api/v1/technique-runs -> 200 (request id {fake.requests[1].request_id})"
    assert "ws_secret" not in caplog.text


async def test_a_success_at_once_logs_nothing_above_debug(
    flora: FloraSession, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await flora.techniques.runs.list()
    assert not caplog.records


async def test_a_cancelled_retry_sends_nothing_more(fake: FakeFlora, session_on: OpenSession) -> None:
    fake.inject(Status(503), on="history", times=None)
    flora = session_on(fake, retry=RetryPolicy(initial=600, maximum=600))
    listing = asyncio.create_task(flora.request("GET", "/technique-runs"))
    while not fake.requests:
        await asyncio.sleep(0.001)
    for _ in range(5):
        await asyncio.sleep(0)
    listing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await listing
    assert len(fake.requests) == 1


policies = st.builds(
    RetryPolicy,
    attempts=st.integers(1, 80),
    initial=st.floats(0, 1e6),
    maximum=st.none() | st.floats(0, 1e6),
)


@settings(max_examples=50, deadline=None)
@given(policy=policies, drawn=st.floats(0, 1, exclude_max=True))
def test_every_wait_stays_within_the_policy(policy: RetryPolicy, drawn: float) -> None:
    clock = VirtualClock(constant=drawn)

    async def fail() -> None:
        raise APIConnectionError("down")

    async def run() -> None:
        with pytest.raises(APIConnectionError):
            await Retrier(policy, clock).call(fail, retry_if=lambda _: True, name="GET /")

    asyncio.run(run())
    assert policy.attempts is not None
    assert len(clock.sleeps) == policy.attempts - 1
    for count, slept in enumerate(clock.sleeps):
        longest = policy.initial * 2**count
        assert 0 <= slept <= (longest if policy.maximum is None else min(longest, policy.maximum))


poll_policies = st.builds(
    PollPolicy,
    initial=st.floats(0, 1e4),
    multiplier=st.floats(1, 10),
    maximum=st.floats(0.001, 1e4),
    jitter=st.floats(0, 1),
)


@given(policy=poll_policies, seed=st.integers(0, 1000))
def test_poll_pauses_never_leave_the_maximum_by_more_than_the_jitter(policy: PollPolicy, seed: int) -> None:
    schedule = PollSchedule(policy, VirtualClock(seed=seed))
    pauses = [schedule.next() for _ in range(50)]
    assert policy.maximum is not None
    assert all(0 <= pause <= policy.maximum * (1 + policy.jitter) for pause in pauses)
    if policy.jitter == 0:
        assert pauses == sorted(pauses)


async def test_a_not_found_is_told_apart_from_an_outage(flora: FloraSession) -> None:
    with pytest.raises(NotFoundError) as caught:
        await flora.techniques.runs.retrieve("run_x", technique_id="cctv-cam")
    assert caught.value.code == "not_found"
