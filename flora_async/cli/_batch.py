"""The command `batch`: run the rows of a file."""

import asyncio
import csv
import json
import shlex
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from attrs import define, frozen

from flora_async._text import printable
from flora_async.batch import Batch, BatchResult, BatchSummary, RunRequest, write_report
from flora_async.cli._connection import connect
from flora_async.cli._exit import ExitCode, execute
from flora_async.cli._interrupts import interrupts
from flora_async.cli._output import Format, note, say, show
from flora_async.cli._progress import LineProgress, progress
from flora_async.cli._values import read_pairs
from flora_async.errors import FloraError
from flora_async.media.disk import check_writable

_COLUMNS: Final = ("key", "status", "run_id", "cost", "seconds", "error")
_REFRESH: Final = 0.5
_IN_DOUBT: Final = frozenset({"in_doubt", "pending", "running", "submitted"})


@frozen
class BatchArguments:
    """What the command line says about a batch.

    Attributes:
        technique: The technique's slug or id.
        rows: The file with the rows.
        mapping: `column=input` pairs; empty = each column is the input of its name.
        key: The column with the keys of the rows; None = a row's key is its number, from 0.
        concurrency: The most runs under way at once.
        max_cost: The most that the batch may spend, in USD; None = no limit.
        journal: The file that records each step; None = none.
        save_to: Where outputs are saved; None = nowhere.
        report: The HTML file for people; None = none.
        output: The format of the results.
        fake: Use a local FLORA.
    """

    technique: str
    rows: Path
    mapping: Sequence[str]
    key: str | None
    concurrency: int
    max_cost: float | None
    journal: Path | None
    save_to: Path | None
    report: Path | None
    output: Format
    fake: bool


@define
class BatchStake:
    """What a batch has started, whenever the command ends."""

    arguments: BatchArguments
    command_line: Sequence[str]
    batch: Batch | None = None
    is_stopped: bool = False
    is_left: bool = True

    @property
    def in_flight(self) -> tuple[str, ...]:
        """The ids of runs that were started and not seen to end."""
        return () if self.batch is None or self.arguments.fake else self.batch.summary.in_flight

    @property
    def is_in_doubt(self) -> bool:
        """Whether runs exist whose end is not known."""
        return bool(self.in_flight)

    def advice(self) -> str:
        """How to continue; "" if there is nothing to continue."""
        if self.arguments.fake:
            return "the local FLORA has ended too, and nothing was charged"
        if self.batch is None or not (self.is_stopped or self.in_flight):  # nothing was started, or all has ended
            return ""
        number = len(self.in_flight)
        runs = f"{number} {'run is' if number == 1 else 'runs are'} still running on FLORA and will be charged; "
        running = runs if number else ""
        if self.arguments.journal is not None:
            return f"{running}to continue: {shlex.join(self.command_line)}"
        if not number:
            return "starts that were under way may have been charged: flora-async runs list" if self.is_left else ""
        ids = shlex.join(printable(run_id, 80) for run_id in self.in_flight)
        return f"{running}to wait for them, one after the other: for run in {ids}; do flora-async wait -- $run; done"

    def learn(self, error: BaseException) -> None:
        """Remember nothing: the batch knows its runs."""

    def stop(self) -> str:
        """Start nothing more; return what to say, or "" to leave."""
        if self.arguments.fake or self.batch is None:
            return ""
        self.is_stopped = True
        self.batch.stop()
        return f"No more runs are started; {len(self.in_flight)} under way are waited for."


def batch(arguments: BatchArguments, command_line: Sequence[str]) -> ExitCode:
    """Run the rows of a file through a technique.

    Args:
        arguments: What to run.
        command_line: The command as it was given, to be repeated.
    """
    stake = BatchStake(arguments, command_line)

    async def command() -> ExitCode:
        rows = read_rows(arguments)
        _check_report(arguments.report)
        async with connect(fake=arguments.fake) as flora:
            shown = progress()
            made = flora.batch(
                arguments.technique,
                rows,
                concurrency=arguments.concurrency,
                max_cost=arguments.max_cost,
                journal=arguments.journal,
                save_to=arguments.save_to,
                on_progress=lambda summary: shown.show_batch(summary, len(rows)),
            )
            return await _run(made, len(rows), shown, stake)

    return execute(command, stake)


async def _run(made: Batch, total: int, shown: LineProgress, stake: BatchStake) -> ExitCode:
    """Run a batch to its end, and print and report its results, also if an error has stopped it."""
    arguments = stake.arguments
    results: list[BatchResult] = []
    stopped_by: FloraError | None = None
    try:
        with interrupts(stake.stop), shown:
            async with made, _refreshing(shown, made, total):
                stake.batch = made
                async for result in made:
                    results.append(result)
                    _show_result(result, arguments.output)
    except FloraError as error:
        if stake.batch is None:
            raise
        stopped_by = error
    stake.is_left = False
    if arguments.output == "json":
        show([result.to_dict() for result in results], "json", _COLUMNS)
    note(str(made.summary))
    if arguments.report is not None:
        path = await write_report(
            results, arguments.report, summary=made.summary, title=f"Batch of {arguments.technique}"
        )
        note(f"The report is in {path}")
    if stopped_by is not None:
        raise stopped_by
    return _status(results, made.summary, stake)


