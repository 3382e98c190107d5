"""Find the run of a start in FLORA's histories, when every answer to the start was lost."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from attrs import field, frozen

from flora_async import models
from flora_async._clock import Clock, sleep_or
from flora_async._http.client import Client
from flora_async._http.deadline import current_deadline
from flora_async._http.retry import logger
from flora_async._http.routes import ROUTES
from flora_async._http.submission import Submission
from flora_async.errors import SubmissionUnknownError
from flora_async.models import Run, TechniqueRun
from flora_async.polling import RunTimes, decode_run
from flora_async.resources._open_starts import SLACK, OpenStart, OpenStarts
from flora_async.resources._operations import paginate
from flora_async.resources._pager import Pager

Knows = Callable[[str], Awaitable[bool]]
"""Whether a run of some id belongs to another start."""
FindTechniqueId = Callable[[str], Awaitable[str | None]]
"""Finds the id of a technique named by slug or id; None where FLORA does not say."""

_PAGE_SIZE: Final = 100
_MAX_PAGES: Final = 20
# Without FLORA's `Date` to measure by, the two clocks may differ by this much, in seconds.
_UNKNOWN_SKEW: Final = 120.0
# Histories lag behind, so they are polled up to this many times, with growing pauses.
_MAX_POLLS: Final = 6
_GROWTH: Final = 1.5
_DEFAULT_PAUSE: Final = 10.0
# A run shows up in the history this many seconds after its creation at the latest.
_MAX_LAG: Final = 60.0


@frozen
class History:
    """Where the run of a start is listed, and how to recognize it.

    Attributes:
        operation: `techniques.runs.list` or `generations.list`.
        technique_id: The technique's slug or id.
        model: The model's endpoint id.
        filters: What else FLORA can filter by: workspace and project.
    """

    operation: str
    technique_id: str | None = None
    model: str | None = None
    filters: Mapping[str, str | None] = field(factory=dict)

    def _may_be(self, run: Any, technique_id: str | None) -> bool:  # noqa: ANN401 - a TechniqueRun or a Generation
        """Whether a run is of the same technique or model, as far as the history says."""
        technique, model = getattr(run, "technique", None), getattr(run, "model", None)
        if technique_id and technique and technique.technique_id not in {"", technique_id}:
            return False
        return not (self.model and model and model.model_id and model.model_id != self.model)


def learning(client: Client, run_times: RunTimes, status: str | None = None) -> Callable[[Sequence[Run]], None] | None:
    """What learns from each page of a history; None for one that is filtered by status, which is not representative."""
    if status is not None:
        return None
    return lambda runs: run_times.observe_page(runs, now=client.flora_time)


def list_runs(
    client: Client,
    operation: str,
    filters: Mapping[str, str | None],
    cursor: str | None = None,
    *,
    run_times: RunTimes,
) -> Pager[Any]:
    """The runs of a history (`TechniqueRun` or `Generation`), newest first, on pages of the largest size.

    Args:
        client: Sends the requests.
        operation: `techniques.runs.list` or `generations.list`.
        filters: FLORA's own filters.
        cursor: The page to begin at; None = the first.
        run_times: Learns from the runs.
    """
    of_techniques = operation == "techniques.runs.list"
    return paginate(
        client,
        operation,
        TechniqueRun if of_techniques else models.Generation,
        items_key="technique_runs" if of_techniques else "generations",
        filters=filters,
        limit=_PAGE_SIZE,
        cursor=cursor,
        on_page=learning(client, run_times, filters.get("status")),
    )


class RunFinder:
    """Finds the runs of starts in doubt.

    Args:
        client: Sends the requests.
        open_starts: The session's starts under way and the runs it knows.
        technique_id_of: Finds the id of a technique.
        run_times: Learns from the histories.
    """

    def __init__(
        self, client: Client, open_starts: OpenStarts, technique_id_of: FindTechniqueId, run_times: RunTimes
    ) -> None:
        self._client = client
        self._open_starts = open_starts
        self._technique_id_of = technique_id_of
        self._run_times = run_times

    def using(self, client: Client, technique_id_of: FindTechniqueId | None = None) -> "RunFinder":
        """The same finder with another client of the session, and another way to find techniques if it is given."""
        return RunFinder(client, self._open_starts, technique_id_of or self._technique_id_of, self._run_times)

    async def find(
        self,
        history: History | None,
        start: OpenStart,
        unknown: SubmissionUnknownError,
        *,
        news: asyncio.Future[str] | None,
        knows: Knows | None,
    ) -> Run:
        """Find the run of a start, when FLORA's answers leave no doubt which it is.

        A run is adopted only if a webhook has named it, if this session has got it under the same key before, or if all
        of this holds: FLORA has said that the run exists (409), two polls in a row have found exactly one run of that
        kind and time that belongs to no other start, and no other start in doubt of this session could have made it.

        Args:
            history: Where the run is listed; None = in no history.
            start: The start.
            unknown: The error to raise otherwise; it records what was done and found.
            news: Resolved with the run's id when a webhook names it.
            knows: Whether a run belongs to another start, beyond those of this session.

        Raises:
            SubmissionUnknownError: `unknown`, with `candidates` and `steps`.
        """
        webhook = _StartWebhook(news)
        try:
            if run_id := self._open_starts.run_of(start):
                self._step(unknown, f"this session knows the run {run_id:.60} of the key")
                found: Run | None = await self._retrieve(run_id)
            else:
                found = await self._find(history, start, unknown, webhook=webhook, knows=knows)
            deadline = current_deadline()
            if found is None and webhook.is_expected and not math.isinf(deadline):
                self._step(unknown, "waited for a webhook until the deadline")
                await webhook.sleep(self._client.clock, max(deadline - self._client.clock.monotonic(), 0.0))
            if found is None and webhook.run_id:
                self._step(unknown, f"a webhook named the run {webhook.run_id:.60}")
                found = await self._retrieve(webhook.run_id)
        except Exception as error:  # noqa: BLE001 - whatever ends the search, the start stays in doubt
            if error is not unknown:
                self._step(unknown, f"could not ask: {error}")
            raise unknown from unknown.__cause__
        if found is None:
            raise unknown from unknown.__cause__
        return found

    async def _find(
        self,
        history: History | None,
        start: OpenStart,
        unknown: SubmissionUnknownError,
        *,
        webhook: "_StartWebhook",
        knows: Knows | None,
    ) -> Run | None:
        if history is None:
            self._step(unknown, "FLORA does not list such runs in a history")
            return None
        clock, submission = self._client.clock, start.submission
        settle = self._client.policy.settle
        pause = _DEFAULT_PAUSE if settle is None else settle / 3
        technique_id = await self._technique_id(history)
        before: set[str] | None = None
        for poll in range(1, _MAX_POLLS + 1):
            await self._open_starts.wait_for_rivals(start)
            if run_id := self._open_starts.run_of(start):  # another call with the key has found it meanwhile
                return await self._retrieve(run_id)
            candidates, unreadable = await self._candidates(history, technique_id, start, knows)
            unknown.candidates = tuple(candidates)
            ids = {run.run_id for run in candidates}
            self._step(unknown, f"found {len(ids)} unclaimed runs of its kind and time in the history")
            if not submission.proven:
                return None  # it may never have been carried out, so none of them need be its run
            if obstacle := self._obstacle(start, unreadable, knows):
                self._step(unknown, obstacle)
                return None
            # A start that began since the history was read may have one of the candidates.
            if ids and ids == before and not self._open_starts.rivals(start):
                return candidates[0] if len(candidates) == 1 else None
            before = ids
            pause = max(pause, self._time_to_appear(submission, candidates))
            if poll == _MAX_POLLS or clock.monotonic() + pause > current_deadline():
                break
            if await webhook.sleep(clock, pause):
                break
            pause *= _GROWTH
        return None

    def _obstacle(self, start: OpenStart, unreadable: int, knows: Knows | None) -> str | None:
        """Why no run can be adopted, however often the history is read."""
        if knows is None and self._open_starts.has_forgotten_rivals(start):
            return "cannot tell its run from those of this session that are not remembered any more"
        if rivals := [other for other in self._open_starts.rivals(start) if other.settled.is_set()]:
            return f"cannot tell its run from those of {len(rivals)} other starts in doubt"
        return f"cannot tell whether it is one of {unreadable} runs that could not be read" if unreadable else None

    def _time_to_appear(self, submission: Submission, candidates: list[Run]) -> float:
        """The seconds after which the start's own run is in the history, if a candidate is another program's.

        What takes as long to appear as the candidate did, and was created by the end of the start's time, is there.
        """
        created = [run.created_at.timestamp() for run in candidates if run.created_at]
        if not created or submission.until is None:
            return 0.0
        offset, _ = self._client.clock_offset or (0.0, 0.0)
        until = submission.until + offset
        lag_is_over = submission.until + _MAX_LAG - self._client.clock.time()
        return max(min(until - min(created), lag_is_over), 0.0)

    async def _technique_id(self, history: History) -> str | None:
        if history.technique_id is None or history.technique_id.startswith("tech_"):
            return history.technique_id
        return await self._technique_id_of(history.technique_id)

    async def _candidates(
        self, history: History, technique_id: str | None, start: OpenStart, knows: Knows | None
    ) -> tuple[list[Run], int]:
        """Find runs of the start's kind and time that belong to no other start, and count those that are unreadable."""
        submission = start.submission
        offset, error = self._client.clock_offset or (0.0, _UNKNOWN_SKEW)
        slack = max(error, SLACK)
        since = -math.inf if submission.since is None else submission.since + offset - slack
        until = math.inf if submission.until is None else submission.until + offset + slack
        filters = {**history.filters}
        if technique_id is not None:
            filters["technique_id"] = technique_id
        pager = list_runs(self._client, history.operation, filters, run_times=self._run_times)
        found: dict[str, Run] = {}  # pages overlap where runs are started while they are read
        pages = unreadable = 0
        async for page in pager.pages():
            pages += 1
            unreadable += len(page.problems)
            times = [run.created_at.timestamp() for run in page.items if run.created_at]
            for run in page.items:
                created = run.created_at.timestamp() if run.created_at else None
                is_in_time = created is None or since <= created <= until
                if is_in_time and history._may_be(run, technique_id) and not await self._is_anothers(run, knows):  # noqa: SLF001 - of this module
                    found[run.run_id] = run
            if times and times[-1] < since:
                break
            if pages == _MAX_PAGES and page.next_cursor is not None:
                unreadable += 1  # older runs of its time may follow
                break
        return list(found.values()), unreadable

    async def _is_anothers(self, run: Run, knows: Knows | None) -> bool:
        return self._open_starts.knows(run.run_id) or (knows is not None and await knows(run.run_id))

    async def _retrieve(self, run_id: str) -> Run:
        request = self._client.request(ROUTES["generations.retrieve"], {"run_id": run_id})
        return await self._client.fetch(request, partial(decode_run, run_id=run_id))

    @staticmethod
    def _step(unknown: SubmissionUnknownError, what: str) -> None:
        unknown.steps = (*unknown.steps, what)
        logger.info("Start under the idempotency key %s in doubt: %s", unknown.idempotency_key, what)


class _StartWebhook:
    """The webhook that may name the run of a start.

    Args:
        news: Resolved with the run's id when a webhook names it; None = no webhook is expected.
    """

    def __init__(self, news: "asyncio.Future[str] | None") -> None:
        self._news = news
        self._event = asyncio.Event()
        if news is not None:
            news.add_done_callback(lambda _: self._event.set())

    @property
    def is_expected(self) -> bool:
        """Whether a webhook may still name the run."""
        return self._news is not None

    @property
    def run_id(self) -> str | None:
        """The run's id, once a webhook has named it."""
        news = self._news
        return news.result() if news is not None and news.done() and not news.cancelled() else None

    async def sleep(self, clock: Clock, seconds: float) -> bool:
        """Sleep, but wake as soon as a webhook names the run; return whether one has."""
        if self._news is None:
            await clock.sleep(seconds)
            return False
        return self._news.done() or await sleep_or(clock, seconds, self._event)
