"""Every fault at every step, under both of FLORA's idempotency behaviours and all three spellings.

What is asserted is the outcome: how many runs exist and were charged, which error came, which run it carries.
"""

import asyncio
import math
import random
from collections.abc import Awaitable
from typing import Any, Final, NamedTuple, TypeVar

import pytest
from conftest import IMAGE, SWIFT_RETRY, OpenSession
from virtual_loop import LoopClock, run_virtually

from flora_async import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    DecodeError,
    FloraError,
    FloraSession,
    InternalServerError,
    PollPolicy,
    RateLimitError,
    RetryPolicy,
    SubmissionUnknownError,
    WaitTimeoutError,
)
from flora_async.testing import (
    Drop,
    FakeFlora,
    FakeTechnique,
    Fault,
    ForeignPollUrl,
    Garbage,
    Redirect,
    Replace,
    RetryAfter,
    Slow,
    Status,
    Truncate,
)

ResultT = TypeVar("ResultT")


class Case(NamedTuple):
    """A fault, the error that it ends in when it never passes, and whether a start then is in doubt."""

    fault: Any
    kind: type[FloraError]
    in_doubt: bool

    def __str__(self) -> str:
        return repr(self.fault)[:60]


FAULTS: Final = [
    Case(Status(429, retry_after=0.01), RateLimitError, in_doubt=False),
    Case(Status(429), RateLimitError, in_doubt=False),
    Case(Status(408), APIStatusError, in_doubt=True),
    Case(Status(500), InternalServerError, in_doubt=True),
    Case(Status(502, body=b"<html>Bad Gateway</html>"), InternalServerError, in_doubt=True),
    Case(Status(503, retry_after=0.01), InternalServerError, in_doubt=True),
    Case(Status(503, acts=True), InternalServerError, in_doubt=True),
    Case(Status(504, body=b""), InternalServerError, in_doubt=True),
    Case(Status(529), InternalServerError, in_doubt=True),
    Case(Drop(acts=False), APIConnectionError, in_doubt=True),
    Case(Drop(acts=True), APIConnectionError, in_doubt=True),
    Case(Truncate(), APIConnectionError, in_doubt=True),
    Case(Truncate(acts=False), APIConnectionError, in_doubt=True),
    Case(Garbage(), DecodeError, in_doubt=True),
    Case(Garbage(b"", acts=False), DecodeError, in_doubt=True),
    Case(Garbage(b"[]"), DecodeError, in_doubt=True),
    Case(Replace({"status": "running"}), DecodeError, in_doubt=True),
    Case(Replace({"run_id": "run_1", "status": 5}), DecodeError, in_doubt=True),
    Case(Slow(0.4, where="before"), APITimeoutError, in_doubt=True),
    Case(Slow(0.4, where="after"), APITimeoutError, in_doubt=True),
    Case(Slow(0.4, where="body"), APITimeoutError, in_doubt=True),
]
REFUSALS: Final = [
    *[Case(Status(status), APIStatusError, in_doubt=False) for status in (400, 401, 402, 403, 404, 409, 410, 422)],
    Case(Redirect("https://evil.example/"), APIStatusError, in_doubt=False),
    Case(Redirect(status=307), APIStatusError, in_doubt=False),
]
PATIENT: Final = PollPolicy(initial=0.001, maximum=0.01, outage=60)
# What the slow faults below take is over by three times `settle`, as FLORA's work is by three times 30 s.
SETTLING: Final = RetryPolicy(attempts=4, initial=0.001, maximum=0.01, settle=0.15, rate_limit_pause=0.01)
SETTINGS: Final[dict[str, Any]] = {"timeout": 0.25, "poll": PollPolicy(initial=0.001, maximum=0.01, outage=0.1)}

once_and_always = pytest.mark.parametrize("times", [1, None], ids=["once", "always"])
every_fault = pytest.mark.parametrize("case", FAULTS, ids=str)
every_refusal = pytest.mark.parametrize("case", REFUSALS, ids=str)
# A redirect is a proxy's, which does not end a wait.
every_refusal_of_a_poll = pytest.mark.parametrize(
    "case", [case for case in REFUSALS if not isinstance(case.fault, Redirect)], ids=str
)


