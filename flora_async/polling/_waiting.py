"""Follow a run to its end, through outages, rate limits and restarts."""

import asyncio
import inspect
import logging
import math
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import AbstractContextManager, aclosing, contextmanager
from http import HTTPStatus
from types import EllipsisType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, cast

from attrs import define, evolve, field

from flora_async._checks import check_flag, check_number
from flora_async._http.deadline import until
from flora_async._http.responses import may_pass
from flora_async.config import PollPolicy
from flora_async.errors import APIStatusError, DecodeError, FloraError, NotFoundError, WaitTimeoutError
from flora_async.models import Run
from flora_async.polling._poller import Poller, RunReference
from flora_async.polling._progress import RunProgress, name_of, subject_of
from flora_async.polling._tracking import FollowedRun
from flora_async.polling._wake import Wake, WakeableSleep, check_wake

if TYPE_CHECKING:
    from flora_async.models import RunTicket

OnUpdate = Callable[[Run], Awaitable[object] | object]
"""Called with each changed snapshot; a coroutine is awaited before the next poll."""

logger = logging.getLogger("flora_async")

# FLORA may answer 404 for a new run for this many seconds.
_UNKNOWN_FOR: Final = 60.0
_MAX_NAME: Final = 120


class RunSource(Protocol):
    """What `wait_for_run` and `watch_run` need of a session; every `FloraSession` has it."""

    _poller: Poller


async def watch(
    poller: Poller,
    run: RunReference,
    *,
    poll: PollPolicy | None = None,
    timeout: float | EllipsisType | None = ...,  # noqa: ASYNC109 - the last poll comes at the deadline, not a cancellation
    wake: Wake | None = None,
) -> AsyncGenerator[Run, None]:
    """Iterate over the changed snapshots of a run; `watch_run` documents it."""
    settings = _settings_of(poller, poll, timeout, wake)
    with _followed(poller, run) as followed:
        async with aclosing(_snapshots(poller, run, settings, followed)) as snapshots:
            async for snapshot in snapshots:
                yield snapshot


class _Settings(NamedTuple):
    """How one wait polls, how many seconds it may take, and what wakes it."""

    policy: PollPolicy
    limit: float | None
    wake: Wake | None


def _settings_of(
    poller: Poller, poll: PollPolicy | None, timeout: float | EllipsisType | None, wake: Wake | None
) -> _Settings:
    policy = poller.policy if poll is None else poll
    limit = time_limit(policy, timeout)
    check_wake(wake)
    return _Settings(policy, limit, wake)


def _followed(poller: Poller, run: RunReference) -> "AbstractContextManager[FollowedRun | None]":
    return poller.tracker.follow(poller.client, run, lambda: subject_of(poller.run_times, run))


