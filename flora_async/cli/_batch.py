"""The command `batch`: run the rows of a file."""

import asyncio
import shlex
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from operator import itemgetter
from pathlib import Path
from typing import Any, Final

from attrs import asdict, define, frozen

from flora_async._text import printable
from flora_async.batch import Batch, BatchPlan, BatchResult, BatchSummary, GenerationRequest, RunRequest, write_report
from flora_async.cli._connection import FAKE_PROJECT, connect
from flora_async.cli._exit import ExitCode, execute
from flora_async.cli._interrupts import interrupts
from flora_async.cli._output import Format, note, say, show
from flora_async.cli._progress import LineProgress, progress
from flora_async.cli._rows import generation_rows, technique_rows
from flora_async.cli._values import read_params
from flora_async.errors import FloraError
from flora_async.media.destinations import local_path
from flora_async.media.disk import check_writable
from flora_async.resources.models import Medium
from flora_async.session import FloraSession

_COLUMNS: Final = ("key", "status", "run_id", "cost", "seconds", "error")
_PLANNED: Final = ("index", "key", "kind", "target", "price", "error")
_REFRESH: Final = 0.5
_TECHNIQUE_AND_ROWS: Final = 2
_IN_DOUBT: Final = frozenset({"in_doubt", "pending", "running", "submitted"})


@frozen
class BatchArguments:
    """What the command line says about a batch.

    Attributes:
        names: The technique's slug or id and the file with the rows, or only the file.
        model: The model of a batch of generations; None = FLORA's choice.
        medium: What generations make; None = what the model makes.
        params: `name=value` pairs, parameters of the model for all rows.
        project: The project of generations; None = not named.
        mapping: `column=input` pairs; empty = each column is the input of its name.
        key: The column with the keys of the rows; None = a row's key is its number, from 0.
        concurrency: The most runs under way at once.
        max_cost: The most that the batch may spend, in USD; None = no limit.
        journal: The file that records each step; None = none.
        save_to: Where outputs are saved; None = nowhere.
        report: The HTML file for people; None = none.
        dry_run: Print what would be started, and start nothing.
        output: The format of the results.
        fake: Use a local FLORA.
    """

    names: Sequence[str]
    model: str | None
    medium: Medium | None
    params: Sequence[str]
    project: str | None
    mapping: Sequence[str]
    key: str | None
    concurrency: int
    max_cost: float | None
    journal: Path | None
    save_to: str | None
    report: str | None
    dry_run: bool
    output: Format
    fake: bool

    @property
    def is_generation(self) -> bool:
        """Whether rows are generations by a model, and not runs of a technique."""
        return self.model is not None or self.medium is not None

    @property
    def target(self) -> str:
        """What is run."""
        return (self.model or self.medium or "") if self.is_generation else self.names[0]

    @property
    def rows(self) -> Path:
        """The file with the rows."""
        return Path(self.names[-1])

    def check(self) -> None:
        """Check what is named.

        Raises:
            ValueError: It is too little or too much.
        """
        if self.is_generation:
            if len(self.names) != 1:
                raise ValueError("name either a TECHNIQUE or a --model, and one file with rows")
            if self.project is None and not self.fake:
                raise ValueError("name the project to make it in with --project or FLORA_PROJECT_ID (prj_…)")
        elif len(self.names) != _TECHNIQUE_AND_ROWS:
            raise ValueError("name a TECHNIQUE and one file with rows, or a --model and the file")
        elif self.params:
            raise ValueError("--param is for a --model; the inputs of a technique are columns of the file")


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
        if self.batch.summary.completed == self.batch.summary.total:
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
    """Run the rows of a file through a technique or a model.

    Args:
        arguments: What to run.
        command_line: The command as it was given, to be repeated.
    """
    stake = BatchStake(arguments, command_line)

    async def command() -> ExitCode:
        arguments.check()
        params = read_params("--param", arguments.params)
        rows: Sequence[RunRequest] | Sequence[GenerationRequest]
        if arguments.is_generation:
            rows = generation_rows(arguments.rows, arguments.mapping, arguments.key)
        else:
            rows = technique_rows(arguments.rows, arguments.mapping, arguments.key)
        _check_report(arguments)
        async with connect(fake=arguments.fake) as flora:
            shown = progress()
            made = _make(flora, arguments, params, rows, lambda summary: shown.show_batch(summary, len(rows)))
            if arguments.dry_run:
                return _show_plan(await made.plan(), arguments.output)
            return await _run(made, len(rows), shown, stake)

    return execute(command, stake)


def _make(
    flora: FloraSession,
    arguments: BatchArguments,
    params: Mapping[str, Any],
    rows: Sequence[RunRequest] | Sequence[GenerationRequest],
    on_progress: Callable[[BatchSummary], object],
) -> Batch:
    options: dict[str, Any] = {
        "concurrency": arguments.concurrency,
        "max_cost": arguments.max_cost,
        "journal": arguments.journal,
        "save_to": arguments.save_to,
        "on_progress": on_progress,
    }
    if not arguments.is_generation:
        return flora.batch(arguments.target, rows, **options)
    project = FAKE_PROJECT if arguments.fake and arguments.project is None else arguments.project
    return flora.generations.batch(
        rows, model=arguments.model, type=arguments.medium, params=params or None, project_id=project, **options
    )


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
        path = await write_report(results, arguments.report, summary=made.summary, title=f"Batch of {arguments.target}")
        note(f"The report is in {path}")
    if stopped_by is not None:
        raise stopped_by
    return _status(results, made.summary, stake)


def _show_plan(plan: BatchPlan, output: Format) -> ExitCode:
    if output == "table":
        for problem in plan.problems:
            say(f"row {problem.index} ({printable(problem.key, 60)}): {problem.error}")
        say(str(plan).partition("\n")[0])
    else:
        starts = [{**asdict(row), "error": None} for row in plan.rows]
        refused = [
            {**dict.fromkeys(_PLANNED), "index": problem.index, "key": problem.key, "error": str(problem.error)}
            for problem in plan.problems
        ]
        show(sorted(starts + refused, key=itemgetter("index")), output, _PLANNED)
        note(str(plan).partition("\n")[0])
    return ExitCode.OK if plan.fits and not plan.problems else ExitCode.FAILED


def _check_report(arguments: BatchArguments) -> None:
    """Make sure that the report can be written, before money is spent.

    Raises:
        ValueError: It cannot.
    """
    if arguments.report is None:
        return
    report = local_path("--report", arguments.report)
    for file in (arguments.rows, arguments.journal):
        if file is not None and report.resolve() == file.resolve():
            raise ValueError(f"--report {str(report)!r:.200} would replace {file.name!r:.100}: name another file")
    if report.is_dir():
        raise ValueError(f"--report {str(report)!r:.200} is a directory: name a file, such as report.html")
    try:
        check_writable(report.absolute().parent)
    except OSError as error:
        raise ValueError(f"--report {error.strerror or error}") from None


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
        say(" ".join(filter(None, (printable(result.key, 60), record["status"], record["run_id"], cost, rest))))


def _status(results: Sequence[BatchResult], summary: BatchSummary, stake: BatchStake) -> ExitCode:
    if stake.is_stopped:
        note(stake.advice())
        return ExitCode.INTERRUPTED
    if summary.in_flight or any(result.status in _IN_DOUBT for result in results):
        note(stake.advice())
        return ExitCode.IN_DOUBT
    return ExitCode.OK if all(result.ok for result in results) else ExitCode.FAILED
