"""How notebooks show batches and their results."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from flora_async._html import SPACE, Html, card, element, preview, seconds, usd
from flora_async.models import RunOutput
from flora_async.models._display import previews, run_facts

if TYPE_CHECKING:
    from flora_async.batch import BatchResult, BatchSummary


def result_html(result: "BatchResult") -> Html:
    """Show a result: the row's status, cost, outputs and error."""
    record = result.to_dict()
    facts: dict[str, object] = {"status": record["status"], "run": record["run_id"]}
    facts |= run_facts(result.run) if result.run else {}
    if record["error_type"]:
        facts["error"] = f"{record['error_type']}: {record['error']}"
    facts["files"] = ", ".join(path.name for path in result.files)
    return card(f"Row {result.key}", facts, *previews(result.outputs))


def batch_html(name: str, state: str, summary: "BatchSummary", latest: Iterable[tuple[str, RunOutput]]) -> Html:
    """Show a batch: its numbers, and the media that were made last."""
    rows = summary.planned if summary.total is None else summary.total
    facts = {
        "state": state,
        "rows": f"{rows}: {summary.completed} completed, {summary.failed} failed, {summary.skipped} skipped",
        "in flight": len(summary.in_flight),
        "cost": f"{usd(summary.cost)}{'' if summary.cost_is_final else ' (not final)'}",
        "time": seconds(summary.wall_time),
        "time of a run": seconds(summary.run_time_p50),
    }
    media = [element("div", element("code", key), SPACE, preview(output.type, output.url)) for key, output in latest]
    return card(f"Batch of {name}", facts, *media)
