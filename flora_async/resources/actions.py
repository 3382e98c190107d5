"""`flora.actions`: the small prebuilt programs that FLORA runs on media and text."""

from collections.abc import Mapping, Sequence
from typing import Any

from flora_async import models
from flora_async._checks import check_flag
from flora_async.errors import NotFoundError
from flora_async.resources._arguments import CatalogOperations, action_body, check_action, read_body
from flora_async.resources._catalog import read_action
from flora_async.resources._hints import explain_action
from flora_async.resources._operations import new_key, paginate
from flora_async.resources._pager import Pager
from flora_async.resources._start import action_start


class Actions(CatalogOperations):
    """Actions: find one, run it."""

    def list(self) -> Pager["models.Action"]:
        """The actions that can be run (FLORA's `GET /actions`), all on one page.

        Returns:
            A `Pager` of actions.

        Example:
            >>> [action.action_id async for action in flora.actions.list()]
            ['rotate-image-browser', 'concat-text-browser']
        """
        return paginate(self._client, "actions.list", models.Action, items_key="actions")

    async def retrieve(self, action_id: str) -> "models.Action":
        """Read what an action takes, returns and costs (FLORA's `GET /actions/{action_id}`).

        Args:
            action_id: The action's slug, such as `rotate-image-browser`.

        Returns:
            The action.

        Raises:
            NotFoundError: FLORA does not know the action; the message names the nearest one.
            FloraError: Any other error of the request, after all retries.
            ValueError: The id is blank.

        Example:
            >>> action = await flora.actions.retrieve("rotate-image-browser")
            >>> [slot.type for slot in action.inputs], [slot.type for slot in action.outputs]
            (['image'], ['image'])
        """
        return await read_action(self._client, action_id)

    async def run(  # noqa: PLR0913 - FLORA's own fields, and what is done before
        self,
        *,
        action_id: str,
        inputs: "Sequence[models.ActionInput | Mapping[str, Any]]",
        project_id: str,
        workspace_id: str | None = None,
        params: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
        check: bool = False,
    ) -> "models.RunTicket":
        """Run an action without any canvas (FLORA's `POST /runs/action`). This can spend the workspace's credits.

        Args:
            action_id: The action's slug, such as `rotate-image-browser`.
            inputs: What it works on: `ActionInput`, or mappings with FLORA's names. A `pathlib.Path`, bytes or an open
                file as the `url` of a mapping is uploaded first.
            project_id: The project that lists the run (`prj_…`); its canvas does not change.
            workspace_id: The workspace that pays (`ws_…`); None = the session's, or the only one there is.
            params: Its settings, under the action's own keys; None = its defaults.
            idempotency_key: Your own key for this one start; None = a new one.
            check: Read the action first (once in five minutes), and refuse inputs and settings that it does not take.
                Default False.

        Returns:
            The ticket; pass it to `wait_for_run`.

        Raises:
            SubmissionUnknownError: A run may exist and be charged, but no answer says so.
            InputError: The action does not take this (with `check`); nothing was sent to be run.
            UploadError: A file did not become an asset; nothing was started.
            FloraError: FLORA refused, or was never reached; nothing was started.
            ValueError: There are no inputs, or an argument is blank; nothing was sent.
            TypeError: An argument has the wrong type; nothing was sent.
            OSError: A file cannot be read; nothing was sent.

        Example:
            >>> from flora_async.models import ActionInput
            >>> ticket = await flora.actions.run(
            ...     action_id="concat-text-browser",
            ...     inputs=[ActionInput(type="text", text="a red bicycle")],
            ...     project_id="prj_local",
            ... )
            >>> (await flora.wait_for_run(ticket)).is_completed
            True
        """
        check_flag("check", check)
        body = action_body(
            action_id=action_id, inputs=inputs, project_id=project_id, workspace_id=workspace_id, params=params
        )
        key = new_key(idempotency_key)
        body = await read_body(body)
        if check:
            await check_action(body, self._catalog)
        body = await self._uploaded(body)
        try:
            return await self._starter.start(action_start(body, key))
        except NotFoundError as error:
            await explain_action(self._client, error, action_id)
            raise
