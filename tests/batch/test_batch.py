"""The batch: every row gets its result, at a pace and a price that were allowed."""

import asyncio
import gc
import logging
import math
from collections.abc import AsyncIterator, Iterator
from fractions import Fraction
from typing import Any

import pytest
from conftest import IMAGE, UNRESOLVED, OpenSession
from hypothesis import given
from hypothesis import strategies as st
from virtual_loop import LoopClock, run_virtually

from flora_async import (
    APIConnectionError,
    AuthenticationError,
    BadRequestError,
    BatchResult,
    BatchSummary,
    BudgetExceededError,
    FloraSession,
    InputError,
    InsufficientCreditsError,
    PermissionDeniedError,
    PollPolicy,
    RetryPolicy,
    RunFailedError,
    RunInput,
    RunRequest,
    SkippedError,
    SubmissionUnknownError,
)
from flora_async.batch import Row
from flora_async.batch.budget import Budget
from flora_async.batch.concurrency import Limiter
from flora_async.batch.results import Durations
from flora_async.testing import Drop, FakeFlora, FakeTechnique, Status, VirtualClock

NEVER = float("inf")


def prompts(count: int) -> list[Row]:
    return [{"prompt": f"row {number}"} for number in range(count)]


async def test_every_row_has_one_run_and_one_result(fake: FakeFlora, flora: FloraSession) -> None:
    async with flora.batch("caption", prompts(40), concurrency=8) as batch:
        results = [result async for result in batch]
    assert sorted(result.index for result in results) == list(range(40))
    assert {result.key for result in results} == {str(number) for number in range(40)}
    assert all(result.ok and result.run and result.attempts == 1 and not result.resumed for result in results)
    for result in results:
        assert result.request is not None
        assert result.run is not None
        assert result.run.outputs[0].text == f"Caption: row {result.index}"
    assert sorted(run.inputs["prompt"] for run in fake.runs) == sorted(f"row {number}" for number in range(40))


async def test_results_come_in_the_order_in_which_runs_end(fake: FakeFlora, flora: FloraSession) -> None:
    fake.add_technique(FakeTechnique("slow", running=0.5))
    rows: list[Row] = [RunRequest({"prompt": "x"}, technique_id="slow"), {"prompt": "y"}]
    async with flora.batch("caption", rows) as batch:
        assert [result.index async for result in batch] == [1, 0]


async def test_run_all_returns_them_in_the_order_of_the_rows(fake: FakeFlora, flora: FloraSession) -> None:
    fake.add_technique(FakeTechnique("slow", running=0.2))
    rows: list[Row] = [RunRequest({"prompt": "x"}, technique_id="slow"), {"prompt": "y"}]
    assert [result.index for result in await flora.run_all("caption", rows)] == [0, 1]


async def async_rows(count: int) -> AsyncIterator[Row]:
    for row in prompts(count):
        await asyncio.sleep(0)
        yield row


@pytest.mark.parametrize(
    "rows", [prompts(3), tuple(prompts(3)), iter(prompts(3)), "async"], ids=lambda rows: type(rows).__name__
)
async def test_rows_are_any_iterable_or_async_iterable(flora: FloraSession, rows: Any) -> None:
    results = await flora.run_all("caption", async_rows(3) if rows == "async" else rows)
    assert [result.ok for result in results] == [True] * 3


async def test_a_row_is_a_mapping_a_sequence_of_inputs_or_a_request(fake: FakeFlora, flora: FloraSession) -> None:
    rows: list[Row] = [
        {"prompt": "a"},
        [RunInput("prompt", "text", "b")],
        RunRequest({"prompt": "c"}, key="third", callback_url="https://example.com/hook", metadata={"mine": 1}),
        RunRequest(IMAGE, technique_id="cctv-cam"),
    ]
    results = await flora.run_all("caption", rows)
    assert [result.ok for result in results] == [True] * 4
    assert [result.key for result in results] == ["0", "1", "third", "3"]
    assert results[2].request is not None
    assert results[2].request.metadata == {"mine": 1}
    assert {run.callback_url for run in fake.runs} == {None, "https://example.com/hook"}
    assert {run.technique.slug for run in fake.runs} == {"caption", "cctv-cam"}


