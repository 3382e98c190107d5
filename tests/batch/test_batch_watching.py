"""Watching together: one look at the history for all runs, and each run's own poll URL wherever that does not do."""

import asyncio
import math
import random
from datetime import timedelta
from typing import Any

import pytest
from conftest import OpenSession
from scaled_clock import ScaledClock
from virtual_loop import LoopClock, run_virtually

from flora_async import FloraSession, PollPolicy, RateLimitError, RetryPolicy, RunRequest, SubmissionUnknownError
from flora_async.batch import Row
from flora_async.resources._open_starts import SLACK
from flora_async.testing import Drop, FakeFlora, FakeTechnique, Garbage, Replace, Slow, Status

FACTOR = 80  # seconds of FLORA in one of the test
SLOW_ENOUGH = FakeTechnique("slow", pending=0.05, running=0.4)


def prompts(count: int) -> list[Row]:
    return [RunRequest({"prompt": f"row {number}"}, key=f"key-{number}") for number in range(count)]


def count(fake: FakeFlora, operation: str) -> int:
    return sum(request.operation == operation for request in fake.requests)


async def test_one_look_tells_of_all_runs_and_none_is_polled_by_itself(session_on: OpenSession) -> None:
    async with FakeFlora(history_lag=0) as fake:
        fake.add_technique(SLOW_ENOUGH)
        results = await session_on(fake).run_all("slow", prompts(150), concurrency=150, watch="list")
        assert all(result.ok and result.run and result.run.outputs for result in results)
        assert count(fake, "poll") == 0
        looks = [request.query for request in fake.requests if request.operation == "history"]
        assert {(query["limit"], query["technique_id"]) for query in looks} == {("100", "tech_slow")}
        assert count(fake, "technique") == 1


async def test_each_follows_every_run_by_its_own_poll_url(fake: FakeFlora, flora: FloraSession) -> None:
    results = await flora.run_all("caption", prompts(20), watch="each")
    assert all(result.ok for result in results)
    assert (count(fake, "history"), count(fake, "technique")) == (0, 1)


async def test_auto_leaves_a_few_runs_to_their_own_poll_urls(fake: FakeFlora, flora: FloraSession) -> None:
    assert all(result.ok for result in await flora.run_all("caption", prompts(4)))
    assert count(fake, "history") == 0
    fake.add_technique(SLOW_ENOUGH)
    assert all(result.ok for result in await flora.run_all("slow", prompts(40), concurrency=40))
    assert count(fake, "history") > 0


async def test_pages_stop_at_the_oldest_run_in_flight(fake: FakeFlora, flora: FloraSession) -> None:
    fake.add_technique(FakeTechnique("quick", pending=0, running=0))
    await flora.run_all("quick", prompts(260), watch="each")
    fake.add_technique(FakeTechnique("quick", running=0.3))
    fake.requests.clear()
    results = await flora.run_all(
        "quick", [{"prompt": str(number)} for number in range(30)], watch="list", concurrency=30
    )
    assert all(result.ok for result in results)
    assert not [request for request in fake.requests if request.query.get("cursor")]


async def test_a_run_that_the_history_does_not_show_falls_back_to_its_own_poll_url(
    fake: FakeFlora, flora: FloraSession
) -> None:
    fake.inject(Replace({"technique_runs": [], "meta": {}}), on="history", times=None)
    results = await flora.run_all("caption", prompts(12), watch="list")
    assert all(result.ok for result in results)
    assert count(fake, "poll") >= 12


async def test_a_history_that_leaves_out_outputs_has_them_fetched(fake: FakeFlora, flora: FloraSession) -> None:
    bare = [{"run_id": "run_x", "status": "completed"}]
    fake.add_technique(FakeTechnique("endless", running=math.inf))
    job = asyncio.create_task(flora.run_all("endless", prompts(6), watch="list"))
    while len(fake.runs) < 6:
        await asyncio.sleep(0.001)
    bare += [{"run_id": run.run_id, "status": "completed"} for run in fake.runs]
    fake.inject(Replace({"technique_runs": bare, "meta": {}}), on="history", times=None)
    for run in fake.runs:
        fake.finish(run.run_id)
    assert all(result.ok and result.run and result.run.outputs for result in await job)


@pytest.mark.parametrize("fault", [Status(403), Status(404), Status(503), Drop(acts=False), Garbage()], ids=repr)
async def test_a_history_that_fails_costs_no_run(fake: FakeFlora, flora: FloraSession, fault: Any) -> None:
    fake.inject(fault, on="history", times=None)
    results = await flora.run_all("caption", prompts(12), watch="list")
    assert all(result.ok for result in results)
    assert len(fake.runs) == 12


async def test_runs_of_a_technique_that_cannot_be_looked_up_are_found_among_all_runs(
    fake: FakeFlora, flora: FloraSession
) -> None:
    fake.inject(Status(403), on="technique", times=None)
    assert all(result.ok for result in await flora.run_all("caption", prompts(8), watch="list"))
    assert {request.query.get("technique_id") for request in fake.requests if request.operation == "history"} == {None}
    assert count(fake, "poll") == 0


