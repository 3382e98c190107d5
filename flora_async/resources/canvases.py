"""`flora.projects.canvas` and `flora.workspaces.projects.canvas`: canvases as diagrams, and canvases in full."""

from collections.abc import Mapping, Sequence
from typing import Any

from flora_async import models
from flora_async._checks import free_form, identifier, items, non_blank, optional
from flora_async._http.client import Client
from flora_async._http.urls import check_https
from flora_async.resources._operations import Operations, all_to_json, fetch, mutate, to_json


class ProjectCanvas(Operations):
    """The canvas as a Mermaid flowchart."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def retrieve(self, project_id: str) -> "models.Canvas":
        """Read a canvas as a diagram (FLORA's `GET /projects/{project_id}/canvas`).

        Args:
            project_id: The project (`prj_…`).

        Returns:
            The canvas.

        Raises:
            NotFoundError: There is no such project for this key.
            FloraError: Any other error of the request, after all retries.
            ValueError: The id is blank.

        Example:
            >>> (await flora.projects.canvas.retrieve("prj_local")).summary.edge_count
            0
        """
        return await fetch(self._client, "projects.canvas.retrieve", models.Canvas, {"project_id": project_id})

    async def update(
        self,
        project_id: str,
        *,
        diagram: str,
        node_params: "Mapping[str, models.NodeParameters | Mapping[str, Any]] | None" = None,
        idempotency_key: str | None = None,
    ) -> "models.CanvasUpdate":
        r"""Add what a diagram shows to a canvas (FLORA's `PATCH /projects/{project_id}/canvas`).

        It never changes or removes anything. FLORA does not document a key here, so an attempt in doubt is not
        repeated.

        Args:
            project_id: The project (`prj_…`).
            diagram: A Mermaid flowchart. An edge may name a node that is there; a node with a label is a new one.
            node_params: What to set on new nodes, by their ids in the diagram: `NodeParameters`, or mappings with
                FLORA's names.
            idempotency_key: Your own key for this one call; None = a new one.

        Returns:
            What was created.

        Raises:
            SubmissionUnknownError: It may have been done, but no answer says so.
            FloraError: FLORA refused, or was never reached; nothing was done.
            ValueError: An argument is blank; nothing was sent.
            TypeError: An argument has the wrong type; nothing was sent.

        Example:
            >>> from flora_async.models import NodeParameters
            >>> done = await flora.projects.canvas.update(
            ...     "prj_local",
            ...     diagram='graph LR\n  a["(Text)"]\n  b["(Image)"]\n  a --> b',
            ...     node_params={"a": NodeParameters(prompt="a red bicycle")},
            ... )
            >>> done.created_node_count, done.created_edge_count
            (2, 1)
        """
        nodes = optional(free_form, "node_params", node_params)
        body = {
            "diagram": non_blank("diagram", diagram),
            "node_params": nodes and {node: _parameters(node, given) for node, given in nodes.items()},
        }
        return await mutate(
            self._client,
            "projects.canvas.update",
            models.CanvasUpdate,
            {"project_id": project_id},
            body=body,
            idempotency_key=idempotency_key,
        )


class WorkspaceCanvas(Operations):
    """Canvases in full: every node, edge and setting."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def apply_changeset(  # noqa: PLR0913 - FLORA's own fields
        self,
        project_id: str,
        *,
        workspace_id: str,
        add: "Sequence[models.NodeAddition | Mapping[str, Any]]" = (),
        update: "Sequence[models.NodeChange | Mapping[str, Any]]" = (),
        connect: "Sequence[models.GraphEdge | Mapping[str, Any]]" = (),
        disconnect: "Sequence[models.GraphEdge | Mapping[str, Any]]" = (),
        remove: Sequence[str] = (),
        idempotency_key: str | None = None,
    ) -> "models.AppliedChangeset":
        """Edit a canvas: either all of the changes are made, or none.

        It is FLORA's `POST /workspaces/{workspace_id}/projects/{project_id}/canvas/changeset`. The changes are made in
        the order of the arguments. Each is a model, or a mapping with FLORA's names. Removal cannot
        be undone; it includes the edges of a node, and the contents of a group.

        Args:
            project_id: The project (`prj_…`).
            workspace_id: The workspace it is in (`ws_…`).
            add: Nodes to create.
            update: Nodes to change, each named once.
            connect: Edges to create, between ids or the `ref` of nodes that are created here.
            disconnect: Edges to remove; without a slot, all edges between the two nodes.
            remove: The ids of nodes to delete.
            idempotency_key: Your own key for this one call; None = a new one.

        Returns:
            What was done, and the ids of the new nodes.

        Raises:
            SubmissionUnknownError: It may have been done, but no answer says so.
            BadRequestError: A change is not possible; `fields` says which, and nothing was done.
            FloraError: FLORA refused otherwise, or was never reached; nothing was done.
            ValueError: There is nothing to change, or an argument is invalid; nothing was sent.
            TypeError: An argument has the wrong type; nothing was sent.

        Example:
            >>> from flora_async.models import GraphEdge, NodeAddition
            >>> done = await flora.workspaces.projects.canvas.apply_changeset(
            ...     "prj_local",
            ...     workspace_id="ws_local",
            ...     add=[
            ...         NodeAddition(ref="idea", type="text", prompt="a red bicycle"),
            ...         NodeAddition(ref="photo", type="image"),
            ...     ],
            ...     connect=[GraphEdge("idea", "photo")],
            ... )
            >>> done.applied.added, done.applied.connected, sorted(done.created)
            (2, 1, ['idea', 'photo'])
        """
        body = {
            "add": all_to_json("add", add, models.NodeAddition),
            "update": all_to_json("update", update, models.NodeChange),
            "connect": all_to_json("connect", connect, models.GraphEdge),
            "disconnect": all_to_json("disconnect", disconnect, models.GraphEdge),
            "remove": [{"id": identifier("remove", node_id)} for node_id in items("remove", remove)],
        }
        if not any(body.values()):
            raise ValueError("A changeset needs at least one of add, update, connect, disconnect and remove")
        for addition in body["add"]:
            optional(check_https, "content_url", addition.get("content_url"))
        return await mutate(
            self._client,
            "workspaces.projects.canvas.apply_changeset",
            models.AppliedChangeset,
            {"workspace_id": workspace_id, "project_id": project_id},
            body={name: changes for name, changes in body.items() if changes},
            idempotency_key=idempotency_key,
        )

    async def retrieve_definition(self, project_id: str, *, workspace_id: str) -> "models.DefinedCanvas":
        """Read everything needed to rebuild a canvas.

        It is FLORA's `GET /workspaces/{workspace_id}/projects/{project_id}/canvas/definition`.

        Args:
            project_id: The project (`prj_…`).
            workspace_id: The workspace it is in (`ws_…`).

        Returns:
            The canvas with its definition, which `replace_definition` takes.

        Raises:
            NotFoundError: There is no such project for this key.
            FloraError: Any other error of the request, after all retries.
            ValueError: An id is blank.

        Example:
            >>> canvas = await flora.workspaces.projects.canvas.retrieve_definition(
            ...     "prj_local", workspace_id="ws_local"
            ... )
            >>> canvas.definition.nodes
            ()
        """
        return await fetch(
            self._client,
            "workspaces.projects.canvas.retrieve_definition",
            models.DefinedCanvas,
            {"workspace_id": workspace_id, "project_id": project_id},
        )

    async def replace_definition(
        self,
        project_id: str,
        *,
        workspace_id: str,
        definition: "models.CanvasDefinition | Mapping[str, Any]",
        idempotency_key: str | None = None,
    ) -> "models.DefinedCanvas":
        """Replace everything on a canvas by a definition, all at once or not at all.

        It is FLORA's `PUT /workspaces/{workspace_id}/projects/{project_id}/canvas/definition`.

        Args:
            project_id: The project (`prj_…`).
            workspace_id: The workspace it is in (`ws_…`).
            definition: The whole new canvas. FLORA places nodes that have no position.
            idempotency_key: Your own key for this one call; None = a new one.

        Returns:
            The canvas as it is now.

        Raises:
            SubmissionUnknownError: It may have been done, but no answer says so.
            BadRequestError: The definition is not valid; nothing was done.
            FloraError: FLORA refused otherwise, or was never reached; nothing was done.
            ValueError: An id is blank; nothing was sent.
            TypeError: An argument has the wrong type; nothing was sent.

        Example:
            >>> from flora_async.models import CanvasDefinition, DefinitionNode
            >>> note = DefinitionNode(id="note", type="textBlock", data={"text": "a red bicycle"})
            >>> canvas = await flora.workspaces.projects.canvas.replace_definition(
            ...     "prj_local", workspace_id="ws_local", definition=CanvasDefinition(nodes=(note,))
            ... )
            >>> canvas.summary.node_count
            1
        """
        body = {"definition": to_json("definition", definition, models.CanvasDefinition)}
        return await mutate(
            self._client,
            "workspaces.projects.canvas.replace_definition",
            models.DefinedCanvas,
            {"workspace_id": workspace_id, "project_id": project_id},
            body=body,
            idempotency_key=idempotency_key,
        )


def _parameters(node: str, given: object) -> dict[str, Any]:
    parameters = to_json(f"node_params[{node!r}]", given, models.NodeParameters)
    optional(check_https, f"node_params[{node!r}]: content_url", parameters.get("content_url"))
    return parameters
