"""The runs of one row: started once each, followed, written down, and where it helps followed by another."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from attrs import evolve, frozen

from flora_async._clock import Clock
from flora_async._http.client import Client
from flora_async.batch.budget import Budget
from flora_async.batch.journal import Entry, Journal
from flora_async.batch.results import BatchResult, Tally
from flora_async.batch.rows import Planned
from flora_async.batch.watchers import Watcher
from flora_async.errors import FloraError, JournalError, RunFailedError, SubmissionUnknownError, UploadError
from flora_async.models import Run, RunInput
from flora_async.resources import InputPreparer, StartOptions, start_run

Save = Callable[[Planned, Run], Awaitable[tuple[Path, ...]]]
"""Saves the outputs of a completed run and says where."""

# FLORA is sure to know a key for two hours; what is this close to the end of them is not tried.
_KEY_IS_KNOWN_FOR: Final = 7200.0 - 300.0
# FLORA's codes for failures that another run may not meet.
_WORTH_ANOTHER_RUN: Final = frozenset({"model_timeout", "internal_error", "provider_error"})


@frozen(kw_only=True)
class Attempts:
    """Takes rows to their ends.

    Attributes:
        client: The way to FLORA.
        preparer: Who checks inputs and uploads files.
        check: Whether inputs are checked against the technique.
        workspace_id: Where files go; None = the session's workspace.
        save: Who saves outputs; None = nobody.
        watcher: Who follows them.
        journal: Where each step is written down.
        budget: What they may cost; one run is reserved for when a row gets here.
        tally: Who counts them.
        clock: Tells when they were sent.
        settle: Seconds to leave FLORA alone before a start of an earlier process is sent again.
        most: How many runs a row may have.
    """

    client: Client
    preparer: InputPreparer
    check: bool
    workspace_id: str | None
    save: Save | None
    watcher: Watcher
    journal: Journal
    budget: Budget
    tally: Tally
    clock: Clock
    settle: float | None
    most: int

    async def follow(self, row: Planned, entry: Entry, goes_on: Callable[[], bool]) -> BatchResult:
        """Take a row from wherever the journal left it to its end.

        Args:
            row: The row.
            entry: What the journal knows of it.
            goes_on: Whether the batch still starts runs.
        """
        resumed = entry.state == "running"
        if entry.state == "finished":
            if not self.are_left(entry):
                return await self._saved(row, result_of(row, entry, resumed=True))
            entry = _next(entry)
        try:
            entry = await self._attempt(row, entry)
            while self.are_left(entry) and goes_on() and self.budget.allows_start():
                self.budget.reserve()
                resumed = False
                entry = await self._attempt(row, _next(entry))
        except FloraError as error:
            return _result(row, entry, resumed=resumed, run=error.run or entry.run, error=error)
        return await self._saved(row, result_of(row, entry, resumed=resumed))

    async def _saved(self, row: Planned, result: BatchResult) -> BatchResult:
        """The result with its files; what cannot be saved now is saved by the next call with the same journal."""
        if self.save is None or result.run is None or not result.ok:
            return result
        try:
            return evolve(result, files=await self.save(row, result.run))
        except (FloraError, OSError) as error:
            return evolve(result, error=error)

    def are_left(self, entry: Entry) -> bool:
        """Whether a row whose run has ended gets another one."""
        run = entry.run
        return entry.attempt < self.most and run is not None and run.is_failed and run.error_code in _WORTH_ANOTHER_RUN

    async def _attempt(self, row: Planned, entry: Entry) -> Entry:
        """One run: started unless it runs already, followed to its end, paid for."""
        run = entry.run
        try:
            if run is None:
                run = await self._start(row, entry)
            self.tally.in_flight[run.run_id] = None
            if entry.run is None:
                await self.journal.write(row, evolve(entry, state="running", run=run, inputs=None))
            ended = await self.watcher.finish(run, row.technique_id)
        except FloraError as error:
            # What was certainly not started is given back; what may run on is counted at its price.
            error.run = error.run or run
            if error.run is not None or isinstance(error, SubmissionUnknownError):
                self.budget.settle(None)
            else:
                self.budget.release()
                if not isinstance(error, JournalError):
                    await self.journal.write(row, evolve(entry, state="planned", since=None, inputs=None))
            raise
        del self.tally.in_flight[run.run_id]
        # A failed run of which FLORA names no cost was not charged.
        self.budget.settle(0.0 if ended.is_failed and ended.charged_cost is None else ended.charged_cost)
        entry = evolve(entry, state="finished", run=ended, inputs=None, cost=entry.cost + (ended.charged_cost or 0.0))
        try:
            await self.journal.write(row, entry)
        except FloraError as error:
            error.run = ended
            raise
        return entry

    async def _start(self, row: Planned, entry: Entry) -> Run:
        key = row.idempotency_key(self.journal.name, entry.attempt)
        options = StartOptions(row.technique_id, callback_url=row.request.callback_url, idempotency_key=key)
        since = self.clock.time() if entry.since is None else entry.since
        unknown = SubmissionUnknownError(
            idempotency_key=key, technique_id=row.technique_id, since=datetime.fromtimestamp(since, UTC)
        )
        if entry.state == "submitting":
            # An earlier process sent this and did not live to read the answer. FLORA may be at work on it still, and
            # two at once may both be carried out; later, FLORA has forgotten the key, and it would be a second run.
            if self.settle is None or self.clock.time() - since > _KEY_IS_KNOWN_FOR:
                raise unknown
            await self.clock.sleep(self.settle)
        inputs = await self._taken(row) if entry.inputs is None else entry.inputs
        await self.journal.write(row, evolve(entry, state="submitting", since=since, inputs=inputs))
        self.tally.started += 1
        try:
            return await start_run(self.client, options, inputs)
        except FloraError as error:
            if entry.state != "submitting" or isinstance(error, SubmissionUnknownError):
                raise
            raise unknown from error  # whatever is refused now, the first attempt may have got through

    async def _taken(self, row: Planned) -> tuple[RunInput, ...]:
        """The row's inputs as they are sent."""
        try:
            return await self.preparer.take(
                row.technique_id, row.drafts, check=self.check, workspace_id=self.workspace_id
            )
        except (ValueError, OSError) as error:
            if isinstance(error, FloraError):
                raise
            raise UploadError(f"A file could not be uploaded: {error}") from error


def _next(entry: Entry) -> Entry:
    return Entry("planned", entry.attempt + 1, None, entry.cost)


def result_of(row: Planned, entry: Entry, *, resumed: bool) -> BatchResult:
    """The result of a row whose run has ended."""
    run = entry.run
    error = RunFailedError(run) if run is not None and run.failure is not None else None
    return _result(row, entry, resumed=resumed, run=run, error=error)


def _result(row: Planned, entry: Entry, *, resumed: bool, run: Run | None, error: Exception | None) -> BatchResult:
    return BatchResult(
        index=row.index,
        key=row.key,
        request=row.request,
        run=run,
        error=error,
        attempts=entry.attempt,
        resumed=resumed,
    )