async def test_one_list_serves_rows_of_several_techniques(fake: FakeFlora, flora: FloraSession) -> None:
    fake.add_technique(FakeTechnique("other", running=0.2))
    rows: list[Row] = [RunRequest({"prompt": str(n)}, technique_id=["caption", "other"][n % 2]) for n in range(20)]
    results = await flora.run_all("caption", rows, watch="list", concurrency=20, check=False)
    assert all(result.ok for result in results)
    # The first one may come while runs of one technique alone are under way.
    assert any("technique_id" not in request.query for request in fake.requests if request.operation == "history")
    assert count(fake, "poll") == 0


@pytest.mark.parametrize("idempotency", ["replay", "conflict"])
def test_a_thousand_rows_in_chaos_are_each_charged_once_or_in_doubt(idempotency: Any) -> None:
    run_virtually(chaos(idempotency))


async def chaos(idempotency: Any) -> None:
    clock = LoopClock()
    dice = random.Random(f"chaos {idempotency}")
    async with FakeFlora(idempotency=idempotency, run_seconds=0.2, clock=clock) as fake:
        for _ in range(240):  # 10 % of the starts are dropped, 5 % are answered with 5xx, and 429 comes in bursts
            fake.inject(Drop(acts=dice.random() < 0.5), on="any", after=dice.randrange(12))
            if dice.random() < 0.5:
                fake.inject(Status(dice.choice([500, 502, 503])), on="any", after=dice.randrange(12))
            if dice.random() < 0.03:
                fake.inject(Status(429, retry_after=0.01), on="any", times=5)
        flora = FloraSession(
            fake.api_key,
            base_url=fake.base_url,
            clock=clock,
            retry=RetryPolicy(attempts=8, initial=0.001, maximum=0.01, settle=0.005, rate_limit_pause=0.01),
            poll=PollPolicy(initial=0.02, maximum=0.1, outage=30),
        )
        async with flora, flora.batch("caption", prompts(1000), concurrency=64) as batch:
            results = {result.key: result async for result in batch}
        assert len(results) == 1000
        by_prompt: dict[str, list[str]] = {}
        for run in fake.runs:
            by_prompt.setdefault(run.inputs["prompt"].replace("row ", "key-"), []).append(run.run_id)
        assert all(len(runs) == 1 for runs in by_prompt.values())
        for key, result in results.items():
            if result.ok:
                assert result.run is not None
                assert by_prompt[key] == [result.run.run_id]
            else:
                assert isinstance(result.error, SubmissionUnknownError | RateLimitError), result.error
        assert sum(result.ok for result in results.values()) > 800
        assert batch.summary.completed + batch.summary.failed == 1000


def overlap(one: SubmissionUnknownError, other: SubmissionUnknownError) -> bool:
    """Whether two lost starts came so close that either may have made the other's run."""
    slack = timedelta(seconds=2 * SLACK)
    return one.since - slack <= (other.until or other.since) and other.since - slack <= (one.until or one.since)


async def test_in_the_chaos_of_production_only_starts_that_were_lost_together_stay_in_doubt(
    session_on: OpenSession,
) -> None:
    dice, clock = random.Random("chaos suppress"), ScaledClock(FACTOR)
    async with FakeFlora(
        idempotency="suppress", clock=clock, clock_skew=40, run_seconds=8, history_lag=5, cost_lag=5
    ) as fake:
        for _ in range(40):  # an attempt that timed out acts before three times `settle` have passed
            fault: Any = dice.choice(
                [
                    Drop(acts=dice.random() < 0.5),
                    Garbage(acts=dice.random() < 0.5),
                    Status(dice.choice([500, 502, 503, 504]), acts=dice.random() < 0.5),
                    Slow(34 / FACTOR, where=dice.choice(["before", "after"])),
                ]
            )
            fake.inject(fault, on="start", after=dice.randrange(1000))
        for _ in range(20):
            fault = dice.choice([Drop(acts=False), Status(502), Garbage()])
            fake.inject(fault, on="any", after=dice.randrange(60))
        fake.inject(Status(429, retry_after=2), on="any", after=200, times=5)
        flora = session_on(
            fake,
            clock=clock,
            timeout=30 / FACTOR,
            retry=RetryPolicy(attempts=8, settle=20, rate_limit_pause=2),
            poll=PollPolicy(initial=2, maximum=5, outage=300, timeout=3000),
        )
        results = await flora.run_all("caption", prompts(1000), concurrency=32)
        runs = {run.inputs["prompt"].replace("row ", "key-"): run.run_id for run in fake.runs}
        assert len(runs) == len(fake.runs)
        doubts = [result.error for result in results if isinstance(result.error, SubmissionUnknownError)]
        for result in results:
            if result.run is not None:
                assert result.run.run_id == runs[result.key]
            if not result.ok:
                error = result.error
                assert isinstance(error, SubmissionUnknownError), error
                assert any(overlap(error, other) for other in doubts if other is not error), error.steps
        assert sum(result.run is not None and result.run.adopted for result in results) >= 1
        assert sum(result.ok for result in results) > 900  # the slower the machine, the more of them overlap
