"""`RowRunner`: start the run of one row once, follow it to its end, and run it again where that can help."""

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
"""Saves the outputs of a completed run and returns their paths."""

# FLORA remembers a key for at least two hours; a start is not repeated in the last minutes of them.
_KEY_LIFETIME: Final = 7200.0 - 300.0
# FLORA's codes for failures that another run may not meet.
_TRANSIENT_CODES: Final = frozenset({"model_timeout", "internal_error", "provider_error"})


@frozen(kw_only=True)
class RowRunner:
    """Runs single rows to their end.

    Attributes:
        client: Sends the requests.
        preparer: Checks inputs and uploads files.
        check: Whether inputs are checked against the technique.
        workspace_id: Where files go; None = the session's workspace.
        save: Saves outputs; None = they are not saved.
        watcher: Follows the runs.
        journal: Records each step.
        budget: What the runs may cost; the first run of a row is reserved before the row gets here.
        tally: Counts the runs.
        clock: Time and sleep.
        settle: Seconds to wait before a start of an earlier process is sent again; None = it is not sent again.
        max_attempts: The most runs for one row.
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
    max_attempts: int

    async def run(self, row: Planned, entry: Entry, *, may_start: Callable[[], bool]) -> BatchResult:
        """Take a row from the state in the journal to its end.

        Args:
            row: The row.
            entry: Its state.
            may_start: Whether the batch still starts runs.
        """
        resumed = entry.state == "running"
        if entry.state == "finished":
            if not self.may_run_again(entry):
                return await self._saved(row, result_of(row, entry, resumed=True))
            entry = _next_attempt(entry)
        try:
            entry = await self._attempt(row, entry)
            while self.may_run_again(entry) and may_start() and self.budget.allows_start():
                self.budget.reserve()
                resumed = False
                entry = await self._attempt(row, _next_attempt(entry))
        except FloraError as error:
            return _result(row, entry, resumed=resumed, run=error.run or entry.run, error=error)
        return await self._saved(row, result_of(row, entry, resumed=resumed))

    async def _saved(self, row: Planned, result: BatchResult) -> BatchResult:
        """Save the outputs of a result; the next call with the journal saves those that cannot be saved now."""
        if self.save is None or result.run is None or not result.ok:
            return result
        try:
            return evolve(result, files=await self.save(row, result.run))
        except (FloraError, OSError) as error:
            return evolve(result, error=error)

    def may_run_again(self, entry: Entry) -> bool:
        """Whether a row whose run has failed gets another run."""
        run = entry.run
        return (
            entry.attempt < self.max_attempts
            and run is not None
            and run.is_failed
            and run.error_code in _TRANSIENT_CODES
        )

    async def _attempt(self, row: Planned, entry: Entry) -> Entry:
        """Start a run unless there is one, follow it to its end, and book its cost."""
        run = entry.run
        try:
            if run is None:
                run = await self._start(row, entry)
            self.tally.in_flight[run.run_id] = None
            if entry.run is None:
                await self.journal.write(row, evolve(entry, state="running", run=run, inputs=None))
            ended = await self.watcher.finish(run, row.technique_id)
        except FloraError as error:
            # A run that was certainly not started is released; one that may still be running counts at its price.
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
        cost = 0.0 if ended.is_failed and ended.charged_cost is None else ended.charged_cost
        self.budget.settle(cost)
        entry = evolve(entry, state="finished", run=ended, inputs=None, cost=cost, price=self.budget.price)
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
            # An earlier process sent this start and did not read the answer. FLORA may still be working on it, and two
            # requests at once may both be carried out; much later FLORA has forgotten the key.
            age = entry.age(self.clock.time())
            if self.settle is None or age is None or age > _KEY_LIFETIME:
                raise unknown
            await self.clock.sleep(self.settle)
        inputs = await self._prepare(row) if entry.inputs is None else entry.inputs
        await self.journal.write(row, evolve(entry, state="submitting", since=since, inputs=inputs))
        self.tally.started += 1
        try:
            return await start_run(self.client, options, inputs)
        except FloraError as error:
            if entry.state != "submitting" or isinstance(error, SubmissionUnknownError):
                raise
            raise unknown from error  # whatever is refused now, the earlier attempt may have been carried out

    async def _prepare(self, row: Planned) -> tuple[RunInput, ...]:
        """Check the row's inputs and upload its files."""
        try:
            return await self.preparer.take(
                row.technique_id, row.drafts, check=self.check, workspace_id=self.workspace_id
            )
        except (ValueError, OSError) as error:
            if isinstance(error, FloraError):
                raise
            raise UploadError(f"A file could not be uploaded: {error}") from error


def _next_attempt(entry: Entry) -> Entry:
    return Entry("planned", entry.attempt + 1, None)


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
