"""Start paid runs, each exactly once, and find out what became of a start whose answer was lost."""

import asyncio
import hashlib
import json
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from copy import copy
from functools import partial
from typing import Any, Final, Generic, Literal, Protocol, TypeVar, cast, get_args, runtime_checkable
from urllib.parse import urlsplit

from attrs import evolve, field, frozen

from flora_async import models
from flora_async._cache import RecentItems
from flora_async._http.client import Client
from flora_async._http.deadline import current_deadline
from flora_async._http.responses import Response
from flora_async._http.retry import logger
from flora_async._http.routes import ROUTES
from flora_async._http.submission import KEY_LIFETIME, Submission
from flora_async._http.urls import START_PARAMETER, check_https, segment
from flora_async._repr import ShortRepr
from flora_async._text import printable
from flora_async.errors import FloraError, IdempotencyError, SubmissionUnknownError
from flora_async.models import Run, RunInput
from flora_async.models._codec import to_dict
from flora_async.polling import RunTimes, RunTracker, decode_run, plain_run
from flora_async.resources._history import FindTechniqueId, History, Knows, RunFinder
from flora_async.resources._open_starts import OpenStart, OpenStarts
from flora_async.resources._operations import new_key, read_model, to_content

Mode = Literal["async", "stream"]
RunT = TypeVar("RunT", bound=Run)

_MAX_STARTS: Final = 1000
# What the target of a start is.
_KINDS: Final[Mapping[str, str]] = {
    "techniques.runs.create": "technique",
    "runs.start_technique": "technique",
    "generations.create": "model",
    "runs.start_generation": "model",
    "actions.run": "action",
}


@runtime_checkable
class StartNews(Protocol):
    """Learns from webhooks which run belongs to which start, such as `flora_async.webhooks.WebhookReceiver`."""

    def expect_start(self, token: str) -> AbstractContextManager[asyncio.Future[str]]:
        """The id of the run whose callback URL carries `token`, once FLORA has called it."""
        ...


@frozen
class StartOptions(ShortRepr):
    """The options of a start, checked when they are given.

    Attributes:
        technique_id: The technique's slug or id.
        mode: FLORA's execution mode.
        callback_url: A public https URL that FLORA calls when the run has ended.
        idempotency_key: The key of this one start; None = a new one.

    Raises:
        ValueError: An option is out of range or malformed.
        TypeError: An option has the wrong type.
    """

    technique_id: str = field()
    mode: Mode = field(default="async", kw_only=True)
    callback_url: str | None = field(default=None, kw_only=True)
    idempotency_key: str = field(default=None, converter=new_key, kw_only=True)

    def __attrs_post_init__(self) -> None:
        segment("technique_id", self.technique_id)
        if self.mode not in get_args(Mode):
            raise ValueError(f"mode must be 'async' or 'stream', not {self.mode!r:.60}")
        if self.callback_url is not None:
            check_https("callback_url", self.callback_url)


class Started(Protocol):
    """FLORA's answer to a start: a `Run` or a ticket."""

    @property
    def run_id(self) -> str:
        """FLORA's id of the run."""
        ...


StartedT = TypeVar("StartedT", bound=Started)


@frozen
class PendingStart(Generic[StartedT]):
    """A paid start, with everything needed to send it again or to recognize its run.

    Attributes:
        operation: Its name in the route table.
        ids: The ids in the path.
        body: The JSON body, its key included where the operation has a field for it.
        idempotency_key: The key of every attempt.
        target: What is started, as the caller named it, for messages.
        read: Turns the answer into the result.
        adopt: Turns a run from the history into the same kind of result.
        history: The history that lists its run; None = it is in no history.
        sent: What a side-car of saved outputs says about the run; None = nothing.
    """

    operation: str
    ids: Mapping[str, str]
    body: bytes
    idempotency_key: str
    target: str
    read: Callable[[Response], StartedT]
    adopt: Callable[[Run], StartedT]
    history: History | None = None
    sent: "SentInputs | None" = None


def technique_start(options: StartOptions, inputs: Sequence[RunInput]) -> PendingStart[Run]:
    """The start of a technique run."""
    key, technique_id = options.idempotency_key, options.technique_id
    body: dict[str, Any] = {"inputs": [to_dict(item) for item in inputs], "mode": options.mode}
    if options.callback_url is not None:
        body["callback_url"] = options.callback_url
    body["idempotency_key"] = key
    return PendingStart(
        operation="techniques.runs.create",
        ids={"technique_id": technique_id},
        body=json.dumps(body).encode(),
        idempotency_key=key,
        target=technique_id,
        read=partial(decode_run, run_id=None),
        adopt=plain_run,
        history=History("techniques.runs.list", technique_id=technique_id),
        sent=SentInputs(technique_id, {item.id: item.value for item in inputs}),
    )


