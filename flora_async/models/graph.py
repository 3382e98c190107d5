"""The graph of a project: the nodes on its canvas and their connections."""

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from flora_async.models._model import Model


@frozen
class Position(Model):
    """A position on the canvas.

    Attributes:
        x: The horizontal coordinate, from left to right.
        y: The vertical coordinate, from top to bottom.

    Example:
        >>> Position(120, 40).x
        120
    """

    x: float = 0.0
    y: float = 0.0


@frozen
class GraphEdge(Model):
    """A connection from one node to another (FLORA's `GET /workspaces/…/projects/{project_id}/graph`).

    Attributes:
        source: The id of the source node; FLORA's `from`.
        target: The id of the target node; FLORA's `to`.
        slot: The input of the target, such as `image` or `enabled`; FLORA's `in`. None = the one that fits.
        extra: Unknown fields and unreadable values, under FLORA's names.

    Example:
        >>> GraphEdge("n1", "n2").slot is None
        True
    """

    source: str = field(metadata={"name": "from"})
    target: str = field(metadata={"name": "to"})
    slot: str | None = field(default=None, metadata={"name": "in"})
    extra: Mapping[str, Any] = field(factory=dict, hash=False)


@frozen(kw_only=True)
class GraphAction(Model):
    """The settings of an action node.

    Attributes:
        action_id: The action; None when the node runs custom code.
        params: Its parameters, under the action's own names; None = not set.
        extra: Unknown fields and unreadable values, under FLORA's names.

    Example:
        >>> GraphAction(action_id="rotate-image-browser", params={"angle": 90}).params["angle"]
        90
    """

    action_id: str | None = None
    params: Mapping[str, Any] | None = field(default=None, hash=False)
    extra: Mapping[str, Any] = field(factory=dict, hash=False)


@frozen(kw_only=True)
class GraphNode(Model):
    """A node on a canvas, with its settings and latest result.

    It is a part of FLORA's `GET /workspaces/…/projects/{project_id}/graph`.

    Attributes:
        id: The short id, which edges and operations use.
        node_id: The node's UUID, which operations accept as well.
        type: Its kind, such as `image`, `text`, `action` or `group`; other values are possible.
        label: The display name.
        prompt: Its prompt.
        model: The name of its model.
        model_id: The endpoint id of that model.
        params: The parameters of the model, under the model's own names; None = not set.
        action: Its settings, if it is an action node.
        position: Its position on the canvas.
        status: `idle`, `generating`, `done` or `error`; None for a node that does not generate.
        output_text: The text that it generated.
        output_url: The URL of the file that it generated.
        error_code: FLORA's code for the failure.
        error_message: FLORA's explanation of the failure.
        extra: Unknown fields and unreadable values, under FLORA's names.

    Example:
        >>> GraphNode(id="n1", type="image", prompt="a red bicycle").status is None
        True
    """

    id: str
    node_id: str = ""
    type: str = ""
    label: str = ""
    prompt: str | None = None
    model: str | None = None
    model_id: str | None = None
    params: Mapping[str, Any] | None = field(default=None, hash=False)
    action: GraphAction | None = None
    position: Position | None = None
    status: str | None = None
    output_text: str | None = None
    output_url: str | None = None
    error_code: str | None = None
    error_message: str | None = None
    extra: Mapping[str, Any] = field(factory=dict, hash=False)


@frozen(kw_only=True)
class ProjectGraph(Model):
    """The canvas of a project as a graph (FLORA's `GET /workspaces/…/projects/{project_id}/graph`).

    Attributes:
        project_id: The project (`prj_…`).
        nodes: The nodes.
        edges: The edges.
        revision: A token that changes whenever the canvas does. Revisions can be compared for equality only.
        canvas_url: The URL of the canvas in FLORA's editor.
        extra: Unknown fields and unreadable values, under FLORA's names.

    Example:
        >>> ProjectGraph(project_id="prj_1", revision="r1").nodes
        ()
    """

    project_id: str
    nodes: tuple[GraphNode, ...] = ()
    edges: tuple[GraphEdge, ...] = ()
    revision: str = ""
    canvas_url: str | None = None
    extra: Mapping[str, Any] = field(factory=dict, hash=False)
