"""Waiting: what ends it, what does not, when it looks, and what every error carries."""

import asyncio
import gc
import socket
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from attrs import evolve
from conftest import IMAGE, SWIFT_POLL, OpenSession
from raw_flora import RUN, answer, raw_flora

from flora_async import (
    APIConnectionError,
    AuthenticationError,
    DecodeError,
    FloraError,
    FloraSession,
    InternalServerError,
    NotFoundError,
    PermissionDeniedError,
    PollPolicy,
    Run,
    RunFailedError,
    RunStatus,
    UntrustedURLError,
    WaitTimeoutError,
    wait_for_run,
    watch_run,
)
from flora_async.testing import (
    Drop,
    FakeFlora,
    FakeTechnique,
    ForeignPollUrl,
    Garbage,
    Replace,
    RetryAfter,
    Slow,
    Status,
    VirtualClock,
)

NEVER = float("inf")


@pytest.fixture
async def still(session_on: OpenSession) -> AsyncIterator[tuple[FakeFlora, FloraSession, VirtualClock]]:
    """A FLORA and a session on one virtual clock without jitter; `video` runs for 15 minutes, `endless` forever."""
    clock = VirtualClock(constant=0.5)
    video = FakeTechnique("video", pending=60, running=840)
    endless = FakeTechnique("endless", running=NEVER)
    async with FakeFlora(clock=clock, techniques=[video, endless]) as fake:
        yield fake, session_on(fake, clock=clock, poll=PollPolicy()), clock


async def start(flora: FloraSession, technique: str = "cctv-cam") -> Run:
    inputs = IMAGE if technique == "cctv-cam" else {"prompt": "a cat"}
    return await flora.techniques.runs.create(technique, inputs=inputs)


async def test_a_run_is_followed_to_its_end_through_its_poll_url_and_nothing_else(
    fake: FakeFlora, flora: FloraSession
) -> None:
    run = await start(flora)
    finished = await flora.wait_for_run(run)
    assert finished.status is RunStatus.COMPLETED
    assert finished.outputs[0].url.startswith(fake.storage_origin)
    assert finished.charged_cost == 0.05
    assert finished.duration is not None
    assert {f"{fake.origin}{request.target}" for request in fake.requests[1:]} == {run.poll_url}


async def test_looks_follow_the_schedule_of_the_design(
    still: tuple[FakeFlora, FloraSession, VirtualClock],
) -> None:
    fake, flora, clock = still
    await flora.wait_for_run(await start(flora, "video"))
    assert clock.sleeps[:8] == pytest.approx([0.5, 0.75, 1.125, 1.6875, 2.53125, 3.796875, 5.0, 5.0])
    assert set(clock.sleeps[8:]) == {5.0}
    assert len(fake.requests) == 1 + len(clock.sleeps)


@pytest.mark.parametrize("drawn", [0.0, 0.25, 0.999])
async def test_each_pause_varies_by_the_jitter(session_on: OpenSession, drawn: float) -> None:
    clock = VirtualClock(constant=drawn)
    async with FakeFlora(clock=clock, run_seconds=3.0) as fake:
        flora = session_on(fake, clock=clock, poll=PollPolicy(initial=1, multiplier=1, jitter=0.2))
        await flora.wait_for_run(await start(flora))
    assert clock.sleeps == pytest.approx([1 + 0.2 * (2 * drawn - 1)] * len(clock.sleeps))


async def test_a_pause_of_zero_grows_instead_of_asking_without_end(session_on: OpenSession) -> None:
    clock = VirtualClock(constant=0.5)
    async with FakeFlora(clock=clock, run_seconds=600.0) as fake:
        flora = session_on(fake, clock=clock, poll=PollPolicy(initial=0))
        await flora.wait_for_run(await start(flora))
        assert len(fake.requests) < 140


async def test_every_way_to_name_a_run_is_followed(fake: FakeFlora, flora: FloraSession) -> None:
    run = await start(flora)
    assert run.poll_url is not None
    references: list[Any] = [
        run,
        run.run_id,
        run.poll_url,
        run.poll_url.removeprefix(fake.origin),
        SimpleNamespace(run_id=run.run_id, poll_url=None),
        SimpleNamespace(run_id=run.run_id, poll_url=run.poll_url),
    ]
    for reference in references:
        assert (await wait_for_run(flora, reference)).run_id == run.run_id
    assert f"/api/v1/runs/{run.run_id}" in {request.target for request in fake.requests}