BAD_REQUESTS: list[Any] = [
    RunRequest({"prompt": "x"}, key=5),  # type: ignore[arg-type]  # the mistake itself
    RunRequest({"prompt": "x"}, technique_id=""),
    RunRequest({"prompt": "x"}, callback_url="http://example.com/hook"),
]


@pytest.mark.parametrize(
    "row",
    [
        {},
        [],
        {"prompt": 5},
        {"": "x"},
        "photo.png",
        None,
        5,
        RunRequest({}),
        RunRequest({"prompt": "x"}, key=" "),
        *BAD_REQUESTS,
    ],
    ids=repr,
)
async def test_a_bad_row_is_that_rows_error_and_no_other_rows(fake: FakeFlora, flora: FloraSession, row: Any) -> None:
    first, bad, last = await flora.run_all("caption", [{"prompt": "a"}, row, {"prompt": "b"}])
    assert first.ok
    assert last.ok
    assert isinstance(bad.error, ValueError | TypeError)
    assert bad.run is None
    assert len(fake.runs) == 2


async def test_what_flora_refuses_or_fails_is_that_rows_error(fake: FakeFlora, flora: FloraSession) -> None:
    rows: list[Row] = [{"prompt": "a"}, {"unknown": "x"}, RunRequest({"prompt": "x"}, technique_id="always-fails")]
    good, refused, failed = await flora.run_all("caption", rows, check=False)
    assert good.ok
    assert isinstance(refused.error, BadRequestError)
    assert isinstance(failed.error, RunFailedError)
    assert failed.run is not None
    assert failed.run.error_code == "safety_blocked"
    assert len(fake.runs) == 2


async def test_run_all_raises_a_group_only_when_all_is_finished(fake: FakeFlora, flora: FloraSession) -> None:
    rows: list[Row] = [RunRequest({"prompt": "x"}, technique_id="always-fails"), *prompts(5), {"unknown": "x"}]
    with pytest.raises(ExceptionGroup, match="2 of 7 rows") as caught:
        await flora.run_all("caption", rows, raise_on_failure=True)
    assert caught.group_contains(RunFailedError)
    assert caught.group_contains(InputError)
    assert [run.status for run in fake.runs].count("completed") == 5


async def test_a_row_given_twice_while_it_runs_is_refused(fake: FakeFlora, flora: FloraSession) -> None:
    rows: list[Row] = [RunRequest({"prompt": "x"}, key="a"), RunRequest({"prompt": "x"}, key="a")]
    first, second = await flora.run_all("caption", rows, name="once")
    assert first.ok
    assert isinstance(second.error, ValueError)
    assert len(fake.runs) == 1


async def test_a_named_batch_that_runs_again_finds_its_runs_at_flora(session_on: OpenSession) -> None:
    async with FakeFlora(idempotency="replay") as fake:
        flora = session_on(fake)
        for _ in range(2):
            assert all(result.ok for result in await flora.run_all("caption", prompts(5), name="q3"))
        assert len(fake.runs) == 5
        await flora.run_all("caption", prompts(5))
        assert len(fake.runs) == 10


async def test_rows_are_taken_as_there_is_room_and_never_far_ahead(fake: FakeFlora, flora: FloraSession) -> None:
    taken = 0

    def endless() -> Iterator[Row]:
        nonlocal taken
        while True:
            taken += 1
            yield {"prompt": str(taken)}

    async with flora.batch("caption", endless(), concurrency=4) as batch:
        assert taken == 0
        read = 0
        async for _ in batch:
            read += 1
            assert taken <= read + 2 * 4 + 1
            if read == 50:
                break
    assert len(fake.runs) <= taken


async def test_a_consumer_that_stops_reading_stops_new_starts(fake: FakeFlora, flora: FloraSession) -> None:
    async with flora.batch("caption", prompts(30), concurrency=3) as batch:
        await anext(batch)
        while len(fake.runs) < 6 or any(run.status != "completed" for run in fake.runs):
            await asyncio.sleep(0.01)
        for _ in range(100):
            await asyncio.sleep(0)
        assert len(fake.runs) <= 1 + 2 * 3
        rest = [result async for result in batch]
    assert len(rest) == 29


