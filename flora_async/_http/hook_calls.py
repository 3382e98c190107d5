"""Build events and call hooks with them, so that nothing a hook raises has an effect on a request or a run."""

from asyncio import CancelledError
from collections.abc import Callable, Sequence
from inspect import iscoroutine
from typing import Any, Final

from multidict import CIMultiDict, CIMultiDictProxy

from flora_async._http.bodies import File
from flora_async._http.responses import Response
from flora_async._http.retry import logger
from flora_async._http.secrets import Redactor
from flora_async._http.transport import Request
from flora_async.errors import FloraError, RateLimitError
from flora_async.hooks import Hooks, RateLimitPause, RequestSent, ResponseReceived, RetryScheduled, RunEnded, RunStarted

_NAMES: Final = ("on_request", "on_response", "on_retry", "on_pause", "on_run_start", "on_run_end")


class HookCall:
    """One hook, isolated: the first exception that it raises is logged with its traceback, later ones at DEBUG."""

    __slots__ = ("_has_failed", "_hook", "_name")

    def __init__(self, name: str, hook: Callable[[Any], object]) -> None:
        self._name = name
        self._hook = hook
        self._has_failed = False

    def __call__(self, event: object) -> None:
        try:
            result = self._hook(event)
            if iscoroutine(result):
                result.close()
                raise TypeError("a hook must not return a coroutine: it would not be awaited")  # noqa: TRY301 - as any other
        # A plain function cannot be cancelled: it raises CancelledError when it reads a future that was.
        except (Exception, CancelledError) as error:  # noqa: BLE001 - the caller's own function, and what it raises is logged
            if self._has_failed:
                logger.debug("The hook %s raised again: %s", self._name, type(error).__name__)
                return
            self._has_failed = True
            logger.exception(
                "The hook %s raised, which affects nothing else; further exceptions are logged at DEBUG", self._name
            )


class Listener:
    """The hooks of one `Hooks`."""

    def __init__(self, hooks: Hooks) -> None:
        self.calls: dict[str, HookCall] = {
            name: HookCall(name, hook) for name in _NAMES if (hook := getattr(hooks, name)) is not None
        }

    def run_started(self, event: RunStarted) -> None:
        """A run has begun."""
        if "on_run_start" in self.calls:
            self.calls["on_run_start"](event)

    def run_ended(self, event: RunEnded) -> None:
        """A run has ended, or is not followed any longer."""
        if "on_run_end" in self.calls:
            self.calls["on_run_end"](event)


class HookCalls:
    """All hooks of a session, or of a view of it.

    Args:
        redactor: Masks the key in what hooks see.
        listeners: The hooks, those of the session first.

    Attributes:
        listeners: As passed.
        hear_responses: Whether any of them is called with answers.
    """

    def __init__(self, redactor: Redactor, listeners: Sequence[Listener] = ()) -> None:
        self._redactor = redactor
        self.listeners = tuple(listeners)
        self._calls: dict[str, list[HookCall]] = {
            name: [each.calls[name] for each in self.listeners if name in each.calls] for name in _NAMES
        }
        self.hear_responses = bool(self._calls["on_response"])

    def adding(self, hooks: object) -> "HookCalls":
        """These hooks and further ones.

        Raises:
            TypeError: `hooks` is not a `Hooks`, nor a sequence of them.
        """
        given: Sequence[Any] = hooks if isinstance(hooks, list | tuple) else [hooks]
        for each in given:
            if not isinstance(each, Hooks):
                raise TypeError(f"hooks must be of type Hooks, or a list of them, not {each!r:.60}")
        return HookCalls(self._redactor, (*self.listeners, *map(Listener, given)))

    def requested(self, request: Request, attempt: int) -> None:
        """A request is about to be sent."""
        if self._calls["on_request"]:
            self._call("on_request", sent_event(request, attempt, self._redactor))

    def received(self, event: ResponseReceived) -> None:
        """A request was answered."""
        self._call("on_response", event)

    def retried(self, request: Request, error: FloraError, attempt: int, seconds: float) -> None:
        """An attempt has failed, and another one follows."""
        if self._calls["on_retry"]:
            sent = sent_event(request, attempt, self._redactor)
            self._call("on_retry", RetryScheduled(request=sent, error=error, seconds=seconds))

    def paused(self, error: RateLimitError, seconds: float, rate: float) -> None:
        """A 429 pauses the session."""
        self._call("on_pause", RateLimitPause(error=error, seconds=seconds, rate=rate))

    def _call(self, name: str, event: object) -> None:
        for call in self._calls[name]:
            call(event)


def sent_event(request: Request, attempt: int, redactor: Redactor) -> RequestSent:
    """The event of a request."""
    body = request.body
    size = (
        len(body) if isinstance(body, bytes) else body.size if isinstance(body, File) else 0 if body is None else None
    )
    return RequestSent(
        method=request.method,
        path=redactor.text(request.url.raw_path),
        label=request.label,
        attempt=attempt,
        size=size,
    )


def received_event(
    request: Request, attempt: int, response: Response, seconds: float, redactor: Redactor
) -> ResponseReceived:
    """The event of an answer."""
    return ResponseReceived(
        request=sent_event(request, attempt, redactor),
        status=response.status,
        headers=CIMultiDictProxy(CIMultiDict(redactor.headers(response.headers))),
        request_id=response.request_id,
        seconds=seconds,
    )
