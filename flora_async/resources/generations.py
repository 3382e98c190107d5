"""`flora.generations`: runs of a model; and `flora.runs`, starts of runs below FLORA's `/runs`."""

import json
import math
from collections.abc import Mapping
from functools import partial
from typing import Any

from flora_async import models
from flora_async._checks import check_flag, free_form, identifier, optional
from flora_async._http.client import Client
from flora_async._http.responses import Response
from flora_async._http.retry import logger
from flora_async._http.routes import ROUTES
from flora_async.errors import BadRequestError, FieldError, InputError, NotFoundError
from flora_async.media.content import Content
from flora_async.models import Run, RunStatus, TechniqueRun
from flora_async.models._codec import decode, parse_json
from flora_async.polling import Wake, check_wake, decode_run
from flora_async.resources._arguments import CatalogOperations, check_generation, generation_body, read_body
from flora_async.resources._default_workspace import DefaultWorkspace
from flora_async.resources._hints import explain_model, explain_technique
from flora_async.resources._history import History, learning
from flora_async.resources._operations import Operations, new_key, paginate, to_content
from flora_async.resources._pager import Pager
from flora_async.resources._parameters import read_files, upload_files
from flora_async.resources._prepare import InputPreparer, RawInput
from flora_async.resources._start import PendingStart, Starter, generation_start, with_poll_url, with_token
from flora_async.resources.models import Medium, check_medium


