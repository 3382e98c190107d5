"""Hooks: plain functions that a session calls with an event for each request, pause, and start and end of a run."""

from collections.abc import Callable, Mapping
from contextvars import Context
from datetime import datetime
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any, Literal

from attrs import Attribute, field, frozen

from flora_async._repr import ShortRepr, as_text

if TYPE_CHECKING:
    from flora_async.errors import FloraError, RateLimitError
    from flora_async.models import Run, RunStatus

__all__ = [
    "BatchRow",
    "Hooks",
    "RateLimitPause",
    "RequestSent",
    "ResponseReceived",
    "RetryScheduled",
    "RunEnded",
    "RunStarted",
]

Label = Literal["start", "poll", "history", "technique", "other"]
"""The category of a request."""


@frozen(kw_only=True)
class RequestSent(ShortRepr):
    """A request to FLORA is about to be sent.

    Attributes:
        method: The HTTP method.
        path: The path of its URL, without host and query.
        label: Its category: `start`, `poll`, `history`, `technique` or `other`.
        attempt: Which attempt it is, from 1. For a poll, one more than the polls in a row that have just failed.
        size: The size of its JSON or file in bytes; 0 = no body, None = not known.

    Example:
        >>> sent = RequestSent(method="GET", path="/api/v1/techniques", label="other", attempt=1, size=0)
        >>> f"{sent.method} {sent.path}, attempt {sent.attempt}"
        'GET /api/v1/techniques, attempt 1'
    """

    method: str
    path: str
    label: Label
    attempt: int
    size: int | None

    def __str__(self) -> str:
        return f"{self.method} {self.path}, {self.label}, attempt {self.attempt}"


@frozen(kw_only=True)
class ResponseReceived(ShortRepr):
    """FLORA, or a proxy before it, has answered a request; the whole answer was read.

    Attributes:
        request: What it answers.
        status: The HTTP status.
        headers: Its headers, looked up without regard to case. The API key is masked.
        request_id: FLORA's `request-id`; None where the answer is not FLORA's.
        seconds: From when the request could be sent until the answer was read, waiting for a connection included.

    Example:
        >>> with record_responses() as responses:
        ...     technique = await flora.techniques.retrieve("caption")
        >>> responses[0].status, responses[0].request.path, "content-type" in responses[0].headers
        (200, '/api/v1/techniques/caption', True)
    """

    request: RequestSent = field(repr=as_text)
    status: int
    headers: Mapping[str, str] = field(repr=False)
    request_id: str | None
    seconds: float


@frozen(kw_only=True)
class RetryScheduled(ShortRepr):
    """An attempt has failed, and another one will follow.

    Attributes:
        request: The request that failed.
        error: Why it failed.
        seconds: How long the pause before the next attempt is. After a 429, the pause of the session is added to it.
    """

    request: RequestSent = field(repr=as_text)
    error: "FloraError" = field(repr=as_text)
    seconds: float


@frozen(kw_only=True)
class RateLimitPause(ShortRepr):
    """FLORA has answered 429, so that the session pauses and then slows down. The 429s of one burst are one pause.

    Attributes:
        error: The 429.
        seconds: How long the session pauses.
        rate: The requests a second that may follow.
    """

    error: "RateLimitError" = field(repr=as_text)
    seconds: float
    rate: float

    @property
    def request_id(self) -> str | None:
        """FLORA's `request-id` of the 429."""
        return self.error.request_id


@frozen(kw_only=True)
class BatchRow(ShortRepr):
    """The row of a batch for which a run is made.

    Attributes:
        batch: The name of the batch.
        key: The row's key.
        index: The row's number, from 0.
        attempt: Which run of the row it is, from 1.
        context: The context variables at the place where the batch was entered.
    """

    batch: str
    key: str
    index: int
    attempt: int
    context: Context = field(repr=False, eq=False)

    def __str__(self) -> str:
        return f"{self.key} of {self.batch}, attempt {self.attempt}"