async def _snapshots(
    poller: Poller, run: RunReference, settings: _Settings, followed: FollowedRun | None
) -> AsyncGenerator[Run, None]:
    """Iterate over the changed snapshots of a run, and let hooks know of each poll."""
    policy, limit, wake = settings
    seen = run if isinstance(run, Run) else None
    if seen is not None and seen.is_terminal:
        yield seen
        return
    clock, client = poller.clock, poller.client
    began = clock.monotonic()
    outage = _Outage(policy.outage, run, -math.inf if isinstance(run, str) else began + _UNKNOWN_FOR)
    deadline = math.inf if limit is None else began + limit
    wakeable = WakeableSleep(wake, clock)
    sleep = clock.sleep if wake is None else wakeable.sleep  # one frame less for each of ten thousand waits
    progress = RunProgress(poller, run, policy, began)
    try:
        poll_once = poller.poll_of(run, followed)
        pause = wakeable.stretch(await progress.first_pause(deadline))
        wakeable.expect(run if isinstance(run, str) else run.run_id)
        while True:
            await sleep(min(pause, deadline - clock.monotonic()))
            now = clock.monotonic()
            failure: FloraError | None = None
            try:
                snapshot, asked = await poll_once(deadline, outage.failures + 1)
            except FloraError as error:
                asked = error.retry_after if isinstance(error, APIStatusError) else None
                # The time spent waiting for a connection is not an outage.
                outage.tolerate(error, since=now + client.queue_time, now=clock.monotonic(), asked=asked or 0.0)
                failure = error
            else:
                outage.end()
                wakeable.expect(snapshot.run_id)
                progress.polled(snapshot, now)
                if snapshot != seen:
                    seen = snapshot
                    yield snapshot
                if snapshot.is_terminal:
                    return
            # A failed poll that began before the deadline is followed by one more at the deadline.
            if (now if failure else clock.monotonic()) >= deadline:
                raise _timeout_error(seen, clock.monotonic() - began, failure)
            pause = progress.next_pause(clock.monotonic(), client.queue_time, failed=failure is not None)
            pause = max(pause if failure else wakeable.stretch(pause), asked or 0.0)
            poll_once.repeats(failure, outage.failures, min(pause, deadline - clock.monotonic()))
    except FloraError as error:
        error.run = seen or _run_of(run)
        raise
    except asyncio.CancelledError:
        logger.info("The wait for run %s was cancelled; FLORA continues the run", name_of(run))
        raise
    finally:
        wakeable.close()


def watch_run(
    session: RunSource,
    run: RunReference,
    *,
    poll: PollPolicy | None = None,
    timeout: float | EllipsisType | None = ...,
    wake: Wake | None = None,
) -> AsyncGenerator[Run, None]:
    """Iterate over the changed snapshots of a run; the last one is terminal.

    A `Run` that is passed in counts as seen: the first item is the first change to it. The `estimated_seconds` of a
    ticket set the time of the first poll. Faults that may pass (429, 5xx, resets, DNS failures, broken bodies) do not
    end the iteration until there has been nothing else for `poll.outage` seconds. Every `FloraError` raised
    here carries the last seen run as `error.run`, so that the wait can continue elsewhere.

    Args:
        session: A `FloraSession`.
        run: A `Run`, anything with `run_id` and `poll_url`, a poll URL, or a `run_…` id.
        poll: When to poll; None = the session's policy.
        timeout: Seconds until `WaitTimeoutError`; None = no limit; left out = `poll.timeout`. 0 polls once.
        wake: A `WebhookReceiver`, which FLORA calls when the run has ended: until then the run is polled once a minute,
            in case the delivery gets lost. None = polling alone.

    Yields:
        The run, each time it differs from the one before.

    Raises:
        WaitTimeoutError: The deadline passed first. The last poll is made at the deadline and is given 2 s. When no
            poll has ever been answered, the error of the last one is raised instead.
        APIStatusError: FLORA refused (4xx other than 408 and 429), or the outage lasted too long. A refusal that is not
            FLORA's (without its `request-id` and envelope) is an outage, as are redirects, and a 404 for a run that was
            just started, for up to a minute.
        APIConnectionError: FLORA could not be reached for too long.
        DecodeError: FLORA's answers could not be read for too long.
        SessionClosedError: The session was closed.
        UntrustedURLError: The poll URL is not at FLORA's origin, and the run's id is not known; nothing was sent.
        ValueError: `run` does not name a run, or `timeout` is negative.

    Example:
        >>> run = await flora.techniques.runs.create("cctv-cam", inputs={"input_image": "https://example.com/a.png"})
        >>> async for snapshot in watch_run(flora, run):
        ...     last = snapshot.status
        >>> last
        <RunStatus.COMPLETED: 'completed'>
    """
    return watch(session._poller, run, poll=poll, timeout=timeout, wake=wake)  # noqa: SLF001 - for this package alone


