"""Follow many runs by the one list of FLORA's that shows them all.

A history lists up to 100 runs on a page, newest first, so that one request does the work of a hundred polls. Each page
is read when that pays for the runs on it (see `read_times`): the cursor of a page is kept as long as a run is waited
for that was last seen there, so that old runs are found again without reading all pages above them.

The list is narrowed to what all runs in flight have in common: their workspace, and their project and technique as long
as it is the same. So one list serves a batch of several techniques. Where other runs crowd it, so that more pages have
to be read than there are techniques or projects in the batch, each of those is read by itself.
"""

import asyncio
import math
from collections.abc import Callable, Collection, Coroutine, Mapping
from typing import Any, Final, NamedTuple, Protocol

from attrs import define, evolve, field

from flora_async._cache import RecentItems
from flora_async._http.deadline import until
from flora_async._http.responses import is_transient
from flora_async._http.retry import logger
from flora_async.batch.read_times import INTERVAL, Expected, ReadTimes
from flora_async.errors import APIStatusError, DecodeError, FloraError, NotFoundError
from flora_async.models import Page, Run, Technique
from flora_async.polling import Poller, plain_run
from flora_async.resources import History, list_runs

Spawn = Callable[[Coroutine[Any, Any, None]], object]
"""Starts a task that ends with the batch at the latest."""

Filters = frozenset[tuple[str, str]]

_PAGE_SIZE: Final = 100
_MAX_PAGES: Final = 20  # in one reading; older runs are followed by their own poll URLs
_MAX_MISSES: Final = 2
# Histories lag behind: a run this young, in intervals, is not missed yet.
_MAX_LAG: Final = 6.0
_MAX_FAILURES: Final = 3
_MAX_TECHNIQUES: Final = 256  # whose ids are remembered


class FindTechnique(Protocol):
    """Finds techniques, such as `TechniqueLookup`."""

    async def find(self, technique_id: str) -> Technique | None:
        """The technique under a slug or id; None when it cannot be read."""
        ...


class _PageKey(NamedTuple):
    """Which page of which list; the cursor None = the first one."""

    filters: Filters
    cursor: str | None


@define(eq=False)
class _Page:
    """A page on which runs are waited for.

    Attributes:
        key: Which page it is.
        read_at: When it was last read, or else when its first run came, in seconds of the monotonic clock.
        not_before: Until when it is not read again.
        failures: How many readings of it in a row have failed.
    """

    key: _PageKey
    read_at: float
    not_before: float
    failures: int = 0


@define(eq=False)
class _Waiter(Expected):
    """A run that is waited for.

    Attributes:
        run: The run as it was started.
        history: Where it is listed.
        deadline: When the wait ends, in seconds of the monotonic clock.
        ended: Resolved with the run that has ended, or None if it is to be polled by itself.
        page: Where it was last seen; the first page of a list before that.
        is_listed: Whether it was seen.
        misses: How many readings in a row did not show it.
    """

    run: Run
    history: History
    deadline: float
    ended: asyncio.Future[Run | None] = field(factory=lambda: asyncio.get_running_loop().create_future())
    page: _Page | None = None
    is_listed: bool = False
    misses: int = 0

    def resolve(self, run: Run | None) -> None:
        if not self.ended.done():
            self.ended.set_result(run)


