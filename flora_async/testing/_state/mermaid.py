"""Canvases as Mermaid flowcharts, which say less than there is and can only add."""

import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Any, Final

from flora_async.testing._state.canvas import BLOCKS, Canvas, Node
from flora_async.testing._state.catalog import Catalog
from flora_async.testing._state.models import KINDS
from flora_async.testing._wire.answers import wrong_fields
from flora_async.testing._wire.validation import HTTPS, MAPPING, TEXT, field_problems, or_null

_HEADER: Final = "graph LR"
_NODE: Final = re.compile(r'([A-Za-z_][\w-]*)(?:\["([^"]*)"\])?')
_TYPED: Final = re.compile(r"^(.*?)\s*\((\w+)\)$")
_ARROW: Final = re.compile(r"\s*-->\s*")
_PARAMS: Final = {
    "prompt": or_null(TEXT),
    "content_url": or_null(HTTPS),
    "model": or_null(TEXT),
    "model_parameters": or_null(MAPPING),
    "aspect_ratio": or_null(TEXT),
    "resolution": or_null(TEXT),
}


def diagram(canvas: Canvas) -> str:
    """The canvas as a flowchart."""
    nodes = canvas.nodes
    lines = [
        f'  {node.id}["{_plain(node.label)} ({(node.kind or node.type).capitalize()})"]' for node in nodes.values()
    ]
    lines += [f"  {nodes[edge.source].id} --> {nodes[edge.target].id}" for edge in canvas.edges]
    return "\n".join([_HEADER, *lines])


def _plain(label: str) -> str:
    """The label without what would end it."""
    return " ".join(label.replace('"', "'").split())


class Patch:
    """A flowchart on its way onto a canvas.

    Args:
        canvas: A draft, which is of no use when the flowchart is refused.
        catalog: Knows the models.
        params: What the request says about its nodes, by their names in the flowchart.
    """

    def __init__(self, canvas: Canvas, catalog: Catalog, params: Mapping[str, Any]) -> None:
        self._canvas = canvas
        self._catalog = catalog
        self._params = params
        self._made: dict[str, Node] = {}
        self._warnings: list[str] = []
        self._edges = 0

    def apply(self, text: str) -> dict[str, Any]:
        """Add what the flowchart says; what was done.

        Raises:
            RefusedError: It is no flowchart, or `params` says what cannot be.
        """
        self._check_params()
        header, *lines = [line.strip() for line in text.strip().splitlines()]
        if not re.fullmatch(r"(graph|flowchart) (LR|RL|TB|TD|BT)", header):
            raise wrong_fields({"diagram": f"Expected a flowchart that begins with a line such as {_HEADER}"})
        for line in filter(None, lines):
            if line.startswith("subgraph") or line == "end":
                self._warnings.append("Subgraphs are not applied: their nodes are not grouped")
            else:
                self._read(line)
        return {
            "created_node_count": len({node.node_id for node in self._made.values()}),
            "created_edge_count": self._edges,
            "diagram": diagram(self._canvas),
            "warnings": self._warnings,
        }

    def _read(self, line: str) -> None:
        nodes = []
        for part in _ARROW.split(line):
            match = _NODE.fullmatch(part)
            if match is None:
                raise wrong_fields({"diagram": f"Not understood: {part}"})
            nodes.append(self._node(match[1], match[2]))
        for source, target in pairwise(nodes):
            self._edges += self._canvas.connect(source, target)

    def _node(self, name: str, label: str | None) -> Node:
        known = self._made.get(name)
        if known is None and (there := self._canvas.find(name)):
            if label is None:
                return there
            self._warnings.append(f"{name} is there already: a new node was made")
        return known or self._make(name, name if label is None else label)

    def _make(self, name: str, label: str) -> Node:
        match = _TYPED.match(label)
        typed = match is not None and match[2].lower() in KINDS
        words, kind = (match[1], match[2].lower()) if match is not None and typed else (label, "image")
        params = {key: value for key, value in self._params.get(name, {}).items() if value is not None}
        details: dict[str, Any] = {"data": {"label": words}}
        if url := params.get("content_url"):
            block, details["output"] = BLOCKS.get(f"static_{kind}", BLOCKS["static_image"]), {"url": url}
        else:
            model = self._catalog.model(kind, params.get("model"))
            block = BLOCKS[kind]
            details["inputs"] = {"model_id": model.model_id, "prompt": params.get("prompt", words)}
            chosen = {key: params[key] for key in ("aspect_ratio", "resolution") if key in params}
            if settings := params.get("model_parameters", {}) | chosen:
                details["inputs"]["params"] = settings
        self._made[name] = self._canvas.add(block, **details)
        return self._made[name]

    def _check_params(self) -> None:
        problems = {}
        for name, params in self._params.items():
            path = f"node_params.{name}"
            if not isinstance(params, dict):
                problems[path] = "Expected an object"
                continue
            problems |= field_problems(params, {}, _PARAMS, f"{path}.")
            if params.get("prompt") and params.get("content_url"):
                problems[f"{path}.content_url"] = "Cannot go with prompt"
        if problems:
            raise wrong_fields(problems)
