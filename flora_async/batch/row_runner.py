"""`RowRunner`: start the run of a row, follow it to its end, and run the row again where that can help."""

import math
from collections.abc import Awaitable, Callable
from contextvars import Context
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from attrs import define, evolve, frozen

from flora_async._clock import Clock
from flora_async._http.client import Client
from flora_async._http.retry import logger
from flora_async._text import printable
from flora_async.batch.budget import Budget, believable
from flora_async.batch.concurrency import StartPace
from flora_async.batch.costs import LateCosts
from flora_async.batch.journal import Entry, Journal
from flora_async.batch.results import BatchResult, Tally
from flora_async.batch.rows import Planned
from flora_async.batch.watchers import Watcher
from flora_async.batch.work import Work, Works, run_of
from flora_async.errors import (
    APIConnectionError,
    FloraError,
    JournalError,
    NotFoundError,
    RateLimitError,
    RunFailedError,
    SkippedError,
    SubmissionUnknownError,
    UploadError,
)
from flora_async.models import FailureHint, Run
from flora_async.polling import ROW, RunTracker
from flora_async.resources import Starter

if TYPE_CHECKING:
    from flora_async.hooks import BatchRow

Save = Callable[[Planned, Run], Awaitable[tuple[Path, ...]]]
"""Saves the outputs of a completed run and returns their paths."""

EXPECTED: Final = (FloraError, TypeError, ValueError, OSError)
"""What a row can fail with for a known reason; any other exception is logged with its traceback."""

_WORTH_ANOTHER_RUN: Final = frozenset({FailureHint.AGAIN, FailureHint.LATER})
# Seconds before another run where the provider is under load; doubled for each further one.
_FIRST_BACK_OFF: Final = 5.0
_MAX_BACK_OFF: Final = 60.0


@frozen
class EndedRow:
    """A row that has ended.

    Attributes:
        result: Its result.
        row: The row; None if it could not be read.
        entry: What is recorded about it; None likewise.
    """

    result: BatchResult
    row: Planned | None = None
    entry: Entry | None = None


@define(eq=False)
class _Progress:
    """The progress of a row, from which a result can be made at any time."""

    row: Planned
    entry: Entry
    resumed: bool
    run: Run | None
    turn: int | None = None  # of its start, if this process made it
    held_back: float = 0.0  # seconds for which the start waited for its turn

    def begin_next_attempt(self) -> None:
        self.entry = Entry("planned", self.entry.attempt + 1, None)
        self.resumed, self.run, self.turn = False, None, None


