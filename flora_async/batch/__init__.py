"""Run many rows, of techniques, generations or actions, within a rate and a budget, and with a journal."""

from typing import TYPE_CHECKING

from flora_async._lazy import lazy_names

if TYPE_CHECKING:
    from flora_async.batch.batch import Batch, run_all
    from flora_async.batch.kinds import Lent
    from flora_async.batch.nouns import Actions, Generations
    from flora_async.batch.options import BatchOptions, OnProgress
    from flora_async.batch.plans import BatchPlan, PlannedRow, RowProblem
    from flora_async.batch.report import write_report
    from flora_async.batch.results import BatchResult, BatchSummary
    from flora_async.batch.rows import ActionRequest, GenerationRequest, Row, Rows, RunRequest
    from flora_async.batch.techniques import TechniqueDefaults
    from flora_async.batch.watchers import Watch
else:
    # Loaded with the first batch: a program that starts single runs does not wait for it.
    __getattr__ = lazy_names(
        __name__,
        {
            "batch": "Batch run_all",
            "kinds": "Lent",
            "nouns": "Actions Generations",
            "options": "BatchOptions OnProgress",
            "report": "write_report",
            "plans": "BatchPlan PlannedRow RowProblem",
            "results": "BatchResult BatchSummary",
            "rows": "ActionRequest GenerationRequest Row Rows RunRequest",
            "techniques": "TechniqueDefaults",
            "watchers": "Watch",
        },
    )

__all__ = [
    "ActionRequest",
    "Actions",
    "Batch",
    "BatchOptions",
    "BatchPlan",
    "BatchResult",
    "BatchSummary",
    "GenerationRequest",
    "Generations",
    "Lent",
    "OnProgress",
    "PlannedRow",
    "Row",
    "RowProblem",
    "Rows",
    "RunRequest",
    "TechniqueDefaults",
    "Watch",
    "run_all",
    "write_report",
]
