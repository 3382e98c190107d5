"""Hooks in batches: every run of a row is told once, however it is followed and however the batch ends."""

import asyncio
import math
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest
from conftest import OpenSession
from recorded_runs import Runs

from flora_async import ActionRequest, RunRequest
from flora_async.batch import Row
from flora_async.models import ActionInput
from flora_async.testing import FakeFlora, FakeTechnique, Replace

PLACE: ContextVar[str] = ContextVar("place", default="nowhere")


@pytest.fixture
def runs() -> Runs:
    return Runs()


def prompts(count: int) -> list[Row]:
    return [RunRequest({"prompt": f"row {number}"}, key=f"key-{number}") for number in range(count)]


@pytest.mark.parametrize("watch", ["each", "list"])
async def test_each_row_is_one_pair_with_its_key_in_both_ways_of_watching(
    fake: FakeFlora, session_on: OpenSession, runs: Runs, watch: str
) -> None:
    fake.add_technique(FakeTechnique("film", running=0.1))
    flora = session_on(fake, hooks=runs.hooks)
    PLACE.set("around the batch")
    async with flora.batch("film", prompts(20), name="night", watch=watch, concurrency=20) as batch:  # type: ignore[arg-type]
        PLACE.set("in the batch")
        results = {result.key: result.run async for result in batch}
    for start, end in runs.pairs():
        assert start.row is not None
        assert (end.run, start.row.batch, start.row.attempt) == (results[start.row.key], "night", 1)
        assert start.row.key == f"key-{start.row.index}"
        assert start.row.context[PLACE] == "around the batch"
        assert (end.polls > 0) is (watch == "each")
    assert len(runs.ended) == 20
    assert sum(sent.label == "poll" for sent in runs.sent) == sum(end.polls for end in runs.ended)


async def test_rows_of_every_kind_are_pairs_with_what_they_run(
    session_on: OpenSession, fake: FakeFlora, runs: Runs
) -> None:
    action = ActionRequest(
        [ActionInput(type="text", text="x")], action_id="concat-text-browser", project_id="prj_local"
    )
    rows: list[Any] = ["a red bicycle", RunRequest({"prompt": "x"}, technique_id="caption"), action]
    flora = session_on(fake, hooks=runs.hooks)
    results = await flora.generations.run_all(rows, model="flux-pro", project_id="prj_local")
    assert all(result.ok for result in results)
    described = {(start.kind, start.name, end.status) for start, end in runs.pairs()}
    assert described == {
        ("model", "flux-pro", "completed"),
        ("technique", "caption", "completed"),
        ("action", "concat-text-browser", "completed"),
    }


async def test_a_run_that_the_history_does_not_show_is_one_pair_too(
    fake: FakeFlora, session_on: OpenSession, runs: Runs
) -> None:
    fake.inject(Replace({"technique_runs": [], "meta": {}}), on="history", times=None)
    await session_on(fake, hooks=runs.hooks).run_all("caption", prompts(6), watch="list")
    assert [end.status for _, end in runs.pairs()] == ["completed"] * 6


async def test_each_run_of_a_row_that_is_run_again_is_a_pair(
    fake: FakeFlora, session_on: OpenSession, runs: Runs
) -> None:
    fake.fail("caption", code="model_timeout")
    await session_on(fake, hooks=runs.hooks).run_all("caption", prompts(1), run_attempts=2)
    pairs = runs.pairs()
    assert [(start.row and start.row.attempt, end.status) for start, end in pairs] == [(1, "failed"), (2, "completed")]


async def test_runs_of_a_batch_that_is_left_are_abandoned_and_those_of_the_journal_resumed(
    fake: FakeFlora, session_on: OpenSession, runs: Runs, tmp_path: Path
) -> None:
    fake.add_technique(FakeTechnique("film", running=math.inf))
    journal = tmp_path / "journal.sqlite"
    for watch in ("each", "list"):
        flora = session_on(fake, hooks=runs.hooks)
        async with flora.batch("film", prompts(6), journal=journal, watch=watch) as batch:
            reading = asyncio.create_task(anext(batch))
            while len(batch.summary.in_flight) < 6:
                await asyncio.sleep(0.001)
            reading.cancel()
            await asyncio.wait([reading])
    assert [start.resumed for start, _ in runs.pairs()] == [False] * 6 + [True] * 6
    assert all(isinstance(end.error, asyncio.CancelledError) for end in runs.ended)
    assert {(start.kind, start.name) for start in runs.started} == {("technique", "film")}

    for run in fake.runs:
        fake.finish(run.run_id)
    await session_on(fake, hooks=runs.hooks).run_all("film", prompts(6), journal=journal)
    last = runs.pairs()[12:]
    assert [(start.resumed, end.status) for start, end in last] == [(True, "completed")] * 6
    assert len(fake.runs) == 6
    ended = len(runs.ended)
    await session_on(fake, hooks=runs.hooks).run_all("film", prompts(6), journal=journal)
    assert len(runs.ended) == ended  # nothing was started or waited for
