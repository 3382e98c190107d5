"""`flora.actions`: the small prebuilt programs that FLORA runs on media and text."""

from collections.abc import Mapping, Sequence
from typing import Any

from flora_async import models
from flora_async._checks import free_form, non_blank, optional
from flora_async._http.client import Client
from flora_async.resources._operations import all_to_json, fetch, mutate, paginate
from flora_async.resources._pager import Pager


class Actions:
    """Actions: find one, run it."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def list(self) -> Pager["models.Action"]:
        """The actions that can be run (FLORA's `GET /actions`), all on one page.

        Returns:
            A `Pager`; `async for` goes over all actions, `await` gives the page.

        Example:
            >>> [action.action_id async for action in flora.actions.list()]
            ['rotate-image-browser', 'concat-text-browser']
        """
        return paginate(self._client, "actions.list", models.Action, items_key="actions")

    async def retrieve(self, action_id: str) -> "models.Action":
        """Read what an action takes, gives and costs (FLORA's `GET /actions/{action_id}`).

        Args:
            action_id: The action's slug, such as `rotate-image-browser`.

        Returns:
            The action.

        Raises:
            NotFoundError: There is no such action.
            FloraError: Any other error of the request, after all retries.
            ValueError: The id is blank.

        Example:
            >>> action = await flora.actions.retrieve("rotate-image-browser")
            >>> [slot.type for slot in action.inputs], [slot.type for slot in action.outputs]
            (['image'], ['image'])
        """
        return await fetch(self._client, "actions.retrieve", models.Action, action_id=action_id)

    async def run(  # noqa: PLR0913 - FLORA's own fields
        self,
        *,
        action_id: str,
        inputs: "Sequence[models.ActionInput | Mapping[str, Any]]",
        workspace_id: str,
        project_id: str,
        params: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
    ) -> "models.RunTicket":
        """Run an action without any canvas (FLORA's `POST /runs/action`). This can spend the workspace's credits.

        Args:
            action_id: The action's slug, such as `rotate-image-browser`.
            inputs: What it works on: `ActionInput`, or mappings with FLORA's names.
            workspace_id: The workspace that pays (`ws_…`).
            project_id: The project it is listed under (`prj_…`); its canvas stays as it is.
            params: Its settings, by the action's own keys; None = as they are by default.
            idempotency_key: Your own key for this one start; None = a new one.

        Returns:
            The ticket; pass it to `wait_for_run`.

        Raises:
            SubmissionUnknownError: A run may exist and be charged, but no answer says so.
            FloraError: FLORA refused, or was never reached; nothing was started.
            ValueError: There are no inputs, or an argument is blank; nothing was sent.
            TypeError: An argument has the wrong type; nothing was sent.

        Example:
            >>> from flora_async.models import ActionInput
            >>> ticket = await flora.actions.run(
            ...     action_id="concat-text-browser",
            ...     inputs=[ActionInput(type="text", text="a red"), ActionInput(type="text", text="bicycle")],
            ...     workspace_id="ws_local",
            ...     project_id="prj_local",
            ... )
            >>> (await flora.wait_for_run(ticket)).is_completed
            True
        """
        body = {
            "action_id": non_blank("action_id", action_id),
            "inputs": all_to_json("inputs", inputs, models.ActionInput),
            "workspace_id": non_blank("workspace_id", workspace_id),
            "project_id": non_blank("project_id", project_id),
            "params": optional(free_form, "params", params),
        }
        if not body["inputs"]:
            raise ValueError("inputs must not be empty: an action needs something to work on")
        return await mutate(self._client, "actions.run", models.RunTicket, body=body, idempotency_key=idempotency_key)
