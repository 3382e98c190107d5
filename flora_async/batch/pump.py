"""`Pump`: take rows from their source while there is room, run each, and keep the results until they are read."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable
from typing import Final

from flora_async._http.retry import logger
from flora_async.batch.budget import Budget, believable
from flora_async.batch.concurrency import Limiter
from flora_async.batch.costs import LateCosts
from flora_async.batch.journal import Entry, Journal
from flora_async.batch.results import BatchResult, Tally
from flora_async.batch.row_runner import EXPECTED, EndedRow, RowRunner, result_of
from flora_async.batch.rows import Planned, Request, Row, key_of
from flora_async.batch.shared_history import Spawn
from flora_async.batch.work import Works
from flora_async.errors import (
    APIConnectionError,
    AuthenticationError,
    BudgetExceededError,
    FloraError,
    InsufficientCreditsError,
    JournalError,
    NotFoundError,
    PermissionDeniedError,
    SessionClosedError,
    SkippedError,
    SubmissionUnknownError,
)

# After one of these no other run can be started either.
_FATAL: Final = (
    AuthenticationError,
    InsufficientCreditsError,
    PermissionDeniedError,
    JournalError,
    SessionClosedError,
)

# An earlier process has, or may have, started rows in these states: their price is reserved, and they are not skipped.
_UNDER_WAY: Final = frozenset({"submitting", "running"})


class Pump:
    """Runs the rows of a source and collects their results.

    Args:
        rows: The source of rows.
        runner: Runs one row to its end.
        works: What rows of each kind start.
        asks_prices: Whether FLORA's prices are read.
        journal: What earlier processes have done.
        budget: What may be spent.
        late_costs: Reads the costs that are not known when a run ends.
        tally: Counts rows and results.
        limiter: How many runs may be under way at once.
        max_unread: The most results that wait to be read before no more rows are taken.
        spawn: Starts the tasks of rows.

    Attributes:
        fatal: The error after which nothing more is started; None while there is none.
        source_error: The error of the source of rows; None while there is none.
    """

    def __init__(  # noqa: PLR0913 - the parts of a batch
        self,
        rows: AsyncGenerator[Row, None],
        *,
        runner: RowRunner,
        works: Works,
        asks_prices: bool,
        journal: Journal,
        budget: Budget,
        late_costs: LateCosts,
        tally: Tally,
        limiter: Limiter,
        max_unread: int,
        spawn: Spawn,
    ) -> None:
        self.fatal: FloraError | None = None
        self._is_stopped = False
        self.source_error: Exception | None = None
        self._rows = rows
        self._runner = runner
        self._works = works
        self._asks_prices = asks_prices
        self._journal = journal
        self._budget = budget
        self._late_costs = late_costs
        self._tally = tally
        self._limiter = limiter
        self._max_unread = max_unread
        self._spawn = spawn
        self._active: set[tuple[str, str]] = set()
        self._unread: deque[EndedRow] = deque()
        self._result_or_end = asyncio.Event()  # set for the consumer
        self._room = asyncio.Event()  # set for the pump: a result was read, or a run has ended
        self._started = False
        self._ended = False
        self._is_left = False

    async def next_row(self) -> EndedRow | None:
        """Wait for the next row that has ended; None after the last one.

        Raises:
            RuntimeError: The batch was left.
            Exception: The error of the source of rows, after the last result.
        """
        if not self._started:
            self._started = True
            self._spawn(self._run())
        while not self._unread:
            if self._ended:
                if self.source_error is not None:
                    raise self.source_error
                return None
            if self._is_left:
                raise RuntimeError("The batch was left before its last result")
            self._result_or_end.clear()
            await self._result_or_end.wait()
        ended = self._unread.popleft()
        self._room.set()
        return ended

    def stop(self) -> None:
        """Take no more rows, and start nothing more."""
        self._is_stopped = True
        self._runner.pace.stop(None)
        self._room.set()

    def leave(self) -> None:
        """Let no task wait for a result any longer, as none will come."""
        self._is_left = True
        self._result_or_end.set()

    def put_back(self, ended: EndedRow) -> None:
        """Make a row the next one again."""
        self._unread.appendleft(ended)

    def take_unread(self) -> list[BatchResult]:
        """Remove and return the results that were not read yet."""
        unread = [ended.result for ended in self._unread]
        self._unread.clear()
        return unread

    async def _run(self) -> None:
        index = 0
        while True:
            await self._wait_until(lambda: self._is_stopped or self._has_room())
            if self._is_stopped:
                break
            try:
                row = await anext(self._rows)
            except StopAsyncIteration:
                break
            except asyncio.CancelledError as error:
                task = asyncio.current_task()
                if task is None or task.cancelling():
                    raise
                self.source_error = RuntimeError("The source of rows was cancelled")
                self.source_error.__cause__ = error
                break
            except Exception as error:  # noqa: BLE001 - the caller's own source; its error is raised to the consumer
                self.source_error = error
                break
            self._tally.planned += 1
            await self._admit(index, row)
            index += 1
        await self._wait_until(lambda: not self._active)
        await self._late_costs.settle()
        self._ended = True
        self._result_or_end.set()

    async def _admit(self, index: int, row: Row) -> None:
        """Start following a row, or deliver the reason why it has no run."""
        request: Request | None = None
        key = str(index)
        try:
            request = self._works.request_of(row)
            key = key_of(request, index)
            planned = await self._works.plan(request, key, index)
            if (planned.key, planned.digest) in self._active:
                raise ValueError(f"the row {key!r:.40} is given twice: give each row a key of its own")  # noqa: TRY301 - a bad row like others
            entry = await self._journal.find(planned)
            if entry is None:
                entry = Entry("planned", 1, None)
            if entry.state == "finished" and not self._runner.may_run_again(entry):
                await self._resume(planned, entry)
                return
            if entry.state not in _UNDER_WAY and self._starts_runs():
                await self._learn_price(planned)
        except Exception as error:  # noqa: BLE001 - one row's failure is that row's
            if not isinstance(error, EXPECTED):
                logger.error("row %.40r could not be read", key, exc_info=error)
            self._stop_if_fatal(error, request)
            self._deliver(EndedRow(BatchResult(index=index, key=key, request=request, error=error)))
            return
        await self._wait_until(lambda: self._may_start(planned, entry))
        refusal = self._refusal(planned, entry)
        while isinstance(refusal, BudgetExceededError) and self._late_costs.are_awaited:
            await self._late_costs.read_later()  # the costs may be lower than the prices counted for them
            refusal = self._refusal(planned, entry)
        if refusal is not None:
            self._deliver(EndedRow(BatchResult(index=index, key=key, request=request, error=refusal)))
            return
        if entry.state not in _UNDER_WAY:
            self._budget.reserve(planned.subject)
        self._follow(planned, entry)

    async def _resume(self, planned: Planned, entry: Entry) -> None:
        """Deliver the result of a run that had ended in an earlier process."""
        if self._runner.save is None:
            self._deliver(EndedRow(result_of(planned, entry, resumed=True), planned, entry))
        else:
            await self._wait_until(self._has_free_slot)
            self._follow(planned, entry)

    async def _learn_price(self, planned: Planned) -> None:
        """Find out what a run of the row may cost, and that its target exists.

        Raises:
            NotFoundError: It does not exist.
        """
        if self._asks_prices:
            self._budget.expect(believable(await self._works.of(planned).price(planned)), planned.subject)

    def _follow(self, planned: Planned, entry: Entry) -> None:
        self._active.add((planned.key, planned.digest))
        self._spawn(self._row(planned, entry))

    async def _row(self, planned: Planned, entry: Entry) -> None:
        try:
            ended = await self._runner.run(planned, entry, may_start=self._starts_runs)
        finally:
            self._active.discard((planned.key, planned.digest))
            self._room.set()
        if ended.result.error is not None:
            self._stop_if_fatal(ended.result.error, planned.request)
        self._deliver(ended)

    def _has_room(self) -> bool:
        """Whether the consumer keeps up: at most as many results wait to be read as runs may be under way."""
        return len(self._unread) < self._max_unread

    def _has_free_slot(self) -> bool:
        return self._has_room() and len(self._active) < self._limiter.limit

    def _starts_runs(self) -> bool:
        return self.fatal is None and not self._is_stopped

    def _may_start(self, planned: Planned, entry: Entry) -> bool:
        """Whether to stop waiting for a slot, because there is one or because there will be none."""
        if self._refusal(planned, entry) is not None:
            return True
        return self._has_free_slot() and (entry.state in _UNDER_WAY or self._budget.allows_start(planned.subject))

    def _refusal(self, planned: Planned, entry: Entry) -> SkippedError | None:
        """Why a row is not started; a row that may have a run already is always followed."""
        if entry.state in _UNDER_WAY:
            return None
        if not self._starts_runs():
            skipped = SkippedError()
            skipped.__cause__ = self.fatal
            return skipped
        budget = self._budget
        if budget.max_cost is not None and not self._active and not budget.allows_start(planned.subject):
            return BudgetExceededError(
                max_cost=budget.max_cost, spent=budget.spent, price=budget.price_of(planned.subject) or 0.0
            )
        return None

    def _stop_if_fatal(self, error: Exception, request: Request | None) -> None:
        """Start nothing more after an error that would affect every other row, too."""
        cause = error.__cause__ if isinstance(error, SubmissionUnknownError) else error
        is_fatal = isinstance(cause, _FATAL)
        if isinstance(cause, NotFoundError):  # of what the batch names, unless the row names its own
            is_fatal = cause.run is None and request is not None and self._works.is_by_default(request)
        elif isinstance(cause, APIConnectionError):  # the start was never sent, after all retries
            is_fatal = cause.run is None and not cause.sent
        if is_fatal and isinstance(cause, FloraError) and self.fatal is None:
            self.fatal = cause
            self._runner.pace.stop(cause)
            logger.warning("batch of %s starts nothing more: %s", self._works.target, cause)

    def _deliver(self, ended: EndedRow) -> None:
        self._tally.count(ended.result)
        self._unread.append(ended)
        self._result_or_end.set()
        self._room.set()

    async def _wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait until a run has ended, a result was read or the limit has grown, and `condition` holds."""
        while not condition():
            self._room.clear()
            try:
                async with asyncio.timeout(self._limiter.grows_in()):
                    await self._room.wait()
            except TimeoutError:
                continue
