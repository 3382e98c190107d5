"""The command `journal`: show what a batch has recorded, without changing it."""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal

from attrs import asdict

from flora_async.batch.journal_reader import JournalReader, JournalRecord
from flora_async.cli._exit import ExitCode, execute
from flora_async.cli._output import Format, say, show

JournalAction = Literal["list", "verify", "export"]

_LIST: Final = ("key", "state", "status", "run_id", "cost", "attempt", "since")
_VERIFY: Final = ("journal", "batch", "format", "records", "rows", "finished", "open", "cost")
_EXPORT: Final = ("number", "key", "state", "run_id", "details")


def journal(path: Path, action: JournalAction, output: Format | None) -> ExitCode:
    """List the rows of a journal, verify it, or export all of its records.

    Args:
        path: The file.
        action: What to do.
        output: The format; None = JSON lines for an export, or a table.
    """

    def command() -> ExitCode:
        _show(path, action, output)
        return ExitCode.OK

    return execute(command)


def _show(path: Path, action: JournalAction, output: Format | None) -> None:
    if not path.is_file():
        raise ValueError(f"{str(path)!r} is not a file: name the journal of a batch")
    with JournalReader(str(path)) as reader:
        if action == "export":
            show(map(asdict, reader.records()), output or "jsonl", _EXPORT)
            return
        rows, costs = reader.rows()
        if action == "list":
            show(_listed(rows, costs), output or "table", _LIST)
            return
        states = Counter(row.state for row in rows)
        opened = sum(row.is_open for row in rows)
        finished, cost = states["finished"], sum(costs.values())
        values = (str(path), reader.name, reader.format, len(reader), len(rows), finished, opened, cost)
        if output is not None and output != "table":
            show([dict(zip(_VERIFY, values, strict=True))], output, _VERIFY)
            return
        say(f"{path.name} is complete and unchanged: format {reader.format}, batch {reader.name!r:.100}")
        say(f"{len(reader):,} records of {len(rows):,} rows: {finished:,} finished, {opened:,} open")
        say(f"{cost:.4g} USD are known to have been charged")


def _listed(rows: list[JournalRecord], costs: dict[int, float]) -> Iterator[dict[str, Any]]:
    for row in rows:
        yield {
            "key": row.key,
            "state": row.state,
            "status": (row.run or {}).get("status"),
            "run_id": row.run_id or None,
            "cost": costs.get(row.number),
            "attempt": row.details.get("attempt"),
            "since": _moment(row.details.get("since")),
            "technique": row.details.get("technique"),
            "idempotency_key": row.idempotency_key,
            "error_code": (row.run or {}).get("error_code"),
            "error_message": (row.run or {}).get("error_message"),
        }


def _moment(since: object) -> str | None:
    """Return a Unix time as text; None = it is not known, or is not a time."""
    try:
        return datetime.fromtimestamp(since, UTC).isoformat(" ", "seconds")  # type: ignore[arg-type]  # see below
    except (TypeError, ValueError, OverflowError, OSError):
        return None
