"""Changesets: several changes of a canvas that are applied together or not at all."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from flora_async.testing._state.canvas import BLOCKS, Canvas, Node
from flora_async.testing._state.catalog import Catalog
from flora_async.testing._state.models import KINDS
from flora_async.testing._wire.answers import invalid_fields
from flora_async.testing._wire.validation import HTTPS, MAPPING, NUMBER, TEXT, FieldType, field_problems, one_of

_POINT: Final = FieldType(
    "numbers x and y",
    lambda value: isinstance(value, dict) and value.keys() == {"x", "y"} and all(map(NUMBER.accepts, value.values())),
)
_TYPES: Final = one_of([*KINDS, "group", "static_image", "layer_editor"])
_EDGE: Final[Mapping[str, FieldType]] = {"from": TEXT, "to": TEXT}
_APPEARANCE: Final = {"label": TEXT, "model": TEXT, "params": MAPPING, "position": _POINT, "prompt": TEXT}
# The required and the optional fields of every operation.
_FIELDS: Final[Mapping[str, tuple[Mapping[str, FieldType], Mapping[str, FieldType]]]] = {
    "add": ({"ref": TEXT, "type": _TYPES}, {**_APPEARANCE, "content_url": HTTPS, "group": TEXT}),
    "update": ({"id": TEXT}, _APPEARANCE),
    "connect": (_EDGE, {"in": TEXT}),
    "disconnect": (_EDGE, {"in": TEXT}),
    "remove": ({"id": TEXT}, {}),
}
CHANGES: Final = dict.fromkeys(_FIELDS, FieldType("a list of objects", lambda value: isinstance(value, list)))


class Changeset:
    """Applies a changeset to a canvas.

    Args:
        canvas: The draft to change, to be discarded if the changeset is refused.
        catalog: The models.
    """

    def __init__(self, canvas: Canvas, catalog: Catalog) -> None:
        self._canvas = canvas
        self._catalog = catalog
        self._created: dict[str, Node] = {}
        self._problems: dict[str, str] = {}
        self._warnings: list[str] = []
        self._applied = dict.fromkeys(("added", "connected", "disconnected", "removed", "updated"), 0)

    def apply(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Apply the changeset and return a summary.

        Raises:
            RefusedError: A change is invalid.
        """
        # Groups are added before their members, whatever their order in the request.
        adding = sorted(self._items(body, "add"), key=lambda item: item[1]["type"] != "group")
        for path, item in adding:
            self._add(path, item)
        for path, item in self._items(body, "update"):
            self._update(path, item)
        for path, item in self._items(body, "connect"):
            self._connect(path, item)
        for path, item in self._items(body, "disconnect"):
            self._disconnect(path, item)
        # Removing a group removes its members, which may be listed as well.
        removed = [self._node(f"{path}id", item["id"]) for path, item in self._items(body, "remove")]
        self._applied["removed"] = sum(self._canvas.remove(node) for node in removed if node is not None)
        if self._problems:
            raise invalid_fields(self._problems)
        return {
            "applied": self._applied,
            "created": {ref: {"id": node.id, "node_id": node.node_id} for ref, node in self._created.items()},
            "warnings": self._warnings,
        }

    def _items(self, body: Mapping[str, Any], operation: str) -> Iterator[tuple[str, dict[str, Any]]]:
        for number, item in enumerate(body.get(operation, [])):
            path = f"{operation}[{number}]."
            if not isinstance(item, dict):
                self._problems[path[:-1]] = "Expected an object"
            elif problems := field_problems(item, *_FIELDS[operation], path):
                self._problems |= problems
            else:
                yield path, item

    def _add(self, path: str, item: dict[str, Any]) -> None:
        ref, type_ = item["ref"], item["type"]
        if ref in self._created or self._canvas.find(ref):
            self._problems[f"{path}ref"] = "Already used"
            return
        url = item.get("content_url")
        if url and item.keys() & {"prompt", "model", "params"}:
            self._problems[f"{path}content_url"] = "Cannot be combined with prompt, model or params"
        block_type = f"static_{type_}" if url and type_ in KINDS else type_
        details: dict[str, Any] = {"data": {"label": item.get("label", ref)}}
        if url:
            details["output"] = {"url": url}
        elif type_ in KINDS:
            details["inputs"] = {"model_id": self._model(path, type_, item.get("model"))} | _given(item)
        if "position" in item:
            details["position"] = item["position"]
        if "group" in item and (group := self._node(f"{path}group", item["group"])):
            details["rest"] = {"parent_id": group.node_id}
        self._created[ref] = self._canvas.add(BLOCKS.get(block_type, BLOCKS[type_]), **details)
        self._applied["added"] += 1

    def _update(self, path: str, item: dict[str, Any]) -> None:
        node = self._node(f"{path}id", item["id"])
        if node is None:
            return
        before = (node.label, node.position, dict(node.inputs))
        if "label" in item:
            node.data["label"] = item["label"]
        node.position = item.get("position", node.position)
        given = _given(item)
        if "params" in given:
            given["params"] = node.inputs.get("params", {}) | given["params"]
        if "model" in item:
            given["model_id"] = self._model(path, node.type, item["model"])
        node.inputs |= given
        if before == (node.label, node.position, node.inputs):
            self._warnings.append(f"{item['id']} already has these values")
        else:
            self._applied["updated"] += 1

    def _connect(self, path: str, item: dict[str, Any]) -> None:
        source, target = self._node(f"{path}from", item["from"]), self._node(f"{path}to", item["to"])
        if source is None or target is None:
            return
        if self._canvas.connect(source, target, item.get("in")):
            self._applied["connected"] += 1
        else:
            self._warnings.append(f"{item['from']} and {item['to']} are already connected")

    def _disconnect(self, path: str, item: dict[str, Any]) -> None:
        source, target = self._node(f"{path}from", item["from"]), self._node(f"{path}to", item["to"])
        if source is None or target is None:
            return
        canvas, slot = self._canvas, item.get("in")
        ends = (source.node_id, target.node_id)
        kept = [e for e in canvas.edges if (e.source, e.target) != ends or slot not in {None, e.target_handle}]
        self._applied["disconnected"] += len(canvas.edges) - len(kept)
        if len(kept) == len(canvas.edges):
            self._warnings.append(f"{item['from']} and {item['to']} were not connected")
        canvas.edges = kept

    def _node(self, path: str, reference: str) -> Node | None:
        node = self._created.get(reference) or self._canvas.find(reference)
        if node is None:
            self._problems[path] = "No such node"
        return node

    def _model(self, path: str, kind: str, name: str | None) -> str | None:
        for model in self._catalog.models.values():
            if model.type == kind and name in {None, model.model_id, model.name}:
                return model.model_id
        self._problems[f"{path}model"] = f"No {kind} model has this name"
        return None


def _given(item: Mapping[str, Any]) -> dict[str, Any]:
    return {name: item[name] for name in ("prompt", "params") if name in item}
