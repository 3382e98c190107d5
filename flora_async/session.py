"""`FloraSession`: one connection to FLORA, from which everything else is reached."""

import math
import os
from collections.abc import AsyncGenerator, Mapping, Sequence
from copy import copy
from functools import cached_property, partial
from types import EllipsisType, TracebackType
from typing import TYPE_CHECKING, Any, Final, NoReturn, Self

from attrs import evolve

from flora_async import batch, media, resources
from flora_async._checks import check_number, identifier, optional
from flora_async._clock import Clock
from flora_async._http.deadline import until
from flora_async._http.defaults import conceal_values
from flora_async._http.setup import check_options, conceal, set_up
from flora_async._http.transport import ClientSession, TraceConfig
from flora_async._http.urls import ParameterValue
from flora_async.config import MAX_FILE_SIZE, PollPolicy, ResponseLimits, RetryPolicy
from flora_async.errors import SubmissionUnknownError
from flora_async.models import Run, RunOutput
from flora_async.polling import (
    OnUpdate,
    Poller,
    RunReference,
    RunTimes,
    Wake,
    start_and_wait,
    wait,
    watch,
)
from flora_async.resources import Inputs

if TYPE_CHECKING:
    from flora_async.batch import Batch, BatchResult, OnProgress, Rows, Watch
    from flora_async.hooks import Hooks
    from flora_async.media import Exists, Progress
    from flora_async.media.stores import PathT, UPath
    from flora_async.models import Asset
    from flora_async.resources.models import Medium


