"""`flora.projects`: canvases and what is on them."""

from collections.abc import Mapping
from typing import Any

from flora_async import models
from flora_async._checks import free_form, identifier, non_blank, optional
from flora_async._http.client import Client
from flora_async.polling import RunTracker
from flora_async.resources._operations import Operations, fetch, mutate, paginate
from flora_async.resources._pager import Pager
from flora_async.resources.canvases import ProjectCanvas


class Projects(Operations):
    """Projects: create one, find one, read its canvas.

    Attributes:
        assets: Putting assets on a canvas.
        canvas: The canvas as a diagram.
        actions: Putting actions on a canvas, and running them there.
    """

    def __init__(self, client: Client, tracker: RunTracker) -> None:
        self._client = client
        self.assets = ProjectAssets(client)
        self.canvas = ProjectCanvas(client)
        self.actions = ProjectActions(client, tracker)

    async def create(self, *, name: str, workspace_id: str, idempotency_key: str | None = None) -> "models.Project":
        """Create a project (FLORA's `POST /projects`).

        Args:
            name: What to call it.
            workspace_id: The workspace it will belong to (`ws_…`).
            idempotency_key: Your own key for this one call; None = a new one.

        Returns:
            The project.

        Raises:
            SubmissionUnknownError: The project may exist, but no answer says so.
            FloraError: FLORA refused, or was never reached; there is no project.
            ValueError: An argument is blank; nothing was sent.

        Example:
            >>> project = await flora.projects.create(name="Spring campaign", workspace_id="ws_local")
            >>> project.name
            'Spring campaign'
        """
        body = {"name": non_blank("name", name), "workspace_id": identifier("workspace_id", workspace_id)}
        return await mutate(self._client, "projects.create", models.Project, body=body, idempotency_key=idempotency_key)

    async def retrieve(self, project_id: str) -> "models.Project":
        """Read a project (FLORA's `GET /projects/{project_id}`).

        Args:
            project_id: The project (`prj_…`).

        Returns:
            The project.

        Raises:
            NotFoundError: There is no such project for this key.
            FloraError: Any other error of the request, after all retries.
            ValueError: The id is blank.

        Example:
            >>> (await flora.projects.retrieve("prj_local")).workspace_id
            'ws_local'
        """
        return await fetch(self._client, "projects.retrieve", models.Project, {"project_id": project_id})

    def list(
        self, *, workspace_id: str, query: str | None = None, limit: int | None = None, cursor: str | None = None
    ) -> Pager["models.Project"]:
        """The projects of a workspace, most recently used first (FLORA's `GET /projects`).

        Args:
            workspace_id: The workspace (`ws_…`).
            query: Only projects that match this text.
            limit: Items on one page, 1 to 100; None = FLORA's default.
            cursor: The page to begin at, from an earlier `Page.next_cursor`.

        Returns:
            A `Pager` of projects.

        Raises:
            ValueError: `limit` is out of range, or an argument is blank.
            TypeError: An argument has the wrong type.

        Example:
            >>> [project.project_id async for project in flora.projects.list(workspace_id="ws_local")]
            ['prj_local']
        """
        filters = {"workspace_id": identifier("workspace_id", workspace_id), "query": query}
        return paginate(
            self._client,
            "projects.list",
            models.Project,
            items_key="projects",
            filters=filters,
            limit=limit,
            cursor=cursor,
        )

    def list_nodes(
        self, project_id: str, *, limit: int | None = None, cursor: str | None = None
    ) -> Pager["models.CanvasNode"]:
        """The media on a canvas (FLORA's `GET /projects/{project_id}/nodes`).

        Args:
            project_id: The project (`prj_…`).
            limit: Items on one page, 1 to 100; None = FLORA's default.
            cursor: The page to begin at, from an earlier `Page.next_cursor`.

        Returns:
            A `Pager` of nodes.

        Raises:
            ValueError: `limit` is out of range, or the id is blank.

        Example:
            >>> async for node in flora.projects.list_nodes("prj_local"):
            ...     print(node.node_id, node.type)
        """
        return paginate(
            self._client,
            "projects.list_nodes",
            models.CanvasNode,
            {"project_id": project_id},
            items_key="nodes",
            limit=limit,
            cursor=cursor,
        )


