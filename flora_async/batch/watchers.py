"""Wait for many runs: each by its own poll URL, or all of a technique by reading the history.

The history (FLORA's page "List technique run history") lists up to 100 runs in one answer, newest first, so that one
request does the work of a hundred polls.
"""

import asyncio
import math
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import Any, Final, Literal, Protocol

from attrs import define, field, frozen

from flora_async._cache import KeyedLocks, RecentItems
from flora_async._http.responses import is_transient
from flora_async._http.retry import logger
from flora_async.errors import APIStatusError, FloraError, NotFoundError
from flora_async.models import Page, Run, Technique, TechniqueRun
from flora_async.polling import Poller, log_end, plain_run, wait
from flora_async.resources import History, RunHistory, TechniqueCache

Watch = Literal["auto", "list", "each"]

Spawn = Callable[[Coroutine[Any, Any, None]], object]
"""Starts a task that ends with the batch at the latest."""

MIN_TOGETHER: Final = 5  # with fewer runs than this, polling each takes no more requests than reading the history
_PAGE_SIZE: Final = 100
# Seconds between polls: one request serves all runs, so it can come more often than one for each.
_INTERVAL: Final = 1.6
_MAX_MISSES: Final = 2
_MAX_FAILURES: Final = 3
_MAX_PAGES: Final = 20  # for one poll; older runs are followed by their own poll URLs
_MAX_FAILED_LOOKUPS: Final = 256


class TechniqueLookup:
    """Finds techniques for prices and checks; one that could not be read is not asked for again.

    Args:
        cache: Reads techniques.
    """

    def __init__(self, cache: TechniqueCache) -> None:
        self._cache = cache
        self._failures: RecentItems[str, FloraError] = RecentItems(_MAX_FAILED_LOOKUPS)
        self._locks = KeyedLocks()

    async def find(self, technique_id: str, *, since: float | None = None) -> Technique | None:
        """The technique under a slug or id; None when it cannot be read.

        Raises:
            NotFoundError: FLORA says that there is no such technique.
        """
        async with self._locks.hold(technique_id):
            failure = self._failures.get(technique_id)
            if failure is None:
                try:
                    return await self._cache.find(technique_id, since=since)
                except FloraError as error:
                    failure = error
                    self._failures[technique_id] = error
            # FLORA gives its own answers a request id; a proxy's 404 says nothing about the technique.
            if isinstance(failure, NotFoundError) and failure.request_id:
                raise failure.with_traceback(None)
            # Runs can be started and followed without it; a real problem appears with the first start.
            return None


class Watcher(Protocol):
    """Follows runs to their end."""

    async def finish(self, run: Run, history: History | None, target: str) -> Run:
        """Wait for the end of a run.

        Args:
            run: The run.
            history: Where FLORA lists it; None = in no history.
            target: Its technique, model or action, as the caller named it.

        Raises:
            FloraError: As `wait_for_run`.
        """
        ...


class EachWatcher:
    """Follows each run by its own poll URL.

    Args:
        poller: Polls the runs.
    """

    def __init__(self, poller: Poller) -> None:
        self._poller = poller

    async def finish(self, run: Run, history: History | None, target: str) -> Run:  # noqa: ARG002 - a protocol's method
        """Wait for the end of a run."""
        return await wait(self._poller, run)


class HistoryWatcher:
    """Follows the runs of each technique together; a run that the history does not show, by its own poll URL.

    Args:
        poller: Polls single runs.
        techniques: Finds the ids of techniques.
        spawn: Starts a task that ends with the batch.
        min_together: With fewer runs than this under way, each is followed by its own poll URL.
    """

    def __init__(self, poller: Poller, techniques: TechniqueLookup, spawn: Spawn, min_together: int) -> None:
        self._poller = poller
        self._techniques = techniques
        self._spawn = spawn
        self._min_together = min_together
        self._active = 0
        self._histories: dict[str, _History] = {}

    async def finish(self, run: Run, history: History | None, target: str) -> Run:  # noqa: ARG002 - a protocol's method
        """Wait for the end of a run."""
        if run.is_terminal:
            return run
        self._active += 1
        try:
            technique_id = None if history is None else history.technique_id
            if technique_id is None or self._active < self._min_together:
                return await wait(self._poller, run)
            return await self._together(run, technique_id)
        finally:
            self._active -= 1

    async def _together(self, run: Run, technique_id: str) -> Run:
        clock, limit = self._poller.clock, self._poller.policy.timeout
        deadline = math.inf if limit is None else clock.monotonic() + limit
        history = self._histories.get(technique_id)
        if history is None:
            history = _History(self._poller, self._techniques, technique_id, self._min_together)
            self._histories[technique_id] = history
        ended = await history.find(run, deadline, self._spawn)
        if ended is not None:
            return ended
        # A run of unknown age is polled at once. The time spent on the history counts toward the timeout.
        remaining = None if limit is None else max(deadline - clock.monotonic(), 0.0)
        return await wait(self._poller, _Unseen(run.run_id, run.poll_url), timeout=remaining)


@frozen
class _Unseen:
    """Names a run of unknown age, which is polled at once."""

    run_id: str
    poll_url: str | None


def watcher_of(watch: Watch, poller: Poller, techniques: TechniqueLookup, spawn: Spawn) -> Watcher:
    """The watcher for the option `watch`."""
    if watch == "each":
        return EachWatcher(poller)
    return HistoryWatcher(poller, techniques, spawn, MIN_TOGETHER if watch == "auto" else 0)