@frozen(kw_only=True)
class RowRunner:
    """Runs single rows to their end.

    Attributes:
        client: Sends the requests.
        starter: Starts the runs.
        works: What rows of each kind start.
        save: Saves outputs; None = they are not saved.
        watcher: Follows the runs.
        journal: Records each step.
        budget: What the runs may cost; the first run of a row is reserved before the row gets here.
        late_costs: Reads the costs that are not known when a run ends.
        tally: Counts the runs.
        tracker: Tells hooks of the runs.
        pace: Spaces the starts.
        clock: Time, sleep and randomness.
        max_attempts: The most runs for one row.
        context: The context variables at the place where the batch was entered.
    """

    client: Client
    starter: Starter
    works: Works
    save: Save | None
    watcher: Watcher
    journal: Journal
    budget: Budget
    late_costs: LateCosts
    tally: Tally
    tracker: RunTracker
    pace: StartPace
    clock: Clock
    max_attempts: int
    context: Context

    async def run(self, row: Planned, entry: Entry, *, may_start: Callable[[], bool]) -> EndedRow:
        """Take a row from the state in the journal to its end; every exception becomes the result's error.

        Args:
            row: The row.
            entry: Its state.
            may_start: Whether the batch still starts runs.
        """
        progress = _Progress(row, entry, resumed=entry.run is not None, run=entry.run)
        try:
            await self._finish(progress, may_start)
        except Exception as error:  # noqa: BLE001 - one row's failure is that row's
            return EndedRow(_failed(progress, error), row, progress.entry)
        result = result_of(row, progress.entry, resumed=progress.resumed)
        if self.save is not None and result.run is not None and result.ok:
            try:
                result = evolve(result, files=await self.save(row, result.run))
            except Exception as error:  # noqa: BLE001 - likewise; the next call with the journal saves them
                result = _failed(progress, error)
        return EndedRow(result, row, progress.entry)

    def may_run_again(self, entry: Entry) -> bool:
        """Whether a row whose run has failed gets another run."""
        return entry.attempt < self.max_attempts and is_worth_another_run(entry.run)

    async def _finish(self, progress: _Progress, may_start: Callable[[], bool]) -> None:
        if progress.entry.state == "finished":
            if not self.may_run_again(progress.entry):
                return
            progress.begin_next_attempt()
        await self._attempt(progress)
        while self.may_run_again(progress.entry) and may_start():
            await self._back_off(progress.entry)
            if not (may_start() and self.budget.allows_start(progress.row.subject)):
                return
            self.budget.reserve(progress.row.subject)
            entry, resumed, run = progress.entry, progress.resumed, progress.run
            progress.begin_next_attempt()
            try:
                await self._attempt(progress)
            except SkippedError:  # stopped while the start waited for its turn: the run that failed is the result
                progress.entry, progress.resumed, progress.run = entry, resumed, run
                return

    async def _back_off(self, entry: Entry) -> None:
        if _hint(entry.run) is FailureHint.LATER:
            pause = min(_FIRST_BACK_OFF * 2.0 ** (entry.attempt - 1), _MAX_BACK_OFF)
            await self.clock.sleep(pause * (0.5 + self.clock.random() / 2))

    async def _attempt(self, progress: _Progress) -> None:
        """Start a run unless there is one, follow it to its end, and book its cost."""
        if self.client.hooks is not None:
            ROW.set(self._row_event(progress))
        if progress.run is None:
            try:
                progress.run = await self._start_when_reachable(progress)
            except Exception as error:
                if isinstance(error, RateLimitError):  # in every attempt, although the session paces its requests
                    self._learn_pace(progress, under_load=True)
                await self._not_started(progress, error)
                raise
        try:
            run = progress.run
            ended = progress.run = await self._follow(progress, run)
        except Exception:
            self.budget.defer(progress.row.subject)  # the run may still be charged
            raise
        self._learn_pace(progress, under_load=_hint(ended) is FailureHint.LATER)
        # Until a run has ended, its cost is a quote.
        self._book(progress, ended, quote=believable(run.charged_cost))
        await self.journal.write(progress.row, progress.entry)

    def _row_event(self, progress: _Progress) -> "BatchRow":
        from flora_async.hooks import BatchRow  # noqa: PLC0415 - loaded with the first hooks

        row, attempt = progress.row, progress.entry.attempt
        return BatchRow(batch=self.journal.name, key=row.key, index=row.index, attempt=attempt, context=self.context)

    def _learn_pace(self, progress: _Progress, *, under_load: bool) -> None:
        if progress.turn is not None:
            self.pace.ended(progress.row.subject, progress.turn, under_load=under_load)

    def _book(self, progress: _Progress, ended: Run, *, quote: float | None) -> None:
        cost, price = believable(ended.charged_cost), None
        if cost is None:
            self.budget.expect(quote, progress.row.subject)
            self.late_costs.add(ended, progress.row)
            price = self.budget.price_of(progress.row.subject)
        else:
            self.budget.settle(cost, progress.row.subject)
        progress.entry = evolve(progress.entry, state="finished", run=ended, sent=None, cost=cost, price=price)

    async def _not_started(self, progress: _Progress, error: Exception) -> None:
        if isinstance(error, SubmissionUnknownError):
            self.budget.defer(progress.row.subject)
            return
        self.budget.release(progress.row.subject)
        if not isinstance(error, JournalError):
            await self.journal.write(progress.row, evolve(progress.entry, state="planned", since=None, sent=None))

    async def _follow(self, progress: _Progress, run: Run) -> Run:
        """Record a started run and wait for its end."""
        with self.tracker.follow(self.client, run, lambda: progress.row.subject):
            return await self._record_and_wait(progress, run)

    async def _record_and_wait(self, progress: _Progress, run: Run) -> Run:
        self.tally.in_flight[run.run_id] = None
        if progress.entry.run is None:
            progress.entry = evolve(progress.entry, state="running", run=run, sent=None)
            if not run.is_terminal:  # else its end is recorded right away
                try:
                    await self.journal.write(progress.row, progress.entry)
                except Exception as error:  # noqa: BLE001 - the run is paid for, and its end can still be recorded
                    logger.warning("run %s could not be recorded as running: %s", printable(run.run_id), error)
        ended = await self.watcher.finish(run, progress.row.history, progress.row.target)
        self.tally.in_flight.pop(run.run_id, None)
        return evolve(ended, adopted=True) if run.adopted else ended

    async def _start_when_reachable(self, progress: _Progress) -> Run:
        """Start a run; while FLORA cannot be reached, wait for up to `RetryPolicy.outage` seconds."""
        policy, began = self.client.policy, self.clock.monotonic()
        while True:
            await self.client.available()
            if progress.entry.state != "submitting":
                progress.entry = evolve(progress.entry, since=self.clock.time())
            try:
                return await self._start(progress)
            except APIConnectionError as error:
                waited = self.clock.monotonic() - began - progress.held_back
                if error.sent or policy.attempts == 1 or (policy.outage is not None and waited >= policy.outage):
                    raise

    async def _start(self, progress: _Progress) -> Run:
        row, entry = progress.row, progress.entry
        work = self.works.of(row)
        since = None
        if entry.state == "submitting":  # an earlier process sent this start and did not read the answer
            since = math.nan if entry.since is None else entry.since
        sent = await self._prepare(work, row) if entry.sent is None else entry.sent
        start = work.start(row, sent, row.idempotency_key(self.journal.name, entry.attempt))
        asked_at = self.clock.monotonic()
        progress.turn = await self.pace.turn(row.subject, may_skip=since is None)
        progress.held_back += self.clock.monotonic() - asked_at
        sent_at = self.clock.time() if since is None else since
        await self.journal.write(row, evolve(entry, state="submitting", since=sent_at, sent=sent))
        self.tally.started += 1
        return run_of(await self.starter.start(start, since=since, knows=self._is_recorded))

    async def _is_recorded(self, run_id: str) -> bool:
        """Whether a run belongs to a row that an earlier process has recorded."""
        return run_id in await self.journal.run_ids()

    @staticmethod
    async def _prepare(work: Work, row: Planned) -> Any:  # noqa: ANN401 - JSON
        """Check the row and upload its files."""
        checked = await work.check(row)
        try:
            return await work.upload(checked)
        except (FloraError, ValueError, OSError) as error:
            # During an upload, these two errors do not mean that other rows cannot be started.
            if isinstance(error, FloraError) and not isinstance(error, NotFoundError | APIConnectionError):
                raise
            raise UploadError(f"A file could not be uploaded: {error}") from error