def time_limit(policy: PollPolicy, timeout: float | EllipsisType | None) -> float | None:
    """The seconds that a wait may take: those given, or else the policy's; None = no limit.

    Raises:
        TypeError: `policy` is not a `PollPolicy`, or `timeout` not a number.
        ValueError: `timeout` is negative or not finite.
    """
    if not isinstance(policy, PollPolicy):
        raise TypeError(f"poll must be a PollPolicy, not {policy!r:.60}")
    if isinstance(timeout, EllipsisType):
        return policy.timeout
    if timeout is not None:
        check_number("timeout", timeout)
    return timeout


def _run_of(reference: RunReference) -> Run | None:
    """The run of a ticket that was never polled with success, so that its id is not lost; None of a URL or an id."""
    run_id = getattr(reference, "run_id", None)
    if isinstance(reference, str) or not isinstance(run_id, str) or not run_id:
        return None
    return Run(run_id=run_id, status="unknown", poll_url=reference.poll_url)


def _timeout_error(seen: Run | None, elapsed: float, failure: FloraError | None) -> FloraError:
    if seen is None:  # then every poll has failed
        return cast("FloraError", failure)
    error = WaitTimeoutError(seen, elapsed)
    error.__cause__ = failure
    return error


@define
class _Outage:
    """A period in which every poll fails, tolerated for `limit` seconds after the first failure.

    Args:
        limit: Seconds; None = no limit.
        run: The run that is waited for.
        new_until: Until when FLORA may answer 404 for the new run, in seconds of the monotonic clock.

    Attributes:
        failures: How many polls in a row have failed.
    """

    _limit: float | None
    _run: RunReference
    _new_until: float
    _since: float | None = field(default=None, init=False)
    failures: int = field(default=0, init=False)

    def end(self) -> None:
        """A poll was answered."""
        self._since, self._new_until, self.failures = None, -math.inf, 0

    def tolerate(self, error: FloraError, *, since: float, now: float, asked: float) -> None:
        """Return unless this failure, of a poll that was sent at `since`, ends the wait.

        The `asked` seconds of a Retry-After do not count: FLORA was there to ask for them.

        Raises:
            FloraError: The failure, if the outage has lasted too long or the failure is not temporary.
        """
        if not (may_pass(error) or isinstance(error, DecodeError) or self._is_stray(error, now)):
            raise error
        self.failures += 1
        if self._since is None:
            self._since = since
            logger.info("A poll of run %s failed; polling continues: %s", name_of(self._run), error)
        if self._limit is not None and now - self._since >= self._limit:
            raise error
        self._since += asked

    def _is_stray(self, error: FloraError, now: float) -> bool:
        """Whether a refusal is a proxy's or a login page's, or FLORA's 404 about a run that was started just now."""
        if not isinstance(error, APIStatusError):
            return False
        if isinstance(error, NotFoundError) and now < self._new_until:
            return True
        # FLORA redirects nobody, and signs its answers by a request id or explains them by a code.
        is_floras = error.request_id is not None or (error.code is not None and not isinstance(error, NotFoundError))
        return error.status < HTTPStatus.BAD_REQUEST or not is_floras


async def wait(  # noqa: PLR0913 - each keyword is one decision about waiting
    poller: Poller,
    run: RunReference,
    *,
    poll: PollPolicy | None = None,
    timeout: float | EllipsisType | None = ...,  # noqa: ASYNC109 - the last poll comes at the deadline, not a cancellation
    on_update: OnUpdate | None = None,
    raise_on_failure: bool = False,
    wake: Wake | None = None,
) -> Run:
    """Wait until a run is completed or failed; `wait_for_run` documents it."""
    check_listener(on_update)
    check_flag("raise_on_failure", raise_on_failure)
    settings = _settings_of(poller, poll, timeout, wake)
    # The loop below ends only after a terminal snapshot, so there is always a last one.
    last: Any = None
    with _followed(poller, run) as followed:
        async with aclosing(_snapshots(poller, run, settings, followed)) as snapshots:
            async for last in snapshots:
                if on_update is not None:
                    await notify(on_update, last)
    finished: Run = last
    return finished.raise_if_failed() if raise_on_failure else finished


