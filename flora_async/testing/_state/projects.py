"""Workspaces, projects and feedback of the local FLORA."""

import uuid
from collections.abc import Iterable
from typing import Any, Final

import attrs

from flora_async.testing._state.canvas import Canvas
from flora_async.testing._state.environment import Environment, Handlers, milliseconds
from flora_async.testing._wire.answers import not_found
from flora_async.testing._wire.requests import RecordedRequest
from flora_async.testing._wire.validation import (
    PROJECT,
    TEXT,
    WORKSPACE,
    list_of,
    one_of,
    paginate,
    public_id,
    read_body,
)

PROJECT_ID: Final = "prj_local"
FOLDER_ID: Final = "fld_local"

_FEEDBACK: Final = {
    "kind": one_of(("feature_request", "bug", "technique_request", "missing_capability")),
    "summary": TEXT,
    "detail": TEXT,
}


@attrs.define(eq=False, kw_only=True)
class Project:
    """A project and its canvas; `created` is Unix seconds."""

    number: int
    project_id: str
    workspace_id: str
    name: str
    created: float
    canvas: Canvas = attrs.field(factory=Canvas)

    def payload(self) -> dict[str, Any]:
        """Return FLORA's description of it."""
        return {
            "project_id": self.project_id,
            "workspace_id": self.workspace_id,
            "name": self.name,
            "origin": None,
            "created_at": milliseconds(self.created),
            "last_modified": None if self.canvas.modified is None else milliseconds(self.canvas.modified),
        }


class Projects:
    """The workspaces, their projects and project folders, and the feedback.

    Args:
        environment: The clock and the addresses.
        workspaces: The ids of the workspaces; the first one has a project and a project folder.

    Attributes:
        feedback: The recorded feedback, as it was sent.
    """

    def __init__(self, environment: Environment, workspaces: Iterable[str]) -> None:
        self.feedback: list[dict[str, Any]] = []
        self._environment = environment
        self._workspaces = {id_: environment.clock.time() for id_ in workspaces}
        self._projects: dict[str, Project] = {}
        self._folders = {(id_, FOLDER_ID) for id_ in list(self._workspaces)[:1]}
        for workspace_id, _ in self._folders:
            self._add(workspace_id, "Local project", PROJECT_ID)

    @property
    def handlers(self) -> Handlers:
        """The operations on workspaces, projects and feedback."""
        return {
            "workspaces.list": lambda _: {"workspaces": [self._workspace(id_) for id_ in self._workspaces]},
            "workspaces.projects.create": self._create_in_workspace,
            "workspaces.folders.create_project": self._create_in_folder,
            "projects.create": self._create,
            "projects.retrieve": lambda request: self.from_path(request).payload(),
            "projects.list": self._list,
            "feedback.record": self._record_feedback,
        }

    def check_workspace(self, workspace_id: str) -> str:
        """Return the id of a workspace.

        Raises:
            RefusedError: There is no such workspace.
        """
        if workspace_id not in self._workspaces:
            raise not_found()
        return workspace_id

    def from_path(self, request: RecordedRequest) -> Project:
        """Return the project named in the path of a request, in the workspace named there, if any.

        Raises:
            RefusedError: There is no such project.
        """
        params = request.route.path_params
        return self.find(params.get("workspace_id"), params["project_id"])

    def find(self, workspace_id: str | None, project_id: str) -> Project:
        """Return a project; the workspace, if given, must be its own.

        Raises:
            RefusedError: There is no such project in the workspace.
        """
        project = self._projects.get(project_id)
        if project is None or workspace_id not in {None, project.workspace_id}:
            raise not_found()
        return project

    def _create(self, request: RecordedRequest) -> dict[str, Any]:
        body = read_body(request, {"name": TEXT, "workspace_id": WORKSPACE})
        return self._add(self.check_workspace(body["workspace_id"]), body["name"]).payload()

    def _create_in_workspace(self, request: RecordedRequest) -> dict[str, Any]:
        workspace_id = self.check_workspace(request.route.path_params["workspace_id"])
        return self._add(workspace_id, read_body(request, {"name": TEXT})["name"]).payload()

    def _create_in_folder(self, request: RecordedRequest) -> dict[str, Any]:
        params = request.route.path_params
        if (params["workspace_id"], params["folder_id"]) not in self._folders:
            raise not_found()
        return self._add(params["workspace_id"], read_body(request, {"name": TEXT})["name"]).payload()

    def _list(self, request: RecordedRequest) -> dict[str, Any]:
        query = request.query
        problems = {} if "workspace_id" in query else {"workspace_id": "Required"}
        search = query.get("query", "").lower()
        matching = [
            (project.number, project)
            for project in reversed(self._projects.values())
            if project.workspace_id == query.get("workspace_id") and search in project.name.lower()
        ]
        return paginate("projects", query, matching, Project.payload, problems)

    def _record_feedback(self, request: RecordedRequest) -> dict[str, Any]:
        body = read_body(
            request,
            _FEEDBACK,
            attempted_tools=list_of(TEXT),
            workspace_id=WORKSPACE,
            project_id=PROJECT,
            run_id=public_id("run"),
        )
        self.feedback.append({name: value for name, value in body.items() if name != "idempotency_key"})
        return {"feedback_id": f"fb_{uuid.uuid4().hex}", "received_at": milliseconds(self._environment.clock.time())}

    def _add(self, workspace_id: str, name: str, project_id: str | None = None) -> Project:
        project = Project(
            number=len(self._projects) + 1,
            project_id=project_id or f"prj_{uuid.uuid4().hex}",
            workspace_id=workspace_id,
            name=name,
            created=self._environment.clock.time(),
        )
        self._projects[project.project_id] = project
        return project

    def _workspace(self, workspace_id: str) -> dict[str, Any]:
        return {
            "workspace_id": workspace_id,
            "name": f"{workspace_id.removeprefix('ws_').replace('_', ' ').capitalize()} workspace",
            "role": "owner",
            "created_at": milliseconds(self._workspaces[workspace_id]),
        }


def check_workspaces(workspaces: Iterable[str]) -> tuple[str, ...]:
    """Return the ids.

    Raises:
        ValueError: An id is not that of a workspace.
    """
    ids = tuple(workspaces)
    if invalid := [id_ for id_ in ids if not WORKSPACE.accepts(id_)]:
        raise ValueError(f"workspaces must be ids that start with ws_, not {invalid[0]!r}")
    return ids