class Generations(CatalogOperations):
    """Runs of a model: start one, read one, list them."""

    async def create(  # noqa: PLR0913 - FLORA's own fields
        self,
        *,
        type: Medium,  # noqa: A002 - FLORA's name
        prompt: str,
        project_id: str,
        workspace_id: str | None = None,
        model: str | None = None,
        params: Mapping[str, Any] | None = None,
        callback_url: str | None = None,
        idempotency_key: str | None = None,
        check: bool = False,
        adopt: bool = False,
        wake: Wake | None = None,
    ) -> "models.RunTicket":
        """Start a generation (FLORA's `POST /generate`). This spends the workspace's credits, exactly once.

        FLORA does not check parameters: one that the model does not know is ignored, and the run is charged. `check`
        finds such mistakes before anything is spent.

        Args:
            type: What to make: `image`, `video`, `audio` or `text`.
            prompt: What to make it from.
            project_id: The project to make it in (`prj_…`).
            workspace_id: The workspace that pays (`ws_…`); None = the session's, or the only one there is.
            model: The id of a model of that type, from `models.list`; None = FLORA's choice.
            params: The model's parameters, under the model's own names; None = its defaults. Media are parameters too:
                `image_url` for models `i2i-…` and `i2v-…`, the list `image_urls` for `i2t-…`, the list `video_urls`
                for `v2t-…`. A `pathlib.Path`, bytes or an open file is uploaded first.
            callback_url: A public https URL that FLORA calls when the run has ended.
            idempotency_key: Your own key for this one start; None = a new one.
            check: Read the catalog of models first (once in five minutes), and refuse a model, a parameter or a
                value that it does not know. Default False.
            adopt: Where an earlier call has used your key, look for its run in the history of the last two hours rather
                than raise `IdempotencyError`. Default False.
            wake: A `WebhookReceiver` that gets the deliveries to `callback_url`, to which a token of this start is
                added: a delivery then shows which run this start made, even if every answer to the start was lost.

        Returns:
            The ticket; pass it to `wait_for_run`.

        Raises:
            SubmissionUnknownError: A run may exist and be charged, but no answer says so.
            InputError: The model does not take this (with `check`); nothing was sent to be run.
            UploadError: A file did not become an asset; nothing was started.
            FloraError: FLORA refused, or was never reached; nothing was started.
            ValueError: An argument is invalid; nothing was sent.
            TypeError: An argument has the wrong type; nothing was sent.
            OSError: A file cannot be read; nothing was sent.

        Example:
            >>> ticket = await flora.generations.create(type="image", prompt="a red bicycle", project_id="prj_local")
            >>> (await flora.wait_for_run(ticket)).is_completed
            True
        """
        check_wake(wake, callback_url)
        body = generation_body(
            type=check_medium("type", type),
            prompt=prompt,
            project_id=project_id,
            workspace_id=workspace_id,
            model=model,
            params=params,
            callback_url=callback_url,
        )
        check_flag("check", check)
        check_flag("adopt", adopt)
        key = new_key(idempotency_key)
        if wake is not None:
            body["callback_url"] = with_token(callback_url, key)
        body = await read_body(body)
        if check:
            await check_generation(body, self._catalog)
        body = await self._uploaded(body)
        try:
            return await self._starter.start(generation_start(body, key, "generations.create"), adopt=adopt, wake=wake)
        except (BadRequestError, NotFoundError) as error:
            if model is not None and "model" in f"{error.message} {error.fields}".lower():
                await explain_model(self._client, error, type, model)
            raise

    async def retrieve(self, run_id: str) -> Run:
        """Read a run of any kind once (FLORA's `GET /runs/{run_id}`). To follow it, use `wait_for_run`.

        Args:
            run_id: FLORA's id of the run (`run_…`).

        Returns:
            The run as it is now.

        Raises:
            NotFoundError: There is no such run for this key.
            DecodeError: The answer cannot be read, or is about another run.
            FloraError: Any other error of the request, after all retries.
            ValueError: The id is blank.

        Example:
            >>> ticket = await flora.generations.create(
            ...     type="text", prompt="a red bicycle", project_id="prj_local"
            ... )
            >>> (await flora.generations.retrieve(ticket.run_id)).run_id == ticket.run_id
            True
        """
        request = self._client.request(ROUTES["generations.retrieve"], {"run_id": run_id})
        run = await self._client.fetch(request, lambda response: decode_run(response, run_id))
        return with_poll_url(self._client, run, None)

    def list(
        self,
        *,
        workspace_id: str | None = None,
        project_id: str | None = None,
        status: RunStatus | str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> Pager["models.Generation"]:
        """The history of generations, newest first (FLORA's `GET /generations`).

        Args:
            workspace_id: Only generations of this workspace (`ws_…`).
            project_id: Only generations of this project (`prj_…`).
            status: Only generations with this status.
            limit: Items on one page, 1 to 100; None = FLORA's default.
            cursor: The page to begin at, from an earlier `Page.next_cursor`.

        Returns:
            A `Pager` of generations.

        Raises:
            ValueError: `limit` is out of range, or a filter is blank.
            TypeError: A filter is not text.

        Example:
            >>> async for generation in flora.generations.list(status="failed"):
            ...     print(generation.run_id, generation.error_code)
        """
        return paginate(
            self._client,
            "generations.list",
            models.Generation,
            items_key="generations",
            filters={"workspace_id": workspace_id, "project_id": project_id, "status": status},
            limit=limit,
            cursor=cursor,
            complete=partial(with_poll_url, self._client, technique_id=None),
            on_page=learning(self._client, self._starter.run_times, status),
        )


class Runs(Operations):
    """Starts of runs below FLORA's `/runs`.

    `start_technique` is FLORA's current route for techniques, and the one that takes several values for an input.
    `start_generation` is a deprecated twin of `generations.create`.
    """

    def __init__(self, client: Client, starter: Starter, workspace: DefaultWorkspace, preparer: InputPreparer) -> None:
        self._client = client
        self._starter = starter
        self._workspace = workspace
        self._preparer = preparer

    async def start_generation(  # noqa: PLR0913 - FLORA's own fields
        self,
        *,
        type: Medium,  # noqa: A002 - FLORA's name
        prompt: str,
        project_id: str,
        workspace_id: str | None = None,
        model: str | None = None,
        params: Mapping[str, Any] | None = None,
        callback_url: str | None = None,
        idempotency_key: str | None = None,
    ) -> "models.RunTicket":
        """Start a generation (FLORA's `POST /runs/generation`). FLORA advises `generations.create` instead.

        Args:
            type: As `generations.create`.
            prompt: As `generations.create`.
            project_id: As `generations.create`.
            workspace_id: As `generations.create`.
            model: As `generations.create`.
            params: As `generations.create`, but they are sent as they are.
            callback_url: As `generations.create`.
            idempotency_key: Your own key for this one start; None = a new one.

        Returns:
            The ticket; pass it to `wait_for_run`.

        Raises:
            SubmissionUnknownError: A run may exist and be charged, but no answer says so.
            FloraError: FLORA refused, or was never reached; nothing was started.
            ValueError: An argument is invalid; nothing was sent.
            TypeError: An argument has the wrong type; nothing was sent.

        Example:
            >>> ticket = await flora.runs.start_generation(
            ...     type="image", prompt="a red bicycle", workspace_id="ws_local", project_id="prj_local"
            ... )
            >>> ticket.type
            'generation'
        """
        body = generation_body(
            type=check_medium("type", type),
            prompt=prompt,
            project_id=project_id,
            workspace_id=workspace_id,
            model=model,
            params=params,
            callback_url=callback_url,
        )
        key = new_key(idempotency_key)
        body["workspace_id"] = await self._workspace.choose(workspace_id)
        return await self._starter.start(generation_start(body, key, "runs.start_generation"))

    async def start_technique(
        self,
        *,
        technique_id: str,
        inputs: Mapping[str, Any],
        workspace_id: str | None = None,
        idempotency_key: str | None = None,
        check: bool = False,
    ) -> "models.TechniqueTicket":
        """Start a technique, as several runs if an input is a list (FLORA's `POST /runs/technique`).

        This spends the workspace's credits: each of several runs costs what the technique costs.

        Args:
            technique_id: The technique's id (`tech_…`); FLORA takes no slug here.
            inputs: The values by input id, sent as they are. A list is several values, for an input whose
                `allow_multiple` says so. A `pathlib.Path`, bytes or an open file is uploaded first, also in a list.
            workspace_id: The workspace that pays (`ws_…`); None = the session's, or the only one there is.
            idempotency_key: Your own key for this one start; None = a new one.
            check: Read the technique first (once in five minutes), and refuse what it does not take. Default False.

        Returns:
            The ticket. `for run in ticket.runs or (ticket,)` covers every run that FLORA's answer names; pass each to
            `wait_for_run`. Where it names fewer than were started, a warning is logged, and `techniques.runs.list` has
            the others. `charged_cost` is what FLORA quotes for all of them.

        Raises:
            SubmissionUnknownError: A run may exist and be charged, but no answer says so.
            InputError: The technique does not take these inputs (with `check`); nothing was sent to be run.
            UploadError: A file did not become an asset; nothing was started.
            FloraError: FLORA refused, or was never reached; nothing was started.
            ValueError: An argument is invalid; nothing was sent.
            TypeError: An argument has the wrong type; nothing was sent.
            OSError: A file cannot be read; nothing was sent.

        Example:
            >>> ticket = await flora.runs.start_technique(
            ...     technique_id="tech_caption", inputs={"prompt": "a red bicycle"}, workspace_id="ws_local"
            ... )
            >>> ticket.type, ticket.technique.technique_id
            ('technique', 'tech_caption')
        """
        check_flag("check", check)
        technique_id = identifier("technique_id", technique_id)
        key = new_key(idempotency_key)
        optional(identifier, "workspace_id", workspace_id)
        given = await read_files("inputs", free_form("inputs", inputs))
        if check:
            given = await self._checked(technique_id, given)
        workspace = await self._workspace.choose(workspace_id)
        body = {
            "technique_id": technique_id,
            "inputs": await upload_files(given, self._preparer, workspace),
            "workspace_id": workspace,
        }
        try:
            ticket = await self._starter.start(_technique_ticket_start(body, key))
        except NotFoundError as error:
            await explain_technique(self._client, error, technique_id)
            raise
        values = math.prod(len(value) for value in given.values() if isinstance(value, list))
        if values > max(len(ticket.runs), 1):
            logger.warning(
                "Several runs of %.60s were started, and FLORA's answer names %d (%.60s): see techniques.runs.list",
                technique_id,
                len(ticket.runs) or 1,
                ticket.run_id,
            )
        return ticket

    async def _checked(self, technique_id: str, given: dict[str, Any]) -> dict[str, Any]:
        """The inputs that the technique takes, without optional texts that are empty."""
        values = {name: value if isinstance(value, list) else [value] for name, value in given.items()}
        problems = [
            FieldError(name, f"takes text, an https URL or a file, not {item!r:.40}")
            for name, items in values.items()
            for item in items
            if not isinstance(item, str | Content)
        ]
        if problems:
            raise InputError(technique_id, problems)
        raw_inputs = [RawInput(name, None, item) for name, items in values.items() for item in items]
        sent = await self._preparer.check(technique_id, raw_inputs, several=True)
        return {name: value for name, value in given.items() if any(raw_input.id == name for raw_input in sent)}


def _technique_ticket_start(body: dict[str, Any], key: str) -> "PendingStart[models.TechniqueTicket]":
    # A list of values starts several runs, which look in the history like those of several starts.
    is_one_run = not any(isinstance(value, list) for value in body["inputs"].values())
    filters = {"workspace_id": body["workspace_id"]}
    return PendingStart(
        operation="runs.start_technique",
        ids={},
        body=to_content(body),
        idempotency_key=key,
        target=body["technique_id"],
        read=_read_technique_ticket,
        adopt=_technique_ticket_of,
        history=History("techniques.runs.list", technique_id=body["technique_id"], filters=filters)
        if is_one_run
        else None,
    )


def _technique_ticket_of(run: Run) -> "models.TechniqueTicket":
    return models.TechniqueTicket(
        run_id=run.run_id,
        type="technique",
        poll_url=run.poll_url,
        charged_cost=run.charged_cost,
        technique=run.technique if isinstance(run, TechniqueRun) else None,
    )


def _read_technique_ticket(response: Response) -> "models.TechniqueTicket":
    """Read FLORA's answer to a start of a technique, which may name one run or list several."""
    data = parse_json(response.body, request_id=response.request_id)
    if isinstance(data, dict) and isinstance(data.get("runs"), list) and data["runs"]:
        first = data["runs"][0]
        if isinstance(first, dict):
            data = {**first, **data}
    return decode(json.dumps(data).encode(), models.TechniqueTicket, request_id=response.request_id)