@frozen(kw_only=True, eq=False)
class RunStarted(ShortRepr):
    """A run has begun: FLORA has answered its start, or this session begins to wait for a run that was started earlier.

    Attributes:
        run_id: FLORA's id; None for a start that ended in doubt.
        kind: What is run: `technique`, `model` or `action`, or `node` for a node on a canvas; None = not known.
        name: The slug or id of it, as the caller named it; the medium where FLORA chooses the model; None = not known.
        row: The row of a batch that the run is for; None = the run is not part of a batch.
        idempotency_key: The key of the start; None where a wait begins.
        quote: The cost that FLORA quotes, in USD; None = it does not say.
        sent_at: When the start was first sent, or when the wait began (aware, UTC).
        resumed: Whether the run was started earlier: by another session or process, or here, and an earlier wait for it
            was abandoned.

    Example:
        >>> names = []
        >>> view = flora.with_options(hooks=Hooks(on_run_start=lambda event: names.append(event.name)))
        >>> run = await view.run("caption", {"prompt": "a red bicycle"})
        >>> names
        ['caption']
    """

    run_id: str | None
    kind: Literal["technique", "model", "action", "node"] | None
    name: str | None
    row: BatchRow | None = field(repr=as_text)
    idempotency_key: str | None
    quote: float | None
    sent_at: datetime
    resumed: bool

    def __str__(self) -> str:
        row = "" if self.row is None else f", {self.row}"
        key = f", key {self.idempotency_key}" if self.run_id is None else ""
        return f"{self.kind or 'run'} {self.name or self.run_id}{row}{key}"


@frozen(kw_only=True, eq=False)
class RunEnded(ShortRepr):
    """A run has ended, or this session has stopped following it.

    Attributes:
        start: The event of its start, the same object.
        run: The run as it was last seen; None = it was never seen.
        error: What ended the wait, or the start, before the run had ended, such as `WaitTimeoutError`,
            `SubmissionUnknownError` or `asyncio.CancelledError`; None = the run has ended, or nothing waits for it.
        seconds: From `start.sent_at` until now.
        polls: How many polls of this run were sent. Reading a history for many runs does not count.
        news_delay: Seconds from the end of the run on FLORA until it was known here; None = not known.
    """

    start: RunStarted = field(repr=as_text)
    run: "Run | None" = field(repr=as_text)
    error: BaseException | None = field(repr=as_text)
    seconds: float
    polls: int
    news_delay: float | None

    @property
    def is_abandoned(self) -> bool:
        """Whether the run had not ended when it was last seen: it may still be running on FLORA."""
        return self.run is None or not self.run.is_terminal

    @property
    def status(self) -> "RunStatus | str | None":
        """The status of the run when it was last seen."""
        return None if self.run is None else self.run.status

    @property
    def cost(self) -> float | None:
        """What the run has cost in USD; None while it is not known, which can last for a minute after its end."""
        return None if self.run is None or self.is_abandoned else self.run.charged_cost


def _check_hook(instance: object, attribute: "Attribute[Any]", value: object) -> None:
    name = f"{type(instance).__name__}.{attribute.name}"
    if value is None:
        return
    if not callable(value):
        raise TypeError(f"{name} must be a function of one event, not {value!r:.60}")
    if iscoroutinefunction(value) or iscoroutinefunction(getattr(value, "__call__", None)):  # noqa: B004 - of an object
        raise TypeError(
            f"{name} must be a plain function, not the coroutine function {value!r:.60}: hooks are not awaited. "
            "Put the event into an asyncio.Queue, and await in a task of your own"
        )


@frozen(kw_only=True)
class Hooks(ShortRepr):
    """What to call when something happens in a session: `FloraSession(hooks=…)` or `flora.with_options(hooks=…)`.

    Hooks are plain functions of one event. They are called on the event loop, in the task in which it happens, so they
    have to return quickly. An exception that one raises is logged, the first one of each hook with its traceback, and
    changes nothing else.

    For each `on_run_start` there is one `on_run_end` with the same `start` object, whatever ends the run or its wait.
    A run that nothing waits for ends with the session.

    Args:
        on_request: Called when a request to FLORA is about to be sent.
        on_response: Called when it was answered, with any status.
        on_retry: Called when an attempt, or a poll, has failed and another one will follow.
        on_pause: Called when a 429 pauses the session.
        on_run_start: Called when a run has begun.
        on_run_end: Called when it has ended, or when this session has stopped following it.

    Raises:
        TypeError: A hook cannot be called, or is a coroutine function.

    Example:
        >>> costs = []
        >>> hooks = Hooks(on_run_end=lambda event: costs.append(event.cost))
        >>> run = await flora.with_options(hooks=hooks).run("caption", {"prompt": "a red bicycle"})
        >>> costs == [run.charged_cost]
        True
    """

    on_request: Callable[[RequestSent], object] | None = field(default=None, validator=_check_hook)
    on_response: Callable[[ResponseReceived], object] | None = field(default=None, validator=_check_hook)
    on_retry: Callable[[RetryScheduled], object] | None = field(default=None, validator=_check_hook)
    on_pause: Callable[[RateLimitPause], object] | None = field(default=None, validator=_check_hook)
    on_run_start: Callable[[RunStarted], object] | None = field(default=None, validator=_check_hook)
    on_run_end: Callable[[RunEnded], object] | None = field(default=None, validator=_check_hook)
