"""The pace of a batch's starts: a fixed interval, and one for each model whose provider is under load."""

import asyncio
import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from virtual_loop import LoopClock, run_virtually

from flora_async import BatchResult, FloraSession, InsufficientCreditsError, PollPolicy, RunRequest, SkippedError
from flora_async.batch import BatchOptions, Row
from flora_async.batch.concurrency import StartPace
from flora_async.testing import FakeFlora, FakeTechnique, Status

UNDER_LOAD = "GENERATION_DOWNSTREAM_SERVICE_ERROR"


def prompts(count: int, technique_id: str | None = None) -> list[Row]:
    return [RunRequest({"prompt": f"row {number}"}, technique_id=technique_id) for number in range(count)]


def started(fake: FakeFlora, slug: str) -> list[float]:
    """When the runs of a technique were started, in seconds."""
    return [run.created for run in fake.runs if run.technique.slug == slug]


def gaps(moments: list[float]) -> list[float]:
    return [later - earlier for earlier, later in pairwise(moments)]


def on_virtual_time(test: Callable[[FakeFlora, FloraSession], Any], **options: Any) -> None:
    async def main() -> None:
        clock = LoopClock()
        async with (
            FakeFlora(clock=clock, **options) as fake,
            FloraSession(fake.api_key, base_url=fake.base_url, clock=clock, poll=PollPolicy(timeout=None)) as flora,
        ):
            await test(fake, flora)

    run_virtually(main())


@pytest.mark.parametrize("bad", [-1, math.nan, math.inf, "2", True, None])
def test_a_start_interval_that_is_no_number_of_seconds_is_refused(bad: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="start_interval"):
        BatchOptions(start_interval=bad)


def test_starts_are_as_far_apart_as_asked_whatever_their_technique_and_rerun() -> None:
    async def test(fake: FakeFlora, flora: FloraSession) -> None:
        fake.add_technique(FakeTechnique("flaky", error_code=lambda: "model_timeout", running=1))
        rows = [*prompts(4), *prompts(2, "flaky"), *prompts(4)]
        results = await flora.run_all("caption", rows, start_interval=5, run_attempts=2)
        assert [result.ok for result in results] == [True] * 4 + [False] * 2 + [True] * 4
        moments = sorted(run.created for run in fake.runs)
        assert len(moments) == 12
        assert gaps(moments) == pytest.approx([5] * 11, abs=0.01)

    on_virtual_time(test)


def test_without_an_interval_starts_do_not_wait_for_each_other() -> None:
    async def test(fake: FakeFlora, flora: FloraSession) -> None:
        await flora.run_all("caption", prompts(40), concurrency=40)
        assert max(started(fake, "caption")) == min(started(fake, "caption"))

    on_virtual_time(test)


def test_a_start_that_waits_for_its_turn_is_skipped_at_once_when_the_batch_stops() -> None:
    async def test(fake: FakeFlora, flora: FloraSession) -> None:
        fake.inject(Status(402), on="start", after=1)
        began = flora._clock.monotonic()
        results: list[BatchResult] = []
        with pytest.raises(InsufficientCreditsError):
            async with flora.batch("caption", prompts(5), start_interval=600) as batch:
                results += [result async for result in batch]
        assert flora._clock.monotonic() - began < 700
        assert len(fake.runs) == 1
        assert sorted(isinstance(result.error, SkippedError) for result in results) == [False, False, True, True, True]
        assert all(
            isinstance(result.error.__cause__, InsufficientCreditsError) for result in results[2:] if result.error
        )

    on_virtual_time(test)


def test_the_first_failed_run_is_the_result_where_its_second_start_was_skipped() -> None:
    async def test(fake: FakeFlora, flora: FloraSession) -> None:
        fake.add_technique(FakeTechnique("flaky", error_code="model_timeout", running=1))
        fake.inject(Status(402), on="start", after=1)
        rows = [*prompts(1, "flaky"), *prompts(1)]
        results: dict[int, BatchResult] = {}
        with pytest.raises(InsufficientCreditsError):
            async with flora.batch("caption", rows, start_interval=60, run_attempts=2) as batch:
                results |= {result.index: result async for result in batch}
        assert results[0].run is not None
        assert results[0].run.error_code == "model_timeout"

    on_virtual_time(test)


def test_a_cancelled_start_leaves_no_gap() -> None:
    async def main() -> None:
        clock = LoopClock()
        pace = StartPace(10, clock)
        moments: list[float] = []

        async def start() -> None:
            await pace.turn("m", may_skip=True)
            moments.append(clock.monotonic() - 5_000)

        tasks = [asyncio.create_task(start()) for _ in range(6)]
        await asyncio.sleep(5)
        tasks[1].cancel()  # the next one
        tasks[3].cancel()  # one that queues behind it
        await asyncio.wait(tasks)
        assert moments == [0, 10, 20, 30]

    run_virtually(main())


class Krea:
    """A technique whose runs fail where they are started less than `wanted` seconds after another."""

    def __init__(self, clock: LoopClock, wanted: float) -> None:
        self.wanted = wanted
        self._clock = clock
        self._last = -math.inf

    def error_code(self) -> str | None:
        now = self._clock.monotonic()
        is_early = now - self._last < self.wanted
        self._last = now
        return UNDER_LOAD if is_early else None


def test_a_model_under_load_is_started_more_slowly_until_its_runs_complete() -> None:
    async def test(fake: FakeFlora, flora: FloraSession) -> None:
        krea = Krea(LoopClock(), wanted=5)
        fake.add_technique(FakeTechnique("krea", error_code=krea.error_code, running=20))
        results = await flora.run_all("krea", prompts(150), concurrency=16)
        failed = [result.index for result in results if not result.ok]
        settled = [index for index in failed if index >= 50]
        assert len(settled) < 25, failed  # of 100; without a pace, almost all
        pace = gaps(started(fake, "krea")[50:])
        assert sum(pace) / len(pace) < 2 * krea.wanted

    on_virtual_time(test)


def test_a_model_recovers_and_the_others_never_slow_down() -> None:
    async def main() -> None:
        clock = LoopClock()
        pace = StartPace(0, clock)

        async def start(model: str) -> tuple[int, float]:
            asked = clock.monotonic()
            return await pace.turn(model, may_skip=True), clock.monotonic() - asked

        first = await asyncio.gather(*(start("krea") for _ in range(16)))
        await asyncio.sleep(16)
        for turn, _ in first:
            pace.ended("krea", turn, under_load=True)
        starts = await asyncio.gather(*(start("krea") for _ in range(4)), *(start("other") for _ in range(50)))
        assert [waited for _, waited in starts[:4]] == pytest.approx([0, 2, 4, 6])
        assert {waited for _, waited in starts[4:]} == {0}
        for _ in range(60):
            pace.ended("krea", starts[0][0], under_load=False)
        starts = await asyncio.gather(*(start("krea") for _ in range(50)))
        assert {waited for _, waited in starts} == {0}

    run_virtually(main())


def test_a_start_refused_in_every_attempt_slows_its_model_down() -> None:
    async def test(fake: FakeFlora, flora: FloraSession) -> None:
        fake.inject(Status(429, retry_after=1), on="start", times=4)
        results = await flora.run_all("caption", prompts(4), concurrency=1)
        assert [result.ok for result in results] == [False, True, True, True]
        assert min(gaps(started(fake, "caption"))) > 1, "so slowly were the four attempts made"

    on_virtual_time(test)