@pytest.mark.parametrize(
    ("reference", "kind"),
    [
        ("", ValueError),
        ("nonsense", ValueError),
        (None, TypeError),
        (5, TypeError),
        (SimpleNamespace(run_id=""), ValueError),
    ],
)
async def test_what_names_no_run_is_refused_before_anything_is_sent(
    fake: FakeFlora, flora: FloraSession, reference: Any, kind: type[Exception]
) -> None:
    with pytest.raises(kind, match="run"):
        await flora.wait_for_run(reference)
    assert not fake.requests


@pytest.mark.parametrize(
    ("timeout", "kind"), [(-1, ValueError), (float("nan"), ValueError), ("5", TypeError), (True, TypeError)]
)
async def test_a_timeout_that_is_no_time_is_refused_before_anything_is_sent_or_spent(
    fake: FakeFlora, flora: FloraSession, timeout: Any, kind: type[Exception]
) -> None:
    with pytest.raises(kind, match="timeout"):
        await flora.wait_for_run("run_1", timeout=timeout)
    with pytest.raises(kind, match="timeout"):
        await flora.run("cctv-cam", IMAGE, timeout=timeout)
    assert not fake.requests


async def test_a_run_that_has_ended_is_returned_without_a_request(fake: FakeFlora, flora: FloraSession) -> None:
    ended = Run(run_id="run_1", status=RunStatus.COMPLETED)
    assert await flora.wait_for_run(ended) is ended
    assert [snapshot async for snapshot in flora.watch_run(ended)] == [ended]
    assert not fake.requests


async def test_a_failed_run_is_returned_or_raised_as_asked(flora: FloraSession) -> None:
    run = await flora.run("always-fails", {"prompt": "x"})
    assert (run.status, run.error_code) == (RunStatus.FAILED, "safety_blocked")
    with pytest.raises(RunFailedError, match="safety_blocked") as caught:
        await flora.wait_for_run(run, raise_on_failure=True)
    assert caught.value.run == run


async def test_each_change_is_shown_once_to_sync_and_async_listeners(fake: FakeFlora, flora: FloraSession) -> None:
    fake.add_technique(FakeTechnique("steps", pending=NEVER))
    seen: list[str] = []
    ran_async: list[str] = []

    def listener(run: Run) -> None:
        seen.append(run.status)

    async def async_listener(run: Run) -> None:
        await asyncio.sleep(0)
        ran_async.append(run.status)

    async with asyncio.TaskGroup() as group:
        for listen in (listener, async_listener):
            group.create_task(flora.run("steps", {"prompt": "x"}, on_update=listen))
        while len(fake.requests) < 20:
            await asyncio.sleep(0.001)
        for run in fake.runs:
            fake.finish(run.run_id)
    assert seen == ran_async == ["pending", "completed"]


async def test_a_listener_that_raises_ends_the_wait_with_its_error_and_leaks_nothing(
    fake: FakeFlora, flora: FloraSession
) -> None:
    def listener(run: Run) -> None:
        if run.status == "running":
            raise LookupError("the listener's own")

    with pytest.raises(LookupError, match="own") as caught:
        await flora.run("cctv-cam", IMAGE, on_update=listener)
    assert fake.runs[0].run_id in caught.value.__notes__[0]
    looked = len(fake.requests)
    assert not [task for task in asyncio.all_tasks() if "flora_async" in repr(task)]
    for _ in range(10):
        await asyncio.sleep(0)
    assert len(fake.requests) == looked


async def test_the_last_look_happens_at_the_deadline_and_the_error_carries_the_run(
    still: tuple[FakeFlora, FloraSession, VirtualClock],
) -> None:
    fake, flora, clock = still
    run = await start(flora, "video")
    began = clock.monotonic()
    with pytest.raises(WaitTimeoutError) as caught:
        await flora.wait_for_run(run, timeout=100.25)
    assert sum(clock.sleeps) == pytest.approx(100.25)
    assert clock.monotonic() == began + caught.value.elapsed
    assert caught.value.run is not None
    assert (caught.value.run.run_id, caught.value.run.status) == (run.run_id, "running")
    looked = len(fake.requests)
    assert (await flora.wait_for_run(caught.value.run)).is_completed
    assert len(fake.requests) > looked