@pytest.mark.parametrize("idempotency", ["replay", "conflict", "suppress"])
@every_fault
async def test_a_start_with_a_fault_that_passes_ends_in_exactly_one_run_which_the_caller_holds(
    session_on: OpenSession, idempotency: Any, case: Case
) -> None:
    async with FakeFlora(idempotency=idempotency) as fake:
        fake.inject(case.fault, on="start")
        flora = session_on(fake, **SETTINGS, retry=SETTLING)
        run = await flora.techniques.runs.create("cctv-cam", inputs=IMAGE)
        assert [started.run_id for started in fake.runs] == [run.run_id]
        starts = [request for request in fake.requests if request.operation == "start"]
        assert len({request.json["idempotency_key"] for request in starts}) == 1
        was_carried_out_unseen = getattr(case.fault, "acts", True)
        assert run.adopted == (was_carried_out_unseen and idempotency != "replay")
        assert (await flora.wait_for_run(run, poll=PATIENT)).is_completed


@pytest.mark.parametrize("idempotency", ["replay", "conflict", "suppress"])
@every_fault
async def test_a_start_with_a_fault_that_never_passes_is_in_doubt_or_certainly_not_carried_out(
    session_on: OpenSession, idempotency: Any, case: Case
) -> None:
    async with FakeFlora(idempotency=idempotency, history_lag=0) as fake:
        fake.inject(case.fault, on="start", times=None)
        flora = session_on(fake, **SETTINGS, retry=SETTLING)
        run, error = await _outcome(flora.techniques.runs.create("cctv-cam", inputs=IMAGE))
        starts = [request for request in fake.requests if request.operation == "start"]
        assert run is None
        assert len(starts) <= 4
        if isinstance(error, SubmissionUnknownError):
            assert case.in_doubt
            assert len(fake.runs) <= 1
            assert {request.json["idempotency_key"] for request in starts} == {error.idempotency_key}
            assert [run.run_id for run in error.candidates] == [run.run_id for run in fake.runs]
            fake.heal()
            assert [(await flora.resolve(error)).run_id] == [run.run_id for run in fake.runs]
        else:
            assert not case.in_doubt
            assert isinstance(error, case.kind)
            assert not fake.runs


@every_refusal
async def test_a_refused_start_is_raised_at_once_and_starts_nothing(
    fake: FakeFlora, session_on: OpenSession, case: Case
) -> None:
    fake.inject(case.fault, on="start")
    with pytest.raises(case.kind):
        await session_on(fake, **SETTINGS).techniques.runs.create("cctv-cam", inputs=IMAGE)
    assert not fake.runs
    # After a 404, reads look for a technique of a similar name.
    assert [request.method for request in fake.requests].count("POST") == 1


@every_fault
async def test_a_poll_fault_that_passes_costs_only_patience(
    fake: FakeFlora, session_on: OpenSession, case: Case
) -> None:
    flora = session_on(fake, **SETTINGS)
    run = await flora.techniques.runs.create("cctv-cam", inputs=IMAGE)
    fake.inject(case.fault, on="poll")
    assert (await flora.wait_for_run(run, poll=PATIENT)).is_completed
    assert len(fake.runs) == 1


@every_fault
async def test_a_poll_fault_that_never_passes_ends_the_wait_with_the_run_and_the_wait_can_go_on(
    fake: FakeFlora, session_on: OpenSession, case: Case
) -> None:
    flora = session_on(fake, **SETTINGS)
    run = await flora.techniques.runs.create("cctv-cam", inputs=IMAGE)
    fake.inject(case.fault, on="poll", times=None)
    _, error = await _outcome(flora.wait_for_run(run, timeout=3.0))
    # Where FLORA asks for each pause itself, it is the deadline that ends the wait.
    assert isinstance(error, (case.kind, WaitTimeoutError))
    assert error.run == run
    fake.heal()
    assert (await flora.wait_for_run(run, poll=PATIENT)).is_completed
    assert len(fake.runs) == 1


