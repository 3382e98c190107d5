"""Learned waiting: where polls are placed, what they are learned from, and what a wrong history costs."""

import math
import random
from typing import Any

import pytest
from conftest import IMAGE, OpenSession
from hypothesis import given
from hypothesis import strategies as st

from flora_async import FloraSession, PollPolicy, WaitTimeoutError
from flora_async._clock import Clock
from flora_async.polling import PollSchedule, RunTimes
from flora_async.testing import FakeFlora, FakeModel, FakeTechnique, RetryAfter, Status, VirtualClock

SUBJECT = "technique:cctv-cam"
durations = st.lists(st.floats(0.05, 3_000), min_size=5, max_size=40)
policies = st.builds(
    PollPolicy,
    initial=st.floats(0, 10),
    multiplier=st.floats(1, 3),
    maximum=st.none() | st.floats(0.01, 120),
    jitter=st.floats(0, 1),
)


def schedule_after(seconds: list[float], policy: PollPolicy | None = None, clock: Clock | None = None) -> PollSchedule:
    run_times = RunTimes()
    for each in seconds:
        run_times.observe(SUBJECT, each)
    return PollSchedule(policy or PollPolicy(), clock or VirtualClock(constant=0.5), run_times, SUBJECT)


def ages_polled(schedule: PollSchedule, until: float) -> list[float]:
    ages = [schedule.first()]
    while ages[-1] < until:
        ages.append(ages[-1] + schedule.next(ages[-1]))
    return ages


def typical(median: float = 25, sigma: float = 0.2, count: int = 32) -> list[float]:
    draw = random.Random(1)
    return [median * draw.lognormvariate(0, sigma) for _ in range(count)]


@given(durations, policies, st.lists(st.floats(0, 20_000), min_size=1, max_size=20))
def test_every_pause_lies_between_the_floor_and_the_ceiling(
    seconds: list[float], policy: PollPolicy, ages: list[float]
) -> None:
    schedule = schedule_after(seconds, policy, VirtualClock(seed=3))
    for age in ages:
        grown = max(policy.initial, 0.1) + (policy.multiplier - 1) * age
        backoff = grown if policy.maximum is None else min(grown, policy.maximum)
        pause = schedule.next(age)
        assert min(0.25, backoff) * 0.999 <= pause <= max(30.0, backoff) * 1.001


