"""The road that every request takes: gate, retries, transport, meaning, model. Once over each, in that order.

Reads and paid submissions travel it differently in one respect only, and that is what keeps money safe: a read may
always be sent again; a submission is sent again only under its one key, and only when the attempt before is over.
"""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Mapping
from copy import copy
from datetime import UTC, datetime
from functools import partial
from typing import Final, Protocol, TypeVar

from attrs import evolve

from flora_async._bodies import Form
from flora_async._clock import Clock
from flora_async._codec import decode
from flora_async._retry import RateGate, Retrier, logger, outcome
from flora_async._submission import Submission
from flora_async._transport import Request, Transport
from flora_async._urls import Endpoints, ParameterValue, segment, with_query
from flora_async._wire import Response, is_transient, raise_for_status, retry_after
from flora_async.config import RetryPolicy
from flora_async.errors import APIConnectionError, DecodeError, FloraError, RateLimitError
from flora_async.models import Run

ResultT = TypeVar("ResultT")

Look = Callable[[float], Awaitable[tuple[Run, float | None]]]
"""One look at a run: given a deadline (monotonic seconds, `inf` = none), the run and what `Retry-After` asked for."""


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

# A look that begins at the deadline still needs time to be answered: this much, in seconds.
_LAST_LOOK: Final = 2.0


def decode_run(response: Response, run_id: str | None) -> Run:
    """Read an answer about one run; None = about whichever it is.

    Raises:
        DecodeError: It cannot be read, or is about another run.
    """
    run = decode(response.body, Run, request_id=response.request_id)
    if run_id and run.run_id != run_id:
        raise DecodeError("run_id", f"{run.run_id[:40]!r} is another run", request_id=response.request_id)
    return run


class Traffic(Protocol):
    """One who counts what a road carries."""

    def sends(self, kind: str) -> None:
        """A request goes out."""
        ...

    def is_limited(self, pause: float) -> None:
        """A 429 came back; every request now pauses for `pause` seconds."""
        ...


