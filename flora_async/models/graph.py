"""The graph of a project: every node on its canvas, and what flows between them."""

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen


@frozen
class Position:
    """A place on the canvas.

    Attributes:
        x: From left to right.
        y: From top to bottom.

    Example:
        >>> Position(120, 40).x
        120
    """

    x: float = 0.0
    y: float = 0.0


@frozen
class GraphEdge:
    """What flows from one node into another (FLORA's `GET /workspaces/…/projects/{project_id}/graph`).

    Attributes:
        source: The node it comes from; FLORA calls it `from`.
        target: The node it goes to; FLORA calls it `to`.
        slot: The input of the target that it lands in, such as `image` or `enabled`; FLORA calls it `in`. None = the
            one that fits.
        extra: Fields that this version does not know, under FLORA's names.

    Example:
        >>> GraphEdge("n1", "n2").slot is None
        True
    """

    source: str = field(metadata={"name": "from"})
    target: str = field(metadata={"name": "to"})
    slot: str | None = field(default=None, metadata={"name": "in"})
    extra: Mapping[str, Any] = field(factory=dict, hash=False)


@frozen(kw_only=True)
class GraphAction:
    """What an action node is set to.

    Attributes:
        action_id: The action it runs; None when it runs code of its own.
        params: Its settings, by the action's own keys.
        extra: Fields that this version does not know, under FLORA's names.

    Example:
        >>> GraphAction(action_id="rotate-image-browser", params={"angle": 90}).params["angle"]
        90
    """

    action_id: str | None = None
    params: Mapping[str, Any] | None = field(default=None, hash=False)
    extra: Mapping[str, Any] = field(factory=dict, hash=False)


@frozen(kw_only=True)
class GraphNode:
    """A node on a canvas, with all that is set on it and what it gave.

    It is a part of FLORA's `GET /workspaces/…/projects/{project_id}/graph`.

    Attributes:
        id: The short id that edges use, and all operations that name nodes.
        node_id: The node's UUID, which such operations take as well.
        type: What it is, such as `image`, `text`, `action` or `group`; an unknown kind stays as it is.
        label: What people call it.
        prompt: What it generates from.
        model: The name of the model that it is set to.
        model_id: The endpoint id of that model.
        params: The parameters of the model, by the model's own keys.
        action: What it is set to, if it is an action node.
        position: Where it is on the canvas.
        status: `idle`, `generating`, `done` or `error`; None for a node that generates nothing.
        output_text: The text it gave.
        output_url: Where the medium is served that it gave.
        error_code: Why it failed, for programs.
        error_message: Why it failed, for people.
        extra: Fields that this version does not know, under FLORA's names.

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
class ProjectGraph:
    """Everything on a project's canvas (FLORA's `GET /workspaces/…/projects/{project_id}/graph`).

    Attributes:
        project_id: The project (`prj_…`).
        nodes: Every node.
        edges: Every edge.
        revision: A mark that is the same for as long as nothing has changed. It counts nothing: two of them can only
            be equal or not.
        canvas_url: Where people see the canvas.
        extra: Fields that this version does not know, under FLORA's names.

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
