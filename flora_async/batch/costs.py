"""`LateCosts`: read costs that FLORA only names some time after a run has ended."""

import math
from collections import defaultdict
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import Final

from attrs import evolve, frozen

from flora_async._http.retry import logger
from flora_async.batch.budget import Budget, believable
from flora_async.batch.journal import Journal, Unsettled
from flora_async.batch.rows import Planned, history_of
from flora_async.batch.watchers import MIN_TOGETHER, TechniqueLookup
from flora_async.errors import FloraError
from flora_async.models import Page, Run
from flora_async.polling import Poller
from flora_async.resources import History, Pager, list_runs

# Seconds after the end of a run within which FLORA names its cost; a failed run that it refunds has none.
_GRACE: Final = 60.0
_FIRST_PAUSE: Final = 1.0
_MAX_PAUSE: Final = 15.0
_MAX_RUNS: Final = 1000
_MAX_POLLS: Final = 20  # in one reading
_READING_TIMEOUT: Final = 15.0
_PAGE_SIZE: Final = 100
_MAX_PAGES: Final = 20  # in one reading
_CERTAINLY_ENDED: Final = 3600.0  # seconds after its start


@frozen
class _LateCost:
    run_id: str
    poll_url: None
    subject: str
    history: History | None
    created_at: datetime | None
    ended_at: float
    is_counted: bool


