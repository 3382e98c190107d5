"""The operations of FLORA's API, and which of them a request asks for."""

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple, TypeAlias
from urllib.parse import unquote

API: Final = "/api/v1"

Origin: TypeAlias = Literal["flora", "media"]

_CREATED = 201


class Operation(NamedTuple):
    """One operation: how it is asked for, and the status of an answer that is no error."""

    method: str
    path: str
    status: int = 200

    @property
    def changes(self) -> bool:
        """Whether it changes anything, so that FLORA remembers its idempotency key."""
        return self.method != "GET"


_PROJECT = "/workspaces/{workspace_id}/projects/{project_id}"
_LIBRARY = "/workspaces/{workspace_id}/library/folders"

OPERATIONS: Final = {
    "techniques.retrieve": Operation("GET", "/techniques/{technique_id}"),
    "techniques.list": Operation("GET", "/techniques"),
    "techniques.runs.create": Operation("POST", "/techniques/{technique_id}/runs", _CREATED),
    "techniques.runs.list": Operation("GET", "/technique-runs"),
    "techniques.runs.retrieve": Operation("GET", "/techniques/{technique_id}/runs/{run_id}"),
    "assets.create": Operation("POST", "/assets", _CREATED),
    "assets.complete": Operation("POST", "/assets/{asset_id}/complete"),
    "assets.retry": Operation("POST", "/assets/{asset_id}/retry"),
    "assets.list": Operation("GET", "/assets"),
    "assets.retrieve": Operation("GET", "/assets/{asset_id}"),
    "workspaces.list": Operation("GET", "/workspaces"),
    "workspaces.projects.create": Operation("POST", "/workspaces/{workspace_id}/projects", _CREATED),
    "workspaces.projects.graph": Operation("GET", f"{_PROJECT}/graph"),
    "workspaces.projects.run_nodes": Operation("POST", f"{_PROJECT}/nodes/run"),
    "workspaces.projects.canvas.apply_changeset": Operation("POST", f"{_PROJECT}/canvas/changeset"),
    "workspaces.projects.canvas.retrieve_definition": Operation("GET", f"{_PROJECT}/canvas/definition"),
    "workspaces.projects.canvas.replace_definition": Operation("PUT", f"{_PROJECT}/canvas/definition"),
    "workspaces.folders.create_project": Operation(
        "POST", "/workspaces/{workspace_id}/folders/{folder_id}/projects", _CREATED
    ),
    "workspaces.library.folders.create": Operation("POST", _LIBRARY, _CREATED),
    "workspaces.library.folders.delete": Operation("DELETE", f"{_LIBRARY}/{{folder_id}}"),
    "workspaces.library.folders.add_item": Operation("POST", f"{_LIBRARY}/{{folder_id}}/items", _CREATED),
    "projects.create": Operation("POST", "/projects", _CREATED),
    "projects.retrieve": Operation("GET", "/projects/{project_id}"),
    "projects.list": Operation("GET", "/projects"),
    "projects.list_nodes": Operation("GET", "/projects/{project_id}/nodes"),
    "projects.assets.attach": Operation("POST", "/projects/{project_id}/assets/{asset_id}/attach", _CREATED),
    "projects.canvas.retrieve": Operation("GET", "/projects/{project_id}/canvas"),
    "projects.canvas.update": Operation("PATCH", "/projects/{project_id}/canvas"),
    "projects.actions.create": Operation("POST", "/projects/{project_id}/actions", _CREATED),
    "projects.actions.run": Operation("POST", "/projects/{project_id}/actions/{node_id}/run", _CREATED),
    "actions.list": Operation("GET", "/actions"),
    "actions.retrieve": Operation("GET", "/actions/{action_id}"),
    "actions.run": Operation("POST", "/runs/action", _CREATED),
    "models.list": Operation("GET", "/models"),
    "generations.create": Operation("POST", "/generate", _CREATED),
    "generations.retrieve": Operation("GET", "/runs/{run_id}"),
    "generations.list": Operation("GET", "/generations"),
    "runs.start_generation": Operation("POST", "/runs/generation", _CREATED),
    "runs.start_technique": Operation("POST", "/runs/technique", _CREATED),
    "feedback.record": Operation("POST", "/feedback", _CREATED),
}

# What most tests are about, under the words of their authors.
_SHORT: Final = {
    "techniques.runs.create": "start",
    "techniques.runs.retrieve": "poll",
    "generations.retrieve": "poll",
    "techniques.runs.list": "history",
    "techniques.retrieve": "technique",
}

TARGETS: Final = (*sorted({*_SHORT.values(), "media", "upload", "asset", "other"}), "any", *OPERATIONS)


class Route(NamedTuple):
    """Where a request leads.

    Attributes:
        operation: What the request is recorded as.
        name: The operation in the table, empty for what is not in it.
        names: The names in the path, percent-decoded, by parameter.
        targets: The targets of faults that mean it, `any` aside.
    """

    operation: str
    name: str
    names: Mapping[str, str]
    targets: frozenset[str]


class _Row(NamedTuple):
    """An operation as the router looks for it: a segment is a parameter's name or `None`, and what it has to be."""

    name: str
    segments: tuple[tuple[str | None, str], ...]
    operation: str
    targets: frozenset[str]


def _row(name: str, operation: Operation) -> _Row:
    segments = operation.path.split("/")[1:]
    short = _SHORT.get(name)
    targets = {name, short or "other"} | ({"asset"} if "assets" in name.split(".") else set())
    pattern = tuple((part[1:-1], "") if part.startswith("{") else (None, part) for part in segments)
    return _Row(name, pattern, short or name, frozenset(targets))


def _table() -> dict[tuple[str, str, int], list[_Row]]:
    table: dict[tuple[str, str, int], list[_Row]] = {}
    for name, operation in OPERATIONS.items():
        row = _row(name, operation)
        table.setdefault((operation.method, row.segments[0][1], len(row.segments)), []).append(row)
    return table


_ROWS: Final = _table()
_NOWHERE: Final = Route("other", "", {}, frozenset({"other"}))
_MEDIA: Final = frozenset({"media"})
_UPLOAD: Final = frozenset({"upload"})


def route_to(origin: Origin, method: str, path: str) -> Route:
    """Read a path as it came over the wire: it is split before it is decoded, so `%2F` is part of a name."""
    return _route_api(method, path) if origin == "flora" else _route_storage(method, path)


def _route_api(method: str, path: str) -> Route:
    if not path.startswith(f"{API}/"):
        return _NOWHERE
    parts = path[len(API) + 1 :].split("/")
    if "%" in path:
        parts = [unquote(part) for part in parts]
    for row in _ROWS.get((method, parts[0], len(parts)), ()):
        names = {}
        for (parameter, literal), part in zip(row.segments, parts, strict=True):
            if parameter is not None:
                names[parameter] = part
            elif literal != part:
                break
        else:
            return Route(row.operation, row.name, names, row.targets)
    return _NOWHERE


def _route_storage(method: str, path: str) -> Route:
    place, _, rest = path.removeprefix("/").partition("/")
    if rest and (method, place) == ("GET", "media"):
        return Route("media", "", {"name": unquote(rest)}, _MEDIA)
    if rest and (method, place) == ("POST", "upload"):
        return Route("upload", "", {"reservation": unquote(rest)}, _UPLOAD)
    return _NOWHERE