class Starter:
    """Starts runs for one session.

    Args:
        client: Sends the requests.
        technique_id_of: Finds the id of a technique.
        run_times: Learns what each run is a run of.
        tracker: Tells hooks of the starts.

    Attributes:
        run_times: As passed.
        tracker: As passed.
    """

    def __init__(
        self, client: Client, technique_id_of: FindTechniqueId, run_times: RunTimes, tracker: RunTracker
    ) -> None:
        self._client = client
        self._open_starts = OpenStarts(client.clock)
        self._finder = RunFinder(client, self._open_starts, technique_id_of, run_times)
        self.run_times = run_times
        self.tracker = tracker
        self._sent: RecentItems[str, SentInputs] = RecentItems(_MAX_STARTS)

    def using(self, client: Client, technique_id_of: FindTechniqueId | None = None) -> "Starter":
        """The same starter, its memory included, with another client of the same session.

        Args:
            client: The client.
            technique_id_of: Finds the id of a technique; None = as before.
        """
        starter = copy(self)
        starter._client = client  # noqa: SLF001 - of this class
        starter._finder = self._finder.using(client, technique_id_of)  # noqa: SLF001 - of this class
        return starter

    def sent_for(self, run_id: str) -> "SentInputs | None":
        """The inputs that a run was started with, if it is one of the last thousand of this session."""
        return self._sent.get(run_id)

    async def start(
        self,
        start: PendingStart[StartedT],
        *,
        since: float | None = None,
        adopt: bool = False,
        wake: object = None,
        knows: Knows | None = None,
    ) -> StartedT:
        """Start something, exactly once, and find out within the call's deadline what became of it.

        Args:
            start: What to start.
            since: When an earlier process first sent it without seeing its outcome (Unix seconds); None = it is new.
            adopt: Look for the run where the key was used by an earlier call, rather than raise `IdempotencyError`.
            wake: A `WebhookReceiver` that gets the deliveries to the start's callback URL.
            knows: Whether a run of some id belongs to another start, beyond those of this session.

        Raises:
            SubmissionUnknownError: A run may exist and be charged, but it cannot be identified.
            IdempotencyError: An earlier call has used the key.
            FloraError: Nothing was started; this is why.
        """
        clock, route = self._client.clock, ROUTES[start.operation]
        submission = Submission(
            idempotency_key=start.idempotency_key,
            policy=self._client.policy,
            route=route,
            target=start.target,
            since=since,
            now=clock.time(),
        )
        history = start.history.operation if start.history else None
        opened = OpenStart(history, start.target, submission, clock.time())
        kind = _KINDS.get(start.operation)
        subject = None if kind is None else f"{kind}:{start.target}"
        with ExitStack() as stack:
            announce = stack.enter_context(
                self.tracker.starting(
                    self._client,
                    subject,
                    start.idempotency_key,
                    is_in_doubt=lambda: submission.in_doubt,
                    resumed=since is not None,
                )
            )
            stack.enter_context(self._open_starts.opened(opened))
            news = None
            if isinstance(wake, StartNews):
                news = stack.enter_context(wake.expect_start(start_token(start.idempotency_key)))
            try:
                started = await self._send(start, submission)
            except FloraError as error:
                with _logging_cancellation(start):
                    started = await self._recover(start, opened, error, adopt=adopt, news=news, knows=knows)
            others: Sequence[Started] = getattr(started, "runs", ())
            run_ids = (started.run_id, *(run.run_id for run in others))
            self._open_starts.account_for(opened, *run_ids)
            announce(*(others or (started,)))
        if start.sent is not None:
            self._sent[started.run_id] = start.sent
        if subject is not None:
            for run_id in run_ids:
                self.run_times.started(run_id, subject)
        logger.info("Run %s of %.80s started", printable(started.run_id), printable(start.target))
        return started

    async def resolve(self, error: SubmissionUnknownError) -> Any:  # noqa: ANN401 - as start
        """Find out what became of a start; `FloraSession.resolve` documents it."""
        if not isinstance(error, SubmissionUnknownError):
            raise TypeError(f"error must be a SubmissionUnknownError, not {error!r:.60}")
        start = error._start  # noqa: SLF001 - kept there for this
        if not isinstance(start, PendingStart):
            raise error
        return await self.start(start, since=error.since.timestamp(), adopt=True)

    async def _send(self, start: PendingStart[StartedT], submission: Submission) -> StartedT:
        clock = self._client.clock
        pause = min(submission.first_pause(clock.time()), max(current_deadline() - clock.monotonic(), 0.0))
        if pause > 0:
            logger.info(
                "The start of %.80s was sent by an earlier process; waiting %.1f s for it to settle before asking again"
                " under %s",
                start.target,
                pause,
                start.idempotency_key,
            )
            await clock.sleep(pause)
        route = ROUTES[start.operation]
        request = self._client.request(route, start.ids, body=start.body, idempotency_key=start.idempotency_key)
        started = await self._client.submit(request, start.read, submission)
        technique_id = start.ids.get("technique_id")
        return with_poll_url(self._client, started, technique_id) if isinstance(started, Run) else started

    async def _recover(  # noqa: PLR0913 - what is known of a start
        self,
        start: PendingStart[StartedT],
        opened: OpenStart,
        error: FloraError,
        *,
        adopt: bool,
        news: asyncio.Future[str] | None,
        knows: Knows | None,
    ) -> StartedT:
        """Find the run of a start that may have been carried out, or raise the error with all that is known."""
        opened.settled.set()  # other starts in doubt need not wait for this one any longer
        submission, clock = opened.submission, self._client.clock
        if isinstance(error, SubmissionUnknownError):
            unknown = error
        elif adopt and isinstance(error, IdempotencyError):
            # FLORA remembers a key for two hours, so the run is not older than that.
            submission.in_doubt = submission.proven = True
            submission.since, submission.until = clock.time() - KEY_LIFETIME, clock.time()
            unknown = submission.unknown()
            unknown.__cause__ = error
        else:
            raise error
        unknown._start = start  # noqa: SLF001 - for `resolve`
        if not self._client.policy.resolve:
            raise unknown
        found = await self._finder.find(start.history, opened, unknown, news=news, knows=knows)
        logger.warning(
            "Adopted the run %s for the start of %.80s under the idempotency key %s",
            printable(found.run_id),
            printable(start.target),
            start.idempotency_key,
        )
        adopted: StartedT = evolve(cast("Any", start.adopt(found)), adopted=True)
        return adopted


