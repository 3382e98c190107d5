"""`Batch`: run many rows, as fast as FLORA and the consumer allow."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Coroutine, Sequence
from contextvars import copy_context
from enum import Enum, auto
from operator import attrgetter
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from attrs import evolve

from flora_async._checks import check_flag
from flora_async._http.retry import logger
from flora_async._http.storage import StorageSettings
from flora_async._repr import bounded
from flora_async._text import printable
from flora_async._threads import in_thread
from flora_async.batch.budget import Budget
from flora_async.batch.concurrency import Limiter, StartPace, TrafficCounter
from flora_async.batch.costs import LateCosts
from flora_async.batch.journal import Journal, Memory, Unsettled
from flora_async.batch.kinds import Defaults, Lent, works_of
from flora_async.batch.options import BatchOptions
from flora_async.batch.pump import Pump
from flora_async.batch.results import BatchResult, BatchSummary, Tally
from flora_async.batch.row_runner import EndedRow, RowRunner, Save
from flora_async.batch.rows import iterate, length_of, source_of
from flora_async.batch.saving import saver
from flora_async.batch.watchers import TechniqueLookup, watcher_of
from flora_async.errors import BatchInterruptedError, FloraError
from flora_async.media.destinations import check_writable, path_of
from flora_async.resources import TechniqueCache

if TYPE_CHECKING:
    from flora_async.batch.plans import BatchPlan

_MAX_NAME: Final = 60
_BOOKED_AT_ONCE: Final = 4096  # costs of earlier processes, before other tasks get a turn


class _State(Enum):
    NEW = auto()
    OPEN = auto()
    CLOSED = auto()


class Batch:
    """Many rows of techniques, generations or actions; use it with `async with` and `async for`.

    Made by `FloraSession.batch`, `flora.generations.batch` and `flora.actions.batch`.

    Nothing is started before the first result is requested. Results arrive in the order in which runs end. While the
    consumer does not read, no more runs are started. Leaving the block ends all local waiting at once; runs that were
    started continue on FLORA (`summary.in_flight`).

    After an error that would affect every further start (401, 402, 403, an unknown technique or action, a journal that
    cannot be written) nothing more is started: runs under way are followed to their end, the remaining rows come back
    as `skipped`, and leaving the block raises that error. If the source of rows raises, the batch ends in the same way,
    and its error is raised after the last result.

    Each row has its result, so rows are read, and skipped, to the end of their source even when the budget is used up:
    where the source never ends, call `stop`, or leave the loop, at the first skipped row.
    """

    def __init__(self, lent: Lent, defaults: Defaults, rows: object, options: BatchOptions) -> None:
        source = source_of(rows)
        clock = lent.poller.clock
        self._rows = iterate(source)
        self._options = options
        self._clock = clock
        self._storage = lent.storage
        self._budget = Budget(options.max_cost)
        self._tally = Tally(total=length_of(source))
        self._limiter = Limiter(options.concurrency, clock)
        self._client = lent.poller.client.observed_by(TrafficCounter(self._tally, self._limiter))
        # A batch learns from its own runs, and reads the history itself where it has many.
        self._poller = evolve(
            lent.poller, client=self._client, policy=options.poll or lent.poller.policy, read_history=None
        )
        self._techniques = TechniqueLookup(TechniqueCache(self._client, clock))
        self._works = works_of(defaults, evolve(lent, poller=self._poller), self._techniques, options)
        self._starter = lent.starter.using(self._client)
        self._group = asyncio.TaskGroup()
        self._tasks: set[asyncio.Task[None]] = set()
        self._journal: Journal = Memory(options.name)
        self._entered_at = self._left_at = 0.0
        self._announced: EndedRow | None = None
        self._stopped_by: FloraError | None = None
        self._state = _State.NEW

    def __repr__(self) -> str:
        if not hasattr(self, "_group"):  # a crash reporter may ask while the constructor refuses its arguments
            return "<Batch not built>"
        summary = self.summary
        rows = "rows" if summary.total is None else f"of {summary.total} rows"
        state = f"{self._state.name.lower()}, {summary.ended} {rows} ended, {len(summary.in_flight)} in flight"
        return bounded(f"<Batch of {printable(self._works.target, _MAX_NAME)!r}: {state}", ">")

    def _repr_html_(self) -> str:
        from flora_async.batch.display import batch_html  # noqa: PLC0415 - for notebooks alone

        return batch_html(self._works.target, self._state.name.lower(), self.summary, self._tally.latest_media)

    async def __aenter__(self) -> Self:
        """Open the journal, and make sure that outputs can be saved.

        Raises:
            SessionClosedError: The session is closed.
            OSError: Files cannot be written to the directory for outputs.
            JournalError: The journal is in use, damaged, or belongs to another batch.
            ImportError: A journal needs filelock, which is not installed.
            RuntimeError: The batch was entered before.
        """
        if self._state is not _State.NEW:
            raise RuntimeError("A batch runs once: make another one, with the same journal to continue")
        self._client.check_open()
        self._state = _State.OPEN
        self._entered_at = self._clock.monotonic()
        try:
            save = None
            if self._options.save_to is not None:
                folder = await in_thread(path_of, "save_to", self._options.save_to)
                await in_thread(check_writable, folder)
                save = saver(self._storage, folder)
            unsettled = await self._open_journal()
            await self._group.__aenter__()
        except BaseException:
            self._state, self._left_at = _State.CLOSED, self._clock.monotonic()
            await self._close()
            raise
        self._pump = self._build_pump(save, unsettled)
        return self

    async def plan(self) -> "BatchPlan":
        """Check every row and say what would be started, instead of running the batch.

        Nothing is started, uploaded or paid for. The journal is read if there is one, and not changed. This reads all
        rows, so they must be finite, and takes the place of entering the batch: make another one to run them.

        Returns:
            What would be started, what is wrong in which row, and what it would cost.

        Raises:
            FloraError: FLORA refuses the session's key, or the session is closed.
            JournalError: The journal cannot be read.
            RuntimeError: The batch was entered or planned before.
            Exception: The error of the source of rows.

        Example:
            >>> plan = await flora.generations.batch(
            ...     ["a red bicycle", ""], model="flux-pro", project_id="prj_local"
            ... ).plan()
            >>> print(plan)
            1 row would be started (generation:flux-pro: 1) for about 0.05 USD; 1 row has a problem
              row 1 ('1'): prompt must not be blank: leave it out, or say what it is
        """
        if self._state is not _State.NEW:
            raise RuntimeError("A batch is planned or run once: make another one")
        self._client.check_open()
        self._state = _State.CLOSED
        from flora_async.batch.plans import plan_of  # noqa: PLC0415 - with SQLite, which is loaded when it is used

        try:
            return await plan_of(self._rows, self._works, self._options)
        finally:
            await self._rows.aclose()

    async def _open_journal(self) -> Sequence[Unsettled]:
        """Open the journal, count what earlier processes have spent, and return the runs whose cost is not known."""
        if self._options.journal is None:
            return ()
        from flora_async.batch.sqlite import SqliteJournal  # noqa: PLC0415 - SQLite is loaded when it is used

        self._journal = await SqliteJournal.open(self._options.journal, self._options.name)
        for number, cost in enumerate(await self._journal.costs(), 1):
            self._budget.book(cost.usd, cost.subject)
            if number % _BOOKED_AT_ONCE == 0:
                await asyncio.sleep(0)
        for subject in await self._journal.open_rows():
            self._budget.reserve(subject)  # their runs may be charged, even before their rows are read again
        return await self._journal.unsettled()

    def _build_pump(self, save: Save | None, unsettled: Sequence[Unsettled]) -> Pump:
        options = self._options
        late_costs = LateCosts(self._poller, self._techniques, self._journal, self._budget)
        late_costs.resume(unsettled)
        runner = RowRunner(
            client=self._client,
            starter=self._starter,
            works=self._works,
            save=save,
            watcher=watcher_of(options.watch, self._poller, self._techniques, self._spawn),
            journal=self._journal,
            budget=self._budget,
            late_costs=late_costs,
            tally=self._tally,
            tracker=self._poller.tracker,
            pace=StartPace(options.start_interval, self._clock),
            clock=self._clock,
            max_attempts=options.run_attempts,
            context=copy_context(),
        )
        return Pump(
            self._rows,
            runner=runner,
            works=self._works,
            asks_prices=options.check or options.max_cost is not None,
            journal=self._journal,
            budget=self._budget,
            late_costs=late_costs,
            tally=self._tally,
            limiter=self._limiter,
            max_unread=options.concurrency,
            spawn=self._spawn,
        )

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End all waiting at once, and raise the error that stopped the batch, if there was one.

        Raises:
            FloraError: The error that stopped the batch: 401, 402, 403, an unknown technique, or a journal that could
                not be written.
        """
        for task in self._tasks:
            task.cancel()
        # The group has to see a cancellation, as it may have caused it itself; other errors are the caller's.
        cancelled = exc_type is not None and issubclass(exc_type, asyncio.CancelledError)
        try:
            await self._group.__aexit__(*((exc_type, exc, traceback) if cancelled else (None, None, None)))
        finally:
            self._state, self._left_at = _State.CLOSED, self._clock.monotonic()
            self._pump.leave()
            await self._close()
            summary = self.summary
            logger.info("batch of %s: %s", self._works.target, summary)
            if summary.in_flight:
                logger.info("still running on FLORA, and charged: %s", ", ".join(map(printable, summary.in_flight)))
        self._stopped_by = self._pump.fatal
        if exc_type is None and self._stopped_by is not None:
            raise self._stopped_by

    async def _close(self) -> None:
        try:
            await self._rows.aclose()
        finally:
            await self._journal.close()

    def __aiter__(self) -> Self:
        """Iterate over the results, in the order in which runs end."""
        return self

    async def __anext__(self) -> BatchResult:
        """The next result.

        Raises:
            StopAsyncIteration: Every row has its result.
            RuntimeError: The batch was not entered, or was left.
            Exception: The error of the source of rows, after the last result.
        """
        ended = await self._next_row()
        if ended is None:
            raise StopAsyncIteration
        return ended.result

    async def records(self) -> AsyncGenerator[dict[str, Any], None]:
        """Iterate over the results as flat records of plain data: `BatchResult.to_dict` of each.

        Raises:
            Exception: As the iteration over results.

        Example:
            >>> async with flora.batch("caption", [{"prompt": "a red bicycle"}]) as batch:
            ...     records = [record async for record in batch.records()]
            >>> records[0]["status"], records[0]["output_texts"]
            ('completed', ['Caption: a red bicycle'])
        """
        async for result in self:
            yield result.to_dict()

    def stop(self) -> None:
        """Start nothing more: no more rows are read, and runs under way are followed to their end.

        Rows that were read and not started come back as `skipped`. Iteration ends after the last result.

        Raises:
            RuntimeError: The batch was not entered, or was left.

        Example:
            >>> async with flora.batch("caption", [{"prompt": "a red bicycle"}, {"prompt": "a blue boat"}]) as batch:
            ...     batch.stop()
            ...     [result.key async for result in batch]
            []
        """
        if self._state is not _State.OPEN:
            raise RuntimeError("A batch is stopped inside its block: async with flora.batch(…) as batch: …")
        self._pump.stop()

    @property
    def summary(self) -> BatchSummary:
        """The batch in numbers, at any time: before, while and after it runs."""
        if self._state is _State.NEW:
            return self._tally.summary(self._budget, 0.0)
        until = self._left_at if self._state is _State.CLOSED else self._clock.monotonic()
        return self._tally.summary(self._budget, until - self._entered_at)

    async def _next_row(self) -> EndedRow | None:
        if self._state is not _State.OPEN:
            raise RuntimeError("A batch is used inside its block: async with flora.batch(…) as batch: …")
        ended = await self._pump.next_row()
        if ended is not None and self._options.on_progress is not None and ended is not self._announced:
            self._announced = ended
            try:
                answer = self._options.on_progress(self.summary)
                if isinstance(answer, Awaitable):
                    await answer
            except BaseException:
                self._pump.put_back(ended)  # a failing listener must not cost the result
                raise
        return ended

    def _spawn(self, job: Coroutine[Any, Any, None]) -> None:
        task = self._group.create_task(job)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def run_all(batch: Batch, *, raise_on_failure: bool) -> list[BatchResult]:
    """Run a batch to its end and return its results in the order of the rows.

    Raises:
        SessionClosedError: The session was closed before the batch began; no row was read.
        BatchInterruptedError: The source of rows or `on_progress` raised; the error carries the results so far.
        ExceptionGroup: `raise_on_failure` is set, and rows have errors: all of them.
    """
    check_flag("raise_on_failure", raise_on_failure)
    results: list[BatchResult] = []
    interruption: Exception | None = None
    try:
        async with batch:
            try:
                async for result in batch:
                    results.append(result)  # noqa: PERF401 - what came before an error counts
            except Exception as error:  # noqa: BLE001 - raised below, with the results
                interruption = error
                results += batch._pump.take_unread()  # noqa: SLF001 - of this module
    except FloraError as error:
        # The error that stopped the batch is also in the results, and must not hide those that were paid for.
        if batch._stopped_by is not error:  # noqa: SLF001 - of this module
            raise
    results.sort(key=attrgetter("index"))
    if interruption is not None:
        raise BatchInterruptedError(interruption, results) from interruption
    errors = [result.error for result in results if result.error is not None]
    if raise_on_failure and errors:
        raise ExceptionGroup(f"{len(errors)} of {len(results)} rows have no completed run", errors)
    return results


async def next_row(batch: Batch) -> EndedRow | None:
    """The next row of a batch that has ended, as its iteration gives it; None after the last one.

    Raises:
        RuntimeError: The batch was not entered, or was left.
        Exception: The error of `on_progress`; or that of the source of rows, after the last row.
    """
    return await batch._next_row()  # noqa: SLF001 - of this module


async def record_processed(batch: Batch, ended: EndedRow, name: str, value: Any) -> None:  # noqa: ANN401 - JSON
    """Record in the journal what was made of a row whose run has completed.

    Raises:
        JournalError: It could not be recorded.
    """
    if ended.row is not None and ended.entry is not None:
        entry = evolve(ended.entry, processed={**ended.entry.processed, name: value})
        await batch._journal.write(ended.row, entry)  # noqa: SLF001 - of this module


def storage_settings(batch: Batch) -> StorageSettings:
    """The settings by which the files of a batch are fetched; there is no key in them."""
    return batch._storage.settings  # noqa: SLF001 - of this module
