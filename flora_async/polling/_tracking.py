"""Tell hooks of the start and the end of each run, always in pairs."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Protocol, Self, cast

from flora_async._cache import RecentItems
from flora_async._http.client import Client
from flora_async.errors import SubmissionUnknownError
from flora_async.models import Run

if TYPE_CHECKING:
    from flora_async._http.hook_calls import HookCalls, Listener
    from flora_async.hooks import BatchRow, RunStarted

ROW: "Final[ContextVar[BatchRow | None]]" = ContextVar("flora_async_row", default=None)
"""The row of a batch for which runs are started and waited for in this task."""

# So many runs are remembered that nothing waits for, and as many that have ended.
_MAX_RUNS: Final = 10_000


class Started(Protocol):
    """FLORA's answer to a start: a `Run` or a ticket."""

    @property
    def run_id(self) -> str:
        """FLORA's id of the run."""
        ...

    @property
    def charged_cost(self) -> float | None:
        """What FLORA quotes."""
        ...


class _Beginning:
    """What hooks are told of the beginning of a run, before it is known which run it is.

    Args:
        client: Knows the hooks and the clock.
        subject: What is run, as in `RunTimes`; None = not known.
        idempotency_key: The key of the start; None = this session has not started it.
        resumed: Whether an earlier session or process has started it.
    """

    __slots__ = ("began", "idempotency_key", "resumed", "sent_at", "subject")

    def __init__(self, client: Client, subject: str | None, idempotency_key: str | None, *, resumed: bool) -> None:
        self.began = client.clock.monotonic()
        self.sent_at = datetime.fromtimestamp(client.clock.time(), UTC)
        self.subject = subject
        self.idempotency_key = idempotency_key
        self.resumed = resumed

    def event(self, run_id: str | None, started: Started | None) -> "RunStarted":
        """The event of a run, with what FLORA's answer to its start says."""
        from flora_async.hooks import RunStarted  # noqa: PLC0415 - loaded with the first hooks

        kind, _, name = (self.subject or "").partition(":")
        return RunStarted(
            run_id=run_id,
            kind=cast("Any", kind or None),
            name=getattr(started, "node_id", name) or None,
            idempotency_key=self.idempotency_key,
            quote=None if started is None else started.charged_cost,
            sent_at=self.sent_at,
            resumed=self.resumed,
            row=ROW.get(),
        )


class TrackedRun:
    """A run of whose start hooks were told, and of whose end they were not.

    Attributes:
        run_id: FLORA's id; None for a start that ended in doubt.
        run: The run as it was last seen.
        polls: How many polls of it were sent.
        waits: How many waits for it are under way.
        has_ended: Whether hooks were told of its end.
    """

    __slots__ = ("_began", "_clock", "_starts", "has_ended", "polls", "run", "run_id", "waits")

    def __init__(self, client: Client, run_id: str | None, began: float) -> None:
        self.run_id = run_id
        self.run: Run | None = None
        self.polls = self.waits = 0
        self.has_ended = False
        self._began = began
        self._clock = client.clock
        self._starts: dict[Listener, RunStarted] = {}

    @property
    def seconds(self) -> float:
        """The seconds since it began."""
        return self._clock.monotonic() - self._began

    def tell(self, hooks: "HookCalls", beginning: _Beginning, started: Started | None = None) -> None:
        """Tell the hooks that do not know of the run yet that it has begun."""
        event: RunStarted | None = None
        for listener in hooks.listeners:
            if listener not in self._starts:
                event = event or beginning.event(self.run_id, started)
                self._starts[listener] = event
                listener.run_started(event)

    def end(self, error: BaseException | None, news_delay: float | None = None) -> None:
        """Tell the hooks that the run has ended, or that nothing here waits for it any longer."""
        from flora_async.hooks import RunEnded  # noqa: PLC0415 - loaded with the first hooks

        self.has_ended = True
        seconds = self.seconds
        for listener, start in self._starts.items():
            event = RunEnded(
                start=start, run=self.run, error=error, seconds=seconds, polls=self.polls, news_delay=news_delay
            )
            listener.run_ended(event)