async def test_a_run_that_ends_just_before_the_deadline_is_seen(
    still: tuple[FakeFlora, FloraSession, VirtualClock],
) -> None:
    _, flora, _ = still
    assert (await flora.wait_for_run(await start(flora, "video"), timeout=900.0)).is_completed


async def test_a_timeout_of_zero_polls_exactly_once(still: tuple[FakeFlora, FloraSession, VirtualClock]) -> None:
    fake, flora, _ = still
    run = await start(flora, "video")
    with pytest.raises(WaitTimeoutError) as caught:
        await flora.wait_for_run(run, timeout=0)
    assert caught.value.run == run
    assert len(fake.requests) == 2


async def test_the_policys_own_deadline_holds_when_none_is_given(
    still: tuple[FakeFlora, FloraSession, VirtualClock],
) -> None:
    _, flora, clock = still
    with pytest.raises(WaitTimeoutError) as caught:
        await flora.wait_for_run(await start(flora, "endless"))
    assert caught.value.elapsed == pytest.approx(1800)
    fake_hours = clock.monotonic()
    with pytest.raises(WaitTimeoutError):
        await flora.wait_for_run(caught.value.run, poll=PollPolicy(timeout=7200, maximum=60))
    assert clock.monotonic() - fake_hours == pytest.approx(7200)


async def test_no_deadline_waits_on(still: tuple[FakeFlora, FloraSession, VirtualClock]) -> None:
    fake, flora, clock = still
    run = await start(flora, "endless")
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(flora.wait_for_run(run, timeout=None))
        while clock.monotonic() < 20_000:
            await asyncio.sleep(0)
        fake.finish(run.run_id)
    assert waiting.result().is_completed


async def test_a_request_in_flight_is_clipped_by_the_deadline_and_one_last_look_is_made(
    fake: FakeFlora, flora: FloraSession
) -> None:
    fake.add_technique(FakeTechnique("endless", running=NEVER))
    run = await start(flora, "endless")
    fake.inject(Slow(30), on="poll", times=None)
    with pytest.raises(WaitTimeoutError) as caught:
        await flora.wait_for_run(run, timeout=0.1, poll=PollPolicy(initial=0.001))
    assert isinstance(caught.value.__cause__, TimeoutError)
    assert caught.value.run == run


async def test_an_outage_of_an_hour_costs_patience_and_not_the_run(
    still: tuple[FakeFlora, FloraSession, VirtualClock],
) -> None:
    fake, flora, clock = still
    run = await start(flora, "video")
    fake.inject(Status(503), on="poll", times=700)
    patient = PollPolicy(outage=3600, timeout=None)
    assert (await flora.wait_for_run(run, poll=patient)).is_completed
    assert clock.monotonic() > 3000


async def test_nothing_but_failure_for_the_outage_time_ends_the_wait_with_the_last_error(
    still: tuple[FakeFlora, FloraSession, VirtualClock],
) -> None:
    fake, flora, clock = still
    run = await start(flora, "video")
    fake.inject(Status(503), on="poll", times=None, after=3)
    with pytest.raises(InternalServerError) as caught:
        await flora.wait_for_run(run)
    assert caught.value.run is not None
    assert caught.value.run.run_id == run.run_id
    assert caught.value.request_id == fake.requests[-1].request_id
    failures = clock.sleeps[4:]
    assert 120 <= sum(failures) < 120 + 5


async def test_one_good_answer_starts_the_outage_time_anew(
    still: tuple[FakeFlora, FloraSession, VirtualClock],
) -> None:
    fake, flora, _ = still
    run = await start(flora, "video")
    for _ in range(8):
        fake.inject(Status(503), on="poll", times=20)
        fake.inject(RetryAfter(1), on="poll")
    assert (await flora.wait_for_run(run)).is_completed


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Drop(acts=False), APIConnectionError),
        (Status(408), FloraError),
        (Garbage(), DecodeError),
        (Replace({"status": "running"}), DecodeError),
        (Garbage(b"", status=200), DecodeError),
    ],
    ids=repr,
)
async def test_what_passes_by_itself_ends_the_wait_only_when_it_does_not_pass(
    fake: FakeFlora, flora: FloraSession, fault: Any, kind: type[FloraError]
) -> None:
    run = await start(flora)
    fake.inject(fault, on="poll", times=5)
    assert (await flora.wait_for_run(run, poll=PollPolicy(initial=0.001, maximum=0.002, outage=30))).is_completed
    fake.inject(fault, on="poll", times=None)
    with pytest.raises(kind) as caught:
        await flora.wait_for_run(run)
    assert caught.value.run == run


