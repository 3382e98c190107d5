"""The one poll loop: following a run to its end, through outages, rate limits and restarts.

FLORA's page "Get a technique run" describes the answer; it advises a look every 2 to 5 seconds.
"""

import inspect
import math
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from types import EllipsisType
from typing import Any, Final, Protocol, cast

from flora_async._alarm import Alarm, Wake, check_wake
from flora_async._clock import Clock
from flora_async._retry import PollSchedule
from flora_async._road import Look, RunReference
from flora_async._wire import is_transient
from flora_async.config import PollPolicy, check_number
from flora_async.errors import APIStatusError, DecodeError, FloraError, WaitTimeoutError
from flora_async.models import Run

__all__ = ["OnUpdate", "RunReference", "RunSource", "Wake", "wait_for_run", "watch_run"]

OnUpdate = Callable[[Run], Awaitable[object] | object]
"""Called with each changed snapshot; a coroutine function is awaited before the next look."""


# FLORA's own estimate can say anything; nothing that it runs takes longer than this many seconds.
_LONGEST_ESTIMATE: Final = 900.0


class RunSource(Protocol):
    """What waiting needs of a session."""

    @property
    def poll(self) -> PollPolicy:
        """How a run is watched unless a call says otherwise."""
        ...

    @property
    def clock(self) -> Clock:
        """Time, sleep and randomness."""
        ...

    def look_for(self, run: RunReference) -> Look:
        """Prepare looking at a run; nothing is sent yet."""
        ...


async def watch_run(
    session: RunSource,
    run: RunReference,
    *,
    poll: PollPolicy | None = None,
    timeout: float | EllipsisType | None = ...,  # noqa: ASYNC109 - the last look comes at the deadline, not a cancellation
    wake: Wake | None = None,
) -> AsyncGenerator[Run, None]:
    """Iterate over the changed snapshots of a run; the last one is terminal.

    A `Run` that is passed in counts as seen: the first item is the first change to it. A ticket's `estimated_seconds`
    set the time of the first look. Whatever passes by itself (429,
    5xx, resets, DNS failures, broken bodies) does not end the iteration until `poll.outage` seconds of nothing else.
    Every `FloraError` from here carries the last seen run as `error.run`, so that the wait can go on elsewhere.

    Args:
        session: A `FloraSession`.
        run: A `Run`, anything with `run_id` and `poll_url`, a poll URL, or a `run_…` id.
        poll: How to watch; None = the session's policy.
        timeout: Seconds until `WaitTimeoutError`; None = no limit; left out = `poll.timeout`. 0 looks once.
        wake: A `WebhookReceiver`, which hears from FLORA when the run has ended: until then looks are made once a
            minute, in case that the delivery gets lost. None = looks alone tell.

    Yields:
        The run, each time it differs from the one before.

    Raises:
        WaitTimeoutError: The deadline passed first. The last look is made at the deadline, and is given 2 s. When the
            run was never heard of, what the last look failed with is raised instead.
        APIStatusError: FLORA refused (4xx other than 408 and 429), or the outage lasted too long.
        APIConnectionError: FLORA could not be reached for too long.
        DecodeError: FLORA's answers could not be read for too long.
        UntrustedURLError: The poll URL is not at FLORA's origin; nothing was sent.
        ValueError: `run` names no run, or `timeout` is no time.

    Example:
        >>> run = await flora.techniques.runs.create("cctv-cam", inputs={"input_image": "https://example.com/a.png"})
        >>> async for snapshot in watch_run(flora, run):
        ...     last = snapshot.status
        >>> last
        <RunStatus.COMPLETED: 'completed'>
    """
    policy = session.poll if poll is None else poll
    limit = time_limit(policy, timeout)
    check_wake(wake)
    seen = run if isinstance(run, Run) else None
    if seen is not None and seen.is_terminal:
        yield seen
        return
    clock, schedule, outage = session.clock, PollSchedule(policy, session.clock), _Outage(policy.outage)
    began = now = clock.monotonic()
    deadline = math.inf if limit is None else began + limit
    alarm = Alarm(wake, clock)
    sleep = clock.sleep if wake is None else alarm.sleep  # one frame less for each of ten thousand waits
    pause = alarm.stretched(_first_pause(run, schedule))
    try:
        look = session.look_for(run)
        alarm.set(run if isinstance(run, str) else run.run_id)
        while True:
            await sleep(min(pause, deadline - now))
            now = clock.monotonic()
            failure: FloraError | None = None
            try:
                snapshot, asked = await look(deadline)
            except FloraError as error:
                asked = error.retry_after if isinstance(error, APIStatusError) else None
                if outage.ends_wait(error, since=now, now=clock.monotonic(), asked=asked or 0.0):
                    raise
                failure = error
            else:
                outage.end()
                alarm.set(snapshot.run_id)
                if snapshot != seen:
                    seen = snapshot
                    yield snapshot
                if snapshot.is_terminal:
                    return
                now = clock.monotonic()
            # After an answer that came late no look is owed; after a failure that began before the deadline, one is.
            if now >= deadline:
                raise _too_late(seen, clock.monotonic() - began, failure)
            now = clock.monotonic()
            pause = schedule.next()
            pause = max(pause if failure else alarm.stretched(pause), asked or 0.0)
    except FloraError as error:
        error.run = seen
        raise
    finally:
        alarm.close()


