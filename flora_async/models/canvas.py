"""Canvases: as a diagram, and as the definition from which they can be built again."""

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from flora_async.models.graph import Position


@frozen(kw_only=True)
class CanvasSummary:
    """A canvas in numbers.

    Attributes:
        node_count: Nodes.
        edge_count: Edges.
        group_count: Groups.
        workflow_count: Parts that are connected in themselves.
        isolated_node_count: Nodes without any edge.
        extra: Fields that this version does not know, under FLORA's names.

    Example:
        >>> CanvasSummary(node_count=2, edge_count=1).group_count
        0
    """

    node_count: int = 0
    edge_count: int = 0
    group_count: int = 0
    workflow_count: int = 0
    isolated_node_count: int = 0
    extra: Mapping[str, Any] = field(factory=dict, hash=False)


@frozen(kw_only=True)
class Canvas:
    """A canvas as a diagram (FLORA's `GET /projects/{project_id}/canvas`).

    Attributes:
        project_id: The project (`prj_…`).
        diagram: A Mermaid flowchart; it names node types roughly and cuts long labels.
        summary: The canvas in numbers.
        canvas_url: Where people see the canvas.
        extra: Fields that this version does not know, under FLORA's names.

    Example:
        >>> Canvas(project_id="prj_1", diagram="graph LR").summary.node_count
        0
    """

    project_id: str
    diagram: str = ""
    summary: CanvasSummary = CanvasSummary()
    canvas_url: str | None = None
    extra: Mapping[str, Any] = field(factory=dict, hash=False)


@frozen(kw_only=True)
class NodeParameters:
    """What to set on a node that a diagram adds (FLORA's `PATCH /projects/{project_id}/canvas`).

    Attributes:
        prompt: What to generate from; None = what the diagram writes on the node. Not together with `content_url`.
        content_url: The https URL of an image, video or audio to show instead of generating one.
        model: The model's endpoint id.
        model_parameters: The parameters of the model, by the model's own keys.
        aspect_ratio: Such as `16:9`.
        resolution: Such as `1080p`.

    Example:
        >>> NodeParameters(content_url="https://example.com/photo.png").prompt is None
        True
    """

    prompt: str | None = None
    content_url: str | None = None
    model: str | None = None
    model_parameters: Mapping[str, Any] | None = field(default=None, hash=False)
    aspect_ratio: str | None = None
    resolution: str | None = None


@frozen(kw_only=True)
class CanvasUpdate:
    """What came of a diagram that was added to a canvas (FLORA's `PATCH /projects/{project_id}/canvas`).

    Attributes:
        project_id: The project (`prj_…`).
        diagram: The Mermaid flowchart that was applied.
        created_node_count: How many nodes are new.
        created_edge_count: How many edges are new.
        warnings: What was accepted and did not do what one might expect.
        canvas_url: Where people see the canvas.
        extra: Fields that this version does not know, under FLORA's names.

    Example:
        >>> CanvasUpdate(project_id="prj_1", created_node_count=2).warnings
        ()
    """

    project_id: str
    diagram: str = ""
    created_node_count: int = 0
    created_edge_count: int = 0
    warnings: tuple[str, ...] = ()
    canvas_url: str | None = None
    extra: Mapping[str, Any] = field(factory=dict, hash=False)


