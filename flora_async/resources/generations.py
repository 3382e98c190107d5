"""`flora.generations`: runs of a model; and `flora.runs`, FLORA's older way to start runs."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from flora_async import models
from flora_async._checks import free_form, non_blank, optional
from flora_async._http.client import Client
from flora_async._http.routes import ROUTES
from flora_async._http.urls import check_https
from flora_async.models import Run, RunStatus
from flora_async.polling import decode_run
from flora_async.resources._operations import mutate, paginate
from flora_async.resources._pager import Pager
from flora_async.resources._start import with_poll_url
from flora_async.resources.models import Medium, check_medium


class Generations:
    """Runs of a model: start one, look at one, list them."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def create(  # noqa: PLR0913 - FLORA's own fields
        self,
        *,
        type: Medium,  # noqa: A002 - FLORA's name
        prompt: str,
        workspace_id: str,
        project_id: str,
        model: str | None = None,
        params: Mapping[str, Any] | None = None,
        callback_url: str | None = None,
        idempotency_key: str | None = None,
    ) -> "models.RunTicket":
        """Start a generation (FLORA's `POST /generate`). This spends the workspace's credits, exactly once.

        Args:
            type: What to make: `image`, `video`, `audio` or `text`.
            prompt: What to make it from.
            workspace_id: The workspace that pays (`ws_…`).
            project_id: The project to make it in (`prj_…`).
            model: The endpoint id of a model of that type, from `models.list`; None = FLORA's choice.
            params: The model's parameters, by the model's own keys; None = as they are by default.
            callback_url: A public https URL that FLORA calls when the run has ended.
            idempotency_key: Your own key for this one start; None = a new one.

        Returns:
            The ticket; pass it to `wait_for_run`.

        Raises:
            SubmissionUnknownError: A run may exist and be charged, but no answer says so.
            FloraError: FLORA refused, or was never reached; nothing was started.
            ValueError: An argument cannot be right; nothing was sent.
            TypeError: An argument has the wrong type; nothing was sent.

        Example:
            >>> ticket = await flora.generations.create(
            ...     type="image", prompt="a red bicycle", workspace_id="ws_local", project_id="prj_local"
            ... )
            >>> (await flora.wait_for_run(ticket)).is_completed
            True
        """
        body = _generation(type, prompt, workspace_id, project_id, model, params, callback_url)
        return await mutate(
            self._client, "generations.create", models.RunTicket, body=body, idempotency_key=idempotency_key
        )

    async def retrieve(self, run_id: str) -> Run:
        """Look at a run of any kind once (FLORA's `GET /runs/{run_id}`). To follow it, use `wait_for_run`.

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
            ...     type="text", prompt="a red bicycle", workspace_id="ws_local", project_id="prj_local"
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
            limit: Items on one page, 1 to 100; None = as FLORA likes.
            cursor: Begin at this page, from an earlier `Page.next_cursor`.

        Returns:
            A `Pager`; `async for` goes over all generations, `await` gives the first page, `.pages()` goes over the
            pages.

        Raises:
            ValueError: `limit` is out of range, or a filter is blank.
            TypeError: A filter is no text.

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
        )


class Runs:
    """FLORA's older way to start runs of any kind.

    `generations.create` and `techniques.runs.create` start the same runs; the latter tells more of them.
    """

    def __init__(self, client: Client) -> None:
        self._client = client

    async def start_generation(  # noqa: PLR0913 - FLORA's own fields
        self,
        *,
        type: Medium,  # noqa: A002 - FLORA's name
        prompt: str,
        workspace_id: str,
        project_id: str,
        model: str | None = None,
        params: Mapping[str, Any] | None = None,
        callback_url: str | None = None,
        idempotency_key: str | None = None,
    ) -> "models.RunTicket":
        """Start a generation (FLORA's `POST /runs/generation`). FLORA advises `generations.create` instead.

        Args:
            type: As `generations.create`.
            prompt: As `generations.create`.
            workspace_id: As `generations.create`.
            project_id: As `generations.create`.
            model: As `generations.create`.
            params: As `generations.create`.
            callback_url: As `generations.create`.
            idempotency_key: Your own key for this one start; None = a new one.

        Returns:
            The ticket; pass it to `wait_for_run`.

        Raises:
            SubmissionUnknownError: A run may exist and be charged, but no answer says so.
            FloraError: FLORA refused, or was never reached; nothing was started.
            ValueError: An argument cannot be right; nothing was sent.
            TypeError: An argument has the wrong type; nothing was sent.

        Example:
            >>> ticket = await flora.runs.start_generation(
            ...     type="image", prompt="a red bicycle", workspace_id="ws_local", project_id="prj_local"
            ... )
            >>> ticket.type
            'generation'
        """
        body = _generation(type, prompt, workspace_id, project_id, model, params, callback_url)
        return await mutate(
            self._client, "runs.start_generation", models.RunTicket, body=body, idempotency_key=idempotency_key
        )

    async def start_technique(
        self,
        *,
        technique_id: str,
        inputs: Mapping[str, Any],
        workspace_id: str,
        idempotency_key: str | None = None,
    ) -> "models.RunTicket":
        """Start a run of a technique (FLORA's `POST /runs/technique`). This spends the workspace's credits.

        Args:
            technique_id: The technique's id (`tech_…`); FLORA takes no slug here.
            inputs: The values, by input id, as FLORA takes them; they are sent as they are.
            workspace_id: The workspace that pays (`ws_…`).
            idempotency_key: Your own key for this one start; None = a new one.

        Returns:
            The ticket; pass it to `wait_for_run`.

        Raises:
            SubmissionUnknownError: A run may exist and be charged, but no answer says so.
            FloraError: FLORA refused, or was never reached; nothing was started.
            ValueError: An argument cannot be right; nothing was sent.
            TypeError: An argument has the wrong type; nothing was sent.

        Example:
            >>> ticket = await flora.runs.start_technique(
            ...     technique_id="tech_caption", inputs={"prompt": "a red bicycle"}, workspace_id="ws_local"
            ... )
            >>> ticket.type, ticket.technique.technique_id
            ('technique', 'tech_caption')
        """
        body = {
            "technique_id": non_blank("technique_id", technique_id),
            "inputs": free_form("inputs", inputs),
            "workspace_id": non_blank("workspace_id", workspace_id),
        }
        return await mutate(
            self._client, "runs.start_technique", models.RunTicket, body=body, idempotency_key=idempotency_key
        )


def _generation(  # noqa: PLR0913, PLR0917 - FLORA's own fields
    medium: object,
    prompt: object,
    workspace_id: object,
    project_id: object,
    model: object,
    params: object,
    callback_url: object,
) -> dict[str, Any]:
    return {
        "type": check_medium("type", medium),
        "prompt": non_blank("prompt", prompt),
        "workspace_id": non_blank("workspace_id", workspace_id),
        "project_id": non_blank("project_id", project_id),
        "model": optional(non_blank, "model", model),
        "params": optional(free_form, "params", params),
        "callback_url": optional(check_https, "callback_url", callback_url),
    }