async def test_pauses_that_flora_asks_for_are_no_outage(
    still: tuple[FakeFlora, FloraSession, VirtualClock],
) -> None:
    fake, flora, clock = still
    run = await start(flora, "video")
    for _ in range(3):
        fake.inject(Status(429, retry_after=200), on="poll")
        fake.inject(Status(503), on="poll")
    assert (await flora.wait_for_run(run)).is_completed
    assert clock.monotonic() > 600


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 409, 422])
async def test_a_refusal_ends_the_wait_at_once_with_the_run(fake: FakeFlora, flora: FloraSession, status: int) -> None:
    run = await start(flora)
    fake.inject(Status(status), on="poll", after=1)
    with pytest.raises(FloraError, match=str(status)) as caught:
        await flora.wait_for_run(run)
    assert caught.value.run is not None
    assert caught.value.run.run_id == run.run_id
    assert len(fake.requests) == 3


async def test_an_unknown_run_is_not_found_and_carries_no_run(flora: FloraSession) -> None:
    with pytest.raises(NotFoundError) as caught:
        await flora.wait_for_run("run_nowhere")
    assert caught.value.run is None


class BrokenResolver(AbstractResolver):
    """A DNS that fails a few times and then knows one address."""

    def __init__(self, failures: int) -> None:
        self.failures = failures

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        if self.failures:
            self.failures -= 1
            raise OSError(f"cannot resolve {host}")
        return [ResolveResult(hostname=host, host="127.0.0.1", port=port, family=family, proto=0, flags=0)]

    async def close(self) -> None:
        pass


async def test_dns_failures_do_not_end_a_wait(fake: FakeFlora, session_on: OpenSession) -> None:
    run = await start(session_on(fake))
    connector = aiohttp.TCPConnector(resolver=BrokenResolver(5), use_dns_cache=False, force_close=True)
    base_url = fake.base_url.replace("127.0.0.1", "flora.example")
    async with aiohttp.ClientSession(connector=connector) as http:
        flora = session_on(fake, base_url=base_url, allow_http=True, http_session=http)
        assert (await flora.wait_for_run(run.run_id, poll=PollPolicy(initial=0.001, maximum=0.01))).is_completed


async def test_a_restart_of_flora_does_not_end_a_wait(fake: FakeFlora, session_on: OpenSession) -> None:
    flora = session_on(fake, poll=PollPolicy(initial=0.001, maximum=0.01))
    fake.add_technique(FakeTechnique("endless", running=NEVER))
    run = await start(flora, "endless")
    waiting = asyncio.create_task(flora.wait_for_run(run))
    while len(fake.requests) < 3:
        await asyncio.sleep(0.001)
    await fake.__aexit__(None, None, None)
    for _ in range(100):
        await asyncio.sleep(0)
    async with fake:
        fake.finish(run.run_id)
        assert (await waiting).is_completed


@pytest.mark.parametrize("answer", [RetryAfter(40), Status(503, retry_after=40)], ids=repr)
async def test_retry_after_is_obeyed_on_success_and_on_failure(
    still: tuple[FakeFlora, FloraSession, VirtualClock], answer: Any
) -> None:
    fake, flora, clock = still
    run = await start(flora, "video")
    fake.inject(answer, on="poll", after=1)
    await flora.wait_for_run(run)
    assert clock.sleeps[:4] == pytest.approx([0.5, 0.75, 40.0, 1.6875])


async def test_a_retry_after_beyond_the_deadline_still_gets_its_last_look(
    still: tuple[FakeFlora, FloraSession, VirtualClock],
) -> None:
    fake, flora, clock = still
    run = await start(flora, "video")
    fake.inject(RetryAfter(3600), on="poll")
    with pytest.raises(WaitTimeoutError) as caught:
        await flora.wait_for_run(run, timeout=500)
    assert caught.value.run is not None
    assert caught.value.run.status == "running"
    assert sum(clock.sleeps) == pytest.approx(500)


