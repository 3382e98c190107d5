"""`Batch`: many rows through one technique, safely, at the pace that FLORA allows and the consumer keeps."""

import asyncio
import os
from collections import deque
from collections.abc import AsyncIterable, Awaitable, Callable, Coroutine, Iterable, Mapping
from operator import attrgetter
from types import TracebackType
from typing import Any, Final, Self, TypedDict, get_args

from flora_async._checks import check_idempotency_key, check_number
from flora_async._clock import Clock
from flora_async._http.client import Client
from flora_async._http.retry import logger
from flora_async._http.storage import StorageClient
from flora_async._http.urls import segment
from flora_async.batch.budget import Budget
from flora_async.batch.concurrency import Limiter, TrafficCounter
from flora_async.batch.journal import Entry, Journal, Memory
from flora_async.batch.results import BatchResult, BatchSummary, Tally
from flora_async.batch.row_runner import Attempts, Save, result_of
from flora_async.batch.rows import Planned, Row, Rows, RunRequest, each, key_of, plan, request_of
from flora_async.batch.saving import folder_of, saver
from flora_async.batch.watchers import Techniques, Watch, watcher_of
from flora_async.config import PollPolicy
from flora_async.errors import (
    AuthenticationError,
    BudgetExceededError,
    FloraError,
    InsufficientCreditsError,
    JournalError,
    PermissionDeniedError,
    SkippedError,
    SubmissionUnknownError,
)
from flora_async.polling import Poller
from flora_async.resources import InputPreparer, TechniqueCache

OnProgress = Callable[[BatchSummary], Awaitable[object] | object]

# After these nothing else can be started either, so nothing else is tried.
FATAL: Final = (AuthenticationError, InsufficientCreditsError, PermissionDeniedError, JournalError)


# An earlier process has started these, or may have: their price is set aside, and they are not skipped.
_UNDER_WAY: Final = frozenset({"submitting", "running"})


