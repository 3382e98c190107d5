"""`FloraSession`: one connection to FLORA, from which everything else is reached."""

import json
import os
from collections.abc import AsyncGenerator, Mapping, Sequence
from types import EllipsisType
from typing import Any

from flora_async._alarm import Wake, check_wake
from flora_async._batching import Batching
from flora_async._clock import Clock
from flora_async._lifetime import Lifetime
from flora_async._road import Look
from flora_async._saving import Saving
from flora_async._transport import ClientSession, TraceConfig
from flora_async._urls import ParameterValue
from flora_async._wiring import conceal, wire
from flora_async.config import PollPolicy, RetryPolicy
from flora_async.models import Run
from flora_async.polling import OnUpdate, RunReference, check_listener, notify, time_limit, wait_for_run, watch_run
from flora_async.resources import Inputs, Resources, raw_request


class FloraSession(Lifetime, Resources, Batching, Saving):
    """A session with FLORA. Use it with `async with`, or call `await close()` when done.

    Connections are opened on first use, inside the event loop that runs then. A closed session can be entered again,
    also under another loop; one session serves any number of concurrent calls.

    Args:
        api_key: FLORA's API key (`sk_live_…`, `ak_…`); None = the environment variable `FLORA_API_KEY`. It is sent to
            the origin of `base_url` and nowhere else, and is shown in no repr, log or error.
        base_url: None = the environment variable `FLORA_BASE_URL`, or else `https://app.flora.ai/api/v1`.
        timeout: Seconds for one attempt of one request: a connection, sending, and the whole answer with its body;
            None = no limit. Default 60.
        retry: How requests are tried again.
        poll: How runs are watched, unless a call says otherwise.
        http_session: An aiohttp session to use; it is never closed here. None = an own one.
        max_connections: The most connections that an own session opens at once. Default 100.
        trace_configs: aiohttp's tracing hooks for an own session. They see the request's headers, the key among them.
        trusted_origins: Further origins (`https://host`) whose poll URLs may be followed; the key does not go there.
        allow_http: Allow an unencrypted `base_url` that is not on this machine. Default False.
        workspace_id: Where files are uploaded to (`ws_…`); None = the environment variable `FLORA_WORKSPACE_ID`, or
            else the only workspace there is.
        clock: Time, sleep and randomness, for tests; None = the real ones. `flora_async.testing` has a virtual one.

    Raises:
        ValueError: The key is missing or malformed, or another argument cannot be right.
        TypeError: An argument has the wrong type.

    Example:
        >>> from flora_async import FloraSession
        >>> async with FloraSession() as flora:
        ...     run = await flora.run("caption", {"prompt": "a red bicycle"})
        >>> run.is_completed
        True
    """

    def __init__(  # noqa: PLR0913 - one keyword for each decision about a session
        self,
        api_key: str | None = None,
        *,
        base_url: str | None = None,
        timeout: float | None = 60.0,
        retry: RetryPolicy = RetryPolicy(),  # noqa: B008 - frozen
        poll: PollPolicy = PollPolicy(),  # noqa: B008 - frozen
        http_session: ClientSession | None = None,
        max_connections: int = 100,
        trace_configs: Sequence[TraceConfig] = (),
        trusted_origins: Sequence[str] = (),
        allow_http: bool = False,
        workspace_id: str | None = None,
        clock: Clock | None = None,
    ) -> None:
        # First of all, so that no frame of ours holds the key in a form that shows, whatever fails below.
        key, api_key = conceal(api_key), None
        self._endpoints, self._transport, road, media, clock = wire(
            key,
            base_url=base_url,
            timeout=timeout,
            retry=retry,
            poll=poll,
            http_session=http_session,
            max_connections=max_connections,
            trace_configs=trace_configs,
            trusted_origins=trusted_origins,
            allow_http=allow_http,
            clock=clock,
        )
        home = os.environ.get("FLORA_WORKSPACE_ID") or None if workspace_id is None else workspace_id
        super().__init__(road, media, workspace_id=home, poll=poll, clock=clock)

    @property
    def poll(self) -> PollPolicy:
        """How runs are watched, unless a call says otherwise."""
        return self._poll

    @property
    def clock(self) -> Clock:
        """Time, sleep and randomness of everything that waits in this session."""
        return self._clock

    def look_for(self, run: RunReference) -> Look:
        """Prepare looking at a run: the piece of a session that `wait_for_run` and `watch_run` use.

        Args:
            run: A `Run`, anything with `run_id` and `poll_url`, a poll URL, or a `run_…` id.

        Returns:
            A coroutine function that makes one look.

        Raises:
            UntrustedURLError: The poll URL is not at FLORA's origin.
            ValueError: `run` names no run.
            TypeError: `run` is nothing that could.
        """
        return self._road.look_for(run)

    async def wait_for_run(  # noqa: PLR0913 - as flora_async.wait_for_run
        self,
        run: RunReference,
        *,
        poll: PollPolicy | None = None,
        timeout: float | EllipsisType | None = ...,  # noqa: ASYNC109 - as flora_async.wait_for_run
        on_update: OnUpdate | None = None,
        raise_on_failure: bool = False,
        wake: Wake | None = None,
    ) -> Run:
        """Wait until a run is completed or failed: `flora_async.wait_for_run` with this session.

        Example:
            >>> run = await flora.techniques.runs.create("caption", inputs={"prompt": "a red bicycle"})
            >>> (await flora.wait_for_run(run)).outputs[0].text
            'Caption: a red bicycle'
        """
        return await wait_for_run(
            self, run, poll=poll, timeout=timeout, on_update=on_update, raise_on_failure=raise_on_failure, wake=wake
        )

    def watch_run(
        self,
        run: RunReference,
        *,
        poll: PollPolicy | None = None,
        timeout: float | EllipsisType | None = ...,
        wake: Wake | None = None,
    ) -> AsyncGenerator[Run, None]:
        """Iterate over the changed snapshots of a run: `flora_async.watch_run` with this session.

        Example:
            >>> run = await flora.techniques.runs.create("caption", inputs={"prompt": "a red bicycle"})
            >>> async for snapshot in flora.watch_run(run):
            ...     last = snapshot
            >>> last.is_completed
            True
        """
        return watch_run(self, run, poll=poll, timeout=timeout, wake=wake)

    async def run(  # noqa: PLR0913 - what create and wait_for_run take
        self,
        technique_id: str,
        inputs: Inputs,
        *,
        callback_url: str | None = None,
        idempotency_key: str | None = None,
        check: bool = True,
        workspace_id: str | None = None,
        poll: PollPolicy | None = None,
        timeout: float | EllipsisType | None = ...,  # noqa: ASYNC109 - as flora_async.wait_for_run
        on_update: OnUpdate | None = None,
        raise_on_failure: bool = False,
        wake: Wake | None = None,
    ) -> Run:
        """Start a run and wait for its end: `techniques.runs.create` and `wait_for_run` in one.

        Args:
            technique_id: The technique's slug or id (`tech_…`).
            inputs: `{input_id: value}`, or a sequence of `RunInput`. A `pathlib.Path`, bytes or an open file as a value
                is uploaded first; equal files are uploaded once in a session.
            callback_url: A public https URL that FLORA calls when the run has ended.
            idempotency_key: Your own key for this one start; None = a new one.
            check: Read the technique first (once in five minutes), give each input the technique's own type, and refuse
                what it does not take, before anything is spent. Default True.
            workspace_id: Where files are uploaded to (`ws_…`); None = the session's, or the only one there is.
            poll: How to watch; None = the session's policy.
            timeout: Seconds to wait once the run is started; None = no limit; left out = `poll.timeout`.
            on_update: Called with the run as soon as it is started, and each time it has changed.
            raise_on_failure: Raise `RunFailedError` when the run ends `failed`, rather than return it.
            wake: A `WebhookReceiver` that gets the deliveries to `callback_url`; None = looks alone tell.

        Returns:
            The run as it ended.

        Raises:
            InputError: The technique does not take these inputs; nothing was sent to be run.
            FloraError: As `techniques.runs.create` (nothing but `SubmissionUnknownError` can have cost anything), then
                as `wait_for_run` (with the run as `error.run`).

        Example:
            >>> run = await flora.run("always-fails", {"prompt": "a red bicycle"})
            >>> run.status, run.error_code
            (<RunStatus.FAILED: 'failed'>, 'safety_blocked')
        """
        limit = time_limit(self._poll if poll is None else poll, timeout)  # checked before anything is spent
        check_listener(on_update)
        check_wake(wake)
        if wake is not None and callback_url is None:
            raise ValueError("wake needs callback_url: without it FLORA delivers nothing that could wake anybody")
        started = await self.techniques.runs.create(
            technique_id,
            inputs=inputs,
            callback_url=callback_url,
            idempotency_key=idempotency_key,
            check=check,
            workspace_id=workspace_id,
        )
        if not started.is_terminal:
            await notify(on_update, started)
        return await self.wait_for_run(
            started, poll=poll, timeout=limit, on_update=on_update, raise_on_failure=raise_on_failure, wake=wake
        )

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, ParameterValue] | None = None,
        json: Any = None,  # noqa: ANN401 - any JSON value
        idempotency_key: str | None = None,
    ) -> Any:  # noqa: ANN401 - any JSON value
        """Reach an operation that has no method here, with the same care as those that have.

        GET, HEAD, OPTIONS, PUT and DELETE are tried again by the session's `RetryPolicy`. POST and PATCH may cost
        money: they carry an `Idempotency-Key` header, and after an attempt in doubt they are sent again only if the
        key is yours, since nobody else can know whether the operation heeds it.

        Args:
            method: The HTTP method.
            path: Below `base_url`, beginning with `/`, percent-encoded, such as `/models`.
            params: Query parameters; those that are None are left out.
            json: The body, as anything that `json.dumps` takes; None = no body.
            idempotency_key: Your own key, for an operation that is known to heed it.

        Returns:
            The answer's JSON as it came; None for an empty answer.

        Raises:
            SubmissionUnknownError: A POST or PATCH may have been carried out, but no answer says so.
            FloraError: Any other error of the request.
            ValueError: The path, the method or the key cannot be right; nothing was sent.
            TypeError: `json` is no JSON; nothing was sent.

        Example:
            >>> answer = await flora.request("GET", "/technique-runs", params={"limit": 1})
            >>> sorted(answer)
            ['meta', 'techniqueRuns']
        """
        body = None if json is None else _dump(json)
        return await raw_request(self._road, method, path, params=params, body=body, idempotency_key=idempotency_key)


def _dump(value: object) -> bytes:
    return json.dumps(value, allow_nan=False).encode()
