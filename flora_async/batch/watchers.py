"""Waiting for many runs: each by its own poll URL, or all together by one look at the history.

The history (FLORA's page "List technique run history") lists up to 100 runs in one answer, newest first. So one request
tells of a hundred runs what a hundred polls would.
"""

import asyncio
import math
from collections.abc import Callable, Coroutine
from typing import Any, Final, Literal, Protocol

from attrs import define, field, fields

from flora_async._http.responses import is_transient
from flora_async.errors import APIStatusError, FloraError
from flora_async.models import Run, Technique
from flora_async.polling import Poller, wait
from flora_async.resources import RunHistory, TechniqueCache

Watch = Literal["auto", "list", "each"]

Spawn = Callable[[Coroutine[Any, Any, None]], object]

_FEW: Final = 5  # with fewer runs than this, their own polls are no more than looks at the history
_PAGE: Final = 100
_INTERVAL: Final = 1.6  # seconds from look to look: one for all runs, so quicker than FLORA advises for each
_MOST_MISSES: Final = 2
_MOST_FAILURES: Final = 3


class Techniques:
    """What techniques are, where FLORA tells; those that it does not tell of are not asked for again.

    Args:
        catalog: Where to ask.
    """

    def __init__(self, catalog: TechniqueCache) -> None:
        self._catalog = catalog
        self._untold: set[str] = set()
        self._lock = asyncio.Lock()

    async def find(self, technique_id: str, *, since: float | None = None) -> Technique | None:
        """The technique under a slug or an id; None when FLORA does not tell."""
        async with self._lock:
            if technique_id not in self._untold:
                try:
                    return await self._catalog.find(technique_id, since=since)
                except FloraError:
                    # Prices are learned, and runs followed, without it; what is really wrong shows at the first start.
                    self._untold.add(technique_id)
            return None


class Watcher(Protocol):
    """One who follows runs to their ends."""

    async def finish(self, run: Run, technique_id: str) -> Run:
        """The run when it has ended.

        Raises:
            FloraError: As `wait_for_run`.
        """
        ...


class EachWatcher:
    """Follows each run by its own poll URL.

    Args:
        poller: Where to look.
    """

    def __init__(self, poller: Poller) -> None:
        self._poller = poller

    async def finish(self, run: Run, technique_id: str) -> Run:  # noqa: ARG002 - a protocol's method
        """The run when it has ended."""
        return await wait(self._poller, run)


class HistoryWatcher:
    """Follows runs together, by technique; those that the history does not tell of by their own poll URLs.

    Args:
        poller: Where to look at single runs.
        techniques: What techniques are.
        spawn: Starts a task that ends with the batch.
        few: Below this number of runs, each is followed by its own poll URL.
    """

    def __init__(self, poller: Poller, techniques: Techniques, spawn: Spawn, few: int) -> None:
        self._poller = poller
        self._techniques = techniques
        self._spawn = spawn
        self._few = few
        self._active = 0
        self._histories: dict[str, _History] = {}

    async def finish(self, run: Run, technique_id: str) -> Run:
        """The run when it has ended."""
        if run.is_terminal:
            return run
        self._active += 1
        try:
            if self._active < self._few:
                return await wait(self._poller, run)
            return await self._together(run, technique_id)
        finally:
            self._active -= 1

    async def _together(self, run: Run, technique_id: str) -> Run:
        clock, limit = self._poller.clock, self._poller.policy.timeout
        deadline = math.inf if limit is None else clock.monotonic() + limit
        history = self._histories.get(technique_id)
        if history is None:
            history = self._histories[technique_id] = _History(self._poller, self._techniques, technique_id, self._few)
        ended = await history.find(run, deadline, self._spawn)
        if ended is not None:
            return ended
        # Looked at by URL, since a look is due at once; what is left of its time goes with it.
        left = None if limit is None else max(deadline - clock.monotonic(), 0.0)
        return await wait(self._poller, run.poll_url or run.run_id, timeout=left)


def watcher_of(watch: Watch, poller: Poller, techniques: Techniques, spawn: Spawn) -> Watcher:
    """The watcher that was asked for."""
    if watch == "each":
        return EachWatcher(poller)
    return HistoryWatcher(poller, techniques, spawn, _FEW if watch == "auto" else 0)