def _check_report(report: Path | None) -> None:
    """Make sure that the report can be written, before money is spent.

    Raises:
        ValueError: It cannot.
    """
    if report is None:
        return
    if report.is_dir():
        raise ValueError(f"--report {str(report)!r:.200} is a directory: name a file, such as report.html")
    try:
        check_writable(report.absolute().parent)
    except OSError as error:
        raise ValueError(f"--report {error.strerror or error}") from None


def read_rows(arguments: BatchArguments) -> list[RunRequest]:
    """Read the rows of the file.

    Raises:
        ValueError: The file cannot be read, or does not have a column.
        ImportError: A Parquet file needs pyarrow.
    """
    path = arguments.rows
    try:
        table = _table(path)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{str(path)!r:.200} cannot be read: {error}") from None
    columns = {name for row in table for name in row}
    inputs = {name: column for column, name in read_pairs("--map", arguments.mapping).items()} or None
    for column in [*(inputs or {}).values(), *([arguments.key] if arguments.key else [])]:
        if column not in columns:
            known = ", ".join(sorted(map(repr, columns)))
            raise ValueError(f"{path.name!r:.100} does not have a column {column!r:.100}; it has {known:.300}")
    cells = [
        {
            name: value if name == arguments.key else _input(value, path.parent)
            for name, value in row.items()
            if value not in {None, ""}
        }
        for row in table
    ]
    return list(RunRequest.from_rows(cells, key=arguments.key, inputs=inputs))


def _table(path: Path) -> list[Mapping[str, Any]]:
    match path.suffix.lower():
        case ".csv" | ".tsv":
            with path.open(encoding="utf-8-sig", newline="") as file:
                reader = csv.DictReader(file, delimiter="\t" if path.suffix.lower() == ".tsv" else ",", strict=True)
                rows: list[Mapping[str, Any]] = list(reader)
            for number, row in enumerate(rows, 2):
                if None in row or None in row.values():
                    raise ValueError(f"{path.name!r:.100}, row {number}: it has more or fewer cells than the header")
            return rows
        case ".jsonl" | ".ndjson":
            with path.open(encoding="utf-8") as file:
                return [_object(line, number, path) for number, line in enumerate(file, 1) if line.strip()]
        case ".parquet":
            try:
                from pyarrow import parquet  # type: ignore[import-untyped, import-not-found, unused-ignore]  # noqa: PLC0415 - optional
            except ImportError as error:
                raise ImportError("A Parquet file needs pyarrow: pip install pyarrow") from error
            loaded: list[Mapping[str, Any]] = parquet.read_table(path).to_pylist()
            return loaded
        case other:
            raise ValueError(f"{path.name!r:.100}: rows come from .csv, .tsv, .jsonl or .parquet, not {other!r:.20}")


def _object(line: str, number: int, path: Path) -> Mapping[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise ValueError(f"{path.name!r:.100}, line {number} is not JSON: {error}") from None
    if not isinstance(row, dict):
        raise ValueError(f"{path.name!r:.100}, line {number} is not an object: {line:.60}")  # noqa: TRY004 - of the file
    return row


def _input(value: object, folder: Path) -> str | Path:
    """Return the value of an input: text, or with `@` a file whose path is relative to the file of rows."""
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    if text.startswith("@@"):
        return text[1:]
    return folder / text[1:] if text.startswith("@") else text


@asynccontextmanager
async def _refreshing(shown: LineProgress, made: Batch, total: int) -> AsyncIterator[None]:
    """Show the batch again and again, between its results."""

    async def refresh() -> None:
        while True:
            shown.show_batch(made.summary, total)
            await asyncio.sleep(_REFRESH)

    task = asyncio.create_task(refresh())
    try:
        yield
    finally:
        task.cancel()


def _show_result(result: BatchResult, output: Format) -> None:
    record = result.to_dict()
    if output == "jsonl":
        show([record], "jsonl", _COLUMNS)
    elif output == "table":
        cost = "" if record["cost"] is None else f"{record['cost']:.4g} USD"
        rest = record["error"] or ", ".join(record["files"] or record["output_texts"] or record["output_urls"])
        say("  ".join(filter(None, (printable(result.key, 60), record["status"], record["run_id"], cost, rest))))


def _status(results: Sequence[BatchResult], summary: BatchSummary, stake: BatchStake) -> ExitCode:
    if stake.is_stopped:
        note(stake.advice())
        return ExitCode.INTERRUPTED
    if summary.in_flight or any(result.status in _IN_DOUBT for result in results):
        note(stake.advice())
        return ExitCode.IN_DOUBT
    return ExitCode.OK if all(result.ok for result in results) else ExitCode.FAILED
