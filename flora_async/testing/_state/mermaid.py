"""Canvases as Mermaid flowcharts, which show only part of a canvas and can only add to it."""

import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Any, Final

from flora_async.testing._state.canvas import BLOCKS, Canvas, Node
from flora_async.testing._state.catalog import Catalog
from flora_async.testing._state.models import KINDS
from flora_async.testing._wire.answers import invalid_fields
from flora_async.testing._wire.validation import HTTPS, MAPPING, TEXT, field_problems, nullable

_HEADER: Final = "graph LR"
_NODE: Final = re.compile(r'([A-Za-z_][\w-]*)(?:\["([^"]*)"\])?')
_TYPED: Final = re.compile(r"^(.*?)\s*\((\w+)\)$")
_ARROW: Final = re.compile(r"\s*-->\s*")
_PARAMS: Final = {
    "prompt": nullable(TEXT),
    "content_url": nullable(HTTPS),
    "model": nullable(TEXT),
    "model_parameters": nullable(MAPPING),
    "aspect_ratio": nullable(TEXT),
    "resolution": nullable(TEXT),
}


def render_diagram(canvas: Canvas) -> str:
    """Return the canvas as a flowchart."""
    nodes = canvas.nodes
    lines = [
        f'  {node.id}["{_escape_label(node.label)} ({(node.kind or node.type).capitalize()})"]'
        for node in nodes.values()
    ]
    lines += [f"  {nodes[edge.source].id} --> {nodes[edge.target].id}" for edge in canvas.edges]
    return "\n".join([_HEADER, *lines])


def _escape_label(label: str) -> str:
    """Replace the characters that would end the label."""
    return " ".join(label.replace('"', "'").split())


class DiagramUpdate:
    """Adds a flowchart to a canvas.

    Args:
        canvas: The draft to change, to be discarded if the flowchart is refused.
        catalog: The models.
        params: The parameters of the nodes, by their names in the flowchart.
    """

    def __init__(self, canvas: Canvas, catalog: Catalog, params: Mapping[str, Any]) -> None:
        self._canvas = canvas
        self._catalog = catalog
        self._params = params
        self._created: dict[str, Node] = {}
        self._warnings: list[str] = []
        self._edges = 0

    def apply(self, text: str) -> dict[str, Any]:
        """Add the nodes and edges of the flowchart and return a summary.

        Raises:
            RefusedError: The text is not a flowchart, or `params` are invalid.
        """
        self._check_params()
        header, *lines = [line.strip() for line in text.strip().splitlines()]
        if not re.fullmatch(r"(graph|flowchart) (LR|RL|TB|TD|BT)", header):
            raise invalid_fields({"diagram": f"Expected a flowchart whose first line is, for example, {_HEADER}"})
        for line in filter(None, lines):
            if line.startswith("subgraph") or line == "end":
                self._warnings.append("Subgraphs are ignored: their nodes are not grouped")
            else:
                self._read(line)
        return {
            "created_node_count": len({node.node_id for node in self._created.values()}),
            "created_edge_count": self._edges,
            "diagram": render_diagram(self._canvas),
            "warnings": self._warnings,
        }

    def _read(self, line: str) -> None:
        nodes = []
        for part in _ARROW.split(line):
            match = _NODE.fullmatch(part)
            if match is None:
                raise invalid_fields({"diagram": f"Cannot parse {part}"})
            nodes.append(self._node(match[1], match[2]))
        for source, target in pairwise(nodes):
            self._edges += self._canvas.connect(source, target)

    def _node(self, name: str, label: str | None) -> Node:
        known = self._created.get(name)
        if known is None and (existing := self._canvas.find(name)):
            if label is None:
                return existing
            self._warnings.append(f"{name} already exists: a new node was created")
        return known or self._create(name, name if label is None else label)

    def _create(self, name: str, label: str) -> Node:
        match = _TYPED.match(label)
        typed = match is not None and match[2].lower() in KINDS
        title, kind = (match[1], match[2].lower()) if match is not None and typed else (label, "image")
        params = {key: value for key, value in self._params.get(name, {}).items() if value is not None}
        details: dict[str, Any] = {"data": {"label": title}}
        if url := params.get("content_url"):
            block, details["output"] = BLOCKS.get(f"static_{kind}", BLOCKS["static_image"]), {"url": url}
        else:
            model = self._catalog.model(kind, params.get("model"))
            block = BLOCKS[kind]
            details["inputs"] = {"model_id": model.model_id, "prompt": params.get("prompt", title)}
            chosen = {key: params[key] for key in ("aspect_ratio", "resolution") if key in params}
            if settings := params.get("model_parameters", {}) | chosen:
                details["inputs"]["params"] = settings
        self._created[name] = self._canvas.add(block, **details)
        return self._created[name]

    def _check_params(self) -> None:
        problems = {}
        for name, params in self._params.items():
            path = f"node_params.{name}"
            if not isinstance(params, dict):
                problems[path] = "Expected an object"
                continue
            problems |= field_problems(params, {}, _PARAMS, f"{path}.")
            if params.get("prompt") and params.get("content_url"):
                problems[f"{path}.content_url"] = "Cannot be combined with prompt"
        if problems:
            raise invalid_fields(problems)
