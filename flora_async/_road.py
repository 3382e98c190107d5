"""The road that every request takes: gate, retries, transport, meaning, model. Once over each, in that order.

Reads and paid submissions travel it differently in one respect only, and that is what keeps money safe: a read may
always be sent again; a submission is sent again only under its one key, and only when the attempt before is over.
"""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Final, TypeVar

from attrs import evolve

from flora_async._clock import Clock
from flora_async._codec import decode
from flora_async._retry import RateGate, Retrier, logger, outcome
from flora_async._transport import Request, Transport
from flora_async._urls import Endpoints, ParameterValue, with_query
from flora_async._wire import (
    Response,
    is_transient,
    may_be_in_flight,
    may_have_acted,
    raise_for_status,
    retry_after,
)
from flora_async.config import RetryPolicy
from flora_async.errors import (
    APIConnectionError,
    ConflictError,
    FloraError,
    RateLimitError,
    SubmissionUnknownError,
)
from flora_async.models import Run

ResultT = TypeVar("ResultT")

Look = Callable[[float], Awaitable[tuple[Run, float | None]]]
"""One look at a run: given a deadline (monotonic seconds, `inf` = none), the run and what `Retry-After` asked for."""

# A look that begins at the deadline still needs time to be answered: this much, in seconds.
_LAST_LOOK: Final = 2.0


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
        self._policy = policy
        self._timeout = timeout
        self._clock = clock
        self._gate = RateGate(clock)
        self._retrier = Retrier(policy, clock)

    def url(self, path: str) -> str:
        """The absolute URL of a path below the base URL."""
        return self._endpoints.join(path)

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, ParameterValue] | None = None,
        body: bytes | None = None,
        idempotency_key: str | None = None,
    ) -> Request:
        """Build a request for a path below the base URL; nothing is sent yet."""
        url = with_query(self._endpoints.join(path), params)
        return self._transport.request(method, url, body=body, idempotency_key=idempotency_key)

    async def fetch(self, request: Request, read: Callable[[Response], ResultT]) -> ResultT:
        """Send a request that may be repeated at will, until an answer can be read.

        Raises:
            FloraError: The last attempt's error, or the first that no repetition can cure.
        """

        async def attempt() -> ResultT:
            return read(await self._send(request))

        return await self._retrier.call(attempt, retry_if=is_transient, name=f"{request.method} {request.path}")

    async def submit(
        self,
        request: Request,
        read: Callable[[Response], ResultT],
        *,
        idempotency_key: str,
        technique_id: str | None = None,
        resend: bool = True,
    ) -> ResultT:
        """Send a request that may cost money, so that it is carried out at most once.

        Args:
            request: It carries the key already, in every place that FLORA reads it from.
            read: What to make of the answer.
            idempotency_key: The key, for the error.
            technique_id: What is started, for the error.
            resend: Whether FLORA is known to heed the key here. If not, an attempt in doubt is never repeated.

        Raises:
            SubmissionUnknownError: It may have been carried out, but no answer says so.
            FloraError: It was certainly not carried out; this is why.
        """
        since = datetime.fromtimestamp(self._clock.time(), UTC)
        arrived = 0  # attempts that may have reached FLORA
        in_doubt = False  # whether one of them may have been carried out

        async def attempt() -> ResultT:
            nonlocal arrived, in_doubt
            await self._gate.wait()
            was_in_doubt, in_doubt = in_doubt, True
            try:
                return read(await self._send(request))
            except FloraError as error:
                in_doubt = was_in_doubt or may_have_acted(error)
                arrived += not isinstance(error, APIConnectionError) or error.sent
                raise

        def may_repeat(error: FloraError) -> bool:
            return is_transient(error) and not (may_be_in_flight(error) if resend else may_have_acted(error))

        try:
            return await self._retrier.call(attempt, retry_if=may_repeat, name=f"{request.method} {request.path}")
        except asyncio.CancelledError:
            if in_doubt:
                logger.warning(
                    "%s %s was cancelled before its answer came; a run may exist and be charged. Idempotency key: %s",
                    request.method,
                    request.path,
                    idempotency_key,
                )
            raise
        except FloraError as error:
            # A 409 after an attempt of our own means that the attempt got through, whatever it looked like.
            if in_doubt or (isinstance(error, ConflictError) and arrived > 1):
                raise _unknown(error, idempotency_key, technique_id, since) from error
            raise

    def look(self, url: str) -> Look:
        """Prepare looking at the run at a URL that the server named.

        Raises:
            UntrustedURLError: The URL may not be followed.
        """
        absolute, with_key = self._endpoints.resolve(url)
        return partial(self._look, self._transport.request("GET", absolute, with_key=with_key), absolute)

    async def _look(self, request: Request, url: str, deadline: float) -> tuple[Run, float | None]:
        response = await self._send(request, deadline)
        run = decode(response.body, Run, request_id=response.request_id)
        if run.poll_url is None:
            run = evolve(run, poll_url=url)
        return run, retry_after(response.headers, self._clock.time())

    async def _send(self, request: Request, deadline: float = math.inf) -> Response:
        """One attempt, held back while the gate is closed. A 429 closes the gate for everybody."""
        timeout = self._timeout
        if self._gate.closed and not await self._gate.wait(deadline):
            raise APIConnectionError(f"{request.method} {request.path} was held back by a rate limit", sent=False)
        if deadline < math.inf:
            left = deadline - self._clock.monotonic()
            left = left if left > 0 else _LAST_LOOK
            timeout = left if timeout is None else min(timeout, left)
        try:
            response = await self._transport.send(request, timeout=timeout)
            raise_for_status(response, self._clock.time())
        except FloraError as error:
            if isinstance(error, RateLimitError):
                asked = error.retry_after
                self._gate.close(self._policy.rate_limit_pause if asked is None else asked)
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


def _unknown(
    error: FloraError, idempotency_key: str, technique_id: str | None, since: datetime
) -> SubmissionUnknownError:
    unknown = SubmissionUnknownError(idempotency_key=idempotency_key, technique_id=technique_id, since=since)
    unknown.request_id = error.request_id
    return unknown
