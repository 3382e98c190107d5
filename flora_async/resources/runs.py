"""`flora.techniques.runs`: start, read and list runs of techniques."""

from attrs import evolve

from flora_async._checks import check_flag
from flora_async._http.client import Client
from flora_async._http.routes import ROUTES
from flora_async.errors import NotFoundError
from flora_async.models import Run, RunStatus, TechniqueRun
from flora_async.polling import RunTimes, Wake, check_wake, decode_run
from flora_async.resources._hints import explain_technique
from flora_async.resources._history import learning
from flora_async.resources._operations import Operations, paginate
from flora_async.resources._pager import Pager
from flora_async.resources._prepare import InputPreparer, Inputs, read_inputs
from flora_async.resources._start import Mode, Starter, StartOptions, technique_start, with_poll_url, with_token


class RunHistory(Operations):
    """The history of runs of techniques."""

    def __init__(self, client: Client, run_times: RunTimes) -> None:
        self._client = client
        self._run_times = run_times

    def list(  # noqa: PLR0913 - FLORA's own filters
        self,
        *,
        workspace_id: str | None = None,
        project_id: str | None = None,
        technique_id: str | None = None,
        status: RunStatus | str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> Pager[TechniqueRun]:
        """The history of runs, newest first.

        Args:
            workspace_id: Only runs of this workspace (`ws_…`).
            project_id: Only runs of this project (`prj_…`).
            technique_id: Only runs of this technique.
            status: Only runs with this status.
            limit: Items on one page, 1 to 100; None = FLORA's default.
            cursor: The page to begin at, from an earlier `Page.next_cursor`.

        Returns:
            A `Pager` of runs.

        Raises:
            ValueError: `limit` is out of range, or a filter is blank.
            TypeError: A filter is not text.

        Example:
            >>> async for run in flora.techniques.runs.list(status="failed"):
            ...     print(run.run_id, run.error_code)
        """
        filters = {
            "workspace_id": workspace_id,
            "project_id": project_id,
            "technique_id": technique_id,
            "status": status,
        }
        return paginate(
            self._client,
            "techniques.runs.list",
            TechniqueRun,
            items_key="technique_runs",
            filters=filters,
            limit=limit,
            cursor=cursor,
            complete=self._with_poll_url,
            on_page=learning(self._client, self._run_times, status),
        )

    def _with_poll_url(self, run: TechniqueRun) -> TechniqueRun:
        return with_poll_url(self._client, run, run.technique.technique_id if run.technique else None)


class TechniqueRuns(RunHistory):
    """Runs of techniques: start one, read one, list them."""

    def __init__(self, client: Client, preparer: InputPreparer, starter: Starter) -> None:
        super().__init__(client, starter.run_times)
        self._preparer = preparer
        self._starter = starter

    async def create(  # noqa: PLR0913 - what FLORA takes, and what is done before
        self,
        technique_id: str,
        *,
        inputs: Inputs,
        mode: Mode = "async",
        callback_url: str | None = None,
        idempotency_key: str | None = None,
        check: bool = False,
        workspace_id: str | None = None,
        adopt: bool = False,
        wake: Wake | None = None,
    ) -> Run:
        """Start a run. This spends the workspace's credits, exactly once.

        Every attempt carries the same idempotency key, and the start is sent again only after the previous attempt has
        ended. If FLORA says that the key was used, so that a run exists whose answer was lost, the run is looked up in
        the history, and adopted if it is the only one that matches. If it cannot be identified,
        `SubmissionUnknownError` is raised; a second run is never started.

        Args:
            technique_id: The technique's slug or id (`tech_…`).
            inputs: `{input_id: value}`, or a sequence of `RunInput`. A `pathlib.Path`, bytes or an open file as a value
                is uploaded first. Without `check`, an https URL that ends like a video file is sent as `videoUrl`, any
                other https URL as `imageUrl`, and the rest as `text`.
            mode: FLORA's execution mode. Default `async`.
            callback_url: A public https URL that FLORA calls when the run has ended.
            idempotency_key: Your own key for this one start, up to 255 printable ASCII characters, so that a start can
                be repeated after a crash; FLORA remembers it for at least 2 hours. None = a new one.
            check: Read the technique first (once in five minutes), give each input the technique's own type, and refuse
                what it does not take. Default False: one request, and FLORA decides.
            workspace_id: Where files are uploaded to (`ws_…`); None = the session's, or the only one there is.
            adopt: Where an earlier call has used your key, look for its run in the history of the last two hours rather
                than raise `IdempotencyError`. Default False.
            wake: A `WebhookReceiver` that gets the deliveries to `callback_url`, to which a token of this start is
                added: a delivery then shows which run this start made, even if every answer to the start was lost.

        Returns:
            The run, as a rule still pending; pass it to `wait_for_run`. `adopted` is set where it was found in the
            history.

        Raises:
            SubmissionUnknownError: A run may exist and be charged, but no answer says so.
            IdempotencyError: An earlier call already started a run under this key.
            APIStatusError: FLORA refused (400 to 422, 429 after all attempts); nothing was started.
            APIConnectionError: FLORA was never reached; nothing was started.
            InputError: The technique does not take these inputs (with `check`); nothing was sent to be run.
            UploadError: A file did not become an asset; nothing was started.
            ValueError: An argument is invalid; nothing was sent.
            TypeError: An argument has the wrong type; nothing was sent.

        Example:
            >>> run = await flora.techniques.runs.create("caption", inputs={"prompt": "a red bicycle"})
            >>> run.is_failed
            False
        """
        check_wake(wake, callback_url)
        check_flag("check", check)
        check_flag("adopt", adopt)
        options = StartOptions(technique_id, mode=mode, callback_url=callback_url, idempotency_key=idempotency_key)
        if wake is not None:
            options = evolve(options, callback_url=with_token(options.callback_url, options.idempotency_key))
        raw_inputs = await read_inputs(inputs, technique_id)
        prepared = await self._preparer.prepare(technique_id, raw_inputs, check=check, workspace_id=workspace_id)
        try:
            return await self._starter.start(technique_start(options, prepared), adopt=adopt, wake=wake)
        except NotFoundError as error:
            await explain_technique(self._client, error, technique_id)
            raise

    async def retrieve(self, run_id: str, *, technique_id: str) -> Run:
        """Read a run once. To follow it to its end, use `wait_for_run`.

        Args:
            run_id: FLORA's id of the run (`run_…`).
            technique_id: The slug or id of the technique it is a run of.

        Returns:
            The run as it is now.

        Raises:
            NotFoundError: There is no such run for this key.
            DecodeError: The answer cannot be read, or is about another run.
            FloraError: Any other error of the request, after all retries.
            ValueError: An id is blank.

        Example:
            >>> run = await flora.techniques.runs.create("caption", inputs={"prompt": "a red bicycle"})
            >>> again = await flora.techniques.runs.retrieve(run.run_id, technique_id="caption")
            >>> again.run_id == run.run_id
            True
        """
        ids = {"technique_id": technique_id, "run_id": run_id}
        request = self._client.request(ROUTES["techniques.runs.retrieve"], ids)
        run = await self._client.fetch(request, lambda response: decode_run(response, run_id))
        return with_poll_url(self._client, run, technique_id)
