"""Run many rows through one technique, within a rate and a budget, and with a journal: `FloraSession.batch`."""

from typing import TYPE_CHECKING

from flora_async._lazy import lazy_names

if TYPE_CHECKING:
    from flora_async.batch.batch import Batch, run_all
    from flora_async.batch.kinds import Lent
    from flora_async.batch.options import BatchOptions, OnProgress
    from flora_async.batch.report import write_report
    from flora_async.batch.results import BatchResult, BatchSummary
    from flora_async.batch.rows import Row, Rows, RunRequest
    from flora_async.batch.techniques import TechniqueDefaults
    from flora_async.batch.watchers import Watch
else:
    # Loaded with the first batch: a program that starts single runs does not wait for it.
    __getattr__ = lazy_names(
        __name__,
        {
            "batch": "Batch run_all",
            "kinds": "Lent",
            "options": "BatchOptions OnProgress",
            "report": "write_report",
            "results": "BatchResult BatchSummary",
            "rows": "Row Rows RunRequest",
            "techniques": "TechniqueDefaults",
            "watchers": "Watch",
        },
    )

__all__ = [
    "Batch",
    "BatchOptions",
    "BatchResult",
    "BatchSummary",
    "Lent",
    "OnProgress",
    "Row",
    "Rows",
    "RunRequest",
    "TechniqueDefaults",
    "Watch",
    "run_all",
    "write_report",
]
