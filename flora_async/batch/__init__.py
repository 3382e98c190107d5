"""Fan-out over many runs: pace, budget, journal, one shared watcher. `FloraSession.batch` is the way in."""

from flora_async.batch.gather import BatchOptions, run_all
from flora_async.batch.plan import Row, Rows, RunRequest
from flora_async.batch.results import BatchResult, BatchSummary
from flora_async.batch.runner import Batch, OnProgress
from flora_async.batch.watcher import Watch

__all__ = [
    "Batch",
    "BatchOptions",
    "BatchResult",
    "BatchSummary",
    "OnProgress",
    "Row",
    "Rows",
    "RunRequest",
    "Watch",
    "run_all",
]
