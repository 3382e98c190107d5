"""What a type checker says of a user's program that takes rows through a batch."""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import assert_type

from flora_async import Batch, BatchResult, BatchSummary, FloraSession, Run, RunOutput, RunRequest


async def rows() -> AsyncIterator[RunRequest]:
    yield RunRequest({"prompt": "a red bicycle"}, key="red")


async def take_rows_through(flora: FloraSession) -> None:
    batch = flora.batch("caption", rows(), concurrency=16, max_cost=5, journal=Path("x.sqlite"), run_attempts=2)
    assert_type(batch, Batch)
    async with batch as entered:
        assert_type(entered, Batch)
        async for result in batch:
            assert_type(result, BatchResult)
    assert_type(batch.summary, BatchSummary)
    assert_type(await flora.run_all("caption", [{"prompt": "a red bicycle"}]), list[BatchResult])


def read_a_result(result: BatchResult) -> None:
    assert_type(result.run, Run | None)
    assert_type(result.outputs, tuple[RunOutput, ...])
    assert_type(result.error, Exception | None)
    assert_type(result.files, tuple[Path, ...])
    assert_type(result.ok, bool)
    if result.error is not None:
        raise result.error


def read_a_summary(summary: BatchSummary) -> None:
    assert_type(summary.cost, float)
    assert_type(summary.run_time_p50, float | None)
    assert_type(summary.requests, Mapping[str, int])


async def make_mistakes(flora: FloraSession) -> None:
    flora.batch("caption", 5)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    flora.batch("caption", [], concurrence=5)  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]
