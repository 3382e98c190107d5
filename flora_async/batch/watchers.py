"""Wait for many runs: each by its own poll URL, or all of a kind by reading the history that lists them."""

import math
from typing import Final, Literal, Protocol

from attrs import frozen

from flora_async._cache import KeyedLocks, RecentItems
from flora_async.batch.shared_history import SharedHistory, Spawn, observe
from flora_async.errors import FloraError, NotFoundError
from flora_async.models import Run, Technique
from flora_async.polling import Poller, wait
from flora_async.resources import History, TechniqueCache

Watch = Literal["auto", "list", "each"]

MIN_TOGETHER: Final = 5  # with fewer runs than this, polling each takes no more requests than reading the history
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
            NotFoundError: FLORA does not know the technique.
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

    def failure_of(self, technique_id: str) -> FloraError | None:
        """Why `find` could not read a technique; None where it could."""
        return self._failures.get(technique_id)


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
    """Follows the runs of each kind together; a run that no history shows, by its own poll URL.

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
        self._histories: dict[tuple[str, str | None], SharedHistory] = {}

    async def finish(self, run: Run, history: History | None, target: str) -> Run:
        """Wait for the end of a run."""
        if run.is_terminal:
            return run
        self._active += 1
        try:
            if history is None:
                return await wait(self._poller, run)
            subject = f"{'technique' if history.operation == 'techniques.runs.list' else 'model'}:{target}"
            if self._active >= self._min_together:
                return await self._together(run, history, subject)
            ended = await wait(self._poller, run)
            observe(self._poller, subject, ended)
            return ended
        finally:
            self._active -= 1

    async def _together(self, run: Run, history: History, subject: str) -> Run:
        clock, limit = self._poller.clock, self._poller.policy.timeout
        deadline = math.inf if limit is None else clock.monotonic() + limit
        key = history.operation, history.filters.get("workspace_id")
        shared = self._histories.get(key)
        if shared is None:
            shared = SharedHistory(self._poller, self._techniques, history.operation, self._min_together)
            self._histories[key] = shared
        ended = await shared.find(run, history, subject, deadline, self._spawn)
        if ended is not None:
            return ended
        # A run of unknown age is polled at once. The time spent on the history counts toward the timeout.
        remaining = None if limit is None else max(deadline - clock.monotonic(), 0.0)
        ended = await wait(self._poller, _Unseen(run.run_id, run.poll_url), timeout=remaining)
        observe(self._poller, subject, ended)
        return ended


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
