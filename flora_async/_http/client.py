"""The client that every request to FLORA goes through: outages, rate limits, retries, and reading the answer.

Reads and submissions differ in one respect, which keeps money safe: a read may always be sent again, but a submission
only under the same idempotency key, and only once the previous attempt has ended.
"""

import asyncio
import logging
import math
from collections.abc import Callable, Mapping
from copy import copy
from functools import partial
from types import EllipsisType
from typing import TYPE_CHECKING, Final, Protocol, TypeVar, cast

from attrs import evolve

from flora_async._clock import Clock, steady_time
from flora_async._http.availability import Availability, is_overload
from flora_async._http.bodies import Form
from flora_async._http.connections import RecalledError
from flora_async._http.deadline import current_deadline
from flora_async._http.defaults import RequestDefaults
from flora_async._http.rate_limit import RateLimitGate
from flora_async._http.recording import RECORDER
from flora_async._http.responses import Response, is_transient, raise_for_status, unix_time
from flora_async._http.retry import Retrier, logger, outcome
from flora_async._http.routes import ROUTES, Label, Route
from flora_async._http.submission import Submission
from flora_async._http.transport import Request, Transport
from flora_async._http.urls import Endpoints, ParameterValue, with_query
from flora_async._threads import computed
from flora_async.config import RetryPolicy
from flora_async.errors import APIConnectionError, FloraError, RateLimitError

if TYPE_CHECKING:
    from flora_async._http.hook_calls import HookCalls

ResultT = TypeVar("ResultT")

# An attempt that begins at the deadline still needs time to be answered: this much, in seconds.
_GRACE: Final = 2.0
_PROBE_TIMEOUT: Final = 10.0
# A start that is cut off leaves money in doubt, so each attempt is given at least this much, in seconds.
_START_TIME: Final = 10.0
# A response of this size is decoded in a few milliseconds, whatever is in it; in bytes. Runs are far smaller.
_MAX_INLINE: Final = 16 * 1024


async def read_response(read: Callable[..., ResultT], response: Response, *args: object) -> ResultT:
    """Read a response, in a thread where decoding it could block the event loop.

    Args:
        read: Reads it.
        response: The response.
        args: Further arguments of `read`.

    Raises:
        DecodeError: It cannot be read.
    """
    if len(response.body) <= _MAX_INLINE:
        return read(response, *args)
    return await computed(read, response, *args)


class RequestObserver(Protocol):
    """Watches the requests of a client."""

    def on_request(self, label: Label) -> None:
        """Called when a request is sent."""
        ...

    def on_recall(self, label: Label) -> None:
        """Called when a request was not sent after all, and waits for its turn."""
        ...

    def on_rate_limit(self) -> None:
        """Called when FLORA answered 429."""
        ...

    def on_overload(self) -> None:
        """Called when a request timed out, or was answered 502, 503 or 504."""
        ...