@given(durations)
def test_the_first_poll_does_not_come_later_than_twice_the_usual_duration(seconds: list[float]) -> None:
    median = sorted(seconds)[len(seconds) // 2]
    assert schedule_after(seconds[-32:]).first() <= max(2.2 * max(median, *seconds[-5:]), 1.0)


def test_runs_of_25_seconds_are_polled_where_they_end() -> None:
    ages = ages_polled(schedule_after(typical()), until=40)
    assert 15 < ages[0] < 25
    assert len(ages) <= 10
    assert len([age for age in ages if 20 < age < 32]) >= 4


def test_runs_of_two_kinds_are_polled_more_often_around_both_durations_than_between() -> None:
    known = [each for pair in zip(typical(60, 0.1), typical(400, 0.1), strict=True) for each in pair]
    ages = ages_polled(schedule_after(known), 500)

    def per_second(start: float, end: float) -> float:
        return len([age for age in ages if start <= age < end]) / (end - start)

    assert per_second(50, 72) > 2 * per_second(80, 320)
    assert per_second(340, 470) > 2 * per_second(80, 320)


def test_a_policy_that_backs_off_does_not_use_what_is_known() -> None:
    learned = schedule_after(typical(), PollPolicy(schedule="backoff"))
    assert ages_polled(learned, 30) == ages_polled(PollSchedule(PollPolicy(), VirtualClock(constant=0.5)), 30)


def test_runs_that_were_started_together_are_not_polled_at_the_same_moment() -> None:
    schedule = schedule_after(typical(), clock=VirtualClock(seed=1))
    assert len({round(schedule.next(20.0), 3) for _ in range(20)}) > 15


@pytest.mark.parametrize("factor", [0.2, 5.0])
def test_a_wrong_history_costs_a_few_polls_and_seconds_for_a_few_runs(factor: float) -> None:
    """A history that is five times off, in either direction, against a session that knows nothing."""
    draw = random.Random(2)
    run_times = RunTimes()
    for each in typical():
        run_times.observe(SUBJECT, each)
    delays, polls, backoff_polls = [], 0, 0
    for _ in range(12):
        length = 25 * factor * draw.lognormvariate(0, 0.2)
        ages = ages_polled(PollSchedule(PollPolicy(), VirtualClock(constant=0.5), run_times, SUBJECT), length)
        delays.append(ages[-1] - length)
        polls += len(ages)
        backoff_polls += len(ages_polled(PollSchedule(PollPolicy(), VirtualClock(constant=0.5)), length))
        run_times.observe(SUBJECT, length)
    assert max(delays) <= 30
    # The first few runs are heard of late; after them, as if the history had never been wrong.
    assert sum(delays[5:]) / len(delays[5:]) <= 3.0
    assert polls <= 1.1 * backoff_polls


def test_a_poll_that_failed_is_repeated_as_soon_as_the_backoff_would() -> None:
    schedule = schedule_after([600.0] * 10)
    assert schedule.next(0.0) == pytest.approx(30, rel=0.01)
    assert schedule.next(0.0, failed=True) == 0.5
    assert schedule.next(100.0, failed=True) == 5.0


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(constant=0.5)


async def run_often(flora: FloraSession, count: int, technique: str = "still") -> None:
    for _ in range(count):
        await flora.run(technique, {"prompt": "a cat"})


def histories(fake: FakeFlora) -> list[str]:
    return [request.target for request in fake.requests if "/technique-runs" in request.target]


STILL = FakeTechnique("still", pending=5, running=15)


async def test_after_five_runs_a_session_polls_once_where_it_polled_eight_times(
    session_on: OpenSession, clock: VirtualClock
) -> None:
    async with FakeFlora(clock=clock, techniques=[STILL]) as fake:
        flora = session_on(fake, clock=clock, poll=PollPolicy(learn="off"))
        await run_often(flora, 5)
        polls = len(clock.sleeps)
        await run_often(flora, 1)
        assert (polls, len(clock.sleeps) - polls) == (5 * 8, 1)
        assert histories(fake) == []


async def test_a_session_reads_the_history_once_when_a_technique_is_waited_for_the_third_time(
    session_on: OpenSession, clock: VirtualClock
) -> None:
    async with FakeFlora(clock=clock, techniques=[STILL]) as fake:
        await run_often(session_on(fake, clock=clock, poll=PollPolicy(schedule="backoff")), 4)
        assert histories(fake) == []
        flora = session_on(fake, clock=clock, poll=PollPolicy())
        await run_often(flora, 2)
        assert histories(fake) == []
        polls = len(clock.sleeps)
        await run_often(flora, 4)
        assert histories(fake) == ["/api/v1/technique-runs?technique_id=tech_still&limit=100"]
        assert len(clock.sleeps) - polls == 4


async def test_a_policy_can_read_the_history_at_the_first_wait(session_on: OpenSession, clock: VirtualClock) -> None:
    async with FakeFlora(clock=clock, techniques=[STILL]) as fake:
        await run_often(session_on(fake, clock=clock, poll=PollPolicy(learn="off")), 5)
        polls = len(clock.sleeps)
        await run_often(session_on(fake, clock=clock, poll=PollPolicy(learn="history")), 2)
        assert len(clock.sleeps) - polls == 2
        assert len(histories(fake)) == 1


async def test_a_history_that_cannot_be_read_costs_the_wait_nothing(
    session_on: OpenSession, clock: VirtualClock
) -> None:
    async with FakeFlora(clock=clock, techniques=[STILL]) as fake:
        flora = session_on(fake, clock=clock, poll=PollPolicy(learn="history"))
        fake.inject(Status(503), on="history", times=10)
        run = await flora.run("still", {"prompt": "a cat"})
        assert run.is_completed
        assert len(histories(fake)) == 1


async def test_every_history_that_is_read_is_learned_from(session_on: OpenSession, clock: VirtualClock) -> None:
    async with FakeFlora(clock=clock, techniques=[STILL]) as fake:
        await run_often(session_on(fake, clock=clock, poll=PollPolicy()), 6)
        flora = session_on(fake, clock=clock, poll=PollPolicy(learn="off"))
        await flora.techniques.runs.list(technique_id="tech_still")
        polls = len(clock.sleeps)
        run = await flora.techniques.runs.create("tech_still", inputs={"prompt": "a cat"})
        await flora.wait_for_run(run)
        assert len(clock.sleeps) - polls == 1


async def test_a_history_that_is_filtered_by_status_is_not_learned_from(
    session_on: OpenSession, clock: VirtualClock
) -> None:
    async with FakeFlora(clock=clock, techniques=[STILL]) as fake:
        await run_often(session_on(fake, clock=clock, poll=PollPolicy()), 6)
        flora = session_on(fake, clock=clock, poll=PollPolicy(learn="off"))
        await flora.techniques.runs.list(status="completed")
        assert flora._poller.run_times.known("technique:tech_still") is None


async def test_generations_are_learned_from_by_model(session_on: OpenSession, clock: VirtualClock) -> None:
    model = FakeModel("flux", "image", pending=5, running=15)
    async with FakeFlora(clock=clock) as fake:
        fake.add_model(model)
        flora = session_on(fake, clock=clock, poll=PollPolicy(learn="off"))
        polls = 0
        for _ in range(6):
            polls = len(clock.sleeps)
            await flora.generate("a cat", type="image", model="flux", project_id="prj_local", workspace_id="ws_local")
        assert len(clock.sleeps) - polls == 1


async def test_a_run_that_is_older_than_its_usual_duration_is_polled_at_once(
    session_on: OpenSession, clock: VirtualClock
) -> None:
    async with FakeFlora(clock=clock, techniques=[STILL]) as fake:
        flora = session_on(fake, clock=clock, poll=PollPolicy())
        await run_often(flora, 6)
        run = await flora.techniques.runs.create("still", inputs={"prompt": "a cat"})
        await clock.sleep(300)
        del clock.sleeps[:]
        await flora.wait_for_run(run)
        assert clock.sleeps == [0.0]


async def test_a_learned_pause_ends_at_the_deadline_and_obeys_retry_after(
    session_on: OpenSession, clock: VirtualClock
) -> None:
    endless = FakeTechnique("still", running=math.inf)
    async with FakeFlora(clock=clock, techniques=[endless]) as fake:
        flora = session_on(fake, clock=clock, poll=PollPolicy(learn="off"))
        for _ in range(10):
            flora._poller.run_times.observe("technique:still", 25.0)
        fake.inject(RetryAfter(90), on="poll")
        run = await flora.techniques.runs.create("still", inputs={"prompt": "a cat"})
        began = clock.monotonic()
        del clock.sleeps[:]
        with pytest.raises(WaitTimeoutError):
            await flora.wait_for_run(run, timeout=120)
        assert clock.monotonic() - began == pytest.approx(120, abs=0.1)
        assert 20 < clock.sleeps[0] < 30
        assert clock.sleeps[1] == 90


async def test_a_schedule_of_the_callers_own_is_asked_for_every_pause(
    session_on: OpenSession, clock: VirtualClock
) -> None:
    asked: list[tuple[float, int]] = []

    def schedule(age: float, polls: int) -> float:
        asked.append((age, polls))
        return 12.0 if polls == 0 else 0.0

    async with FakeFlora(clock=clock, run_seconds=12.15) as fake:
        flora = session_on(fake, clock=clock, poll=PollPolicy(schedule=schedule))
        await flora.run("cctv-cam", IMAGE)
    assert clock.sleeps == pytest.approx([12.0, 0.1, 0.1])
    assert [polls for _, polls in asked] == [0, 1, 2]
    assert [age for age, _ in asked] == pytest.approx([0, 12, 12.1])


@pytest.mark.parametrize(
    ("answer", "kind"),
    [(-1, ValueError), (math.nan, ValueError), (math.inf, ValueError), ("5", TypeError), (None, TypeError)],
    ids=str,
)
async def test_a_schedule_that_returns_no_pause_ends_the_wait_with_an_error_that_names_it(
    fake: FakeFlora, session_on: OpenSession, answer: Any, kind: type[Exception]
) -> None:
    flora = session_on(fake, poll=PollPolicy(schedule=lambda _age, _polls: answer))
    run = await flora.techniques.runs.create("cctv-cam", inputs=IMAGE)
    with pytest.raises(kind, match=r"PollPolicy\.schedule returned must be a .*number") as caught:
        await flora.wait_for_run(run)
    assert any(run.run_id in note for note in caught.value.__notes__)


def test_a_policy_refuses_an_unknown_schedule_where_it_is_written() -> None:
    with pytest.raises(ValueError, match="must be 'learned', 'backoff' or a function, not 'lerned'"):
        PollPolicy(schedule="lerned")  # type: ignore[arg-type]  # a mistake that users make
    with pytest.raises(TypeError, match="a plain function of two numbers, not 5"):
        PollPolicy(schedule=5)  # type: ignore[arg-type]  # likewise
    with pytest.raises(ValueError, match="learn must be one of"):
        PollPolicy(learn="always")  # type: ignore[arg-type]  # likewise