async def test_a_rate_limit_beyond_the_deadline_ends_the_wait_without_breaking_it(
    still: tuple[FakeFlora, FloraSession, VirtualClock],
) -> None:
    fake, flora, clock = still
    run = await start(flora, "video")
    fake.inject(Status(429, retry_after=3000), on="poll")
    with pytest.raises(WaitTimeoutError) as caught:
        await flora.wait_for_run(run, timeout=500)
    assert caught.value.run == run
    assert len(fake.requests) == 2
    assert sum(clock.sleeps) == pytest.approx(500)


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/api/v1/runs/x",
        "http://127.0.0.1:1/runs/x",
        "//evil.example/x",
        "file:///etc/passwd",
        "\\\\evil",
    ],
)
async def test_a_foreign_poll_url_is_not_followed_and_the_run_is_not_lost(
    fake: FakeFlora, flora: FloraSession, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    fake.inject(ForeignPollUrl(url), on="start")
    run = await start(flora)
    reference: Any = f"{url}/" if "/" in url else SimpleNamespace(poll_url=url)
    with pytest.raises(UntrustedURLError) as caught:
        await flora.wait_for_run(reference)
    assert caught.value.url.startswith(url)
    assert len(fake.requests) == 1
    assert (await flora.wait_for_run(run)).is_completed
    assert {request.target for request in fake.requests[1:]} == {f"/api/v1/runs/{run.run_id}"}
    assert f"Run {run.run_id} is polled by its id" in caplog.text


async def test_a_poll_url_that_turns_foreign_on_the_way_changes_nothing(fake: FakeFlora, flora: FloraSession) -> None:
    run = await start(flora)
    fake.inject(ForeignPollUrl("https://evil.example/"), on="poll", times=None)
    assert (await flora.wait_for_run(run)).is_completed


async def test_a_trusted_origin_is_followed_without_the_key(fake: FakeFlora, session_on: OpenSession) -> None:
    run = await start(session_on(fake))
    async with FakeFlora() as other:
        flora = session_on(other, trusted_origins=[fake.origin])
        with pytest.raises(FloraError, match="401"):
            await flora.wait_for_run(run)
    assert "Authorization" not in fake.requests[-1].headers


async def test_an_answer_about_another_run_is_not_taken_for_this_one(fake: FakeFlora, flora: FloraSession) -> None:
    run = await start(flora)
    other = {"run_id": "run_other", "status": "completed"}
    fake.inject(Replace(other), on="poll", times=2)
    poll = PollPolicy(initial=0.001, maximum=0.01)
    assert (await flora.wait_for_run(run.run_id, poll=poll)).run_id == run.run_id
    fake.inject(Replace(other), on="poll")
    with pytest.raises(DecodeError, match="another run"):
        await flora.techniques.runs.retrieve(run.run_id, technique_id="cctv-cam")


async def test_a_poll_url_of_floras_own_decides_which_run_it_is_about(
    fake: FakeFlora, flora: FloraSession, caplog: pytest.LogCaptureFixture
) -> None:
    run = await start(flora)
    fake.inject(Replace({"run_id": "run_other", "status": "running"}), on="poll", times=3)
    fake.inject(Replace({"run_id": "run_other", "status": "completed"}), on="poll")
    assert (await flora.wait_for_run(run)).run_id == "run_other"
    (warning,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert run.run_id in warning
    assert "run_other" in warning


async def test_an_unknown_status_is_waited_through(fake: FakeFlora, flora: FloraSession) -> None:
    run = await start(flora)
    fake.inject(Replace({"run_id": run.run_id, "status": "queued"}), on="poll")
    statuses = [snapshot.status async for snapshot in watch_run(flora, run)]
    assert statuses[0] == "queued"
    assert statuses[-1] == "completed"


async def test_a_poll_url_missing_from_an_answer_is_kept(session_on: OpenSession) -> None:
    async with FakeFlora(poll_urls=False) as fake:
        flora = session_on(fake)
        run = await start(flora)
        assert (await flora.wait_for_run(run)).poll_url == run.poll_url


@pytest.mark.parametrize("moment", ["asleep", "in flight", "paused by a rate limit"])
async def test_cancellation_passes_through_at_once_and_leaves_nothing_running(
    fake: FakeFlora, session_on: OpenSession, moment: str
) -> None:
    fake.add_technique(FakeTechnique("endless", running=NEVER))
    slow = PollPolicy(initial=600, maximum=600) if moment == "asleep" else SWIFT_POLL
    flora = session_on(fake, poll=slow)
    run = await start(flora, "endless")
    if moment == "in flight":
        fake.inject(Slow(60), on="poll", times=None)
    elif moment == "paused by a rate limit":
        fake.inject(Status(429, retry_after=600), on="poll", times=None)
    others = asyncio.all_tasks()
    waiting = asyncio.create_task(flora.wait_for_run(run))
    while moment != "asleep" and len(fake.requests) < 2:
        await asyncio.sleep(0.001)
    for _ in range(5):
        await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not [task for task in asyncio.all_tasks() - others if "aiohttp/web" not in repr(task)]


async def test_asyncio_timeout_and_task_groups_work_around_it(fake: FakeFlora, flora: FloraSession) -> None:
    fake.add_technique(FakeTechnique("endless", running=NEVER))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await flora.run("endless", {"prompt": "x"})
    with pytest.raises(ExceptionGroup) as caught:
        async with asyncio.TaskGroup() as group:
            group.create_task(flora.run("endless", {"prompt": "x"}))
            group.create_task(flora.run("always-fails", {"prompt": "x"}, raise_on_failure=True))
    assert caught.group_contains(RunFailedError)


async def test_leaving_a_watch_early_leaves_nothing_behind(fake: FakeFlora, flora: FloraSession) -> None:
    run = await start(flora)
    async for snapshot in flora.watch_run(run):
        assert snapshot.run_id == run.run_id
        break
    gc.collect()
    looked = len(fake.requests)
    for _ in range(10):
        await asyncio.sleep(0)
    assert len(fake.requests) == looked


async def test_a_thousand_waits_share_one_session(fake: FakeFlora, session_on: OpenSession) -> None:
    flora = session_on(fake, poll=PollPolicy(initial=0.05, maximum=0.2))
    async with asyncio.TaskGroup() as group:
        runs = [group.create_task(flora.run("cctv-cam", IMAGE)) for _ in range(1000)]
    assert {run.result().status for run in runs} == {RunStatus.COMPLETED}
    assert len(fake.runs) == len({run.result().run_id for run in runs}) == 1000


async def test_where_nothing_was_ever_heard_of_the_last_failure_is_raised_at_the_deadline(
    fake: FakeFlora, flora: FloraSession
) -> None:
    fake.inject(Drop(acts=False), on="poll", times=None)
    with pytest.raises(APIConnectionError):
        await flora.wait_for_run("run_1", timeout=0.02, poll=PollPolicy(initial=0.001))


@pytest.mark.parametrize(
    "stray", [Status(404), Status(404, body=b"default backend", headers={"request-id": ""})], ids=repr
)
async def test_a_404_right_after_the_start_does_not_end_a_wait(
    fake: FakeFlora, flora: FloraSession, stray: Status
) -> None:
    run = await start(flora)
    fake.inject(stray, on="poll", times=3)
    assert (await flora.wait_for_run(run)).is_completed


@pytest.mark.parametrize("status", [300, 301, 302, 304, 307, 400, 401, 402, 403, 404, 405, 407, 410, 451, 511])
async def test_no_answer_of_a_proxy_ends_a_wait(status: int) -> None:
    polls = 0

    async def serve(_: bytes, __: bytes, writer: asyncio.StreamWriter) -> None:
        nonlocal polls
        polls += 1
        login = answer(b"<html>Log in</html>", status, request_id="", Location="https://login.example/")
        writer.write(login if polls <= 3 else answer(RUN))

    async with raw_flora(serve) as url, FloraSession("sk_test_1", base_url=url, poll=SWIFT_POLL) as flora:
        assert (await flora.wait_for_run("run_1")).is_completed


@pytest.mark.parametrize("fault", [Status(403), Status(500), Garbage(), Drop(acts=False)], ids=repr)
async def test_a_wait_that_never_saw_its_run_says_which_run_it_is(
    fake: FakeFlora, flora: FloraSession, fault: Any
) -> None:
    fake.inject(fault, on="poll", times=None)
    ticket = await flora.generations.create(prompt="x", type="image", project_id="prj_local")
    for job in (flora.generate("x", type="image", project_id="prj_local"), flora.wait_for_run(ticket)):
        with pytest.raises(FloraError) as caught:
            await job
        seen = caught.value.run
        assert seen is not None
        assert seen.run_id in {run.run_id for run in fake.runs}
    assert seen is not None
    assert seen.run_id == ticket.run_id
    fake.heal()
    assert (await flora.wait_for_run(seen)).is_completed


async def test_whatever_else_ends_a_wait_for_a_run_that_was_just_started_names_it(
    fake: FakeFlora, session_on: OpenSession
) -> None:
    fake.add_technique(FakeTechnique("slow", inputs={"prompt": "text"}, outputs={"o": "text"}, pending=3600))
    broken = PollPolicy(schedule=lambda _, __: 1 / 0)
    flora = session_on(fake)

    def raises(_: Run) -> None:
        raise KeyError

    cancelled = asyncio.create_task(flora.run("slow", {"prompt": "x"}, on_update=lambda _: cancelled.cancel()))
    with pytest.raises(asyncio.CancelledError) as late:
        await cancelled
    with pytest.raises(KeyError) as listener:
        await flora.run("slow", {"prompt": "x"}, on_update=raises)
    with pytest.raises(ZeroDivisionError) as schedule:
        await flora.run("slow", {"prompt": "x"}, poll=broken)
    ends = (late.value, listener.value, schedule.value)
    for error, run in zip(ends, fake.runs, strict=True):
        (note,) = getattr(error, "__notes__", [])
        assert run.run_id in note


async def test_a_poll_url_that_is_too_long_is_not_followed(fake: FakeFlora, flora: FloraSession) -> None:
    run = await flora.techniques.runs.create("caption", inputs={"prompt": "x"})
    long = evolve(run, poll_url=f"{fake.base_url}/runs/{'x' * 5000}")
    assert (await flora.wait_for_run(long)).run_id == run.run_id


async def test_a_refusal_that_is_floras_ends_a_wait_at_once() -> None:
    """By its request id, or by a code in its envelope."""
    polls = 0
    refusals = [
        answer({"error": {"code": "invalid_api_key", "message": "no"}}, 401, request_id=""),
        answer(b"", 403),
        answer({"error": {"code": "not_found", "message": "no"}}, 404),
    ]

    async def serve(_: bytes, __: bytes, writer: asyncio.StreamWriter) -> None:
        nonlocal polls
        writer.write(refusals[polls])
        polls += 1

    async with raw_flora(serve) as url, FloraSession("sk_test_1", base_url=url, poll=SWIFT_POLL) as flora:
        for kind in (AuthenticationError, PermissionDeniedError, NotFoundError):
            with pytest.raises(kind):
                await flora.wait_for_run("run_1")
    assert polls == len(refusals)


async def test_a_404_of_a_proxy_does_not_end_a_wait_and_one_of_floras_own_does(
    still: tuple[FakeFlora, FloraSession, VirtualClock],
) -> None:
    fake, flora, clock = still
    run = await start(flora, "video")
    fake.inject(Status(404, body=b"default backend", headers={"request-id": ""}), on="poll", times=3, after=5)
    assert (await flora.wait_for_run(run)).is_completed
    other = await start(flora, "endless")
    fake.inject(Status(404), on="poll", times=None)
    began = clock.monotonic()
    with pytest.raises(NotFoundError) as caught:
        await flora.wait_for_run(other)
    assert caught.value.run == other
    assert 60 <= clock.monotonic() - began <= 70  # FLORA has had a minute to know it


async def test_the_log_tells_of_the_first_failed_poll_and_of_the_end(
    fake: FakeFlora, flora: FloraSession, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "flora_async")
    run = await start(flora)
    fake.inject(Status(503), on="poll", times=3)
    await flora.wait_for_run(run, poll=PollPolicy(initial=0.001, maximum=0.01, outage=60))
    lines = [line for line in caplog.messages if run.run_id in line]
    assert sum("A poll of run" in line for line in lines) == 1
    assert [line for line in lines if "ended: completed after" in line and line.endswith(" USD")] == lines[-1:]


async def test_a_cancelled_wait_leaves_the_id_of_its_run_in_the_log(
    fake: FakeFlora, flora: FloraSession, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "flora_async")
    fake.add_technique(FakeTechnique("endless", running=NEVER))
    run = await start(flora, "endless")
    waiting = asyncio.create_task(flora.wait_for_run(run))
    while len(fake.requests) < 3:
        await asyncio.sleep(0.001)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert f"The wait for run {run.run_id} was cancelled" in caplog.text


async def test_what_a_listener_raises_at_the_end_says_that_the_run_has_ended(flora: FloraSession) -> None:
    def listener(run: Run) -> None:
        if run.is_terminal:
            raise LookupError("the listener's own")

    with pytest.raises(LookupError) as caught:
        await flora.run("cctv-cam", IMAGE, on_update=listener)
    assert caught.value.__notes__[0].endswith("has ended: completed")
