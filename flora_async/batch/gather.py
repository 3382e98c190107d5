"""All results of a batch at once."""

import os
from operator import attrgetter
from typing import TypedDict

from flora_async.batch.results import BatchResult
from flora_async.batch.runner import FATAL, Batch, OnProgress
from flora_async.batch.watcher import Watch
from flora_async.config import PollPolicy


class BatchOptions(TypedDict, total=False):
    """The options of `FloraSession.batch`, for those who hand them on."""

    concurrency: int
    max_cost: float | None
    journal: str | os.PathLike[str] | None
    name: str | None
    run_attempts: int
    watch: Watch
    check: bool
    workspace_id: str | None
    save_to: str | os.PathLike[str] | None
    poll: PollPolicy
    on_progress: OnProgress | None


async def run_all(batch: Batch, *, raise_on_failure: bool) -> list[BatchResult]:
    """Run a batch to its end and put its results in the order of the rows.

    Raises:
        ExceptionGroup: `raise_on_failure` is set, and rows have errors: all of them.
    """
    results: list[BatchResult] = []
    opened = False
    try:
        async with batch:
            opened = True
            results += [result async for result in batch]
    except FATAL:
        # What stopped the batch stands in the results too, beside those that were paid for before it.
        if not opened:
            raise
    results.sort(key=attrgetter("index"))
    errors = [result.error for result in results if result.error is not None]
    if raise_on_failure and errors:
        raise ExceptionGroup(f"{len(errors)} of {len(results)} rows have no completed run", errors)
    return results
