"""Whose run a start in doubt adopts beside another program's runs, where something makes them look alike."""

import asyncio
from typing import Any

import pytest
from conftest import OpenSession
from scaled_clock import ScaledClock

from flora_async import FloraSession, IdempotencyError, RetryPolicy, Run, SubmissionUnknownError
from flora_async.models import RunInput
from flora_async.resources import StartOptions
from flora_async.resources._start import technique_start
from flora_async.testing import Drop, FakeFlora, Slow, Status

PROMPT = {"prompt": "a red bicycle"}
PATIENT = RetryPolicy(attempts=4, initial=0.5, maximum=5, settle=15, rate_limit_pause=2)
FACTOR = 60


@pytest.fixture
def clock() -> ScaledClock:
    return ScaledClock(FACTOR)


def run_of(fake: FakeFlora, key: str) -> str:
    (run,) = [run for run in fake.runs if run.idempotency_key == key]
    return run.run_id


async def create(session: FloraSession, key: str, **options: Any) -> Run:
    return await session.techniques.runs.create("caption", inputs=PROMPT, idempotency_key=key, **options)


@pytest.mark.parametrize("foreign", [False, True])
async def test_a_run_that_flora_creates_after_the_timeout_is_found_and_not_taken_for_one_within_it(
    session_on: OpenSession, clock: ScaledClock, *, foreign: bool
) -> None:
    async with FakeFlora(idempotency="suppress", clock=clock, history_lag=1) as fake:
        mine = session_on(fake, clock=clock, retry=PATIENT, timeout=10 / FACTOR)
        other = session_on(fake, clock=clock)
        await mine.techniques.list()
        fake.inject(Slow(20 / FACTOR, where="before"), on="start")
        started = asyncio.create_task(create(mine, "mine"))
        await clock.sleep(4)
        if not foreign:
            assert (await started).run_id == run_of(fake, "mine")
            return
        await create(other, "other")
        with pytest.raises(SubmissionUnknownError) as caught:
            await started
        assert {run.run_id for run in caught.value.candidates} == {run_of(fake, "mine"), run_of(fake, "other")}


async def test_a_run_of_the_time_that_shows_up_before_the_starts_own_is_not_adopted(
    session_on: OpenSession, clock: ScaledClock
) -> None:
    async with FakeFlora(idempotency="suppress", clock=clock, history_lag=20) as fake:
        flora, other = session_on(fake, clock=clock, retry=PATIENT), session_on(fake, clock=clock)
        await create(other, "other")
        await clock.sleep(60)
        await create(other, "mine")
        with pytest.raises(SubmissionUnknownError) as caught:
            await create(flora, "mine", adopt=True)
        assert {run.run_id for run in caught.value.candidates} == {run_of(fake, "mine"), run_of(fake, "other")}


async def test_a_refused_attempt_does_not_prove_that_the_run_of_a_repeated_key_is_new(
    session_on: OpenSession, clock: ScaledClock
) -> None:
    async with FakeFlora(idempotency="suppress", clock=clock) as fake:
        flora, other = session_on(fake, clock=clock, retry=PATIENT), session_on(fake, clock=clock)
        await create(other, "order-1")
        await clock.sleep(20)
        fake.inject(Status(429, retry_after=1), on="start")
        started = asyncio.create_task(create(flora, "order-1"))
        await clock.sleep(2)
        await create(other, "order-2")
        with pytest.raises(IdempotencyError):
            await started


async def test_a_slow_answer_does_not_move_the_time_in_which_a_run_is_looked_for(
    session_on: OpenSession, clock: ScaledClock
) -> None:
    async with FakeFlora(idempotency="suppress", clock=clock) as fake:
        flora = session_on(fake, clock=clock, retry=PATIENT)
        await flora.techniques.list()
        for operation in ("technique", "history"):
            fake.inject(Slow(15 / FACTOR, where="body"), on=operation, times=None)
        fake.inject(Drop(acts=True), on="start")
        run = await create(flora, "mine")
        assert (run.run_id, run.adopted) == (run_of(fake, "mine"), True)


async def test_a_key_whose_run_the_session_knows_gives_that_run_as_often_as_it_is_asked_for(
    session_on: OpenSession,
) -> None:
    async with FakeFlora(idempotency="suppress") as fake:
        flora, other = session_on(fake), session_on(fake)
        first = await create(flora, "order-1")
        await create(other, "order-2")  # fits as well, and is not known to the session
        again = await asyncio.gather(*(create(flora, "order-1", adopt=True) for _ in range(3)))
        assert {run.run_id for run in again} == {first.run_id}


async def test_a_key_that_is_adopted_twice_at_once_and_once_more_gives_the_same_run(session_on: OpenSession) -> None:
    async with FakeFlora(idempotency="suppress") as fake:
        await create(session_on(fake), "order-1")
        flora = session_on(fake)
        together = await asyncio.gather(*(create(flora, "order-1", adopt=True) for _ in range(2)))
        later = await create(flora, "order-1", adopt=True)
        assert {run.run_id for run in [*together, later]} == {run_of(fake, "order-1")}


async def test_the_age_of_an_attempt_counts_from_when_it_was_sent_not_from_when_it_waited_for_a_rate_limit(
    session_on: OpenSession, clock: ScaledClock
) -> None:
    async with FakeFlora(idempotency="suppress", clock=clock) as fake:
        flora = session_on(fake, clock=clock, retry=PATIENT, timeout=20 / FACTOR)
        fake.inject(Status(429, retry_after=45), on="start")
        fake.inject(Slow(35 / FACTOR, where="before"), on="start")
        run = await create(flora, "mine")
        await clock.sleep(40)  # by then, FLORA has acted on an attempt that it was still at work on
        assert run.run_id == run_of(fake, "mine")


async def test_a_start_stays_in_doubt_whatever_ends_the_search_for_its_run(session_on: OpenSession) -> None:
    async def knows(run_id: str) -> bool:
        raise ArithmeticError(run_id)

    async with FakeFlora(idempotency="suppress") as fake:
        flora = session_on(fake)
        fake.inject(Drop(acts=True), on="start")
        options = StartOptions("caption", idempotency_key="mine")
        inputs = [RunInput(id="prompt", type="text", value="a red bicycle")]
        with pytest.raises(SubmissionUnknownError) as caught:
            await flora._starter.start(technique_start(options, inputs), knows=knows)
        assert caught.value.idempotency_key == "mine"
        assert run_of(fake, "mine") in caught.value.steps[-1]