def generation_start(body: Mapping[str, Any], idempotency_key: str, operation: str) -> "PendingStart[models.RunTicket]":
    """The start of a generation; `body` holds FLORA's own fields."""
    model = body.get("model")
    return PendingStart(
        operation=operation,
        ids={},
        body=to_content(body),
        idempotency_key=idempotency_key,
        target=model or body["type"],
        read=partial(read_model, models.RunTicket),
        adopt=partial(_ticket_of, kind="generation"),
        history=generation_history(body),
    )


def generation_history(body: Mapping[str, Any]) -> History:
    """Where FLORA lists the run of a generation."""
    filters = {"workspace_id": body["workspace_id"], "project_id": body["project_id"]}
    return History("generations.list", model=body.get("model"), filters=filters)


def action_start(body: Mapping[str, Any], idempotency_key: str) -> "PendingStart[models.RunTicket]":
    """The start of an action; `body` holds FLORA's own fields."""
    return PendingStart(
        operation="actions.run",
        ids={},
        body=to_content(body),
        idempotency_key=idempotency_key,
        target=body["action_id"],
        read=partial(read_model, models.RunTicket),
        adopt=partial(_ticket_of, kind="action"),
    )


def _ticket_of(run: Run, kind: str) -> "models.RunTicket":
    return models.RunTicket(
        run_id=run.run_id,
        type=kind,
        poll_url=run.poll_url,
        charged_cost=run.charged_cost,
        project_id=getattr(run, "project_id", None),
        model=getattr(run, "model", None),
    )


@contextmanager
def _logging_cancellation(start: PendingStart[Any]) -> Generator[None, None, None]:
    """Log the key of a start in doubt whose resolution is cancelled, as it would be lost otherwise."""
    try:
        yield
    except asyncio.CancelledError:
        logger.warning(
            "Looking for the run of a start of %.80s was cancelled; it may exist and be charged. Idempotency key: %s",
            printable(start.target),
            start.idempotency_key,
        )
        raise


def start_token(idempotency_key: str) -> str:
    """The token in a callback URL that identifies the start of its run, without revealing the key."""
    return hashlib.sha256(f"flora_start:{idempotency_key}".encode()).hexdigest()[:32]


def with_token(callback_url: str | None, idempotency_key: str) -> str | None:
    """The callback URL with the token of a start, which the receiver of the delivery reads."""
    if callback_url is None:
        return None
    parts = urlsplit(callback_url)
    query = f"{parts.query}&" if parts.query else ""
    return parts._replace(query=f"{query}{START_PARAMETER}={start_token(idempotency_key)}").geturl()


def with_poll_url(client: Client, run: RunT, technique_id: str | None) -> RunT:
    """The run with the poll URL that FLORA may leave out."""
    if run.poll_url:
        return run
    try:
        if technique_id:
            ids = {"technique_id": technique_id, "run_id": run.run_id}
            return evolve(run, poll_url=client.url(ROUTES["techniques.runs.retrieve"], ids))
        return evolve(run, poll_url=client.url(ROUTES["generations.retrieve"], {"run_id": run.run_id}))
    except ValueError:  # a malformed id must not lose a run that was paid for
        return run


@frozen
class SentInputs:
    """What one run was started with.

    Attributes:
        technique_id: The technique, as the caller named it.
        inputs: What was sent, by input id.
    """

    technique_id: str
    inputs: Mapping[str, str]