@define(eq=False)
class _Waiting:
    run: Run
    deadline: float
    found: asyncio.Future[Run | None] = field(factory=lambda: asyncio.get_running_loop().create_future())
    misses: int = 0

    def resolve(self, run: Run | None) -> None:
        if not self.found.done():
            self.found.set_result(run)


class _History:
    """Looks at the runs of one technique, as long as any is waited for."""

    def __init__(self, poller: Poller, techniques: Techniques, technique_id: str, few: int) -> None:
        self._poller = poller
        self._runs = RunHistory(poller.client.without_retries())
        self._techniques = techniques
        self._slug = technique_id
        self._technique_id: str | None = None
        self._few = few
        self._waiting: dict[str, _Waiting] = {}
        self._is_watched = False
        self._is_useless = False

    async def find(self, run: Run, deadline: float, spawn: Spawn) -> Run | None:
        """The run as the history says it ended; None when its own poll URL has to say."""
        if self._is_useless:
            return None
        waiting = self._waiting[run.run_id] = _Waiting(run, deadline)
        if not self._is_watched:
            self._is_watched = True
            spawn(self._watch())
        try:
            return await waiting.found
        finally:
            del self._waiting[run.run_id]

    async def _watch(self) -> None:
        clock, poll = self._poller.clock, self._poller.policy
        interval = _INTERVAL if poll.maximum is None else min(poll.maximum, _INTERVAL)
        failures, pause = 0, min(poll.initial, interval)
        technique = await self._techniques.find(self._slug)
        if technique is None:
            self._is_useless = True
        else:
            self._technique_id = technique.technique_id
        while self._waiting and not self._is_useless:
            await clock.sleep(pause)
            began, asked = clock.monotonic(), 0.0
            try:
                await self._look()
            except FloraError as error:
                failures += 1
                self._is_useless = not is_transient(error)
                asked = (error.retry_after or 0.0) if isinstance(error, APIStatusError) else 0.0
            else:
                failures = 0
            if failures >= _MOST_FAILURES or len(self._waiting) < self._few:
                break
            now = clock.monotonic()
            for waiting in self._waiting.values():
                if now >= waiting.deadline:
                    waiting.resolve(None)
            # From look to look, not from answer to look: many pages do not make results late. A slow FLORA gets a rest.
            pause = max(began + interval - now, interval / 4, asked)
        self._is_watched = False
        # Whoever still waits goes on by its own poll URL, which bears outages as long as the policy says.
        for waiting in self._waiting.values():
            waiting.resolve(None)

    async def _look(self) -> None:
        """One look: as many pages as it takes to meet every run that is waited for."""
        wanted = dict(self._waiting)
        created = [waiting.run.created_at for waiting in wanted.values()]
        oldest = min((moment for moment in created if moment is not None), default=None)
        pages_left = 2 + 2 * len(wanted) // _PAGE  # where FLORA does not say when runs were created
        async for page in self._runs.list(technique_id=self._technique_id, limit=_PAGE).pages():
            pages_left -= 1
            for run in page.items:
                waiting = wanted.pop(run.run_id, None)
                if waiting is not None:
                    waiting.misses = 0
                    _tell(waiting, run)
            last = page.items[-1].created_at if page.items else None
            if not wanted or (pages_left <= 0 if oldest is None or last is None else last < oldest):
                break
        for waiting in wanted.values():
            waiting.misses += 1
            if waiting.misses >= _MOST_MISSES:
                waiting.resolve(None)


def _tell(waiting: _Waiting, run: Run) -> None:
    """Pass on what the history says of a run; where an ended one lacks its result, its own poll URL has that."""
    is_whole = run.outputs if run.is_completed else run.error_code or run.error_message
    if run.is_terminal:
        waiting.resolve(_plain(run) if is_whole else None)


def _plain(run: Run) -> Run:
    """The run as its own poll URL would tell it, so that results do not differ by the way they were learned."""
    return Run(**{known.name: getattr(run, known.name) for known in fields(Run)})
