"""The canvas of a project: its nodes and edges, and FLORA's three representations of them."""

import copy
import hashlib
import json
import uuid
from collections.abc import Iterator
from typing import Any, Final

import attrs

from flora_async.testing._state.models import OUTPUT_TYPES
from flora_async.testing._state.runs import FakeRun

# FLORA has two vocabularies: graphs and changesets use node types, definitions use the editor's blocks.
BLOCKS: Final = {
    "image": "emptyImageBlock",
    "video": "videoBlock",
    "text": "textBlock",
    "audio": "audioBlock",
    "group": "group",
    "static_image": "staticImageBlock",
    "static_video": "staticVideoBlock",
    "static_audio": "staticAudioBlock",
    "layer_editor": "layerEditorNode",
    "action": "codeBlock",
}
_TYPES: Final = {block: type_ for type_, block in BLOCKS.items()}
_STATUSES: Final = {"pending": "generating", "running": "generating", "completed": "done", "failed": "error"}
_ROW_HEIGHT = 400


@attrs.define(eq=False, kw_only=True)
class Node:
    """A node; `rest` has the fields of its definition that have no attribute here."""

    id: str
    node_id: str
    block: str
    data: dict[str, Any]
    position: dict[str, float]
    rest: dict[str, Any] = attrs.field(factory=dict)
    inputs: dict[str, Any] = attrs.field(factory=dict)
    output: dict[str, Any] = attrs.field(factory=dict)
    run: FakeRun | None = None

    @property
    def type(self) -> str:
        """Its type in graphs and changesets."""
        return _TYPES.get(self.block, self.block)

    @property
    def kind(self) -> str | None:
        """The medium of its output, `None` if it has no output."""
        kind = self.type.removeprefix("static_")
        return kind if kind in OUTPUT_TYPES else None

    @property
    def generates(self) -> bool:
        """Whether it can be run as a generation."""
        return self.type in OUTPUT_TYPES

    @property
    def label(self) -> str:
        """The label that people see."""
        return str(self.data.get("label", ""))

    def current_output(self, storage_origin: str) -> dict[str, Any]:
        """Return its output: `url`, `text` or nothing."""
        if self.run is None or self.run.status != "completed":
            return self.output
        output = self.run.outputs(storage_origin)[0]
        return {"text" if output["type"] == "text" else "url": output["url"]}

    def graph_entry(self, storage_origin: str) -> dict[str, Any]:
        """Return its entry in the graph."""
        output = self.current_output(storage_origin)
        is_action = self.type == "action"
        params = self.inputs.get("params")
        entry = {
            "id": self.id,
            "node_id": self.node_id,
            "type": self.type,
            "label": self.label,
            "prompt": self.inputs.get("prompt"),
            "model": self.inputs.get("model_id"),
            "model_id": self.inputs.get("model_id"),
            "params": None if is_action else params,
            "action": {"action_id": self.inputs.get("action_id"), "params": params} if is_action else None,
            "position": self.position,
            "status": self._status(),
            "output_url": output.get("url"),
            "output_text": output.get("text"),
        }
        if self.run is not None and entry["status"] == "error":
            entry |= {"error_code": self.run.error_code, "error_message": self.run.error_message}
        return entry

    def list_entry(self, storage_origin: str) -> dict[str, Any]:
        """Return its entry in the list of nodes."""
        output = self.current_output(storage_origin)
        entry = {"node_id": self.node_id, "type": self.kind, "label": self.label}
        return entry | {"url": output.get("url", output.get("text")), "asset_id": self.output.get("asset_id")}

    def _status(self) -> str | None:
        if self.run is not None:
            return _STATUSES[self.run.status]
        if self.type in {"group", "layer_editor"}:
            return None
        return "done" if self.output else "idle"


@attrs.define(eq=False, kw_only=True)
class Edge:
    """An edge between two nodes, which are given by their `node_id`."""

    id: str
    source: str
    target: str
    source_handle: str | None = None
    target_handle: str | None = None
    rest: dict[str, Any] = attrs.field(factory=dict)