class LateCosts:
    """The runs that have ended and whose cost is not known yet.

    A completed run counts at its price until its cost is known. FLORA refunds most failed runs, so the price of one is
    only reserved, for a minute.

    Args:
        poller: Polls single runs.
        techniques: Finds the ids of techniques.
        journal: Records costs that become known.
        budget: Counts them.
    """

    def __init__(self, poller: Poller, techniques: TechniqueLookup, journal: Journal, budget: Budget) -> None:
        self._poller = poller
        self._client = poller.client.without_retries()
        self._techniques = techniques
        self._journal = journal
        self._budget = budget
        self._late: dict[str, _LateCost] = {}
        self._pause = _FIRST_PAUSE

    @property
    def are_awaited(self) -> bool:
        """Whether there are costs that may still become known."""
        return bool(self._late)

    def add(self, run: Run, row: Planned) -> None:
        """Keep a run that has ended without a cost, and whose price is reserved."""
        is_counted = run.is_completed
        if is_counted:
            self._budget.defer(row.subject)
        if len(self._late) < _MAX_RUNS and run.run_id not in self._late:
            self._pause = _FIRST_PAUSE
            now = self._poller.clock.monotonic()
            self._late[run.run_id] = _LateCost(
                run.run_id, None, row.subject, row.history, run.created_at, now, is_counted
            )
        elif not is_counted:
            self._budget.release(row.subject)

    def resume(self, runs: Iterable[Unsettled]) -> None:
        """Count the runs of earlier processes whose cost was not known then."""
        clock = self._poller.clock
        self._pause = 0.0  # they have been waiting already
        for run in runs:
            self._budget.expect(believable(run.price), run.subject)
            self._budget.owe(run.subject)
            if len(self._late) < _MAX_RUNS:
                is_old = run.since is None or clock.time() - run.since > _CERTAINLY_ENDED
                ended_at = -math.inf if is_old else clock.monotonic()
                history = None if run.target is None else history_of(run.kind, run.target)
                self._late[run.run_id] = _LateCost(
                    run.run_id, None, run.subject, history, None, ended_at, is_counted=True
                )

    async def settle(self) -> None:
        """Read until the costs of all completed runs are known, or a minute has passed since the last of them ended."""
        while any(late.is_counted for late in self._late.values()):
            await self.read_later()

    async def read_later(self) -> None:
        """Wait a little, longer each time, and read every missing cost from FLORA once."""
        if any(late.ended_at > -math.inf for late in self._late.values()):
            await self._poller.clock.sleep(self._pause)
            self._pause = min(max(self._pause * 2, _FIRST_PAUSE), _MAX_PAUSE)
        now = self._poller.clock.monotonic()
        costs: dict[str, float] = {}
        try:
            for run in await self._read(now + _READING_TIMEOUT):
                late, cost = self._late[run.run_id], self._cost_of(run, now)
                if cost is not None:
                    del self._late[run.run_id]
                    self._resolve(late, cost)
                    costs[run.run_id] = cost
                elif run.failure is not None and late.is_counted:
                    self._budget.pay(0.0, late.subject)
                    self._budget.reserve(late.subject)
                    self._late[run.run_id] = evolve(late, is_counted=False)
            if costs:
                await self._journal.settle(costs)
        except Exception as error:  # noqa: BLE001 - a cost that cannot be read or recorded must not end the batch
            logger.warning("the costs of ended runs could not be read: %s", error)
        for late in [late for late in self._late.values() if now - late.ended_at >= self._grace(late)]:
            del self._late[late.run_id]
            if not late.is_counted:
                self._budget.release(late.subject)

    def _grace(self, late: _LateCost) -> float:
        # Without a price, there is no reason to think that the run costs anything.
        return _GRACE if self._budget.price_of(late.subject) is not None else 0.0

    def _cost_of(self, run: Run, now: float) -> float | None:
        """What a run has cost; None while that is not known."""
        cost = believable(run.charged_cost)
        if cost is None and run.failure is not None:
            clock, ended = self._poller.clock, run.completed_at
            age = now - self._late[run.run_id].ended_at if ended is None else clock.time() - ended.timestamp()
            return 0.0 if age >= _GRACE else None
        return cost

    def _resolve(self, late: _LateCost, cost: float) -> None:
        if late.is_counted:
            self._budget.pay(cost, late.subject)
        else:
            self._budget.settle(cost, late.subject)

    async def _read(self, deadline: float) -> list[Run]:
        found: list[Run] = []
        unread = dict(self._late)
        groups: defaultdict[tuple[str, str | None], list[_LateCost]] = defaultdict(list)
        for late in unread.values():
            if late.history is not None:
                groups[late.history.operation, late.history.technique_id].append(late)
        for (operation, slug), group in groups.items():
            if len(group) >= MIN_TOGETHER:
                for run in await self._read_history(operation, slug, group, deadline):
                    del unread[run.run_id]
                    found.append(run)
        for late in list(unread.values())[:_MAX_POLLS]:
            try:
                run, _ = await self._poller.poll_of(late)(deadline)
            except (FloraError, ValueError) as error:
                logger.debug("the cost of a run could not be read: %s", error)
                continue
            if run.run_id == late.run_id:
                found.append(run)
        return found

    async def _read_history(
        self, operation: str, slug: str | None, group: list[_LateCost], deadline: float
    ) -> list[Run]:
        found: list[Run] = []
        wanted = {late.run_id for late in group}
        try:
            filters: dict[str, str | None] = {}
            if slug is not None:
                technique = await self._techniques.find(slug)
                if technique is None:
                    return found
                filters["technique_id"] = technique.technique_id
            runs = list_runs(self._client, operation, filters, run_times=self._poller.run_times)
            pages = _pages(runs, [late.created_at for late in group])
            async with aclosing(pages):
                async for page in pages:
                    for run in page.items:
                        if run.run_id in wanted:
                            wanted.discard(run.run_id)
                            found.append(run)
                    if not wanted or self._poller.clock.monotonic() >= deadline:
                        break
        except FloraError as error:
            logger.debug("the costs of runs could not be read from the history: %s", error)
        return found


async def _pages(pager: Pager[Run], created: Sequence[datetime | None]) -> AsyncGenerator[Page[Run], None]:
    """Yield the newest pages of a history, as far back as runs that were created at these times can be."""
    oldest = min((moment for moment in created if moment is not None), default=None)
    max_pages = len(created) // _PAGE_SIZE + (_MAX_PAGES if oldest is not None else 2 + len(created) // _PAGE_SIZE)
    async with aclosing(pager.pages()) as pages:
        async for page in pages:
            yield page
            max_pages -= 1
            last = page.items[-1].created_at if page.items else None
            if max_pages <= 0 or (oldest is not None and last is not None and last < oldest):
                return
