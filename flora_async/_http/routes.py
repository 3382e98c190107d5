"""The table of FLORA's operations: method, path, and what a request there means for money and for retries.

To add an operation, add a line here, a method in `resources/`, a model, and a row to the table in the tests.
"""

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

from flora_async._http.urls import segment

Label = Literal["start", "poll", "history", "technique", "other"]
"""The category under which a request is counted."""


class Route(NamedTuple):
    """One operation of FLORA's API.

    Attributes:
        method: The HTTP method.
        template: The path below the base URL, with its ids in braces.
        label: The category under which its requests are counted.
        spends: Whether it costs money.
        honors_key: Whether it is safe to repeat under one idempotency key: FLORA documents the key for it, or the
            method itself is idempotent.
    """

    method: str
    template: str
    label: Label = "other"
    spends: bool = False
    honors_key: bool = True

    def path(self, ids: Mapping[str, str]) -> str:
        """The path with its ids, each encoded as one segment.

        Raises:
            TypeError: An id is not text.
            ValueError: An id is blank.
        """
        return self.template.format_map({name: segment(name, value) for name, value in ids.items()})


_WORKSPACE_PROJECT: Final = "/workspaces/{workspace_id}/projects/{project_id}"
_FOLDERS: Final = "/workspaces/{workspace_id}/library/folders"

ROUTES: Final[Mapping[str, Route]] = {
    "techniques.retrieve": Route("GET", "/techniques/{technique_id}", "technique"),
    "techniques.list": Route("GET", "/techniques"),
    "techniques.runs.create": Route("POST", "/techniques/{technique_id}/runs", "start", spends=True),
    "techniques.runs.list": Route("GET", "/technique-runs", "history"),
    "techniques.runs.retrieve": Route("GET", "/techniques/{technique_id}/runs/{run_id}", "poll"),
    "assets.create": Route("POST", "/assets"),
    "assets.complete": Route("POST", "/assets/{asset_id}/complete"),
    "assets.retry": Route("POST", "/assets/{asset_id}/retry"),
    "assets.list": Route("GET", "/assets"),
    "assets.retrieve": Route("GET", "/assets/{asset_id}"),
    "workspaces.list": Route("GET", "/workspaces"),
    "workspaces.projects.create": Route("POST", "/workspaces/{workspace_id}/projects"),
    "workspaces.projects.graph": Route("GET", _WORKSPACE_PROJECT + "/graph"),
    "workspaces.projects.run_nodes": Route("POST", _WORKSPACE_PROJECT + "/nodes/run", "start", spends=True),
    "workspaces.projects.canvas.apply_changeset": Route("POST", _WORKSPACE_PROJECT + "/canvas/changeset"),
    "workspaces.projects.canvas.retrieve_definition": Route("GET", _WORKSPACE_PROJECT + "/canvas/definition"),
    "workspaces.projects.canvas.replace_definition": Route("PUT", _WORKSPACE_PROJECT + "/canvas/definition"),
    "workspaces.folders.create_project": Route("POST", "/workspaces/{workspace_id}/folders/{folder_id}/projects"),
    "workspaces.library.folders.create": Route("POST", _FOLDERS),
    "workspaces.library.folders.delete": Route("DELETE", _FOLDERS + "/{folder_id}"),
    "workspaces.library.folders.add_item": Route("POST", _FOLDERS + "/{folder_id}/items"),
    "projects.create": Route("POST", "/projects"),
    "projects.retrieve": Route("GET", "/projects/{project_id}"),
    "projects.list": Route("GET", "/projects"),
    "projects.list_nodes": Route("GET", "/projects/{project_id}/nodes"),
    "projects.assets.attach": Route("POST", "/projects/{project_id}/assets/{asset_id}/attach"),
    "projects.canvas.retrieve": Route("GET", "/projects/{project_id}/canvas"),
    "projects.canvas.update": Route("PATCH", "/projects/{project_id}/canvas", honors_key=False),
    "projects.actions.create": Route("POST", "/projects/{project_id}/actions", honors_key=False),
    "projects.actions.run": Route(
        "POST", "/projects/{project_id}/actions/{node_id}/run", "start", spends=True, honors_key=False
    ),
    "actions.list": Route("GET", "/actions"),
    "actions.retrieve": Route("GET", "/actions/{action_id}"),
    "actions.run": Route("POST", "/runs/action", "start", spends=True),
    "models.list": Route("GET", "/models"),
    "generations.create": Route("POST", "/generate", "start", spends=True),
    "generations.retrieve": Route("GET", "/runs/{run_id}", "poll"),
    "generations.list": Route("GET", "/generations", "history"),
    "runs.start_generation": Route("POST", "/runs/generation", "start", spends=True),
    "runs.start_technique": Route("POST", "/runs/technique", "start", spends=True),
    "feedback.record": Route("POST", "/feedback"),
}
"""Each operation by its name here, which is also the name of its method on a `FloraSession`."""
