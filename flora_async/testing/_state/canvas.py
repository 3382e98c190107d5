"""The canvas of a project: nodes, the edges between them, and the three ways in which FLORA shows them."""

import copy
import hashlib
import json
import uuid
from collections.abc import Iterator
from typing import Any, Final

import attrs

from flora_async.testing._state.models import OUTPUT_TYPES
from flora_async.testing._state.runs import FakeRun

# FLORA has two vocabularies: its agent's for graphs and changesets, its editor's for definitions.
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
_WORDS: Final = {block: word for word, block in BLOCKS.items()}
_STATUSES: Final = {"pending": "generating", "running": "generating", "completed": "done", "failed": "error"}
_ROW_HEIGHT = 400


@attrs.define(eq=False, kw_only=True)
class Node:
    """A node. What the editor knows of it beyond the fields here is in `rest`, as it came."""

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
        """The type in the agent's words."""
        return _WORDS.get(self.block, self.block)

    @property
    def kind(self) -> str | None:
        """The medium it shows; `None` for what shows none."""
        word = self.type.removeprefix("static_")
        return word if word in OUTPUT_TYPES else None

    @property
    def generates(self) -> bool:
        """Whether it can be run as a generation."""
        return self.type in OUTPUT_TYPES

    @property
    def label(self) -> str:
        """What people call it."""
        return str(self.data.get("label", ""))

    def shows(self, media: str) -> dict[str, Any]:
        """Its output: `url` or `text`, or neither; `media` is the origin of the files."""
        if self.run is None or self.run.status != "completed":
            return self.output
        made = self.run.outputs(media)[0]
        return {"text" if made["type"] == "text" else "url": made["url"]}

    def in_graph(self, media: str) -> dict[str, Any]:
        """What the graph says about it."""
        shown = self.shows(media)
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
            "output_url": shown.get("url"),
            "output_text": shown.get("text"),
        }
        if self.run is not None and entry["status"] == "error":
            entry |= {"error_code": self.run.error_code, "error_message": self.run.error_message}
        return entry

    def in_list(self, media: str) -> dict[str, Any]:
        """What the list of nodes says about it."""
        shown = self.shows(media)
        entry = {"node_id": self.node_id, "type": self.kind, "label": self.label}
        return entry | {"url": shown.get("url", shown.get("text")), "asset_id": self.output.get("asset_id")}

    def _status(self) -> str | None:
        if self.run is not None:
            return _STATUSES[self.run.status]
        if self.type in {"group", "layer_editor"}:
            return None
        return "done" if self.output else "idle"


@attrs.define(eq=False, kw_only=True)
class Edge:
    """An edge from one node to another, by their ids in the editor."""

    id: str
    source: str
    target: str
    source_handle: str | None = None
    target_handle: str | None = None
    rest: dict[str, Any] = attrs.field(factory=dict)


@attrs.define(eq=False)
class Canvas:
    """What is on a canvas; `modified` is when it last changed, Unix seconds."""

    nodes: dict[str, Node] = attrs.field(factory=dict)
    edges: list[Edge] = attrs.field(factory=list)
    documents: dict[str, Any] | None = None
    modified: float | None = None
    _named: int = attrs.field(default=0, alias="named")

    def draft(self) -> "Canvas":
        """A copy to change, to be kept or thrown away as a whole."""
        nodes = {
            id_: attrs.evolve(
                node, data=copy.deepcopy(node.data), rest=copy.deepcopy(node.rest), inputs=copy.deepcopy(node.inputs)
            )
            for id_, node in self.nodes.items()
        }
        return attrs.evolve(self, nodes=nodes, edges=list(self.edges))

    def find(self, reference: object) -> Node | None:
        """The node with this short id or id in the editor."""
        if isinstance(reference, str) and reference in self.nodes:
            return self.nodes[reference]
        return next((node for node in self.nodes.values() if node.id == reference), None)

    def cleared(self) -> "Canvas":
        """A canvas without anything on it, on which no new node is called like one that was here."""
        return Canvas(named=self._named)

    def add(self, block: str, *, node_id: str | None = None, **details: Any) -> Node:  # noqa: ANN401 - fields of a node
        """Put a node on the canvas, below the others unless it has a position."""
        if "id" not in details:
            self._named += 1
            details["id"] = f"n{self._named}"
        details.setdefault("position", {"x": 0, "y": _ROW_HEIGHT * len(self.nodes)})
        details.setdefault("data", {})
        node = Node(node_id=node_id or str(uuid.uuid4()), block=block, **details)
        self.nodes[node.node_id] = node
        return node

    def connect(self, source: Node, target: Node, slot: str | None = None) -> bool:
        """Draw an edge; a second one between two nodes is none."""
        if any((edge.source, edge.target) == (source.node_id, target.node_id) for edge in self.edges):
            return False
        edge_id = f"edge_{uuid.uuid4().hex}"
        self.edges.append(Edge(id=edge_id, source=source.node_id, target=target.node_id, target_handle=slot))
        return True

    def remove(self, node: Node) -> int:
        """Take a node, its edges and what is grouped in it away; how many nodes those are."""
        if self.nodes.pop(node.node_id, None) is None:
            return 0
        self.edges = [edge for edge in self.edges if node.node_id not in {edge.source, edge.target}]
        members = [member for member in self.nodes.values() if member.rest.get("parent_id") == node.node_id]
        return 1 + sum(self.remove(member) for member in members)

    def graph(self, media: str) -> dict[str, Any]:
        """Nodes, edges and a revision, in the agent's words."""
        edges = [
            {"from": self.nodes[edge.source].id, "to": self.nodes[edge.target].id, "in": edge.target_handle}
            for edge in self.edges
        ]
        graph: dict[str, Any] = {"nodes": [node.in_graph(media) for node in self.nodes.values()], "edges": edges}
        return graph | {"revision": hashlib.sha256(json.dumps(graph).encode()).hexdigest()[:32]}

    def definition(self, media: str) -> dict[str, Any]:
        """All that is needed to build the canvas again, in the editor's words."""
        nodes = self.nodes.values()
        definition: dict[str, Any] = {
            "nodes": [
                {"id": n.node_id, "type": n.block, "data": n.data, "position": n.position, **n.rest} for n in nodes
            ],
            "edges": [{**attrs.asdict(edge, filter=attrs.filters.exclude("rest")), **edge.rest} for edge in self.edges],
            "node_inputs": {node.node_id: node.inputs for node in nodes if node.inputs},
            "node_outputs": {node.node_id: shown for node in nodes if (shown := node.shows(media))},
        }
        return definition if self.documents is None else definition | {"layer_editor_documents": self.documents}

    def summary(self) -> dict[str, int]:
        """What FLORA counts on it; a workflow is what edges hold together."""
        sets = list(self._connected())
        return {
            "node_count": len(self.nodes),
            "edge_count": len(self.edges),
            "group_count": sum(node.type == "group" for node in self.nodes.values()),
            "isolated_node_count": sum(len(one) == 1 for one in sets),
            "workflow_count": sum(len(one) > 1 for one in sets),
        }

    def _connected(self) -> Iterator[set[str]]:
        left = set(self.nodes)
        while left:
            found, ahead = set[str](), {left.pop()}
            while ahead:
                found |= ahead
                touching = [{edge.source, edge.target} for edge in self.edges if {edge.source, edge.target} & ahead]
                ahead = set[str]().union(*touching) - found
            left -= found
            yield found
