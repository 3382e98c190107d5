"""What a type checker says of a user's program that takes rows through a batch."""

from collections.abc import AsyncIterator, Iterable, Mapping
from pathlib import Path
from typing import Any, assert_type

from distributed import Client

from flora_async import Batch, BatchResult, BatchSummary, FloraSession, Run, RunOutput, RunRequest
from flora_async.dask import CompletedRow, ProcessedResult, process


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


async def read_records(batch: Batch, result: BatchResult, run: Run) -> None:
    assert_type([record async for record in batch.records()], list[dict[str, Any]])
    assert_type(result.to_dict(), dict[str, Any])
    assert_type(batch.summary.to_dict(), dict[str, Any])
    assert_type(run.to_dict(case="camel"), dict[str, Any])


class Table:
    """What the frames of pandas and polars have in common, for a type checker."""

    columns: list[str]
    shape: tuple[int, int]


def read_rows(flora: FloraSession, table: Table) -> None:
    flora.batch("caption", table)
    requests = RunRequest.from_rows(table, key="sku", inputs={"prompt": "headline"})
    assert_type(requests, Iterable[RunRequest])
    flora.batch("caption", requests)
    flora.batch("caption", RunRequest.from_rows([{"prompt": "a red bicycle", "year": 2026}], inputs=["prompt"]))


def read_a_summary(summary: BatchSummary) -> None:
    assert_type(summary.cost, float)
    assert_type(summary.total, int | None)
    assert_type(summary.ended, int)
    assert_type(summary.run_time_p50, float | None)
    assert_type(summary.requests, Mapping[str, int])


def count_bytes(row: CompletedRow, paths: tuple[Path, ...]) -> int:
    return sum(path.stat().st_size for path in paths) + len(row.outputs)


async def process_on_a_cluster(flora: FloraSession, client: Client) -> None:
    async with process(flora.batch("caption", []), client, count_bytes, save_to="s3://bucket/results") as results:
        async for result in results:
            assert_type(result, ProcessedResult[int])
            assert_type(result.value, int | None)
            assert_type(result.result, BatchResult)
            assert_type(result.error, Exception | None)
    process(flora.batch("caption", []), client, len)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


async def make_mistakes(flora: FloraSession) -> None:
    flora.batch("caption", 5)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    flora.batch("caption", [], concurrence=5)  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]