class RunTracker:
    """The runs of a session, and of all its views, of whose start hooks were told and of whose end they were not.

    Args:
        max_runs: How many runs are remembered that nothing waits for; an older one is abandoned.
    """

    def __init__(self, max_runs: int = _MAX_RUNS) -> None:
        self._max_runs = max_runs
        self._open: OrderedDict[str, TrackedRun] = OrderedDict()
        self._ended: RecentItems[str, None] = RecentItems(max_runs)

    @contextmanager
    def starting(
        self,
        client: Client,
        subject: str | None,
        idempotency_key: str | None,
        *,
        is_in_doubt: Callable[[], bool] = lambda: False,
        resumed: bool = False,
    ) -> Iterator[Callable[..., None]]:
        """Start something in a `with` block, and call what it yields with FLORA's answers, one for each run.

        A start that ends in doubt begins and ends at once, without a run.

        Args:
            client: Sends the start.
            subject: What is started, as in `RunTimes`.
            idempotency_key: The key of the start; None = it is not known.
            is_in_doubt: Whether the start may have been carried out, although no answer says so.
            resumed: Whether an earlier process has sent it.
        """
        hooks = client.hooks
        if hooks is None:
            yield _ignore
            return
        beginning = _Beginning(client, subject, idempotency_key, resumed=resumed)

        def started(*runs: Started) -> None:
            for run in runs:
                if run.run_id not in self._ended:
                    tracked = self._track(client, run.run_id, beginning)
                    tracked.tell(hooks, beginning, run)
                    if isinstance(run, Run):
                        tracked.run = run
                        if run.is_terminal:
                            self.ended(client, run)

        try:
            yield started
        except BaseException as error:
            if isinstance(error, SubmissionUnknownError) or (
                isinstance(error, asyncio.CancelledError) and is_in_doubt()
            ):
                if isinstance(error, SubmissionUnknownError):
                    beginning.idempotency_key = error.idempotency_key
                tracked = TrackedRun(client, None, beginning.began)
                tracked.tell(hooks, beginning)
                tracked.end(error)
            raise

    def follow(
        self, client: Client, run: object, subject: Callable[[], str | None]
    ) -> "AbstractContextManager[FollowedRun | None]":
        """Wait for a run in a `with` block. A run that is not known yet begins here, and is over when no wait is left.

        Args:
            client: Polls the run.
            run: The run, as the caller named it.
            subject: Returns what the run is a run of, as in `RunTimes`; None = not known.
        """
        if client.hooks is None and not self._open:
            return _UNFOLLOWED
        return FollowedRun(self, client, run, subject)

    def begin_wait(self, client: Client, run_id: str, beginning: _Beginning) -> TrackedRun | None:
        """Count a wait for a run; None where hooks were told of its end, or are not told anything."""
        if run_id in self._ended or (client.hooks is None and run_id not in self._open):
            return None
        tracked = self._track(client, run_id, beginning)
        if client.hooks is not None:
            tracked.tell(client.hooks, beginning)
        tracked.waits += 1
        return tracked

    def rename(self, tracked: TrackedRun, run_id: str) -> None:
        """Follow a run under another id, where FLORA's answers name another one."""
        self._forget(tracked)
        tracked.run_id = run_id
        self._open[run_id] = tracked

    def _forget(self, tracked: TrackedRun) -> None:
        if tracked.run_id is not None and self._open.get(tracked.run_id) is tracked:
            del self._open[tracked.run_id]

    def ended(self, client: Client, run: Run) -> None:
        """Tell hooks that a run has ended."""
        tracked = self._open.pop(run.run_id, None)
        if tracked is not None:
            tracked.run = run
            self._ended[run.run_id] = None
            tracked.end(None, _news_delay(client, run, tracked))

    def abandon(self, tracked: TrackedRun, error: BaseException | None) -> None:
        """Tell hooks that nothing waits for a run any longer."""
        self._forget(tracked)
        tracked.end(error)

    def close(self) -> None:
        """Tell hooks that the runs that nothing waits for are not followed any longer."""
        for tracked in [tracked for tracked in self._open.values() if not tracked.waits]:
            self.abandon(tracked, None)

    def _track(self, client: Client, run_id: str, beginning: _Beginning) -> TrackedRun:
        tracked = self._open.get(run_id)
        if tracked is None:
            tracked = self._open[run_id] = TrackedRun(client, run_id, beginning.began)
            for _ in range(2):  # two for each that comes, as those that are waited for stay
                oldest_id, oldest = next(iter(self._open.items()))
                if len(self._open) > self._max_runs:
                    self._open.move_to_end(oldest_id)
                    if not oldest.waits:
                        self.abandon(oldest, None)
        return tracked