class Client:
    """Sends requests for one session.

    Args:
        transport: Carries the requests.
        endpoints: Where requests may go.
        policy: How they are tried again.
        timeout: Seconds for one attempt, its body included; None = no limit.
        clock: Time, sleep and randomness.
        defaults: What is added to each request.
        hooks: The hooks of the session, a `Hooks`; None = none.

    Attributes:
        policy: As passed.
        clock: As passed.
        hooks: Calls the hooks; None = there are none.

    Raises:
        TypeError: `hooks` has the wrong type.
    """

    def __init__(  # noqa: PLR0913 - what a session says about its requests
        self,
        transport: Transport,
        endpoints: Endpoints,
        *,
        policy: RetryPolicy,
        timeout: float | None,
        clock: Clock,
        defaults: RequestDefaults,
        hooks: object = None,
    ) -> None:
        self._transport = transport
        self._endpoints = endpoints
        self._base_url = endpoints.base_url
        self.policy = policy
        self.clock = clock
        self._timeout = timeout
        self._defaults = defaults
        self._adds = bool(defaults)
        self._gate = RateLimitGate(clock)
        self._availability = Availability(clock, policy.outage, self._probe)
        self._retrier = Retrier(policy, clock)
        self._observer: RequestObserver | None = None
        self.hooks: HookCalls | None = None
        self._add_hooks(hooks)

    def _add_hooks(self, hooks: object) -> None:
        if hooks is None:
            return
        from flora_async._http.hook_calls import HookCalls  # noqa: PLC0415 - loaded with the first hooks

        self.hooks = (self.hooks or HookCalls(self._transport.redactor)).adding(hooks)

    def observed_by(self, observer: RequestObserver) -> "Client":
        """The same client, rate limit included, that also reports its requests to `observer`."""
        client = copy(self)
        client._observer = observer  # noqa: SLF001 - of this class
        return client

    def with_options(
        self,
        *,
        policy: RetryPolicy,
        timeout: float | EllipsisType | None,
        headers: object,
        query: object,
        hooks: object = None,
    ) -> "Client":
        """The same client, rate limit and knowledge of outages included, with other options.

        Args:
            policy: How requests are tried again.
            timeout: Seconds for one attempt; None = no limit; left out = as before.
            headers: Further headers, concealed.
            query: Further query parameters.
            hooks: Further hooks, a `Hooks`; None = none.

        Raises:
            TypeError: A header, a parameter or `hooks` has the wrong type.
            ValueError: A header or a parameter is malformed.
        """
        client = copy(self)
        client.policy, client._retrier = policy, Retrier(policy, self.clock)  # noqa: SLF001 - of this class
        client._defaults = self._defaults.updated(headers, query)  # noqa: SLF001 - of this class
        client._adds = bool(client._defaults)  # noqa: SLF001 - of this class
        if not isinstance(timeout, EllipsisType):
            client._timeout = timeout  # noqa: SLF001 - of this class
        client._add_hooks(hooks)  # noqa: SLF001 - of this class
        return client

    def without_retries(self) -> "Client":
        """The same client, which sends nothing a second time: for a caller that asks again anyway."""
        client = copy(self)
        client._retrier = Retrier(evolve(self.policy, attempts=1), self.clock)  # noqa: SLF001 - of this class
        return client

    @property
    def clock_offset(self) -> tuple[float, float] | None:
        """Seconds by which FLORA's clock is ahead of this machine's, and how much more it may be; None = not known yet.

        A `Date` has whole seconds, and is as old as its answer took.
        """
        if self._availability.date is None:
            return None
        date, now, seconds = self._availability.date
        moment = unix_time(date)
        return None if moment is None else (moment - now, 1.0 + seconds)

    @property
    def flora_time(self) -> float:
        """FLORA's Unix time, in seconds, as far as its answers have told."""
        offset = self.clock_offset
        return self.clock.time() + (offset[0] if offset else 0.0)

    @property
    def queue_time(self) -> float:
        """How long the last poll waited for its turn, after a 429, and for a connection, in seconds."""
        return self._transport.queue_time + self._gate.queue_time("poll")

    def check_open(self) -> None:
        """Refuse to work with a closed session.

        Raises:
            SessionClosedError: The session is closed, or the one that was lent to it.
        """
        self._transport.check_open()

    async def available(self, deadline: float = math.inf) -> None:
        """Return once a start may be sent: at once, unless FLORA is known to be out of reach.

        Args:
            deadline: When to give up, in seconds of the monotonic clock.

        Raises:
            APIConnectionError: FLORA was still out of reach at the deadline; nothing was sent.
        """
        if self._availability.down_since is not None and self.policy.attempts != 1:
            await self._availability.wait(deadline, self.policy.outage)
            if self._availability.down_since is not None and self.clock.monotonic() >= deadline:
                raise APIConnectionError("A start was held back because FLORA could not be reached", sent=False)

    async def _probe(self) -> None:
        request = self.request(ROUTES["techniques.list"], {}, params={"limit": 1})
        await self.attempt(request, self.clock.monotonic() + _PROBE_TIMEOUT)

    def url(self, route: Route, ids: Mapping[str, str]) -> str:
        """The absolute URL of an operation.

        Raises:
            TypeError: An id is not text.
            ValueError: An id is blank.
        """
        return self._base_url + route.path(ids)

    def request(
        self,
        route: Route,
        ids: Mapping[str, str],
        *,
        params: Mapping[str, ParameterValue] | None = None,
        body: bytes | Form | None = None,
        idempotency_key: str | None = None,
    ) -> Request:
        """Build a request; nothing is sent yet.

        Raises:
            TypeError: An id is not text.
            ValueError: An id is blank.
        """
        url = self._base_url + route.path(ids)
        if params:
            url = with_query(url, params)
        return self._transport.request(route.method, url, body=body, idempotency_key=idempotency_key, label=route.label)

    def poll_request(self, url: str) -> Request:
        """Build a request for a URL that FLORA named; nothing is sent yet.

        Raises:
            UntrustedURLError: The URL is not at FLORA's origin or a trusted one.
        """
        absolute, with_key = self._endpoints.resolve(url)
        return self._transport.request("GET", absolute, with_key=with_key, label="poll")

    async def fetch(self, request: Request, read: Callable[[Response], ResultT]) -> ResultT:
        """Send a request that may be repeated at will, until an answer can be read or the call's deadline has come.

        Raises:
            FloraError: The last attempt's error, or the first that repeating cannot cure.
        """
        deadline, number = current_deadline(), 0

        async def attempt() -> ResultT:
            nonlocal number
            number += 1
            return await read_response(read, await self.attempt(request, deadline, number=number))

        return await self._retrier.call(
            attempt,
            retry_if=is_transient,
            may_pause=lambda seconds: self.clock.monotonic() + seconds < deadline,
            name=request,
            on_retry=None if self.hooks is None else partial(self.hooks.retried, request),
        )

    async def submit(
        self,
        request: Request,
        read: Callable[[Response], ResultT],
        submission: Submission,
    ) -> ResultT:
        """Send a request that may cost money, so that it is carried out at most once, until the call's deadline.

        An attempt that is under way at the deadline is given the time that a start takes.

        Args:
            request: The request; it carries the key in every place that FLORA reads it from.
            read: Makes a result of the answer.
            submission: What is known of it, and the rule for sending it again; kept up to date.

        Raises:
            SubmissionUnknownError: It may have been carried out, but no answer says so.
            FloraError: It was certainly not carried out; this is why.
        """
        clock, deadline, number = self.clock, current_deadline(), 0
        time = steady_time(clock)  # a clock that is set back must not make a key look younger than it is

        def may_pause(seconds: float) -> bool:
            seconds = max(seconds, self._gate.delay(request.label))
            return clock.monotonic() + seconds < deadline and time() + seconds < submission.expires_at

        async def attempt() -> ResultT:
            nonlocal number
            number += 1
            # A key that FLORA may have forgotten by the end of an outage must not be sent.
            await self.available(min(deadline, clock.monotonic() + submission.time_left(time())))
            with submission.attempt(time):
                limit = min(deadline, clock.monotonic() + submission.time_left(time()))
                response = await self.attempt(request, limit, submission.sent, min_time=_START_TIME, number=number)
                return await read_response(read, response)

        try:
            return await self._retrier.call(
                attempt,
                retry_if=submission.may_repeat,
                min_pause=lambda error: submission.pause(error, time()),
                may_pause=may_pause,
                limited=False,
                name=request,
                on_retry=None if self.hooks is None else partial(self.hooks.retried, request),
            )
        except asyncio.CancelledError:
            if submission.in_doubt:
                logger.warning(
                    "%s was cancelled before its answer came; a run may exist and be charged. Idempotency key: %s",
                    request,
                    submission.idempotency_key,
                )
            raise
        except Exception as error:
            verdict = submission.verdict(error)
            if verdict is error:
                raise
            raise verdict from error

    async def attempt(
        self,
        request: Request,
        deadline: float = math.inf,
        on_sent: Callable[[], None] | None = None,
        min_time: float = 0.0,
        number: int = 1,
    ) -> Response:
        """Send a request once, in its turn after a 429, which slows down every request of the session.

        Args:
            request: The request.
            deadline: When to give up, in seconds of the monotonic clock.
            on_sent: Called when the request goes out.
            min_time: Seconds that the attempt is given even where the deadline is nearer.
            number: Which attempt it is, for hooks.

        Raises:
            FloraError: The attempt's error.
        """
        if self._adds:
            request = self._defaults.added_to(request)
        unannounced = self.hooks
        while True:
            if self._gate.is_active or (self._gate.is_opening and request.label == "start"):
                await self._take_turn(request.label, deadline)
            within = None if deadline == math.inf else self._time_left(deadline, min_time)
            if self._observer is not None:
                self._observer.on_request(request.label)
            if unannounced is not None:
                unannounced.requested(request, number)
                unannounced = None
            began = self.clock.monotonic()
            response: Response | None = None
            try:
                response = await self._transport.send(request, timeout=self._timeout, within=within, on_sent=on_sent)
                raise_for_status(response, self.clock.time())
            except RecalledError:  # a 429 to another request came while this one waited for a connection
                if self._observer is not None:
                    self._observer.on_recall(request.label)
                continue
            except FloraError as error:
                if response is not None:
                    self._report(request, number, response, began)
                self._note(error, deadline, began)
                logger.debug("%s -> %s (request id %s)", request, outcome(error), error.request_id)
                raise
            self._learn(request, number, response, began)
            return response

    def _time_left(self, deadline: float, min_time: float) -> float:
        within = max(deadline - self.clock.monotonic(), min_time)
        return within if within > 0 else _GRACE

    def _report(self, request: Request, number: int, response: Response, sent_at: float) -> None:
        """Tell hooks and recorders of an answer."""
        recorder, hooks = RECORDER.get(), self.hooks
        if recorder is None and (hooks is None or not hooks.hear_responses):
            return
        from flora_async._http.hook_calls import received_event  # noqa: PLC0415 - loaded with the first hooks

        seconds = self.clock.monotonic() - sent_at
        event = received_event(request, number, response, seconds, self._transport.redactor)
        if hooks is not None:
            hooks.received(event)
        if recorder is not None:
            recorder.add(event)

    def _learn(self, request: Request, number: int, response: Response, sent_at: float) -> None:
        """Apply what a success means for all requests of the session."""
        if self.hooks is not None or RECORDER.get() is not None:
            self._report(request, number, response, sent_at)
        now = self.clock.monotonic()
        self._gate.accepted.append(now)
        if self._gate.is_active or (self._gate.is_opening and request.label == "start"):
            self._gate.learn(sent_at)
        date = response.headers.get("Date")
        if date is not None:
            self._availability.dated(date, self.clock.time(), now - sent_at)
        if self._availability.failures:
            self._availability.answered()
        if logger.isEnabledFor(logging.DEBUG):
            logger.debug("%s -> %d (request id %s)", request, response.status, response.request_id)

    async def _take_turn(self, label: Label, deadline: float) -> None:
        """Wait until a request may be sent.

        Raises:
            RateLimitError: The deadline comes first; nothing was sent.
        """
        grace = self.clock.monotonic() + _GRACE
        if deadline < grace and self._gate.delay(label) < _GRACE:
            deadline = grace  # as for an attempt that begins at the deadline
        if not await self._gate.wait(label, deadline):
            raise cast("RateLimitError", copy(self._gate.reason))

    def _note(self, error: FloraError, deadline: float, sent_at: float) -> None:
        """Apply what a failed attempt means for all requests of the session."""
        if isinstance(error, RateLimitError):
            pause = self.policy.rate_limit_pause if error.retry_after is None else error.retry_after
            if self._gate.close(pause, error, sent_at):
                self._transport.recall()
                logger.info(
                    "FLORA answered 429: the session pauses for %.1f s and slows down to %.3g requests a second"
                    " (request id %s)",
                    pause,
                    self._gate.rate,
                    error.request_id,
                )
                if self.hooks is not None:
                    self.hooks.paused(error, pause, self._gate.rate)
            if self._observer is not None:
                self._observer.on_rate_limit()
        elif is_overload(error) and self._observer is not None:
            self._observer.on_overload()
        if self.clock.monotonic() < deadline:  # one that the caller's deadline cut off says nothing about FLORA
            self._availability.failed(error)