@define(eq=False)
class _Waiter:
    run: Run
    deadline: float
    ended: asyncio.Future[Run | None] = field(factory=lambda: asyncio.get_running_loop().create_future())
    misses: int = 0

    def resolve(self, run: Run | None) -> None:
        if not self.ended.done():
            self.ended.set_result(run)


class _History:
    """Polls the history of one technique while any of its runs is waited for."""

    def __init__(self, poller: Poller, techniques: TechniqueLookup, slug: str, min_together: int) -> None:
        self._poller = poller
        self._runs = RunHistory(poller.client.without_retries())
        self._techniques = techniques
        self._slug = slug
        self._technique_id: str | None = None
        self._min_together = min_together
        self._waiters: dict[str, _Waiter] = {}
        self._is_watched = False
        self._is_unusable = False

    async def find(self, run: Run, deadline: float, spawn: Spawn) -> Run | None:
        """Wait until the history shows that the run has ended; None when its own poll URL has to be polled instead."""
        if self._is_unusable or run.run_id in self._waiters:
            return None
        waiter = self._waiters[run.run_id] = _Waiter(run, deadline)
        if not self._is_watched:
            self._is_watched = True
            spawn(self._watch())
        began = self._poller.clock.monotonic()
        try:
            # Deadlines are checked after each page; this timeout covers a page that never ends.
            async with asyncio.timeout(None if deadline == math.inf else deadline - began):
                ended = await waiter.ended
        except TimeoutError:
            ended = None
        finally:
            del self._waiters[run.run_id]
        if ended is not None:
            log_end(ended, self._poller.clock.monotonic() - began)
        return ended

    async def _watch(self) -> None:
        try:
            await self._poll_until_ended()
        except Exception:  # noqa: BLE001 - a row does not depend on the others, whatever happens here
            logger.exception("the history of %.80s cannot be used; its runs are polled one by one", self._slug)
            self._is_unusable = True
        finally:
            self._is_watched = False
            # The remaining runs are followed by their own poll URLs, which tolerate outages as the policy says.
            for waiter in self._waiters.values():
                waiter.resolve(None)

    async def _poll_until_ended(self) -> None:
        clock, policy = self._poller.clock, self._poller.policy
        interval = _INTERVAL if policy.maximum is None else min(policy.maximum, _INTERVAL)
        failures, pause = 0, min(policy.initial, interval)
        try:
            technique = await self._techniques.find(self._slug)
        except NotFoundError:
            technique = None
        self._is_unusable = technique is None
        self._technique_id = technique.technique_id if technique else None
        while self._waiters and not self._is_unusable:
            await clock.sleep(pause)
            began, retry_after = clock.monotonic(), 0.0
            try:
                await self._poll()
            except FloraError as error:
                failures += 1
                self._is_unusable = not is_transient(error)
                retry_after = (error.retry_after or 0.0) if isinstance(error, APIStatusError) else 0.0
            else:
                failures = 0
            if failures >= _MAX_FAILURES or len(self._waiters) < self._min_together:
                break
            now = clock.monotonic()
            self._give_up(now)
            # Measured from poll to poll, so that many pages do not delay results, but with a rest for a slow FLORA.
            pause = max(began + interval - now, interval / 4, retry_after)

    def _give_up(self, now: float) -> None:
        """Stop following runs whose deadline has passed: each gets a last poll of its own."""
        for waiter in self._waiters.values():
            if now >= waiter.deadline:
                waiter.resolve(None)

    async def _poll(self) -> None:
        """Read pages until every run that is waited for was seen."""
        unseen = dict(self._waiters)
        pages = history_pages(self._runs, self._technique_id, [waiter.run.created_at for waiter in unseen.values()])
        async with aclosing(pages):
            async for page in pages:
                for run in page.items:
                    waiter = unseen.pop(run.run_id, None)
                    if waiter is not None:
                        waiter.misses = 0
                        _resolve_if_ended(waiter, run)
                self._give_up(self._poller.clock.monotonic())
                if all(waiter.ended.done() for waiter in unseen.values()):
                    break
        for waiter in unseen.values():
            waiter.misses += 1
            if waiter.misses >= _MAX_MISSES:
                waiter.resolve(None)


async def history_pages(
    runs: RunHistory, technique_id: str | None, created: Sequence[datetime | None]
) -> AsyncGenerator[Page[TechniqueRun], None]:
    """Yield the newest pages of a history, as far back as runs that were created at these times can be."""
    oldest = min((moment for moment in created if moment is not None), default=None)
    max_pages = len(created) // _PAGE_SIZE + (_MAX_PAGES if oldest is not None else 2 + len(created) // _PAGE_SIZE)
    pages = runs.list(technique_id=technique_id, limit=_PAGE_SIZE).pages()
    async with aclosing(pages):
        async for page in pages:
            yield page
            max_pages -= 1
            last = page.items[-1].created_at if page.items else None
            if max_pages <= 0 or (oldest is not None and last is not None and last < oldest):
                return


def _resolve_if_ended(waiter: _Waiter, run: Run) -> None:
    """Pass on a run that has ended, or None if the history leaves out its result, which polling returns."""
    is_complete = run.outputs if run.is_completed else run.error_code or run.error_message
    if run.is_terminal:
        waiter.resolve(plain_run(run) if is_complete else None)