class FollowedRun:
    """One wait for a run, of which hooks are told.

    Args:
        tracker: Knows the run.
        client: Polls it.
        run: The run, as the caller named it.
        subject: Returns what the run is a run of.
    """

    __slots__ = ("_beginning", "_client", "_polls", "_run", "_run_id", "_tracked", "_tracker")

    def __init__(self, tracker: RunTracker, client: Client, run: object, subject: Callable[[], str | None]) -> None:
        self._tracker = tracker
        self._client = client
        self._run = run
        self._run_id = _id_of(run)
        self._beginning = _Beginning(client, subject(), None, resumed=True)
        self._tracked: TrackedRun | None = None
        self._polls = 0

    def __enter__(self) -> Self:
        if isinstance(self._run, Run) and self._run.is_terminal:  # nothing is waited for
            self._tracker.ended(self._client, self._run)
        elif self._run_id is not None:
            self._tracked = self._tracker.begin_wait(self._client, self._run_id, self._beginning)
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        tracked = self._tracked
        if tracked is not None:
            tracked.waits -= 1
            if not tracked.waits and not tracked.has_ended:
                self._tracker.abandon(tracked, None if isinstance(error, GeneratorExit) else error)

    def polling(self) -> None:
        """A poll is sent."""
        if self._tracked is None:
            self._polls += 1
        else:
            self._tracked.polls += 1

    def saw(self, snapshot: Run) -> None:
        """A poll was answered."""
        if self._run_id is None:  # the caller had only a URL that does not name the run
            self._tracked = self._tracker.begin_wait(self._client, snapshot.run_id, self._beginning)
            if self._tracked is not None:
                self._tracked.polls += self._polls
        elif self._run_id != snapshot.run_id and self._tracked is not None:
            self._tracker.rename(self._tracked, snapshot.run_id)
        self._run_id = snapshot.run_id
        if self._tracked is not None:
            self._tracked.run = snapshot


_UNFOLLOWED: Final = nullcontext(None)


def _ignore(*_: Started) -> None:
    """Tell nothing: there are no hooks."""


def _id_of(run: object) -> str | None:
    """The id of a run that a wait names; None where it does not say."""
    if isinstance(run, str):
        run = run.partition("?")[0].rpartition("/")[2]
        return run if run.startswith("run_") else None
    run_id = getattr(run, "run_id", None)
    return run_id if isinstance(run_id, str) and run_id else None


def _news_delay(client: Client, run: Run, tracked: TrackedRun) -> float | None:
    """Seconds since the end of a run on FLORA; None where that is not known, or the run had ended before."""
    offset = client.clock_offset
    if run.completed_at is None or offset is None:
        return None
    ahead, error = offset
    # Two clocks that may be equal are: FLORA's `Date` has whole seconds, and clocks are synchronized by milliseconds.
    now = client.clock.time() + (0.0 if abs(ahead) <= error else ahead)
    delay = now - run.completed_at.timestamp()
    return max(delay, 0.0) if delay <= tracked.seconds else None