class Road:
    """Sends requests for one session.

    Args:
        transport: What carries them.
        endpoints: Where they may go.
        policy: How they are tried again.
        timeout: Seconds for one attempt, its body included; None = no limit.
        clock: Time, sleep and randomness.
    """

    def __init__(
        self,
        transport: Transport,
        endpoints: Endpoints,
        *,
        policy: RetryPolicy,
        timeout: float | None,
        clock: Clock,
    ) -> None:
        self._transport = transport
        self._endpoints = endpoints
        self.policy = policy
        self._timeout = timeout
        self._clock = clock
        self._gate = RateGate(clock)
        self._retrier = Retrier(policy, clock)
        self._traffic: Traffic | None = None

    def counted(self, traffic: "Traffic") -> "Road":
        """The same road, gate included, that also tells `traffic` of what it carries."""
        road = copy(self)
        road._traffic = traffic  # noqa: SLF001 - of this class
        return road

    def once(self) -> "Road":
        """The same road, on which nothing is sent a second time: for one who looks again anyway."""
        road = copy(self)
        road._retrier = Retrier(evolve(self.policy, attempts=1), self._clock)  # noqa: SLF001 - of this class
        return road

    def url(self, path: str) -> str:
        """The absolute URL of a path below the base URL."""
        return self._endpoints.join(path)

    def request(  # noqa: PLR0913 - the parts of a request
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, ParameterValue] | None = None,
        body: bytes | Form | None = None,
        idempotency_key: str | None = None,
        kind: str = "other",
    ) -> Request:
        """Build a request for a path below the base URL; nothing is sent yet."""
        url = with_query(self._endpoints.join(path), params)
        return self._transport.request(method, url, body=body, idempotency_key=idempotency_key, kind=kind)

    async def fetch(self, request: Request, read: Callable[[Response], ResultT]) -> ResultT:
        """Send a request that may be repeated at will, until an answer can be read.

        Raises:
            FloraError: The last attempt's error, or the first that no repetition can cure.
        """

        async def attempt() -> ResultT:
            return read(await self._send(request))

        return await self._retrier.call(attempt, retry_if=is_transient, name=f"{request.method} {request.path}")

    async def submit(  # noqa: PLR0913 - what is known of a submission
        self,
        request: Request,
        read: Callable[[Response], ResultT],
        *,
        idempotency_key: str,
        technique_id: str | None = None,
        resend: bool = True,
        spends: bool = True,
    ) -> ResultT:
        """Send a request that may cost money, so that it is carried out at most once.

        Args:
            request: It carries the key already, in every place that FLORA reads it from.
            read: What to make of the answer.
            idempotency_key: The key, for the error.
            technique_id: What is started, for the error.
            resend: Whether FLORA is known to heed the key here. If not, an attempt in doubt is never repeated.
            spends: Whether it costs money. If not, a repetition need not wait until FLORA has settled the one before.

        Raises:
            SubmissionUnknownError: It may have been carried out, but no answer says so.
            FloraError: It was certainly not carried out; this is why.
        """
        submission = Submission(
            idempotency_key=idempotency_key,
            technique_id=technique_id,
            since=datetime.fromtimestamp(self._clock.time(), UTC),
            resend=resend,
            settle=self.policy.settle if spends else 0.0,
        )

        async def attempt() -> ResultT:
            submission.begin()
            try:
                return read(await self._send(request, on_sent=submission.sent))
            except FloraError as error:
                submission.failed(error)
                raise

        name = f"{request.method} {request.path}"
        try:
            return await self._retrier.call(attempt, retry_if=submission.may_repeat, least=submission.pause, name=name)
        except asyncio.CancelledError:
            if submission.in_doubt:
                logger.warning(
                    "%s was cancelled before its answer came; a run may exist and be charged. Idempotency key: %s",
                    name,
                    idempotency_key,
                )
            raise
        except Exception as error:
            verdict = submission.verdict(error)
            if verdict is error:
                raise
            raise verdict from error

    def look_for(self, run: RunReference) -> Look:
        """Prepare looking at a run by its poll URL, or else by its id; nothing is sent yet.

        Raises:
            UntrustedURLError: The poll URL may not be followed.
            ValueError: `run` names no run.
            TypeError: `run` is nothing that could.
        """
        if isinstance(run, str):
            run_id, poll_url = (None, run) if "/" in run else (run, None)
        else:
            run_id, poll_url = getattr(run, "run_id", None), getattr(run, "poll_url", None)
        if not (isinstance(poll_url, str) and poll_url):
            if run_id is None:
                raise TypeError(f"run must be a Run, a poll URL or a run id, not {run!r:.60}")
            if isinstance(run, str) and not run.startswith("run_"):
                raise ValueError(f"run {run!r:.60} is neither a poll URL nor a run id (run_…)")
            if run_id == "":
                raise ValueError(f"{run!r:.120} was not started: there is no run to wait for")
            poll_url = self.url(f"/runs/{segment('run_id', run_id)}")
        absolute, with_key = self._endpoints.resolve(poll_url)
        request = self._transport.request("GET", absolute, with_key=with_key, kind="poll")
        return partial(self._look, request, absolute, run_id)

    async def _look(self, request: Request, url: str, run_id: str | None, deadline: float) -> tuple[Run, float | None]:
        response = await self._send(request, deadline)
        run = decode_run(response, run_id)
        if run.poll_url is None:
            run = evolve(run, poll_url=url)
        return run, retry_after(response.headers, self._clock.time())

    async def _send(
        self, request: Request, deadline: float = math.inf, on_sent: Callable[[], None] | None = None
    ) -> Response:
        """One attempt, held back while the gate is closed. A 429 closes the gate for everybody."""
        timeout = self._timeout
        if self._gate.closed and not await self._gate.wait(deadline):
            raise APIConnectionError(f"{request.method} {request.path} was held back by a rate limit", sent=False)
        if deadline < math.inf:
            left = deadline - self._clock.monotonic()
            left = left if left > 0 else _LAST_LOOK
            timeout = left if timeout is None else min(timeout, left)
        if self._traffic is not None:
            self._traffic.sends(request.kind)
        try:
            response = await self._transport.send(request, timeout=timeout, on_sent=on_sent)
            raise_for_status(response, self._clock.time())
        except FloraError as error:
            if isinstance(error, RateLimitError):
                pause = self.policy.rate_limit_pause if error.retry_after is None else error.retry_after
                self._gate.close(pause)
                if self._traffic is not None:
                    self._traffic.is_limited(pause)
            logger.debug("%s %s -> %s (request id %s)", request.method, request.path, outcome(error), error.request_id)
            raise
        if logger.isEnabledFor(logging.DEBUG):
            logger.debug(
                "%s %s -> %d (request id %s)",
                request.method,
                request.path,
                response.status,
                response.request_id,
            )
        return response