class Batch:
    """Many rows through one technique. Made by `FloraSession.batch`; use it with `async with` and `async for`.

    Nothing is started before the first result is asked for. Results come in the order in which runs end. A consumer
    that stops reading stops new starts; leaving the block ends all local waiting at once, and what was started goes on
    at FLORA (`summary.in_flight`).

    After an answer that makes every further start pointless (401, 402, 403) nothing more is started; what runs is
    followed to its end, the remaining rows come back as `skipped`, and leaving the block raises that error. A source of
    rows that raises ends the batch in the same manner: its error comes after the last result.
    """

    def __init__(  # noqa: PLR0913 - one keyword for each decision about a batch
        self,
        client: Client,
        clock: Clock,
        technique_id: str,
        rows: Rows,
        *,
        preparer: InputPreparer,
        storage: StorageClient,
        poll: PollPolicy,
        concurrency: int = 16,
        max_cost: float | None = None,
        journal: str | os.PathLike[str] | None = None,
        name: str | None = None,
        run_attempts: int = 1,
        watch: Watch = "auto",
        check: bool = True,
        workspace_id: str | None = None,
        save_to: str | os.PathLike[str] | None = None,
        on_progress: OnProgress | None = None,
    ) -> None:
        segment("technique_id", technique_id)
        for what, count in (("concurrency", concurrency), ("run_attempts", run_attempts)):
            if type(count) is not int or count < 1:
                raise ValueError(f"{what} must be a whole number of at least 1, not {count!r}")
        if max_cost is not None:
            check_number("max_cost", max_cost)
        if watch not in get_args(Watch):
            raise ValueError(f"watch must be 'auto', 'list' or 'each', not {watch!r}")
        if name is not None:
            check_idempotency_key(name, "name")
        if on_progress is not None and not callable(on_progress):
            raise TypeError(f"on_progress must be callable with a BatchSummary, not {on_progress!r:.60}")
        if isinstance(rows, str | bytes | Mapping) or not isinstance(rows, Iterable | AsyncIterable):
            raise TypeError(f"rows must be an iterable of rows, not {rows!r:.60}")
        self._technique_id = technique_id
        self._rows = each(rows)
        self._clock = clock
        self._settle = client.policy.settle
        self._concurrency = concurrency
        self._journal_path = journal
        self._name = name
        self._watch: Watch = watch
        self._on_progress = on_progress
        self._budget = Budget(max_cost)
        self._tally = Tally()
        self._limiter = Limiter(concurrency, clock)
        self._client = client.observed_by(TrafficCounter(self._tally, self._limiter))
        self._run_attempts = run_attempts
        self._techniques = Techniques(TechniqueCache(self._client, clock))
        self._preparer = preparer.finding(self._techniques.find)
        self._check = check
        self._workspace_id = workspace_id
        self._folder = None if save_to is None else folder_of(save_to)
        self._save: Save | None = None if self._folder is None else saver(storage, self._folder)
        self._poller = Poller(self._client, poll, clock)
        self._journal: Journal = Memory(name)
        self._group = asyncio.TaskGroup()
        self._tasks: set[asyncio.Task[None]] = set()
        self._active: set[tuple[str, str]] = set()
        self._ready: deque[BatchResult] = deque()
        self._news = asyncio.Event()  # for the consumer: a result, or the end
        self._room = asyncio.Event()  # for the pump: a result was read, or a run has ended
        self._pumping = False
        self._pumped = False
        self._fatal: FloraError | None = None
        self._broken_source: Exception | None = None
        self._began = self._ended = 0.0
        self._state = "new"

    async def __aenter__(self) -> Self:
        """Open the journal, and make the directory for outputs.

        Raises:
            OSError: Outputs cannot be saved where they are to be.
            JournalError: The journal is in use, damaged, or of another batch.
            ImportError: A journal was asked for without aiosqlite.
            RuntimeError: The batch was entered before.
        """
        if self._state != "new":
            raise RuntimeError("A batch runs once: make another one, with the same journal to go on")
        if self._folder is not None:
            await asyncio.to_thread(self._folder.mkdir, parents=True, exist_ok=True)
        self._state = "open"
        self._began = self._clock.monotonic()
        if self._journal_path is not None:
            from flora_async.batch.sqlite import SqliteJournal  # noqa: PLC0415 - SQLite is loaded when it is used

            self._journal = await SqliteJournal.open(self._journal_path, self._name)
            for cost in await self._journal.costs():
                self._budget.book(cost)
            for _ in range(await self._journal.open_rows()):
                self._budget.reserve()  # their runs may be charged, whenever their rows come
        self._attempts = Attempts(
            client=self._client,
            preparer=self._preparer,
            check=self._check,
            workspace_id=self._workspace_id,
            save=self._save,
            watcher=watcher_of(self._watch, self._poller, self._techniques, self._spawn),
            journal=self._journal,
            budget=self._budget,
            tally=self._tally,
            clock=self._clock,
            settle=self._settle,
            most=self._run_attempts,
        )
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End all waiting at once, and raise what stopped the batch, if anything did.

        Raises:
            FloraError: The answer that stopped the batch: 401, 402, 403, or a journal that could not be written.
        """
        for task in self._tasks:
            task.cancel()
        # A cancellation is the group's to judge, as it may come from a task of its own; other errors are the caller's.
        cancelled = exc_type is not None and issubclass(exc_type, asyncio.CancelledError)
        try:
            await self._group.__aexit__(*((exc_type, exc, traceback) if cancelled else (None, None, None)))
        finally:
            self._state, self._ended = "closed", self._clock.monotonic()
            await self._rows.aclose()
            await self._journal.close()
            logger.info("batch of %s: %s", self._technique_id, self.summary)
        if exc_type is None and self._fatal is not None:
            raise self._fatal

    def __aiter__(self) -> Self:
        """Go over the results, in the order in which they come."""
        return self

    async def __anext__(self) -> BatchResult:
        """The next result.

        Raises:
            StopAsyncIteration: Every row has its result.
            RuntimeError: The batch was not entered, or is left.
            Exception: What the source of rows raised, after the last result.
        """
        if self._state != "open":
            raise RuntimeError("A batch is used inside its block: async with flora.batch(…) as batch: …")
        if not self._pumping:
            self._pumping = True
            self._spawn(self._pump())
        while not self._ready:
            if self._pumped and not self._active:
                if self._broken_source is not None:
                    raise self._broken_source
                raise StopAsyncIteration
            self._news.clear()
            await self._news.wait()
        result = self._ready.popleft()
        self._room.set()
        if self._on_progress is not None:
            told = self._on_progress(self.summary)
            if isinstance(told, Awaitable):
                await told
        return result

    @property
    def summary(self) -> BatchSummary:
        """The batch in numbers, at any time: before, while and after it runs."""
        now = self._ended if self._state == "closed" else self._clock.monotonic()
        return self._tally.summary(self._budget, 0.0 if self._state == "new" else now - self._began)

    def _spawn(self, job: Coroutine[Any, Any, None]) -> None:
        task = self._group.create_task(job)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _pump(self) -> None:
        """Take rows as there is room for them, and start each."""
        index = 0
        while True:
            await self._until(self._has_room)
            try:
                row = await anext(self._rows)
            except StopAsyncIteration:
                break
            except Exception as error:  # noqa: BLE001 - the caller's own source may raise anything; it is raised there
                self._broken_source = error
                break
            self._tally.planned += 1
            await self._take(index, row)
            index += 1
        self._pumped = True
        self._news.set()

    async def _take(self, index: int, row: Row) -> None:
        """Give a row its run, or the reason why it has none."""
        request: RunRequest | None = None
        key = str(index)
        try:
            request = request_of(row)
            key = key_of(request, index)
            planned = await plan(request, index, self._technique_id)
            if (planned.key, planned.digest) in self._active:
                raise ValueError(f"the row {key!r:.40} is given twice: give each row a key of its own")  # noqa: TRY301 - a bad row like others
            entry = await self._journal.find(planned)
            if entry is None:
                entry = Entry("planned", 1, None)
                await self._journal.write(planned, entry)
        except (TypeError, ValueError, OSError, JournalError) as error:
            self._note(error)
            self._deliver(BatchResult(index=index, key=key, request=request, error=error))
            return
        if entry.state == "finished" and not self._attempts.are_left(entry):
            if self._save is None:
                self._deliver(result_of(planned, entry, resumed=True))
            else:
                await self._until(self._has_place)
                self._follow(planned, entry)
            return
        if self._budget.max_cost is not None:
            technique = await self._techniques.find(planned.technique_id)
            self._budget.expect(technique.run_cost if technique else None)
        await self._until(lambda: self._may_start(entry))
        refusal = self._refusal(entry)
        if refusal is not None:
            self._deliver(BatchResult(index=index, key=key, request=request, error=refusal))
            return
        if entry.state not in _UNDER_WAY:
            self._budget.reserve()
        self._follow(planned, entry)

    def _follow(self, planned: Planned, entry: Entry) -> None:
        self._active.add((planned.key, planned.digest))
        self._spawn(self._row(planned, entry))

    async def _row(self, planned: Planned, entry: Entry) -> None:
        """Follow one row to its end."""
        try:
            result = await self._attempts.follow(planned, entry, lambda: self._fatal is None)
        finally:
            self._active.discard((planned.key, planned.digest))
        if result.error is not None:
            self._note(result.error)
        self._deliver(result)

    def _has_room(self) -> bool:
        """Whether the consumer reads: what it has not read yet is never more than may run at once."""
        return len(self._ready) < self._concurrency

    def _has_place(self) -> bool:
        return self._has_room() and len(self._active) < self._limiter.limit

    def _may_start(self, entry: Entry) -> bool:
        """Whether the wait for a place is over, be it with a place or with a reason why there will be none."""
        if self._refusal(entry) is not None:
            return True
        return self._has_place() and (entry.state in _UNDER_WAY or self._budget.allows_start())

    def _refusal(self, entry: Entry) -> SkippedError | None:
        """Why a row is not started; what may run already is followed whatever has happened."""
        if entry.state in _UNDER_WAY:
            return None
        if self._fatal is not None:
            skipped = SkippedError()
            skipped.__cause__ = self._fatal
            return skipped
        budget = self._budget
        if budget.max_cost is not None and not self._active and not budget.allows_start():
            return BudgetExceededError(max_cost=budget.max_cost, spent=budget.spent, price=budget.price or 0.0)
        return None

    def _note(self, error: Exception) -> None:
        """Remember what stops the batch."""
        cause = error.__cause__ if isinstance(error, SubmissionUnknownError) else error
        if isinstance(cause, FATAL) and self._fatal is None:
            self._fatal = cause

    def _deliver(self, result: BatchResult) -> None:
        self._tally.take(result)
        self._ready.append(result)
        self._news.set()
        self._room.set()

    async def _until(self, condition: Callable[[], bool]) -> None:
        """Wait for room: until something has ended, was read, or the limit has grown."""
        while not condition():
            self._room.clear()
            try:
                async with asyncio.timeout(self._limiter.grows_in()):
                    await self._room.wait()
            except TimeoutError:
                continue


class BatchOptions(TypedDict, total=False):
    """The options of `FloraSession.batch`, for those who hand them on."""

    concurrency: int
    max_cost: float | None
    journal: str | os.PathLike[str] | None
    name: str | None
    run_attempts: int
    watch: Watch
    check: bool
    workspace_id: str | None
    save_to: str | os.PathLike[str] | None
    poll: PollPolicy
    on_progress: OnProgress | None


async def run_all(batch: Batch, *, raise_on_failure: bool) -> list[BatchResult]:
    """Run a batch to its end and put its results in the order of the rows.

    Raises:
        ExceptionGroup: `raise_on_failure` is set, and rows have errors: all of them.
    """
    results: list[BatchResult] = []
    opened = False
    try:
        async with batch:
            opened = True
            results += [result async for result in batch]
    except FATAL:
        # What stopped the batch stands in the results too, beside those that were paid for before it.
        if not opened:
            raise
    results.sort(key=attrgetter("index"))
    errors = [result.error for result in results if result.error is not None]
    if raise_on_failure and errors:
        raise ExceptionGroup(f"{len(errors)} of {len(results)} rows have no completed run", errors)
    return results