async def test_no_more_runs_are_under_way_than_allowed(fake: FakeFlora, flora: FloraSession) -> None:
    most = 0

    def look(_: BatchSummary) -> None:
        nonlocal most
        most = max(most, sum(run.status in {"pending", "running"} for run in fake.runs))

    await flora.run_all("caption", prompts(60), concurrency=5, on_progress=look)
    assert 2 <= most <= 5


async def test_a_source_that_raises_ends_the_batch_after_what_was_started(fake: FakeFlora, flora: FloraSession) -> None:
    def broken() -> Iterator[Row]:
        yield from prompts(3)
        raise LookupError("the source's own")

    results: list[BatchResult] = []
    with pytest.raises(LookupError, match="own"):
        async with flora.batch("caption", broken()) as batch:
            async for result in batch:
                results.append(result)  # noqa: PERF401 - what came before the error counts
    assert [result.ok for result in results] == [True] * 3
    assert all(run.status == "completed" for run in fake.runs)


@pytest.mark.parametrize(
    ("status", "kind"), [(401, AuthenticationError), (402, InsufficientCreditsError), (403, PermissionDeniedError)]
)
async def test_a_fatal_answer_starts_nothing_more_follows_what_runs_and_is_raised_at_the_end(
    fake: FakeFlora, flora: FloraSession, status: int, kind: type[Exception]
) -> None:
    fake.inject(Status(status), on="start", after=6, times=None)
    results: list[BatchResult] = []
    batch = flora.batch("caption", prompts(30), concurrency=3)
    with pytest.raises(kind):
        async with batch:
            results += [result async for result in batch]
    assert len(results) == 30
    assert sum(result.ok for result in results) == len(fake.runs) == 6
    skipped = [result for result in results if result.skipped]
    assert all(
        isinstance(result.error, SkippedError) and isinstance(result.error.__cause__, kind) for result in skipped
    )
    assert len(skipped) >= 30 - 6 - 3
    assert batch.summary.skipped == len(skipped)


async def test_a_source_is_closed_when_the_batch_is_left(flora: FloraSession) -> None:
    closed = asyncio.Event()

    async def source() -> AsyncIterator[Row]:
        try:
            while True:
                yield {"prompt": "x"}
        finally:
            closed.set()

    async with flora.batch("caption", source()) as batch:
        await anext(batch)
    assert closed.is_set()


@given(st.lists(st.floats(0.001, 1e5), min_size=1, max_size=200), st.sampled_from([0.5, 0.95]))
def test_durations_are_told_to_two_percent(times: list[float], share: float) -> None:
    durations = Durations()
    for seconds in times:
        durations.add(seconds)
    exact = sorted(times)[math.ceil(share * len(times)) - 1]
    assert durations.quantile(share) == pytest.approx(exact, rel=0.0201)


async def test_run_all_keeps_what_was_paid_for_before_a_fatal_answer(fake: FakeFlora, flora: FloraSession) -> None:
    fake.inject(Status(402), on="start", after=3, times=None)
    results = await flora.run_all("caption", prompts(10), concurrency=1)
    assert [result.ok for result in results] == [True] * 3 + [False] * 7
    assert isinstance(results[3].error, InsufficientCreditsError)
    assert len(fake.runs) == 3


async def test_leaving_early_cancels_at_once_leaks_nothing_and_names_what_goes_on(
    fake: FakeFlora, flora: FloraSession
) -> None:
    fake.add_technique(FakeTechnique("endless", running=NEVER))
    rows: list[Row] = [{"prompt": "quick"}, *[RunRequest({"prompt": "x"}, technique_id="endless")] * 8]
    batch = flora.batch("caption", rows, concurrency=9)
    with pytest.raises(LookupError, match="mine"):
        async with batch:
            async for _ in batch:
                while len(fake.runs) < 9 or len(batch.summary.in_flight) < 8:
                    await asyncio.sleep(0.001)
                raise LookupError("mine")
    assert set(batch.summary.in_flight) == {run.run_id for run in fake.runs if run.status != "completed"}
    looked = len(fake.requests)
    gc.collect()
    assert not [task for task in asyncio.all_tasks() if "flora_async/batch" in repr(task)]
    for _ in range(20):
        await asyncio.sleep(0)
    assert len(fake.requests) == looked


