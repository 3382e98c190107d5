"""`flora.workspaces`: workspaces, with their projects, folders and library."""

from collections.abc import Sequence
from typing import Final

from flora_async import models
from flora_async._checks import identifier, items, non_blank
from flora_async._http.client import Client
from flora_async.polling import RunTracker
from flora_async.resources._operations import Operations, fetch, mutate, paginate
from flora_async.resources._pager import Pager
from flora_async.resources.canvases import WorkspaceCanvas
from flora_async.resources.library import Library

_MAX_NODES: Final = 50


class Workspaces(Operations):
    """Workspaces, and what is in them.

    Attributes:
        projects: Projects of one workspace.
        folders: Folders of projects.
        library: Saved images and texts.
    """

    def __init__(self, client: Client, tracker: RunTracker) -> None:
        self._client = client
        self.projects = WorkspaceProjects(client, tracker)
        self.folders = WorkspaceFolders(client)
        self.library = Library(client)

    def list(self) -> Pager["models.Workspace"]:
        """The workspaces that the key can use (FLORA's `GET /workspaces`), all on one page.

        Returns:
            A `Pager` of workspaces.

        Example:
            >>> [workspace.workspace_id async for workspace in flora.workspaces.list()]
            ['ws_local']
        """
        return paginate(self._client, "workspaces.list", models.Workspace, items_key="workspaces")


class WorkspaceProjects(Operations):
    """Projects, where a key can reach several workspaces.

    Attributes:
        canvas: Their canvases in full.
    """

    def __init__(self, client: Client, tracker: RunTracker) -> None:
        self._client = client
        self._tracker = tracker
        self.canvas = WorkspaceCanvas(client)

    async def create(self, workspace_id: str, *, name: str, idempotency_key: str | None = None) -> "models.Project":
        """Create a project in a workspace (FLORA's `POST /workspaces/{workspace_id}/projects`).

        Args:
            workspace_id: The workspace (`ws_…`).
            name: What to call it.
            idempotency_key: Your own key for this one call; None = a new one.

        Returns:
            The project.

        Raises:
            SubmissionUnknownError: The project may exist, but no answer says so.
            FloraError: FLORA refused, or was never reached; there is no project.
            ValueError: An argument is blank; nothing was sent.

        Example:
            >>> (await flora.workspaces.projects.create("ws_local", name="Spring campaign")).workspace_id
            'ws_local'
        """
        body = {"name": non_blank("name", name)}
        return await mutate(
            self._client,
            "workspaces.projects.create",
            models.Project,
            {"workspace_id": workspace_id},
            body=body,
            idempotency_key=idempotency_key,
        )

    async def graph(self, project_id: str, *, workspace_id: str) -> "models.ProjectGraph":
        """Read everything on a canvas (FLORA's `GET /workspaces/{workspace_id}/projects/{project_id}/graph`).

        Args:
            project_id: The project (`prj_…`).
            workspace_id: The workspace (`ws_…`).

        Returns:
            The nodes, with the ids that other operations take, and the edges.

        Raises:
            NotFoundError: There is no such project for this key.
            FloraError: Any other error of the request, after all retries.
            ValueError: An id is blank.

        Example:
            >>> graph = await flora.workspaces.projects.graph("prj_local", workspace_id="ws_local")
            >>> [(edge.source, edge.target) for edge in graph.edges]
            []
        """
        return await fetch(
            self._client,
            "workspaces.projects.graph",
            models.ProjectGraph,
            {"workspace_id": workspace_id, "project_id": project_id},
        )

    async def run_nodes(
        self, project_id: str, *, workspace_id: str, node_ids: Sequence[str], idempotency_key: str | None = None
    ) -> "models.NodeRuns":
        """Run nodes as they are set on a canvas. This spends the workspace's credits, exactly once.

        It is FLORA's `POST /workspaces/{workspace_id}/projects/{project_id}/nodes/run`. Nodes that depend on each other
        run in that order. A node that cannot run is skipped and costs nothing; the others still run.

        Args:
            project_id: The project (`prj_…`).
            workspace_id: The workspace that pays (`ws_…`).
            node_ids: 1 to 50 nodes, by short id or UUID, as `graph` returns them.
            idempotency_key: Your own key for this one start; None = a new one.

        Returns:
            One entry for each node; pass those that were started to `wait_for_run`.

        Raises:
            SubmissionUnknownError: Runs may exist and be charged, but no answer says so.
            FloraError: FLORA refused, or was never reached; nothing was started.
            ValueError: There are no nodes or too many, or an id is blank; nothing was sent.
            TypeError: An argument has the wrong type; nothing was sent.

        Example:
            >>> answer = await flora.workspaces.projects.run_nodes(
            ...     "prj_local", workspace_id="ws_local", node_ids=["n99"]
            ... )
            >>> [(run.is_started, run.reason) for run in answer.runs]
            [(False, 'node_not_found')]
        """
        nodes = [identifier("node_ids", node_id) for node_id in items("node_ids", node_ids)]
        if not 1 <= len(nodes) <= _MAX_NODES:
            raise ValueError(f"node_ids must name 1 to {_MAX_NODES} nodes, not {len(nodes)}: split them up")
        return await mutate(
            self._client,
            "workspaces.projects.run_nodes",
            models.NodeRuns,
            {"workspace_id": workspace_id, "project_id": project_id},
            body={"node_ids": nodes},
            idempotency_key=idempotency_key,
            tracker=self._tracker,
            subject="node:",
        )


class WorkspaceFolders(Operations):
    """Folders of projects."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def create_project(
        self, folder_id: str, *, workspace_id: str, name: str, idempotency_key: str | None = None
    ) -> "models.Project":
        """Create a project in a folder (FLORA's `POST /workspaces/{workspace_id}/folders/{folder_id}/projects`).

        Args:
            folder_id: The folder (`fld_…`).
            workspace_id: The workspace it is in (`ws_…`).
            name: What to call the project.
            idempotency_key: Your own key for this one call; None = a new one.

        Returns:
            The project.

        Raises:
            SubmissionUnknownError: The project may exist, but no answer says so.
            NotFoundError: There is no such folder for this key.
            FloraError: FLORA refused otherwise, or was never reached; there is no project.
            ValueError: An argument is blank; nothing was sent.

        Example:
            >>> project = await flora.workspaces.folders.create_project(
            ...     "fld_local", workspace_id="ws_local", name="Spring campaign"
            ... )
            >>> project.name
            'Spring campaign'
        """
        body = {"name": non_blank("name", name)}
        return await mutate(
            self._client,
            "workspaces.folders.create_project",
            models.Project,
            {"workspace_id": workspace_id, "folder_id": folder_id},
            body=body,
            idempotency_key=idempotency_key,
        )