class SharedHistory:
    """Reads one of FLORA's histories of one workspace while any of its runs is waited for.

    Args:
        poller: Sends the requests, and knows how long runs take.
        techniques: Finds the ids of techniques.
        operation: `techniques.runs.list` or `generations.list`.
        min_together: With fewer runs than this, each is followed by its own poll URL.
    """

    def __init__(self, poller: Poller, techniques: FindTechnique, operation: str, min_together: int) -> None:
        maximum = poller.policy.maximum
        self._interval = INTERVAL if maximum is None else min(maximum, INTERVAL)
        self._poller = poller
        self._client = poller.client.without_retries()
        self._techniques = techniques
        self._operation = operation
        self._min_together = min_together
        self._times = ReadTimes(poller.run_times, self._interval)
        self._waiters: dict[str, _Waiter] = {}
        self._pages: dict[_PageKey, _Page] = {}
        self._technique_ids: RecentItems[str, str | None] = RecentItems(_MAX_TECHNIQUES)
        self._failures = 0
        self._is_watched = self._is_unusable = self._is_crowded = False
        self._keeps_cursors = True

    async def find(self, run: Run, history: History, subject: str, deadline: float, spawn: Spawn) -> Run | None:
        """Wait until the history shows that the run has ended; None when its own poll URL has to be polled instead.

        Args:
            run: The run.
            history: Where it is listed.
            subject: What its run time depends on, as in `RunTimes`.
            deadline: When to give up, in seconds of the monotonic clock.
            spawn: Starts the task that reads the history.
        """
        if self._is_unusable or run.run_id in self._waiters:
            return None
        began = self._poller.clock.monotonic()
        created_at = began - self._age(run)
        waiter = _Waiter(subject, created_at, created_at, run, history, deadline)
        self._waiters[run.run_id] = waiter
        if not self._is_watched:
            self._is_watched = True
            spawn(self._watch())
        try:
            # Deadlines are checked between requests; this timeout covers a page that never ends.
            async with asyncio.timeout(None if deadline == math.inf else deadline - began):
                ended = await waiter.ended
        except TimeoutError:
            ended = None
        finally:
            del self._waiters[run.run_id]
        if ended is not None:
            self._poller.saw_end(ended, self._poller.clock.monotonic() - began)
        return ended

    def _age(self, run: Run) -> float:
        """Seconds since a run was created: 0 unless it is certainly older."""
        if run.created_at is None:
            return 0.0
        offset, error = self._client.clock_offset or (0.0, 0.0)
        age = self._poller.clock.time() + offset - run.created_at.timestamp()
        return age if age > error else 0.0

    async def _watch(self) -> None:
        try:
            await self._read_until_ended()
        except Exception:  # noqa: BLE001 - a row does not depend on the others, whatever happens here
            logger.exception("the history %s cannot be used; its runs are polled one by one", self._operation)
            self._is_unusable = True
        finally:
            self._is_watched = False
            self._pages.clear()
            # The remaining runs are followed by their own poll URLs, which tolerate outages as the policy says.
            for waiter in self._waiters.values():
                waiter.resolve(None)

    async def _read_until_ended(self) -> None:
        clock = self._poller.clock
        self._failures = 0
        while waiting := self._waiting():
            if self._is_unusable or self._failures >= _MAX_FAILURES or self._is_costly(len(waiting)):
                return
            page, due = self._next(await self._by_page(waiting))
            now = clock.monotonic()
            deadline = min(waiter.deadline for waiter in waiting)
            if min(due, deadline) > now:
                # Not for longer than the interval, so that runs that are started meanwhile are taken into account.
                await clock.sleep(min(due - now, deadline - now, self._interval))
            elif due <= now:
                await self._read(page)
            self._give_up()

    def _is_costly(self, waiting: int) -> bool:
        """Whether polling each run takes fewer requests: with cursors, a page never costs more than one poll."""
        return not self._keeps_cursors and waiting < self._min_together

    def _waiting(self) -> list[_Waiter]:
        return [waiter for waiter in self._waiters.values() if not waiter.ended.done()]

    async def _by_page(self, waiting: list[_Waiter]) -> dict[_Page, list[_Waiter]]:
        """Group the runs by the page on which they are looked for."""
        if any(waiter.page is None for waiter in waiting):
            common = await self._common_filters(waiting)
            for waiter in waiting:
                if waiter.page is None:
                    waiter.page = self._page(common if common is not None else await self._filters(waiter), None)
        pages: dict[_Page, list[_Waiter]] = {}
        for waiter in waiting:
            if waiter.page is not None:
                pages.setdefault(waiter.page, []).append(waiter)
        self._pages = {page.key: page for page in pages}
        return pages

    async def _common_filters(self, waiting: list[_Waiter]) -> Filters | None:
        """What all runs have in common; None where each technique and project is read by itself."""
        histories = {_kind(waiter.history): waiter for waiter in waiting}
        if len(histories) > 1 and self._is_crowded:
            return None
        if len({technique_id for technique_id, _ in histories}) > 1:  # then their ids need not be known
            common = frozenset.intersection(*(filters for _, filters in histories))
        else:
            common = frozenset.intersection(*[await self._filters(waiter) for waiter in histories.values()])
        return common

    async def _filters(self, waiter: _Waiter) -> Filters:
        slug, filters = _kind(waiter.history)
        if slug is None:
            return filters
        if slug not in self._technique_ids:
            try:
                technique = await self._techniques.find(slug)
            except NotFoundError:
                technique = None
            self._technique_ids[slug] = None if technique is None else technique.technique_id
        technique_id = self._technique_ids[slug]
        # Without its id, the runs of the technique are found among those of all techniques.
        return filters if technique_id is None else filters | {("technique_id", technique_id)}

    def _page(self, filters: Filters, cursor: str | None) -> _Page:
        key = _PageKey(filters, cursor)
        page = self._pages.get(key)
        if page is None:
            now = self._poller.clock.monotonic()
            page = self._pages[key] = _Page(key, now, now)
            if cursor is None:
                # The first poll may come sooner than the interval, where the policy says so.
                page.read_at += min(self._poller.policy.initial, self._interval) - self._interval
        return page

    def _next(self, pages: Mapping[_Page, list[_Waiter]]) -> tuple[_Page, float]:
        """The page to read next, and when."""
        due = {page: max(self._times.next(runs, page.read_at), page.not_before) for page, runs in pages.items()}
        page = min(due, key=lambda page: due[page])
        return page, due[page]

    def _give_up(self) -> None:
        """Stop following runs whose deadline has passed: each gets a last poll of its own."""
        now = self._poller.clock.monotonic()
        for waiter in self._waiters.values():
            if now >= waiter.deadline:
                waiter.resolve(None)

    async def _read(self, page: _Page) -> None:
        try:
            await self._read_from(page)
        except FloraError as error:
            if page.key.cursor is not None and self._keeps_cursors and not is_transient(error):
                # A cursor need not be valid for ever.
                self._keeps_cursors = False
                for waiter in self._waiters.values():
                    waiter.page = None
                return
            self._failures += 1
            page.failures += 1
            self._is_unusable = not is_transient(error)
            asked = error.retry_after if isinstance(error, APIStatusError) else None
            page.not_before = self._poller.clock.monotonic() + max(self._interval, asked or 0.0)
            if page.failures >= _MAX_FAILURES:
                for waiter in self._waiters.values():
                    if waiter.page is page:
                        waiter.resolve(None)
        else:
            self._failures = page.failures = 0

    async def _read_from(self, first: _Page) -> None:
        """Read a page, and those that follow until every run that is looked for on it was seen."""
        clock, filters = self._poller.clock, first.key.filters
        unseen = {waiter.run.run_id: waiter for waiter in self._waiting() if waiter.page is first}
        wanted, page, cursors = len(unseen), first, {first.key.cursor}
        while True:
            began = clock.monotonic()
            listed = await self._fetch(page.key)
            now = clock.monotonic()
            # From reading to reading, so that a slow answer does not delay news, but with a rest for a slow FLORA.
            page.read_at, page.not_before = began, now + self._interval / 4
            self._show(listed, page if self._keeps_cursors else first, began)
            for item in listed.items:
                unseen.pop(item.run_id, None)
            self._give_up()
            unseen = {run_id: waiter for run_id, waiter in unseen.items() if not waiter.ended.done()}
            cursor = listed.next_cursor
            if cursor is None or cursor in cursors or self._is_past(listed, unseen, len(cursors), wanted):
                break
            cursors.add(cursor)
            page = self._page(filters, cursor)
        self._miss(unseen.values(), now)
        kinds = {_kind(waiter.history) for waiter in self._waiting()}
        if len(cursors) > len(kinds) + wanted // _PAGE_SIZE and len(kinds) > 1:
            self._is_crowded = True

    async def _fetch(self, key: _PageKey) -> Page[Any]:
        deadline = max((waiter.deadline for waiter in self._waiting()), default=math.inf)
        with until(deadline):
            page: Page[Any] = await list_runs(
                self._client, self._operation, dict(key.filters), key.cursor, run_times=self._poller.run_times
            )
        for problem in page.problems:
            if problem.index is None:
                raise DecodeError(problem.path, problem.reason)
        return page

    def _is_past(self, listed: Page[Any], unseen: Mapping[str, _Waiter], read: int, wanted: int) -> bool:
        """Whether no run that is looked for can follow, or too many pages were read."""
        if not unseen:
            return True
        created = [waiter.run.created_at for waiter in unseen.values() if waiter.run.created_at is not None]
        if read >= wanted // _PAGE_SIZE + (_MAX_PAGES if created else 2 + wanted // _PAGE_SIZE):
            return True
        last = listed.items[-1].created_at if listed.items else None
        return last is not None and bool(created) and last < min(created)

    def _show(self, listed: Page[Any], page: _Page, began: float) -> None:
        """Learn from a page what has become of the runs on it."""
        ended: list[tuple[_Waiter, Run]] = []
        for run in listed.items:
            waiter = self._waiters.get(run.run_id)
            if waiter is None:
                continue
            waiter.page, waiter.is_listed, waiter.misses = page, True, 0
            if run.is_terminal:
                ended.append((waiter, run))
            else:
                waiter.alive_at = max(began, waiter.alive_at)
                self._times.note_alive(waiter)
        for waiter, run in sorted(ended, key=_end):
            observe(self._poller, waiter.subject, run)
            # A result that the history leaves out is in the answer to a poll.
            is_complete = run.outputs if run.is_completed else run.error_code or run.error_message
            waiter.resolve(
                evolve(plain_run(run), poll_url=run.poll_url or waiter.run.poll_url) if is_complete else None
            )

    def _miss(self, unseen: Collection[_Waiter], now: float) -> None:
        for waiter in unseen:
            waiter.page = None  # to be looked for from the first page on
            if not waiter.is_listed and now - waiter.created_at < _MAX_LAG * self._interval:
                continue
            waiter.misses += 1
            if waiter.misses >= _MAX_MISSES:
                waiter.resolve(None)


def observe(poller: Poller, subject: str, run: Run) -> None:
    """Learn how long a run took that has ended."""
    poller.run_times.observe_run(subject, run, now=poller.client.flora_time)


def _end(ended: tuple[_Waiter, Run]) -> float:
    moment = ended[1].completed_at
    return -math.inf if moment is None else moment.timestamp()


def _kind(history: History) -> tuple[str | None, Filters]:
    """What the list can be narrowed to for a run: the technique as the caller named it, and FLORA's other filters."""
    return history.technique_id, frozenset(
        (name, value) for name, value in history.filters.items() if value is not None
    )