async def start_and_wait(  # noqa: PLR0913 - as wait
    poller: Poller,
    start: Callable[[], Awaitable["Run | RunTicket"]],
    *,
    callback_url: str | None,
    poll: PollPolicy | None,
    timeout: float | EllipsisType | None,  # noqa: ASYNC109 - of all of it; the wait ends with a last poll
    on_update: OnUpdate | None,
    raise_on_failure: bool,
    wake: Wake | None,
) -> Run:
    """Start a run and wait for its end, with one deadline for both; `FloraSession.run` documents it."""
    # Before the start, so that a mistake costs nothing.
    check_listener(on_update)
    check_flag("raise_on_failure", raise_on_failure)
    check_wake(wake, callback_url)
    limit = time_limit(poller.policy if poll is None else poll, timeout)
    if limit == 0:
        raise ValueError(
            "timeout must be more than 0 where a run is started, as its end could not be waited for: "
            "techniques.runs.create and generations.create start a run without waiting"
        )
    clock = poller.clock
    deadline = math.inf if limit is None else clock.monotonic() + limit
    with until(deadline):
        started = await start()
    with _followed(poller, started), _naming(started):
        if isinstance(started, Run) and not started.is_terminal:
            await notify(on_update, started)
        finished = await wait(
            poller,
            started,
            poll=poll,
            timeout=None if limit is None else max(deadline - clock.monotonic(), 0.0),
            on_update=on_update,
            raise_on_failure=raise_on_failure,
            wake=wake,
        )
    return evolve(finished, adopted=True) if started.adopted else finished


@contextmanager
def _naming(started: "Run | RunTicket") -> Generator[None, None, None]:
    """Add the run's id to what ends its wait: the caller may not have it, and the run continues."""
    try:
        yield
    except BaseException as error:
        is_named = isinstance(error, FloraError) and error.run is not None
        if not is_named and not any(started.run_id in note for note in getattr(error, "__notes__", ())):
            error.add_note(f"The run {name_of(started)} was started, and continues on FLORA")
        raise


async def wait_for_run(  # noqa: PLR0913 - as wait
    session: RunSource,
    run: RunReference,
    *,
    poll: PollPolicy | None = None,
    timeout: float | EllipsisType | None = ...,  # noqa: ASYNC109 - the last poll comes at the deadline, not a cancellation
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
        poll: When to poll; None = the session's policy.
        timeout: Seconds until `WaitTimeoutError`; None = no limit; left out = `poll.timeout`. 0 polls once.
        on_update: Called with the run each time it has changed; a coroutine is awaited. What it raises ends the wait.
        raise_on_failure: Raise `RunFailedError` when the run ends `failed`, rather than return it.
        wake: As for `watch_run`: a `WebhookReceiver`, with which one poll a minute is enough.

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
    poller = session._poller  # noqa: SLF001 - for this package alone
    return await wait(
        poller, run, poll=poll, timeout=timeout, on_update=on_update, raise_on_failure=raise_on_failure, wake=wake
    )


def check_listener(on_update: object) -> None:
    """Refuse a listener that cannot be called, before anything is sent or spent."""
    if on_update is not None and not callable(on_update):
        raise TypeError(f"on_update must be callable with a Run, not {on_update!r:.60}")


async def notify(on_update: OnUpdate | None, run: Run) -> None:
    """Call a sync or async listener, and add a note about the run to an error that it raises."""
    if on_update is not None:
        try:
            result = on_update(run)
            if inspect.isawaitable(result):
                await result
        except Exception as error:
            state = f"has ended: {run.status}" if run.is_terminal else "is still running on FLORA"
            error.add_note(f"raised by on_update; the run {run.run_id} {state}")
            raise
