"""Starts whose answer was lost: what is asked, which run is adopted, and when the outcome stays unknown."""

import asyncio
import logging
import pickle
from datetime import timedelta
from typing import Any

import pytest
from conftest import UNRESOLVED, OpenSession

from flora_async import (
    FloraError,
    FloraSession,
    IdempotencyError,
    PollPolicy,
    RateLimitError,
    RetryPolicy,
    Run,
    SubmissionUnknownError,
)
from flora_async.testing import Drop, FakeFlora, RecordedRequest, Replace, Slow, Status, VirtualClock

PROMPT = {"prompt": "a red bicycle"}
SETTLING = RetryPolicy(initial=0.001, maximum=0.01, settle=0.05)


def starts(fake: FakeFlora) -> list[RecordedRequest]:
    return [request for request in fake.requests if request.operation in {"start", "generations.create"}]


async def in_doubt(session: FloraSession, **options: Any) -> SubmissionUnknownError:
    with pytest.raises(SubmissionUnknownError) as caught:
        await session.techniques.runs.create("caption", inputs=PROMPT, **options)
    return caught.value


@pytest.fixture
async def fake() -> Any:
    async with FakeFlora(idempotency="suppress", history_lag=0.05) as server:
        yield server


async def test_a_lost_answer_leads_to_the_run_although_the_history_lags_and_others_are_started_meanwhile(
    fake: FakeFlora, session_on: OpenSession, caplog: pytest.LogCaptureFixture
) -> None:
    flora = session_on(fake, retry=SETTLING)
    fake.inject(Drop(acts=True), on="start", after=2)
    runs = await asyncio.gather(
        *(flora.techniques.runs.create("caption", inputs=PROMPT, idempotency_key=f"key-{n}") for n in range(6))
    )
    assert {run.idempotency_key: run.run_id for run in fake.runs} == {
        f"key-{n}": run.run_id for n, run in enumerate(runs)
    }
    (adopted,) = [run for run in runs if run.adopted]
    (warning,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert adopted.run_id in warning
    assert "key-" in warning


async def test_two_starts_that_lose_their_answers_together_cannot_be_told_apart(
    fake: FakeFlora, session_on: OpenSession
) -> None:
    flora = session_on(fake, retry=SETTLING)
    fake.inject(Drop(acts=True), on="start", times=2)
    errors = await asyncio.gather(in_doubt(flora), in_doubt(flora))
    for error in errors:
        assert error.proven
        assert {run.run_id for run in error.candidates} == {run.run_id for run in fake.runs}
        assert any("other starts in doubt" in step for step in error.steps)
    assert len(fake.runs) == 2


async def test_the_run_of_another_program_is_never_adopted(fake: FakeFlora, session_on: OpenSession) -> None:
    fake.inject(Drop(acts=True), on="start")
    mine, other = session_on(fake, retry=SETTLING), session_on(fake)
    doubt = asyncio.create_task(in_doubt(mine))
    while not fake.runs:
        await asyncio.sleep(0.001)
    await other.techniques.runs.create("caption", inputs=PROMPT)
    error = await doubt
    assert {run.run_id for run in error.candidates} == {run.run_id for run in fake.runs}


async def test_a_run_that_fits_is_not_adopted_without_proof_that_ours_exists(
    fake: FakeFlora, session_on: OpenSession
) -> None:
    fake.inject(Drop(acts=False), on="start", times=4)
    mine, other = session_on(fake, retry=SETTLING), session_on(fake)
    doubt = asyncio.create_task(in_doubt(mine))
    while len(fake.requests) < 1:
        await asyncio.sleep(0.001)
    while len(starts(fake)) < 4:
        await asyncio.sleep(0.001)
    foreign = await other.techniques.runs.create("caption", inputs=PROMPT)
    error = await doubt
    assert not error.proven
    assert [run.run_id for run in fake.runs] == [foreign.run_id]


async def test_a_run_that_two_pages_show_is_one_candidate(fake: FakeFlora, session_on: OpenSession) -> None:
    flora = session_on(fake, retry=SETTLING)
    fake.inject(Drop(acts=True), on="start")
    start = asyncio.create_task(flora.techniques.runs.create("caption", inputs=PROMPT))
    while not fake.runs:
        await asyncio.sleep(0.001)
    shown = {"run_id": fake.runs[0].run_id, "status": "running", "created_at": fake.runs[0].created_at}
    for cursor in ("c2", None) * 2:
        fake.inject(Replace({"technique_runs": [shown], "meta": {"next_cursor": cursor}}), on="history")
    run = await start
    assert (run.run_id, run.adopted) == (fake.runs[0].run_id, True)


@pytest.mark.parametrize("skew", [-3600.0, 86400.0])
async def test_a_clock_that_is_wrong_is_measured_by_floras_date(session_on: OpenSession, skew: float) -> None:
    async with FakeFlora(idempotency="suppress", clock_skew=skew) as fake:
        flora = session_on(fake, retry=SETTLING)
        before = await flora.techniques.runs.create("caption", inputs=PROMPT)
        fake.inject(Drop(acts=True), on="start")
        run = await flora.techniques.runs.create("caption", inputs=PROMPT)
        assert run.adopted
        assert [started.run_id for started in fake.runs] == [before.run_id, run.run_id]


async def test_a_generation_whose_answer_is_lost_is_found_too(fake: FakeFlora, session_on: OpenSession) -> None:
    flora = session_on(fake, retry=SETTLING)
    fake.inject(Drop(acts=True), on="generations.create")
    run = await flora.generate("a red bicycle", type="image", model="flux-pro", project_id="prj_local")
    assert run.adopted
    assert run.is_completed
    assert [started.run_id for started in fake.runs] == [run.run_id]


async def test_a_key_of_an_earlier_call_gives_its_run_on_request(fake: FakeFlora, session_on: OpenSession) -> None:
    first = await session_on(fake).techniques.runs.create("caption", inputs=PROMPT, idempotency_key="order-1")
    flora = session_on(fake, retry=SETTLING)
    with pytest.raises(IdempotencyError):
        await flora.techniques.runs.create("caption", inputs=PROMPT, idempotency_key="order-1")
    again = await flora.techniques.runs.create("caption", inputs=PROMPT, idempotency_key="order-1", adopt=True)
    assert (again.run_id, again.adopted) == (first.run_id, True)
    assert len(fake.runs) == 1


async def test_a_key_that_the_session_has_used_gives_its_own_run_among_many_on_request(
    fake: FakeFlora, session_on: OpenSession
) -> None:
    flora = session_on(fake, retry=SETTLING)
    runs = [
        await flora.techniques.runs.create("caption", inputs=PROMPT, idempotency_key=f"order-{n}") for n in range(3)
    ]
    await session_on(fake).techniques.runs.create("caption", inputs=PROMPT)
    again = await flora.techniques.runs.create("caption", inputs=PROMPT, idempotency_key="order-1", adopt=True)
    assert (again.run_id, again.adopted) == (runs[1].run_id, True)
    assert len(fake.runs) == 4


async def test_resolving_can_be_turned_off_and_done_later_in_another_process(
    fake: FakeFlora, session_on: OpenSession
) -> None:
    fake.inject(Drop(acts=True), on="start")
    error = await in_doubt(session_on(fake, retry=UNRESOLVED), idempotency_key="order-1")
    assert [request.operation for request in fake.requests] == ["start"]
    assert error.steps == ()
    run = await session_on(fake, retry=SETTLING).resolve(pickle.loads(pickle.dumps(error)))  # noqa: S301 - our own
    assert [run.run_id] == [started.run_id for started in fake.runs]
    assert {request.json["idempotency_key"] for request in starts(fake)} == {"order-1"}


async def test_a_start_that_was_not_carried_out_is_started_when_it_is_resolved(
    fake: FakeFlora, session_on: OpenSession
) -> None:
    fake.inject(Drop(acts=False), on="start")
    error = await in_doubt(session_on(fake, retry=UNRESOLVED))
    run: Run = await session_on(fake, retry=SETTLING).resolve(error)
    assert not run.adopted
    assert [run.run_id] == [started.run_id for started in fake.runs]


async def test_a_later_process_waits_only_for_what_is_left_until_the_start_has_settled(
    fake: FakeFlora, session_on: OpenSession, caplog: pytest.LogCaptureFixture
) -> None:
    fake.inject(Drop(acts=False), on="start")
    clock = VirtualClock()
    error = await in_doubt(session_on(fake, clock=clock, retry=UNRESOLVED))
    clock.advance(20)
    caplog.set_level(logging.INFO, "flora_async")
    await session_on(fake, clock=clock, retry=RetryPolicy()).resolve(error)
    assert clock.sleeps == [pytest.approx(10)]
    assert any("waiting 10.0 s" in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize("age", [timedelta(hours=3), timedelta(hours=-1)], ids=["too old", "of unknown age"])
async def test_a_key_that_flora_may_have_forgotten_is_not_sent_again(
    fake: FakeFlora, session_on: OpenSession, age: timedelta
) -> None:
    fake.inject(Drop(acts=True), on="start")
    clock = VirtualClock()
    error = await in_doubt(session_on(fake, clock=clock, retry=UNRESOLVED))
    error.since -= age
    with pytest.raises(SubmissionUnknownError) as caught:
        await session_on(fake, clock=clock, retry=RetryPolicy()).resolve(error)
    assert clock.sleeps == []  # there is nothing to wait for
    assert len(starts(fake)) == len(fake.runs) == 1
    assert caught.value.idempotency_key == error.idempotency_key


@pytest.mark.parametrize("status", [429, 503])
async def test_no_attempt_is_sent_once_flora_may_have_forgotten_the_key(session_on: OpenSession, status: int) -> None:
    clock = VirtualClock()
    async with FakeFlora(idempotency="conflict", clock=clock) as fake:
        fake.inject(Drop(acts=True), on="start")
        fake.inject(Status(status, retry_after=3600), on="start", times=None)
        flora = session_on(fake, clock=clock, retry=RetryPolicy(attempts=None))
        error = await in_doubt(flora)
        assert error.idempotency_key == fake.runs[0].idempotency_key
        assert len(fake.runs) == 1


@pytest.mark.parametrize("status", [429, 503])
async def test_no_retry_after_outlasts_the_timeout_of_the_call(session_on: OpenSession, status: int) -> None:
    clock = VirtualClock()
    async with FakeFlora(idempotency="suppress", clock=clock) as fake:
        fake.inject(Status(status, retry_after=3600), on="start", times=None)
        flora = session_on(fake, clock=clock, retry=RetryPolicy(), poll=PollPolicy())
        began = clock.monotonic()
        with pytest.raises(FloraError) as caught:
            await flora.run("caption", PROMPT, timeout=60)
        assert clock.monotonic() - began <= 60
        assert isinstance(caught.value, RateLimitError if status == 429 else SubmissionUnknownError)


@pytest.mark.parametrize("kind", ["run", "generate"])
async def test_nor_does_what_is_read_before_the_start(session_on: OpenSession, kind: str) -> None:
    clock = VirtualClock()
    async with FakeFlora(clock=clock) as fake:
        fake.inject(Status(429, retry_after=3600), on="any", times=None)
        flora = session_on(fake, clock=clock, retry=RetryPolicy(), poll=PollPolicy())
        began = clock.monotonic()
        with pytest.raises(RateLimitError):
            if kind == "run":
                await flora.run("caption", PROMPT, timeout=60)
            else:
                await flora.generate("x", type="image", project_id="prj_local", timeout=60)
        assert clock.monotonic() - began <= 60
        assert not starts(fake)


@pytest.mark.parametrize("moment", ["settling", "looking"])
async def test_a_start_is_cancelled_at_once_whatever_it_waits_for_and_logs_its_key(
    fake: FakeFlora, session_on: OpenSession, caplog: pytest.LogCaptureFixture, moment: str
) -> None:
    fake.inject(Drop(acts=True), on="start")
    flora = session_on(fake, retry=RetryPolicy(initial=0.001, settle=600 if moment == "settling" else 0.01))
    fake.inject(Slow(30, where="before"), on="history")
    start = asyncio.create_task(flora.techniques.runs.create("caption", inputs=PROMPT, idempotency_key="order-1"))
    while not (fake.runs if moment == "settling" else any(r.operation == "history" for r in fake.requests)):
        await asyncio.sleep(0.001)
    start.cancel()
    with pytest.raises(asyncio.CancelledError):
        await start
    assert any("order-1" in record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING)