@attrs.define(eq=False)
class Canvas:
    """A canvas; `modified` is the time of its last change in Unix seconds."""

    nodes: dict[str, Node] = attrs.field(factory=dict)
    edges: list[Edge] = attrs.field(factory=list)
    documents: dict[str, Any] | None = None
    modified: float | None = None
    _last_id: int = attrs.field(default=0, alias="last_id")

    def draft(self) -> "Canvas":
        """Return a copy that can be changed without changing this canvas."""
        nodes = {
            id_: attrs.evolve(
                node, data=copy.deepcopy(node.data), rest=copy.deepcopy(node.rest), inputs=copy.deepcopy(node.inputs)
            )
            for id_, node in self.nodes.items()
        }
        return attrs.evolve(self, nodes=nodes, edges=list(self.edges))

    def find(self, reference: object) -> Node | None:
        """Return the node with this `id` or `node_id`."""
        if isinstance(reference, str) and reference in self.nodes:
            return self.nodes[reference]
        return next((node for node in self.nodes.values() if node.id == reference), None)

    def cleared(self) -> "Canvas":
        """Return an empty canvas that does not reuse the short ids of this one."""
        return Canvas(last_id=self._last_id)

    def add(self, block: str, *, node_id: str | None = None, **details: Any) -> Node:  # noqa: ANN401 - fields of Node
        """Add a node, below the others unless `details` has a position."""
        if "id" not in details:
            self._last_id += 1
            details["id"] = f"n{self._last_id}"
        details.setdefault("position", {"x": 0, "y": _ROW_HEIGHT * len(self.nodes)})
        details.setdefault("data", {})
        node = Node(node_id=node_id or str(uuid.uuid4()), block=block, **details)
        self.nodes[node.node_id] = node
        return node

    def connect(self, source: Node, target: Node, slot: str | None = None) -> bool:
        """Add an edge; return False if the two nodes are already connected."""
        if any((edge.source, edge.target) == (source.node_id, target.node_id) for edge in self.edges):
            return False
        edge_id = f"edge_{uuid.uuid4().hex}"
        self.edges.append(Edge(id=edge_id, source=source.node_id, target=target.node_id, target_handle=slot))
        return True

    def remove(self, node: Node) -> int:
        """Remove a node, its edges and the members of its group; return the number of removed nodes."""
        if self.nodes.pop(node.node_id, None) is None:
            return 0
        self.edges = [edge for edge in self.edges if node.node_id not in {edge.source, edge.target}]
        members = [member for member in self.nodes.values() if member.rest.get("parent_id") == node.node_id]
        return 1 + sum(self.remove(member) for member in members)

    def graph(self, storage_origin: str) -> dict[str, Any]:
        """Return the nodes, the edges and a revision."""
        edges = [
            {"from": self.nodes[edge.source].id, "to": self.nodes[edge.target].id, "in": edge.target_handle}
            for edge in self.edges
        ]
        graph: dict[str, Any] = {
            "nodes": [node.graph_entry(storage_origin) for node in self.nodes.values()],
            "edges": edges,
        }
        return graph | {"revision": hashlib.sha256(json.dumps(graph).encode()).hexdigest()[:32]}

    def definition(self, storage_origin: str) -> dict[str, Any]:
        """Return the definition from which the canvas can be restored."""
        nodes = self.nodes.values()
        definition: dict[str, Any] = {
            "nodes": [
                {"id": n.node_id, "type": n.block, "data": n.data, "position": n.position, **n.rest} for n in nodes
            ],
            "edges": [{**attrs.asdict(edge, filter=attrs.filters.exclude("rest")), **edge.rest} for edge in self.edges],
            "node_inputs": {node.node_id: node.inputs for node in nodes if node.inputs},
            "node_outputs": {n.node_id: output for n in nodes if (output := n.current_output(storage_origin))},
        }
        return definition if self.documents is None else definition | {"layer_editor_documents": self.documents}

    def summary(self) -> dict[str, int]:
        """Return FLORA's counts; a workflow is a set of connected nodes."""
        components = list(self._connected_components())
        return {
            "node_count": len(self.nodes),
            "edge_count": len(self.edges),
            "group_count": sum(node.type == "group" for node in self.nodes.values()),
            "isolated_node_count": sum(len(nodes) == 1 for nodes in components),
            "workflow_count": sum(len(nodes) > 1 for nodes in components),
        }

    def _connected_components(self) -> Iterator[set[str]]:
        left = set(self.nodes)
        while left:
            found, ahead = set[str](), {left.pop()}
            while ahead:
                found |= ahead
                touching = [{edge.source, edge.target} for edge in self.edges if {edge.source, edge.target} & ahead]
                ahead = set[str]().union(*touching) - found
            left -= found
            yield found
