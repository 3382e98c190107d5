"""One poll of a run: which URL to request, and how to read the answer."""

import json
import logging
import math
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

from attrs import define, evolve, field, fields, frozen

from flora_async._clock import Clock
from flora_async._http.client import Client, read_response
from flora_async._http.responses import Response, read_events, retry_after
from flora_async._http.routes import ROUTES
from flora_async._http.transport import Request
from flora_async._text import printable
from flora_async.config import PollPolicy
from flora_async.errors import DecodeError, FloraError, UntrustedURLError
from flora_async.models import Run
from flora_async.models._codec import decode, parse_json
from flora_async.polling._run_times import RunTimes
from flora_async.polling._tracking import FollowedRun, RunTracker

logger = logging.getLogger("flora_async")

_EVENTS: Final = "text/event-stream"
_IDS: Final = frozenset({"run_id", "runId", "id"})
_MAX_ID: Final = 60
_MAX_NAME: Final = 120


class Followable(Protocol):
    """Anything that names a run, such as FLORA's answer to a start."""

    @property
    def run_id(self) -> str:
        """FLORA's id of the run (`run_…`)."""
        ...

    @property
    def poll_url(self) -> str | None:
        """Where to ask for the run; None = by its id."""
        ...


RunReference = Followable | str
"""A `Run`, anything with `run_id` and `poll_url`, a poll URL, or a `run_…` id."""


@frozen
class Poller:
    """Polls runs for one session.

    Attributes:
        client: Sends the requests.
        policy: When runs are polled, unless a call says otherwise.
        clock: Time, sleep and randomness.
        run_times: How long runs took, as far as this session knows.
        read_history: Reads the latest runs of a subject and learns from them; None = there is no history to read.
        tracker: Tells hooks of the starts and ends of runs.
    """

    client: Client
    policy: PollPolicy
    clock: Clock
    run_times: RunTimes = field(factory=RunTimes)
    read_history: Callable[[str], Awaitable[None]] | None = None
    tracker: RunTracker = field(factory=RunTracker)

    def saw_end(self, run: Run, waited: float) -> None:
        """Log the end of a run that was waited for, for `waited` seconds, and tell hooks of it."""
        self.tracker.ended(self.client, run)
        if not logger.isEnabledFor(logging.INFO):
            return
        logger.info(
            "Run %s ended: %s after %.1f s, %s",
            printable(run.run_id, _MAX_NAME),
            printable(run.status, _MAX_NAME),
            waited if run.duration is None else run.duration,
            "cost not known yet" if run.charged_cost is None else f"{run.charged_cost:.6g} USD",
        )

    def poll_of(self, run: RunReference, followed: FollowedRun | None = None) -> "RunPoll":
        """Prepare polling a run at its poll URL, or else by its id; nothing is sent yet.

        A poll URL that may not be followed is replaced by the run's id, with a warning, if the id is known.

        Args:
            run: The run.
            followed: Is told of each poll; None = nothing is.

        Raises:
            UntrustedURLError: The poll URL may not be followed, and the id is not known.
            ValueError: `run` does not name a run.
            TypeError: `run` has the wrong type.
        """
        if isinstance(run, str):
            run_id, poll_url = (None, run) if "/" in run else (run, None)
        else:
            run_id, poll_url = getattr(run, "run_id", None), getattr(run, "poll_url", None)
        if isinstance(poll_url, str) and poll_url:
            try:
                return RunPoll(self.client, self.client.poll_request(poll_url), run_id, followed, is_by_url=True)
            except UntrustedURLError as error:
                if not (isinstance(run_id, str) and run_id):
                    raise
                logger.warning("Run %s is polled by its id: %s", printable(run_id, _MAX_ID), error)
        if run_id is None:
            raise TypeError(f"run must be a Run, a poll URL or a run id, not {run!r:.60}")
        if isinstance(run, str) and not run.startswith("run_"):
            raise ValueError(f"run {run!r:.60} is neither a poll URL nor a run id (run_…)")
        if run_id == "":
            raise ValueError(f"{run!r:.120} was not started: there is no run to wait for")
        url = self.client.url(ROUTES["generations.retrieve"], {"run_id": run_id})
        return RunPoll(self.client, self.client.poll_request(url), run_id, followed, is_by_url=False)


@define
class RunPoll:
    """Polls one run.

    Args:
        client: Sends the requests.
        request: The request of each poll.
        run_id: The run's id, where it is known.
        followed: Is told of each poll; None = nothing is.
        is_by_url: Whether FLORA named the URL, so that it decides which run the URL is about.
    """

    _client: Client
    _request: Request
    _run_id: str | None
    _followed: FollowedRun | None
    _is_by_url: bool = field(kw_only=True, alias="is_by_url")

    async def __call__(self, deadline: float = math.inf, number: int = 1) -> tuple[Run, float | None]:
        """Poll once, and return the run and the pause that `Retry-After` asked for.

        Args:
            deadline: When to give up, in seconds of the monotonic clock.
            number: Which attempt it is, for hooks.

        Raises:
            FloraError: The error of the request, or of reading its answer.
        """
        if self._followed is not None:
            self._followed.polling()
        response = await self._client.attempt(self._request, deadline, number=number)
        run = await read_response(decode_run, response, None if self._is_by_url else self._run_id)
        if self._run_id is not None and run.run_id != self._run_id:
            logger.warning(
                "The poll URL of run %s answers with run %s, which is followed from now on (request id %s)",
                printable(self._run_id, _MAX_ID),
                printable(run.run_id, _MAX_ID),
                response.request_id,
            )
            self._run_id = run.run_id
        if run.poll_url is None:
            run = evolve(run, poll_url=str(self._request.url))
        if self._followed is not None:
            self._followed.saw(run)
        return run, retry_after(response.headers, self._client.clock.time())

    def repeats(self, failure: FloraError | None, number: int, seconds: float) -> None:
        """Tell hooks that a poll has failed, and that another one follows in so many seconds."""
        if failure is not None and self._client.hooks is not None:
            self._client.hooks.retried(self._request, failure, number, max(seconds, 0.0))


def decode_run(response: Response, run_id: str | None) -> Run:
    """Read an answer about one run; `run_id` None = any run.

    Raises:
        DecodeError: It cannot be read, or is about another run.
    """
    body = response.body
    if response.headers.get("Content-Type", "").startswith(_EVENTS):
        body = _last_run(body, response.request_id)
    run = decode(body, Run, request_id=response.request_id)
    if run_id and run.run_id != run_id:
        raise DecodeError("run_id", f"{run.run_id[:40]!r} is another run", request_id=response.request_id)
    return run


def _last_run(stream: bytes, request_id: str | None) -> bytes:
    """Return the last run in a stream of server-sent events (FLORA's `mode="stream"`), as JSON.

    Raises:
        DecodeError: It does not contain a run.
    """
    for data in reversed(read_events(stream)):
        try:
            event = parse_json(data)
        except DecodeError:
            continue
        for found in reversed(_objects(event)):
            if "status" in found and found.keys() & _IDS:
                return json.dumps(found).encode()
    raise DecodeError("", "a stream of events without a run", request_id=request_id)


def _objects(event: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - any JSON value
    """Return the object of an event, and the nested ones that may hold the run."""
    found = [event] if isinstance(event, dict) else []
    for name in ("data", "run"):
        found += [each[name] for each in found if isinstance(each.get(name), dict)]
    return found


def plain_run(run: Run) -> Run:
    """Reduce a run from the history to what polling it returns, so that results do not depend on how they were read."""
    return Run(**{known.name: getattr(run, known.name) for known in fields(Run)})