async def test_cancelling_the_consumer_ends_everything(fake: FakeFlora, flora: FloraSession) -> None:
    fake.add_technique(FakeTechnique("endless", running=NEVER))
    job = asyncio.create_task(flora.run_all("endless", prompts(20), concurrency=10))
    while len(fake.runs) < 10:
        await asyncio.sleep(0.001)
    job.cancel()
    with pytest.raises(asyncio.CancelledError):
        await job
    assert not [task for task in asyncio.all_tasks() if "flora_async/batch" in repr(task)]


async def test_a_batch_runs_once_and_only_inside_its_block(flora: FloraSession) -> None:
    batch = flora.batch("caption", prompts(1))
    assert batch.summary.planned == 0
    with pytest.raises(RuntimeError, match="async with"):
        await anext(batch)
    async with batch:
        assert [result.ok async for result in batch] == [True]
    with pytest.raises(RuntimeError, match="async with"):
        await anext(batch)
    with pytest.raises(RuntimeError, match="once"):
        await batch.__aenter__()


async def test_a_task_that_waits_for_a_result_does_not_wait_for_a_batch_that_was_left(
    fake: FakeFlora, flora: FloraSession
) -> None:
    fake.add_technique(FakeTechnique("endless", running=NEVER))
    async with flora.batch("endless", prompts(2)) as batch:
        reading = asyncio.ensure_future(anext(batch))
        while len(fake.runs) < 2:
            await asyncio.sleep(0.001)
    with pytest.raises(RuntimeError, match="left before its last result"):
        await asyncio.wait_for(reading, 10)


@pytest.mark.parametrize("code", ["model_timeout", "internal_error", "provider_error"])
async def test_a_transient_failure_gets_another_run_under_a_new_key_and_both_costs_count(
    fake: FakeFlora, flora: FloraSession, code: str
) -> None:
    fake.add_technique(FakeTechnique("flaky", running=NEVER, run_cost=0.25))

    async def end_runs() -> None:
        for number, error in enumerate([code, code, None], start=1):
            while len(fake.runs) < number:
                await asyncio.sleep(0.001)
            fake.finish(fake.runs[-1].run_id, error_code=error)

    async with asyncio.TaskGroup() as group:
        group.create_task(end_runs())
        (result,) = await flora.run_all("flaky", prompts(1), run_attempts=3)
    assert result.ok
    assert result.attempts == 3
    assert len({run.idempotency_key for run in fake.runs}) == len(fake.runs) == 3


@pytest.mark.parametrize(("code", "attempts"), [("safety_blocked", 3), ("input_unreachable", 3), ("model_timeout", 1)])
async def test_what_another_run_cannot_cure_or_is_not_asked_for_gets_none(
    fake: FakeFlora, flora: FloraSession, code: str, attempts: int
) -> None:
    fake.add_technique(FakeTechnique("failing", error_code=code))
    (result,) = await flora.run_all("failing", prompts(1), run_attempts=attempts)
    assert isinstance(result.error, RunFailedError)
    assert len(fake.runs) == result.attempts == 1


async def test_a_run_that_keeps_failing_ends_after_its_attempts(fake: FakeFlora, flora: FloraSession) -> None:
    fake.add_technique(FakeTechnique("failing", error_code="model_timeout"))
    (result,) = await flora.run_all("failing", prompts(1), run_attempts=3)
    assert isinstance(result.error, RunFailedError)
    assert len(fake.runs) == result.attempts == 3


async def test_a_budget_is_never_passed_by_a_start(fake: FakeFlora, flora: FloraSession) -> None:
    fake.add_technique(FakeTechnique("priced", run_cost=0.1))
    async with flora.batch("priced", prompts(20), max_cost=0.75, concurrency=16) as batch:
        results = [result async for result in batch]
    assert len(fake.runs) == sum(result.ok for result in results) == 7
    assert sum(isinstance(result.error, BudgetExceededError) for result in results) == 13
    assert batch.summary.cost == 0.7
    assert batch.summary.skipped == 13


async def test_without_a_price_one_run_goes_first_and_tells_it(fake: FakeFlora, flora: FloraSession) -> None:
    fake.add_technique(FakeTechnique("priced", run_cost=0.1))
    fake.inject(Status(503), on="technique", times=None)
    results = await flora.run_all("priced", prompts(10), max_cost=0.35, concurrency=8)
    assert len(fake.runs) == sum(result.ok for result in results) == 3