def result_of(row: Planned, entry: Entry, *, resumed: bool) -> BatchResult:
    """The result of a row whose run has ended."""
    run = entry.run
    error = RunFailedError(run) if run is not None and run.failure is not None else None
    return _result(row, entry, resumed=resumed, run=run, error=error)


def _failed(progress: _Progress, error: Exception) -> BatchResult:
    """The result of a row that an exception has ended, with its run."""
    row, run = progress.row, progress.run
    if isinstance(error, FloraError):
        run = error.run = error.run or run
    if not isinstance(error, EXPECTED):
        logger.error(
            "row %.40r failed unexpectedly (run %s)",
            row.key,
            printable(run.run_id) if run else "not started",
            exc_info=error,
        )
    return _result(row, progress.entry, resumed=progress.resumed, run=run, error=error)


def is_worth_another_run(run: Run | None) -> bool:
    """Whether a run has failed in a way that another run may not."""
    return _hint(run) in _WORTH_ANOTHER_RUN


def _hint(run: Run | None) -> FailureHint | None:
    failure = run.failure if run is not None else None
    return None if failure is None else failure.hint


def _result(row: Planned, entry: Entry, *, resumed: bool, run: Run | None, error: Exception | None) -> BatchResult:
    was_started = run is not None or entry.state != "planned" or isinstance(error, SubmissionUnknownError)
    return BatchResult(
        index=row.index,
        key=row.key,
        request=row.request,
        run=run,
        error=error,
        attempts=entry.attempt if was_started else entry.attempt - 1,
        resumed=resumed,
    )
