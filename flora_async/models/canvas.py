"""Canvases: as diagrams, and as definitions from which they can be rebuilt."""

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from flora_async.models._model import Model
from flora_async.models.graph import Position


@frozen(kw_only=True)
class CanvasSummary(Model):
    """The size of a canvas.

    Attributes:
        node_count: The number of nodes.
        edge_count: The number of edges.
        group_count: The number of groups.
        workflow_count: The number of connected parts.
        isolated_node_count: The number of nodes without edges.
        extra: Unknown fields and unreadable values, under FLORA's names.

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
class Canvas(Model):
    """A canvas as a diagram (FLORA's `GET /projects/{project_id}/canvas`).

    Attributes:
        project_id: The project (`prj_…`).
        diagram: A Mermaid flowchart, with approximate node types and shortened labels.
        summary: The size of the canvas.
        canvas_url: The URL of the canvas in FLORA's editor.
        extra: Unknown fields and unreadable values, under FLORA's names.

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
class NodeParameters(Model):
    """The settings of a node that a diagram adds (FLORA's `PATCH /projects/{project_id}/canvas`).

    Attributes:
        prompt: The prompt; None = the label in the diagram. Not together with `content_url`.
        content_url: The HTTPS URL of an image, video or audio file to show instead of generating one.
        model: The model's endpoint id.
        model_parameters: The parameters of the model, under the model's own names.
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
class CanvasUpdate(Model):
    """The result of adding a diagram to a canvas (FLORA's `PATCH /projects/{project_id}/canvas`).

    Attributes:
        project_id: The project (`prj_…`).
        diagram: The Mermaid flowchart that was applied.
        created_node_count: The number of new nodes.
        created_edge_count: The number of new edges.
        warnings: What was accepted but may not have the expected effect.
        canvas_url: The URL of the canvas in FLORA's editor.
        extra: Unknown fields and unreadable values, under FLORA's names.

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
class DefinitionNode(Model):
    """A node of a canvas definition, in the form of FLORA's editor.

    Attributes:
        id: The node's id.
        type: Its kind in FLORA's editor, such as `textBlock` or `group`; other values are possible.
        data: Its settings, under FLORA's own keys.
        position: Its position; None = FLORA chooses one.
        parent_id: The group that it belongs to.
        width: Its width.
        height: Its height.
        z_index: Its position in the stacking order.
        hidden: Whether it is hidden.
        origin: The point of the node that `position` refers to.
        extent: The limits for moving it: `parent` or a list of bounds.
        expand_parent: Whether moving it can enlarge its group.
        style: Its appearance, under FLORA's own keys.
        extra: Unknown fields and unreadable values, under FLORA's names.

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
class CanvasEdge(Model):
    """An edge of a canvas definition, in the form of FLORA's editor.

    Attributes:
        id: The edge's id.
        source: The id of the source node.
        target: The id of the target node.
        source_handle: The handle at the source; None = the default.
        target_handle: The handle at the target; None = the default.
        type: The kind of line.
        data: Its settings, under FLORA's own keys.
        extra: Unknown fields and unreadable values, under FLORA's names.

    Example:
        >>> CanvasEdge(id="edge_1", source="node_1", target="node_2").type is None
        True
    """

    id: str
    source: str
    target: str
    # FLORA requires these two in a request, even if they are null.
    source_handle: str | None = field(default=None, metadata={"null": True})
    target_handle: str | None = field(default=None, metadata={"null": True})
    type: str | None = None
    data: Mapping[str, Any] | None = field(default=None, hash=False)
    extra: Mapping[str, Any] = field(factory=dict, hash=False)


@frozen(kw_only=True)
class CanvasDefinition(Model):
    """Everything needed to rebuild a canvas (FLORA's `GET /workspaces/…/projects/{project_id}/canvas/definition`).

    The maps hold FLORA's own data by node id; their keys are never renamed.

    Attributes:
        nodes: The nodes, in order.
        edges: The edges.
        node_inputs: The inputs of each node.
        node_outputs: The latest outputs of each node.
        layer_editor_documents: The document of each layer editor; None when there are no such nodes.
        extra: Unknown fields and unreadable values, under FLORA's names.

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
class DefinedCanvas(Model):
    """A canvas with its definition (FLORA's `GET /workspaces/…/projects/{project_id}/canvas/definition`).

    Attributes:
        project_id: The project (`prj_…`).
        definition: Everything needed to rebuild it.
        summary: The size of the canvas.
        canvas_url: The URL of the canvas in FLORA's editor.
        extra: Unknown fields and unreadable values, under FLORA's names.

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