async def test_a_start_in_doubt_counts_as_spent(fake: FakeFlora, session_on: OpenSession) -> None:
    flora = session_on(fake, retry=UNRESOLVED)
    fake.add_technique(FakeTechnique("priced", run_cost=0.1))
    fake.inject(Status(504, acts=True), on="start", times=2)
    async with flora.batch("priced", prompts(10), max_cost=0.5, concurrency=2) as batch:
        results = [result async for result in batch]
    assert sum(isinstance(result.error, SubmissionUnknownError) for result in results) == 2
    assert len(fake.runs) == 5
    assert batch.summary.cost == pytest.approx(0.5)


async def test_what_was_not_started_is_given_back_to_the_budget(fake: FakeFlora, flora: FloraSession) -> None:
    fake.add_technique(FakeTechnique("priced", run_cost=0.1))
    fake.inject(Status(400), on="start", times=5)
    results = await flora.run_all("priced", prompts(10), max_cost=0.5, concurrency=1)
    assert sum(result.ok for result in results) == 5


@given(st.lists(st.floats(0, 1e5), max_size=60).flatmap(st.permutations))
def test_costs_add_up_exactly_in_any_order(costs: list[float]) -> None:
    budget = Budget(None)
    for cost in costs:
        budget.book(cost)
    assert budget.spent == float(sum(Fraction(repr(cost)) for cost in costs))


@given(st.floats(0, 100), st.lists(st.floats(0.001, 10), min_size=1, max_size=50))
def test_reserved_and_spent_stay_within_the_limit_at_the_price_that_is_known(limit: float, costs: list[float]) -> None:
    budget = Budget(limit)
    budget.expect(max(costs))
    for cost in costs:
        if budget.allows_start():
            budget.reserve()
            budget.settle(cost)
    assert budget.spent <= limit


async def test_an_overload_halves_the_runs_at_once_and_quiet_time_raises_them_again() -> None:
    clock = VirtualClock()
    limiter = Limiter(16, clock)
    limiter.cut(5)
    limiter.cut(5)
    assert limiter.limit == 8
    clock.advance(5)
    assert limiter.limit == 8
    assert limiter.grows_in() == pytest.approx(1)
    clock.advance(3)
    assert limiter.limit == 11
    limiter.cut(1)
    assert limiter.limit == 5
    clock.advance(1)
    for _ in range(10):
        limiter.cut(0)
    assert limiter.limit == 1
    clock.advance(100)
    assert limiter.limit == 16
    assert limiter.grows_in() is None


def test_a_storm_of_429_costs_only_time() -> None:
    async def main() -> None:
        clock = LoopClock()
        retry = RetryPolicy(attempts=50)
        async with FakeFlora(clock=clock) as fake:
            for _ in range(10):
                fake.inject(Status(429), on="start", times=3, after=5)
            session = FloraSession(fake.api_key, base_url=fake.base_url, clock=clock, retry=retry)
            async with session as flora, flora.batch("caption", prompts(60), concurrency=16) as batch:
                results = [result async for result in batch]
            assert all(result.ok for result in results)
            assert len(fake.runs) == 60
            assert batch.summary.rate_limited == 30

    run_virtually(main())


async def test_the_summary_adds_up_and_one_line_is_logged_at_the_end(
    fake: FakeFlora, flora: FloraSession, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "flora_async")
    seen: list[BatchSummary] = []
    rows: list[Row] = [*prompts(6), {"unknown": "x"}, RunRequest({"prompt": "x"}, technique_id="always-fails")]
    async with flora.batch("caption", rows, on_progress=seen.append) as batch:
        _ = [result async for result in batch]
    summary = batch.summary
    assert (summary.planned, summary.started, summary.completed, summary.failed) == (8, 7, 6, 2)
    assert (summary.skipped, summary.resumed, summary.in_flight) == (0, 0, ())
    assert summary.cost == pytest.approx(0.06)
    assert summary.run_time_p50 is not None
    assert summary.run_time_p95 is not None
    assert 0 < summary.run_time_p50 <= summary.run_time_p95
    sent = {kind: sum(request.operation == kind for request in fake.requests) for kind in ("start", "poll", "history")}
    assert {kind: summary.requests.get(kind, 0) for kind in sent} == sent
    assert len(seen) == 8
    assert seen[-1].completed + seen[-1].failed == 8
    (line,) = [record.getMessage() for record in caplog.records if "batch of" in record.getMessage()]
    assert "6 completed, 2 failed" in line