class ProjectAssets(Operations):
    """Assets on a canvas."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def attach(self, asset_id: str, *, project_id: str, idempotency_key: str | None = None) -> "models.AssetNode":
        """Show an asset on a canvas (FLORA's `POST /projects/{project_id}/assets/{asset_id}/attach`).

        Args:
            asset_id: The asset (`asset_…`); it must be ready.
            project_id: The project (`prj_…`).
            idempotency_key: Your own key for this one call; None = a new one.

        Returns:
            The node that shows it.

        Raises:
            SubmissionUnknownError: The node may exist, but no answer says so.
            FloraError: FLORA refused, or was never reached; there is no node.
            ValueError: An id is blank.

        Example:
            >>> asset = await flora.assets.create(source="https://example.com/photo.png", workspace_id="ws_local")
            >>> node = await flora.projects.assets.attach(asset.asset_id, project_id="prj_local")
            >>> node.asset_id == asset.asset_id
            True
        """
        return await mutate(
            self._client,
            "projects.assets.attach",
            models.AssetNode,
            {"project_id": project_id, "asset_id": asset_id},
            idempotency_key=idempotency_key,
        )


class ProjectActions(Operations):
    """Actions on a canvas."""

    def __init__(self, client: Client, tracker: RunTracker) -> None:
        self._client = client
        self._tracker = tracker

    async def create(
        self,
        project_id: str,
        *,
        action_id: str,
        params: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
    ) -> "models.ActionNode":
        """Put an action on a canvas (FLORA's `POST /projects/{project_id}/actions`).

        FLORA does not document a key here, so an attempt in doubt is not repeated.

        Args:
            project_id: The project (`prj_…`).
            action_id: The action's slug, such as `rotate-image-browser`.
            params: Its settings, under the action's own keys; None = its defaults.
            idempotency_key: Your own key for this one call; None = a new one.

        Returns:
            The node; its `node_id` can be run.

        Raises:
            SubmissionUnknownError: The node may exist, but no answer says so.
            FloraError: FLORA refused, or was never reached; there is no node.
            ValueError: An argument is blank; nothing was sent.
            TypeError: An argument has the wrong type; nothing was sent.

        Example:
            >>> node = await flora.projects.actions.create("prj_local", action_id="rotate-image-browser")
            >>> node.action_id
            'rotate-image-browser'
        """
        body = {"action_id": identifier("action_id", action_id), "params": optional(free_form, "params", params)}
        return await mutate(
            self._client,
            "projects.actions.create",
            models.ActionNode,
            {"project_id": project_id},
            body=body,
            idempotency_key=idempotency_key,
        )

    async def run(self, node_id: str, *, project_id: str, idempotency_key: str | None = None) -> "models.RunTicket":
        """Run an action on a canvas (FLORA's `POST /projects/{project_id}/actions/{node_id}/run`).

        This can spend the workspace's credits. FLORA does not document a key here, so an attempt in doubt is not
        repeated.

        Args:
            node_id: The action's node.
            project_id: The project (`prj_…`).
            idempotency_key: Your own key for this one start; None = a new one.

        Returns:
            The ticket; pass it to `wait_for_run`.

        Raises:
            SubmissionUnknownError: A run may exist and be charged, but no answer says so.
            FloraError: FLORA refused, or was never reached; nothing was started.
            ValueError: An id is blank; nothing was sent.

        Example:
            >>> node = await flora.projects.actions.create("prj_local", action_id="rotate-image-browser")
            >>> ticket = await flora.projects.actions.run(node.node_id, project_id="prj_local")
            >>> (await flora.wait_for_run(ticket)).is_completed
            True
        """
        return await mutate(
            self._client,
            "projects.actions.run",
            models.RunTicket,
            {"project_id": project_id, "node_id": node_id},
            idempotency_key=idempotency_key,
            tracker=self._tracker,
            subject=f"node:{node_id}",
        )
