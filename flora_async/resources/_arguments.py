"""The arguments of a generation or an action: validate them, and check them against the catalog."""

from functools import partial
from typing import Any

from flora_async import models
from flora_async._checks import free_form, identifier, non_blank, optional
from flora_async._http.client import Client
from flora_async._http.urls import check_https
from flora_async.resources._catalog import Catalog
from flora_async.resources._default_workspace import DefaultWorkspace
from flora_async.resources._operations import Operations, all_to_json
from flora_async.resources._parameters import action_problems, generation_problems, read_files, upload_files
from flora_async.resources._prepare import InputPreparer, check_against
from flora_async.resources._start import Starter
from flora_async.resources.models import check_medium

Body = dict[str, Any]
"""The fields of a request under FLORA's names; files in it are not uploaded yet."""


def generation_body(  # noqa: PLR0913 - FLORA's own fields
    *,
    type: object,  # noqa: A002 - FLORA's name
    prompt: object,
    project_id: object,
    workspace_id: object,
    model: object,
    params: object,
    callback_url: object,
) -> Body:
    """Validate the arguments of a generation.

    Raises:
        ValueError: One is malformed.
        TypeError: One has the wrong type.
    """
    return {
        "type": optional(check_medium, "type", type),
        "prompt": non_blank("prompt", prompt),
        "workspace_id": optional(identifier, "workspace_id", workspace_id),
        "project_id": identifier("project_id", project_id),
        "model": optional(identifier, "model", model),
        "params": optional(free_form, "params", params),
        "callback_url": optional(check_https, "callback_url", callback_url),
    }


def action_body(*, action_id: object, inputs: object, project_id: object, workspace_id: object, params: object) -> Body:
    """Validate the arguments of an action.

    Raises:
        ValueError: One is malformed, or there are no inputs.
        TypeError: One has the wrong type.
    """
    body = {
        "action_id": identifier("action_id", action_id),
        "inputs": all_to_json("inputs", inputs, models.ActionInput),
        "workspace_id": optional(identifier, "workspace_id", workspace_id),
        "project_id": identifier("project_id", project_id),
        "params": optional(free_form, "params", params),
    }
    if not body["inputs"]:
        raise ValueError("inputs must not be empty: an action needs something to work on")
    return body


class CatalogOperations(Operations):
    """Operations that start what FLORA's catalog describes, with all arguments in one body."""

    def __init__(
        self,
        client: Client,
        starter: Starter,
        workspace: DefaultWorkspace,
        catalog: Catalog,
        preparer: InputPreparer,
    ) -> None:
        self._client = client
        self._starter = starter
        self._workspace = workspace
        self._catalog = catalog
        self._preparer = preparer

    async def _uploaded(self, body: Body) -> Body:
        """The body to send: with its workspace, and with the URLs of its files, which are uploaded there."""
        workspace = await self._workspace.choose(body["workspace_id"])
        sent: Body = await upload_files({**body, "workspace_id": workspace}, self._preparer, workspace)
        return sent


async def read_body(body: Body) -> Body:
    """The body with the files in it read as content that can be uploaded.

    Raises:
        OSError: A file cannot be read.
        ValueError: A file cannot be uploaded.
    """
    return body | {name: await read_files(name, body[name]) for name in ("inputs", "params") if body.get(name)}


async def check_generation(body: Body, catalog: Catalog) -> None:
    """Refuse a model or parameters that FLORA's catalog does not know.

    Raises:
        InputError: It does not know them.
        FloraError: The catalog could not be read.
    """
    await check_against(
        body["model"] or body["type"],
        catalog.find_models,
        lambda found: generation_problems(found, body["type"], body["model"], body["params"] or {}),
        asked_at=catalog.now(),
    )


async def check_action(body: Body, catalog: Catalog) -> None:
    """Refuse inputs and settings that an action does not take.

    Raises:
        InputError: It does not take them.
        FloraError: The action could not be read.
    """
    await check_against(
        body["action_id"],
        partial(catalog.find_action, body["action_id"]),
        lambda action: action_problems(action, body["inputs"], body["params"] or {}),
        asked_at=catalog.now(),
    )