class FloraSession:
    """A session with FLORA. Use it with `async with`, or call `await close()` when done.

    Connections are opened on first use, in the running event loop. A closed session can be entered again, even under
    another loop; one session serves any number of concurrent calls.

    Args:
        api_key: FLORA's API key (`sk_live_…`, `ak_…`); None = the environment variable `FLORA_API_KEY`. It is sent to
            the origin of `base_url` and nowhere else, and is shown in no repr, log or error.
        base_url: None = the environment variable `FLORA_BASE_URL`, or else `https://app.flora.ai/api/v1`.
        timeout: Seconds for one attempt of one request, from the moment it has a connection until the whole answer is
            read; None = no limit. Default 60.
        retry: How requests are tried again.
        poll: When runs are polled, unless a call says otherwise.
        limits: How much of an answer is read.
        http_session: An aiohttp session whose connections, proxy and tracing hooks to use for requests to FLORA;
            nothing else of it is used, and it is never closed here. None = connections of its own.
        max_connections: The most connections to FLORA, and to hosts for files, at once. Default 100.
        trace_configs: aiohttp's tracing hooks for requests to FLORA. They see the headers, the key among them.
        trusted_origins: Further origins (`https://host`) whose poll URLs may be followed; the key does not go there.
        allow_http: Allow an unencrypted `base_url` that is not on this machine. Default False.
        workspace_id: The workspace of uploads, generations and actions (`ws_…`), unless a call names another; None =
            the environment variable `FLORA_WORKSPACE_ID`, or else the only workspace that the key reaches.
        headers: Headers to add to each request to FLORA, and to no other; None = none. They appear in no repr, log or
            error. `Authorization`, `Idempotency-Key`, `Content-Type` and the like are refused.
        query: Query parameters to add to each request to FLORA that does not have them; None = none.
        hooks: Functions to call with each request, retry and pause, and each start and end of a run, or several such
            sets of functions, which are called in turn; None = none.
        clock: Time, sleep and randomness, for tests; None = the real ones. `flora_async.testing` has a virtual one.

    Attributes:
        techniques: Techniques and their runs.

    Raises:
        ValueError: The key is missing or malformed, or another argument is invalid.
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
        limits: ResponseLimits = ResponseLimits(),  # noqa: B008 - frozen
        http_session: ClientSession | None = None,
        max_connections: int = 100,
        trace_configs: Sequence[TraceConfig] = (),
        trusted_origins: Sequence[str] = (),
        allow_http: bool = False,
        workspace_id: str | None = None,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, ParameterValue] | None = None,
        hooks: "Hooks | Sequence[Hooks] | None" = None,
        clock: Clock | None = None,
    ) -> None:
        # Before anything can fail: no frame of ours may hold the key in a form that a traceback would show.
        key, api_key = conceal(api_key), None
        concealed, headers = conceal_values(headers), None
        self._endpoints, self._transport, self._client, self._storage, self._clock = set_up(
            key,
            base_url=base_url,
            timeout=timeout,
            retry=retry,
            poll=poll,
            limits=limits,
            http_session=http_session,
            max_connections=max_connections,
            trace_configs=trace_configs,
            trusted_origins=trusted_origins,
            allow_http=allow_http,
            headers=concealed,
            query=query,
            hooks=hooks,
            clock=clock,
        )
        workspace = os.environ.get("FLORA_WORKSPACE_ID") or None if workspace_id is None else workspace_id
        self._workspace_id = optional(identifier, "workspace_id", workspace)
        self._poll = poll
        run_times = RunTimes()
        self._technique_cache = resources.TechniqueCache(self._client, self._clock)
        history = resources.HistoryReader(self._client, self._technique_cache, run_times)
        self._poller = Poller(self._client, poll, self._clock, run_times, history.read)
        tracker = self._poller.tracker
        self._starter = resources.Starter(self._client, self._technique_cache.find_id, run_times, tracker)
        self._original: FloraSession | None = None
        self._entered = False
        self._set_up_techniques()

    def _set_up_techniques(self) -> None:
        find = self._technique_cache.find
        self._preparer = resources.InputPreparer(find, lambda: self._uploads, self._clock.monotonic)
        runs = resources.TechniqueRuns(self._client, self._preparer, self._starter)
        self.techniques = resources.Techniques(self._client, runs)

    def __repr__(self) -> str:
        transport = getattr(self, "_transport", None)
        if transport is None:  # a crash reporter may ask while the constructor refuses its arguments
            return "<FloraSession not built>"
        state = "closed" if transport.closed else "open"
        kind = "FloraSession" if self._original is None else "view of a FloraSession"
        return f"<{kind} {state} base_url={self._endpoints.base_url!r}>"

    async def __aenter__(self) -> Self:
        """Open the session, or reopen it after it was closed.

        Raises:
            RuntimeError: It is already entered, or a view.
        """
        self._check_original()
        if self._entered:
            raise RuntimeError("This FloraSession is entered already: pass it on, or make another one")
        self._entered = True
        self._transport.reopen()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the session."""
        await self.close()

    def __enter__(self) -> NoReturn:
        """Explain why plain `with` does not work, by a `TypeError`."""
        raise TypeError("A FloraSession closes network connections when it ends: use `async with`, not `with`")

    # `with` looks for both methods before it calls the first, so that the explanation above can be given.
    __exit__ = None

    async def close(self) -> None:
        """Close the session's own connections. Runs continue on FLORA. Closing twice does nothing.

        Raises:
            RuntimeError: It is a view, which has no connections of its own.
        """
        self._check_original()
        self._entered = False
        self._poller.tracker.close()
        await self._transport.close()

    def _check_original(self) -> None:
        if self._original is not None:
            raise RuntimeError(
                "This is a view that with_options() made: enter and close the session itself, "
                "or give the options to FloraSession(…)"
            )

    def with_options(  # noqa: PLR0913 - one keyword for each option
        self,
        *,
        timeout: float | EllipsisType | None = ...,
        retry: RetryPolicy | None = None,
        poll: PollPolicy | None = None,
        headers: Mapping[str, str | None] | None = None,
        query: Mapping[str, ParameterValue] | None = None,
        hooks: "Hooks | Sequence[Hooks] | None" = None,
    ) -> Self:
        """A view of this session with other options, for a few calls or for a part of a program.

        Everything else is shared: the connections, the pause after a 429, what is known of an outage, and what the
        session remembers (techniques, uploads, run times, starts under way, the default workspace). Nothing is sent.
        The session is entered and closed, not its views; a view of a view has the options of both.

        Args:
            timeout: Seconds for one attempt of one request; None = no limit; left out = the session's.
            retry: How requests are tried again; None = the session's policy.
            poll: When runs are polled, unless a call says otherwise; None = the session's policy.
            headers: Further headers of each request to FLORA. One with the value None is not sent. They appear in no
                repr, log or error, and `Authorization`, `Idempotency-Key`, `Content-Type` and the like are refused.
            query: Further query parameters of each request to FLORA; one with the value None is not sent. A request's
                own parameters take precedence.
            hooks: Further hooks: those of the session are called first. They are told of the runs that the view starts
                or waits for.

        Returns:
            The view, with all methods and attributes of a session.

        Raises:
            ValueError: A value is out of range or malformed, or the header is not yours to set.
            TypeError: A value has the wrong type.

        Example:
            >>> patient = flora.with_options(timeout=300, poll=PollPolicy(timeout=None))
            >>> run = await patient.run("caption", {"prompt": "a red bicycle"})
            >>> run.is_completed
            True
        """
        concealed, headers = conceal_values(headers), None
        retry = self._client.policy if retry is None else retry
        poll = self._poll if poll is None else poll
        check_options(timeout=timeout, retry=retry, poll=poll)
        client = self._client.with_options(policy=retry, timeout=timeout, headers=concealed, query=query, hooks=hooks)
        view = copy(self)
        for name in _LAZY:
            vars(view).pop(name, None)
        view._original = self if self._original is None else self._original  # noqa: SLF001 - of this class
        view._client, view._poll = client, poll  # noqa: SLF001 - of this class
        view._storage = self._storage.with_options(policy=retry, idle=timeout)  # noqa: SLF001 - of this class
        view._technique_cache = self._technique_cache.using(client)  # noqa: SLF001 - of this class
        techniques = view._technique_cache  # noqa: SLF001 - of this class
        read = resources.HistoryReader(client, techniques, self._poller.run_times).read
        view._poller = evolve(self._poller, client=client, policy=poll, read_history=read)  # noqa: SLF001 - of this class
        view._starter = self._starter.using(client, techniques.find_id)  # noqa: SLF001 - of this class
        view._set_up_techniques()  # noqa: SLF001 - of this class
        return view

    @cached_property
    def _workspace(self) -> "resources.DefaultWorkspace":
        if self._original is not None:
            return self._original._workspace.using(self._client)  # noqa: SLF001 - of this class
        return resources.DefaultWorkspace(self._client, self._workspace_id)

    @cached_property
    def _catalog(self) -> resources.Catalog:
        if self._original is not None:
            return self._original._catalog.using(self._client)  # noqa: SLF001 - of this class
        return resources.Catalog(self._client, self._clock)

    @cached_property
    def _lent(self) -> "batch.Lent":
        return batch.Lent(
            poller=self._poller,
            starter=self._starter,
            preparer=self._preparer,
            storage=self._storage,
            workspace=lambda: self._workspace,
        )

    @cached_property
    def _uploads(self) -> "resources.Uploads":
        if self._original is not None:
            return self._original._uploads.using(self._client, self._storage, self._workspace, self._poll)  # noqa: SLF001 - of this class
        return resources.Uploads(self._client, self._storage, self._workspace, poll=self._poll, clock=self._clock)

    @cached_property
    def assets(self) -> "resources.Assets":
        """Files that runs and canvases can use."""
        return resources.Assets(self._client, self._uploads)

    @cached_property
    def actions(self) -> "batch.Actions":
        """FLORA's prebuilt actions."""
        return batch.Actions(
            self._client, self._starter, self._workspace, self._catalog, self._preparer, lent=self._lent
        )

    @cached_property
    def feedback(self) -> "resources.Feedback":
        """Feedback to FLORA."""
        return resources.Feedback(self._client)

    @cached_property
    def generations(self) -> "batch.Generations":
        """Generations by a model, without a technique."""
        return batch.Generations(
            self._client, self._starter, self._workspace, self._catalog, self._preparer, lent=self._lent
        )

    @cached_property
    def models(self) -> "resources.Models":
        """The models that generate."""
        return resources.Models(self._client)

    @cached_property
    def projects(self) -> "resources.Projects":
        """Projects and their canvases."""
        return resources.Projects(self._client, self._poller.tracker)

    @cached_property
    def runs(self) -> "resources.Runs":
        """Starts of runs below FLORA's `/runs`, among them several runs of a technique at once."""
        return resources.Runs(self._client, self._starter, self._workspace, self._preparer)

    @cached_property
    def workspaces(self) -> "resources.Workspaces":
        """Workspaces, their projects, folders and libraries."""
        return resources.Workspaces(self._client, self._poller.tracker)

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
        return await wait(
            self._poller,
            run,
            poll=poll,
            timeout=timeout,
            on_update=on_update,
            raise_on_failure=raise_on_failure,
            wake=wake,
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
        return watch(self._poller, run, poll=poll, timeout=timeout, wake=wake)

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
            poll: When to poll; None = the session's policy.
            timeout: Seconds for all of it, the start included; more than 0; None = no limit; left out = `poll.timeout`.
                A start that is under way is given at least 10 s, since cutting it off would leave money in doubt.
            on_update: Called with the run as soon as it is started, and each time it has changed.
            raise_on_failure: Raise `RunFailedError` when the run ends `failed`, rather than return it.
            wake: A `WebhookReceiver` that gets the deliveries to `callback_url`; None = polling alone.

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
        start = partial(
            self.techniques.runs.create,
            technique_id,
            inputs=inputs,
            callback_url=callback_url,
            idempotency_key=idempotency_key,
            check=check,
            workspace_id=workspace_id,
            wake=wake,
        )
        return await start_and_wait(
            self._poller,
            start,
            callback_url=callback_url,
            poll=poll,
            timeout=timeout,
            on_update=on_update,
            raise_on_failure=raise_on_failure,
            wake=wake,
        )

    async def generate(  # noqa: PLR0913 - what create and wait_for_run take
        self,
        prompt: str,
        *,
        type: "Medium",  # noqa: A002 - FLORA's name
        project_id: str,
        workspace_id: str | None = None,
        model: str | None = None,
        params: Mapping[str, Any] | None = None,
        callback_url: str | None = None,
        idempotency_key: str | None = None,
        check: bool = True,
        poll: PollPolicy | None = None,
        timeout: float | EllipsisType | None = ...,  # noqa: ASYNC109 - as flora_async.wait_for_run
        on_update: OnUpdate | None = None,
        raise_on_failure: bool = False,
        wake: Wake | None = None,
    ) -> Run:
        """Start a generation by a model and wait for its end: `generations.create` and `wait_for_run` in one.

        Args:
            prompt: What to make it from.
            type: What to make: `image`, `video`, `audio` or `text`.
            project_id: The project to make it in (`prj_…`).
            workspace_id: The workspace that pays (`ws_…`); None = the session's, or the only one there is.
            model: The id of a model of that type, from `models.list`; None = FLORA's choice.
            params: The model's parameters, under the model's own names; None = its defaults. A `pathlib.Path`, bytes or
                an open file is uploaded first, as in `generations.create`.
            callback_url: A public https URL that FLORA calls when the run has ended.
            idempotency_key: Your own key for this one start; None = a new one.
            check: Read the catalog of models first (once in five minutes), and refuse a model, a parameter or a
                value that it does not know, before anything is spent. Default True.
            poll: When to poll; None = the session's policy.
            timeout: Seconds for all of it, the start included; more than 0; None = no limit; left out = `poll.timeout`.
                A start that is under way is given at least 10 s, since cutting it off would leave money in doubt.
            on_update: Called with the run each time it has changed.
            raise_on_failure: Raise `RunFailedError` when the run ends `failed`, rather than return it.
            wake: A `WebhookReceiver` that gets the deliveries to `callback_url`; None = polling alone.

        Returns:
            The run as it ended.

        Raises:
            InputError: The model does not take this; nothing was sent to be run.
            FloraError: As `generations.create` (nothing but `SubmissionUnknownError` can have cost anything), then as
                `wait_for_run` (with the run as `error.run`).

        Example:
            >>> run = await flora.generate("a red bicycle", type="image", model="flux-pro", project_id="prj_local")
            >>> run.outputs[0].type
            <OutputType.IMAGE: 'imageUrl'>
        """
        start = partial(
            self.generations.create,
            type=type,
            prompt=prompt,
            project_id=project_id,
            workspace_id=workspace_id,
            model=model,
            params=params,
            callback_url=callback_url,
            idempotency_key=idempotency_key,
            check=check,
            wake=wake,
        )
        return await start_and_wait(
            self._poller,
            start,
            callback_url=callback_url,
            poll=poll,
            timeout=timeout,
            on_update=on_update,
            raise_on_failure=raise_on_failure,
            wake=wake,
        )

    async def resolve(
        self,
        error: SubmissionUnknownError,
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - on the session's clock, down to the last request
    ) -> Any:  # noqa: ANN401 - what the start would have returned
        """Find out what became of a start in doubt: send it again under its key, then look for its run.

        Within two hours the start is sent again under the same key, so that FLORA starts a run only if no earlier
        attempt did. After that, or when FLORA says that the run exists, it is looked up in the history.

        Args:
            error: The error that the start raised, in this process or another.
            timeout: Seconds to try; None = no limit.

        Returns:
            What the start would have returned: a `Run`, or a `RunTicket` of a generation. `adopted` is set if it was
            found in the history.

        Raises:
            SubmissionUnknownError: It is still not known; `candidates` and `steps` say more. Or it was a start that
                cannot be repeated, such as one by `request`.
            FloraError: FLORA refused the start, so it was not carried out; or another error.
            ValueError: `timeout` is negative or not finite.

        Example:
            >>> try:
            ...     run = await flora.run("caption", {"prompt": "a red bicycle"})
            ... except SubmissionUnknownError as error:
            ...     run = await flora.resolve(error)
        """
        if timeout is not None:
            check_number("timeout", timeout)
        with until(math.inf if timeout is None else self._clock.monotonic() + timeout):
            return await self._starter.resolve(error)

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, ParameterValue] | None = None,
        json: Any = None,  # noqa: ANN401 - any JSON value
        idempotency_key: str | None = None,
    ) -> Any:  # noqa: ANN401 - any JSON value
        """Reach an operation that has no method here, with the same retries and checks.

        GET, HEAD, OPTIONS, PUT and DELETE are tried again by the session's `RetryPolicy`. POST and PATCH may cost
        money: they carry an `Idempotency-Key` header, and after an attempt in doubt they are sent again only if the
        key is yours, since only the caller can know whether the operation honors it.

        Args:
            method: The HTTP method.
            path: Below `base_url`, beginning with `/`, percent-encoded, such as `/models`.
            params: Query parameters; those that are None are left out.
            json: The body, as anything that `json.dumps` takes; None = no body.
            idempotency_key: Your own key, for an operation that is known to honor it.

        Returns:
            The answer's JSON as it came; None for an empty answer.

        Raises:
            SubmissionUnknownError: A POST or PATCH may have been carried out, but no answer says so.
            FloraError: Any other error of the request.
            ValueError: The path, the method or the key is invalid; nothing was sent.
            TypeError: `json` cannot be written as JSON; nothing was sent.

        Example:
            >>> answer = await flora.request("GET", "/technique-runs", params={"limit": 1})
            >>> sorted(answer)
            ['meta', 'techniqueRuns']
        """
        return await resources.request_json(
            self._client, method, path, params=params, data=json, idempotency_key=idempotency_key
        )

    def batch(  # noqa: PLR0913 - one keyword for each decision about a batch
        self,
        technique_id: str,
        rows: "Rows",
        *,
        concurrency: int = 16,
        start_interval: float = 0.0,
        max_cost: float | None = None,
        journal: str | os.PathLike[str] | None = None,
        name: str | None = None,
        run_attempts: int = 1,
        watch: "Watch" = "auto",
        check: bool = True,
        workspace_id: str | None = None,
        save_to: "str | os.PathLike[str] | UPath | None" = None,
        poll: PollPolicy | None = None,
        on_progress: "OnProgress | None" = None,
    ) -> "Batch":
        """Run many rows through one technique; see `Batch` for how it behaves.

        Args:
            technique_id: The technique's slug or id (`tech_…`).
            rows: Any iterable or async iterable, finite or not; each row is a mapping of inputs, a sequence of
                `RunInput`, or a request of any kind. They are read one by one, as there is room for them. Or a data
                frame of pandas or polars, whose columns are inputs; see also `RunRequest.from_rows`.
            concurrency: The most runs under way at once. Default 16.
            start_interval: Seconds between starts, for a provider that wants them apart. Default 0. A model whose runs
                fail because its provider is under load is slowed down without it.
            max_cost: The most that the batch may spend, in USD, including earlier processes with the same journal;
                None = no limit. No run is started that could exceed it, going by FLORA's own prices.
            journal: A file that records each step, so that the batch can be restarted after a crash and every row is
                still done once; None = no journal. Needs `flora-async[batch]`.
            name: The name from which idempotency keys are derived. None = the name in the journal, or a unique one.
            run_attempts: The most runs for one row, when one fails and `run.failure.hint` is `again` or `later`. Each
                is charged. Default 1.
            watch: `each` polls every run, `list` reads the history for all of them, `auto` does so from five runs on.
                Default `auto`.
            check: Read each technique once in five minutes and refuse rows that it does not take. Default True. When
                FLORA does not say what a technique takes, rows are started unchecked.
            workspace_id: The workspace that files among the inputs are uploaded to; None = the session's workspace.
            save_to: A directory into which the outputs of completed runs are saved, as
                `<row key>-<run id>-<output id>`, with a JSON side-car for each run; None = they are not saved.
            poll: How runs are watched; None = the session's policy.
            on_progress: Called with `batch.summary` for each result; an awaitable that it returns is awaited.

        Returns:
            The batch, for `async with` and then `async for`.

        Raises:
            ValueError: An argument is out of range or malformed.
            TypeError: An argument has the wrong type.

        Example:
            >>> rows = [{"prompt": "a red bicycle"}, {"prompt": "a blue boat"}]
            >>> async with flora.batch("caption", rows, max_cost=1.00) as batch:
            ...     texts = {result.key: result.run.outputs[0].text async for result in batch if result.ok}
            >>> texts["1"], batch.summary.completed, batch.summary.cost
            ('Caption: a blue boat', 2, 0.02)
        """
        options = batch.BatchOptions(
            concurrency=concurrency,
            start_interval=start_interval,
            max_cost=max_cost,
            journal=journal,
            name=name,
            run_attempts=run_attempts,
            watch=watch,
            check=check,
            workspace_id=workspace_id,
            save_to=save_to,
            poll=poll,
            on_progress=on_progress,
        )
        return batch.Batch(self._lent, batch.TechniqueDefaults(technique_id), rows, options)

    async def run_all(  # noqa: PLR0913 - as batch
        self,
        technique_id: str,
        rows: "Rows",
        *,
        raise_on_failure: bool = False,
        concurrency: int = 16,
        start_interval: float = 0.0,
        max_cost: float | None = None,
        journal: str | os.PathLike[str] | None = None,
        name: str | None = None,
        run_attempts: int = 1,
        watch: "Watch" = "auto",
        check: bool = True,
        workspace_id: str | None = None,
        save_to: "str | os.PathLike[str] | UPath | None" = None,
        poll: PollPolicy | None = None,
        on_progress: "OnProgress | None" = None,
    ) -> "list[BatchResult]":
        """Run many rows through one technique and return all results, in the order of the rows.

        Args:
            technique_id: The technique's slug or id (`tech_…`).
            rows: As for `batch`; they must be finite.
            raise_on_failure: Raise once all rows have ended, rather than return results with errors in them.
            concurrency: The most runs under way at once. Default 16.
            start_interval: Seconds between starts. Default 0.
            max_cost: The most that the batch may spend, in USD; None = no limit.
            journal: A file that records each step; None = no journal.
            name: The name from which idempotency keys are derived; None = the journal's, or a unique one.
            run_attempts: The most runs for one row. Default 1.
            watch: How runs are followed: `auto`, `list` or `each`. Default `auto`.
            check: Check each row against its technique first. Default True.
            workspace_id: The workspace that files are uploaded to; None = the session's workspace.
            save_to: A directory for the outputs of completed runs; None = they are not saved.
            poll: How runs are watched; None = the session's policy.
            on_progress: Called with the summary for each result.

        Returns:
            One result for each row. Nothing is raised for rows that failed or were skipped: look at `result.ok`.

        Raises:
            BatchInterruptedError: `rows` or `on_progress` raised; `error.results` has the results so far.
            ExceptionGroup: `raise_on_failure` is set, and rows have errors: all of them.
            JournalError: The journal cannot be used.
            OSError: Files cannot be written to `save_to`.

        Example:
            >>> results = await flora.run_all("caption", [{"prompt": "a red bicycle"}, {"wrong": 5}])
            >>> [result.ok for result in results]
            [True, False]
        """
        batch_of_rows = self.batch(
            technique_id,
            rows,
            concurrency=concurrency,
            start_interval=start_interval,
            max_cost=max_cost,
            journal=journal,
            name=name,
            run_attempts=run_attempts,
            watch=watch,
            check=check,
            workspace_id=workspace_id,
            save_to=save_to,
            poll=poll,
            on_progress=on_progress,
        )
        return await batch.run_all(batch_of_rows, raise_on_failure=raise_on_failure)

    async def download(  # noqa: PLR0913 - the decisions about one file
        self,
        source: "RunOutput | Asset | str",
        destination: "str | os.PathLike[str] | PathT",
        *,
        exists: "Exists" = "keep",
        overwrite: bool = False,
        max_bytes: int | None = MAX_FILE_SIZE,
        progress: "Progress | None" = None,
    ) -> "PathT":
        """Save one output, asset or URL as a file, completely or not at all; a dropped connection is resumed.

        The key does not go to the host of the file. A text output is written as UTF-8.

        Args:
            source: An output of a run, an asset, or the URL of either.
            destination: The file; a name without an extension gets the one for the content's type. For an existing
                directory, or a path that ends with a separator, the file's name is made from the source, and differs
                from that of any other source. Missing directories are created. With the extra `storage`, also the URL
                of a file or directory in a store, such as `s3://bucket/results/`, or a `UPath`.
            exists: What to do about a file that exists: "keep" it and fetch nothing, unless this process saved it from
                another source; "error" raises `FileExistsError`; "replace" replaces it once the new one is complete.
                Default "keep".
            overwrite: True is another way to say `exists="replace"`. Default False.
            max_bytes: The maximum size in bytes; None = no limit. Default 2 GiB.
            progress: Called with the bytes received, and the size of the file or None where the host does not say. The
                first number falls when the host makes the download start again. What it raises ends the download.

        Returns:
            The path of the file; a `UPath`, which has the same methods, for one in a store.

        Raises:
            DownloadError: It could not be fetched completely, after all retries, or is too large; nothing of it is
                kept.
            UntrustedURLError: Its URL is not https, or its host is not public.
            FileExistsError: A file exists that is neither to be kept nor to be replaced.
            OSError: It cannot be written.
            ImportError: The extra `storage`, or the driver of the store, is not installed.
            ValueError: An argument is out of range, or the asset is not ready.
            TypeError: An argument has the wrong type.

        Example:
            >>> run = await flora.run("cctv-cam", {"input_image": "https://example.com/photo.png"})
            >>> path = await flora.download(run.outputs[0], "cctv")
            >>> path.name
            'cctv.png'
        """
        return await media.save_file(
            self._storage,
            source,
            destination,
            exists=exists,
            overwrite=overwrite,
            max_bytes=max_bytes,
            progress=progress,
        )

    async def save_outputs(  # noqa: PLR0913 - the decisions about the files of a run
        self,
        run: Run,
        directory: "str | os.PathLike[str] | PathT",
        *,
        name: str = "{run_id}-{output_id}",
        exists: "Exists" = "keep",
        overwrite: bool = False,
        max_bytes: int | None = MAX_FILE_SIZE,
        sidecar: bool = True,
        technique_id: str | None = None,
    ) -> "tuple[PathT, ...]":
        """Save all outputs of a run, and next to them a JSON file that says where they come from.

        One output that cannot be saved does not keep the others from being saved. The side-car is written last, once
        all outputs are there.

        Args:
            run: A completed run.
            directory: The directory; it is created if it is missing. No file leaves it, whatever the server calls its
                outputs. With the extra `storage`, also the URL of a directory in a store, or a `UPath`.
            name: The name of each file without its extension: a template with `{run_id}`, `{output_id}`, `{number}`
                (from 1) and `{technique_id}`, which may have subdirectories. Of two files of one name, the second
                becomes `name-2`.
            exists: What to do about files that exist: "keep" those of this run and fetch only the others; "error"
                raises `FileExistsError`; "replace" replaces them. Default "keep".
            overwrite: True is another way to say `exists="replace"`. Default False.
            max_bytes: The maximum size of each file in bytes; None = no limit. Default 2 GiB.
            sidecar: Write `<run id>.json` with run, technique, inputs, cost and files. The inputs are known for the
                last thousand runs that this session started. Default True.
            technique_id: The run's technique; None = as this session, or the run itself, knows it.

        Returns:
            The paths, in the order of the outputs; in a store they are `UPath` objects, which have the same methods.

        Raises:
            RunFailedError: The run has failed, so it has no outputs.
            DownloadError: An output could not be fetched completely. This, `UntrustedURLError` and `OSError` are raised
                once all outputs have been tried, and the error's notes say what became of each.
            UntrustedURLError: A URL is not https, or its host is not public.
            FileExistsError: A file exists that is neither to be replaced nor known to be of this run.
            OSError: A file cannot be written.
            ImportError: The extra `storage`, or the driver of the store, is not installed.
            ValueError: The run has not ended, or an argument is out of range.
            TypeError: An argument has the wrong type.

        Example:
            >>> run = await flora.run("cctv-cam", {"input_image": "https://example.com/photo.png"})
            >>> (path,) = await flora.save_outputs(run, "results", name="{technique_id}-{number}")
            >>> path.name
            'cctv-cam-1.png'
        """
        start = self._starter.sent_for(getattr(run, "run_id", ""))
        return await media.save_outputs(
            self._storage,
            run,
            directory,
            name=name,
            exists=exists,
            overwrite=overwrite,
            max_bytes=max_bytes,
            sidecar=sidecar,
            technique_id=start.technique_id if start and technique_id is None else technique_id,
            inputs=start.inputs if start else None,
        )


_LAZY: Final = [name for name, value in vars(FloraSession).items() if isinstance(value, cached_property)]