def _first_pause(run: RunReference, schedule: PollSchedule) -> float:
    """Seconds until the first look: none at a run of unknown age, for a new one FLORA's own estimate."""
    if isinstance(run, str) or not (isinstance(run, Run) or hasattr(run, "estimated_seconds")):
        return 0.0
    estimate: float | None = getattr(run, "estimated_seconds", None)
    return max(schedule.next(), min(estimate or 0.0, _LONGEST_ESTIMATE))


def time_limit(policy: PollPolicy, timeout: float | EllipsisType | None) -> float | None:
    """The seconds that a wait may take: those given, or else the policy's; None = no limit.

    Raises:
        TypeError: `policy` is no `PollPolicy`, or `timeout` no number.
        ValueError: `timeout` is negative or no finite number.
    """
    if not isinstance(policy, PollPolicy):
        raise TypeError(f"poll must be a PollPolicy, not {policy!r:.60}")
    limit = policy.timeout if isinstance(timeout, EllipsisType) else timeout
    if limit is not None:
        check_number("timeout", limit)
    return limit


def _too_late(seen: Run | None, elapsed: float, failure: FloraError | None) -> FloraError:
    if seen is None:  # then every look has failed
        return cast("FloraError", failure)
    late = WaitTimeoutError(seen, elapsed)
    late.__cause__ = failure
    return late


class _Outage:
    """Nothing but failed looks, borne for `limit` seconds from the beginning of the first."""

    __slots__ = ("_limit", "_since")

    def __init__(self, limit: float | None) -> None:
        self._limit = limit
        self._since: float | None = None

    def ends_wait(self, error: FloraError, *, since: float, now: float, asked: float) -> bool:
        """Whether this failure, of a look that began at `since`, is one too many, or of a kind that does not pass.

        The `asked` seconds of a Retry-After do not count: FLORA was there to ask for them.
        """
        if not (is_transient(error) or isinstance(error, DecodeError)):
            return True
        self._since = since if self._since is None else self._since
        is_over = self._limit is not None and now - self._since >= self._limit
        self._since += asked
        return is_over

    def end(self) -> None:
        """FLORA was heard of."""
        self._since = None


async def wait_for_run(  # noqa: PLR0913 - each keyword is one decision about waiting
    session: RunSource,
    run: RunReference,
    *,
    poll: PollPolicy | None = None,
    timeout: float | EllipsisType | None = ...,  # noqa: ASYNC109 - the last look comes at the deadline, not a cancellation
    on_update: OnUpdate | None = None,
    raise_on_failure: bool = False,
    wake: Wake | None = None,
) -> Run:
    """Wait until a run is completed or failed.

    Waiting costs nothing and loses nothing: it can be cancelled or time out at any moment, and begun again here or
    in another process from the run, its `poll_url` or its id.

    Args:
        session: A `FloraSession`.
        run: A `Run`, anything with `run_id` and `poll_url`, a poll URL, or a `run_…` id.
        poll: How to watch; None = the session's policy.
        timeout: Seconds until `WaitTimeoutError`; None = no limit; left out = `poll.timeout`. 0 looks once.
        on_update: Called with the run each time it has changed; a coroutine is awaited. What it raises ends the wait.
        raise_on_failure: Raise `RunFailedError` when the run ends `failed`, rather than return it.
        wake: As for `watch_run`: a `WebhookReceiver`, with which a look a minute is enough.

    Returns:
        The run as it ended. Without `raise_on_failure`, look at `run.status` or call `run.raise_if_failed()`.

    Raises:
        RunFailedError: The run failed and `raise_on_failure` is set.
        FloraError: As `watch_run`; each carries the last seen run as `error.run`.

    Example:
        >>> run = await flora.techniques.runs.create("cctv-cam", inputs={"input_image": "https://example.com/a.png"})
        >>> (await wait_for_run(flora, run)).status
        <RunStatus.COMPLETED: 'completed'>
    """
    check_listener(on_update)
    # Nothing but the loop below ends before a terminal snapshot, so there always is a last one.
    last: Any = None
    async with aclosing(watch_run(session, run, poll=poll, timeout=timeout, wake=wake)) as snapshots:
        async for last in snapshots:
            await notify(on_update, last)
    finished: Run = last
    return finished.raise_if_failed() if raise_on_failure else finished


def check_listener(on_update: object) -> None:
    """Refuse what cannot be called, before anything is sent or spent."""
    if on_update is not None and not callable(on_update):
        raise TypeError(f"on_update must be callable with a Run, not {on_update!r:.60}")


async def notify(on_update: OnUpdate | None, run: Run) -> None:
    """Tell a sync or async callback; what it raises is told which run it was about."""
    if on_update is not None:
        try:
            told = on_update(run)
            if inspect.isawaitable(told):
                await told
        except Exception as error:
            error.add_note(f"raised by on_update; the run {run.run_id} goes on at FLORA")
            raise