@every_refusal_of_a_poll
async def test_a_refused_poll_ends_the_wait_at_once_with_the_run(
    fake: FakeFlora, session_on: OpenSession, case: Case
) -> None:
    fake.add_technique(FakeTechnique("endless", running=math.inf))
    flora = session_on(fake, **SETTINGS)
    run = await flora.techniques.runs.create("endless", inputs={"prompt": "x"})
    fake.inject(case.fault, on="poll", after=1)
    with pytest.raises(case.kind) as caught:
        await flora.wait_for_run(run)
    assert caught.value.run is not None
    assert caught.value.run.run_id == run.run_id
    assert len(fake.requests) == 3


@once_and_always
@every_fault
async def test_a_faulty_history_is_read_whole_or_ends_in_the_faults_own_error(
    session_on: OpenSession, times: int | None, case: Case
) -> None:
    async with FakeFlora(history_lag=0) as fake:
        flora = session_on(fake, **SETTINGS)
        for _ in range(5):
            await flora.techniques.runs.create("cctv-cam", inputs=IMAGE)
        fake.inject(case.fault, on="history", times=times, after=1)
        met: list[str] = []

        async def read() -> None:
            async for run in flora.techniques.runs.list(limit=2):
                met.append(run.run_id)  # noqa: PERF401 - what came before the error counts

        _, error = await _outcome(read())
        if error is None:
            assert times == 1
            assert met == [run.run_id for run in reversed(fake.runs)]
        else:
            assert times is None or (isinstance(error, DecodeError) and not error.transient)
            assert isinstance(error, case.kind)
            assert len(met) == 2
        assert len(fake.runs) == 5


@pytest.mark.parametrize("operation", ["start", "poll", "history"])
@pytest.mark.parametrize("fault", [RetryAfter(0.01), ForeignPollUrl("https://evil.example/x")], ids=repr)
async def test_what_is_no_failure_is_no_error(
    fake: FakeFlora, session_on: OpenSession, operation: Any, fault: Any
) -> None:
    flora = session_on(fake, **SETTINGS)
    fake.inject(fault, on=operation, times=None)
    run = await flora.techniques.runs.create("cctv-cam", inputs=IMAGE)
    finished, error = await _outcome(flora.wait_for_run(run))
    assert error is None
    assert finished is not None
    assert finished.is_completed
    assert [item.run_id async for item in flora.techniques.runs.list()] == [run.run_id]


@pytest.mark.parametrize(("case", "idempotency"), [("camel", "replay"), ("snake", "conflict"), ("both", "conflict")])
def test_five_hundred_starts_in_a_storm_of_faults_are_charged_once_or_in_doubt(case: Any, idempotency: Any) -> None:
    run_virtually(storm(case, idempotency))


async def storm(case: Any, idempotency: Any) -> None:
    dice = random.Random(f"{case} {idempotency}")
    clock = LoopClock()
    async with FakeFlora(case=case, idempotency=idempotency, clock=clock) as fake:
        faults: list[Fault] = [
            Drop(acts=True),
            Drop(acts=False),
            Truncate(),
            Garbage(),
            Status(503),
            Status(429, retry_after=0.005),
        ]
        for _ in range(150):
            fake.inject(dice.choice(faults), on=dice.choice(["start", "poll"]), after=dice.randrange(500))
        poll = PollPolicy(initial=0.05, maximum=0.2)
        async with FloraSession(
            fake.api_key, base_url=fake.base_url, clock=clock, retry=SWIFT_RETRY, poll=poll
        ) as flora:
            outcomes = await asyncio.gather(
                *(_outcome(flora.run("cctv-cam", IMAGE, idempotency_key=f"key-{number}")) for number in range(500))
            )
        runs_by_key = {run.idempotency_key: run.run_id for run in fake.runs}
        assert len(runs_by_key) == len(fake.runs)
        for number, (finished, error) in enumerate(outcomes):
            if finished is not None:
                assert runs_by_key[f"key-{number}"] == finished.run_id
                assert finished.is_completed
            else:
                # Any other error says that there is no run.
                assert isinstance(error, SubmissionUnknownError) or f"key-{number}" not in runs_by_key
        assert sum(finished is not None for finished, _ in outcomes) > 350


async def _outcome(job: Awaitable[ResultT]) -> tuple[ResultT | None, FloraError | None]:
    try:
        return await job, None
    except FloraError as error:
        return None, error