@frozen(kw_only=True)
class DefinitionNode:
    """A node of a canvas definition, as FLORA's editor keeps it.

    Attributes:
        id: The node's id.
        type: Its kind in FLORA's editor, such as `textBlock` or `group`; an unknown kind stays as it is.
        data: What is set on it, under FLORA's own keys.
        position: Where it is; None = FLORA finds a place.
        parent_id: The group it is in.
        width: How wide it is.
        height: How high it is.
        z_index: What is above and what below.
        hidden: Whether it is not shown.
        origin: The point of the node that `position` means.
        extent: How far it can be moved: `parent` or a list of bounds.
        expand_parent: Whether moving it makes its group larger.
        style: How it looks, under FLORA's own keys.
        extra: Fields that this version does not know, under FLORA's names.

    Example:
        >>> DefinitionNode(id="node_1", type="textBlock", data={"text": "a red bicycle"}).data["text"]
        'a red bicycle'
    """

    id: str
    type: str = ""
    data: Mapping[str, Any] = field(factory=dict, hash=False)
    position: Position | None = None
    parent_id: str | None = None
    width: float | None = None
    height: float | None = None
    z_index: float | None = None
    hidden: bool | None = None
    origin: tuple[float, ...] | None = None
    extent: Any = field(default=None, hash=False)
    expand_parent: bool | None = None
    style: Mapping[str, Any] | None = field(default=None, hash=False)
    extra: Mapping[str, Any] = field(factory=dict, hash=False)


@frozen(kw_only=True)
class CanvasEdge:
    """An edge of a canvas definition, as FLORA's editor keeps it.

    Attributes:
        id: The edge's id.
        source: The id of the node it comes from.
        target: The id of the node it goes to.
        source_handle: Where it leaves the source; None = nowhere in particular.
        target_handle: Where it enters the target; None = nowhere in particular.
        type: How it is drawn.
        data: What is set on it, under FLORA's own keys.
        extra: Fields that this version does not know, under FLORA's names.

    Example:
        >>> CanvasEdge(id="edge_1", source="node_1", target="node_2").type is None
        True
    """

    id: str
    source: str
    target: str
    # FLORA asks for these two in a request, if only as null.
    source_handle: str | None = field(default=None, metadata={"null": True})
    target_handle: str | None = field(default=None, metadata={"null": True})
    type: str | None = None
    data: Mapping[str, Any] | None = field(default=None, hash=False)
    extra: Mapping[str, Any] = field(factory=dict, hash=False)


@frozen(kw_only=True)
class CanvasDefinition:
    """All that is needed to build a canvas again (FLORA's `GET /workspaces/…/projects/{project_id}/canvas/definition`).

    The maps hold FLORA's own data by node id; their keys stay as they are.

    Attributes:
        nodes: Every node, in order.
        edges: Every edge.
        node_inputs: What each node takes.
        node_outputs: What each node gave last.
        layer_editor_documents: The document of each layer editor; None when there are no such nodes.
        extra: Fields that this version does not know, under FLORA's names.

    Example:
        >>> from flora_async.models import CanvasEdge, DefinitionNode
        >>> nodes = (DefinitionNode(id="a", type="textBlock"), DefinitionNode(id="b", type="emptyImageBlock"))
        >>> len(CanvasDefinition(nodes=nodes, edges=(CanvasEdge(id="e", source="a", target="b"),)).nodes)
        2
    """

    nodes: tuple[DefinitionNode, ...] = ()
    edges: tuple[CanvasEdge, ...] = ()
    node_inputs: Mapping[str, Mapping[str, Any]] = field(factory=dict, hash=False)
    node_outputs: Mapping[str, Mapping[str, Any]] = field(factory=dict, hash=False)
    layer_editor_documents: Mapping[str, Mapping[str, Any]] | None = field(default=None, hash=False)
    extra: Mapping[str, Any] = field(factory=dict, hash=False)


@frozen(kw_only=True)
class DefinedCanvas:
    """A canvas with its definition (FLORA's `GET /workspaces/…/projects/{project_id}/canvas/definition`).

    Attributes:
        project_id: The project (`prj_…`).
        definition: All that is needed to build it again.
        summary: The canvas in numbers.
        canvas_url: Where people see the canvas.
        extra: Fields that this version does not know, under FLORA's names.

    Example:
        >>> from flora_async.models import CanvasDefinition
        >>> DefinedCanvas(project_id="prj_1", definition=CanvasDefinition()).definition.nodes
        ()
    """

    project_id: str
    definition: CanvasDefinition
    summary: CanvasSummary = CanvasSummary()
    canvas_url: str | None = None
    extra: Mapping[str, Any] = field(factory=dict, hash=False)