async def test_progress_can_be_a_coroutine_and_its_error_is_the_callers(flora: FloraSession) -> None:
    async def listen(summary: BatchSummary) -> None:
        await asyncio.sleep(0)
        if summary.completed >= 2:
            raise LookupError("the listener's own")

    async with flora.batch("caption", prompts(10), on_progress=listen) as batch:
        results: list[BatchResult] = []
        errors = 0
        while len(results) < 10:  # each result comes, and the listener is called once for each
            try:
                results.append(await anext(batch))
            except LookupError:
                errors += 1
    assert errors >= 8
    assert sorted(result.index for result in results) == list(range(10))


BAD_OPTIONS: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"concurrency": 0}, ValueError, "concurrency"),
    ({"concurrency": 2.5}, ValueError, "concurrency"),
    ({"concurrency": True}, ValueError, "concurrency"),
    ({"run_attempts": 0}, ValueError, "run_attempts"),
    ({"max_cost": -1}, ValueError, "max_cost"),
    ({"max_cost": float("nan")}, ValueError, "max_cost"),
    ({"max_cost": "5"}, TypeError, "max_cost"),
    ({"watch": "both"}, ValueError, "watch"),
    ({"name": "a b"}, ValueError, "name"),
    ({"technique_id": ""}, ValueError, "technique_id"),
    ({"rows": 5}, TypeError, "rows"),
    ({"rows": "abc"}, TypeError, "rows"),
    ({"rows": {"prompt": "x"}}, TypeError, "rows"),
]


@pytest.mark.parametrize(("options", "kind", "words"), BAD_OPTIONS, ids=lambda value: str(value)[:40])
def test_a_bad_option_fails_where_it_is_written(options: dict[str, Any], kind: type[Exception], words: str) -> None:
    given_options: dict[str, Any] = {"technique_id": "caption", "rows": prompts(1), **options}
    with pytest.raises(kind, match=words):
        FloraSession("sk_test_1").batch(**given_options)


async def test_a_run_that_cannot_be_followed_is_named_with_its_error(fake: FakeFlora, flora: FloraSession) -> None:
    fake.inject(Drop(acts=False), on="poll", times=None)
    fake.inject(Drop(acts=False), on="history", times=None)
    async with flora.batch("caption", prompts(2), poll=PollPolicy(initial=0.001, maximum=0.01, outage=0.05)) as batch:
        results = [result async for result in batch]
    assert all(isinstance(result.error, APIConnectionError) and result.run for result in results)
    assert set(batch.summary.in_flight) == {run.run_id for run in fake.runs}


async def test_a_deadline_for_each_run_holds_under_every_watch(fake: FakeFlora, flora: FloraSession) -> None:
    fake.add_technique(FakeTechnique("endless", running=NEVER))
    for watch in ("each", "list", "auto"):
        results = await flora.run_all(
            "endless", prompts(7), watch=watch, poll=PollPolicy(initial=0.001, maximum=0.01, timeout=0.05)
        )
        assert all(isinstance(result.error, TimeoutError) and result.run for result in results)


async def test_a_stopped_batch_starts_nothing_more_and_ends_with_the_runs_under_way(
    fake: FakeFlora, session_on: OpenSession
) -> None:
    fake.add_technique(FakeTechnique("endless", running=math.inf))
    read: list[int] = []

    def rows() -> Iterator[Row]:
        for number in range(100):
            read.append(number)
            yield {"prompt": f"row {number}"}

    async with session_on(fake).batch("endless", rows(), concurrency=2) as batch:
        reading = asyncio.ensure_future(anext(batch))
        while len(batch.summary.in_flight) < 2 or len(read) < 3:  # the third one waits for room
            await asyncio.sleep(0.001)
        batch.stop()
        for run in fake.runs:
            fake.finish(run.run_id)
        results = [await reading] + [result async for result in batch]
    assert sorted((result.key, result.status) for result in results) == [
        ("0", "completed"),
        ("1", "completed"),
        ("2", "skipped"),
    ]
    assert (len(fake.runs), len(read)) == (2, 3)
    with pytest.raises(RuntimeError, match="inside its block"):
        batch.stop()
